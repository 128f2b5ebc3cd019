"""HTTP without TLS, for the same machine and for proxies: the same HTTP, the same bounds, the same order of stopping.

Rule 1: no request that came this way has facts of a connection, so none has a certificate.
Rule 2: where a port has names, only requests for one of them are answered: on loopback, a web page whose own name was
made to point here (DNS rebinding) reads nothing.
"""

import asyncio
from typing import TYPE_CHECKING, Any

from certbound.tls.connection import Connection
from certbound.tls.http import HTTPProtocol
from certbound.tls.ports import PlainPort

if TYPE_CHECKING:
    from certbound.tls.listener import Listener


class PlainConnection(Connection):
    """A connection whose bytes are HTTP already."""

    __slots__ = ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.http = PlainHTTP(self.listener, self)
        self.http.connection_made(self)

    def data_received(self, data: bytes) -> None:
        if self._closing:
            self._discard(data)
        elif self._read_paused or self._resuming or self._arrived:
            self._arrived += data
        else:
            self._read(data)

    def _read(self, data: bytes) -> None:
        """In pieces no larger than a TLS record, with which HTTP counts."""
        if len(data) <= _PIECE:  # nothing of it can be left for later
            self.http.data_received(data)
            return
        for at in range(0, len(data), _PIECE):
            self.http.data_received(data[at : at + _PIECE])
            if self._is_stopped():
                self._arrived = b"" if self._closing else data[at + _PIECE :]
                return

    def write(self, data: bytes) -> None:
        if self.due:
            self.flush()
        if self._corked is not None:
            self._corked.append(data)
        elif data and not self._closing:
            self.transport.write(data)

    def _say_goodbye(self, held: bytes) -> None:
        self.write(held)


class PlainHTTP(HTTPProtocol):
    """HTTP on a `PlainPort`."""

    def __init__(self, listener: "Listener", connection: PlainConnection) -> None:
        super().__init__(listener.services[0], connection, None)
        port = listener.port
        self.is_open_to_any_name = isinstance(port, PlainPort) and port.names is None
        self.names = port.names or frozenset() if isinstance(port, PlainPort) else frozenset()
        self.websockets = isinstance(port, PlainPort) and port.websockets
        self.is_unix = isinstance(port, PlainPort) and port.path is not None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.scheme = "http"

    def serves(self, name: str) -> bool:
        return self.is_open_to_any_name or super().serves(name)


_PIECE = 16384
