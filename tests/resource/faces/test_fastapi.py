"""The guard in FastAPI: as a dependency of routes and websockets, on our listener and behind a proxy."""

import asyncio
from contextlib import AbstractContextManager
from typing import Annotated, Any, ClassVar

import pytest
from fastapi import APIRouter, FastAPI, Security, WebSocket
from openapi_spec_validator import validate

from certbound.core.errors import ConfigurationError
from certbound.resource import FixedKeys, ProtectedResource
from certbound.resource.fastapi import BoundToken, Guard, Principal, protect
from certificates import NOW
from faces.asgi_servers import Proxied, Websockets, behind_hypercorn, behind_uvicorn
from faces.listener import on_listener
from faces.suite import METADATA, Cast, Face, GuardedAPI
from issuing import AUDIENCE, ISSUER, KEYS


class FastAPIs(Websockets, GuardedAPI):
    """What a dependency does otherwise than what stands in front of everything."""

    cannot: ClassVar = {
        "a_refusal_of_head_has_no_body": "FastAPI answers HEAD with 405 before any dependency is asked",
        "nothing_but_the_metadata_is_open": "a dependency guards its route: paths without a route are 404 to everybody",
    }

    def test_a_refusal_of_head_has_no_body(self, face: Face) -> None:
        """Nobody is let in by HEAD: there is no such method."""
        answer = face.ask(face.cast.tokens["good"], face.cast.owner, method="HEAD")
        assert (405, b"") == (answer.status, answer.body)

    def test_nothing_but_the_metadata_is_open(self, face: Face) -> None:
        """What has no route is not there, with a token and without."""
        for path in (f"{METADATA}/x", f"/x/..{METADATA}", f"/{METADATA}", f"{METADATA};x"):
            assert 404 == face.ask(None, None, path).status, path
        assert 405 == face.ask(None, None, METADATA, method="POST", headers=[("content-length", "0")]).status

    def test_the_openapi_document_says_what_is_asked(self, face: Face) -> None:
        """The token and the certificate together, and the scopes of each route; it is valid OpenAPI 3.1."""
        document = face.ask(None, face.cast.owner, "/openapi.json").json
        validate(document)
        schemes = document["components"]["securitySchemes"]
        assert ("http", "bearer", "mutualTLS") == (
            schemes["boundToken"]["type"], schemes["boundToken"]["scheme"], schemes["mutualTLS"]["type"],
        )  # fmt: skip
        assert face.cast.world.issuer in schemes["boundToken"]["description"]
        assert [{"boundToken": ["write"], "mutualTLS": []}] == document["paths"]["/write"]["get"]["security"]
        assert METADATA not in document["paths"]


class TestOnOurListener(FastAPIs):
    """TLS ends here."""

    title = "FastAPI, dependency (certbound run)"
    source = "certbound's listener"

    @staticmethod
    def serve(cast: Cast) -> AbstractContextManager[Face]:
        return on_listener(cast, "fastapi_app:app", "--websockets")


@pytest.mark.wide
class TestUnderUvicorn(Proxied, FastAPIs):
    """Behind a proxy."""

    title = "FastAPI, dependency (uvicorn)"
    source = "a declared proxy"

    @staticmethod
    def serve(cast: Cast) -> AbstractContextManager[Face]:
        return behind_uvicorn(cast, "fastapi_app:app")


@pytest.mark.wide
class TestUnderHypercorn(Proxied, FastAPIs):
    """Behind a proxy."""

    title = "FastAPI, dependency (hypercorn)"
    source = "a declared proxy"

    @staticmethod
    def serve(cast: Cast) -> AbstractContextManager[Face]:
        return behind_hypercorn(cast, "fastapi_app:app")


def api(**facts: Any) -> ProtectedResource:
    return ProtectedResource(AUDIENCE, issuer=ISSUER, keys=FixedKeys(KEYS), clock=lambda: NOW, **facts)


def with_route(bound: BoundToken) -> FastAPI:
    app, router = FastAPI(), APIRouter()

    @router.get("/")
    async def read(principal: Annotated[Principal, Security(bound, scopes=["read"])]) -> str:
        return principal.client_id

    app.include_router(router)
    return app


def asked(app: Any, **facts: Any) -> Any:
    scope = {
        "type": "http", "method": "GET", "path": "/", "raw_path": b"/", "query_string": b"", "root_path": "",
        "headers": [], "server": ("api", 443), "scheme": "https", **facts,
    }  # fmt: skip
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return sent


def test_a_dependency_of_an_application_that_is_not_protected_admits_nobody() -> None:
    """And the error names the next step."""
    with pytest.raises(ConfigurationError, match=r"protect\(app, bound\)"):
        asked(with_route(BoundToken(api())))


def test_a_dependency_may_be_made_before_its_application() -> None:
    """For routers in modules of their own; several may be protected in one application."""
    bound = BoundToken(api())
    app = with_route(bound)

    assert bound is protect(app, bound)
    assert 401 == asked(app)[0]["status"]


def test_an_application_may_ask_on_every_route() -> None:
    """By its own dependencies; a websocket is a route."""
    bound = BoundToken(api())
    app = FastAPI(dependencies=[Security(bound)])

    @app.get("/")
    async def read() -> str:
        raise AssertionError

    @app.websocket("/ws")
    async def talk(websocket: WebSocket) -> None:
        raise AssertionError

    protect(app, bound)
    [start, _] = asked(app)
    [closed] = asked(app, type="websocket", path="/ws", raw_path=b"/ws")

    assert (401, "websocket.close", 1008) == (start["status"], closed["type"], closed["code"])


def test_the_middleware_guards_the_documentation_as_well() -> None:
    """And whatever else has a route."""
    app = FastAPI()
    app.add_middleware(Guard, api=api())

    assert 401 == asked(app)[0]["status"]


def test_the_document_shows_oauth_where_the_token_endpoint_is_told() -> None:
    """With every scope and what it means."""
    url, scopes = "https://as.example/token", {"read": "see accounts"}
    app = with_route(bound := BoundToken(api(), token_url=url, scopes=scopes))
    protect(app, bound)
    protect(app, bound)

    document = app.openapi()

    validate(document)
    flows = document["components"]["securitySchemes"]["boundToken"]["flows"]
    assert {"clientCredentials": {"scopes": scopes, "tokenUrl": url}} == flows
    assert [{"boundToken": ["read"], "mutualTLS": []}] == document["paths"]["/"]["get"]["security"]
    with pytest.raises(ConfigurationError, match="token_url"):
        BoundToken(api(), scopes=scopes)


def test_no_certificate_is_claimed_where_none_is_asked_for() -> None:
    """The document says what is done (8)."""
    app = with_route(bound := BoundToken(api(require_bound=False)))
    protect(app, bound)

    assert "mutualTLS" not in str(app.openapi())
