"""A connection with TLS: OpenSSL, with memory BIOs, between the socket and HTTP.  RFC 8446, RFC 8705 section 2.

Rule 1: HTTP does not exist before the handshake is complete: nothing sent earlier can become part of a request, and no
        certificate is looked at before its key was proven.
Rule 2: what the peer sends before that is counted, and waits for its turn (`handshakes`).
Rule 3: nothing is decrypted that nobody wants to read.
"""

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

from OpenSSL import SSL

from certbound.tls.connection import Connection
from certbound.tls.facts import ConnectionFacts
from certbound.tls.peer import read_facts

if TYPE_CHECKING:
    from certbound.tls.listener import Listener

logger = logging.getLogger("certbound.tls")


class TLSConnection(Connection):
    """See the module."""

    __slots__ = ("_ahead", "_held", "_queued", "_shaken", "_tls", "server_name", "speaks_http")

    def __init__(self, listener: "Listener") -> None:
        super().__init__(listener)
        self.server_name: str | None = None
        self.speaks_http = True
        """False if the client offered application protocols without HTTP/1.1 (RFC 7301)."""
        self._tls: SSL.Connection | None = None
        self._shaken = 0  # bytes given to OpenSSL before the handshake was complete
        self._ahead = 0  # how far the current record reaches beyond what has arrived; -1: not known
        self._held = False  # whether OpenSSL holds records that are not decrypted
        self._queued = False

    # --- from the socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.listener.deadlines.handshake.start(self)

    def data_received(self, data: bytes) -> None:
        if self._closing:
            self._discard(data)
            return
        # One whole record and nothing else is the common case; then asking OpenSSL for more is wasted.
        whole_record = self._ahead == 0 and data[3:5] == (len(data) - 5 & 0xFFFF).to_bytes(2, "big")
        if not whole_record:
            self._follow_records(data)
        if self.http is not None:
            if self._read_paused or self._resuming or self._arrived:
                self._arrived += data
            else:
                self._read(data, whole_record=whole_record)
        elif self._tls is None and not self._arrived and data[0] != _HANDSHAKE_RECORD:
            self._drop("the first byte is not TLS")
        else:
            self._arrived += data
            if len(self._arrived) > self.listener.limits.handshake_bytes:
                self.transport.pause_reading()
            if not self._queued:
                self._queued = True
                self.listener.handshakes.add(self)

    def eof_received(self) -> bool:
        if self.http is not None:
            return super().eof_received()
        self._eof = True
        if not self._queued:
            self.transport.abort()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        # Freeing OpenSSL's memory of a large chain takes as long as a request.
        self.listener.handshakes.free_later(self._tls)
        self._tls = None
        super().connection_lost(error)

    # --- the handshake

    def shake(self) -> None:
        """Give OpenSSL what has arrived, as far as the bound allows."""
        self._queued = False
        if self._closing or self.transport.is_closing():
            return
        tls = self._tls or self._greet()
        room = self.listener.limits.handshake_bytes - self._shaken
        now, self._arrived = self._arrived[:room], self._arrived[room:]
        self._shaken += len(now)
        try:
            if now:
                tls.bio_write(now)
            tls.do_handshake()
        except SSL.WantReadError:
            self._await_more(tls)
        except SSL.Error as error:
            self._flush(tls)  # the alert
            logger.debug("handshake with %s failed: %s", self.peer, error)
            self._end()
        else:
            # TLS 1.3 has nothing to send here but two tickets that resume nothing (pyOpenSSL cannot tell OpenSSL not
            # to make them); they go with the first answer.
            if tls.get_protocol_version() != _TLS13:
                self._flush(tls)
            self._begin_http(tls)

    def _await_more(self, tls: SSL.Connection) -> None:
        if not self.speaks_http:
            logger.debug("handshake with %s failed: it speaks no HTTP/1.1", self.peer)
            self.transport.write(_NO_APPLICATION_PROTOCOL)
            self._end()
            return
        self._flush(tls)
        if self._shaken >= self.listener.limits.handshake_bytes:
            self._drop("the handshake is too long")
        elif self._eof:
            self._drop("the handshake was cut off")

    def _greet(self) -> SSL.Connection:
        self._tls = tls = SSL.Connection(self.sites.greeting, None)
        self.site = self.sites.all[0]
        tls.set_app_data(self)
        tls.set_accept_state()
        return tls

    def _begin_http(self, tls: SSL.Connection) -> None:
        tls.set_app_data(None)
        self.http = self.listener.make_http(self, self._facts(tls))
        self.http.connection_made(self)
        self.listener.deadlines.handshake.stop(self)
        self.transport.resume_reading()
        # The first request may have come together with the end of the handshake.
        data, self._arrived = self._arrived, b""
        self._held = True
        self._read(data)
        self._shaken = 0
        if self._eof and not self._read_paused:
            self._tell_peer_is_done()

    def _facts(self, tls: SSL.Connection) -> ConnectionFacts:
        return read_facts(
            tls,
            asks_for_certificate=self.site is not None and self.site.host.asks_for_certificate,
            server_name=self.server_name,
            chain_certificates=self.listener.limits.chain_certificates,
        )

    # --- reading

    def _read(self, data: bytes, *, whole_record: bool = False) -> None:
        """Decrypt and hand on, until `data` is used up or HTTP has had enough for now; the rest waits in `_arrived`."""
        tls, at = self._tls, 0
        if tls is None:
            return
        try:
            more = self._decrypt(tls) if self._held else True
            while more and at < len(data):
                piece = data if len(data) <= _RECORD else data[at : at + _RECORD]
                tls.bio_write(piece)
                at += len(piece)
                more = self._decrypt(tls, only_one=whole_record)
        except SSL.ZeroReturnError:
            self._flush(tls)
            self._eof = True
            self._tell_peer_is_done()
            return
        except SSL.Error as error:
            self._flush(tls)
            logger.debug("TLS with %s failed: %s", self.peer, error)
            self.transport.abort()
            return
        if at < len(data) and not self._closing:
            self._arrived = data[at:]

    def _decrypt(self, tls: SSL.Connection, *, only_one: bool = False) -> bool:
        """Hand on the records that OpenSSL holds; False if HTTP wants no more."""
        self._held = not only_one
        while True:
            try:
                plain = tls.recv(_PLAIN)
            except SSL.WantReadError:
                self._held = False
                if not self._shaken:  # TLS may have answered something of its own, a wish to renegotiate for one
                    self._flush(tls)
                return True
            self.http.data_received(plain)
            if self._is_stopped():
                return False
            if only_one:
                return True

    def _follow_records(self, data: bytes) -> None:
        """Keep `_ahead` true by walking the record headers (RFC 8446 section 5.1)."""
        at, end = self._ahead, len(data)
        if at < 0:
            return
        while at <= end - 5:
            at += 5 + int.from_bytes(data[at + 3 : at + 5], "big")
        self._ahead = at - end if at >= end else -1

    # --- writing

    def write(self, data: bytes) -> None:
        if self.due:
            self.flush()
        if self._corked is not None:
            self._corked.append(data)
            return
        tls = self._tls
        if tls is None or self._closing or not data:
            return
        try:
            if len(data) <= _PLAIN:
                tls.sendall(data)
                self._flush(tls)
                return
            # One record at a time: OpenSSL's memory BIOs never shrink.
            records = []
            for at in range(0, len(data), _PLAIN):
                tls.sendall(data[at : at + _PLAIN])
                records.append(tls.bio_read(_SEALED))
            self.transport.write(b"".join(records))
        except SSL.Error as error:
            logger.debug("TLS with %s failed: %s", self.peer, error)
            self.transport.abort()

    def _flush(self, tls: SSL.Connection) -> None:
        """Send what OpenSSL wants sent."""
        with contextlib.suppress(SSL.WantReadError):
            while len(sealed := tls.bio_read(_SEALED)) == _SEALED:
                self.transport.write(sealed)
            self.transport.write(sealed)

    def _say_goodbye(self, held: bytes) -> None:
        tls = self._tls
        if tls is None:
            return
        with contextlib.suppress(SSL.Error):
            if 0 < len(held) <= _PLAIN:  # the last answer and close_notify in one packet
                tls.sendall(held)
            else:
                self.write(held)
            tls.shutdown()
        self._flush(tls)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        # uvicorn takes the scheme from here.
        return self if name == "sslcontext" else super().get_extra_info(name, default)


_NO_APPLICATION_PROTOCOL = bytes((21, 3, 3, 0, 2, 2, 120))
"""The fatal alert of RFC 7301 section 3.2, in clear as everything before ServerHello."""
_HANDSHAKE_RECORD = 22
_PLAIN = 16384
_RECORD = _PLAIN + 512
_SEALED = _PLAIN + 512
"""Room for a record with its header and tag, and for the short messages that OpenSSL may send with it."""
_TLS13 = 0x0304
