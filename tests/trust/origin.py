"""Web servers on loopback that behave as a test says, well or badly, in the loop of the test."""

import asyncio
import contextlib
import ssl
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from certbound.trust.authority import Authority, Issued

AUTHORITY = Authority.create("Origins")
NAME = "origin.example"
ISSUED = AUTHORITY.issue("CN=origin", dns=[NAME, "localhost"], ips=["127.0.0.1", "::1"], usage="server")

Behaviour = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Origin:
    """A server; `requests` is what it was asked, whole heads and bodies."""

    scheme: str
    address: str
    port: int
    behaviour: Behaviour
    connections: int = 0
    open: int = 0
    most_open: int = 0
    requests: list[bytes] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)
    """Server names of TLS."""
    _tasks: set[Any] = field(default_factory=set)

    @property
    def url(self) -> str:
        return self.at(f"[{self.address}]" if ":" in self.address else self.address)

    def at(self, host: str, path: str = "/x") -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._tasks.add(task)
        self.connections += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            with contextlib.suppress(
                ConnectionError, ssl.SSLError, asyncio.IncompleteReadError, asyncio.CancelledError
            ):
                await self._answer(reader, writer)
        finally:
            self.open -= 1
            self._tasks.discard(task)
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next((line for line in head.lower().splitlines() if line.startswith(b"content-length:")), b":0")
        self.requests.append(head + await reader.readexactly(int(length.partition(b":")[2])))
        behaving = asyncio.ensure_future(self._behave(writer))
        gone = asyncio.ensure_future(reader.read())
        try:
            await asyncio.wait([behaving, gone], return_when=asyncio.FIRST_COMPLETED)
        finally:
            behaving.cancel()
            gone.cancel()
            await asyncio.gather(behaving, gone, return_exceptions=True)

    async def _behave(self, writer: asyncio.StreamWriter) -> None:
        if isinstance(self.behaviour, bytes):
            writer.write(self.behaviour)
        else:
            await self.behaviour(writer)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def origin(
    behaviour: Behaviour = b"", *, tls: bool = True, issued: Issued = ISSUED, address: str = "127.0.0.1"
) -> AsyncIterator[Origin]:
    """A server of https, or of http without `tls`."""
    made = Origin("https" if tls else "http", address, 0, behaviour)
    server = await asyncio.start_server(made.serve, address, 0, ssl=_context(issued, made) if tls else None)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await made.close()
        await server.wait_closed()


def answer(body: bytes = b"", *, status: bytes = b"200 OK", **headers: str) -> bytes:
    """A whole answer of HTTP."""
    named = {"content-length": str(len(body)), **{name.replace("_", "-"): value for name, value in headers.items()}}
    lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return b"HTTP/1.1 " + status + b"\r\n" + lines.encode() + b"\r\n" + body


def resolving(*answers: str | list[str]) -> Any:
    """A resolver with an answer for each question, the last for all that follow; `asked` counts them."""
    left = list(answers)

    async def resolve(_: str, __: int) -> Any:
        resolve.asked += 1  # type: ignore[attr-defined]
        said = left.pop(0) if len(left) > 1 else left[0]
        return [ip_address(each) for each in ([said] if isinstance(said, str) else said)]

    resolve.asked = 0  # type: ignore[attr-defined]
    return resolve


def _context(issued: Issued, made: Origin) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        Path(file.name).write_bytes(issued.key_pem + issued.chain_pem)
        context.load_cert_chain(file.name)
    context.sni_callback = lambda _, name, __: made.names.append(name)
    return context
