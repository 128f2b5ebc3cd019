"""What a warm client adds to each request beyond plain `httpx` over the same TLS: CPU in one process.

    .venv/bin/python bench/calling.py            # a minute; writes bench/calling.md
    .venv/bin/python bench/calling.py --check    # exit 1 if the goal is missed by more than half

Plain: an `httpx.Client` on one pool with our TLS context, which sends a token that it was given.  Ours: what
`certbound.client.open` and `.open_async` return, which has a token.  The server is another process.  Both ask in turn,
a few requests each, over one kept connection; of five runs the median counts.
"""

import argparse
import asyncio
import gc
import json
import multiprocessing
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

import httpcore
import httpx

import certbound.client
from certbound import tls
from certbound.client import Identity
from certbound.client.tls import AsyncTLSBackend, TLSBackend, TLSContext
from certbound.client.transport import _to_httpcore, async_client_over, client_over
from certbound.trust.authority import Authority, self_signed

RUNS, TURNS, REQUESTS = 5, 20, 50
GOAL = 30.0
RESULTS = Path(__file__).with_name("calling.md")
TOKEN = "t" * 800


class Plain(httpx.BaseTransport):
    """One pool and nothing else."""

    def __init__(self, identity: Identity, ca: Path) -> None:
        self.pool = httpcore.ConnectionPool(
            ssl_context=cast("Any", TLSContext(identity, ca=ca)), network_backend=TLSBackend(), keepalive_expiry=30
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self.pool.handle_request(_to_httpcore(request))
        return httpx.Response(answer.status, headers=answer.headers, stream=Stream(answer.stream))

    def close(self) -> None:
        self.pool.close()


class AsyncPlain(httpx.AsyncBaseTransport):
    """The same with `await`."""

    def __init__(self, identity: Identity, ca: Path) -> None:
        self.pool = httpcore.AsyncConnectionPool(
            ssl_context=cast("Any", TLSContext(identity, ca=ca)), network_backend=AsyncTLSBackend(), keepalive_expiry=30
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self.pool.handle_async_request(_to_httpcore(request))
        return httpx.Response(answer.status, headers=answer.headers, stream=AsyncStream(answer.stream))

    async def aclose(self) -> None:
        await self.pool.aclose()


class Stream(httpx.SyncByteStream):
    """What `httpx` itself puts around a body."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def __iter__(self) -> Any:
        yield from self.stream

    def close(self) -> None:
        self.stream.close()


class AsyncStream(httpx.AsyncByteStream):
    """The same with `await`."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    async def __aiter__(self) -> Any:
        async for chunk in self.stream:
            yield chunk

    async def aclose(self) -> None:
        await self.stream.aclose()


def serve(folder: Path, told: Connection) -> None:
    """An issuer and an API in one, in a process of its own, until it is ended."""
    port = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        while (await receive())["more_body"]:
            pass
        url = f"https://localhost:{port}"
        answers: dict[str, Any] = {
            "/.well-known/oauth-authorization-server": {"issuer": url, "token_endpoint": url + "/token"},
            "/.well-known/oauth-protected-resource": {
                "resource": url, "tls_client_certificate_bound_access_tokens": True,
            },
            "/token": {"access_token": TOKEN, "token_type": "Bearer", "expires_in": 3600},
        }  # fmt: skip
        has_token = (b"authorization", b"Bearer " + TOKEN.encode()) in scope["headers"]
        body = json.dumps(answers.get(scope["path"], {"token": has_token})).encode()
        length = (b"content-length", b"%d" % len(body))
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": body})

    async def live() -> None:
        nonlocal port
        host = tls.VirtualHost(
            certificate=folder / "server.pem", key=folder / "server.key", app=app, asks_for_certificate=True
        )
        running = await tls.start([tls.Port(host="127.0.0.1", port=0, virtual_hosts=(host,))])
        port = running.addresses[0][1]
        told.send(port)
        await asyncio.Event().wait()

    asyncio.run(live())


async def cost(call: Callable[[], Awaitable[httpx.Response]]) -> float:
    """Microseconds of CPU for each request."""
    gc.collect()  # what others left is not ours
    begun = time.process_time()
    for _ in range(REQUESTS):
        answer = await call()
    used = time.process_time() - begun
    if answer.json() != {"token": True}:
        raise SystemExit("the API saw no token; what was measured is no call")
    return used * 1e6 / REQUESTS


async def measure(url: str, folder: Path) -> dict[str, list[tuple[float, float]]]:
    """By kind and run: what a plain request costs, and what ours costs beyond it."""
    issued = self_signed("CN=client")
    identity, ca = Identity(issued.chain_pem, issued.key_pem), folder / "ca.pem"
    (folder / "client.pem").write_bytes(issued.chain_pem + issued.key_pem)
    given: dict[str, Any] = {"certificate": folder / "client.pem", "resource": url, "ca": ca}
    headers = {"authorization": f"Bearer {TOKEN}"}
    plain, ours = client_over(Plain(identity, ca)), certbound.client.open(url, "me", **given)
    async_plain = async_client_over(AsyncPlain(identity, ca))
    async_ours = certbound.client.open_async(url, "me", **given)

    async def blocking(client: httpx.Client, more: dict[str, str] | None) -> httpx.Response:
        return client.get(url + "/api", headers=more)  # noqa: ASYNC212

    kinds: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        "Client": (lambda: blocking(plain, headers), lambda: blocking(ours, None)),
        "AsyncClient": (
            lambda: async_plain.get(url + "/api", headers=headers), lambda: async_ours.get(url + "/api"),
        ),
    }  # fmt: skip
    found: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
    for _ in range(RUNS):
        for kind, (without, with_ours) in kinds.items():
            await cost(without)
            await cost(with_ours)
            turns = [(await cost(without), await cost(with_ours)) for _ in range(TURNS)]
            found[kind].append((
                statistics.median(one for one, _ in turns), statistics.median(other - one for one, other in turns),
            ))  # fmt: skip
    plain.close()
    ours.close()
    await async_plain.aclose()
    await async_ours.aclose()
    return found


def report(found: dict[str, list[tuple[float, float]]]) -> str:
    """The page."""
    rows = []
    for kind, runs in found.items():
        more = [each for _, each in runs]
        own = statistics.median(each for each, _ in runs)
        spread = f"{min(more):+.1f} to {max(more):+.1f}"
        rows.append(f"| `{kind}` | {own:.0f} | {statistics.median(more):+.1f} | {spread} | ≤ {GOAL:g} |")
    return "\n".join([
        "# The cost of a call", "",
        "CPU µs of the client for each request: plain `httpx` over the same TLS context with a token that it was",
        "given, and what a warm client of `certbound.client.open` or `.open_async` costs beyond it: the median of",
        f"five runs, the least and the most. A run is {TURNS} turns of {REQUESTS} requests each, on one connection.",
        "", "| | plain | beyond it | runs | goal |", "|---|---|---|---|---|", *rows, "",
        f"Python {platform.python_version()}, {platform.machine()}.", "",
    ])  # fmt: skip


def main() -> int:
    """Measures, writes, and judges."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--check", action="store_true", help="exit 1 if the goal is missed by half; writes nothing")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        authority = Authority.create("bench")
        issued = authority.issue("CN=localhost", dns=["localhost"], usage="server")
        (folder / "server.pem").write_bytes(issued.chain_pem)
        (folder / "server.key").write_bytes(issued.key_pem)
        (folder / "ca.pem").write_bytes(authority.certificate_pem)
        told, tells = multiprocessing.Pipe()
        server = multiprocessing.get_context("spawn").Process(target=serve, args=(folder, tells), daemon=True)
        server.start()
        try:
            found = asyncio.run(measure(f"https://localhost:{told.recv()}", folder))
        finally:
            server.terminate()
            server.join()
    page = report(found)
    sys.stdout.write(page)
    if not check:
        RESULTS.write_text(page)
    worst = max(statistics.median(more for _, more in runs) for runs in found.values())
    return int(worst > GOAL * (1.5 if check else 1))


if __name__ == "__main__":
    sys.exit(main())
