"""The authorization server as an ASGI application: the one place where a request becomes a `Call`, and a `Reply` or
a refusal becomes HTTP.

Rule 1: paths are compared raw; nothing of the request's Host reaches an answer.
Rule 2: a refusal shows its public description and a request id; its reason goes to the log under that id.
Rule 3: the mutual-TLS host serves what clients call directly and has no CORS; the conventional one has CORS, since
browser clients redeem there (RFC 8705 section 5).
"""

import contextlib
import logging
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from certbound.core.errors import (
    CertboundError,
    InvalidClient,
    InvalidRequest,
    OAuthError,
    StoreUnavailable,
    TemporarilyUnavailable,
    describable,
)
from certbound.core.metadata import DIRECT_ENDPOINTS, STATUS_LIST, STATUS_LISTS, well_known
from certbound.server import documents, status
from certbound.server.call import NO_STORE, Call, Form, Reply, json_reply, read_form
from certbound.server.service import Service
from certbound.server.token import token
from certbound.tls import ConnectionFacts, connection_facts
from certbound.tls.ports import Receive, Scope, Send

Endpoint = Callable[[Call, Service], Awaitable[Reply]]

MAX_BODY = 64 * 1024
"""Bytes of a request body; what clients send here is far smaller."""

_log = logging.getLogger("certbound.server")


@dataclass(frozen=True, slots=True)
class Route:
    """One method on one path."""

    method: str
    endpoint: Endpoint
    cors: bool


class Application:
    """The ASGI application.  `open_service` is entered at lifespan startup and left at shutdown."""

    def __init__(self, open_service: Callable[[], AbstractAsyncContextManager[Service]]) -> None:
        self._open_service = open_service
        self._service: Service | None = None
        self._conventional: Mapping[bytes, Route] = {}
        self._mtls: Mapping[bytes, Route] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._answer(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._service is None:
            raise RuntimeError("requests before lifespan startup")
        connection = connection_facts(scope)
        mtls = connection is not None and connection.asks_for_certificate
        routes = self._mtls if mtls else self._conventional
        route = routes.get(scope["raw_path"])
        if route is None:
            reply = json_reply(404, {"error": "invalid_request", "error_description": "no such endpoint"}, NO_STORE)
        elif route.cors and scope["method"] == "OPTIONS":
            reply = _PREFLIGHT
        else:
            reply = await _run(route, self._service, scope, receive, connection)
        headers = [*reply.headers]
        if reply.status != 204:  # RFC 9110 section 8.6
            headers.append((b"content-length", b"%d" % len(reply.body)))
        if route is not None and route.cors:
            headers.append(_ALLOW_ORIGIN)
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else reply.body})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        async with contextlib.AsyncExitStack() as stack:
            await receive()
            try:
                service = await stack.enter_async_context(self._open_service())
                self._conventional, self._mtls = _routes(service)
                self._service = service
            except CertboundError as error:
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                return
            await send({"type": "lifespan.startup.complete"})
            await receive()
            self._service = None
        await send({"type": "lifespan.shutdown.complete"})


async def _run(
    route: Route, service: Service, scope: Scope, receive: Receive, connection: ConnectionFacts | None
) -> Reply:
    """The endpoint's answer, or its refusal."""
    call = None
    try:
        _require_method(route, scope["method"])
        call = Call(
            form=await _form(scope, receive) if route.method == "POST" else Form({}),
            peer=connection.peer_certificate if connection else None,
            now=service.clock(),
        )
        return await route.endpoint(call, service)
    except OAuthError as refusal:
        return _refuse(refusal, route, scope, call, connection)
    except StoreUnavailable as error:
        return _refuse(TemporarilyUnavailable(str(error)), route, scope, call, connection)
    except Exception:  # noqa: BLE001 - a defect of ours: the peer learns that, and the id to ask about
        request_id = _new_request_id()
        _log.exception("request %s to %s failed", request_id, scope["path"])
        return json_reply(500, {"error": "server_error", "request_id": request_id}, NO_STORE)


def _refuse(
    refusal: OAuthError, route: Route, scope: Scope, call: Call | None, connection: ConnectionFacts | None
) -> Reply:
    request_id = _new_request_id()
    reason = refusal.reason
    if connection is not None and connection.unusable_certificate:
        reason = f"{reason} (the certificate presented is unusable: {connection.unusable_certificate})"
    if isinstance(refusal, InvalidClient) and refusal.step:
        reason = f"not so: {refusal.step}: {reason}"
    client_id = next(iter(call.form.all("client_id")), "") if call else ""
    # Bounded: what a stranger sends must not fill the log.
    _log.warning(
        "request %s to %.80s refused: client %.80r: %s: %.500s",
        request_id, scope["path"], client_id, refusal.error, reason,
    )  # fmt: skip
    document = {
        "error": refusal.error,
        "error_description": describable(refusal.description),
        "request_id": request_id,
    }
    headers = (*NO_STORE, (b"allow", route.method.encode())) if refusal.status == 405 else NO_STORE
    return json_reply(refusal.status, document, headers)


def _require_method(route: Route, method: str) -> None:
    if method != route.method and not (route.method == "GET" and method == "HEAD"):
        raise InvalidRequest(f"this endpoint takes {route.method}", status=405)


async def _form(scope: Scope, receive: Receive) -> Form:
    types = [value for name, value in scope["headers"] if name == b"content-type"]
    if len(types) != 1 or not _FORM_TYPE.fullmatch(types[0]):
        raise InvalidRequest("the content type must be application/x-www-form-urlencoded")
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidRequest("the request ended before its body")
        body += message.get("body", b"")
        if len(body) > MAX_BODY:
            raise InvalidRequest(f"the body exceeds {MAX_BODY} bytes", status=413)
        if not message.get("more_body", False):
            return read_form(body)


def _routes(service: Service) -> tuple[Mapping[bytes, Route], Mapping[bytes, Route]]:
    """What the conventional host serves, and what the mutual-TLS host does.

    Without a host of its own, mutual TLS is on the issuer's, which then serves everything, without CORS.
    """
    offer = service.offer
    everything = {
        well_known(offer.issuer): ("GET", documents.metadata),
        _path(offer.issuer) + "/jwks": ("GET", documents.jwks),
        _path(offer.issuer) + STATUS_LIST: ("GET", status.status_list),
        _path(offer.issuer) + STATUS_LISTS: ("GET", status.status_lists),
        "/healthz": ("GET", documents.health),
        **{_path(offer.issuer) + path: ("POST", endpoint) for path, endpoint in _direct()},
    }
    if offer.mtls_base is None:
        return {}, _compiled(everything, cors=False)
    direct = {_path(offer.mtls_base) + path: ("POST", endpoint) for path, endpoint in _direct()}
    return _compiled(everything, cors=True), _compiled({**direct, "/healthz": ("GET", documents.health)}, cors=False)


def _direct() -> list[tuple[str, Endpoint]]:
    return [(path, _ENDPOINTS[name]) for name, path in DIRECT_ENDPOINTS.items()]


def _compiled(routes: Mapping[str, tuple[str, Endpoint]], *, cors: bool) -> Mapping[bytes, Route]:
    return {path.encode("ascii"): Route(method, endpoint, cors) for path, (method, endpoint) in routes.items()}


def _path(url: str) -> str:
    return "/" + url.split("/", 3)[3] if url.count("/") > 2 else ""


def _new_request_id() -> str:
    return secrets.token_hex(8)


_ENDPOINTS: Mapping[str, Endpoint] = {"token_endpoint": token}

_ALLOW_ORIGIN = (b"access-control-allow-origin", b"*")
_PREFLIGHT = Reply(
    204,
    headers=(
        (b"access-control-allow-methods", b"GET, POST"),
        (b"access-control-allow-headers", b"content-type"),
        (b"access-control-max-age", b"600"),
    ),
)
_FORM_TYPE = re.compile(rb"application/x-www-form-urlencoded(\s*;.*)?", re.IGNORECASE)
