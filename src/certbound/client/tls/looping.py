"""TLS over a socket of the running `asyncio` loop, as `httpcore` wants it."""

import asyncio
import contextlib
import socket
from collections.abc import Iterable
from typing import Any, TypeVar

import httpcore
from OpenSSL import SSL

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


class AsyncTLSBackend(httpcore.AsyncNetworkBackend):
    """Connections whose `start_tls` takes a `Context`."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        with connecting():
            async with asyncio.timeout(timeout):
                connected = await _connect(host, port, local_address)
        for option in ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), *(socket_options or ())):
            connected.setsockopt(*option)
        return _Plain(connected)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _Plain(httpcore.AsyncNetworkStream):
    """A connected socket, good for nothing but `start_tls`."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected

    async def aclose(self) -> None:
        self._socket.close()

    async def start_tls(
        self,
        ssl_context: Any,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore.AsyncNetworkStream:
        try:
            return await AsyncTLSStream.handshake(self._socket, ssl_context, server_hostname or "", timeout)
        except BaseException:
            self._socket.close()
            raise


class AsyncTLSStream(httpcore.AsyncNetworkStream):
    """A TLS connection to a server that proved to be the one named."""

    def __init__(self, connected: socket.socket, connection: Connection) -> None:
        self._socket = connected
        self._connection = connection

    @classmethod
    async def handshake(
        cls,
        connected: socket.socket,
        context: Context,
        name: str,
        timeout: float | None,  # noqa: ASYNC109
    ) -> "AsyncTLSStream":
        """`httpcore.ConnectError` says why there is none, `httpcore.ConnectTimeout` after `timeout` seconds in all."""
        connection = context.connection(name)
        stream = cls(connected, connection)
        with translating(connection, HANDSHAKE):
            async with asyncio.timeout(timeout):
                await stream._carry(perform(connection, connection.do_handshake), None, apart=context.signs_slowly)
            require_name(connection, name)
        return stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        """As `TLSStream.read`."""
        with translating(self._connection, READ):
            try:
                async with asyncio.timeout(timeout):
                    return await self._carry(perform(self._connection, lambda: self._connection.recv(max_bytes)), None)
            except SSL.ZeroReturnError:
                return b""

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        with translating(self._connection, WRITE):
            await self._carry(write(self._connection, buffer), timeout)

    async def aclose(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.send(closing(self._connection))
        self._socket.close()

    def get_extra_info(self, info: str) -> Any:
        return tell(self._connection, self._socket, info)

    async def _carry(
        self,
        pumping: Pumping[_T],
        timeout: float | None,  # noqa: ASYNC109
        *,
        apart: bool = False,
    ) -> _T:
        """What the pump returns; each wait for the server takes `timeout` at most.  `apart`: a thread does the work."""
        loop = asyncio.get_running_loop()
        came: bytes | None = None
        while True:
            step = await asyncio.to_thread(_step, pumping, came) if apart else _step(pumping, came)
            if isinstance(step, StopIteration):
                return step.value  # type: ignore[no-any-return]
            out, came = step, None
            async with asyncio.timeout(timeout):
                if out is None:
                    came = await loop.sock_recv(self._socket, CHUNK)
                else:
                    await loop.sock_sendall(self._socket, out)


def _step(pumping: Pumping[Any], came: bytes | None) -> bytes | StopIteration | None:
    """What is next; no future can carry a `StopIteration` that is raised."""
    try:
        return pumping.send(came)
    except StopIteration as done:
        return done


async def _connect(host: str, port: int, local_address: str | None) -> socket.socket:
    """A connection to the first address of `host` that takes one."""
    loop = asyncio.get_running_loop()
    failed: OSError = OSError(f"{host} has no address")
    for family, kind, protocol, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        connected = socket.socket(family, kind, protocol)
        try:
            connected.settimeout(0)
            if local_address:
                connected.bind((local_address, 0))
            await loop.sock_connect(connected, address)
        except OSError as error:
            connected.close()
            failed = error
        except BaseException:
            connected.close()
            raise
        else:
            return connected
    raise failed
