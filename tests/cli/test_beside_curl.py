"""`certbound curl` beside `curl`: the same options, the same bytes, in both directions."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from certbound.cli import main
from certbound.core.certificate import read_pem_certificates
from certbound.trust.authority import self_signed
from client.served import Answer, Served, served

TOKEN = "cbat_" + "a" * 43
BINARY = bytes(range(256)) * 20 + b"\r\n\x1b[2J"
PACKED = (b"content-encoding", b"gzip")
TYPED = ((b"content-type", b"text/plain"), (b"X-Twice", b"1"), (b"x-twice", b"2"), (b"x-odd", "é".encode("latin-1")))

pytestmark = pytest.mark.peers


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as running:
        url = running.url
        running.answer("/.well-known/oauth-authorization-server", {"issuer": url, "token_endpoint": f"{url}/token"})
        running.answer("/token", {"access_token": TOKEN, "token_type": "Bearer", "expires_in": 300})
        described = {
            "resource": url, "authorization_servers": [url], "tls_client_certificate_bound_access_tokens": True,
        }  # fmt: skip
        running.answer("/.well-known/oauth-protected-resource", described)
        running.answers |= {
            "/text": Answer(200, b"hello\n", TYPED),
            "/none": Answer(204, b""),
            "/binary": Answer(200, BINARY),
            "/packed": Answer(200, b"\x1f\x8b not really", (PACKED,)),
            "/moved": Answer(302, b"over there", ((b"location", b"/text"),)),
            "/no": Answer(403, b'{"error": "insufficient_scope"}', TYPED),
            "/wrong": Answer(500, b"oh"),
            "/odd": Answer(418, b"tea"),
        }
        yield running


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where both run, in turn."""
    issued = self_signed("CN=client")
    (tmp_path / "client.pem").write_bytes(issued.key_pem + issued.certificate_pem)
    (tmp_path / "form").write_bytes(b"a=b\r\n&c=d\n\n&\r")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path


GIVEN = [
    ["/text"], ["/text", "-i"], ["/text", "-I"], ["/none", "-i"], ["/none"], ["/binary"], ["/binary", "-o", "file"],
    ["/text", "-i", "-o", "file"], ["/packed", "-i"], ["/moved", "-i"], ["/no"], ["/no", "-i"], ["/no", "-f"],
    ["/no", "-f", "-i"], ["/no", "-f", "-o", "file"], ["/wrong", "--fail"], ["/odd", "-i"], ["/text?a=b&c=%20", "-i"],
    ["/text#part"], ["/text", "-d", "a=b"], ["/text", "-d", "a=b", "-d", "c=ü"], ["/text", "-d", "@form"],
    ["/text", "-d", "x=1", "-d", "@form"], ["/text", "--json", '{"a": 1}'], ["/text", "--json", "@form"],
    ["/text", "--data-binary", "@form"], ["/text", "--data-binary", "a", "--data-binary", "@form"], ["/no", "-f", "-I"],
    ["/text", "-X", "PUT", "-d", "a"], ["/text", "-X", "DELETE"], ["/text", "-d", ""],
    ["/text", "-H", "Accept: text/plain"], ["/text", "-H", "X-A:  b"], ["/text", "-H", "content-type: a/b", "-d", "c"],
    ["/text", "-H", "X-A: 1", "-H", "X-A: 2"],
]  # fmt: skip


@pytest.mark.parametrize("given", GIVEN, ids=" ".join)
def test_the_same_comes_out(
    server: Served, place: Path, capfdbinary: pytest.CaptureFixture[bytes], given: list[str]
) -> None:
    """Standard output, the file of -o, and the exit status; and the same was sent, but for who says it is asking."""
    path, *options = given
    us = ["--client-id", "client", "--cert", "client.pem", "--ca", "ca.pem"]
    them = ["--cert", "client.pem", "--cacert", "ca.pem", "-H", f"Authorization: Bearer {TOKEN}", "--http1.1"]
    came = []
    for ours in (True, False):
        server.asked.clear()
        server.headers.clear()
        (place / "file").unlink(missing_ok=True)
        capfdbinary.readouterr()
        if ours:
            status = main(["curl", server.url + path, *us, *options])
            out = capfdbinary.readouterr().out
        else:
            done = subprocess.run(
                ["curl", "-sq", server.url + path, *them, *options], stdout=subprocess.PIPE, check=False
            )
            status, out = done.returncode, done.stdout
        written = (place / "file").read_bytes() if (place / "file").exists() else None
        asked = [
            (where, body, who, {name: value for name, value in headers.items() if name not in UNLIKE})
            for (where, body, who), headers in zip(server.asked, server.headers, strict=True)
            if where == path.partition("?")[0].partition("#")[0]
        ]
        came.append((status, without_date(out), written and without_date(written), asked))
    assert came[0] == came[1]
    [(_, _, who, _)] = came[0][3]
    assert who == read_pem_certificates((place / "client.pem").read_bytes())[0].thumbprint


def without_date(out: bytes) -> bytes:
    return b"\r\n".join(line for line in out.split(b"\r\n") if not line.lower().startswith(b"date:"))


UNLIKE = frozenset({"user-agent", "accept-encoding", "connection"})
"""curl says nothing of the last two, which is what ours say: as it is, and it may go on."""
