"""A TLS connection over memory, as generators: they yield bytes to send, or None for bytes to come."""

import contextlib
import select
import socket
from collections.abc import Callable, Generator, Iterator
from typing import Any, TypeVar

import httpcore
from OpenSSL import SSL

from certbound.client.tls.context import Connection, why

TLS_CONNECTION = "tls_connection"
CHUNK = 64 * 1024

_T = TypeVar("_T")
Pumping = Generator[bytes | None, bytes | None, _T]
"""Yields bytes that go to the server, or None and is sent what came from there, b"" at the end."""


def perform(connection: Connection, action: Callable[[], _T]) -> Pumping[_T]:
    """What `action` returns, after as many bytes went out and came in as it needs."""
    while True:
        try:
            result = action()
        except SSL.WantReadError:
            yield from outgoing(connection)
            if data := (yield None):
                connection.bio_write(data)
            else:
                connection.bio_shutdown()
        except SSL.Error:
            # An alert tells the server why we leave.
            with contextlib.suppress(OSError):
                yield from outgoing(connection)
            raise
        else:
            yield from outgoing(connection)
            return result


def write(connection: Connection, buffer: bytes) -> Pumping[None]:
    """All of `buffer`, encrypted."""
    rest = memoryview(buffer)
    while rest:
        rest = rest[(yield from perform(connection, lambda: connection.send(rest))) :]  # noqa: B023


def outgoing(connection: Connection) -> Generator[bytes, Any, None]:
    """What the connection has to send."""
    with contextlib.suppress(SSL.WantReadError):  # nothing more to send
        while data := connection.bio_read(CHUNK):
            yield data


def closing(connection: Connection) -> bytes:
    """What is sent last: that this is the end."""
    with contextlib.suppress(SSL.Error):
        connection.shutdown()
    return b"".join(outgoing(connection))


@contextlib.contextmanager
def connecting() -> Iterator[None]:
    """What fails is one of `httpcore`'s errors of connecting."""
    try:
        yield
    except TimeoutError as error:
        raise httpcore.ConnectTimeout("the connection took too long") from error
    except OSError as error:
        raise httpcore.ConnectError(f"no connection: {error.strerror or error}") from error
    except UnicodeError as error:  # "a..b", or a label of 64 letters: no resolver is asked
        raise httpcore.ConnectError("no connection: no host can have this name") from error


class translating:  # noqa: N801
    """What fails is one of `httpcore`'s errors; a class, because it stands around every read and write."""

    __slots__ = ("_connection", "_kinds")

    def __init__(self, connection: Connection, kinds: tuple[type[Exception], type[Exception], str]) -> None:
        self._connection = connection
        self._kinds = kinds

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        too_late, broken, late = self._kinds
        if isinstance(error, TimeoutError):
            raise too_late(late) from error
        if isinstance(error, SSL.Error | OSError):
            raise broken(why(self._connection, error)) from error


HANDSHAKE = (httpcore.ConnectTimeout, httpcore.ConnectError, "the TLS handshake took too long")
READ = (httpcore.ReadTimeout, httpcore.ReadError, "the server did not answer in time")
WRITE = (httpcore.WriteTimeout, httpcore.WriteError, "the server did not read in time")


def tell(connection: Connection, connected: socket.socket, info: str) -> Any:
    """`TLS_CONNECTION` is the pyOpenSSL connection; `ssl_object` would be one of the `ssl` module, and is None."""
    if info == TLS_CONNECTION:
        return connection
    if info == "socket":
        return connected
    if info == "is_readable":
        return _is_readable(connected)
    return None


def _is_readable(connected: socket.socket) -> bool:
    """Whether an idle connection has news, which can only be its end."""
    if connected.fileno() < 0:
        return True
    poll = select.poll()
    poll.register(connected, select.POLLIN)
    return bool(poll.poll(0))
