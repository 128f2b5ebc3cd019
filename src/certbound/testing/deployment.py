"""An authorization server and guarded APIs inside the process, for tests of services.

Rule 1: all is real: TLS, the database, the endpoints, the guard.  Only loopback is used, at free ports.
Rule 2: one thread runs them all; what a test calls may be called from any other.
"""

import asyncio
import contextlib
import itertools
import socket
import ssl
import threading
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable, Coroutine, Iterator, Mapping, Set
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import httpx
import msgspec

from certbound import tls
from certbound.app import make_ports, open_registry, opened_store, signing_keys
from certbound.client import (
    Credential,
    Identity,
    ServerMetadata,
    drive,
    fetch_metadata,
    flow,
    open_client,
    request_token,
)
from certbound.client import open as open_bound
from certbound.core.certificate import read_certificate
from certbound.core.jwks import make_jwks
from certbound.core.signing import sign_jwt
from certbound.core.well_known import Issuer
from certbound.resource import Guard, ProtectedResource
from certbound.resource.wsgi import Guard as WSGIGuard
from certbound.server.clients import ClientRegistry
from certbound.server.directory import NEWS
from certbound.server.keys import KeyRing
from certbound.settings import Settings, load, show_toml
from certbound.testing.statuses import LiveStatuses
from certbound.testing.wsgi import ASGIFromWSGI, is_asgi
from certbound.tls import Port, VirtualHost
from certbound.trust.authority import Authority, Issued, self_signed

RESOURCE = "https://api.example"
"""What an API is called unless a test says otherwise."""
SCOPES = ("read", "write")
"""What clients may ask for unless the settings say otherwise."""

_T = TypeVar("_T")
_TRIES = 5
_LONG_AGO = 3600.0


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A certificate and its key, in two PEM files that are readable by their owner only."""

    certificate: Path
    key: Path
    issued: Issued = field(repr=False)

    @property
    def identity(self) -> Identity:
        return Identity(self.issued.chain_pem, self.issued.key_pem)

    @property
    def thumbprint(self) -> str:
        """What `cnf` of a token bound to it holds as `x5t#S256`."""
        return read_certificate(self.issued.der).thumbprint

    def context(self, ca: Path) -> ssl.SSLContext:
        """For clients that take an SSL context."""
        context = ssl.create_default_context(cafile=ca)
        context.load_cert_chain(self.certificate, self.key)
        return context


@dataclass(frozen=True, slots=True)
class ProtectedApi:
    """A running API behind the guard."""

    url: str
    """Without a slash at its end."""
    resource: str
    ca: Path

    def request(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        certificate: ClientCertificate | None = None,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> httpx.Response:
        """One request over a connection of its own; `more` as `httpx.Client.request` has it."""
        sent = {**(headers or {}), **({} if token is None else {"authorization": f"Bearer {token}"})}
        with open_client(certificate.identity if certificate else None, ca=self.ca) as http:
            return http.request(method, self.url + path, headers=sent, **more)

    def get(self, path: str, **more: Any) -> httpx.Response:
        """As `request`."""
        return self.request("GET", path, **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        """As `request`."""
        return self.request("POST", path, **more)


@dataclass(frozen=True, slots=True)
class RegisteredClient:
    """A client of the authorization server."""

    client_id: str
    certificate: ClientCertificate
    server: "AuthorizationServer" = field(repr=False)

    def token(self, api: ProtectedApi | str = RESOURCE, *, scope: str | None = None) -> str:
        """A new token for that API, bound to the client's certificate; `TokenRefused` if the server issues none."""
        resource = api if isinstance(api, str) else api.resource
        with open_client(self.certificate.identity, ca=self.server.ca) as http:
            return request_token(
                http, self.server.metadata, self.client_id, scope=scope, resources=[resource]
            ).access_token

    def open(self, api: ProtectedApi, *, scope: str | None = None, **more: Any) -> httpx.Client:
        """A client that calls that API with tokens of its own, as `certbound.client.open` makes it."""
        here = self.certificate
        return open_bound(
            self.server.issuer, self.client_id, certificate=here.certificate, key=here.key, resource=api.resource,
            scope=scope, api=api.url, ca=self.server.ca, **more,
        )  # fmt: skip


@dataclass(slots=True, kw_only=True, eq=False)
class AuthorizationServer:
    """A running authorization server; URLs have no slash at their end."""

    issuer: str
    mtls_url: str
    ca: Path
    """Who vouches for this server and the APIs, PEM."""
    metadata: ServerMetadata
    _folder: Path = field(repr=False)
    _authority: Authority = field(repr=False)
    _loop: asyncio.AbstractEventLoop = field(repr=False)
    _registry: ClientRegistry = field(repr=False)
    _keys: KeyRing = field(repr=False)
    _clients: dict[str, RegisteredClient] = field(default_factory=dict, repr=False)
    _statuses: list[LiveStatuses] = field(default_factory=list, repr=False)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1), repr=False)

    def certificate(self, subject: str = "", *, trusted: bool = False, **facts: Any) -> ClientCertificate:
        """A new certificate: self-signed, or with `trusted` of a CA that the server trusts about clients.

        `facts` as `Authority.issue` has them: `dns`, `uris`, `days`, `key`.
        """
        number = next(self._numbers)
        issue = self._authority.issue if trusted else self_signed
        return self._kept(f"client-{number}", issue(subject or f"CN=client-{number}", **facts))

    def register(
        self, certificate: ClientCertificate, client_id: str | None = None, *, scope: str = "", **metadata: Any
    ) -> RegisteredClient:
        """A client of that certificate; `scope`, all that it may ask for, is by default all that there is.

        `metadata` as for RFC 7591; `InvalidClientMetadata` says what of it cannot be.
        """
        name = client_id or f"test-{next(self._numbers)}"
        allowed = scope or " ".join(self.metadata.document.get("scopes_supported", SCOPES))
        known = {"scope": allowed, **_authentication(certificate.issued), **metadata}
        self._run(self._registry.register(known, client_id=name))
        time.sleep(NEWS)  # the server asks its store about unknown clients so often, and no oftener
        made = self._clients[name] = RegisteredClient(name, certificate, self)
        return made

    def altered(self, token: str, **claims: Any) -> str:
        """A token that says all that `token` does, but for those claims, and that the server signed; None omits one."""
        content = {**_claims(token), **claims}
        return sign_jwt(
            {name: value for name, value in content.items() if value is not None}, self._keys.signing, "at+jwt"
        )

    def expired(self, token: str) -> str:
        """`token` as if it had been issued long ago."""
        said, then = _claims(token), time.time() - _LONG_AGO
        return self.altered(token, iat=int(then - (said["exp"] - said["iat"])), exp=int(then))

    def revoke(self, token: str) -> None:
        """`token` is over: for `protected_api` and `protected_resource` at once, for others within ten seconds."""
        client = self._clients[_claims(token)["client_id"]]
        with open_client(client.certificate.identity, ca=self.ca) as http:
            drive(http, flow.revoke(self.metadata, Credential(client.client_id), token))
        for each in self._statuses:
            each.forget()

    def protected_resource(self, resource: str = RESOURCE, **asked: Any) -> ProtectedResource:
        """What a guard of one's own needs in order to believe this server; `asked` as `ProtectedResource` has it."""
        statuses = LiveStatuses(Issuer(self.issuer), self.ca)
        self._statuses.append(statuses)
        given = {"issuer": self.issuer, "issuer_ca": str(self.ca), "statuses": statuses, **asked}
        return ProtectedResource(resource, **given)

    @contextlib.contextmanager
    def serving(self) -> "Iterator[Callable[..., ProtectedApi]]":
        """A function that serves applications until the end: `serve(app, resource=…, scopes=…, guard=True)`."""
        started: list[Any] = []

        def serve(
            app: Any, *, resource: str = RESOURCE, scopes: Set[str] = frozenset(), guard: bool = True, **asked: Any
        ) -> ProtectedApi:
            """`guard=False` for an application that has one of its own; `asked` as `ProtectedResource` has it."""
            running = self._run(tls.start([self._port(self._guarded(app, resource, scopes, guard=guard, asked=asked))]))
            started.append(running)
            return ProtectedApi(f"https://localhost:{running.addresses[0][1]}", resource, self.ca)

        try:
            yield serve
        finally:
            for each in started:
                self._run(each.stop(grace=1))

    def _guarded(self, app: Any, resource: str, scopes: Set[str], *, guard: bool, asked: Mapping[str, Any]) -> Any:
        if guard:
            api = self.protected_resource(resource, scopes=scopes, **asked)
            app = Guard(app, api) if is_asgi(app) else WSGIGuard(app, api)
        return app if is_asgi(app) else ASGIFromWSGI(app)

    def _port(self, app: Any) -> Port:
        host = VirtualHost(
            certificate=self._folder / "server.pem", key=self._folder / "server.key", app=app,
            asks_for_certificate=True, websockets=find_spec("websockets") is not None,
        )  # fmt: skip
        return Port(host="127.0.0.1", port=0, virtual_hosts=(host,))

    def _kept(self, name: str, issued: Issued) -> ClientCertificate:
        files = _keep(self._folder / name, issued)
        return ClientCertificate(*files, issued)

    def _run(self, what: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(30)


@contextlib.contextmanager
def running_server(folder: Path, settings: Mapping[str, Any] = {}) -> Iterator[AuthorizationServer]:
    """A server in `folder`, which is empty; `settings` by section, as in `certbound.toml`."""
    authority = Authority.create("certbound test CA")
    (folder / "ca.pem").write_bytes(authority.certificate_pem)
    _keep(folder / "server", authority.issue("CN=localhost", dns=["localhost"], ips=["127.0.0.1"], usage="server"))
    with _loop() as loop:
        stack = contextlib.AsyncExitStack()
        try:
            read, registry, keys = asyncio.run_coroutine_threadsafe(_start(stack, folder, settings), loop).result(30)
            issuer = read.server.issuer
            with open_client(ca=folder / "ca.pem") as http:
                metadata = fetch_metadata(http, issuer)
            yield AuthorizationServer(
                issuer=issuer, mtls_url=read.server.mtls_url or issuer, ca=folder / "ca.pem", metadata=metadata,
                _folder=folder, _authority=authority, _loop=loop, _registry=registry, _keys=keys,
            )  # fmt: skip
        finally:
            asyncio.run_coroutine_threadsafe(stack.aclose(), loop).result(30)


async def _start(
    stack: contextlib.AsyncExitStack, folder: Path, settings: Mapping[str, Any]
) -> tuple[Settings, ClientRegistry, KeyRing]:
    for left in reversed(range(_TRIES)):
        read = _settings(folder, settings)
        try:
            running = await tls.start(make_ports(read))
        except OSError:  # somebody else took a port since it was found free
            if not left:
                raise
        else:
            break
    stack.push_async_callback(running.stop, grace=1)
    store = await stack.enter_async_context(opened_store(read))
    return read, await stack.enter_async_context(open_registry(read)), await signing_keys(read, store)


def _settings(folder: Path, more: Mapping[str, Any]) -> Settings:
    plain, mtls = _free_port(), _free_port()
    given: dict[str, dict[str, Any]] = {
        "server": {
            "issuer": f"https://localhost:{plain}", "port": plain, "mtls_url": f"https://localhost:{mtls}",
            "mtls_port": mtls, "certificate": "server.pem", "key": "server.key",
        },
        "tokens": {"scopes": list(SCOPES), "resources": [RESOURCE, "https://other.example"]},
        "trust": {"anchors": ["ca.pem"]},
        # Tests fail on purpose, and often.
        "authentication": {"failures_per_minute": 1_000_000},
        "store": {"url": f"sqlite:///{folder}/certbound.sqlite"},
    }  # fmt: skip
    for section, values in more.items():
        given[section] = {**given.get(section, {}), **values}
    file = folder / "certbound.toml"
    file.write_text("".join(
        f"[{section}]\n" + "".join(f"{key} = {show_toml(value)}\n" for key, value in values.items())
        for section, values in given.items()
    ))  # fmt: skip
    return load(file, {})


@contextlib.contextmanager
def _loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="certbound", daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


def _authentication(issued: Issued) -> Mapping[str, Any]:
    """How a client of that certificate authenticates: by its own, or by the name that a CA gave it."""
    if issued.issuers:
        return {
            "token_endpoint_auth_method": "tls_client_auth",
            "tls_client_auth_subject_dn": issued.certificate.subject.rfc4514_string(),
        }
    keys = make_jwks([read_certificate(issued.der)])
    return {"token_endpoint_auth_method": "self_signed_tls_client_auth", "jwks": keys}


def _keep(name: Path, issued: Issued) -> tuple[Path, Path]:
    certificate, key = name.with_suffix(".pem"), name.with_suffix(".key")
    certificate.write_bytes(issued.chain_pem)
    key.touch(mode=0o600)
    key.write_bytes(issued.key_pem)
    return certificate, key


def _claims(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    return msgspec.json.decode(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)), type=dict[str, Any])


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
