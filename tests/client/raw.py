"""A TLS server on loopback that says bytes which no decent server says, and how it says them."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from certbound.trust.authority import Authority

Talk = Callable[["Line"], None]
"""What a connection is answered with, once its request is there."""


@dataclass
class Line:
    """One connection; `left` is set when the client, or the test, has gone."""

    _socket: socket.socket
    _tls: ssl.SSLObject
    _out: ssl.MemoryBIO
    left: threading.Event
    request: bytes = b""

    def say(self, data: bytes) -> None:
        """In one piece; `ConnectionError` if nobody hears it."""
        self._socket.sendall(self.record(data))

    def record(self, data: bytes) -> bytes:
        """`data` as it goes over the wire."""
        self._tls.write(data)
        return self._out.read()

    def drip(self, data: bytes, pause: float = 0.02) -> None:
        """Byte by byte of the wire, until it is over or somebody left."""
        for each in data:
            if self.left.wait(pause):
                return
            self._socket.sendall(bytes([each]))


@dataclass
class Raw:
    url: str
    ca: Path
    talk: Talk = lambda line: line.say(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
    requests: list[bytes] = field(default_factory=list)


@contextlib.contextmanager
def raw(folder: Path) -> Iterator[Raw]:
    """A server whose `talk` a test says; each connection is for one request."""
    authority = Authority.create("servers")
    issued = authority.issue("CN=server", dns=["localhost"], usage="server")
    (folder / "raw.pem").write_bytes(issued.key_pem + issued.chain_pem)
    (folder / "raw-ca.pem").write_bytes(authority.certificate_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "raw.pem")
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        running = Raw(f"https://localhost:{listening.getsockname()[1]}", folder / "raw-ca.pem")
        threads: list[threading.Thread] = []

        def serve(accepted: socket.socket) -> None:
            with accepted, contextlib.suppress(OSError):
                accepted.settimeout(10)
                line = _shake_hands(accepted, context, over)
                running.requests.append(line.request)
                running.talk(line)

        def listen() -> None:
            while True:
                try:
                    accepted, _ = listening.accept()
                except OSError:
                    return
                threads.append(threading.Thread(target=serve, args=(accepted,)))
                threads[-1].start()

        accepting = threading.Thread(target=listen)
        accepting.start()
        try:
            yield running
        finally:
            over.set()
            listening.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for each in threads:
                each.join()


def _shake_hands(accepted: socket.socket, context: ssl.SSLContext, over: threading.Event) -> Line:
    """A line whose request has come, headers and body."""
    came, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(came, out, server_side=True)

    def until(action: Callable[[], bytes | None]) -> bytes | None:
        while True:
            try:
                done = action()
            except ssl.SSLWantReadError:
                accepted.sendall(out.read())
                data = accepted.recv(65536)
                if not data:
                    raise ConnectionError("the client has gone") from None
                came.write(data)
            else:
                accepted.sendall(out.read())
                return done

    until(tls.do_handshake)
    line = Line(accepted, tls, out, over)
    while not _is_whole(line.request):
        line.request += until(lambda: tls.read(65536)) or b""
    return line


def _is_whole(request: bytes) -> bool:
    head, ended, body = request.partition(b"\r\n\r\n")
    fields = dict(each.lower().split(b": ", 1) for each in head.split(b"\r\n")[1:])
    return bool(ended) and len(body) >= int(fields.get(b"content-length", b"0"))
