"""The one way in which trust reads a URL: what others publish, at addresses that others chose.

Rule 1: the name is resolved here, once; what is connected to is an address that was looked at.  TLS and HTTP still
speak of the name.
Rule 2: addresses that are not public are refused unless the deployment says otherwise; of several, those that are
public are used.
Rule 3: no redirect, no proxy, no cookie, no credential, no compression; one connection for one answer.
Rule 4: everything is bounded: bytes of the body, bytes around it, seconds from the name to the last byte, fetches at
a time at one place and in all.
Rule 5: whatever goes wrong is a `FetchFailed`, whose text names the host and never repeats what it said.
"""

import asyncio
import contextlib
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import httpcore

from certbound.core.errors import CertboundError, ConfigurationError
from certbound.trust.addresses import Address, Resolve, SystemResolver, permitted, site_of
from certbound.trust.streams import Bounded, Connected, TooMuchError, connect
from certbound.trust.target import Target
from certbound.trust.turns import Turns

HTTPS = frozenset({"https"})
HTTP_OR_HTTPS = frozenset({"http", "https"})

MOST_ADDRESSES = 4
"""How many addresses of a name are tried."""
MOST_AROUND = 64 * 1024
"""Bytes that may come beside the body: status, headers, chunk sizes, trailers."""


class Failure(StrEnum):
    """Why a fetch failed."""

    URL = "url"
    """Nothing that may be fetched."""
    NAME = "name"
    """The name has no address."""
    ADDRESS = "address"
    """None of its addresses may be connected to."""
    CONNECT = "connect"
    """Nobody answers there."""
    TLS = "tls"
    """The server cannot be verified."""
    BUSY = "busy"
    """Too many fetch already, here or there; nothing is known of the server."""
    TIMEOUT = "timeout"
    """It took too long."""
    REDIRECT = "redirect"
    """It points elsewhere."""
    STATUS = "status"
    """It does not say 200."""
    ENCODING = "encoding"
    """It compresses though it was asked not to."""
    SIZE = "size"
    """It says too much."""
    PROTOCOL = "protocol"
    """It does not speak HTTP, or breaks off."""


class FetchFailed(CertboundError):
    """Nothing was fetched; the text is for the log."""

    def __init__(self, failure: Failure, reason: str) -> None:
        super().__init__(reason)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came with status 200.  Names of headers are in small letters; equal ones are joined by a comma."""

    body: bytes
    headers: Mapping[str, str]


@dataclass(slots=True)
class FetchStatistics:
    """Numbers since the start."""

    attempts: int = 0
    running: int = 0
    failures: Counter[Failure] = field(default_factory=Counter)
    last_seconds: float = 0.0
    """How long the last one took, failed or not."""


class Fetcher:
    """Fetches for one deployment."""

    def __init__(
        self,
        *,
        private_addresses: bool = False,
        timeout: float = 5.0,
        ca: Path | None = None,
        resolve: Resolve | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`ca` is a PEM file of those who vouch for https servers; the system's if None.  `timeout` is in seconds.

        `ConfigurationError` if `ca` cannot be read.
        """
        self.timeout = timeout
        self.statistics = FetchStatistics()
        self._private_addresses = private_addresses
        self._tls = _tls_context(ca)
        self._system = SystemResolver()
        self._resolve = resolve or self._system
        self._clock = clock
        self._turns = Turns(clock)

    async def fetch(
        self,
        url: str,
        *,
        most: int,
        schemes: Iterable[str] = HTTPS,
        body: bytes | None = None,
        content_type: str = "application/octet-stream",
        accept: str = "*/*",
    ) -> Fetched:
        """What `url` answers, at most `most` bytes; by POST if there is a `body`.  `FetchFailed` otherwise."""
        begun_at = self._clock()
        self.statistics.attempts += 1
        self.statistics.running += 1
        try:
            target = self._read(url, frozenset(schemes))
            headers = {"accept": accept} if body is None else {"accept": accept, "content-type": content_type}
            with _failures_of(target.host):
                return await self._fetch(target, headers, body, most)
        except FetchFailed as error:
            self.statistics.failures[error.failure] += 1
            raise
        finally:
            self.statistics.running -= 1
            self.statistics.last_seconds = self._clock() - begun_at

    def close(self) -> None:
        """Nothing is fetched any more."""
        self._system.close()

    def _read(self, url: str, schemes: frozenset[str]) -> Target:
        try:
            return Target.read(url, schemes, any_port=self._private_addresses)
        except ValueError as error:
            raise FetchFailed(Failure.URL, str(error)) from error

    async def _fetch(self, target: Target, headers: Mapping[str, str], body: bytes | None, most: int) -> Fetched:
        """From one address after the other; the name and waiting take `timeout` at most, and so does the rest."""
        now = asyncio.get_running_loop().time
        until = now() + self.timeout
        async with asyncio.timeout_at(until):
            addresses = await self._addresses_of(target)
        for position, address in enumerate(addresses):
            left = len(addresses) - position
            async with contextlib.AsyncExitStack() as stack:
                await self._take_turn(address, target, stack, until)
                if position == 0:
                    until = now() + self.timeout
                async with asyncio.timeout_at(until):
                    patience = (until - now()) / left
                    stream = await connect(address, target.port, patience, last=left == 1)
                    if stream is not None:
                        stack.push_async_callback(stream.aclose)
                        return await self._exchange(target, Bounded(stream, most + MOST_AROUND), headers, body, most)
        raise AssertionError("the last address is connected to, or raises")

    async def _addresses_of(self, target: Target) -> list[Address]:
        """Those that may be connected to, at least one."""
        try:
            addresses = await self._resolve(target.host, target.port)
        except (OSError, UnicodeError, RuntimeError) as error:  # the last where no thread can be had
            raise FetchFailed(Failure.NAME, f"{target.host} has no address: {error}") from error
        found = permitted(addresses, private=self._private_addresses)[:MOST_ADDRESSES]
        if not found:
            raise FetchFailed(Failure.ADDRESS, f"{target.host} has no public address; see fetch.private_addresses")
        return found

    async def _take_turn(
        self, address: Address, target: Target, stack: contextlib.AsyncExitStack, until: float
    ) -> None:
        try:
            async with asyncio.timeout_at(until):
                await stack.enter_async_context(self._turns.turn(site_of(address)))
        except TimeoutError as error:
            raise FetchFailed(Failure.BUSY, f"{target.host} was not asked: too many wait for it") from error

    async def _exchange(
        self, target: Target, stream: "Bounded", headers: Mapping[str, str], body: bytes | None, most: int
    ) -> Fetched:
        url = target.url
        connection = httpcore.AsyncHTTPConnection(url.origin, ssl_context=self._tls, network_backend=Connected(stream))
        everything = {
            "host": target.authority,
            "user-agent": "certbound",
            "accept-encoding": "identity",
            "connection": "close",
            **headers,
        }
        method = "GET" if body is None else "POST"
        async with connection, connection.stream(method, url, headers=list(everything.items()), content=body) as answer:
            found = _read_headers(answer.headers)
            _require_plain(target.host, answer.status, found, most)
            content = bytearray()
            async for chunk in answer.aiter_stream():
                content += chunk
                if len(content) > most:
                    raise FetchFailed(Failure.SIZE, f"{target.host} answers more than {most} bytes")
        return Fetched(bytes(content), found)


def _read_headers(headers: Iterable[tuple[bytes, bytes]]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for name, value in headers:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found


def _require_plain(host: str, status: int, headers: Mapping[str, str], most: int) -> None:
    """Status 200, a body as it is, not announced longer than `most`."""
    if 300 <= status < 400 and status != 304:
        raise FetchFailed(Failure.REDIRECT, f"{host} redirects ({status}); redirects are not followed")
    if status != 200:
        raise FetchFailed(Failure.STATUS, f"{host} answers with status {status}")
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise FetchFailed(Failure.ENCODING, f"{host} answers with a content-encoding that was not asked for")
    length = headers.get("content-length", "0")
    if length.isascii() and length.isdigit() and (len(length) > 18 or int(length) > most):
        raise FetchFailed(Failure.SIZE, f"{host} announces more than {most} bytes")


@contextlib.contextmanager
def _failures_of(host: str) -> Iterator[None]:
    """What libraries raise becomes a `FetchFailed`."""
    try:
        yield
    except TimeoutError as error:
        raise FetchFailed(Failure.TIMEOUT, f"{host} took too long") from error
    except TooMuchError as error:
        raise FetchFailed(Failure.SIZE, f"{host} answers more than was asked for") from error
    except httpcore.ConnectError as error:
        failure = Failure.TLS if isinstance(error.__cause__, ssl.SSLError) else Failure.CONNECT
        raise FetchFailed(failure, f"{host} cannot be connected to: {error}") from error
    except httpcore.TimeoutException as error:
        raise FetchFailed(Failure.TIMEOUT, f"{host} does not answer") from error
    except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
        raise FetchFailed(
            Failure.PROTOCOL, f"{host} breaks off or does not speak HTTP ({type(error).__name__})"
        ) from error


def _tls_context(ca: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"fetch.ca: {ca} cannot be read as PEM: {error}") from error
