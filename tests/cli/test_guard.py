"""`certbound guard` and `certbound run --behind`: what is declared, and what is served then."""

import http.client
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from certbound.core.certificate import read_certificate
from certbound.testing.forwarded import forwarded_headers
from certbound.trust.authority import self_signed

SECRET = "0123456789abcdef" * 2
GUARD = ("guard", "https://api.example", "--issuer", "https://as.example")
PROXY = ("--behind", "nginx", "--proxy-secret-file", "proxy.secret", "--proxy-network", "127.0.0.1")
APP = """
from certbound.tls import peer_certificate

async def app(scope, receive, send):
    if scope["type"] == "http":
        found = peer_certificate(scope)
        published = scope["extensions"].get("tls", {}).get("client_cert_name")
        body = f"{found.leaf.thumbprint} {published}".encode() if found else b"nobody"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "proxy.secret").write_text(SECRET + "\n")
    (tmp_path / "short.secret").write_text("short\n")
    (tmp_path / "shop.py").write_text(APP)
    return tmp_path


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[str]]]:
    """Those that are started here are ended here."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.kill()
        process.communicate()


def certbound(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-m", "certbound.cli", *arguments]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def get(address: tuple[str, int] | Path, path: str = "/", headers: dict[str, str] | None = None) -> tuple[int, str]:
    host, port = ("localhost", 0) if isinstance(address, Path) else address
    connection = http.client.HTTPConnection(host, port, timeout=10)
    if isinstance(address, Path):
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(address))
    connection.request("GET", path, headers=headers or {})
    response = connection.getresponse()
    answer = response.status, response.read().decode()
    connection.close()
    return answer


def test_guard_answers_the_proxy_and_tells_its_health(folder: Path, processes: list[subprocess.Popen[str]]) -> None:
    """One line says what it guards and where, another where its health is; it stops when told."""
    process = certbound(
        folder, *GUARD, *PROXY, "--port", "0", "--admin-port", "0", "--route", "/a=read",
        "--route", "GET /c=",
    )  # fmt: skip
    processes.append(process)
    assert process.stdout is not None
    assert process.stderr is not None
    lines = [process.stdout.readline() for _ in range(2)]
    found = [re.search(r" on http://127\.0\.0\.1:(\d+)/", line) for line in lines]
    assert all(found), (lines, process.stderr.read())
    assert "(what no --route names is closed)" in lines[0]
    guard, admin = (("127.0.0.1", int(each[1])) for each in found if each)
    assert (200, "ok\n") == get(admin, "/healthz")
    proxy = {**forwarded_headers("nginx", None), "certbound-proxy-secret": SECRET}
    for method, path, status in (
        ("POST", "/a", 401), ("GET", "/c", 401), ("HEAD", "/c/d", 401), ("POST", "/c", 403), ("GET", "/b", 403),
        ("get", "/c", 403), ("post", "/a", 403),
    ):  # fmt: skip
        asked = {"x-original-uri": path, "x-original-method": method}
        assert status == get(guard, headers={**proxy, **asked})[0], (method, path)
        assert 403 == get(guard, headers=asked)[0]
    assert 403 == get(guard, headers={**proxy, "x-original-uri": "/a"})[0]
    process.terminate()
    assert 0 == process.wait(15)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_run_behind_a_proxy_on_a_unix_socket(
    folder: Path, processes: list[subprocess.Popen[str]], workers: str
) -> None:
    """The application sees the certificate that the proxy forwards, and nobody's else; the socket goes at the end."""
    process = certbound(folder, "run", "shop:app", *PROXY, "--socket", "shop.sock", "--workers", workers)
    processes.append(process)
    assert process.stdout is not None
    assert f"unix:{folder / 'shop.sock'} serves shop:app; stop it with Ctrl-C\n" == process.stdout.readline()
    own = read_certificate(self_signed("CN=own").der)
    words = forwarded_headers("nginx", own)
    said = {**words, "certbound-proxy-secret": SECRET}
    assert (200, f"{own.thumbprint} CN=own") == get(folder / "shop.sock", headers=said)
    assert (200, "nobody") == get(folder / "shop.sock", headers=words)
    process.terminate()
    assert 0 == process.wait(15)
    assert not (folder / "shop.sock").exists()


WRONG = {
    "nobody behind": (GUARD, "--behind is missing"),
    "no secret": ((*GUARD, "--behind", "nginx", "--proxy-network", "::1"), "--proxy-secret-file is missing"),
    "a short secret": ((*GUARD, "--behind", "nginx", "--proxy-network", "::1", "--proxy-secret-file", "short.secret"),
        "short.secret: one is too short"),
    "no addresses": ((*GUARD, *PROXY[:4]), "name the proxy's addresses"),
    "everybody": ((*GUARD, *PROXY, "--proxy-network", "::/0"), "::/0 is everybody"),
    "an unknown contract": ((*GUARD, *PROXY, "--behind", "squid"), "there is no contract 'squid'"),
    "in the clear": ((*GUARD, *PROXY, "--host", "0.0.0.0"), "is reached by others"),
    "a route without scopes": ((*GUARD, *PROXY, "--route", "/a"), "write it as /path=scope,scope"),
    "a route twice": ((*GUARD, *PROXY, "--route", "/a=x", "--route", "/a=y"), "/a is there twice"),
    "a method of no request": ((*GUARD, *PROXY, "--route", "get /b="), "write it in capitals, as GET /accounts"),
    "a method without a path": ((*GUARD, *PROXY, "--route", "GET=x"), "'GET /path=scope'"),
    "a route of no request": ((*GUARD, *PROXY, "--route", "/a/../b="), "no path as requests have it"),
    "half an introspection": ((*GUARD, *PROXY, "--introspect-as", "api"), "go together"),
    "run without anything": (("run", "shop:app"), "--cert and --key are missing"),
    "run with half a certificate": (("run", "shop:app", "--cert", "a"), "--cert and --key go together"),
    "run with a secret for nobody": (("run", "shop:app", "--cert", "a", "--key", "b", "--proxy-network", "::1"),
        "--behind is missing"),
    "run with TLS on a Unix socket": (("run", "shop:app", *PROXY, "--cert", "a", "--key", "b", "--socket", "s"),
        "exclude each other"),
    "run in the clear": (("run", "shop:app", *PROXY, "--host", "10.0.0.1"), "is reached by others"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_what_makes_no_sense_is_said_in_a_sentence(
    folder: Path, wrong: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is served, and the next step is named."""
    from certbound.cli import main

    arguments, said = WRONG[wrong]
    monkeypatch.chdir(folder)
    status = main([*arguments, "--port", "0"])
    assert status in {1, 2}
    assert said in " ".join(capsys.readouterr().err.split()).replace("│ ", "")
