"""What those who run a server ask it, on a listener of its own: `/metrics`, `/readyz`, `/healthz`.

Rule 1: nothing here changes anything, and no answer names a client, a certificate, a path or an address.
Rule 2: `/healthz` says that the process answers, `/readyz` that it can do its work; what restarts a process that is
not ready would restart all of them when a database is down.
"""

from collections.abc import Callable
from dataclasses import dataclass

from certbound.server.call import Reply, json_reply
from certbound.server.metrics import Numbers
from certbound.server.vitals import Vitals, hindrances
from certbound.tls.ports import Receive, Scope, Send

NO_CACHE = ((b"cache-control", b"no-store"),)


@dataclass(frozen=True, slots=True)
class Admin:
    """An ASGI application; `vitals` are those of the server in this process, None while it does not serve."""

    vitals: Callable[[], Vitals | None]
    numbers: Numbers

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        if scope["type"] == "http":
            reply = await self._answer(scope)
            headers = [*reply.headers, (b"content-length", b"%d" % len(reply.body))]
            await send({"type": "http.response.start", "status": reply.status, "headers": headers})
            await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else reply.body})
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})

    async def _answer(self, scope: Scope) -> Reply:
        path = scope["path"]
        if path not in {"/metrics", "/readyz", "/healthz"}:
            return json_reply(404, {"error": "there is /metrics, /readyz and /healthz"}, NO_CACHE)
        if scope["method"] not in {"GET", "HEAD"}:
            return json_reply(405, {"error": "this is only read"}, (*NO_CACHE, (b"allow", b"GET")))
        if path == "/metrics":
            accept = b",".join(value for name, value in scope["headers"] if name == b"accept").decode("latin-1")
            body, content_type = self.numbers.exposition(accept)
            return Reply(200, body, ((b"content-type", content_type.encode("latin-1")), *NO_CACHE))
        if path == "/healthz":
            return json_reply(200, {"status": "ok"}, NO_CACHE)
        vitals = self.vitals()
        reasons = ["the server is starting or stopping"] if vitals is None else await hindrances(vitals)
        return json_reply(503 if reasons else 200, {"ready": not reasons, "reasons": reasons}, NO_CACHE)
