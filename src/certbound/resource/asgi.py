"""The guard in front of an ASGI application: no request passes without a token bound to its certificate.

    app = Guard(app, ProtectedResource("https://api.example", issuer="https://as.example"))

Rule 1: http and websocket alike; lifespan passes, and what is none of these does not.
Rule 2: the certificate is what our listener says, or what `ForwardedCertificates` in front of the guard says of a
declared proxy.
Rule 3: only the metadata of the API is told to whoever brings no token.
Rule 4: the application gets a header list of its own: what a server appends to its later (trailers) is seen by nobody.
Rule 5: `principal.require` in the application becomes the 403, or the end of a websocket that was accepted.
Rule 6: an answer that says nothing about caching is `private`.
"""

from collections.abc import Mapping, Set
from typing import Any

from certbound.core.errors import InsufficientScope, ProtectedResourceError
from certbound.resource._order import Sourceless, require_source_outside
from certbound.resource._scopes import require_words
from certbound.resource.caching import kept_private
from certbound.resource.metadata import CACHE_CONTROL, describe, metadata_path, metadata_url
from certbound.resource.protected import Asked, ProtectedResource
from certbound.resource.refusal import Answer, refuse
from certbound.resource.verify import Principal
from certbound.tls import ASGIApplication, peer_certificate
from certbound.tls.facts import DECIDED, connection_facts
from certbound.tls.ports import Message, Receive, Scope, Send

PRINCIPAL = "certbound.principal"
"""Where the guarded application finds the `Principal`: `scope["state"][PRINCIPAL]`."""

METADATA = "certbound.metadata"
"""Where stands which metadata a refusal of the application names: `scope[METADATA]`."""


class Guard:
    """ASGI middleware that lets a request pass only with a valid token, bound to the certificate on its connection."""

    def __init__(self, app: ASGIApplication, api: ProtectedResource, *, scopes: Set[str] = frozenset()) -> None:
        """Every one of `scopes` is needed, beside those of the whole API.  `ConfigurationError` if one is none, or if
        `app` is what says which certificate a client holds: that belongs in front of the guard."""
        require_source_outside(app)
        self._app = app
        self._api = api
        self._scopes = require_words(scopes)
        self._metadata_url = metadata_url(api)
        self._metadata_path = metadata_path(api)
        self._sourceless = Sourceless()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] not in {"http", "websocket"}:
            raise ValueError(f"the guard cannot refuse in a scope of type {scope['type']!r}, so it admits none")
        elif scope.get("method") in {"GET", "HEAD"} and self._metadata_path in _paths(scope):
            await respond(described(self._api), scope, receive, send)
        else:
            await self._guarded(scope, receive, send)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            principal = await self._api.admit(asked_of(scope, self._scopes))
        except ProtectedResourceError as refusal:
            self._sourceless.tell(connection_facts(scope), refusal)
            await respond(refuse(refusal, metadata_url=self._metadata_url), scope, receive, send)
            return
        begun = ""

        async def sending(message: Message) -> None:
            nonlocal begun
            begun = message["type"]
            await send(kept_private(message))

        guarded = admitted(scope, principal, self._metadata_url)
        try:
            await self._app(guarded, receive, sending)
        except InsufficientScope as refusal:  # raised by `principal.require` in the application
            if not begun:
                await respond(refuse(refusal, metadata_url=self._metadata_url), scope, connected, send)
            elif begun in {"websocket.accept", "websocket.send"}:
                refuse(refusal)
                await send(CLOSE)
            else:
                raise


def admitted(scope: Scope, principal: Principal, metadata_url: str | None) -> Scope:
    """The scope that a guarded application gets."""
    state = {**scope.get("state", {}), PRINCIPAL: principal}  # some servers have one for all requests
    return {**scope, METADATA: metadata_url, DECIDED: True, "state": state, "headers": list(scope["headers"])}


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


def described(api: ProtectedResource) -> Answer:
    """The metadata of the API, as an answer."""
    body = describe(api)
    headers = (
        ("content-type", "application/json"), ("content-length", str(len(body))), ("cache-control", CACHE_CONTROL),
    )  # fmt: skip
    return Answer(status=200, headers=headers, body=body)


async def respond(answer: Answer, scope: Scope, receive: Receive, send: Send) -> None:
    """A websocket is refused before it is accepted: with the status where the server can say it, else by closing."""
    kind = "http.response"
    if scope["type"] == "websocket":
        await receive()
        if "websocket.http.response" not in scope.get("extensions", {}):
            await send(CLOSE)
            return
        kind = "websocket.http.response"
    headers = [(name.encode("ascii"), value.encode("ascii")) for name, value in answer.headers]
    await send({"type": f"{kind}.start", "status": answer.status, "headers": headers})
    body = b"" if scope.get("method") == "HEAD" else answer.body
    await send({"type": f"{kind}.body", "body": body})


async def connected() -> Message:
    """In place of `receive` for `respond`, where the application may have taken the first message already."""
    return {"type": "websocket.connect"}


def _paths(scope: Scope) -> tuple[str, ...]:
    """The path as the server has it, and as it is below `root_path`, which servers put before it or leave out."""
    path, root = scope["path"], scope.get("root_path", "").rstrip("/")
    return (path, path[len(root) :]) if root and path.startswith(f"{root}/") else (path,)


CLOSE = {"type": "websocket.close", "code": 1008}
"""1008 is a violated policy (RFC 6455 section 7.4.1)."""
