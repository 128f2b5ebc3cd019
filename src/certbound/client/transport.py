"""`httpx` over our TLS: `httpx.Client(transport=Transport(identity, ca=...))`.

Rule 1: https only; a plain http URL is refused before a connection is made.
Rule 2: one transport is one identity; another certificate is another transport, and never the same connection.
"""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, cast

import httpcore
import httpx

from certbound.client.identity import Identity
from certbound.client.tls import TLSBackend, TLSContext

TIMEOUT = 10.0
"""Seconds that connecting, and each wait for bytes, may take."""


class Transport(httpx.BaseTransport):
    """Requests over TLS, with the client's certificate where the server asks for one."""

    def __init__(
        self,
        identity: Identity | None = None,
        *,
        ca: Path | None = None,
        minimum_tls: Literal["1.2", "1.3"] = "1.2",
    ) -> None:
        """`ca` is a PEM file of whom we believe about servers; None: the system's roots."""
        context = TLSContext(identity, ca=ca, minimum_tls=minimum_tls)
        self._pool = httpcore.ConnectionPool(
            ssl_context=cast("Any", context), network_backend=TLSBackend(), http1=True, http2=False, keepalive_expiry=30
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.scheme != "https":
            raise httpx.UnsupportedProtocol(f"{request.url.scheme}: is not https:, and nothing else is spoken here")
        with _as_httpx(request):
            answer = self._pool.handle_request(_to_httpcore(request))
        stream = _Stream(cast("httpcore.ConnectionPool", answer.stream), request)
        return httpx.Response(answer.status, headers=answer.headers, stream=stream, extensions=answer.extensions)

    def close(self) -> None:
        self._pool.close()


def open_client(
    identity: Identity | None = None, *, ca: Path | None = None, minimum_tls: Literal["1.2", "1.3"] = "1.2"
) -> httpx.Client:
    """An `httpx.Client` over `Transport` that follows no redirect and reads neither proxies nor .netrc."""
    transport = Transport(identity, ca=ca, minimum_tls=minimum_tls)
    return httpx.Client(transport=transport, timeout=TIMEOUT, follow_redirects=False, trust_env=False)


class _Stream(httpx.SyncByteStream):
    def __init__(self, stream: Any, request: httpx.Request) -> None:
        self._stream = stream
        self._request = request

    def __iter__(self) -> Iterator[bytes]:
        with _as_httpx(self._request):
            yield from self._stream

    def close(self) -> None:
        self._stream.close()


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


# The two libraries have the same names for the same things.
_EXCEPTIONS: Mapping[type, type[httpx.RequestError]] = {
    getattr(httpcore, name): getattr(httpx, name)
    for name in (
        "ConnectError", "ConnectTimeout", "LocalProtocolError", "NetworkError", "PoolTimeout", "ProtocolError",
        "ReadError", "ReadTimeout", "RemoteProtocolError", "TimeoutException", "WriteError",
        "WriteTimeout",
    )
}  # fmt: skip
