"""The application as ASGI servers see it, without a listener (which the tests in `e2e` have)."""

import asyncio
import base64
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from certbound.core.authentication import Accepted, AuthenticatedClient, digest_of
from certbound.core.binding import Bind
from certbound.core.certificate import PeerCertificate, read_certificate
from certbound.core.clients import Client, ClientId, Method, read_client
from certbound.core.errors import ConfigurationError
from certbound.core.grants import Policy, refresh_token
from certbound.core.jwks import make_jwks
from certbound.core.metadata import TOKEN, Offer
from certbound.core.ports import ClientRecord, GrantRecord, Grants, Rotation, Store
from certbound.core.proofs import NothingProven, Sources, TrustedChain
from certbound.core.revoked import Revoked
from certbound.core.scope import Scope
from certbound.core.signing import SigningKey
from certbound.core.tokens import Grant
from certbound.core.well_known import Issuer
from certbound.server.asgi import Application
from certbound.server.directory import ClientDirectory
from certbound.server.keys import KeyRing
from certbound.server.service import Service
from certbound.server.statuses import StatusBook
from certbound.stores import open_store
from certbound.tls import EXTENSION, ConnectionFacts
from certbound.trust.authority import self_signed
from certbound.trust.published import PublishedNowhere

OWN = self_signed("CN=own")
FORM = [(b"content-type", b"application/x-www-form-urlencoded")]
BODY = b"grant_type=client_credentials&client_id=own"


class NoChains:
    async def verify_chain(self, peer: PeerCertificate, client: Client, revoked: Revoked, now: float) -> TrustedChain:
        raise AssertionError("no client of these tests needs a chain")

    async def require_unrevoked(self, chain: TrustedChain, now: float) -> TrustedChain:
        raise AssertionError("no client of these tests needs a chain")


@contextlib.asynccontextmanager
async def service(store: Store, **changes: Any) -> AsyncIterator[Service]:
    scope = Scope(frozenset({"read"}))
    clients = ClientDirectory(store, time.monotonic)
    facts: dict[str, Any] = {
        "offer": Offer(
            issuer=Issuer("https://as.example/tenant"),
            mtls_base="https://mtls.as.example/tenant",
            scope=scope,
            grant_types=frozenset({"client_credentials", "refresh_token"}),
            methods=frozenset(Method),
            can_bind=True,
        ),
        "policy": Policy(scope=scope, resources=["https://api.example"]),
        "bind": Bind.ALWAYS,
        "lifetime": 60,
        "keys": KeyRing.of(SigningKey.generate()),
        "clients": clients,
        "statuses": StatusBook(store, clients, "https://as.example/tenant/status"),
        "sources": Sources(chains=NoChains(), published=PublishedNowhere(), uses=store.tokens),
        "store": store,
        "accepted": {TOKEN: Accepted(methods=frozenset(Method), issuer="https://as.example/tenant")},
    }
    yield Service(**{**facts, **changes})


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_store(f"sqlite:///{tmp_path}/test.sqlite")
    metadata = {
        "token_endpoint_auth_method": "self_signed_tls_client_auth",
        "jwks": make_jwks([read_certificate(OWN.der)]),
        "scope": "read",
    }
    await opened.clients.add(ClientRecord(client_id="own", metadata=metadata))
    await opened.clients.add(ClientRecord(client_id="idle", metadata={**metadata, "grant_types": ["password"]}))
    yield opened
    await opened.close()


@contextlib.asynccontextmanager
async def running(application: Application) -> AsyncIterator[None]:
    """Through startup and, at the end, shutdown."""
    sent: list[str] = []
    events = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    started, ending = asyncio.Event(), asyncio.Event()

    async def receive() -> Any:
        event = next(events)
        if event["type"] == "lifespan.shutdown":
            await ending.wait()
        return event

    async def send(message: Any) -> None:
        sent.append(message["type"])
        started.set()

    task = asyncio.create_task(application({"type": "lifespan"}, receive, send))
    task.add_done_callback(lambda _: started.set())
    await started.wait()
    assert ["lifespan.startup.complete"] == sent
    yield
    ending.set()
    await task
    assert ["lifespan.startup.complete", "lifespan.shutdown.complete"] == sent


async def ask(
    application: Application, path: str, *, method: str = "POST", body: bytes = b"", mtls: bool = True, peer: Any = OWN
) -> tuple[int, dict[str, str], Any]:
    """One request on a connection whose facts are these."""
    facts = ConnectionFacts(
        peer_certificate=PeerCertificate(read_certificate(peer.der)) if peer and mtls else None,
        tls_version="TLSv1.3",
        cipher="",
        group=None,
        asks_for_certificate=mtls,
    )
    sent: list[Any] = []
    parts = iter(
        [{"type": "http.request", "body": body[:7], "more_body": True}, {"type": "http.request", "body": body[7:]}]
    )

    async def receive() -> Any:
        return next(parts)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "headers": FORM,
        "extensions": {EXTENSION: facts},
    }  # fmt: skip
    await application(scope, receive, send)
    start, end = sent
    return start["status"], {k.decode(): v.decode() for k, v in start["headers"]}, end["body"]


async def test_an_issuer_with_a_path_has_its_endpoints_under_it(store: Store) -> None:
    """And its metadata where RFC 8414 section 3.1 puts it."""
    application = Application(lambda: service(store))
    async with running(application):
        status, _, body = await ask(
            application, "/.well-known/oauth-authorization-server/tenant", method="GET", mtls=False
        )
        assert (200, "https://as.example/tenant/token") == (status, json.loads(body)["token_endpoint"])
        assert 200 == (await ask(application, "/tenant/token", body=BODY))[0]
        assert 404 == (await ask(application, "/token", body=BODY))[0]


async def test_head_has_the_headers_and_no_body(store: Store) -> None:
    """RFC 9110 section 9.3.2."""
    application = Application(lambda: service(store))
    async with running(application):
        status, headers, body = await ask(application, "/tenant/jwks", method="HEAD", mtls=False)

    assert (200, b"") == (status, body)
    assert int(headers["content-length"]) > 100


async def test_a_client_may_use_only_its_grants(store: Store) -> None:
    """unauthorized_client, also where the stored registration is older than this deployment's rules."""
    application = Application(lambda: service(store))
    async with running(application):
        status, _, body = await ask(application, "/tenant/token", body=BODY.replace(b"=own", b"=idle"))

    assert (400, "unauthorized_client") == (status, json.loads(body)["error"])


async def test_without_the_store_the_answer_is_503(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody passes because a database is down."""
    broken = await open_store(f"sqlite:///{tmp_path}/other.sqlite")
    await broken.close()
    application = Application(lambda: service(broken))
    async with running(application):
        status, _, body = await ask(application, "/tenant/token", body=BODY)

    assert (503, "temporarily_unavailable") == (status, json.loads(body)["error"])


async def test_a_defect_is_a_server_error_with_an_id(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """The peer learns nothing else; the log has the traceback under that id."""
    application = Application(lambda: service(store, policy=None))
    async with running(application):
        with caplog.at_level(logging.ERROR):
            status, _, body = await ask(application, "/tenant/token", body=BODY)

    answer = json.loads(body)
    assert (500, "server_error") == (status, answer["error"])
    assert {"error", "request_id"} == set(answer)
    assert answer["request_id"] in caplog.text


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ConfigurationError("the sentence"), "the sentence"),
        (PermissionError(13, "Permission denied"), "PermissionError: [Errno 13] Permission denied"),
    ],
    ids=["foreseen", "not foreseen"],
)
async def test_a_start_that_fails_says_so(error: Exception, message: str) -> None:
    """The server above prints the sentence and stops, whatever it was: no port opens before nobody."""

    @contextlib.asynccontextmanager
    async def failing() -> AsyncIterator[Service]:
        raise error
        yield  # type: ignore[unreachable]

    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        sent.append(message)

    await Application(failing)({"type": "lifespan"}, receive, send)

    assert [{"type": "lifespan.startup.failed", "message": message}] == sent


async def test_websockets_are_refused(store: Store) -> None:
    """There is nothing here to talk to."""
    sent: list[Any] = []

    async def receive() -> Any:
        raise AssertionError("nothing is read")

    async def send(message: Any) -> None:
        sent.append(message)

    await Application(lambda: service(store))({"type": "websocket"}, receive, send)

    assert ["websocket.close"] == [each["type"] for each in sent]


async def test_requested_binding_leaves_others_unbound_and_never_silently(store: Store) -> None:
    """With `bind = requested` a client without the flag gets an unbound token: that is what it registered (R20)."""
    application = Application(lambda: service(store, bind=Bind.REQUESTED))
    async with running(application):
        _, _, body = await ask(application, "/tenant/token", body=BODY)

    claims = json.loads(base64.urlsafe_b64decode(json.loads(body)["access_token"].split(".")[1] + "=="))
    assert "cnf" not in claims


class Between:
    """`inner`, of which some things go otherwise."""

    def __init__(self, inner: Any, **otherwise: Any) -> None:
        self._inner = inner
        self.__dict__.update(otherwise)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


async def revoked(grants: Grants) -> None:
    assert await grants.revoke("g", now=time.time())


async def used(grants: Grants) -> None:
    assert await grants.rotate(digest_of("cbrt_x"), "y", now=time.time(), grace=10) is Rotation.REPLACED


@pytest.mark.parametrize("faster", [revoked, used])
async def test_a_refresh_that_another_process_overtakes(
    store: Store, faster: Callable[[Grants], Awaitable[Any]]
) -> None:
    """What the store says in the end counts: no token is given under a grant that was revoked meanwhile, or for a
    refresh token that somebody used meanwhile."""
    now = time.time()
    metadata = {"token_endpoint_auth_method": "none", "grant_types": ["refresh_token"], "scope": "read"}
    await store.clients.add(ClientRecord(client_id="app", metadata=metadata))
    public = AuthenticatedClient(read_client("app", metadata), None, None, NothingProven())
    grant = Grant(
        client_id=ClientId("app"), subject="alice", audience=("https://api.example",), scope=Scope(frozenset({"read"}))
    )
    granted = refresh_token.first(grant, public, None, always_rotates=False)
    record = GrantRecord(
        grant_id="g", client_id="app", content=refresh_token.write(granted), seed="s", created_at=now, ends_at=now + 60
    )
    await store.grants.open(record, digest_of("cbrt_x"), now=now)

    async def rotate(*arguments: Any, **options: Any) -> Rotation:
        await faster(store.grants)
        return await store.grants.rotate(*arguments, **options)

    between: Any = Between(store, grants=Between(store.grants, rotate=rotate))
    application = Application(lambda: service(between, bind=Bind.REQUESTED))
    async with running(application):
        body = b"grant_type=refresh_token&client_id=app&refresh_token=cbrt_x"
        status, _, answer = await ask(application, "/tenant/token", body=body)
    assert (400, "invalid_grant") == (status, json.loads(answer)["error"])
    found = await store.grants.find(digest_of("cbrt_x"), now=now)
    assert found is not None
    assert not found.grant.valid
