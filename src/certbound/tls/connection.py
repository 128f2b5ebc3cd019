"""One connection: bytes in, requests out.  What it is with TLS (`encrypted`) and without (`plain`).

Towards the socket it is an asyncio protocol, towards HTTP a transport.

Rule 1: nothing is handed on that nobody wants to read: while HTTP has paused, bytes stay where they are.
Rule 2: a peer that is done sending still gets its answer.
Rule 3: whatever goes wrong ends this connection only, with a line for the debug log.
"""

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from certbound.tls.contexts import Site, Sites

if TYPE_CHECKING:
    from certbound.tls.http import HTTPProtocol
    from certbound.tls.listener import Listener

logger = logging.getLogger("certbound.tls")


class Connection(asyncio.Protocol):
    """See the module."""

    __slots__ = (
        "_arrived", "_closing", "_corked", "_discarded", "_eof", "_head_only", "_read_paused", "_resuming", "due",
        "http", "listener", "peer", "site", "sites", "transport",
    )  # fmt: skip

    def __init__(self, listener: "Listener") -> None:
        self.listener = listener
        self.sites: Sites = listener.sites
        self.site: Site | None = None
        """The virtual host that the server name chose; None if the name is not one of ours, and without TLS."""
        self.http: HTTPProtocol | Any = None
        """None until the handshake is complete."""
        self.transport: asyncio.Transport = None  # type: ignore[assignment]
        self.peer: Any = None
        """The peer's address, as the socket has it."""
        self._arrived = b""  # received, and not yet looked at
        self._closing = self._eof = self._read_paused = self._resuming = False
        self._corked: list[bytes] | None = None
        self._head_only = False
        self._discarded = 0
        self.due = b""
        """What is sent at the end of this turn of the loop, or before whatever else is written."""

    # --- from the socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.peer = transport.get_extra_info("peername")
        self.listener.connections.add(self)

    def eof_received(self) -> bool:
        self._eof = True
        if self._closing:
            self.transport.abort()
        elif not (self._read_paused or self._resuming):
            self._tell_peer_is_done()
        # Kept open for writing: the peer may have sent all it has to say and still wait for the answer.
        return True

    def connection_lost(self, error: Exception | None) -> None:
        self._closing = True
        self.listener.forget(self)
        http, self.http = self.http, None
        self._arrived, self._corked, self.due = b"", None, b""
        if http is not None:
            http.connection_lost(error)

    def pause_writing(self) -> None:
        self.listener.deadlines.write.start(self)
        if self.http is not None:
            self.http.pause_writing()

    def resume_writing(self) -> None:
        self.listener.deadlines.write.stop(self)
        if self.http is not None:
            self.http.resume_writing()

    # --- reading

    def _read(self, data: bytes) -> None:
        """Hand on, until `data` is used up or HTTP has had enough for now; the rest waits in `_arrived`."""
        raise NotImplementedError

    def _tell_peer_is_done(self) -> None:
        if self.http is not None and not self._closing:
            getattr(self.http, "peer_is_done", self.close)()

    def pause_reading(self) -> None:
        if not self._read_paused and not self._closing:
            self._read_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        if self._read_paused and not self._closing:
            self._read_paused = False
            if not self._resuming:
                self._resuming = True
                self.listener.loop.call_soon(self._resume)

    def _resume(self) -> None:
        self._resuming = False
        if self._is_stopped():
            return
        data, self._arrived = self._arrived, b""
        self._read(data)
        if not self._is_stopped():
            self.transport.resume_reading()
            if self._eof:
                self._tell_peer_is_done()

    def _is_stopped(self) -> bool:
        return self._closing or self._read_paused

    # --- writing

    def write(self, data: bytes) -> None:
        """After what is due, or with what is held."""
        raise NotImplementedError

    def write_soon(self, data: bytes) -> None:
        """Write together with what is due to others: a peer that waits for several of them is woken once."""
        is_first = not self.due
        self.due += data
        if is_first:
            self.listener.outbox.add(self)

    def flush(self) -> None:
        """What is due is written."""
        due, self.due = self.due, b""
        if due and not self.is_closing():
            self.write(due)

    def hold_head(self) -> None:
        """Keep what is written until `uncork`: a response's head and body then share a record and a packet."""
        if self.due:
            self.flush()
        self._corked, self._head_only = [], True

    def body_follows(self) -> None:
        """What is held is not a head alone any more."""
        self._head_only = False

    def uncork(self) -> None:
        corked, self._corked = self._corked, None
        if corked:
            self.write(b"".join(corked))

    # --- the end

    def close(self, *, linger: bool = False) -> None:
        """Close after what was written; `linger` if the peer may still be sending: a reset would overtake it."""
        if self._closing:
            return
        if self.due:
            self.flush()
        # A head alone is not sent: the application failed before the body, and nobody should take it for an answer.
        held, self._corked = b"" if self._head_only else b"".join(self._corked or ()), None
        self._say_goodbye(held)
        self._end(linger=linger)

    def _say_goodbye(self, held: bytes) -> None:
        """Write what was held, and what the peer is told at the end."""
        raise NotImplementedError

    def _end(self, *, linger: bool = False) -> None:
        self._closing = True
        self._arrived = b""
        self.listener.deadlines.closing.start(self)
        if linger and not self._eof:
            try:
                self.transport.write_eof()
            except OSError:  # the peer has gone already, and nobody has told us yet
                self.transport.abort()
                return
            self.transport.resume_reading()
        else:
            self.transport.close()

    def _discard(self, data: bytes) -> None:
        """What comes after the end is not read, and too much of it is not taken either."""
        self._discarded += len(data)
        if self._discarded > _PATIENCE:
            self.transport.abort()

    def _drop(self, why: str) -> None:
        logger.debug("connection from %s dropped: %s", self.peer, why)
        self._closing = True
        self._arrived = b""
        self.transport.abort()

    def abort(self) -> None:
        self.transport.abort()

    def drain(self) -> None:
        """The server is stopping: end now if idle, else after the requests that have begun."""
        if self.http is None:
            self._drop("the server is stopping")
        else:
            self.http.shutdown()

    # --- what uvicorn asks a transport

    def is_closing(self) -> bool:
        return self._closing or self.transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.transport.get_extra_info(name, default)

    def set_protocol(self, protocol: Any) -> None:
        self.http = protocol


_PATIENCE = 1024 * 1024
"""Bytes that a peer may send on after the end; it should rather read why."""
