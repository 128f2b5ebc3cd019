"""The API that `dev` and `demo` protect: an ASGI application that knows nothing of tokens but who calls."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from certbound.resource import PRINCIPAL


async def sample_api(
    scope: MutableMapping[str, Any],
    _: Callable[[], Awaitable[MutableMapping[str, Any]]],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
) -> None:
    """`GET /` answers who called; the guard in front has seen to it that somebody did."""
    if scope["type"] != "http":
        return
    if scope["path"] != "/":
        await _answer(send, 404, {"error": "not_found", "error_description": "there is only / here"})
    elif scope["method"] != "GET":
        await _answer(send, 405, {"error": "method_not_allowed", "error_description": "this takes GET"})
    else:
        principal = scope["state"][PRINCIPAL]
        await _answer(send, 200, {
            "message": f"Hello, {principal.client_id}.",
            "client_id": principal.client_id,
            "scope": " ".join(sorted(principal.scope)),
            "certificate": principal.thumbprint,
        })  # fmt: skip


async def _answer(send: Callable[[MutableMapping[str, Any]], Awaitable[None]], status: int, document: Any) -> None:
    body = json.dumps(document).encode() + b"\n"
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
