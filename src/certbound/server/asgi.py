"""The authorization server as an ASGI application: the one place where a request becomes a `Call`, and a `Reply` or
a refusal becomes HTTP.

Rule 1: a refusal shows its public description and a request id; its reason goes to the audit under that id.
Rule 2: the request id is made here, and stands on every answer; a sender's own is not believed.
Rule 3: whoever fails to authenticate too often is told to wait (429); a success is never refused.
Rule 4: where people go, a refusal is a page, and says what to do.
"""

import contextlib
import logging
import re
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

import msgspec

from certbound.core.bearer import challenge
from certbound.core.errors import (
    CertboundError,
    InvalidRequest,
    ProtectedResourceError,
    Refusal,
    StoreUnavailable,
    TemporarilyUnavailable,
    describable,
)
from certbound.server.call import NO_STORE, Browser, Call, Reply, json_reply, read_cookies, read_form, with_headers
from certbound.server.pages.views import RefusalView
from certbound.server.routes import Endpoint, Route, Routes, make_routes
from certbound.server.service import People, Service
from certbound.server.watch import Watch
from certbound.tls import ConnectionFacts, connection_facts
from certbound.tls.ports import Receive, Scope, Send

MAX_BODY = 64 * 1024
"""Bytes of a request body; what clients send here is far smaller."""

_log = logging.getLogger("certbound.server")


class Application:
    """The ASGI application.  `open_service` is entered at lifespan startup and left at shutdown."""

    def __init__(
        self, open_service: Callable[[], AbstractAsyncContextManager[Service]], watch: Watch | None = None
    ) -> None:
        self._open_service = open_service
        self._watch = watch or Watch()
        self._service: Service | None = None
        self._conventional = self._mtls = Routes({})
        self._request_ids = _RequestIds()

    @property
    def service(self) -> Service | None:
        """What is served; None before startup and after shutdown."""
        return self._service

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
        route, rest = routes.find(scope["raw_path"])
        request_id = self._request_ids.next()
        if route is None:
            reply = json_reply(404, {**_NO_ENDPOINT, "request_id": request_id}, NO_STORE)
            self._watch.strayed()
        elif route.cors and scope["method"] == "OPTIONS":
            reply = _PREFLIGHT
        else:
            call = _call(scope, connection, rest, request_id, self._service)
            reply = await self._run(route, call, scope, receive, connection)
        headers = [*reply.headers, (b"x-request-id", request_id.encode("ascii"))]
        if reply.status != 204:  # RFC 9110 section 8.6
            headers.append((b"content-length", b"%d" % len(reply.body)))
        if route is not None and route.cors:
            headers.append(_ALLOW_ORIGIN)
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else reply.body})

    async def _run(
        self, route: Route, call: Call, scope: Scope, receive: Receive, connection: ConnectionFacts | None
    ) -> Reply:
        """The endpoint's answer, or its refusal."""
        started = time.perf_counter()
        assert self._service is not None
        try:
            endpoint = _endpoint(route, scope["method"])
            if route.is_page:
                call = _with_browser(call, route, scope)
            if scope["method"] in _WITH_BODY and route.takes_body:
                call = await _with_body(call, route, scope, receive)
            reply = await endpoint(call, self._service)
        except Refusal as refusal:
            return self._refuse(refusal, route, call, started, connection)
        except StoreUnavailable as error:
            return self._refuse(TemporarilyUnavailable(str(error)), route, call, started, connection)
        except Exception:  # noqa: BLE001 - a defect of ours: the peer learns that, and the id to ask about
            _log.exception("request %s to %.80s failed", call.request_id, scope["path"])
            self._watch.failed(route.name, call, started)
            if route.is_page and self._service.people is not None:
                return _page(self._service.people, call, 500, "server_error", "Something of ours does not work.")
            return json_reply(500, {"error": "server_error", "request_id": call.request_id}, NO_STORE)
        self._watch.answered(route.name, call, started)
        return reply

    def _refuse(
        self, refusal: Refusal, route: Route, call: Call, started: float, connection: ConnectionFacts | None
    ) -> Reply:
        reason = refusal.reason
        if connection is not None and connection.unusable_certificate:
            reason = f"{reason} (the certificate presented is unusable: {connection.unusable_certificate})"
        call.notes.client_id = call.notes.client_id or next(iter(call.form.all("client_id")), "")
        wait = self._watch.refused(route.name, call, started, refusal, reason)
        retry_after = wait or refusal.retry_after
        headers = []
        if retry_after:
            headers.append((b"retry-after", b"%d" % retry_after))
        if refusal.status == 405:
            headers.append((b"allow", route.allow.encode()))
        if route.is_page and self._service is not None and self._service.people is not None:
            page = _page(self._service.people, call, refusal.status, refusal.error, refusal.description, retry_after)
            return with_headers(page, *headers)
        document = {"request_id": call.request_id}
        if refusal.error:
            document = {"error": refusal.error, "error_description": describable(refusal.description), **document}
        headers = [*NO_STORE, *headers]
        if wait:
            return json_reply(429, document, headers)
        if isinstance(refusal, ProtectedResourceError):
            if refusal.status < 500:
                headers.append((b"www-authenticate", challenge(refusal).encode()))
        elif refusal.status == 401 and (call.authorization or route.scheme == "Bearer"):
            # RFC 6749 section 5.2: whoever tried that header learns which scheme it takes; RFC 6750 section 3: always.
            headers.append((b"www-authenticate", _challenge(route.scheme, call.authorization, refusal.error)))
        return json_reply(refusal.status, document, headers)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        async with contextlib.AsyncExitStack() as stack:
            await receive()
            self._watch.numbers.open()
            try:
                service = await stack.enter_async_context(self._open_service())
                self._conventional, self._mtls = make_routes(service.offer)
                self._service = service
            except CertboundError as error:
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                return
            except Exception as error:  # noqa: BLE001 - a server that cannot serve must not open its port
                _log.exception("the server did not start")
                message = f"{type(error).__name__}: {error}"
                await send({"type": "lifespan.startup.failed", "message": message})
                return
            await send({"type": "lifespan.startup.complete"})
            await receive()
            self._service = None
        await send({"type": "lifespan.shutdown.complete"})


def _page(people: People, call: Call, status: int, error: str, description: str, retry_after: int = 0) -> Reply:
    """A refusal as a person sees it."""
    view = RefusalView(
        status=status,
        error=error,
        description=describable(description),
        request_id=call.request_id,
        retry_after=retry_after,
    )
    return people.pages.show(call, view, status=status)


def _challenge(scheme: str, authorization: Sequence[bytes], error: str) -> bytes:
    """RFC 6750 section 3.1: who showed a token learns that it is refused, who showed none needs no error code."""
    challenge = f'{scheme} realm="certbound"'
    if scheme == "Bearer" and any(each.lower().startswith(b"bearer ") and each[7:].strip() for each in authorization):
        challenge += f', error="{error}"'
    return challenge.encode()


def _call(scope: Scope, connection: ConnectionFacts | None, rest: str, request_id: str, service: Service) -> Call:
    """The request, before its body is read."""
    authorization, accept = [], []
    for name, value in scope["headers"]:
        if name == b"authorization":
            authorization.append(value)
        elif name == b"accept":
            accept.append(value)
    client = scope.get("client")
    return Call(
        now=service.clock(),
        peer=connection.peer_certificate if connection else None,
        authorization=authorization,
        accept=b",".join(accept),
        rest=rest,
        request_id=request_id,
        address=client[0] if client else "",
    )


def _endpoint(route: Route, method: str) -> Endpoint:
    endpoint = route.methods.get("GET" if method == "HEAD" and not route.is_page else method)
    if endpoint is None:
        raise InvalidRequest(f"this endpoint takes {route.allow}", status=405)
    return endpoint


def _with_browser(call: Call, route: Route, scope: Scope) -> Call:
    """What pages want to know of the request, beside the rest."""
    said = {name: value.decode("latin-1") for name, value in scope["headers"] if name in _OF_BROWSERS}
    browser = Browser(
        cookies=read_cookies([value for name, value in scope["headers"] if name == b"cookie"]),
        origin=said.get(b"origin"),
        site=said.get(b"sec-fetch-site"),
        languages=said.get(b"accept-language", ""),
    )
    query = read_form(scope["query_string"], "URL", repeats=route.repeats)
    return msgspec.structs.replace(call, browser=browser, query=query)


async def _with_body(call: Call, route: Route, scope: Scope, receive: Receive) -> Call:
    types = [value for name, value in scope["headers"] if name == b"content-type"]
    wanted, pattern = _CONTENT[route.takes_form]
    if types != [wanted] and (len(types) != 1 or not pattern.fullmatch(types[0])):
        raise InvalidRequest(f"the content type must be {wanted.decode()}")
    body = await _body(receive)
    if route.takes_form:
        return msgspec.structs.replace(call, form=read_form(body, repeats=route.repeats))
    return msgspec.structs.replace(call, body=body)


async def _body(receive: Receive) -> bytes:
    """`InvalidRequest` if it does not end, or is too long."""
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidRequest("the request ended before its body")
        body += bytes(message.get("body", b""))
        if len(body) > MAX_BODY:
            raise InvalidRequest(f"the body exceeds {MAX_BODY} bytes", status=413)
        if not message.get("more_body", False):
            return body


class _RequestIds:
    """64 random bits each, made for a hundred requests at once: to ask the system for each takes longer."""

    __slots__ = ("_made",)

    def __init__(self) -> None:
        self._made = ""  # nothing yet: workers that are forked after this share none

    def next(self) -> str:
        if not self._made:
            self._made = secrets.token_hex(8 * 100)
        found, self._made = self._made[:16], self._made[16:]
        return found


_OF_BROWSERS = frozenset({b"origin", b"sec-fetch-site", b"accept-language"})
_NO_ENDPOINT = {"error": "invalid_request", "error_description": "no such endpoint"}
_ALLOW_ORIGIN = (b"access-control-allow-origin", b"*")
_PREFLIGHT = Reply(
    204,
    headers=(
        (b"access-control-allow-methods", b"GET, POST"),
        (b"access-control-allow-headers", b"content-type, authorization"),
        (b"access-control-max-age", b"600"),
    ),
)
_WITH_BODY = frozenset({"POST", "PUT"})
_CONTENT = {
    True: (
        b"application/x-www-form-urlencoded",
        re.compile(rb"application/x-www-form-urlencoded(\s*;.*)?", re.IGNORECASE),
    ),
    False: (b"application/json", re.compile(rb"application/json(\s*;.*)?", re.IGNORECASE)),
}
