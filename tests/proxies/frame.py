"""How a real proxy is started with what `certbound proxy-config` prints, and how a client behaves at it.

For a proxy: a `Program` (its command, and what the printed configuration needs around it; they stand in `programs`),
and `behind(program, …)`, which prints, starts, waits and stops by process id.  For its tests: `Kinds` of client
certificates, `Proxied.ask`, and `Observer`, an application that says what it saw.
`api.localhost` asks for certificates, `localhost` does not.
"""

import asyncio
import contextlib
import json
import os
import pwd
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from certbound.cli._commands import command
from certbound.cli.proxies import KINDS
from certbound.tls import AnyPort, PlainPort, connection_facts, start
from certbound.tls.forwarded import ForwardedCertificates, contract_of
from certbound.tls.header_names import folded
from certbound.tls.proxies import SECRET_HEADER
from certbound.trust.authority import Authority, Issued, self_signed
from e2e.world import free_port

INSTALLED = Path(__file__).parent.parent.parent / ".work" / "proxies" / "venv"
"""Where `setup` put what PyPI has."""
HOST, ISSUER_HOST = "api.localhost", "localhost"
SECRET = "5e" * 32
PATIENCE = 15.0

Commands = Callable[[Path, Path], Sequence[str | Path]]


@dataclass(frozen=True, kw_only=True)
class Program:
    """A proxy as a program."""

    name: str
    """As `proxy-config` calls it, and the contract that it speaks."""
    command: Commands
    """Given the folder and the printed file, how it runs in the foreground."""
    around: Callable[[Path], Mapping[str, str]] = lambda folder: {}
    """Files beside the printed one, by name: what a distribution's package brings."""
    needs: tuple[str | Path, ...] = ()
    file: str = "printed.conf"
    environment: Mapping[str, str] = field(default_factory=dict)
    refuses_expired: bool = False
    """Whether it ends what comes with an expired certificate by itself."""


@dataclass(frozen=True)
class Kinds:
    """Client certificates of every kind, by what they are; None is no certificate."""

    authority: Authority
    all: Mapping[str, Issued | None]
    victim: Issued
    """Whose certificate everybody knows, and nobody else's key fits."""

    def __getitem__(self, kind: str) -> Issued | None:
        return self.all[kind]


def make_kinds() -> Kinds:
    """Fresh ones."""
    authority, stranger = Authority.create("Proxy tests"), Authority.create("Nobody knows")
    then = datetime.now(UTC) - timedelta(days=400)
    return Kinds(
        authority,
        {
            "none": None,
            "CA-signed": authority.issue("CN=client", dns=["client.example"]),
            "self-signed": self_signed("CN=self"),
            "expired": self_signed("CN=expired", days=30, now=then),
            "unknown CA": stranger.issue("CN=client", dns=["client.example"]),
        },
        authority.issue("CN=victim", dns=["victim.example"]),
    )


@dataclass
class Observer:
    """An application that remembers what it was called with, and answers it as JSON."""

    contract: str
    seen: list[dict[str, Any]] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while True:
                kind = (await receive())["type"]
                await send({"type": f"{kind}.complete"})
                if kind == "lifespan.shutdown":
                    return
        body = b""
        while scope["type"] == "http":
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        found = self.describe(scope, body)
        self.seen.append(found)
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        answer = json.dumps(found).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    def describe(self, scope: Any, body: bytes) -> dict[str, Any]:
        facts = connection_facts(scope)
        peer = facts.peer_certificate if facts else None
        owned = {folded(each.encode()) for each in (*contract_of(self.contract).headers, SECRET_HEADER)}
        return {
            "thumbprint": peer.leaf.thumbprint if peer else None,
            "leaked": sorted(name.decode("latin-1") for name, _ in scope["headers"] if folded(name) in owned),
            "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]],
            "path": scope["path"],
            "method": scope.get("method", ""),
            "body": body.decode("latin-1"),
        }


def wrapped(observer: Any, contract: str, **more: Any) -> ForwardedCertificates:
    """`observer` as an API behind a proxy that speaks `contract`."""
    return ForwardedCertificates(
        observer, contract=contract, **{"networks": ["127.0.0.1"], "secrets": [SECRET], **more}
    )


@dataclass(frozen=True)
class Seen:
    """What became of a request: the bytes that came back, and how it ended."""

    raw: bytes
    ended: str = ""
    """The error that ended it, if one did."""

    @property
    def status(self) -> int:
        found = re.match(rb"HTTP/1\.[01] (\d{3})", self.raw)
        return int(found[1]) if found else 0

    @property
    def headers(self) -> dict[str, str]:
        head = self.raw.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
        return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head)}

    @property
    def json(self) -> Any:
        body = self.raw.partition(b"\r\n\r\n")[2]
        start, end = body.find(b"{"), body.rfind(b"}")
        return json.loads(body[start : end + 1]) if start >= 0 else None


@dataclass(frozen=True)
class Proxied:
    """A proxy that runs."""

    program: Program
    port: int
    folder: Path
    kinds: Kinds
    printed: str

    @property
    def log(self) -> str:
        """What it wrote, for a test that failed."""
        return "\n".join(file.read_text(errors="replace")[-2000:] for file in sorted(self.folder.glob("*.log")))

    def context(self, identity: Issued | None, **options: Any) -> ssl.SSLContext:
        """A client's, with its certificate."""
        return client_context(self.folder, self.kinds.authority, identity, **options)

    def connect(self, identity: Issued | None = None, *, name: str | None = HOST, **options: Any) -> ssl.SSLSocket:
        """A connection after its handshake; `name` is the server name that it says, or none."""
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else a request waits for the handshake's last ACK
        context = self.context(identity, **options)
        context.check_hostname = False
        return context.wrap_socket(raw, server_hostname=name)

    def ask(
        self,
        identity: Issued | None = None,
        *headers: tuple[str, str],
        path: str = "/",
        method: str = "GET",
        name: str | None = HOST,
        host: str | None = HOST,
        body: bytes = b"",
        raw: bytes | None = None,
        **options: Any,
    ) -> Seen:
        """One request on a connection of its own; `raw` is what is sent instead."""
        try:
            with self.connect(identity, name=name, **options) as stream:
                stream.sendall(
                    raw if raw is not None else request(*headers, path=path, method=method, host=host, body=body)
                )
                return Seen(read_response(stream))
        except OSError as error:
            return Seen(b"", f"{type(error).__name__}: {error}")


def request(
    *headers: tuple[str, str], path: str = "/", method: str = "GET", host: str | None = HOST, body: bytes = b""
) -> bytes:
    """Bytes of a request that ends its connection."""
    fields = [] if host is None else [("Host", host)]
    fields += [("Connection", "close")] if not any(name.lower() == "connection" for name, _ in headers) else []
    fields += [*headers, *([("Content-Length", str(len(body)))] if body else [])]
    head = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body


def read_response(stream: socket.socket) -> bytes:
    """One response whole, or what came until the end."""
    received = b""
    while True:
        head, end, body = received.partition(b"\r\n\r\n")
        if end:
            length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
            if length and len(body) >= int(length[1]):
                return received
            if re.search(rb"(?i)\r\ntransfer-encoding: *chunked", head) and body.endswith(b"0\r\n\r\n"):
                return received
        try:
            more = stream.recv(65536)
        except (ConnectionResetError, ssl.SSLError):
            if received:
                return received
            raise
        if not more:
            return received
        received += more


def client_context(
    folder: Path, authority: Authority, identity: Issued | None, maximum: ssl.TLSVersion | None = None
) -> ssl.SSLContext:
    """A client that trusts the server, with a certificate or none."""
    context = ssl.create_default_context(cadata=authority.certificate_pem.decode())
    if maximum is not None:
        context.maximum_version = maximum
    if identity is not None:
        file = folder / f"client-{identity.certificate.serial_number:x}.pem"
        if not file.exists():
            file.write_bytes(identity.key_pem + identity.chain_pem)
        context.load_cert_chain(file)
    return context


def printed(name: str, *options: str | Path) -> str:
    """What the command prints."""
    result = CliRunner().invoke(command(), ["proxy-config", name, *map(str, options)])
    assert result.exit_code == 0, result.output
    return result.stdout


@contextlib.contextmanager
def behind(
    program: Program,
    upstream: str,
    folder: Path,
    kinds: Kinds,
    *,
    purpose: str = "api",
    options: Sequence[str] = (),
    port: int | None = None,
) -> Iterator[Proxied]:
    """`program` in front of `upstream`, with exactly what `proxy-config` prints."""
    needs(*program.needs)
    port = port or free_port()
    for above in (folder, *folder.parents[:2]):
        above.chmod(0o755)  # some drop their privileges, and read nothing of another's
    server = kinds.authority.issue("CN=server", dns=[HOST, ISSUER_HOST], usage="server")
    certificate, key, secret = folder / "server.pem", folder / "server.key", folder / "proxy.secret"
    certificate.write_bytes(server.chain_pem + (server.key_pem if program.name == "haproxy" else b""))
    key.write_bytes(server.key_pem)
    secret.write_text(SECRET + "\n")
    if purpose == "guard" and KINDS[program.name].script:
        (folder / "guard.lua").write_text(printed(program.name, "--for", "guard", "--lua"))
        options = [*options, "--lua-file", str(folder / "guard.lua")]
    text = printed(
        program.name, "--for", purpose, "--host", HOST, "--listen", f"127.0.0.1:{port}", "--upstream", upstream,
        *(("--issuer-host", ISSUER_HOST) if purpose == "server" else ()),
        "--cert", certificate, "--key", key, "--secret-file", secret, *options,
    )  # fmt: skip
    with running(program, text, port, folder, kinds) as proxied:
        yield proxied


@contextlib.contextmanager
def running(program: Program, text: str, port: int, folder: Path, kinds: Kinds) -> Iterator[Proxied]:
    """`program` with any configuration, until the block ends."""
    file = folder / program.file
    file.write_text(text)
    for name, content in program.around(folder).items():
        (folder / name).write_text(content)
    with (folder / "output.log").open("w") as output:
        process = subprocess.Popen(
            [str(each) for each in program.command(folder, file)],
            stdout=output, stderr=subprocess.STDOUT, cwd=folder, env={**os.environ, **program.environment},
        )  # fmt: skip
    proxied = Proxied(program, port, folder, kinds, text)
    try:
        _until_it_listens(process, proxied)
        yield proxied
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=10)


def _until_it_listens(process: "subprocess.Popen[bytes]", proxied: Proxied) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            proxied.connect().close()  # some listen before they have read what we printed
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"{proxied.program.name} does not listen:\n{proxied.log}")


def needs(*programs: str | Path) -> None:
    """The test is skipped, and says what to run, where one is missing."""
    for program in programs:
        if not Path(program).exists() and shutil.which(str(program)) is None:
            pytest.fail(f"{program} is not there; run tests/proxies/setup")


def account() -> str:
    """Whom a proxy that drops its privileges may become."""
    return pwd.getpwuid(os.getuid()).pw_name


@contextlib.contextmanager
def served(app: Any, **options: Any) -> Iterator[int]:
    """`app` on our own listener without TLS, in a thread of this process; its port."""
    with serving([PlainPort(host="127.0.0.1", port=0, app=app, **options)]) as addresses:
        yield addresses[0][1]


@contextlib.contextmanager
def serving(ports: Sequence[AnyPort]) -> Iterator[list[tuple[str, int]]]:
    """Ports of ours, in a thread of this process; where they are."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = None
    try:
        server = asyncio.run_coroutine_threadsafe(start(ports), loop).result(PATIENCE)
        yield server.addresses
    finally:
        if server is not None:
            asyncio.run_coroutine_threadsafe(server.stop(grace=1), loop).result(PATIENCE)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE)
        loop.close()
