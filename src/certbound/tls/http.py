"""HTTP/1.1 on one TLS connection: uvicorn's protocol with the bounds that it lacks.  RFC 9112, RFC 9110 section 7.

Rule 1: every request names one host, and that host belongs to the virtual host of the connection; else 400 or 421.
Rule 2: the header is complete before the application sees it, and never changes afterwards: trailers are dropped.
Rule 3: header, body and waiting have bounds; what crosses one is answered if it can be, and the connection ends.
Rule 4: what cannot be understood beyond doubt is refused, and nothing after it is read.
Rule 5: a response's head waits for its body, so that a small response is one TLS record.
Rule 6: who is answered at once (`prompt`) is alone: one request a turn, without body and while nothing else is due; all
        others have their task, and so their turn.
"""

import asyncio
import copy
import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from certbound.tls.facts import EXTENSION, HOP, ConnectionFacts, Hop, TLSExtension
from certbound.tls.hosts import covers, host_name, target_authority
from certbound.tls.ports import ASGIApplication, Message, Receive, Scope, Send
from certbound.tls.prompt import AnswerAtOnce, at_once

if TYPE_CHECKING:
    from certbound.tls.connection import TLSConnection
    from certbound.tls.listener import Service

logger = logging.getLogger("certbound.tls")

_IDLE, _HEADER, _BODY = range(3)


class HTTPProtocol(HttpToolsProtocol):
    """See the module."""

    transport: "TLSConnection"  # type: ignore[assignment]

    def __init__(self, service: "Service", connection: "TLSConnection", facts: ConnectionFacts | None) -> None:
        listener = connection.listener
        super().__init__(service.config, service.state, service.lifespan_state, _loop=listener.loop)
        # uvicorn lets requests follow one that said "close"; here nothing after it is read.
        self.parser.set_dangerous_leniencies(lenient_data_after_close=False)
        self.limits = listener.limits
        self.header_bytes, self.header_count = self.limits.header_bytes, self.limits.header_count
        self.deadlines = listener.deadlines
        self.handshakes = listener.handshakes
        site = connection.site
        self.names: frozenset[str] = site.names if site is not None else frozenset()
        self.extensions: dict[str, Any] = {}
        if facts is not None:
            certificate = (site or connection.sites.all[0]).server_certificate
            self.extensions = {"tls": TLSExtension(facts, certificate), EXTENSION: facts}
        self.websockets = site is not None and site.host.websockets
        self.answer_at_once = at_once(self.app)
        self.known_host: bytes | None = None  # the Host that was found to be ours last
        self.host: bytes | None = None
        self.reading = _IDLE
        self.deaf = False  # nothing more is read
        self.last = False  # the current request is the last one
        self.fields = self.taken = self.body_taken = self.unfinished = 0
        self.upgrade = self.begun = self.has_body = False
        self.defaults: list[tuple[bytes, bytes]] = []
        self.default_fields = b""  # the same, as they are sent

    # --- the connection

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.flow = FlowControl(transport)
        peer, here = transport.peer, transport.get_extra_info("sockname")
        # On a Unix socket both are one text, and the client's is mostly empty.
        self.client = (str(peer[0]), int(peer[1])) if isinstance(peer, tuple) else None
        self.server = (str(here[0]), int(here[1])) if isinstance(here, tuple) else None
        self.scheme = "https"
        facts = self.extensions.get(EXTENSION)
        # A peer that was gone before anybody asked for its address has none either, and is on no Unix socket.
        address = None if self.is_unix else self.client[0] if self.client else ""
        self.extensions[HOP] = Hop(address, facts.peer_certificate if facts else None)
        self.deadlines.idle.start(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.deadlines.forget(self)
        self.deaf = True
        for cycle in self._open_cycles():
            cycle.disconnected = True
            cycle.message_event.set()
        self.pipeline.clear()
        self.flow.resume_writing()
        self.parser = None  # type: ignore[assignment]

    def peer_is_done(self) -> None:
        """The peer sends no more; it may still read."""
        if self.reading == _BODY:
            # A request that was cut off must not look like one that was complete.
            self.transport.abort()
        else:
            self.shutdown()

    def shutdown(self) -> None:
        """Nothing more is read; the connection ends after the answers that are due."""
        self.last = True
        if self.reading != _BODY:
            self.deaf = True
        if cycles := self._open_cycles():
            cycles[-1].keep_alive = False
        else:
            self.transport.close()

    def timed_out_waiting(self) -> None:
        self.transport.close()

    def timed_out_header(self) -> None:
        self._refuse(408, "the header did not arrive in time")

    def timed_out_body(self, deadline: str) -> None:
        if self.flow.read_paused:  # it is the application that takes its time
            getattr(self.deadlines, deadline).start(self)
        else:
            self._refuse(408, "the body did not arrive in time")

    def _open_cycles(self) -> list[RequestResponseCycle]:
        """The requests that are not answered, oldest first."""
        waiting = [cycle for cycle, _ in reversed(self.pipeline)]
        current = self.current
        return [current, *waiting] if current is not None else waiting

    is_unix = False  # whether the port is a Unix socket
    current: RequestResponseCycle | None = None  # the request that the application works on

    # --- reading

    def data_received(self, data: bytes) -> None:
        if self.deaf:
            return
        before = self.reading
        self.deadlines.idle.stop(self)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            if not self.deaf:
                self.handle_websocket_upgrade()
            return
        except httptools.HttpParserError as error:
            if self.last and self.reading == _IDLE:  # what follows a last request is nobody's
                self.deaf = True
                return
            refusal = error.__context__
            if isinstance(refusal, _Refused):
                self._refuse(refusal.status, str(refusal))
            else:
                self._refuse(400, f"malformed request: {error}")
            return
        if self.reading != _IDLE or before != _IDLE:
            self._watch(len(data))
        elif self.current is None:  # empty lines before a request
            self._rest()

    def _watch(self, received: int) -> None:
        """A request that did not come in one piece: count it and give it time."""
        # What came together with its beginning is partly of others, and no more than a record.
        received, self.begun = (0, False) if self.begun else (received, False)
        if self.reading == _HEADER:
            self.deadlines.header.start_once(self)
            self.unfinished += received
            if self.unfinished > self.limits.header_bytes:  # a field without an end has not been counted elsewhere
                self._refuse(431, "the header is too large")
        elif self.reading == _BODY:
            self.deadlines.body.start_once(self)
            self.deadlines.body_idle.start(self)
            # Chunk extensions and trailers are not body; nobody needs many.
            self.unfinished += received
            if self.unfinished > 2 * self.limits.header_bytes + 16 * self.body_taken:
                self._refuse(400, "too much chunk framing")
        else:
            self.deadlines.forget(self)
            self._rest()

    def on_message_begin(self) -> None:
        if self.last:
            raise _Refused(400, "a request after the last one")
        self.reading = _HEADER
        self.url = b""
        self.headers = []
        self.host = None
        self.begun = True
        self.fields = self.taken = self.body_taken = self.unfinished = 0
        self.expect_100_continue = self.upgrade = self.has_body = False

    def on_url(self, url: bytes) -> None:
        self.url += url
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields = fields = self.fields + 1
        self.taken = taken = self.taken + len(name) + len(value) + 4
        if taken > self.header_bytes or fields > self.header_count:
            raise _Refused(431, "the header is too large")
        if self.reading == _BODY:  # a trailer; the application has its headers already
            return
        name = name.lower()
        if name in _OURS:
            self._take(name, value)
        self.headers.append((name, value))

    def _take(self, name: bytes, value: bytes) -> None:
        """A header that says something to us."""
        if name == b"host":
            if self.host is not None:
                raise _Refused(400, "two Host fields")
            self.host = value
        elif name == b"expect":
            self.expect_100_continue = value.lower() == b"100-continue"
        elif name == b"upgrade":
            self.upgrade = True
        elif name == b"transfer-encoding":
            self.has_body = True
            if value.lower() != b"chunked" or self.parser.get_http_version() != "1.1":
                raise _Refused(400, "a Transfer-Encoding other than chunked in HTTP/1.1")
        elif name == b"content-length":
            self.has_body = True
            self._check_length(value)

    def _count(self, size: int) -> None:
        self.taken += size
        if self.taken > self.limits.header_bytes:
            raise _Refused(431, "the header is too large")

    def _check_length(self, value: bytes) -> None:
        # llhttp has made sure that it is a number.
        if self.limits.body_bytes is not None and int(value) > self.limits.body_bytes:
            raise _Refused(413, "the body is too large")

    def on_headers_complete(self) -> None:
        # 1. The host that the request is for belongs to the virtual host of the connection.
        if self.host != self.known_host or self.host is None:
            self._check_host()
        # 2. The target names no other host.
        path, query = self._read_target()
        # 3. Only what somebody serves may be upgraded to.
        parser = self.parser
        method, version = parser.get_method(), parser.get_http_version()
        upgrades = (self.upgrade or method == b"CONNECT") and parser.should_upgrade()
        if upgrades and not (self.websockets and self._get_upgrade() == b"websocket" and self.current is None):
            raise _Refused(400, "no upgrade is served here")
        # 4. It is HTTP/1: a line without a version is no request with a header, and HTTP/2 looks otherwise.
        if version not in {"1.1", "1.0"}:
            raise _Refused(400, "a version other than HTTP/1.0 and HTTP/1.1")
        self.scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme or "https",
            "method": method.decode("ascii"),
            "root_path": "",
            "path": unquote(path) if "%" in path else path,
            "raw_path": path.encode("ascii"),
            "query_string": query,
            "headers": self.headers,
            "state": self.app_state.copy(),
            "extensions": self.extensions.copy(),
        }
        if not upgrades:
            self._begin(keep_alive=version == "1.1" and parser.should_keep_alive())

    def _check_host(self) -> None:
        if self.host is None:
            raise _Refused(400, "no Host field")
        name = host_name(self.host)
        if name is None:
            raise _Refused(400, "malformed Host field")
        if not self.serves(name):
            raise _Refused(421, f"the host {name} is not served on this connection")
        self.known_host = self.host

    def serves(self, name: str) -> bool:
        """Whether requests for the host `name` belong here."""
        return covers(self.names, name)

    def _read_target(self) -> tuple[str, bytes]:
        """Path and query of the request target (RFC 9112 section 3.2)."""
        target = self.url
        if target[:1] != b"/":
            if target == b"*":
                return "*", b""
            authority = target_authority(target)
            if authority is None:
                raise _Refused(400, "the request target is no path")
            if host_name(authority) != host_name(self.host or b""):
                raise _Refused(400, "the request target names another host than Host")
            rest = target[len(b"https://") + len(authority) :]
            target = rest if rest[:1] == b"/" else b"/" + rest
        path, _, query = target.partition(b"#")[0].partition(b"?")
        if not path.isascii():
            raise _Refused(400, "the request target is not ASCII")
        return path.decode("ascii"), query

    def _begin(self, *, keep_alive: bool) -> None:
        self.reading = _BODY
        self.deadlines.header.stop(self)
        self.last = not keep_alive
        self.handshakes.requests += 1
        if keep_alive and self.answer_at_once is not None and self._was_answered_at_once(self.answer_at_once):
            return
        self.cycle = cycle = _Cycle(
            scope=self.scope,
            transport=self.transport,  # type: ignore[arg-type]
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=keep_alive,
            on_response=self.on_response_complete,
        )
        if self.current is None:
            self.current = cycle
            self._start_asgi_task(cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    def on_body(self, body: bytes) -> None:
        self.body_taken += len(body)
        if self.limits.body_bytes is not None and self.body_taken > self.limits.body_bytes:
            raise _Refused(413, "the body is too large")
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.reading == _BODY:
            self.reading = _IDLE
            self.cycle.more_body = False
            self.cycle.message_event.set()

    # --- answering

    def _was_answered_at_once(self, answer_at_once: AnswerAtOnce) -> bool:
        """Whether nothing is left to do for this request."""
        if self.has_body or self.expect_100_continue or self.scope["method"] == "HEAD":
            return False
        if self.current is not None or self.transport.due or self.flow.write_paused:
            return False
        try:
            response = answer_at_once(self.scope)  # type: ignore[arg-type]
        except Exception:  # noqa: BLE001 - it is raised again where the application has a task, and told there
            return False
        if response is None:
            return False
        defaults = self.server_state.default_headers
        if defaults is not self.defaults:
            self.defaults, self.default_fields = defaults, _fields(defaults)
        self.reading = _IDLE
        self.transport.write_soon(b"%b%b%b" % (response.start, self.default_fields, response.rest))
        return True

    def on_response_complete(self) -> None:
        self.current = None
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self.current = cycle
            self._start_asgi_task(cycle, app)
        else:
            self.flow.resume_reading()
            self._rest()

    def _rest(self) -> None:
        """Nothing to answer; if nothing has begun either, forget the last request and wait for the next."""
        if self.reading != _IDLE or self.current is not None or self.transport.is_closing():
            return
        self.cycle = self.scope = self.headers = None  # type: ignore[assignment]
        self.deadlines.idle.start(self)

    def _refuse(self, status: int, why: str) -> None:
        """Answer `status` if the refused request is next to be answered, and end the connection in any case."""
        logger.debug("request from %s refused with %d: %s", self.client, status, why)
        self.deaf = True
        cycles = self._open_cycles()
        if self.reading == _BODY:
            refused = self.cycle
            refused.disconnected = True
            refused.message_event.set()
            answered = refused.response_started
            if refused in cycles and (len(cycles) > 1 or (answered and not refused.response_complete)):
                self.transport.abort()
                return
        elif cycles:
            cycles[-1].keep_alive = False  # its answers first, then the end
            return
        else:
            answered = False
        if not answered:
            self.transport.write(_response(status, self.server_state.default_headers))
        self.transport.close(linger=True)

    # --- websockets

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection to uvicorn's websocket protocol, with the same facts in its scope."""
        self.deadlines.forget(self)
        self.config = copy.copy(self.config)
        self.config.loaded_app = _with_extensions(self.config.loaded_app, self.extensions)
        super().handle_websocket_upgrade()


class _Cycle(RequestResponseCycle):
    transport: "TLSConnection"  # type: ignore[assignment]

    async def send(self, message: Message) -> None:  # type: ignore[override]
        if message["type"] == "http.response.start":
            self.transport.hold_head()
            await super().send(message)  # type: ignore[arg-type]
        else:
            self.transport.body_follows()
            await super().send(message)  # type: ignore[arg-type]
            self.transport.uncork()


class _Refused(Exception):
    """Raised out of a parser callback; httptools brings it back as the context of its own error."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def _with_extensions(app: Any, extensions: dict[str, Any]) -> ASGIApplication:
    async def extended(scope: Scope, receive: Receive, send: Send) -> None:
        scope["extensions"] = {**scope.get("extensions", {}), **extensions}
        await app(scope, receive, send)

    return extended


def _response(status: int, fields: Sequence[tuple[bytes, bytes]]) -> bytes:
    phrase = HTTPStatus(status).phrase.encode("ascii")
    head = _fields(fields)
    return b"HTTP/1.1 %d %s\r\n%scontent-type: text/plain\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s\n" % (
        status,
        phrase,
        head,
        len(phrase) + 1,
        phrase,
    )


def _fields(fields: Sequence[tuple[bytes, bytes]]) -> bytes:
    return b"".join(b"%s: %s\r\n" % field for field in fields)


_OURS = frozenset({b"host", b"expect", b"upgrade", b"transfer-encoding", b"content-length"})
"""The headers that say something to us."""
