"""The API of the suite in Starlette: functions, a class, a method, an application mounted below, and websockets."""

from typing import Any

from deployed import api, asgi_certificates
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from certbound.resource.starlette import Guard, answer_refusals, principal, requires


async def who(request: Request) -> Response:
    return JSONResponse({"client_id": principal(request).client_id})


async def late(request: Request) -> Response:
    principal(request).require("write")
    return await who(request)


def headers(request: Request) -> Response:
    return JSONResponse([name for name, _ in request.headers.items()])


async def after_body(request: Request) -> Response:
    """What the application sees once the body, and whatever comes behind it, was read."""
    await request.body()
    return JSONResponse([f"{name.decode()}: {value.decode()}" for name, value in request.scope["headers"]])


@requires("write")
class Writing(HTTPEndpoint):
    async def get(self, request: Request) -> Response:
        return await who(request)


class Method(HTTPEndpoint):
    @requires("write")
    def get(self, request: Request) -> Response:
        return JSONResponse({"client_id": principal(request).client_id})


async def tell(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_json({"client_id": principal(websocket).client_id})
    await websocket.close()


async def talk(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(principal(websocket).client_id)
    await websocket.receive_text()
    principal(websocket).require("write")
    await websocket.send_text("written")
    await websocket.close()


@requires("write")
class Talking(WebSocketEndpoint):
    encoding = "text"

    async def on_receive(self, websocket: WebSocket, data: Any) -> None:
        await websocket.send_text(data)


below = Starlette(routes=[Route("/late", late), Route("/write", requires("write")(who)), WebSocketRoute("/talk", talk)])
answer_refusals(below)

app: Any = Starlette(
    routes=[
        Route("/", who),
        Route("/write", requires("write")(who)),
        Route("/class", Writing),
        Route("/method", Method),
        Route("/late", late),
        Route("/headers", headers),
        Route("/after-body", after_body, methods=["POST"]),
        WebSocketRoute("/ws", tell),
        WebSocketRoute("/talk", talk),
        WebSocketRoute("/talking", Talking),
        Mount("/below", below),
    ]
)
app.add_middleware(Guard, api=api())
app = asgi_certificates(app)
