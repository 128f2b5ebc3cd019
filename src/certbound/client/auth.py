"""Calling an API with bound tokens: `CertificateBoundAuth` for `httpx` (RFC 6750, RFC 8705).

Rule 1: a token goes over the connection of the certificate that it is bound to, and to the API it is for, nowhere else.
Rule 2: however many requests wait for a token, it is asked for once; if that fails, it fails for all of them.
Rule 3: a 401 `invalid_token` leads to one new token and one retry, of a request whose body can be sent again.
Rule 4: of an answer that is not the last one, a little is read: it is nobody's.
Rule 5: nothing is sent with a certificate that has ended, by the clock on the wall.
Rule 6: an API that does not enforce binding gets no token, unless the caller says so (RFC 9728).
"""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from typing import Any, get_args
from urllib.parse import urlsplit

import httpx

from certbound.client.driving import drive, drive_async
from certbound.client.errors import (
    AnswerUnusable,
    ApiUnsafe,
    ClientError,
    IdentityUnusable,
    MetadataUnusable,
    ServerUnreachable,
    TokenRefused,
)
from certbound.client.expiry import blame, ended, has_ended
from certbound.client.flow import Credential, Flow, ServerMetadata, client_credentials, describe_api, discover
from certbound.client.flow.api import Binding, require_binding, says_invalid_token
from certbound.client.flow.bound import require_bound
from certbound.client.forking import anew_in_children
from certbound.client.identity import Identity
from certbound.client.keeping import Kept, Name, Shelf
from certbound.client.transport import (
    IDENTITY,
    ORIGIN,
    AsyncTransport,
    Origin,
    Transport,
    async_client_over,
    client_over,
)

METADATA_LIFETIME = 3600.0
"""Seconds after which an issuer, and an API, is asked again what it is."""
READ_OF_REFUSAL = 16 * 1024
"""Bytes that are read of a 401 whose request is sent once more."""
WAITED_FOR_REFUSAL = 5.0
"""Seconds for the same."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A token for a request: who, which, and where it goes."""

    identity: Identity
    name: Name
    origin: Origin


class CertificateBoundAuth(httpx.Auth):
    """Adds a token to each request; `transport` is the one of the client that uses this, `Transport` or its twin."""

    def __init__(
        self,
        transport: Transport | AsyncTransport,
        issuer: str,
        client: str | Credential,
        *,
        resource: str | None = None,
        scope: str | None = None,
        api: str | None = None,
        binding: Binding = "not denied",
        shelf: Shelf | None = None,
    ) -> None:
        """`resource` is the API's identifier (RFC 8707), `api` a URL of it if it is elsewhere than that says.

        `binding` is what the API has to say of itself before it gets a token.  Without an API, tokens go to any https
        URL that is asked for.
        """
        if binding not in get_args(Binding):
            raise ClientError(f"binding is one of {', '.join(map(repr, get_args(Binding)))}, not {binding!r}")
        if not isinstance(scope, str | None):
            raise ClientError(f"scope is one text with a space between its words, not {scope!r:.200}")
        self._issuer = issuer
        self._client = Credential(client) if isinstance(client, str) else client
        self._resource = resource
        self._scope = scope
        self._only = origin_of(api or resource)
        self._binding = binding
        self._shelf = shelf or Shelf()
        self._pools = transport.pools
        self._http = client_over(transport) if isinstance(transport, Transport) else None
        self._async_http = async_client_over(transport) if isinstance(transport, AsyncTransport) else None
        self._accompany = transport.accompany if isinstance(transport, AsyncTransport) else None
        self._server: tuple[ServerMetadata, float] | None = None
        self._asked: dict[Origin, float] = {}
        self._lock = threading.Lock()
        self._flights: dict[tuple[Name, Origin], Future[Kept]] = {}
        self._tasks: dict[tuple[Name, Origin], asyncio.Task[Kept]] = {}
        anew_in_children(self)

    def begin_anew(self) -> None:
        """Whoever was asking for a token is not there."""
        self._lock = threading.Lock()
        self._flights, self._tasks = {}, {}

    def __repr__(self) -> str:
        return f"CertificateBoundAuth({self._issuer!r}, {self._client.client_id!r})"

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """The request with a token; once more with another one, if that is refused."""
        wanted = self._wanted(request)
        kept = self._find(wanted) or self._obtain(wanted)
        response = yield _with_token(request, kept, wanted)
        if _is_refused(response) and self._shelf.refused(wanted.name, kept) and _can_be_sent_again(request):
            wanted = self._wanted(request)
            kept = self._find(wanted) or self._obtain(wanted)
            response.stream = _Beginning(response.stream)
            yield _with_token(request, kept, wanted)

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """As `sync_auth_flow`."""
        wanted = self._wanted(request)
        kept = self._find(wanted) or await self._obtain_async(wanted)
        response = yield _with_token(request, kept, wanted)
        if _is_refused(response) and self._shelf.refused(wanted.name, kept) and _can_be_sent_again(request):
            wanted = self._wanted(request)
            kept = self._find(wanted) or await self._obtain_async(wanted)
            response.stream = _Beginning(response.stream)
            yield _with_token(request, kept, wanted)

    def _wanted(self, request: httpx.Request) -> _Wanted:
        """`ApiUnsafe` for a request that goes elsewhere."""
        identity = self._pools.current()
        if identity is None:
            raise IdentityUnusable("the client has no certificate, so no token can be bound to it")
        origin = (request.url.raw_host, request.url.port)
        if request.url.scheme != "https" or (self._only is not None and origin != self._only):
            where = f"{request.url.scheme}://{request.url.netloc.decode('ascii')}"
            raise ApiUnsafe(
                f"{where} is not the API that this client has tokens for; nothing was sent; open another client for it"
            )
        if has_ended(identity, now := self._shelf.clocks.wall()):
            raise ended(identity, now, self._pools.files)
        name = Name(self._issuer, self._client.client_id, identity.thumbprint, self._resource, self._scope)
        return _Wanted(identity, name, origin)

    def _find(self, wanted: _Wanted) -> Kept | None:
        """A token, if there is one, and that API was found to enforce binding, or need not."""
        asked = self._asked.get(wanted.origin)
        return self._shelf.find(wanted.name) if asked is not None and self._is_fresh(asked) else None

    def _obtain(self, wanted: _Wanted) -> Kept:
        if self._http is None:
            raise ClientError("an httpx.Client needs Transport, not AsyncTransport")
        while True:
            with self._lock:
                # Whoever had the flight before may just have landed.
                if (kept := self._find(wanted)) is not None:
                    return kept
                flight = self._flights.get((wanted.name, wanted.origin))
                if flight is None:
                    mine = self._flights[wanted.name, wanted.origin] = Future[Kept]()
                    break
            try:
                return flight.result()
            except CancelledError:
                continue  # whoever asked was stopped; somebody else asks
        try:
            kept = drive(self._http, self._fetch(wanted), identity=wanted.identity, wall=self._shelf.clocks.wall)
        except BaseException as error:
            with self._lock:
                del self._flights[wanted.name, wanted.origin]
            if isinstance(error, Exception):
                mine.set_exception(error)
            else:
                mine.cancel()
            raise
        with self._lock:
            del self._flights[wanted.name, wanted.origin]
        mine.set_result(kept)
        return kept

    async def _obtain_async(self, wanted: _Wanted) -> Kept:
        if self._async_http is None or self._accompany is None:
            raise ClientError("an httpx.AsyncClient needs AsyncTransport, not Transport")
        flight = (wanted.name, wanted.origin)
        task = self._tasks.get(flight)
        if task is None or task.get_loop() is not asyncio.get_running_loop():
            task = self._tasks[flight] = asyncio.create_task(
                drive_async(
                    self._async_http, self._fetch(wanted), identity=wanted.identity, wall=self._shelf.clocks.wall
                )
            )
            task.add_done_callback(lambda done: self._land(flight, done))
            self._accompany(task)
        try:
            # One waiter that is cancelled leaves it to the others.
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            waiter = asyncio.current_task()
            if task.cancelled() and waiter is not None and not waiter.cancelling():
                raise ServerUnreachable("the client was closed while it asked for a token") from None
            raise

    def _land(self, flight: tuple[Name, Origin], task: asyncio.Task[Kept]) -> None:
        if self._tasks.get(flight) is task:
            del self._tasks[flight]
        if not task.cancelled():
            task.exception()  # whoever waited has it; perhaps nobody did

    def _fetch(self, wanted: _Wanted) -> Flow[Kept]:
        """What is asked before a request goes out: the issuer's metadata, the API's, and a token."""
        # (1) The API says enough for a bound token to go there.
        yield from self._ask_api(wanted.origin)
        # (2) Another request may have brought a token meanwhile.
        if (found := self._shelf.find(wanted.name)) is not None:
            return found
        # (3) The token.
        begun = self._shelf.begin()
        try:
            server = yield from self._discover()
            resources: Sequence[str] = [] if self._resource is None else [self._resource]
            token = yield from client_credentials(server, self._client, scope=self._scope, resources=resources)
            # (4) It is bound to the certificate that it will go with.
            where = server.endpoint("token_endpoint", mutual_tls=True)
            require_bound(where, token.access_token, wanted.identity.thumbprint, unbound=self._binding == "any")
        except (ServerUnreachable, AnswerUnusable, MetadataUnusable):
            self._server = None  # its endpoints may have moved
            raise
        except TokenRefused as error:
            blame(wanted.identity, self._shelf.clocks.wall(), error, self._pools.files)
            raise
        return self._shelf.keep(wanted.name, token, begun)

    def _ask_api(self, origin: Origin) -> Flow[None]:
        asked = self._asked.get(origin)
        if asked is not None and self._is_fresh(asked):
            return
        if self._binding != "any":
            url = _url_of(origin)
            require_binding(url, (yield from describe_api(url, self._resource)), self._binding)
        self._asked[origin] = self._shelf.clocks.monotonic()

    def _discover(self) -> Flow[ServerMetadata]:
        if self._server is None or not self._is_fresh(self._server[1]):
            self._server = ((yield from discover(self._issuer)), self._shelf.clocks.monotonic())
        return self._server[0]

    def _is_fresh(self, since: float) -> bool:
        return self._shelf.clocks.monotonic() - since < METADATA_LIFETIME


def _with_token(request: httpx.Request, kept: Kept, wanted: _Wanted) -> httpx.Request:
    request.headers["authorization"] = kept.header
    request.extensions[IDENTITY] = wanted.identity
    request.extensions[ORIGIN] = wanted.origin
    return request


class _Beginning(httpx.SyncByteStream, httpx.AsyncByteStream):
    """The first bytes of an answer that httpx reads to its end before it sends the next request."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        left, ends = READ_OF_REFUSAL, time.monotonic() + WAITED_FOR_REFUSAL
        for chunk in self._stream:
            yield chunk
            left -= len(chunk)
            if left < 0 or time.monotonic() > ends:
                return

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left, ends = READ_OF_REFUSAL, time.monotonic() + WAITED_FOR_REFUSAL
        async for chunk in self._stream:
            yield chunk
            left -= len(chunk)
            if left < 0 or time.monotonic() > ends:
                return

    def close(self) -> None:
        self._stream.close()

    async def aclose(self) -> None:
        await self._stream.aclose()


def _is_refused(response: httpx.Response) -> bool:
    """RFC 6750 section 3.1: the token is expired, revoked, or of another certificate."""
    return response.status_code == 401 and says_invalid_token(response.headers.get_list("www-authenticate"))


def _can_be_sent_again(request: httpx.Request) -> bool:
    """Whether the body is in memory; a generator or a file is used up."""
    return isinstance(request.stream, httpx.ByteStream)


def origin_of(url: str | None) -> Origin | None:
    """None for what is no https URL: a resource may have any URI for a name."""
    if url is None or urlsplit(url).scheme != "https":
        return None
    found = httpx.URL(url)
    return found.raw_host, found.port


def _url_of(origin: Origin) -> str:
    host, port = origin
    name = host.decode("ascii")
    return "https://" + (f"[{name}]" if ":" in name else name) + ("" if port is None else f":{port}")
