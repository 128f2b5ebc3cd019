"""The guard in front of an ASGI application: no request passes without a token bound to its certificate.

    app = Guard(app, issuer="https://as.example", audience="https://api.example")

Rule 1: http and websocket alike; lifespan passes, and what is none of these does not.
Rule 2: the token is in the Authorization header, once (RFC 6750 section 2.1); nowhere else is looked.
Rule 3: the certificate is what our TLS layer says; no header of the request is believed.
Rule 4: a token that says where its status stands is accepted only while it stands there that it was not revoked.
"""

import logging
import secrets
import ssl
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import httpx
import msgspec

from certbound.core.bearer import challenge, read_bearer
from certbound.core.errors import InvalidToken, ProtectedResourceError
from certbound.core.status import BadStatus, StatusReference
from certbound.core.tokens import Issuer
from certbound.resource.issuer import IssuerKeys, KeySource
from certbound.resource.status import IssuerStatuses, StatusSource
from certbound.resource.verify import ALGORITHMS, Policy, Principal, read_header, read_issuer, verify
from certbound.tls import ASGIApplication, peer_certificate
from certbound.tls.ports import Receive, Scope, Send

PRINCIPAL = "certbound.principal"
"""Where the guarded application finds the `Principal`: `scope["state"][PRINCIPAL]`."""

_log = logging.getLogger("certbound.resource")


class Guard:
    """ASGI middleware that lets a request pass only with a valid token, bound to the certificate on its connection."""

    def __init__(
        self,
        app: ASGIApplication,
        *,
        issuer: str,
        audience: str,
        scopes: frozenset[str] | set[str] = frozenset(),
        require_bound: bool = True,
        require_status: bool = False,
        algorithms: tuple[str, ...] = ALGORITHMS,
        keys: KeySource | None = None,
        statuses: StatusSource | None = None,
        issuer_ca: str | ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`issuer` and `audience` as tokens spell them; every one of `scopes` is needed.

        `issuer_ca` is a PEM file, or an SSL context, for an issuer whose server certificate the system's roots do not
        vouch for.  `require_bound=False` also lets unbound tokens pass; a bound one needs its certificate all the same.
        `require_status=True` refuses tokens that do not say where their status stands; of those that do, a revoked one
        is refused either way.  `keys` and `statuses` are fetched from the issuer where they are not given.
        `ConfigurationError` for what no guard can ask, such as an issuer that is no https URL.
        """
        self._app = app
        self._policies = {
            issuer: Policy(
                issuer=issuer, audience=audience, scopes=scopes, require_bound=require_bound,
                require_status=require_status, algorithms=algorithms,
            )
        }  # fmt: skip
        new_client = _new_client(issuer_ca)
        keys = keys or IssuerKeys(Issuer(issuer), new_client, time.monotonic)
        self._keys = {issuer: keys}
        self._statuses = {
            issuer: statuses or IssuerStatuses(
                Issuer(issuer), keys, new_client, time.monotonic, clock, algorithms=algorithms
            )
        }  # fmt: skip
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] not in {"http", "websocket"}:
            raise ValueError(f"the guard cannot refuse in a scope of type {scope['type']!r}, so it admits none")
        try:
            principal = await self._admit(scope)
        except ProtectedResourceError as refusal:
            await _refuse(refusal, scope, receive, send)
            return
        state = {**scope.get("state", {}), PRINCIPAL: principal}
        await self._app({**scope, "state": state}, receive, send)

    async def _admit(self, scope: Scope) -> Principal:
        # (1) One token, in its place.
        token = read_token(scope["headers"], scope.get("query_string", b""))
        # (2) Its issuer is one of ours, before anything is fetched for it.
        issuer = read_issuer(token)
        if issuer not in self._policies:
            raise InvalidToken(f"issued by {issuer!r}, who is not trusted here")
        policy = self._policies[issuer]
        # (3) Its header is that of an access token, before anything is fetched for its key.
        header = read_header(token, policy)
        keys = await self._keys[issuer].keys(header.kid)
        # (4) Everything else that the token says, the certificate on this connection among it.
        principal = verify(token, peer_certificate(scope), keys=keys, policy=policy, now=self._clock())
        # (5) It was not revoked; only a token that would pass may cause a look at where that stands.
        if principal.status is not None:
            await _require_valid(principal.status, self._statuses[issuer])
        return principal


def read_token(headers: Any, query: bytes = b"") -> str:
    """The access token in the headers of an ASGI scope; refusals are those of `core.bearer.read_bearer`."""
    return read_bearer([value for name, value in headers if name.lower() == b"authorization"], query)


async def _require_valid(reference: StatusReference, statuses: StatusSource) -> None:
    listed = await statuses.list_of(reference)
    try:
        valid = listed.is_valid(reference.index)
    except BadStatus as error:
        raise InvalidToken(str(error)) from error
    if not valid:
        raise InvalidToken(f"it was revoked: index {reference.index} of {reference.uri}")


def _new_client(ca: str | ssl.SSLContext | None) -> Callable[[], httpx.AsyncClient]:
    context = ssl.create_default_context(cafile=ca) if isinstance(ca, str) else ca or ssl.create_default_context()
    return partial(httpx.AsyncClient, verify=context, timeout=5, trust_env=False)


async def _refuse(refusal: ProtectedResourceError, scope: Scope, receive: Receive, send: Send) -> None:
    request_id = secrets.token_hex(8)
    _log.warning("request %s refused: %s: %s", request_id, refusal.error or "no token", refusal.reason)
    if scope["type"] == "websocket":
        await _refuse_websocket(refusal, scope, receive, send, request_id)
        return
    await _respond("http.response", refusal, send, request_id)


async def _refuse_websocket(
    refusal: ProtectedResourceError, scope: Scope, receive: Receive, send: Send, request_id: str
) -> None:
    """Before it is accepted; with the status where the server can say it, else with 403 as ASGI has it."""
    await receive()
    if "websocket.http.response" in scope.get("extensions", {}):
        await _respond("websocket.http.response", refusal, send, request_id)
    else:
        await send({"type": "websocket.close", "code": 1008})


async def _respond(kind: str, refusal: ProtectedResourceError, send: Send, request_id: str) -> None:
    document: Mapping[str, str] = {"request_id": request_id}
    if refusal.error:
        document = {"error": refusal.error, "error_description": refusal.description, "request_id": request_id}
    body = msgspec.json.encode(document)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]
    if refusal.status in {400, 401, 403}:
        headers.append((b"www-authenticate", challenge(refusal).encode("ascii")))
    await send({"type": f"{kind}.start", "status": refusal.status, "headers": headers})
    await send({"type": f"{kind}.body", "body": body})
