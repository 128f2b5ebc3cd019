"""A certificate that is renewed while requests run, at our own server and guard over real TLS."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

import certbound.client
import certbound.client.aiohttp
import certbound.client.requests
import e2e.world
from certbound.tls import peer_certificate
from certbound.trust.authority import Issued
from e2e.world import RESOURCE, World, thumbprint, world

RATE = 200
"""Requests in a second that have to be answered."""
PACE = 240
"""That are sent."""
SECONDS = 5
THREADS = 16

Get = Callable[[], Awaitable[tuple[int, str]]]
"""One request: the status, and the thumbprint of the certificate that the API saw."""


@asynccontextmanager
async def httpx_async(built: World, **given: Any) -> AsyncIterator[Get]:
    async with certbound.client.open_async(built.issuer, "me", **given, timeout=30) as api:

        async def get() -> tuple[int, str]:
            answer = await api.get("/")
            return answer.status_code, answer.text

        yield get
        assert api._transport.pools._older == []  # type: ignore[attr-defined]


@asynccontextmanager
async def aiohttp_(built: World, **given: Any) -> AsyncIterator[Get]:
    async with certbound.client.aiohttp.open(built.issuer, "me", **given) as session:

        async def get() -> tuple[int, str]:
            async with session.get("/") as answer:
                return answer.status, await answer.text()

        yield get


@asynccontextmanager
async def httpx_threads(built: World, **given: Any) -> AsyncIterator[Get]:
    with certbound.client.open(built.issuer, "me", **given, timeout=30) as api, ThreadPoolExecutor(THREADS) as threads:

        def get() -> tuple[int, str]:
            answer = api.get("/")
            return answer.status_code, answer.text

        yield lambda: asyncio.get_running_loop().run_in_executor(threads, get)
        assert api._transport.pools._older == []  # type: ignore[attr-defined]


@asynccontextmanager
async def requests_threads(built: World, **given: Any) -> AsyncIterator[Get]:
    """One session in each thread, over one adapter: a session of requests is no thing for several threads."""
    adapter = certbound.client.requests.open(built.issuer, "me", **given).get_adapter("https://")
    local = threading.local()

    def get() -> tuple[int, str]:
        if not hasattr(local, "session"):
            local.session = requests.Session()
            local.session.trust_env = False
            local.session.mount("https://", adapter)
        answer = local.session.get(built.api + "/", timeout=30)
        return answer.status_code, answer.text

    with ThreadPoolExecutor(THREADS) as threads:
        yield lambda: asyncio.get_running_loop().run_in_executor(threads, get)
    adapter.close()


FACES = {"httpx-async": httpx_async, "httpx": httpx_threads, "requests": requests_threads, "aiohttp": aiohttp_}


def write(place: Path, issued: Issued, *, torn: bool = False) -> None:
    """As careless programs do: the certificate first, the key a while later."""
    (place / "me.pem").write_bytes(issued.chain_pem)
    if torn:
        time.sleep(0.05)
    (place / "me.key").write_bytes(issued.key_pem)


async def telling(scope: Any, receive: Any, send: Any) -> None:
    """An API that says who called it."""
    del receive
    peer = peer_certificate(scope)
    body = peer.leaf.thumbprint.encode() if peer else b""
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.mark.wide
@pytest.mark.alone
@pytest.mark.parametrize("face", FACES)
async def test_renewed_under_two_hundred_requests_a_second(
    tmp_path: Path, face: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No request fails, the API sees each certificate in its turn, and the rate was reached, or nothing is shown."""
    monkeypatch.setattr(e2e.world, "sample_api", telling)
    with world(tmp_path) as built:
        await asyncio.to_thread(
            built.register, "me", token_endpoint_auth_method="tls_client_auth", tls_client_auth_san_dns="me.example"
        )
        one, two, three = (issued(built) for _ in range(3))
        write(tmp_path, one)
        given = {
            "certificate": tmp_path / "me.pem", "key": tmp_path / "me.key", "resource": RESOURCE, "api": built.api,
            "ca": tmp_path / "ca.pem",
        }  # fmt: skip
        async with FACES[face](built, **given) as get:
            tasks, writing = [], []
            begun = time.monotonic()
            for number in range(PACE * SECONDS):
                if number in {PACE * 3 // 2, PACE * 3}:
                    renewed = two if number < PACE * 2 else three
                    writing.append(asyncio.create_task(asyncio.to_thread(write, tmp_path, renewed, torn=True)))
                tasks.append(asyncio.ensure_future(get()))
                await asyncio.sleep(max(0, begun + (number + 1) / PACE - time.monotonic()))
            answers = await asyncio.gather(*tasks)
            took = time.monotonic() - begun
            await asyncio.gather(*writing)
            last = await get()
    assert Counter(status for status, _ in answers) == {200: PACE * SECONDS}
    seen = [each for _, each in answers]
    assert set(seen) == {thumbprint(each) for each in (one, two, three)}
    assert (seen[0], last) == (thumbprint(one), (200, thumbprint(three)))
    assert len(answers) / took >= RATE, f"this machine managed {len(answers) / took:.0f} a second"


def issued(built: World) -> Issued:
    return built.authority.issue("CN=me", dns=["me.example"])


def test_a_certificate_that_has_ended(tmp_path: Path) -> None:
    """The error says so, and a renewed one is picked up without a restart."""
    with world(tmp_path) as built:
        built.register("me", token_endpoint_auth_method="tls_client_auth", tls_client_auth_san_dns="me.example")
        ended = built.authority.issue("CN=me", dns=["me.example"], now=datetime.now(UTC) - timedelta(days=2), days=1)
        write(tmp_path, ended)
        with certbound.client.open(
            built.issuer, "me", certificate=tmp_path / "me.pem", key=tmp_path / "me.key", resource=RESOURCE,
            api=built.api, ca=tmp_path / "ca.pem",
        ) as api:  # fmt: skip
            with pytest.raises(certbound.client.IdentityUnusable, match=r"me\.pem expired at"):
                api.get("/")
            write(tmp_path, issued(built))
            time.sleep(1.05)
            assert api.get("/").status_code == 200
