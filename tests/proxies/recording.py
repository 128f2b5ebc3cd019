"""An application for servers of others: writes what it saw into the file `RECORD`, a line of JSON each time.

`python recording.py PORT` serves it on our own listener.
"""

import asyncio
import json
import os
import sys
from typing import Any

from certbound.tls import PlainPort, connection_facts, start
from certbound.tls.facts import EXTENSION, ConnectionFacts
from certbound.tls.forwarded import ForwardedCertificates
from certbound.tls.forwarded.wsgi import ForwardedCertificates as ForwardedWSGI

CONTRACT, RECORD, SECRET = (os.environ.get(name, "") for name in ("CONTRACT", "RECORD", "SECRET"))
SAID = b'{"seen": true}'


def record(facts: ConnectionFacts | None, method: str, path: str, body: bytes) -> None:
    peer = facts.peer_certificate if facts else None
    line = {
        "thumbprint": peer.leaf.thumbprint if peer else None,
        "believed": facts is not None and facts.forwarded_by is not None,
        "method": method,
        "path": path,
        "body": body[:2000].decode("latin-1"),
    }
    with open(RECORD, "a") as file:  # noqa: PTH123
        file.write(json.dumps(line) + "\n")


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return
    body = b""
    while scope["type"] == "http":
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    record(connection_facts(scope), scope.get("method", ""), scope["path"], body)
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(SAID))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": SAID})


def wsgi(environ: Any, start_response: Any) -> Any:
    stream = environ["wsgi.input"]
    length = environ.get("CONTENT_LENGTH")
    body = stream.read(int(length)) if length else stream.read() if environ.get("wsgi.input_terminated") else b""
    record(environ.get(EXTENSION), environ["REQUEST_METHOD"], environ["PATH_INFO"], body)
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(SAID)))])
    return [SAID]


if CONTRACT:
    app = ForwardedCertificates(asgi, contract=CONTRACT, networks=["127.0.0.1"], secrets=[SECRET])
    wsgi_app = ForwardedWSGI(wsgi, contract=CONTRACT, networks=["127.0.0.1"], secrets=[SECRET])


async def _serve() -> None:
    await start([PlainPort(host="127.0.0.1", port=int(sys.argv[1]), app=app)])
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve())
