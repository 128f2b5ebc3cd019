"""How a resource server reads what an issuer publishes: bounded, and no more often than needed.

Rule 1: URLs come from settings and from the metadata of exactly that issuer; never from a token alone.
Rule 2: one fetch at a time for one thing, however many wait for it; it goes on when they are gone, so nobody can spend
it for nothing.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import msgspec

from certbound.core.well_known import Issuer, discovery_paths, well_known

MAX_DOCUMENT = 256 * 1024
"""Bytes of a metadata document or a JWK Set."""

FAILURES = (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError)
"""What a fetch fails with."""


class SingleFlight:
    """One fetch at a time.  The interval runs from the end of one to the begin of the next."""

    __slots__ = ("_clock", "_ended_at", "_task")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ended_at = float("-inf")
        self._task: asyncio.Task[None] | None = None

    def begin(self, fetch: Callable[[], Coroutine[Any, Any, None]], *, interval: float) -> None:
        """`fetch` is under way, unless one was so short a time ago, in seconds; it must not raise."""
        if not self._is_under_way() and self._clock() - self._ended_at >= interval:
            self._task = asyncio.create_task(self._run(fetch))

    async def end(self) -> None:
        """What is under way, whoever began it, has ended."""
        if self._task is not None and self._is_under_way():
            await asyncio.shield(self._task)

    def _is_under_way(self) -> bool:
        # What a loop of another thread began, or of the process that this one was forked from, is nothing to wait for.
        task = self._task
        return task is not None and not task.done() and task.get_loop() is asyncio.get_running_loop()

    async def _run(self, fetch: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await fetch()
        finally:
            self._ended_at = self._clock()  # however long it took


async def load_metadata(client: httpx.AsyncClient, issuer: Issuer) -> dict[str, Any]:
    """The metadata of exactly this issuer: at RFC 8414's place, and where that answers 404, at OpenID's.

    One of `FAILURES` otherwise.
    """
    try:
        metadata = await load_object(client, _origin(issuer) + well_known(issuer))
    except httpx.HTTPStatusError as error:
        if error.response.status_code != httpx.codes.NOT_FOUND:
            raise
        metadata = await load_object(client, _origin(issuer) + discovery_paths(issuer)[0])
    if metadata.get("issuer") != issuer:
        raise ValueError(f"its metadata is that of {metadata.get('issuer')!r}")
    return metadata


async def load_object(client: httpx.AsyncClient, url: str) -> dict[str, Any]:
    """The JSON object at `url`.  One of `FAILURES` otherwise."""
    try:
        document = msgspec.json.decode(await load(client, url, most=MAX_DOCUMENT), type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(f"{url} answers no JSON object: {error}") from error
    return document


async def load(client: httpx.AsyncClient, url: str, *, most: int, accept: str = "*/*") -> bytes:
    """The bytes at `url`, `most` of them.  One of `FAILURES` otherwise."""
    # Nothing is decompressed: a few bytes could become more than memory holds before they are counted.
    headers = {"accept-encoding": "identity", "accept": accept}
    async with client.stream("GET", url, headers=headers, follow_redirects=False) as response:
        response.raise_for_status()
        return await read_body(response, url, most=most)


async def read_body(response: httpx.Response, url: str, *, most: int) -> bytes:
    """The bytes of a response whose sender was told that nothing is decompressed.  One of `FAILURES` otherwise."""
    if (encoding := response.headers.get("content-encoding", "identity")).lower() != "identity":
        raise ValueError(f"{url} answers with content-encoding {encoding!r}, which was not asked for")
    body = b""
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > most:
            raise ValueError(f"{url} answers more than {most} bytes")
    return body


def told(error: BaseException) -> str:
    """Why a fetch failed, and what to look at, for the log."""
    why = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if "CERTIFICATE_VERIFY_FAILED" in why:
        return (
            f"{why}; issuer_ca (--issuer-ca) names the CAs that vouch for its server, if the system does not know them"
        )
    if isinstance(error, (httpx.TransportError, TimeoutError)):
        return f"{why}; does it run, and can it be reached from here?"
    return why


def _origin(issuer: str) -> str:
    return "/".join(issuer.split("/", 3)[:3])
