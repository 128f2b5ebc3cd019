"""`httpx` over our TLS: `httpx.Client(transport=Transport(identity, ca=...))`, and the same with `Async` before both.

Rule 1: https only; a plain http URL is refused before a connection is made.
Rule 2: one identity is one pool; another certificate is another pool, and never the same connection.
Rule 3: a request that failed is not sent again here.
Rule 4: a request for one API goes there and nowhere else, whatever redirects httpx was told to follow.
Rule 5: what an argument of httpx would change about all this is refused, never ignored.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, cast, get_args

import httpcore
import httpx

from certbound.client.errors import ApiUnsafe, ClientError
from certbound.client.identity import Identity, IdentitySource
from certbound.client.pools import Held, Pools
from certbound.client.tls import AsyncTLSBackend, TLSBackend, context_for

TIMEOUT = 10.0
"""Seconds that connecting, and each wait for bytes, may take."""

IDENTITY = "certbound_identity"
"""The extension of a request that says over whose connection it goes."""

ORIGIN = "certbound_origin"
"""The extension of a request that says where alone it may go."""

Origin = tuple[bytes, int | None]
"""Host and port; the scheme is always https."""

MinimumTLS = Literal["1.2", "1.3"]


class Transport(httpx.BaseTransport):
    """Requests over TLS, with the client's certificate where the server asks for one."""

    def __init__(
        self,
        identity: IdentitySource | None = None,
        *,
        ca: Path | str | None = None,
        minimum_tls: MinimumTLS = "1.2",
    ) -> None:
        """`ca` is a PEM file of whom we believe about servers; None: the system's roots."""
        _require_version(minimum_tls)
        believed = None if ca is None else Path(ca)

        def make(who: Identity | None) -> httpcore.ConnectionPool:
            context = context_for(who, ca=believed, minimum_tls=minimum_tls)
            return httpcore.ConnectionPool(
                ssl_context=cast("Any", context), network_backend=TLSBackend(), **_POOL
            )  # fmt: skip

        self.pools = Pools(identity, make)

    def __repr__(self) -> str:
        return f"Transport({self.pools})"

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        _require_allowed(request)
        held, idle = self.pools.enter(request.extensions.get(IDENTITY))
        _close(idle)
        try:
            with _as_httpx(request):
                answer = held.pool.handle_request(_to_httpcore(request))
        except BaseException:
            self._leave(held)
            raise
        stream = _Stream(cast("httpcore.ConnectionPool", answer.stream), request, lambda: self._leave(held))
        return httpx.Response(answer.status, headers=answer.headers, stream=stream, extensions=answer.extensions)

    def close(self) -> None:
        _close(self.pools.empty())

    def _leave(self, held: Held[httpcore.ConnectionPool]) -> None:
        _close(self.pools.leave(held))


class AsyncTransport(httpx.AsyncBaseTransport):
    """As `Transport`, on an `asyncio` loop."""

    def __init__(
        self,
        identity: IdentitySource | None = None,
        *,
        ca: Path | str | None = None,
        minimum_tls: MinimumTLS = "1.2",
    ) -> None:
        """As `Transport`."""
        _require_version(minimum_tls)
        believed = None if ca is None else Path(ca)

        def make(who: Identity | None) -> httpcore.AsyncConnectionPool:
            context = context_for(who, ca=believed, minimum_tls=minimum_tls)
            return httpcore.AsyncConnectionPool(
                ssl_context=cast("Any", context), network_backend=AsyncTLSBackend(), **_POOL
            )  # fmt: skip

        self.pools = Pools(identity, make)
        self._tasks: set[asyncio.Task[Any]] = set()

    def __repr__(self) -> str:
        return f"AsyncTransport({self.pools})"

    def accompany(self, task: asyncio.Task[Any]) -> None:
        """`task` asks over these connections for nobody in particular; it ends with them."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        _require_allowed(request)
        held, idle = self.pools.enter(request.extensions.get(IDENTITY))
        try:
            await _aclose(idle)
            with _as_httpx(request):
                answer = await held.pool.handle_async_request(_to_httpcore(request))
        except BaseException:
            await self._leave(held)
            raise
        stream = _AsyncStream(answer.stream, request, lambda: self._leave(held))
        return httpx.Response(answer.status, headers=answer.headers, stream=stream, extensions=answer.extensions)

    async def aclose(self) -> None:
        # Else they wait for sockets that are closed.
        ours = [each for each in self._tasks if each.get_loop() is asyncio.get_running_loop()]
        for task in ours:
            task.cancel()
        await asyncio.gather(*ours, return_exceptions=True)
        await _aclose(self.pools.empty())

    async def _leave(self, held: Held[httpcore.AsyncConnectionPool]) -> None:
        await _aclose(self.pools.leave(held))


def open_client(
    identity: IdentitySource | None = None, *, ca: Path | str | None = None, minimum_tls: MinimumTLS = "1.2"
) -> httpx.Client:
    """An `httpx.Client` over `Transport` that follows no redirect and reads neither proxies nor .netrc."""
    return client_over(Transport(identity, ca=ca, minimum_tls=minimum_tls))


def open_async_client(
    identity: IdentitySource | None = None, *, ca: Path | str | None = None, minimum_tls: MinimumTLS = "1.2"
) -> httpx.AsyncClient:
    """As `open_client`."""
    return async_client_over(AsyncTransport(identity, ca=ca, minimum_tls=minimum_tls))


def client_over(transport: httpx.BaseTransport, **more: Any) -> httpx.Client:
    """A client over that transport, and over nothing else."""
    _require_ours(more)
    return httpx.Client(
        transport=transport, **{"timeout": TIMEOUT, "follow_redirects": False, "trust_env": False, **more}
    )


def async_client_over(transport: httpx.AsyncBaseTransport, **more: Any) -> httpx.AsyncClient:
    """As `client_over`."""
    _require_ours(more)
    return httpx.AsyncClient(
        transport=transport, **{"timeout": TIMEOUT, "follow_redirects": False, "trust_env": False, **more}
    )


class _Stream(httpx.SyncByteStream):
    def __init__(self, stream: Any, request: httpx.Request, done: Callable[[], None]) -> None:
        self._stream = stream
        self._request = request
        self._done: Callable[[], None] | None = done

    def __iter__(self) -> Iterator[bytes]:
        with _as_httpx(self._request):
            yield from self._stream

    def close(self) -> None:
        done, self._done = self._done, None
        if done is not None:
            try:
                self._stream.close()
            finally:
                done()


class _AsyncStream(httpx.AsyncByteStream):
    def __init__(self, stream: Any, request: httpx.Request, done: Callable[[], Any]) -> None:
        self._stream = stream
        self._request = request
        self._done: Callable[[], Any] | None = done

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_httpx(self._request):
            async for chunk in self._stream:
                yield chunk

    async def aclose(self) -> None:
        done, self._done = self._done, None
        if done is not None:
            try:
                await self._stream.aclose()
            finally:
                await done()


def _require_allowed(request: httpx.Request) -> None:
    if request.url.scheme != "https":
        raise httpx.UnsupportedProtocol(f"{request.url.scheme}: is not https:, and nothing else is spoken here")
    only = request.extensions.get(ORIGIN)
    if only is not None and only != (request.url.raw_host, request.url.port):
        raise ApiUnsafe(
            f"the API redirects to https://{request.url.netloc.decode('ascii')}, which is another one; nothing was "
            "sent there; open another client for it"
        )


def _require_version(minimum_tls: str) -> None:
    # Whoever writes 1.3 without quotes must not get less than they wanted.
    if minimum_tls not in get_args(MinimumTLS):
        raise ClientError(f"minimum_tls is '1.2' or '1.3', not {minimum_tls!r}")


def _require_ours(arguments: Mapping[str, Any]) -> None:
    for name in arguments.keys() & _NOT_GIVEN.keys():
        raise ClientError(f"{name}= is not used here: {_NOT_GIVEN[name]}")


def _close(pools: list[httpcore.ConnectionPool]) -> None:
    for pool in pools:
        pool.close()


async def _aclose(pools: list[httpcore.AsyncConnectionPool]) -> None:
    for pool in pools:
        await pool.aclose()


def _to_httpcore(request: httpx.Request) -> httpcore.Request:
    url = httpcore.URL(
        scheme=request.url.raw_scheme, host=request.url.raw_host, port=request.url.port, target=request.url.raw_path
    )
    return httpcore.Request(
        method=request.method, url=url, headers=request.headers.raw, content=request.stream,
        extensions=request.extensions,
    )  # fmt: skip


@contextlib.contextmanager
def _as_httpx(request: httpx.Request) -> Iterator[None]:
    try:
        yield
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
        kind = next(_EXCEPTIONS[each] for each in type(error).__mro__ if each in _EXCEPTIONS)
        raise kind(str(error), request=request) from error


_OURS = "it would be another connection than that of the certificate that tokens are bound to"
_NOT_GIVEN = {
    "cert": "give certificate and key, or an Identity to the transport",
    "verify": "say whom to believe by ca",
    "mounts": _OURS,
    "proxy": _OURS,
    "proxies": _OURS,
    "http1": "HTTP/1.1 is all that is spoken here",
    "http2": "HTTP/1.1 is all that is spoken here",
    "limits": "a pool has as many connections as httpx has by default",
}

# As many connections as `httpx` itself would have.
_POOL: dict[str, Any] = {
    "http1": True, "http2": False, "keepalive_expiry": 30, "max_connections": 100, "max_keepalive_connections": 20,
}  # fmt: skip

# The two libraries have the same names for the same things.
_EXCEPTIONS: Mapping[type, type[httpx.RequestError]] = {
    getattr(httpcore, name): getattr(httpx, name)
    for name in (
        "ConnectError", "ConnectTimeout", "LocalProtocolError", "NetworkError", "PoolTimeout", "ProtocolError",
        "ReadError", "ReadTimeout", "RemoteProtocolError", "TimeoutException", "WriteError",
        "WriteTimeout",
    )
}  # fmt: skip
