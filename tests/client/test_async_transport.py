"""`certbound.client.tls.looping` and `AsyncTransport`: the same promises as the blocking ones keep."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from certbound.client import Identity, open_async_client, open_client
from certbound.client.tls import TLS_CONNECTION
from certbound.trust.authority import Authority, self_signed
from client.served import Served, served


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as running:
        running.answer("/", {"hello": "world"})
        yield running


async def test_a_server_of_the_ca_is_believed(server: Served) -> None:
    """By name and by address, and one connection serves several requests."""
    async with open_async_client(ca=server.ca) as client:
        for url in (server.url, server.url, server.url.replace("localhost", "127.0.0.1")):
            assert (await client.get(url)).json() == {"hello": "world"}


@pytest.mark.parametrize("host", ["a..example", f"{'a' * 64}.example"])
async def test_what_no_host_can_be_called_is_no_connection(host: str) -> None:
    """An empty label, or one of 64 letters: as any other host that is not there, with and without a loop."""
    async with open_async_client() as client:
        with pytest.raises(httpx.ConnectError, match="no host can have this name"):
            await client.get(f"https://{host}/")
    with open_client() as blocking, pytest.raises(httpx.ConnectError, match="no host can have this name"):
        blocking.get(f"https://{host}/")


async def test_a_server_of_another_ca_is_refused(server: Served, tmp_path: Path) -> None:
    """Its application sees nothing, and the sentence says why."""
    other = tmp_path / "other.pem"
    other.write_bytes(Authority.create("other").certificate_pem)
    for ca in (other, None):
        async with open_async_client(ca=ca) as client:
            with pytest.raises(httpx.ConnectError, match="cannot be trusted: its issuer"):
                await client.get(server.url)
    assert server.asked == []


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"dns": ["other.example"]}, "is not for localhost"),
        ({"ips": ["127.0.0.1"]}, "is not for localhost"),
        ({"dns": ["localhost"], "now": datetime.now(UTC) - timedelta(days=9), "days": 1}, "it has expired"),
        ({"dns": ["localhost"], "usage": "client"}, "it is not made for servers"),
    ],
    ids=["other-name", "address", "expired", "client"],
)
async def test_a_certificate_that_does_not_serve(tmp_path: Path, facts: dict[str, object], reason: str) -> None:
    """Of another name, expired, or made for clients: refused."""
    authority = Authority.create("servers")
    issued = authority.issue("CN=localhost", **{"usage": "server", **facts})  # type: ignore[arg-type]
    with served(tmp_path, certificate=issued) as server:
        server.ca.write_bytes(authority.certificate_pem)
        async with open_async_client(ca=server.ca) as client:
            with pytest.raises(httpx.ConnectError, match=reason):
                await client.get(server.url)
        assert server.asked == []


@pytest.mark.parametrize("key", ["P-256", "ML-DSA-65"])
async def test_the_certificate_is_presented_and_proven(server: Served, key: str) -> None:
    """Post-quantum ones among them; the key agreement is post-quantum, too."""
    issued = self_signed("CN=client", key=key)
    own = Identity(issued.chain_pem, issued.key_pem)
    async with open_async_client(own, ca=server.ca) as client, client.stream("GET", server.url) as answer:
        connection = answer.extensions["network_stream"].get_extra_info(TLS_CONNECTION)
        await answer.aread()
        assert (connection.get_protocol_version_name(), connection.get_group_name()) == ("TLSv1.3", "X25519MLKEM768")
    assert server.asked[-1][2] == own.thumbprint


async def test_plain_http_is_not_spoken(server: Served) -> None:
    """No byte leaves in the clear, whatever the URL says."""
    async with open_async_client(ca=server.ca) as client:
        with pytest.raises(httpx.UnsupportedProtocol, match="https"):
            await client.get(server.url.replace("https:", "http:"))


async def test_a_silent_server_is_left() -> None:
    """A handshake that does not go on ends after the timeout as a whole."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with open_async_client() as client:
            with pytest.raises(httpx.ConnectTimeout):
                await client.get(f"https://127.0.0.1:{silent.getsockname()[1]}", timeout=0.2)


async def test_a_dripping_server_is_left() -> None:
    """Bytes that come one by one do not prolong the handshake."""

    left = asyncio.Event()

    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x16\x03\x03\x3e\x80\x02\x00\x3e\x7c")  # of a handshake record of 16,000 bytes
        with contextlib.suppress(OSError):
            while True:
                writer.write(b"\x03")
                await writer.drain()
                await asyncio.sleep(0.02)
        writer.close()
        left.set()

    async with await asyncio.start_server(drip, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        begun = time.monotonic()
        async with open_async_client() as client:
            with pytest.raises(httpx.TransportError):
                await client.get(f"https://127.0.0.1:{port}", timeout=0.3)
        assert time.monotonic() - begun < 2
        await asyncio.wait_for(left.wait(), 5)


async def test_nobody_listens() -> None:
    """It is a connection error with a sentence."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with open_async_client() as client:
        with pytest.raises(httpx.ConnectError, match="no connection"):
            await client.get(f"https://127.0.0.1:{port}")


async def test_a_long_answer_arrives_whole(server: Served) -> None:
    """Several megabytes pass in both directions, byte by byte the same."""
    server.answer("/", "x" * 5_000_000)
    async with open_async_client(ca=server.ca) as client:
        answer = await client.post(server.url, content=b"y" * 5_000_000)
    assert answer.content == server.answers["/"].body  # type: ignore[union-attr]
    assert server.asked[-1][1] == b"y" * 5_000_000


async def test_a_request_that_is_cancelled_leaves_no_connection(server: Served) -> None:
    """The next one has one of its own, and its own answer."""
    async with open_async_client(ca=server.ca) as client:
        await client.get(server.url)
        task = asyncio.create_task(client.post(server.url, content=b"z" * 3_000_000))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await client.get(server.url)).json() == {"hello": "world"}
