"""certbound.resource.caching: what one caller is told is not kept for others, in every face."""

import asyncio
from typing import Annotated, Any

import pytest
from django.conf import settings

if not settings.configured:
    settings.configure(ALLOWED_HOSTS=["*"], SECRET_KEY="of no use")

from django.http import HttpResponse
from django.test import RequestFactory, override_settings
from fastapi import FastAPI, HTTPException, Security
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from certbound.resource import FixedKeys, Guard, ProtectedResource
from certbound.resource import django as face_of_django
from certbound.resource import wsgi as face_of_wsgi
from certbound.resource.fastapi import BoundToken, Principal, protect
from certbound.tls.facts import EXTENSION, ConnectionFacts
from certificates import NOW
from issuing import AUDIENCE, ISSUER, KEYS, PEER, token

METADATA = "/.well-known/oauth-protected-resource"
FACTS = ConnectionFacts(peer_certificate=PEER, tls_version="", cipher="", group=None, asks_for_certificate=True)
GOOD: dict[str, Any] = {"resource": AUDIENCE, "issuer": ISSUER, "keys": FixedKeys(KEYS), "clock": lambda: NOW}
SAID = [({}, "private"), ({"Cache-Control": "public"}, "public"), ({"cache-control": "no-cache"}, "no-cache"),
        ({"Expires": "0"}, "private")]  # fmt: skip


def api() -> ProtectedResource:
    return ProtectedResource(**GOOD)


def asked(app: Any, path: str = "/", *, held: str | None = "", **facts: Any) -> tuple[int, list[str], bytes]:
    """Status, what is said about caching, and body, for the owner of a token."""
    authorization = [] if held is None else [(b"authorization", f"Bearer {held or token()}".encode())]
    scope = {
        "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
        "headers": authorization, "server": ("api", 443), "scheme": "https", "extensions": {EXTENSION: FACTS}, **facts,
    }  # fmt: skip
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"} if scope["type"] == "websocket" else {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    caching = [value.decode() for name, value in sent[0]["headers"] if name.lower() == b"cache-control"]
    return sent[0]["status"], caching, sent[1].get("body", b"")


@pytest.mark.parametrize(("said", "then"), SAID)
def test_the_application_has_the_last_word(said: dict[str, str], then: str) -> None:
    """In ASGI, WSGI and Django: `private` is said where nothing is."""
    headers = [(name.encode(), value.encode()) for name, value in said.items()]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    def wsgi_app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", list(said.items()))
        return []

    assert [then] == asked(Guard(app, api()))[1]
    assert headers == [(name.encode(), value.encode()) for name, value in said.items()]  # it is the application's own
    found: list[dict[str, str]] = []
    environ = {"REQUEST_METHOD": "GET", "HTTP_AUTHORIZATION": f"Bearer {token()}", EXTENSION: FACTS}
    face_of_wsgi.Guard(wsgi_app, api())(environ, lambda status, headers, exc_info=None: found.append(dict(headers)))
    assert [then] == [value for name, value in found[0].items() if name.lower() == "cache-control"]
    with override_settings(CERTBOUND=GOOD):
        request = RequestFactory().get("/", headers={"authorization": f"Bearer {token()}"}, **{EXTENSION: FACTS})
        middleware = face_of_django.Guard(lambda request: HttpResponse(headers=said))
        view: Any = face_of_django.requires()(lambda request: HttpResponse(headers=said))
        for answer in (middleware(request), view(request)):
            assert isinstance(answer, HttpResponse)
            assert then == answer["cache-control"]


def test_an_application_that_names_no_headers_at_all() -> None:
    """ASGI lets it; a response that ends a websocket before it began is a response."""
    for kind in ("http", "websocket"):
        start = {"http": "http.response", "websocket": "websocket.http.response"}[kind]

        async def app(scope: Any, receive: Any, send: Any, start: str = start) -> None:
            await send({"type": f"{start}.start", "status": 404})
            await send({"type": f"{start}.body", "body": b""})

        assert (404, ["private"]) == asked(Guard(app, api()), type=kind)[:2]


def fastapi() -> FastAPI:
    app, bound = FastAPI(), BoundToken(api())
    WhoCalls = Annotated[Principal, Security(bound)]  # noqa: N806  a type

    @app.get("/made")
    async def made(caller: WhoCalls) -> str:
        return "x"

    @app.get("/own")
    async def own(caller: WhoCalls) -> Response:
        return Response("x")

    @app.get("/public")
    async def public(caller: WhoCalls) -> Response:
        return Response("x", headers={"cache-control": "public"})

    @app.get("/missing")
    async def missing(caller: WhoCalls) -> Response:
        raise HTTPException(404)

    @app.get("/open")
    async def for_all() -> str:
        return "x"

    @app.api_route("/{rest:path}")
    async def everything(rest: str) -> str:
        return "caught"

    protect(app, bound)
    return app


def test_what_a_dependency_guards_is_private_and_what_is_open_is_not() -> None:
    """Also where the route makes its own response, which FastAPI hands on as it is."""
    app = fastapi()
    assert ["private"] == asked(app, "/made")[1] == asked(app, "/own")[1] == asked(app, "/missing")[1]
    assert ["public"] == asked(app, "/public")[1]
    assert [] == asked(app, "/open")[1]
    assert (401, ["no-store"]) == asked(app, "/made", held=None)[:2]


def test_no_route_hides_the_metadata() -> None:
    """One that catches everything, in FastAPI before `protect`, and a mount at the root in Starlette."""
    status, caching, body = asked(fastapi(), METADATA, held=None)
    assert (200, ["public, max-age=300"], True) == (status, caching, AUDIENCE.encode() in body)
    assert b'"caught"' == asked(fastapi(), "/else", held=None)[2]

    async def catch(request: Any) -> PlainTextResponse:
        return PlainTextResponse("caught")

    app = Starlette(routes=[Route("/{rest:path}", catch), Mount("/", Starlette(routes=[Route("/{rest:path}", catch)]))])
    app.add_middleware(Guard, api=api())
    assert AUDIENCE.encode() in asked(app, METADATA, held=None)[2]
    assert b"caught" == asked(app, "/else")[2]
