"""No request that nobody sent reaches an application with a certificate, through any proxy to any server.

Each of the corpus is sent by a client without a certificate; behind it comes an honest one with its own, on a
connection to the application that the proxy may have kept.  What the application was called with is counted.
"""

import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from certbound.core.certificate import read_certificate
from e2e.world import free_port
from proxies.corpus import corpus
from proxies.frame import HOST, PATIENCE, SECRET, Kinds, Program, behind, request
from proxies.programs import PROGRAMS
from proxies.variants import forged

pytestmark = [pytest.mark.proxies, pytest.mark.wide]

HERE = Path(__file__).parent
_RUN = (sys.executable, "-m")
_UVICORN = (*_RUN, "uvicorn", "--no-proxy-headers", "--log-level=critical", "recording:app")
SERVERS: dict[str, Callable[[int], Sequence[str | Path]]] = {
    "certbound": lambda port: (sys.executable, HERE / "recording.py", str(port)),
    "uvicorn-h11": lambda port: (*_UVICORN, "--http=h11", f"--port={port}"),
    "uvicorn-httptools": lambda port: (*_UVICORN, "--http=httptools", f"--port={port}"),
    "gunicorn": lambda port: (*_RUN, "gunicorn", "--workers=2", f"--bind=127.0.0.1:{port}", "recording:wsgi_app"),
    "hypercorn": lambda port: (*_RUN, "hypercorn", f"--bind=127.0.0.1:{port}", "recording:app"),
}


class Recorded:
    """What an application in another process saw."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.at = 0

    def new(self) -> list[dict[str, Any]]:
        """Since the last time."""
        with self.file.open("rb") as stream:
            stream.seek(self.at)
            lines = stream.read()
        whole = lines[: lines.rfind(b"\n") + 1]
        self.at += len(whole)
        return [json.loads(line) for line in whole.splitlines()]


@contextlib.contextmanager
def server(name: str, contract: str, folder: Path) -> Iterator[tuple[int, Recorded]]:
    """The application on the server `name`."""
    port, record = free_port(), folder / "record.jsonl"
    record.touch()
    environment = {
        **os.environ, "CONTRACT": contract, "RECORD": str(record), "SECRET": SECRET,
        "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)]),
    }  # fmt: skip
    with (folder / "server.log").open("w") as output:
        process = subprocess.Popen(
            [*map(str, SERVERS[name](port))], env=environment, cwd=folder, stdout=output, stderr=output
        )
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                log = (folder / "server.log").read_text()
                assert process.poll() is None, log
                assert time.monotonic() < deadline, log
                time.sleep(0.05)
        yield port, Recorded(record)
    finally:
        process.terminate()
        process.wait(10)


def strange(entries: Sequence[dict[str, Any]], honest: str) -> list[dict[str, Any]]:
    """What was called with a certificate and was not sent by the one who has it, or came past the proxy."""
    right = {(None, each["path"]) for each in entries} | {(honest, "/honest")}
    return [each for each in entries if not each["believed"] or (each["thumbprint"], each["path"]) not in right]


@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.parametrize("program", PROGRAMS, ids=[each.name for each in PROGRAMS])
def test_nothing_is_smuggled(program: Program, name: str, kinds: Kinds, tmp_path: Path) -> None:
    """And the honest client is always heard, as itself."""
    honest = kinds["self-signed"]  # no chain: behind WSGI those of Traefik look like several headers
    assert honest is not None
    own = read_certificate(honest.der).thumbprint
    with (
        server(name, program.name, tmp_path) as (port, recorded),
        behind(program, f"127.0.0.1:{port}", tmp_path, kinds) as proxy,
    ):
        context = proxy.context(None)
        context.check_hostname = False
        for attack, sent in corpus(forged(program.name, kinds)):
            _send(proxy.port, context, sent)
            answer = proxy.ask(honest, path="/honest")
            entries = recorded.new()
            assert [] == strange(entries, own), attack
            assert 200 == answer.status, (attack, answer, proxy.log)
            heard = [each for each in entries if each["path"] == "/honest"]
            assert [own] == [each["thumbprint"] for each in heard], (attack, entries)


def test_a_careless_proxy_is_seen(kinds: Kinds, tmp_path: Path) -> None:
    """So the corpus bites: a relay that counts by Content-Length alone lets the honest client's headers be stolen."""
    honest = kinds["self-signed"]
    assert honest is not None
    found = []
    with server("uvicorn-h11", "nginx", tmp_path) as (port, recorded):
        for attack, sent in corpus(forged("nginx", kinds)):
            _careless(port, sent, forged("nginx", Kinds(kinds.authority, kinds.all, honest)))
            if strange(recorded.new(), read_certificate(honest.der).thumbprint):
                found.append(attack)
    assert any("beginning" in each for each in found)


def _send(port: int, context: ssl.SSLContext, sent: bytes) -> None:
    """And waits a moment for what comes."""
    with (
        contextlib.suppress(OSError),
        _connection(port) as raw,
        context.wrap_socket(raw, server_hostname=HOST) as stream,
    ):
        stream.sendall(sent)
        stream.settimeout(0.05)
        while stream.recv(65536):
            pass


def _connection(port: int) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def _careless(port: int, sent: bytes, headers: Sequence[tuple[str, str]]) -> None:
    """A relay's connection to the application: the attacker's request, then the honest one, with what a proxy adds."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as stream:
        line, _, rest = sent.partition(b"\r\n")
        added = f"certbound-proxy-secret: {SECRET}\r\nx-ssl-client-verify: NONE\r\n".encode()
        stream.sendall(line + b"\r\n" + added + rest)
        stream.sendall(request(("certbound-proxy-secret", SECRET), *headers, path="/honest"))
        stream.settimeout(0.05)
        while stream.recv(65536):
            pass
