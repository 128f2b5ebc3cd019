"""The guard in front of an ASGI application: no request passes without a token bound to its certificate.

    app = Guard(app, ProtectedResource("https://api.example", issuer="https://as.example"))

Rule 1: http and websocket alike; lifespan passes, and what is none of these does not.
Rule 2: the certificate is what our listener says, or what `ForwardedCertificates` in front of the guard says of a
declared proxy.
Rule 3: only the metadata of the API is told to whoever brings no token.
"""

from collections.abc import Mapping, Set
from typing import Any

from certbound.core.errors import InsufficientScope, ProtectedResourceError
from certbound.resource.metadata import describe, metadata_path, metadata_url
from certbound.resource.protected import Asked, ProtectedResource
from certbound.resource.refusal import Answer, refuse
from certbound.resource.verify import Principal
from certbound.tls import ASGIApplication, peer_certificate
from certbound.tls.ports import Message, Receive, Scope, Send

PRINCIPAL = "certbound.principal"
"""Where the guarded application finds the `Principal`: `scope["state"][PRINCIPAL]`."""


class Guard:
    """ASGI middleware that lets a request pass only with a valid token, bound to the certificate on its connection."""

    def __init__(self, app: ASGIApplication, api: ProtectedResource, *, scopes: Set[str] = frozenset()) -> None:
        """Every one of `scopes` is needed, beside those that the whole API needs."""
        self._app = app
        self._api = api
        self._scopes = frozenset(scopes)
        self._metadata_url = metadata_url(api)
        self._metadata_path = metadata_path(api)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] not in {"http", "websocket"}:
            raise ValueError(f"the guard cannot refuse in a scope of type {scope['type']!r}, so it admits none")
        elif scope["path"] == self._metadata_path and scope.get("method") in {"GET", "HEAD"}:
            await _respond(_described(self._api), scope, receive, send)
        else:
            await self._guarded(scope, receive, send)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            principal = await self._api.admit(asked_of(scope, self._scopes))
        except ProtectedResourceError as refusal:
            await _respond(refuse(refusal, metadata_url=self._metadata_url), scope, receive, send)
            return
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        state = {**scope.get("state", {}), PRINCIPAL: principal}
        try:
            await self._app({**scope, "state": state}, receive, sending)
        except InsufficientScope as refusal:  # raised by `principal.require` in the application
            if begun:
                raise
            await _respond(refuse(refusal, metadata_url=self._metadata_url), scope, receive, send)


def principal_of(scope: Mapping[str, Any]) -> Principal:
    """Who calls, as the guard in front of the application found.  `LookupError` where there is no guard."""
    found = scope.get("state", {}).get(PRINCIPAL)
    if isinstance(found, Principal):
        return found
    raise LookupError("no guard let this request pass; put certbound.resource.Guard in front of the application")


def asked_of(scope: Scope, scopes: Set[str] = frozenset()) -> Asked:
    """What of an ASGI request decides."""
    return Asked(
        authorization=[value for name, value in scope["headers"] if name.lower() == b"authorization"],
        peer=peer_certificate(scope),
        query=scope.get("query_string", b""),
        scopes=scopes,
    )


def _described(api: ProtectedResource) -> Answer:
    body = describe(api)
    return Answer(
        status=200, headers=(("content-type", "application/json"), ("content-length", str(len(body)))), body=body
    )


async def _respond(answer: Answer, scope: Scope, receive: Receive, send: Send) -> None:
    """A websocket is refused before it is accepted: with the status where the server can say it, else by closing."""
    kind = "http.response"
    if scope["type"] == "websocket":
        await receive()
        if "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": 1008})
            return
        kind = "websocket.http.response"
    headers = [(name.encode("ascii"), value.encode("ascii")) for name, value in answer.headers]
    await send({"type": f"{kind}.start", "status": answer.status, "headers": headers})
    body = b"" if scope.get("method") == "HEAD" else answer.body
    await send({"type": f"{kind}.body", "body": body})
