"""Streams for `httpcore`: to an address that was chosen before, and no longer than they may be."""

import ssl
from typing import Any

import httpcore

from certbound.trust.addresses import Address


async def connect(address: Address, port: int, patience: float, *, last: bool) -> httpcore.AsyncNetworkStream | None:
    """A stream to the address; None if it cannot be had in `patience` seconds and is not the `last`."""
    try:
        return await httpcore.AnyIOBackend().connect_tcp(str(address), port, timeout=patience)
    except (httpcore.NetworkError, httpcore.TimeoutException):
        if last:
            raise
        return None


class Bounded(httpcore.AsyncNetworkStream):
    """A stream that ends in an error after so many bytes were read, whatever they were for; TLS is not counted."""

    def __init__(self, stream: httpcore.AsyncNetworkStream, most: int) -> None:
        self._stream = stream
        self._left = most

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        data = await self._stream.read(max_bytes, timeout)
        self._left -= len(data)
        if self._left < 0:
            raise TooMuchError
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore.AsyncNetworkStream:
        return Bounded(await self._stream.start_tls(ssl_context, server_hostname, timeout), self._left)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class Connected(httpcore.AsyncNetworkBackend):
    """Gives the stream that is there already, whatever name it is asked for."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream

    async def connect_tcp(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        return self._stream


class TooMuchError(Exception):
    """More bytes on the wire than an answer of the stated size needs."""
