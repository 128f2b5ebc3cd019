"""`certbound serve`: the process, from its first line to its end."""

import json
import re
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[str]]]:
    """Those that are started here are ended here."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.kill()
        process.communicate()


def serve(processes: list[subprocess.Popen[str]], directory: Path, *arguments: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "certbound.cli", "serve", *arguments],
        cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    processes.append(process)
    return process


def told(err: str) -> str:
    """The last line, and the only one that is none of the log: a first start has things to tell."""
    (line,) = [each for each in err.splitlines() if not each.startswith("{")]
    assert err.endswith(f"{line}\n")
    return line


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_serve_says_where_and_stops_when_told(
    processes: list[subprocess.Popen[str]], deployment: Path, end: signal.Signals
) -> None:
    """One line per URL when it serves; what they say is true; SIGINT and SIGTERM end it with status 0."""
    file = deployment / "certbound.toml"
    file.write_text(file.read_text().replace("https://as.example", "https://localhost"))
    process = serve(processes, deployment)
    assert process.stdout is not None
    lines = dict(re.split(r"  +", process.stdout.readline().strip(), maxsplit=1) for _ in range(3))
    assert lines["metadata"] == "https://localhost/.well-known/oauth-authorization-server"
    issuer, _, address = lines["issuer"].rpartition(" on ")
    assert issuer.strip() == "https://localhost"
    trust = ssl.create_default_context(cafile=deployment / "ca.pem")
    trust.check_hostname = False  # the certificate is of as.example
    url = f"https://localhost:{address.rpartition(':')[2]}/.well-known/oauth-authorization-server"
    with urlopen(url, context=trust) as answer:
        assert json.load(answer)["issuer"] == issuer.strip()
    process.send_signal(end)
    process.communicate(timeout=30)
    assert process.returncode == 0


def test_a_port_in_use_is_one_sentence(processes: list[subprocess.Popen[str]], deployment: Path) -> None:
    """Where somebody else has the port, the start stops with a sentence that names it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        file = deployment / "certbound.toml"
        file.write_text(file.read_text().replace("port = 0", f"port = {port}"))
        process = serve(processes, deployment)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (1, "")
    line = told(err)
    assert line.startswith("certbound: ")
    assert str(port) in line


def test_a_certificate_that_cannot_be_read_is_one_sentence(
    processes: list[subprocess.Popen[str]], deployment: Path
) -> None:
    """Before a port opens, the files are tried; the first that cannot be used is named."""
    (deployment / "as.pem").unlink()
    process = serve(processes, deployment, "--config", "certbound.toml")
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (1, "")
    assert told(err) == "certbound: server.certificate: cannot read the certificate as.pem: No such file or directory"
