"""HTTP/1.1 on one connection: how long it is read, and in which order it is answered.  RFC 9112.

uvicorn's protocol with the bounds that it lacks; what a request may be is `request`'s to say.

Rule 1: header, body and waiting have their time; what is late is answered if it can be, and the connection ends.
Rule 2: behind what was refused nothing is read.
Rule 3: who is answered at once (`prompt`) is alone: one request a turn, without body and while nothing else is due; all
        others have their task, and so their turn.
"""

import asyncio
import copy
import logging
from typing import TYPE_CHECKING, Any

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from certbound.tls.facts import EXTENSION, HOP, ConnectionFacts, Hop, TLSExtension
from certbound.tls.ports import ASGIApplication, Receive, Scope, Send
from certbound.tls.prompt import AnswerAtOnce, at_once
from certbound.tls.request import BODY, HEADER, IDLE, Refused, RequestReader
from certbound.tls.response import Cycle, field_lines, make_refusal

if TYPE_CHECKING:
    from certbound.tls.connection import Connection
    from certbound.tls.listener import Service

logger = logging.getLogger("certbound.tls")


class HTTPProtocol(RequestReader):
    """See the module."""

    transport: "Connection"  # type: ignore[assignment]
    is_unix = False
    """Whether the port is a Unix socket."""

    def __init__(self, service: "Service", connection: "Connection", facts: ConnectionFacts | None) -> None:
        listener = connection.listener
        super().__init__(service, connection)
        self.deadlines = listener.deadlines
        self.handshakes = listener.handshakes
        site = connection.site
        if facts is not None:
            certificate = (site or connection.sites.all[0]).server_certificate
            self.extensions = {"tls": TLSExtension(facts, certificate), EXTENSION: facts}
        self.answer_at_once = at_once(self.app)
        self.deaf = False  # nothing more is read
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
        if self.reading == BODY:
            # A request that was cut off must not look like one that was complete.
            self.transport.abort()
        else:
            self.shutdown()

    def shutdown(self) -> None:
        """Nothing more is read; the connection ends after the answers that are due."""
        self.last = True
        if self.reading != BODY:
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
            if self.last and self.reading == IDLE:  # what follows a last request is nobody's
                self.deaf = True
                return
            refusal = error.__context__
            if isinstance(refusal, Refused):
                self._refuse(refusal.status, str(refusal))
            else:
                self._refuse(400, f"malformed request: {error}")
            return
        if self.reading != IDLE or before != IDLE:
            self._watch(len(data))
        elif self.current is None:  # empty lines before a request
            self._rest()

    def _watch(self, received: int) -> None:
        """A request that did not come in one piece: count it and give it time."""
        # What came together with its beginning is partly of others, and no more than a record.
        received, self.begun = (0, False) if self.begun else (received, False)
        if self.reading == HEADER:
            self.deadlines.header.start_once(self)
            self.unfinished += received
            if self.unfinished > self.limits.header_bytes:  # a field without an end has not been counted elsewhere
                self._refuse(431, "the header is too large")
        elif self.reading == BODY:
            self.deadlines.body.start_once(self)
            self.deadlines.body_idle.start(self)
            # Chunk extensions and trailers are not body; nobody needs many.
            self.unfinished += received
            if self.unfinished > 2 * self.limits.header_bytes + 16 * self.body_taken:
                self._refuse(400, "too much chunk framing")
        else:
            self.deadlines.forget(self)
            self._rest()

    # --- answering

    def begin(self, *, keep_alive: bool) -> None:
        self.reading = BODY
        self.deadlines.header.stop(self)
        self.last = not keep_alive
        self.handshakes.requests += 1
        if keep_alive and self.answer_at_once is not None and self._was_answered_at_once(self.answer_at_once):
            return
        self.cycle = cycle = Cycle(
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
            self.defaults, self.default_fields = defaults, field_lines(defaults)
        self.reading = IDLE
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
        if self.reading != IDLE or self.current is not None or self.transport.is_closing():
            return
        self.cycle = self.scope = self.headers = None  # type: ignore[assignment]
        self.deadlines.idle.start(self)

    def _refuse(self, status: int, why: str) -> None:
        """Answer `status` if the refused request is next to be answered, and end the connection in any case."""
        logger.debug("request from %s refused with %d: %s", self.client, status, why)
        self.deaf = True
        cycles = self._open_cycles()
        if self.reading == BODY:
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
            self.transport.write(make_refusal(status, self.server_state.default_headers))
        self.transport.close(linger=True)

    # --- websockets

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection to uvicorn's websocket protocol, with the same facts in its scope."""
        self.deadlines.forget(self)
        self.config = copy.copy(self.config)
        self.config.loaded_app = _with_extensions(self.config.loaded_app, self.extensions)
        super().handle_websocket_upgrade()


def _with_extensions(app: Any, extensions: dict[str, Any]) -> ASGIApplication:
    async def extended(scope: Scope, receive: Receive, send: Send) -> None:
        scope["extensions"] = {**scope.get("extensions", {}), **extensions}
        await app(scope, receive, send)

    return extended
