"""A whole deployment on loopback: authority, authorization server on two ports, an API behind the guard, clients.

Everything is real: TLS, files, database.  The servers run in a thread of the test process, so that its log is ours.
"""

import asyncio
import contextlib
import http.client
import json
import re
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from certbound import tls
from certbound.app import make_ports, open_registry, opened_store
from certbound.core.authentication import AuthenticatedClient, digest_of
from certbound.core.certificate import read_certificate
from certbound.core.clients import read_client
from certbound.core.grants import refresh_token
from certbound.core.jwks import make_jwks
from certbound.core.ports import ClientRecord, GrantRecord
from certbound.core.proofs import NothingProven
from certbound.core.tokens import Grant
from certbound.resource import PRINCIPAL, Guard, ProtectedResource
from certbound.server.directory import NEWS
from certbound.settings import Settings, load, show_toml
from certbound.tls import Port, VirtualHost
from certbound.trust.authority import Authority, Issued, self_signed

RESOURCE = "https://api.example"


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def without_request_id(self) -> tuple[int, Mapping[str, str], bytes]:
        headers = {name: value for name, value in self.headers.items() if name not in {"x-request-id", "date"}}
        return self.status, headers, re.sub(rb'"request_id":"[0-9a-f]+"', b'"request_id":"*"', self.body)


@dataclass
class World:
    """A deployment; paths are PEM files, URLs have no slash at their end."""

    directory: Path
    authority: Authority
    settings: Settings
    issuer: str = ""
    mtls: str = ""
    api: str = ""
    running: Any = None
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    @property
    def anchors(self) -> Path:
        return self.directory / "anchors.pem"

    def register(self, client_id: str, **metadata: Any) -> None:
        """Through the same use case as the command and the endpoint."""

        async def go() -> None:
            async with open_registry(self.settings) as registry:
                await registry.register({"scope": "read write", **metadata}, client_id=client_id)

        self._change(go())

    def store(self, client_id: str, **metadata: Any) -> None:
        """Past every use case, as an older version with other rules would have left it."""

        async def go() -> None:
            async with opened_store(self.settings) as store:
                await store.clients.add(ClientRecord(client_id=client_id, metadata={"scope": "read write", **metadata}))

        self._change(go())

    def _change(self, change: Coroutine[Any, Any, None]) -> None:
        """A new client is known to the running server after `NEWS`."""
        asyncio.run(change)
        time.sleep(2 * NEWS)

    def update(self, client_id: str, *, enabled: bool | None = None, **changes: Any) -> None:
        async def go() -> None:
            async with open_registry(self.settings) as registry:
                assert await registry.update(client_id, changes, enabled=enabled) is not None

        asyncio.run(go())

    def register_self_signed(self, client_id: str, *issued: Issued, **metadata: Any) -> None:
        self.register(
            client_id,
            token_endpoint_auth_method="self_signed_tls_client_auth",
            jwks=make_jwks(read_certificate(each.der) for each in issued),
            **metadata,
        )

    def open_grant(self, client_id: str, identity: Issued | None = None, **changes: Any) -> str:
        """The first refresh token of a grant of this client, as a grant for people will give one."""
        return asyncio.run(_open_grant(self.settings, client_id, identity, changes))

    def connect(self, url: str, identity: Issued | None = None, **options: Any) -> http.client.HTTPSConnection:
        """A connection that can be kept alive."""
        parts = urlsplit(url)
        return http.client.HTTPSConnection(
            parts.hostname or "", parts.port, context=self.context(identity, **options), timeout=20
        )

    def context(
        self, identity: Issued | None = None, *, chain: bytes | None = None, maximum: Any = None
    ) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=self.authority.certificate_pem.decode())
        if maximum is not None:
            context.maximum_version = maximum
        if identity is not None:
            context.set_ciphers("DEFAULT:@SECLEVEL=0")  # so that weak certificates can be presented at all
            file = self.directory / f"client-{id(identity)}-{time.monotonic_ns()}.pem"
            file.write_bytes(identity.key_pem + (chain if chain is not None else identity.certificate_pem))
            context.load_cert_chain(file)
        return context

    def ask(
        self,
        url: str,
        identity: Issued | None = None,
        *,
        method: str = "POST",
        form: Mapping[str, Any] | list[tuple[str, str]] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        connection: http.client.HTTPSConnection | None = None,
        **options: Any,
    ) -> Answer:
        with contextlib.ExitStack() as stack:
            if connection is None:
                connection = stack.enter_context(contextlib.closing(self.connect(url, identity, **options)))
            parts = urlsplit(url)
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            fields = {"content-type": "application/x-www-form-urlencoded"} if form is not None else {}
            content = urlencode(form, doseq=True).encode() if form is not None else body
            connection.request(method, target or "/", body=content, headers={**fields, **(headers or {})})
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())

    def post(self, endpoint: str, client_id: str | None, identity: Issued | None = None, **form: Any) -> Answer:
        """At the mutual-TLS alias of an endpoint; `headers` among the form are headers."""
        headers = form.pop("headers", None)
        named = {} if client_id is None else {"client_id": client_id}
        return self.ask(f"{self.mtls}/{endpoint}", identity, form={**named, **form}, headers=headers)

    def post_at_once(
        self, count: int, endpoint: str, client_id: str, identity: Issued | None = None, **form: Any
    ) -> list[Answer]:
        """The answers to so many equal requests at the alias, none of which can be answered before all have begun."""
        body = urlencode({"client_id": client_id, **form}).encode()
        with contextlib.ExitStack() as stack:
            connections = [
                stack.enter_context(contextlib.closing(self.connect(self.mtls, identity))) for _ in range(count)
            ]
            for each in connections:
                each.putrequest("POST", f"/{endpoint}")
                each.putheader("content-type", "application/x-www-form-urlencoded")
                each.putheader("content-length", str(len(body)))
                each.endheaders(body[:-1])
            for each in connections:
                each.send(body[-1:])
            answers = [each.getresponse() for each in connections]
            return [Answer(each.status, dict(each.getheaders()), each.read()) for each in answers]

    def introspect(self, token: str, client_id: str | None, identity: Issued | None = None, **form: Any) -> Answer:
        return self.post("introspect", client_id, identity, token=token, **form)

    def revoke(self, token: str, client_id: str | None, identity: Issued | None = None, **form: Any) -> Answer:
        return self.post("revoke", client_id, identity, token=token, **form)

    def token_request(self, client_id: str, identity: Issued | None, **form: Any) -> Answer:
        """At the mutual-TLS alias."""
        return self.ask(
            f"{self.mtls}/token", identity, form={"grant_type": "client_credentials", "client_id": client_id, **form}
        )

    def token(self, client_id: str, identity: Issued, **form: Any) -> str:
        answer = self.token_request(client_id, identity, **form)
        assert 200 == answer.status, answer
        return str(answer.json["access_token"])

    def call_api(self, token: str | None, identity: Issued | None, **options: Any) -> Answer:
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        return self.ask(f"{self.api}/", identity, method="GET", headers=headers, **options)


async def sample_api(scope: Any, receive: Any, send: Any) -> None:
    """Says who calls."""
    if scope["type"] != "http":
        raise RuntimeError(f"the guard let a {scope['type']} scope through")
    principal = scope["state"][PRINCIPAL]
    body = json.dumps({"client_id": principal.client_id, "scope": sorted(principal.scope)}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})


@contextlib.contextmanager
def world(directory: Path, **overrides: Any) -> Iterator[World]:
    """A running deployment; `overrides` are settings as `section__key=value`."""
    authority = Authority.create("Test CA")
    settings = _settings(directory, authority, overrides)
    built = World(directory, authority, settings)
    built.issuer, built.mtls = settings.server.issuer, settings.server.mtls_url or settings.server.issuer
    thread = threading.Thread(target=_run, args=(built.loop,), daemon=True)
    thread.start()
    ports = [*make_ports(settings), _api_port(built)]
    built.running = asyncio.run_coroutine_threadsafe(tls.start(ports), built.loop).result(20)
    built.api = f"https://localhost:{built.running.addresses[-1][1]}"
    try:
        yield built
    finally:
        asyncio.run_coroutine_threadsafe(built.running.stop(grace=1), built.loop).result(20)
        built.loop.call_soon_threadsafe(built.loop.stop)
        thread.join(10)
        built.loop.close()


async def _open_grant(settings: Settings, client_id: str, identity: Issued | None, changes: dict[str, Any]) -> str:
    now, token = time.time(), "cbrt_" + secrets.token_urlsafe(32)
    certificate = read_certificate(identity.der) if identity else None
    async with opened_store(settings) as store:
        record = await store.clients.find(client_id)
        assert record is not None
        client = read_client(client_id, record.metadata)
        authenticated = AuthenticatedClient(client, None, None, NothingProven())
        grant = Grant(client_id=client.client_id, subject="alice", audience=(RESOURCE,), scope=client.scope)
        granted = refresh_token.first(grant, authenticated, certificate, always_rotates=False)
        opened = GrantRecord(
            grant_id=secrets.token_urlsafe(16),
            client_id=client_id,
            content={**refresh_token.write(granted), **changes},
            seed=secrets.token_urlsafe(32),
            thumbprint=certificate.thumbprint if certificate else "",
            created_at=now,
            ends_at=now + 3600,
        )
        await store.grants.open(opened, digest_of(token), now=now)
    return token


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()


def _settings(directory: Path, authority: Authority, overrides: Mapping[str, Any]) -> Settings:
    server = authority.issue("CN=localhost", dns=["localhost"], ips=["127.0.0.1"], usage="server")
    (directory / "server.pem").write_bytes(server.chain_pem)
    (directory / "server.key").write_bytes(server.key_pem)
    (directory / "ca.pem").write_bytes(authority.certificate_pem)
    (directory / "anchors.pem").write_bytes(authority.certificate_pem)
    plain, mtls = free_port(), free_port()
    given: dict[str, dict[str, Any]] = {
        "server": {
            "issuer": f"https://localhost:{plain}",
            "port": plain,
            "mtls_url": f"https://localhost:{mtls}",
            "mtls_port": mtls,
            "certificate": "server.pem",
            "key": "server.key",
        },
        "tokens": {"scopes": ["read", "write"], "resources": [RESOURCE, "https://other.example"]},
        "trust": {"anchors": ["anchors.pem"]},
        # Tests fail on purpose, and often; that of the limit sets its own.
        "authentication": {"failures_per_minute": 1_000_000},
        "store": {"url": f"sqlite:///{directory}/certbound.sqlite"},
    }
    for name, value in overrides.items():
        section, _, key = name.partition("__")
        given.setdefault(section, {})[key] = value
    file = directory / "certbound.toml"
    file.write_text("".join(
        f"[{section}]\n" + "".join(f"{key} = {show_toml(value)}\n" for key, value in keys.items() if value is not None)
        for section, keys in given.items()
    ))  # fmt: skip
    return load(file, {})


def _api_port(built: World) -> Port:
    ca = str(built.directory / "ca.pem")
    guarded = Guard(sample_api, ProtectedResource(RESOURCE, issuer=built.issuer, scopes={"read"}, issuer_ca=ca))
    host = VirtualHost(
        certificate=built.directory / "server.pem",
        key=built.directory / "server.key",
        app=guarded,
        asks_for_certificate=True,
        websockets=True,
    )
    return Port(host="127.0.0.1", port=0, virtual_hosts=(host,))


def thumbprint(issued: Issued) -> str:
    return read_certificate(issued.der).thumbprint


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


__all__ = ["RESOURCE", "Answer", "World", "free_port", "self_signed", "thumbprint", "world"]
