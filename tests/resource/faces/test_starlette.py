"""The guard in Starlette: on our own listener, and behind a proxy under uvicorn and hypercorn."""

import asyncio
from contextlib import AbstractContextManager
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response

from certbound.core.errors import ConfigurationError
from certbound.resource import FixedKeys, Guard, ProtectedResource
from certbound.resource.starlette import metadata_route, principal, requires
from certbound.tls.facts import EXTENSION, ConnectionFacts
from certificates import NOW
from faces.asgi_servers import Proxied, Websockets, behind_hypercorn, behind_uvicorn
from faces.listener import on_listener
from faces.suite import Cast, Face, GuardedAPI, refused
from issuing import AUDIENCE, ISSUER, KEYS, PEER, token


class Starlettes(Websockets, GuardedAPI):
    """What the application has beside the suite."""

    @pytest.mark.parametrize("path", ["/class", "/method", "/below/write", "/below/late"])
    def test_classes_methods_and_mounted_applications_ask_as_well(self, face: Face, path: str) -> None:
        """The same 403, with the same challenge."""
        assert 200 == face.ask(face.cast.tokens["good"], face.cast.owner, path).status
        answer = face.ask(face.cast.tokens["reading"], face.cast.owner, path)
        refused(answer, 403, "insufficient_scope", 'scope="write"')

    def test_what_does_not_exist_is_not_shown_to_strangers(self, face: Face) -> None:
        """404 is for whoever may pass."""
        assert 401 == face.ask(None, face.cast.owner, "/nowhere").status
        assert 404 == face.ask(face.cast.tokens["good"], face.cast.owner, "/nowhere").status


class TestOnOurListener(Starlettes):
    """TLS ends here."""

    title = "Starlette (certbound run)"
    source = "certbound's listener"

    @staticmethod
    def serve(cast: Cast) -> AbstractContextManager[Face]:
        return on_listener(cast, "starlette_app:app", "--websockets")


@pytest.mark.wide
class TestUnderUvicorn(Proxied, Starlettes):
    """Behind a proxy."""

    title = "Starlette (uvicorn)"
    source = "a declared proxy"

    @staticmethod
    def serve(cast: Cast) -> AbstractContextManager[Face]:
        return behind_uvicorn(cast, "starlette_app:app")


class TestUnderHypercorn(Proxied, Starlettes):
    """Behind a proxy."""

    title = "Starlette (hypercorn)"
    source = "a declared proxy"

    @staticmethod
    def serve(cast: Cast) -> AbstractContextManager[Face]:
        return behind_hypercorn(cast, "starlette_app:app")


def api(resource: str = AUDIENCE) -> ProtectedResource:
    return ProtectedResource(resource, audience=AUDIENCE, issuer=ISSUER, keys=FixedKeys(KEYS), clock=lambda: NOW)


def asked(app: Any, path: str = "/", **facts: Any) -> list[dict[str, Any]]:
    """What the owner of a good token is answered by `app`, message by message."""
    connection = ConnectionFacts(
        peer_certificate=PEER, tls_version="", cipher="", group=None, asks_for_certificate=True
    )
    scope = {
        "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
        "headers": [(b"authorization", f"Bearer {token()}".encode())], "extensions": {EXTENSION: connection}, **facts,
    }  # fmt: skip
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return sent


def test_an_application_keeps_the_headers_that_the_guard_saw() -> None:
    """uvicorn puts trailers into its own list, while the application runs."""
    headers = [(b"authorization", f"Bearer {token()}".encode())]
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers.append((b"client-cert", b"late"))
        seen.extend(scope["headers"])

    asked(Guard(app, api()), headers=headers)

    assert [b"authorization"] == [name for name, _ in seen]


def test_what_browsers_ask_before_needs_no_token() -> None:
    """Where CORSMiddleware stands in front of the guard: it was added later."""
    app = Starlette()
    app.add_middleware(Guard, api=api())
    app.add_middleware(CORSMiddleware, allow_origins=["https://app.example"], allow_headers=["authorization"])
    headers = [
        (b"origin", b"https://app.example"), (b"access-control-request-method", b"GET"),
        (b"access-control-request-headers", b"authorization"),
    ]  # fmt: skip

    assert 200 == asked(app, method="OPTIONS", headers=headers)[0]["status"]
    assert 401 == asked(app, headers=headers)[0]["status"]


def test_a_state_that_a_server_shares_gets_no_principal() -> None:
    """Of one request another would know who called."""
    shared: dict[str, Any] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert "a" == principal(Request(scope)).client_id

    asked(Guard(app, api()), state=shared)

    assert {} == shared


@pytest.mark.parametrize(
    ("path", "root", "status"),
    [
        ("/.well-known/oauth-protected-resource/v1", "", 200),
        ("/v1/.well-known/oauth-protected-resource/v1", "/v1", 200),
        ("/.well-known/oauth-protected-resource/v1", "/v1", 200),
        ("/v1/.well-known/oauth-protected-resource/v1", "", 404),
        ("/v2/.well-known/oauth-protected-resource/v1", "/v1", 404),
        ("/.well-known/oauth-protected-resource", "/v1", 404),
    ],
)
def test_the_metadata_is_found_below_a_root_path(path: str, root: str, status: int) -> None:
    """Whether the server puts `root_path` before the path, as uvicorn does, or not."""
    app = Guard(Starlette(), api("https://api.example/v1"))

    assert status == asked(app, path, root_path=root)[0]["status"]


def test_the_metadata_has_a_route_where_the_guard_is_inside_a_mount() -> None:
    """At the root of the host, for everybody."""
    app = Starlette(routes=[metadata_route(api("https://api.example/v1"))])

    start, body = asked(app, "/.well-known/oauth-protected-resource/v1", headers=[])

    assert (200, True) == (start["status"], b'"resource":"https://api.example/v1"' in body["body"])
    with pytest.raises(ConfigurationError, match="no https URL"):
        metadata_route(api("urn:example:api"))


def test_requires_lets_nothing_pass_that_no_guard_saw() -> None:
    """`LookupError`, which servers answer with 500, and its message names the next step."""

    @requires("read")
    async def endpoint(request: Request) -> Response:
        return Response()

    with pytest.raises(LookupError, match=r"certbound\.resource\.Guard"):
        asyncio.run(endpoint(Request({"type": "http", "headers": []})))
    with pytest.raises(LookupError, match="let it take one"):
        asyncio.run(endpoint("no request"))


@pytest.mark.parametrize("scopes", [(), ('"',), ("read write",), ("",)])
def test_requires_names_scopes(scopes: tuple[str, ...]) -> None:
    """When the module is imported, not when the first request comes."""
    with pytest.raises(ConfigurationError):
        requires(*scopes)


def test_a_text_is_no_set_of_scopes() -> None:
    """It would be asked for letter by letter."""
    with pytest.raises(ConfigurationError, match="set of words"):
        Guard(Starlette(), api(), scopes="read")


def test_requires_knows_what_it_decorates() -> None:
    """A class of another kind would not be asked."""
    with pytest.raises(ConfigurationError, match="neither"):
        requires("read")(type("Other", (), {}))
