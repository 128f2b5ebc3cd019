"""A TLS server on loopback that answers what a test says, and keeps what it was asked."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from certbound import tls
from certbound.tls import Port, VirtualHost, peer_certificate
from certbound.trust.authority import Authority, Issued


@dataclass
class Answer:
    status: int = 200
    body: bytes = b"{}"
    headers: tuple[tuple[bytes, bytes], ...] = ()
    repeat: int = 1
    """How often the body is sent; several megabytes take no memory here."""
    pause: float = 0
    """Seconds after each time."""
    cut: bool = False
    """The connection ends before the body does."""


@dataclass
class Served:
    """`answers` by path, or what makes one of the headers and the body; `asked` is what came: path, form or query,
    thumbprint of the client or None.
    """

    url: str
    ca: Path
    answers: dict[str, Answer | Callable[[dict[str, str], bytes], Answer]] = field(default_factory=dict)
    asked: list[tuple[str, bytes, str | None]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    """Of the same requests."""
    sent: int = 0
    """Bytes of bodies that went out."""

    def answer(self, path: str, document: Any = None, *, status: int = 200, **headers: str) -> None:
        encoded = tuple((name.encode(), value.encode()) for name, value in headers.items())
        self.answers[path] = Answer(status, msgspec.json.encode(document), encoded)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message["more_body"]:
                break
        peer = peer_certificate(scope)
        self.asked.append((scope["path"], body, peer.leaf.thumbprint if peer else None))
        self.headers.append({name.decode(): value.decode() for name, value in scope["headers"]})
        answer = self.answers.get(scope["path"], Answer(404))
        if callable(answer):
            answer = answer(self.headers[-1], body)
        length = (b"content-length", b"%d" % (len(answer.body) * answer.repeat + answer.cut))
        await send({"type": "http.response.start", "status": answer.status, "headers": [length, *answer.headers]})
        for _ in range(answer.repeat):
            await send({"type": "http.response.body", "body": answer.body, "more_body": True})
            self.sent += len(answer.body)
            await asyncio.sleep(answer.pause)
        if answer.cut:
            raise ConnectionAbortedError("as the test wants it")
        await send({"type": "http.response.body"})

    def paths(self) -> list[str]:
        """What was asked, in order."""
        return [path for path, *_ in self.asked]


@contextmanager
def served(folder: Path, *, certificate: Issued | None = None, name: str = "localhost") -> Iterator[Served]:
    """A server with that certificate, or one of a new authority; the URL has `name` as its host."""
    authority = Authority.create("servers")
    issued = certificate or authority.issue("CN=server", dns=["localhost"], ips=["127.0.0.1"], usage="server")
    (folder / "server.pem").write_bytes(issued.chain_pem)
    (folder / "server.key").write_bytes(issued.key_pem)
    (folder / "ca.pem").write_bytes(authority.certificate_pem)
    application = Served("", folder / "ca.pem")
    host = VirtualHost(
        certificate=folder / "server.pem", key=folder / "server.key", app=application, asks_for_certificate=True,
        names=frozenset({"localhost", "127.0.0.1"}),
    )  # fmt: skip
    ready: Future[tuple[int, Any]] = Future()

    async def live() -> None:
        stopping = asyncio.Event()
        try:
            running = await tls.start([Port(host="127.0.0.1", port=0, virtual_hosts=(host,))])
        except BaseException as error:
            ready.set_exception(error)
            raise
        loop = asyncio.get_running_loop()
        ready.set_result((running.addresses[0][1], lambda: loop.call_soon_threadsafe(stopping.set)))
        await stopping.wait()
        await running.stop(grace=1)

    thread = threading.Thread(target=asyncio.run, args=(live(),))
    thread.start()
    try:
        port, stop = ready.result()
        application.url = f"https://{name}:{port}"
        try:
            yield application
        finally:
            stop()
    finally:
        thread.join()
