"""The API of the suite in FastAPI: every route has the dependency."""

from typing import Annotated, Any

from deployed import api, asgi_certificates
from fastapi import Depends, FastAPI, Request, Security, WebSocket

from certbound.resource.fastapi import Principal, protect

app: Any = FastAPI()
bound = protect(app, api())
Caller = Annotated[Principal, Security(bound)]
Writer = Annotated[Principal, Security(bound, scopes=["write"])]


@app.get("/")
async def who(principal: Caller) -> dict[str, str]:
    return {"client_id": principal.client_id}


@app.get("/write")
def write(principal: Writer) -> dict[str, str]:
    return {"client_id": principal.client_id}


@app.get("/late")
def late(principal: Caller) -> dict[str, str]:
    principal.require("write")
    return {"client_id": principal.client_id}


@app.get("/headers", dependencies=[Depends(bound)])
async def headers(request: Request) -> list[str]:
    return [name for name, _ in request.headers.items()]


@app.post("/after-body", dependencies=[Depends(bound)])
async def after_body(request: Request) -> list[str]:
    """What the application sees once the body, and whatever comes behind it, was read."""
    await request.body()
    return [f"{name.decode()}: {value.decode()}" for name, value in request.scope["headers"]]


@app.websocket("/ws")
async def tell(websocket: WebSocket, principal: Caller) -> None:
    await websocket.accept()
    await websocket.send_json({"client_id": principal.client_id})
    await websocket.close()


@app.websocket("/talk")
async def talk(websocket: WebSocket, principal: Caller) -> None:
    await websocket.accept()
    await websocket.send_text(principal.client_id)
    await websocket.receive_text()
    principal.require("write")
    await websocket.send_text("written")
    await websocket.close()


@app.websocket("/talking")
async def talking(websocket: WebSocket, principal: Writer) -> None:
    await websocket.accept()
    await websocket.send_text(await websocket.receive_text())
    await websocket.close()


app = asgi_certificates(app)
