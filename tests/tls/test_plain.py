"""certbound.tls.plain: HTTP without TLS, with the same bounds and the same end."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from certbound import tls
from certbound.tls import EXTENSION, Limits, PlainPort

NAMES = frozenset({"localhost", "127.0.0.1"})


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Says what it knows of the connection, and gives back the body."""
    if scope["type"] != "http":
        raise RuntimeError(scope["type"])
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    facts = f"{scope['scheme']} {EXTENSION in scope['extensions'] or 'tls' in scope['extensions']} ".encode()
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(facts + body))]}
    )
    await send({"type": "http.response.body", "body": facts + body})


@contextlib.asynccontextmanager
async def serving(names: frozenset[str] | None = NAMES, **limits: Any) -> AsyncIterator[tuple[str, int]]:
    running = await tls.start([PlainPort(host="127.0.0.1", port=0, app=echo, names=names, limits=Limits(**limits))])
    try:
        yield running.addresses[0]
    finally:
        await running.stop(grace=1)


async def talk(address: tuple[str, int], *parts: bytes) -> bytes:
    """All that comes back until the server closes."""
    reader, writer = await asyncio.open_connection(*address)
    for part in parts:
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(0.02)
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return answer


def request(host: str = "localhost", body: bytes = b"", more: str = "Connection: close\r\n") -> bytes:
    return f"POST / HTTP/1.1\r\nHost: {host}\r\n{more}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def test_it_serves_without_facts_of_a_connection() -> None:
    """No request that came this way can have a certificate."""
    async with serving() as address:
        answer = await talk(address, request(body=b"hello"))
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"http False hello")


async def test_a_connection_stays_and_a_body_comes_in_pieces() -> None:
    """Two requests in one packet, and one in many."""
    body = b"x" * 200_000
    async with serving() as address:
        last = request(body=body)
        answer = await talk(
            address, request(more="") + request(body=b"second", more=""), last[:20], last[20:1000], last[1000:]
        )
    assert answer.count(b"HTTP/1.1 200") == 3
    assert b"second" in answer
    assert answer.endswith(body)


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost", 200), ("127.0.0.1:9090", 200), ("evil.example", 421), ("localhost.evil.example", 421), ("a b", 400)],
)
async def test_another_name_that_points_here_is_not_answered(host: str, status: int) -> None:
    """DNS rebinding: the page of a stranger reads nothing."""
    async with serving() as address:
        assert (await talk(address, request(host))).startswith(f"HTTP/1.1 {status}".encode())


async def test_without_names_any_is_answered() -> None:
    """As the network says that it is ours."""
    async with serving(None) as address:
        assert (await talk(address, request("metrics.example"))).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 60_000, 431),
        (b"GET / HTTP/1.1\r\nHost: local", 408),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
    ],
)
async def test_the_bounds_hold_here_too(sent: bytes, status: int) -> None:
    """Large headers, slow ones, TLS by mistake, no host."""
    async with serving(header_seconds=0.2) as address:
        assert (await talk(address, sent)).startswith(f"HTTP/1.1 {status}".encode())


async def test_an_idle_connection_ends() -> None:
    """Also one that never said anything."""
    async with serving(idle_seconds=0.2) as address:
        assert await talk(address) == b""


async def test_a_stop_closes_idle_connections() -> None:
    """At once."""
    running = await tls.start([PlainPort(host="127.0.0.1", port=0, app=echo, names=NAMES)])
    reader, writer = await asyncio.open_connection(*running.addresses[0])
    await asyncio.sleep(0.05)
    assert running.connections == 1
    running.reload()
    await running.stop(grace=5)
    assert await reader.read() == b""
    writer.close()
