"""`certbound.client.aiohttp`: a session of aiohttp that calls one API with bound tokens, against the real server."""

import asyncio
import json
import ssl
import tempfile
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import certbound.client.aiohttp
from certbound.client import (
    ApiUnsafe,
    AsyncTransport,
    CertificateBoundAuth,
    ClientError,
    Identity,
    IdentityUnusable,
    TokenRefused,
)
from certbound.client.aiohttp import BoundMiddleware, BoundRequest, context_of
from certbound.core.certificate import read_certificate
from certbound.core.jwks import make_jwks
from certbound.resource import PRINCIPAL
from certbound.testing.deployment import AuthorizationServer, ProtectedApi, RegisteredClient
from certbound.tls import peer_certificate
from certbound.trust.authority import self_signed
from client.served import served

Open = Callable[..., AbstractAsyncContextManager[aiohttp.ClientSession]]


class Api:
    """Says who called, and what came; keeps the tokens and the thumbprints of connections that were let in."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, str]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] not in {"http", "websocket"}:
            return
        headers, peer = dict(scope["headers"]), peer_certificate(scope)
        assert peer is not None
        self.asked.append((headers[b"authorization"], peer.leaf.thumbprint))
        who = scope["state"][PRINCIPAL].client_id
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await receive()
            await send({"type": "websocket.send", "text": who})
            await receive()
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        away = [(b"location", headers[b"x-to"])] if scope["path"] == "/away" else []
        await send({"type": "http.response.start", "status": 302 if away else 200, "headers": [
            (b"content-type", b"application/json"), *away,
        ]})  # fmt: skip
        await send({"type": "http.response.body", "body": json.dumps({"who": who, "body": body.decode()}).encode()})


@pytest.fixture
def app() -> Api:
    return Api()


@pytest.fixture
def api(protected_api: Callable[..., ProtectedApi], app: Api) -> ProtectedApi:
    return protected_api(app, scopes={"read"})


@pytest.fixture
def client(authorization_server: AuthorizationServer) -> RegisteredClient:
    return authorization_server.register(authorization_server.certificate(), scope="read")


@pytest.fixture
def open_session(api: ProtectedApi, client: RegisteredClient) -> Open:
    def open_one(**changes: Any) -> AbstractAsyncContextManager[aiohttp.ClientSession]:
        given: dict[str, Any] = {
            "certificate": client.certificate.certificate, "key": client.certificate.key, "resource": api.resource,
            "api": api.url, "ca": api.ca, **changes,
        }  # fmt: skip
        return certbound.client.aiohttp.open(client.server.issuer, client.client_id, **given)

    return open_one


async def test_two_lines_are_enough(open_session: Open, client: RegisteredClient, app: Api) -> None:
    """One token for both requests, over the connection of its certificate; URLs are relative to the API."""
    async with open_session() as session:
        async with session.get("/") as first:
            assert (first.status, (await first.json())["who"]) == (200, client.client_id)
        async with session.post("/x", json={"amount": 1}) as second:
            assert json.loads((await second.json())["body"]) == {"amount": 1}
    assert [app.asked[0]] * 2 == app.asked
    assert app.asked[0][1] == client.certificate.thumbprint


async def test_a_websocket_is_a_request(open_session: Open, client: RegisteredClient, api: ProtectedApi) -> None:
    """Its handshake has a token."""
    async with (
        open_session() as session,
        session.ws_connect(api.url.replace("https:", "wss:") + "/") as socket,
    ):
        await socket.send_str("who am I?")
        assert await socket.receive_str(timeout=20) == client.client_id


async def test_a_refused_token_is_replaced_once(open_session: Open, client: RegisteredClient, app: Api) -> None:
    """After a 401 `invalid_token` the request goes out again with a new one, if its body can."""
    async with open_session() as session:
        await revoke_the_first(session, client, app)
        async with session.post("/", data=b"twice") as again:
            assert (again.status, (await again.json())["body"]) == (200, "twice")
    assert app.asked[1][0] != app.asked[0][0]


async def test_a_body_that_is_used_up_is_not_sent_again(open_session: Open, client: RegisteredClient, app: Api) -> None:
    """The 401 is answered; the next request has a new token."""
    async with open_session() as session:
        await revoke_the_first(session, client, app)
        async with session.post("/", data=once()) as refused:
            assert refused.status == 401
        async with session.post("/", data=once()) as again:
            assert (again.status, (await again.json())["body"]) == (200, "once")


async def revoke_the_first(session: aiohttp.ClientSession, client: RegisteredClient, app: Api) -> None:
    """The session has a token, which is over."""
    async with session.get("/"):
        token = app.asked[0][0].decode().removeprefix("Bearer ")
    await asyncio.to_thread(client.server.revoke, token)


async def once() -> Any:
    """A body that cannot be sent again."""
    yield b"on"
    yield b"ce"


async def test_a_renewed_certificate_is_another_connection(
    authorization_server: AuthorizationServer, api: ProtectedApi, app: Api
) -> None:
    """From then on there is a new token over a new connection: none is paired with another's certificate."""
    old, new = authorization_server.certificate(), authorization_server.certificate()
    keys = make_jwks(read_certificate(each.issued.der) for each in (old, new))
    client = authorization_server.register(old, scope="read", jwks=keys)
    identities = {each.thumbprint: each.identity for each in (old, new)}
    source = Switch(identities[old.thumbprint])
    transport = AsyncTransport(source, ca=api.ca)
    auth = CertificateBoundAuth(
        transport, client.server.issuer, client.client_id, resource=api.resource, api=api.url
    )  # fmt: skip
    middleware = BoundMiddleware(auth, ca=api.ca)
    async with aiohttp.ClientSession(request_class=BoundRequest, middlewares=[middleware]) as session:
        for each in (old, old, new, new):
            source.now = identities[each.thumbprint]
            async with session.get(api.url + "/") as response:
                assert response.status == 200
    await transport.aclose()
    assert [thumbprint for _, thumbprint in app.asked] == [each.thumbprint for each in (old, old, new, new)]
    assert len({token for token, _ in app.asked}) == 2


class Switch:
    """An identity that a test renews."""

    def __init__(self, now: Identity) -> None:
        self.now = now

    def current(self) -> Identity:
        return self.now


async def test_two_identities_share_a_connector_and_no_connection(
    authorization_server: AuthorizationServer, api: ProtectedApi, app: Api
) -> None:
    """To one host, in turns: each request has its own session's certificate."""
    clients = [authorization_server.register(authorization_server.certificate(), scope="read") for _ in range(2)]
    transports = [AsyncTransport(each.certificate.identity, ca=api.ca) for each in clients]
    async with aiohttp.TCPConnector() as connector:
        sessions = [
            aiohttp.ClientSession(
                connector=connector, connector_owner=False, request_class=BoundRequest,
                middlewares=[BoundMiddleware(CertificateBoundAuth(
                    transport, each.server.issuer, each.client_id, resource=api.resource, api=api.url
                ), ca=api.ca)],
            )
            for each, transport in zip(clients, transports, strict=True)
        ]  # fmt: skip
        for session in sessions * 2:
            async with session.get(api.url + "/") as response:
                assert response.status == 200
        for session, transport in zip(sessions, transports, strict=True):
            await session.close()
            await transport.aclose()
    assert [thumbprint for _, thumbprint in app.asked] == [each.certificate.thumbprint for each in clients] * 2


async def test_many_tasks_ask_for_one_token(open_session: Open, app: Api) -> None:
    """On a cold session."""

    async def call(session: aiohttp.ClientSession) -> int:
        async with session.get("/") as response:
            return response.status

    async with open_session() as session:
        assert set(await asyncio.gather(*(call(session) for _ in range(50)))) == {200}
    assert len({token for token, _ in app.asked}) == 1


@pytest.mark.parametrize(
    "arguments",
    [{"ssl": False}, {"ssl": ssl.create_default_context()}, {"proxy": "http://localhost:1"}, {"server_hostname": "x"}],
    ids=["unverified", "another-context", "proxy", "another-name"],
)
async def test_what_would_change_tls_is_refused(open_session: Open, app: Api, arguments: dict[str, Any]) -> None:
    """It is not ignored; nothing is sent."""
    async with open_session() as session:
        with pytest.raises(ClientError, match=r"not used here|no proxy"):
            await session.get("/", **arguments)
    assert app.asked == []


async def test_the_parts_belong_together(open_session: Open, api: ProtectedApi, app: Api) -> None:
    """A session with one of the two alone sends nothing, neither a token nor without one."""
    async with open_session() as session:
        with pytest.raises(ClientError, match="middleware"):
            await session.get("/", middlewares=[])
        middleware = session._middlewares[-1]
    async with aiohttp.ClientSession(middlewares=[middleware]) as plain:
        with pytest.raises(ClientError, match="request_class"):
            await plain.get(api.url + "/")
    assert app.asked == []


async def test_nothing_goes_elsewhere(open_session: Open, api: ProtectedApi, tmp_path: Path) -> None:
    """Neither by a URL of another host, nor by a redirect, nor in the clear."""
    with served(tmp_path) as elsewhere:
        async with open_session() as session:
            for url, headers in (
                (elsewhere.url + "/", {}),
                (api.url + "/away", {"x-to": elsewhere.url + "/"}),
                (api.url.replace("https:", "http:") + "/", {}),
            ):
                with pytest.raises(ApiUnsafe):
                    await session.get(url, headers=headers)
        assert elsewhere.asked == []


async def test_a_server_of_another_ca_is_refused(open_session: Open, api: ProtectedApi, tmp_path: Path) -> None:
    """By the system's OpenSSL, too: the API that shows a certificate of somebody else gets no token."""
    with served(tmp_path) as other:
        async with open_session(api=other.url, binding="any") as session:
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await session.get("/")
        assert other.asked == []


async def test_what_is_refused_is_said_by_our_own_errors(open_session: Open, api: ProtectedApi) -> None:
    """A token that is not issued, files that are no identity."""
    async with open_session(scope="write") as session:
        with pytest.raises(TokenRefused, match="invalid_scope"):
            await session.get("/")
    with pytest.raises(IdentityUnusable):
        async with open_session(certificate=api.ca):
            pass


def test_a_key_from_memory_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the `ssl` module reads it, it is encrypted, and its owner's alone; thereafter nothing is left."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    seen: list[tuple[bytes, int, int]] = []
    load = ssl.SSLContext.load_cert_chain

    def watched(self: ssl.SSLContext, file: Path, **options: Any) -> None:
        seen.append((file.read_bytes(), file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777))
        load(self, file, **options)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", watched)
    issued = self_signed("CN=memory")
    context_of(Identity(issued.chain_pem, issued.key_pem))
    (written, mode, folder), *more = seen
    assert (more, mode, folder) == ([], 0o600, 0o700)
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in written
    assert issued.key_pem not in written
    assert list(tmp_path.iterdir()) == []


def test_an_identity_that_this_openssl_cannot_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is said, with what can use it; nothing is left of it either."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    issued = self_signed("CN=post-quantum", key="ML-DSA-44")
    identity = Identity(issued.chain_pem, issued.key_pem)
    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", refuse)
    with pytest.raises(IdentityUnusable, match="open_async"):
        context_of(identity)
    assert list(tmp_path.iterdir()) == []


def refuse(*_: Any, **__: Any) -> None:
    """As an OpenSSL of before 3.5 does with this key; a later one takes it."""
    raise ssl.SSLError("unknown")
