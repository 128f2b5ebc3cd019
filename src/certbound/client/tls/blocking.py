"""TLS over a blocking socket, as `httpcore` wants it."""

import contextlib
import socket
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar

import httpcore
from OpenSSL import SSL

from certbound.client.deadline import deadline
from certbound.client.hardware.aside import aside
from certbound.client.tls.context import Connection, Context, require_name
from certbound.client.tls.pump import (
    CHUNK,
    HANDSHAKE,
    READ,
    WRITE,
    Pumping,
    closing,
    connecting,
    perform,
    tell,
    translating,
    write,
)

_T = TypeVar("_T")


class TLSBackend(httpcore.NetworkBackend):
    """Connections whose `start_tls` takes a `Context`."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        source = (local_address, 0) if local_address else None
        with connecting():
            connected = socket.create_connection((host, port), timeout, source)
        for option in ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), *(socket_options or ())):
            connected.setsockopt(*option)
        return _Plain(connected)


class _Plain(httpcore.NetworkStream):
    """A connected socket, good for nothing but `start_tls`."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected

    def close(self) -> None:
        self._socket.close()

    def start_tls(
        self,
        ssl_context: Any,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        try:
            return TLSStream.handshake(self._socket, ssl_context, server_hostname or "", timeout)
        except BaseException:
            self.close()
            raise


class TLSStream(httpcore.NetworkStream):
    """A TLS connection to a server that proved to be the one named."""

    def __init__(self, connected: socket.socket, connection: Connection) -> None:
        self._socket = connected
        self._connection = connection

    @classmethod
    def handshake(cls, connected: socket.socket, context: Context, name: str, timeout: float | None) -> "TLSStream":
        """`httpcore.ConnectError` says why there is none, `httpcore.ConnectTimeout` after `timeout` seconds in all."""
        connection = context.connection(name)
        stream = cls(connected, connection)
        ends = deadline(timeout)
        with translating(connection, HANDSHAKE):
            pumping = perform(connection, connection.do_handshake)
            stream._carry(pumping, lambda: _left(ends), apart=context.signs_slowly)
            require_name(connection, name)
        return stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """One wait, for a record as a whole: a byte of it now and then does not prolong it."""
        ends = deadline(timeout)
        with translating(self._connection, READ):
            try:
                receiving = perform(self._connection, lambda: self._connection.recv(max_bytes))
                return self._carry(receiving, lambda: _left(ends))
            except SSL.ZeroReturnError:
                return b""

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        with translating(self._connection, WRITE):
            self._carry(write(self._connection, buffer), lambda: timeout)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.settimeout(0)
            self._socket.sendall(closing(self._connection))
        self._socket.close()

    def get_extra_info(self, info: str) -> Any:
        return tell(self._connection, self._socket, info)

    def _carry(self, pumping: Pumping[_T], timeout: Callable[[], float | None], *, apart: bool = False) -> _T:
        """What the pump returns; each wait takes `timeout()` at most.  `apart`: a thread does the work."""
        came: bytes | None = None
        while True:
            try:
                out = aside(partial(pumping.send, came), timeout()) if apart else pumping.send(came)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
            self._socket.settimeout(timeout())
            came = None
            if out is None:
                came = self._socket.recv(CHUNK)
            else:
                self._socket.sendall(out)


def _left(ends: float | None) -> float | None:
    if ends is None:
        return None
    left = ends - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
