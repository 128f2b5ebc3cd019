"""The API of the suite as plain ASGI."""

import json
from typing import Any

from deployed import api, asgi_certificates

from certbound.resource import Guard, principal_of


async def who(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        return
    said: Any = {"client_id": principal_of(scope).client_id}
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": said["client_id"]})
        await send({"type": "websocket.close"})
        return
    if scope["path"] == "/late":
        principal_of(scope).require("write")
    if scope["path"] == "/headers":
        said = [name.decode("latin-1") for name, _ in scope["headers"]]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": json.dumps(said).encode()})


async def route(scope: Any, receive: Any, send: Any) -> None:
    await (writing if scope.get("path") == "/write" else who)(scope, receive, send)


writing = Guard(who, api(), scopes={"write"})
app = asgi_certificates(Guard(route, api()))
