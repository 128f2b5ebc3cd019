"""Flows over `httpx`, synchronous and asynchronous.

Rule 1: each request is sent once; no redirect is followed, no answer is decompressed, none is read beyond its bound,
        of bytes or of time.
Rule 2: a request of a stranger goes over `strangers`, never over the client's own identity.
Rule 3: what fails on the way is thrown into the flow as `ServerUnreachable`, so that it can clean up.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx

from certbound.client.deadline import ending
from certbound.client.errors import AnswerUnusable, ClientError, MetadataUnusable, ServerUnreachable, TokenRefused
from certbound.client.expiry import blame
from certbound.client.flow import (
    Answer,
    Credential,
    Device,
    Flow,
    Pending,
    Request,
    ServerMetadata,
    Token,
    client_credentials,
    discover,
    poll_device,
)
from certbound.client.identity import Identity
from certbound.client.pools import Pools
from certbound.client.transport import IDENTITY

_T = TypeVar("_T")

LONGEST = 60.0
"""Seconds for one answer, however steadily its bytes come."""


def drive(
    client: httpx.Client,
    flow: Flow[_T],
    *,
    strangers: httpx.Client | None = None,
    identity: Identity | None = None,
    wall: Callable[[], float] = time.time,
) -> _T:
    """What `flow` returns, after all it asked was asked over `client`, as `identity` if its transport has several.

    `IdentityUnusable` if there is no answer, or none of OAuth, and the certificate has ended by `wall`.
    """
    answer: Answer | ClientError | None = None
    while True:
        try:
            request = _step(flow, answer)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
        except (ServerUnreachable, MetadataUnusable, AnswerUnusable) as error:
            _blame_expiry(client, identity, wall(), error)
            raise
        try:
            answer = send(_chosen(request, client, strangers), request, identity)
        except ClientError as error:
            answer = error


async def drive_async(
    client: httpx.AsyncClient,
    flow: Flow[_T],
    *,
    strangers: httpx.AsyncClient | None = None,
    identity: Identity | None = None,
    wall: Callable[[], float] = time.time,
) -> _T:
    """As `drive`."""
    answer: Answer | ClientError | None = None
    while True:
        try:
            request = _step(flow, answer)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
        except (ServerUnreachable, MetadataUnusable, AnswerUnusable) as error:
            _blame_expiry(client, identity, wall(), error)
            raise
        try:
            answer = await send_async(_chosen(request, client, strangers), request, identity)
        except ClientError as error:
            answer = error


def send(client: httpx.Client, request: Request, identity: Identity | None = None) -> Answer:
    """One request, one bounded answer.  `ServerUnreachable` if none comes, `AnswerUnusable` if it is too long."""
    body, ends = bytearray(), time.monotonic() + LONGEST
    with _reaching(request, ends), ending(ends), client.stream(**_sent(request, identity)) as response:
        for chunk in response.iter_raw():
            _take(body, chunk, request, ends)
    return _answer(response, body)


async def send_async(client: httpx.AsyncClient, request: Request, identity: Identity | None = None) -> Answer:
    """As `send`."""
    body, ends = bytearray(), time.monotonic() + LONGEST
    with _reaching(request, ends):
        async with asyncio.timeout(LONGEST), client.stream(**_sent(request, identity)) as response:
            async for chunk in response.aiter_raw():
                _take(body, chunk, request, ends)
    return _answer(response, body)


def fetch_metadata(client: httpx.Client, issuer: str) -> ServerMetadata:
    """The issuer's metadata.  `MetadataUnusable` or `ServerUnreachable` says why there is none."""
    return drive(client, discover(issuer))


def request_token(
    client: httpx.Client,
    server: ServerMetadata,
    client_id: str,
    *,
    scope: str | None = None,
    resources: Sequence[str] = (),
) -> Token:
    """A token by client_credentials; the identity of `client` is the credential.

    `TokenRefused` with the server's error; `AnswerUnusable` or `ServerUnreachable` if there is no such answer.
    """
    return drive(client, client_credentials(server, Credential(client_id), scope=scope, resources=resources))


def await_device(client: httpx.Client, server: ServerMetadata, credential: Credential, device: Device) -> Token:
    """The token, as soon as the person has agreed; `TokenRefused` if they did not, or not in time."""
    ends, interval = time.monotonic() + device.expires_in, device.interval
    while time.monotonic() + interval < ends:
        time.sleep(interval)
        came = drive(client, poll_device(server, credential, device, interval=interval))
        if not isinstance(came, Pending):
            return came
        interval = came.interval
    raise _too_late(server)


async def await_device_async(
    client: httpx.AsyncClient, server: ServerMetadata, credential: Credential, device: Device
) -> Token:
    """As `await_device`."""
    ends, interval = time.monotonic() + device.expires_in, device.interval
    while time.monotonic() + interval < ends:
        await asyncio.sleep(interval)
        came = await drive_async(client, poll_device(server, credential, device, interval=interval))
        if not isinstance(came, Pending):
            return came
        interval = came.interval
    raise _too_late(server)


def _step(flow: Flow[Any], answer: Answer | ClientError | None) -> Request:
    if isinstance(answer, ClientError):
        return flow.throw(answer)
    return next(flow) if answer is None else flow.send(answer)


def _blame_expiry(
    client: httpx.Client | httpx.AsyncClient, identity: Identity | None, now: float, error: ClientError
) -> None:
    """Servers say it in many ways: an alert of TLS, a page of a proxy with 400, a 403 of their own."""
    pools = getattr(client._transport, "pools", None)  # noqa: SLF001 - httpx has no other way to it
    if isinstance(pools, Pools):
        blame(identity or pools.current(), now, error, pools.files)


_C = TypeVar("_C", httpx.Client, httpx.AsyncClient)


def _chosen(request: Request, client: _C, strangers: _C | None) -> _C:
    if not request.stranger:
        return client
    if strangers is None:
        raise ClientError("this flow needs a client with a certificate that nobody knows; give it as strangers")
    return strangers


def _sent(request: Request, identity: Identity | None) -> dict[str, Any]:
    return {
        "method": request.method, "url": request.url, "headers": request.fields(), "content": request.body(),
        "follow_redirects": False, "auth": None, "extensions": None if identity is None else {IDENTITY: identity},
    }  # fmt: skip


@contextmanager
def _reaching(request: Request, ends: float) -> Iterator[None]:
    try:
        yield
    except (httpx.RequestError, httpx.InvalidURL, TimeoutError) as error:
        if time.monotonic() >= ends:
            raise _too_long(request) from error
        raise ServerUnreachable(f"{request.url} cannot be reached: {error}") from error
    except UnicodeError as error:  # the system's way to say that a label is too long, or empty
        raise ServerUnreachable(f"{request.url} cannot be reached: no such name") from error


def _take(body: bytearray, chunk: bytes, request: Request, ends: float) -> None:
    body += chunk
    if len(body) > request.most:
        raise AnswerUnusable(f"{request.url} answers more than {request.most} bytes; that is no answer of OAuth")
    if time.monotonic() >= ends:
        raise _too_long(request)


def _too_long(request: Request) -> AnswerUnusable:
    return AnswerUnusable(f"{request.url} took more than {LONGEST:g} seconds for its answer, and had not ended")


def _answer(response: httpx.Response, body: bytearray) -> Answer:
    return Answer(response.status_code, {name.lower(): value for name, value in response.headers.items()}, bytes(body))


def _too_late(server: ServerMetadata) -> TokenRefused:
    return TokenRefused(endpoint=server.issuer, error="expired_token", description="nobody decided in time")
