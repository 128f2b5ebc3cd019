"""`certbound.client.requests`: a session of requests that calls one API with bound tokens, against the real server."""

import gzip
import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

import certbound.client.requests
from certbound.client import ApiUnsafe, ClientError, IdentityUnusable, TokenRefused, Transport
from certbound.client.requests import BoundAdapter
from certbound.core.certificate import read_certificate
from certbound.core.jwks import make_jwks
from certbound.resource import PRINCIPAL
from certbound.testing.deployment import AuthorizationServer, ProtectedApi, RegisteredClient
from certbound.tls import peer_certificate
from client.served import Answer, Served, served

Open = Callable[..., requests.Session]


class Api:
    """Says who called, and what came; keeps the tokens and the thumbprints of connections that were let in."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, str]] = []
        self.headers: list[dict[bytes, bytes]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        headers = dict(scope["headers"])
        peer = peer_certificate(scope)
        assert peer is not None
        self.asked.append((headers[b"authorization"], peer.leaf.thumbprint))
        self.headers.append(headers)
        said = {"who": scope["state"][PRINCIPAL].client_id, "body": body.decode(), "method": scope["method"]}
        answer = [
            (b"content-type", b"application/json"),
            (b"set-cookie", b"a=1; Secure"),
            (b"set-cookie", b"b=2; Secure"),
        ]
        status = 200
        if scope["path"] == "/away":
            status, location = 302, dict(scope["headers"])[b"x-to"]
            answer.append((b"location", location))
        if scope["path"] == "/short":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"99")]})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
            raise RuntimeError("no more")
        await send({"type": "http.response.start", "status": status, "headers": answer})
        await send({"type": "http.response.body", "body": json.dumps(said).encode()})


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
def open_session(api: ProtectedApi, client: RegisteredClient) -> Iterator[Open]:
    opened = []

    def open_one(**changes: Any) -> requests.Session:
        given: dict[str, Any] = {
            "certificate": client.certificate.certificate, "key": client.certificate.key, "resource": api.resource,
            "api": api.url, "ca": api.ca, **changes,
        }  # fmt: skip
        session = certbound.client.requests.open(client.server.issuer, client.client_id, **given)
        opened.append(session)
        return session

    yield open_one
    for each in opened:
        each.close()


def adapter_of(session: requests.Session) -> BoundAdapter:
    found = session.get_adapter("https://api.example")
    assert isinstance(found, BoundAdapter)
    return found


def test_two_lines_are_enough(open_session: Open, api: ProtectedApi, client: RegisteredClient, app: Api) -> None:
    """One token for both requests, over the connection of its certificate; cookies and bodies work."""
    session = open_session()
    first = session.get(api.url + "/")
    second = session.post(api.url + "/x", json={"amount": 1})
    assert (first.status_code, first.json()["who"]) == (200, client.client_id)
    assert json.loads(second.json()["body"]) == {"amount": 1}
    assert second.headers["content-type"] == "application/json"
    assert dict(session.cookies) == {"a": "1", "b": "2"}
    assert app.headers[1][b"cookie"] == b"a=1; b=2"
    assert b"cookie" not in app.headers[0]
    assert [app.asked[0]] * 2 == app.asked
    assert app.asked[0][1] == client.certificate.thumbprint


def test_the_session_never_sees_the_token(open_session: Open, api: ProtectedApi, app: Api) -> None:
    """Neither in the request that it kept, nor in a repr."""
    session = open_session()
    response = session.get(api.url + "/", headers={"Authorization": "Basic eDp5"})
    token = app.asked[0][0].decode()
    assert token.startswith("Bearer ")
    assert response.request.headers["Authorization"] == "Basic eDp5"
    assert token.removeprefix("Bearer ") not in repr([response, session, adapter_of(session), response.__dict__])


def test_a_refused_token_is_replaced_once(
    open_session: Open, api: ProtectedApi, client: RegisteredClient, app: Api
) -> None:
    """After a 401 `invalid_token` the request goes out again with a new one, if its body can."""
    session = open_session()
    session.get(api.url + "/")
    client.server.revoke(app.asked[0][0].decode().removeprefix("Bearer "))
    again = session.post(api.url + "/", data=b"twice")
    assert (again.status_code, again.json()["body"]) == (200, "twice")
    assert app.asked[1][0] != app.asked[0][0]


def test_a_body_that_is_used_up_is_not_sent_again(
    open_session: Open, api: ProtectedApi, client: RegisteredClient, app: Api
) -> None:
    """The 401 is answered; the next request has a new token."""
    session = open_session()
    session.get(api.url + "/")
    client.server.revoke(app.asked[0][0].decode().removeprefix("Bearer "))
    assert session.post(api.url + "/", data=iter([b"on", b"ce"])).status_code == 401
    again = session.post(api.url + "/", data=iter([b"on", b"ce"]))
    assert (again.status_code, again.json()["body"]) == (200, "once")


def test_a_file_is_sent_whole(open_session: Open, api: ProtectedApi, tmp_path: Path) -> None:
    """Longer than a chunk, with its length."""
    (tmp_path / "long").write_bytes(b"x" * 200_000)
    with (tmp_path / "long").open("rb") as file:
        assert open_session().put(api.url + "/", data=file).json()["body"] == "x" * 200_000


def test_a_renewed_certificate_is_another_connection(
    authorization_server: AuthorizationServer, api: ProtectedApi, app: Api
) -> None:
    """From then on there is a new token over a new connection: none is paired with another's certificate."""
    old, new = authorization_server.certificate(), authorization_server.certificate()
    keys = make_jwks(read_certificate(each.issued.der) for each in (old, new))
    client = authorization_server.register(old, scope="read", jwks=keys)
    source = Switch(old.identity)
    adapter = BoundAdapter(
        Transport(source, ca=api.ca), client.server.issuer, client.client_id, resource=api.resource, api=api.url
    )
    with requests.Session() as session:
        session.trust_env = False
        session.mount(api.url, adapter)
        for identity in (old, old, new, new):
            source.now = identity.identity if source.now.thumbprint != identity.thumbprint else source.now
            assert session.get(api.url + "/").status_code == 200
    assert [thumbprint for _, thumbprint in app.asked] == [each.thumbprint for each in (old, old, new, new)]
    assert len({token for token, _ in app.asked}) == 2


class Switch:
    """An identity that a test renews."""

    def __init__(self, now: Any) -> None:
        self.now = now

    def current(self) -> Any:
        return self.now


def test_two_sessions_are_two_identities(
    open_session: Open, api: ProtectedApi, client: RegisteredClient, app: Api
) -> None:
    """In one process, to one host, in turns: each request has its own session's certificate (psf/requests#6726)."""
    other = client.server.register(client.server.certificate(), scope="read")
    first = open_session()
    second = certbound.client.requests.open(
        other.server.issuer, other.client_id, certificate=other.certificate.certificate, key=other.certificate.key,
        resource=api.resource, api=api.url, ca=api.ca,
    )  # fmt: skip
    with second:
        said = [each.get(api.url + "/").json()["who"] for each in (first, second, first, second)]
    assert said == [client.client_id, other.client_id] * 2
    thumbprints = [client.certificate.thumbprint, other.certificate.thumbprint]
    assert [thumbprint for _, thumbprint in app.asked] == thumbprints * 2


def test_many_threads_ask_for_one_token(open_session: Open, api: ProtectedApi, app: Api) -> None:
    """On a cold session."""
    session = open_session()
    start = threading.Barrier(12)

    def call(_: int) -> int:
        start.wait(20)
        return session.get(api.url + "/").status_code

    with ThreadPoolExecutor(12) as pool:
        assert set(pool.map(call, range(12))) == {200}
    assert len({token for token, _ in app.asked}) == 1


def test_a_streamed_answer_comes_as_it_is_read(open_session: Open, api: ProtectedApi, app: Api) -> None:
    """And the connection serves the next request thereafter."""
    session = open_session()
    for _ in range(2):
        with session.get(api.url + "/", stream=True) as response:
            assert json.loads(b"".join(response.iter_content(7)))["method"] == "GET"
    assert len(app.asked) == 2


@pytest.mark.parametrize(
    "arguments",
    [{"cert": "other.pem"}, {"verify": False}, {"verify": "other.pem"}, {"proxies": {"https": "http://localhost:1"}}],
    ids=["cert", "unverified", "another-ca", "proxy"],
)
def test_what_would_change_tls_is_refused(
    open_session: Open, api: ProtectedApi, app: Api, arguments: dict[str, Any]
) -> None:
    """It is not ignored, as httpx did with `cert` (encode/httpx#3718); nothing is sent."""
    with pytest.raises(ClientError, match=r"not used here|no proxy"):
        open_session().get(api.url + "/", **arguments)
    assert app.asked == []


def test_nothing_goes_elsewhere(open_session: Open, api: ProtectedApi, app: Api, tmp_path: Path) -> None:
    """Neither by a URL of another host, nor by a redirect, nor in the clear."""
    session = open_session()
    with served(tmp_path) as elsewhere:
        with pytest.raises(ApiUnsafe):
            session.get(elsewhere.url + "/")
        with pytest.raises(ApiUnsafe):
            session.get(api.url + "/away", headers={"x-to": elsewhere.url + "/"})
        assert elsewhere.asked == []
    with pytest.raises(requests.exceptions.InvalidSchema):
        session.get(api.url.replace("https:", "http:"))


def test_a_redirect_beyond_does_not_carry_the_token(open_session: Open, api: ProtectedApi, tmp_path: Path) -> None:
    """Even where somebody mounted an ordinary adapter for the rest of the world."""
    session = open_session()
    with served(tmp_path) as elsewhere:
        elsewhere.answer("/", "hello")
        session.mount(elsewhere.url, Recording(elsewhere))
        answer = session.get(api.url + "/away", headers={"x-to": elsewhere.url + "/"})
        assert answer.json() == "hello"
        assert "authorization" not in answer.request.headers
        assert elsewhere.asked == [("/", b"", None)]


class Recording(requests.adapters.HTTPAdapter):
    """What anybody mounts, who believes that server."""

    def __init__(self, server: Served) -> None:
        super().__init__()
        self._server = server

    def send(self, request: Any, *arguments: Any, **options: Any) -> requests.Response:
        return super().send(request, *arguments, **{**options, "verify": str(self._server.ca)})


def test_half_an_answer_is_none(open_session: Open, api: ProtectedApi) -> None:
    """A server that closes in the middle is an error of requests, whether the answer is streamed or not."""
    session = open_session()
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        session.get(api.url + "/short")
    response = session.get(api.url + "/short", stream=True)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        list(response.iter_content(2))
    assert session.get(api.url + "/").status_code == 200
    # Nothing is held by what failed, so the pool of an identity of before would be closed.
    assert adapter_of(session)._http._transport.pools._newest.users == 0  # type: ignore[attr-defined]


def test_what_callers_of_requests_catch(open_session: Open, client: RegisteredClient, tmp_path: Path) -> None:
    """A server that is gone, or silent, is an error of requests; compressed answers are read."""
    with served(tmp_path) as other:
        ca = tmp_path / "both.pem"
        ca.write_bytes(other.ca.read_bytes() + client.server.ca.read_bytes())
        session = open_session(api=other.url, ca=ca)
        other.answers["/zip"] = Answer(200, gzip.compress(b'"zipped"'), ((b"content-encoding", b"gzip"),))
        assert session.get(other.url + "/zip").json() == "zipped"
        assert session.head(other.url + "/zip").content == b""
    with pytest.raises(requests.exceptions.ConnectionError):
        session.get(other.url + "/", timeout=5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://localhost:{silent.getsockname()[1]}/"
        with pytest.raises(requests.exceptions.ConnectTimeout):
            open_session(api=url, ca=ca, binding="any").get(url, timeout=(0.2, 5))


def test_what_is_refused_is_said_by_our_own_errors(open_session: Open, api: ProtectedApi) -> None:
    """A token that is not issued, files that are no identity, an API that nobody named."""
    with pytest.raises(TokenRefused, match="invalid_scope"):
        open_session(scope="write").get(api.url + "/")
    with pytest.raises(IdentityUnusable):
        open_session(certificate=api.ca)
    with pytest.raises(ClientError, match="say which API"):
        open_session(resource="urn:api", api=None)
