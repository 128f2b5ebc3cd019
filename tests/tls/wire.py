"""A server on a loopback port, and a client that can misbehave: every byte it sends is in the test's hand."""

import asyncio
import contextlib
import json
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import uvloop
from OpenSSL import SSL

from certbound.tls import Limits, Port, Running, VirtualHost, connection_facts, start
from certbound.trust.authority import Authority, Issued

ROOT = Authority.create("test root")
CLIENT = ROOT.issue("CN=client", dns=["client.example"])
PATIENCE = 10.0


def files(folder: Path, issued: Issued, name: str = "server") -> tuple[Path, Path]:
    certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
    certificate.write_bytes(issued.chain_pem)
    key.write_bytes(issued.key_pem)
    return certificate, key


def virtual_host(folder: Path, app, *names: str, asks: bool = True, **more) -> VirtualHost:
    """A virtual host with a fresh certificate for `names`."""
    names = names or ("localhost", "127.0.0.1")
    dns = [name for name in names if not name[0].isdigit()]
    ips = [name for name in names if name[0].isdigit()]
    certificate, key = files(
        folder, ROOT.issue(f"CN={names[0]}", dns=dns, ips=ips, usage="server"), names[0].strip("*.")
    )
    return VirtualHost(certificate=certificate, key=key, app=app, asks_for_certificate=asks, **more)


@dataclass
class Recorder:
    """An application that remembers what it was called with and answers with it as JSON."""

    scopes: list = field(default_factory=list)
    bodies: list = field(default_factory=list)
    reads_body: bool = True

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            return await self.lifespan(receive, send)
        self.scopes.append(scope)
        body = b""
        while self.reads_body:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.bodies.append(None)
                return None
            body += message["body"]
            if not message["more_body"]:
                break
        self.bodies.append(body)
        facts = connection_facts(scope)
        peer = facts.peer_certificate
        answer = json.dumps(
            {
                "path": scope["path"],
                "body": len(body),
                "thumbprint": peer.leaf.thumbprint if peer else None,
                "unusable": facts.unusable_certificate,
                "tls": facts.tls_version,
                "group": facts.group,
            }
        ).encode()
        await reply(send, answer)
        return None

    async def lifespan(self, receive, send):
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return


async def reply(send, body: bytes, status: int = 200) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Server:
    """Ports served in a thread with a loop of its own."""

    def __init__(self, *ports: Port, loop_factory=uvloop.new_event_loop) -> None:
        self.ports = ports
        self.running: Running
        self.loop: asyncio.AbstractEventLoop
        self._loop_factory = loop_factory
        self._failure: BaseException | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._main, daemon=True)
        self.grace = 1.0

    def __enter__(self) -> "Server":
        self._thread.start()
        self._ready.wait()
        if self._failure:
            raise self._failure
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._end.set)
        self._thread.join(30)
        assert not self._thread.is_alive()

    def call(self, function):
        """`function()` in the server's loop."""

        async def called():
            return function()

        return asyncio.run_coroutine_threadsafe(called(), self.loop).result(PATIENCE)

    @property
    def address(self) -> tuple[str, int]:
        return self.running.addresses[0]

    def _main(self) -> None:
        with asyncio.Runner(loop_factory=self._loop_factory) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self.loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        try:
            self.running = await start(self.ports)
        except BaseException as failure:  # noqa: BLE001 -- raised again in the test's thread
            self._failure = failure
            return
        finally:
            self._ready.set()
        await self._end.wait()
        await self.running.stop(self.grace)


def one_port(*hosts: VirtualHost, limits: Limits | None = None, **more) -> Port:
    return Port(host="127.0.0.1", port=0, virtual_hosts=hosts, limits=limits or Limits(), **more)


def client_context(
    certificate: Issued | None = None, chain=(), *, version: int | None = None, alpn: list[bytes] | None = None
) -> SSL.Context:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    if certificate is not None:
        use_key(context, certificate.certificate, certificate.key_pem)
    for each in chain:
        context.add_extra_chain_cert(each)
    if version:
        context.set_min_proto_version(version)
        context.set_max_proto_version(version)
    if alpn:
        context.set_alpn_protos(alpn)
    return context


def use_key(context: SSL.Context, certificate, key_pem: bytes) -> None:
    """By file: OpenSSL takes keys that pyOpenSSL does not know."""
    context.use_certificate(certificate)
    with tempfile.NamedTemporaryFile() as file:
        file.write(key_pem)
        file.flush()
        context.use_privatekey_file(file.name)


class Client:
    """A TLS client on memory BIOs over a blocking socket."""

    def __init__(self, address, *, sni: str | bytes | None = "localhost", context: SSL.Context | None = None, **more):
        self.socket = socket.create_connection(address, PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.tls = SSL.Connection(context or client_context(**more), None)
        self.tls.set_connect_state()
        if sni:
            self.tls.set_tlsext_host_name(sni if isinstance(sni, bytes) else sni.encode())
        self.received = b""

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    # --- TLS

    def outgoing(self) -> bytes:
        """What OpenSSL wants sent."""
        out = []
        with contextlib.suppress(SSL.WantReadError):
            while True:
                out.append(self.tls.bio_read(1 << 20))
        return b"".join(out)

    def step(self) -> bool:
        """One step of the handshake; whether it is complete."""
        try:
            self.tls.do_handshake()
        except SSL.WantReadError:
            return False
        return True

    def take(self) -> bytes:
        """Bytes from the socket into OpenSSL; empty at the end."""
        data = self.socket.recv(1 << 16)
        if data:
            self.tls.bio_write(data)
        return data

    def shake(self, send=None) -> "Client":
        """The whole handshake; `send` replaces the way flights are sent."""
        send = send or self.socket.sendall
        while not self.step():
            if flight := self.outgoing():
                send(flight)
            if not self.take():
                raise ConnectionError("closed during the handshake")
        if flight := self.outgoing():
            send(flight)
        return self

    # --- HTTP

    def encrypt(self, data: bytes) -> bytes:
        self.tls.sendall(data)
        return self.outgoing()

    def send(self, data: bytes) -> "Client":
        self.socket.sendall(self.encrypt(data))
        return self

    def receive(self) -> bytes:
        """Some decrypted bytes; empty at close_notify or the end of the connection."""
        while True:
            try:
                return self.tls.recv(1 << 16)
            except SSL.WantReadError:
                try:
                    if not self.take():
                        return b""
                except ConnectionResetError:
                    return b""
            except (SSL.ZeroReturnError, SSL.SysCallError):
                return b""

    def response(self) -> "Response":
        """The next response."""
        while b"\r\n\r\n" not in self.received:
            more = self.receive()
            if not more:
                raise ConnectionError(f"closed after {self.received!r}")
            self.received += more
        head, _, rest = self.received.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        headers = {name.lower(): value for name, value in (line.split(b": ", 1) for line in lines[1:])}
        length = int(headers.get(b"content-length", 0))
        while len(rest) < length:
            more = self.receive()
            if not more:
                raise ConnectionError("closed in the body")
            rest += more
        self.received = rest[length:]
        return Response(int(lines[0].split()[1]), headers, rest[:length])

    def ask(self, target: str = "/", *, host: str = "localhost", more: str = "", body: bytes = b"") -> "Response":
        method = "POST" if body else "GET"
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        head = f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{length}{more}\r\n"
        return self.send(head.encode() + body).response()

    def is_closed(self) -> bool:
        """Waits for the server to close; whatever else it says is dropped."""
        with contextlib.suppress(SSL.Error):  # an alert
            while self.receive():
                pass
        with contextlib.suppress(ConnectionResetError):
            while self.socket.recv(1 << 16):
                pass
        return True


@dataclass(frozen=True)
class Response:
    status: int
    headers: dict
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


def until(condition, patience: float = PATIENCE) -> bool:
    """Whether `condition()` becomes true in time."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return bool(condition())


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def refragmented(flight: bytes, size: int = 1) -> bytes:
    """The same handshake messages in TLS records of `size` bytes."""
    at, out = 0, b""
    while at < len(flight):
        length = int.from_bytes(flight[at + 3 : at + 5], "big")
        content = flight[at + 5 : at + 5 + length]
        for piece in pieces(content, size):
            out += flight[at : at + 3] + len(piece).to_bytes(2, "big") + piece
        at += 5 + length
    return out
