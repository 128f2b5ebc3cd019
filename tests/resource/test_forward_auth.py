"""certbound.resource.forward_auth: what a proxy is told, over real connections to our own listener."""

import contextlib
import re
from collections.abc import AsyncIterator, Mapping, Set
from dataclasses import dataclass
from posixpath import normpath
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from certbound import tls
from certbound.core.certificate import PeerCertificate
from certbound.core.errors import ConfigurationError
from certbound.resource import FixedKeys, ProtectedResource
from certbound.resource.forward_auth import IDENTITY_HEADERS, ForwardAuth, health
from certbound.resource.routes import is_plain
from certbound.testing.forwarded import forwarded_headers
from certbound.tls import PlainPort
from certbound.tls.forwarded.asgi import ForwardedCertificates
from certificates import NOW
from issuing import AUDIENCE, ISSUER, KEYS, PEER, THIEF, token

SECRET = "0123456789abcdef" * 2
ROUTES: Mapping[str, Set[str]] = {
    "/accounts": {"read"}, "/accounts/open": frozenset(), "/pay/": {"pay"}, "/caf%C3%A9": frozenset(),
    "/accounts/all": {"pay"}, "/accounts/caf%C3%A9": {"pay"}, "/B": frozenset(),
}  # fmt: skip

SERVED = (
    "/accounts", "/accounts/", "/accounts/7?x=%2e%2e", "/accounts/open/door", "/caf%C3%A9/x", "/accounts/a%20b",
    "/accounts/7/ALL", "/accounts/Allx", "/B/c", "/accounts/caf%C3%A8",
)  # fmt: skip
REFUSED = (
    "/pay", "/pay/", "/pay/now", "/", "", "/other", "/accountsx", "/Accounts", "accounts", "/accounts/open/../x",
    "/accounts/open/%2e%2e/x", "/accounts/open/..", "/accounts//x", "//accounts", "/accounts/open/..;/x",
    "/accounts;x", "/accounts/%2Fx", "/accounts/%5cx", "/accounts\\x", "/%61ccounts", "/accounts/%252e",
    "/accounts/%00", "/accounts/%0a", "/accounts/%", "/accounts/./x", "https://api.example/accounts", "*",
    "/accounts/é", "/accounts/ALL", "/accounts/All/7", "/accounts/caf%c3%a9", "/accounts/Open", "/b",
)  # fmt: skip


@dataclass
class Asking:
    """Asks as nginx does."""

    client: httpx.AsyncClient

    async def __call__(
        self, uri: str | None = "/accounts", peer: PeerCertificate | None = PEER, *, path: str = "/.guard",
        bearer: str | None = None, secret: str = SECRET, more: Mapping[str, Any] | None = None, method: str = "GET",
        **claims: Any,
    ) -> httpx.Response:  # fmt: skip
        headers = {
            **forwarded_headers("nginx", peer.leaf if peer else None), "certbound-proxy-secret": secret,
            **({} if uri is None else {"x-original-uri": uri}),
            "authorization": f"Bearer {token(**claims) if bearer is None else bearer}", **(more or {}),
        }  # fmt: skip
        return await self.client.request(method, path, headers=headers)


@contextlib.asynccontextmanager
async def guarding(routes: Mapping[str, Set[str]] | None = ROUTES, *, at_once: bool = True) -> AsyncIterator[Asking]:
    api = ProtectedResource(AUDIENCE, issuer=ISSUER, keys=FixedKeys(KEYS), clock=lambda: NOW)
    app = ForwardedCertificates(
        ForwardAuth(api, routes=routes), contract="nginx", networks=["127.0.0.1"], secrets=[SECRET]
    )

    async def by_asgi(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    running = await tls.start([PlainPort(host="127.0.0.1", port=0, app=app if at_once else by_asgi)])
    host, port = running.addresses[0]
    try:
        async with httpx.AsyncClient(base_url=f"http://{host}:{port}", trust_env=False) as client:
            yield Asking(client)
    finally:
        await running.stop(grace=1)


async def test_who_calls_stands_in_five_headers() -> None:
    """200, no body, and the identity that the token and the certificate prove."""
    async with guarding() as ask:
        answer = await ask()
    assert (200, b"") == (answer.status_code, answer.content)
    assert [answer.headers[each.decode()] for each in IDENTITY_HEADERS] == [
        "a", "a", "read write", PEER.leaf.thumbprint, ISSUER,
    ]  # fmt: skip


async def test_what_is_said_at_once_is_what_is_said_by_asgi() -> None:
    """Status, headers and body, of each kind of answer, and when the token was seen before as well."""
    asked: list[dict[str, Any]] = [
        {}, {"bearer": token(scope="")}, {"peer": THIEF}, {"peer": None}, {"bearer": "a,b"}, {"secret": "f" * 32},
        {"uri": "/pay"}, {"uri": "/accounts/open/../x"}, {"uri": None}, {"bearer": token(exp=1)}, {"method": "HEAD"},
        {"uri": None, "path": "/.well-known/oauth-protected-resource"}, {"more": {"x-ssl-client-verify": "no"}},
    ]  # fmt: skip
    good = token()
    async with guarding() as at_once, guarding(at_once=False) as by_asgi:
        for each in asked:
            how: dict[str, Any] = {"bearer": good, **each}
            first, second, third = await at_once(**how), await at_once(**how), await by_asgi(**how)
            assert _said(first) == _said(second) == _said(third), each


def _said(answer: httpx.Response) -> tuple[Any, ...]:
    """All of it but what is of one answer alone."""
    headers = {name: value for name, value in answer.headers.items() if name != "date"}
    return answer.status_code, headers, re.sub(rb'"request_id":"\w+"', b"", answer.content)


async def test_every_identity_header_stands_on_every_yes() -> None:
    """An empty one replaces what a client wrote: a token without scopes does not let its bearer choose some."""
    async with guarding() as ask:
        answer = await ask("/accounts/open", scope=...)
    assert 200 == answer.status_code
    assert "" == answer.headers["certbound-scope"]


async def test_a_stolen_token_is_refused_and_says_how_to_do_better() -> None:
    """With another certificate and with none: 401 with the challenge; the owner's request right after is let pass."""
    async with guarding() as ask:
        for peer in (THIEF, None):
            answer = await ask(peer=peer)
            assert 401 == answer.status_code
            assert 'error="invalid_token"' in answer.headers["www-authenticate"]
            assert "certbound-subject" not in answer.headers
        assert 200 == (await ask()).status_code


async def test_whoever_is_no_proxy_learns_nothing() -> None:
    """Without the secret, and with another: 403, whatever the token is."""
    async with guarding() as ask:
        for secret in ("x" * 32, ""):
            answer = await ask(secret=secret)
            assert 403 == answer.status_code
            assert "certbound-subject" not in answer.headers


async def test_a_path_needs_the_scopes_of_its_longest_route() -> None:
    """What is below none is refused, and so is what two servers could read in two ways."""
    async with guarding() as ask:
        for uri in (*SERVED, *REFUSED):
            answer = await ask(None, more={"x-original-uri": uri.encode("latin-1")})
            assert (200 if uri in SERVED else 403) == answer.status_code, uri


async def test_a_missing_scope_is_named() -> None:
    async with guarding() as ask:
        assert 'scope="pay"' in (await ask("/pay/now")).headers["www-authenticate"]
        assert 200 == (await ask("/pay/now", scope="pay")).status_code


async def test_without_routes_every_path_is_the_same() -> None:
    async with guarding(None) as ask:
        assert 200 == (await ask("/a//b/../c;d")).status_code


async def test_the_proxy_says_the_path_once() -> None:
    """Never, and twice: 403, with routes and without."""
    for routes in (ROUTES, None):
        async with guarding(routes) as ask:
            assert 403 == (await ask(None)).status_code
            twice = [("x-original-uri", "/accounts/open"), ("x-original-uri", "/accounts")]
            answer = await ask.client.get("/", headers=[
                *forwarded_headers("nginx", PEER.leaf).items(), ("certbound-proxy-secret", SECRET), *twice,
                ("authorization", f"Bearer {token()}"),
            ])  # fmt: skip
            assert 403 == answer.status_code


async def test_an_identity_that_cannot_stand_in_a_header_is_refused() -> None:
    """It is never trimmed, and makes no header of its own: 401."""
    async with guarding() as ask:
        for value in ("a\r\nx: y", "ž", " a", "a ", "a\x00", "\x7f", "a\tb"):
            changes: Any
            for changes in ({"sub": value}, {"client_id": value}):
                answer = await ask(**changes)
                assert (401, None) == (answer.status_code, answer.headers.get("certbound-subject")), changes


async def test_two_tokens_are_refused_with_a_status_that_proxies_pass_on() -> None:
    """401 where a guard in the API would say 400, of which nginx makes a 500."""
    async with guarding() as ask:
        answer = await ask("/accounts?access_token=x")
    assert 401 == answer.status_code
    assert 'error="invalid_request"' in answer.headers["www-authenticate"]


async def test_the_metadata_is_told_to_everybody_and_is_no_answer_to_a_question() -> None:
    """RFC 9728: at its well-known path; a question about that path is a question."""
    path = "/.well-known/oauth-protected-resource"
    async with guarding() as ask:
        told = await ask(None, path=path, secret="")
        assert (AUDIENCE, "public, max-age=300") == (told.json()["resource"], told.headers["cache-control"])
        assert 403 == (await ask(path, path=path)).status_code
        assert 403 == (await ask(None, path=path, method="POST")).status_code


@pytest.mark.parametrize("path", ["accounts", "/a//b", "/a/../b", "/a;b", "/%61", "/a b", "/a?b"])
def test_a_route_that_no_request_can_have_stops_the_start(path: str) -> None:
    api = ProtectedResource(AUDIENCE, issuer=ISSUER, keys=FixedKeys(KEYS))
    with pytest.raises(ConfigurationError, match="routes: "):
        ForwardAuth(api, routes={path: set()})


def test_one_route_has_one_row() -> None:
    api = ProtectedResource(AUDIENCE, issuer=ISSUER, keys=FixedKeys(KEYS))
    for one, other in (("/a", "/a/"), ("/a", "/A"), ("GET /a", "GET /a/"), ("GET /a", "PUT /A"), ("/a", "GET /A")):
        with pytest.raises(ConfigurationError, match="the same path"):
            ForwardAuth(api, routes={one: {"x"}, other: set()})


def test_a_text_is_no_set_of_scopes() -> None:
    """It would be asked for letter by letter."""
    api = ProtectedResource(AUDIENCE, issuer=ISSUER, keys=FixedKeys(KEYS))
    with pytest.raises(ConfigurationError, match="set of words"):
        ForwardAuth(api, routes={"/a": "read"})  # type: ignore[dict-item]


METHODS: Mapping[str, Set[str]] = {
    "/a": {"read"}, "DELETE /a": {"pay"}, "GET /a/b": frozenset(), "HEAD /a/c": {"pay"}, "GET /a/c": frozenset(),
    "M-SEARCH /d": frozenset(),
}  # fmt: skip


CLOSED = (
    ("DELETE", "/a"), ("DELETE", "/a/x?y"), ("POST", "/a/b"), ("DELETE", "/a/b"), ("HEAD", "/a/c"), ("GET", "/d"),
    ("GET", "/"), ("delete", "/a"), ("Delete", "/a"), ("get", "/a"), ("", "/a"), ("DEL\tETE", "/a"),
    ("DELETE,GET", "/a"), ("DELETE;", "/a"), ("\xe9", "/a"), ("-GET", "/a"),
)  # fmt: skip
OPEN = (
    ("GET", "/a"), ("POST", "/a/x"), ("GET", "/a/b"), ("HEAD", "/a/b/x"), ("GET", "/a/c"), ("M-SEARCH", "/d"),
    ("A" * 500, "/a"),
)  # fmt: skip


async def test_what_no_route_names_is_closed() -> None:
    """By path and method; a spelling that a server could take for another method is none."""
    async with guarding(METHODS) as ask:
        for method, uri in (*OPEN, *CLOSED):
            answer = await ask(uri, more={"x-original-method": method.encode("latin-1")})
            assert (200 if (method, uri) in OPEN else 403) == answer.status_code, (method, uri)


async def test_the_proxy_says_the_method_once_where_it_decides() -> None:
    """Never, and twice: 403; where no route names a method, it is not read."""
    async with guarding(METHODS) as ask:
        assert 403 == (await ask("/a")).status_code
        answer = await ask.client.get("/", headers=[
            *forwarded_headers("nginx", PEER.leaf).items(), ("certbound-proxy-secret", SECRET),
            ("x-original-uri", "/a"), ("x-original-method", "GET"), ("x-original-method", "GET"),
            ("authorization", f"Bearer {token()}"),
        ])  # fmt: skip
        assert 403 == answer.status_code
    async with guarding() as ask:
        assert 200 == (await ask(more={"x-original-method": "get"})).status_code


@pytest.mark.parametrize("route", ["get /a", "GET  /a", "GET", " /a", "GET a", "GET\t/a", "GET,PUT /a", "* /a"])
def test_a_method_that_no_request_can_have_stops_the_start(route: str) -> None:
    api = ProtectedResource(AUDIENCE, issuer=ISSUER, keys=FixedKeys(KEYS))
    with pytest.raises(ConfigurationError, match="routes: "):
        ForwardAuth(api, routes={route: set()})


@given(st.text(st.characters(max_codepoint=255), max_size=30).map(lambda text: "/" + text))
@example("/a/%2E%2e")
@example("/a%3Bb")
def test_a_plain_path_means_the_same_when_it_is_cleaned(path: str) -> None:
    """Decoded once or twice, with dots and parameters taken away, it is what it was."""
    if is_plain(path):
        decoded = unquote(path, "latin-1")
        assert normpath(decoded).rstrip("/") == decoded.rstrip("/")
        assert unquote(decoded, "latin-1") == decoded
        assert not {*decoded} & {";", "\\", "\0", "\n"}


async def test_health_is_told_to_those_who_run_it() -> None:
    running = await tls.start([PlainPort(host="127.0.0.1", port=0, app=health)])
    host, port = running.addresses[0]
    async with httpx.AsyncClient(trust_env=False) as client:
        assert 200 == (await client.get(f"http://{host}:{port}/healthz")).status_code
        assert 404 == (await client.get(f"http://{host}:{port}/")).status_code
    await running.stop(grace=1)
