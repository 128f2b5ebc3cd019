"""certbound.tls.unix_sockets and `PlainPort.path`: HTTP on a Unix socket, which nobody else reaches and which goes."""

import asyncio
import json
import os
import socket
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import websockets
from websockets.asyncio.client import unix_connect

from certbound import tls
from certbound.core.errors import ConfigurationError
from certbound.tls import PlainPort, plain
from certbound.tls.facts import hop


async def tells(scope: Any, receive: Any, send: Any) -> None:
    """What the application knows of the peer."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": json.dumps(repr(hop(scope)))})
        return
    found = hop(scope)
    said = {"unix": found is not None and found.is_unix, "client": scope["client"], "server": scope["server"]}
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(said).encode()})


async def ask(path: Path, *, from_path: Path | None = None) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        if from_path is not None:
            client.bind(str(from_path))
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, str(path))
        reader, writer = await asyncio.open_unix_connection(sock=client.dup())
        writer.write(b"GET / HTTP/1.1\r\nHost: any\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(5):
            answer = await reader.read()
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), answer
    chunk = body.split(b"\r\n")[1] if b"chunked" in head.lower() else body
    found: dict[str, Any] = json.loads(chunk)
    return found


async def test_a_request_by_the_socket_says_so(tmp_path: Path) -> None:
    """The hop is a Unix socket, also where the client's own socket has a path; no address is made of it."""
    running = await tls.start([PlainPort(path=tmp_path / "s", app=tells)])
    try:
        assert (str(tmp_path / "s"), 0) == running.addresses[0]
        for origin in (None, tmp_path / "client"):
            assert await ask(tmp_path / "s", from_path=origin) == {"unix": True, "client": None, "server": None}
    finally:
        await running.stop(grace=1)


async def test_others_may_not_connect_and_the_path_goes_at_the_end(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        running = await tls.start([PlainPort(path=tmp_path / "s", app=tells)])
        assert os.umask(0) == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o660
    await running.stop(grace=1)
    assert not (tmp_path / "s").exists()


async def test_what_a_crash_left_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as crashed:
        crashed.bind(str(tmp_path / "s"))
        crashed.listen()
    running = await tls.start([PlainPort(path=tmp_path / "s", app=tells)])
    assert (await ask(tmp_path / "s"))["unix"]
    await running.stop(grace=1)


async def test_nobodys_socket_or_file_is_taken(tmp_path: Path) -> None:
    """Who listens goes on listening, and a file stays; the start says which path it is about."""
    running = await tls.start([PlainPort(path=tmp_path / "s", app=tells)])
    (tmp_path / "file").write_text("mine")
    for name, why in (("s", "somebody listens there"), ("file", "is no socket"), ("none/s", "No such file"),
                      ("x" * 200, "too long")):  # fmt: skip
        with pytest.raises(ConfigurationError, match=why):
            await tls.start([PlainPort(path=tmp_path / name, app=tells)])
    assert (await ask(tmp_path / "s"))["unix"]
    assert (tmp_path / "file").read_text() == "mine"
    await running.stop(grace=1)


async def test_a_successors_socket_stays(tmp_path: Path) -> None:
    """Whoever was started while the old one was stopping keeps its path."""
    old = await tls.start([PlainPort(path=tmp_path / "s", app=tells)])
    (tmp_path / "s").unlink()
    new = await tls.start([PlainPort(path=tmp_path / "s", app=tells)])
    await old.stop(grace=1)
    assert (await ask(tmp_path / "s"))["unix"]
    await new.stop(grace=1)


async def test_a_start_that_fails_leaves_no_path(tmp_path: Path) -> None:
    async def refuses(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "lifespan.startup.failed", "message": "no"})

    ports: Sequence[PlainPort] = [PlainPort(path=tmp_path / "s", app=refuses)]
    with pytest.raises(ConfigurationError, match="refused to start"):
        await tls.start(ports)
    assert not (tmp_path / "s").exists()


async def test_websockets_only_where_the_port_says_so(tmp_path: Path) -> None:
    """With them the hop is the same; without them an upgrade is refused."""
    ports = [PlainPort(path=tmp_path / name, app=tells, websockets=name == "on") for name in ("on", "off")]
    running = await tls.start(ports)
    try:
        async with unix_connect(str(tmp_path / "on"), "ws://localhost/") as opened:
            assert "Hop(address=None" in str(await opened.recv())
        with pytest.raises(websockets.InvalidStatus):
            await unix_connect(str(tmp_path / "off"), "ws://localhost/")
    finally:
        await running.stop(grace=1)


async def test_a_tcp_peer_without_an_address_is_on_no_unix_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who hung up before it was asked for its address has none; that proves nothing (asyncio says None then)."""
    made = plain.PlainConnection.connection_made

    def without(self: Any, transport: Any) -> None:
        transport._extra["peername"] = None
        made(self, transport)

    monkeypatch.setattr(plain.PlainConnection, "connection_made", without)
    running = await tls.start([PlainPort(host="127.0.0.1", port=0, app=tells)])
    reader, writer = await asyncio.open_connection(*running.addresses[0])
    writer.write(b"GET / HTTP/1.1\r\nHost: any\r\nConnection: close\r\n\r\n")
    assert b'"unix": false' in await reader.read()
    writer.close()
    await running.stop(grace=1)
