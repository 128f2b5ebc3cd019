"""A server that cannot be reached, or believed: each command that calls one says why, and what to do."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from certbound.cli._kept_identity import Login, kept_at
from certbound.cli._unreachable import advice, next_step
from certbound.trust.authority import Authority, Issued, self_signed
from client.served import served

from .conftest import Certbound

NOW = datetime.now(UTC)
LOCAL = {"dns": ["localhost"], "usage": "server"}
CERTIFICATES: dict[str, Callable[[Authority], Issued]] = {
    "has expired": lambda ca: ca.issue("CN=a", now=NOW - timedelta(days=9), days=3, **LOCAL),
    "not valid yet": lambda ca: ca.issue("CN=a", now=NOW + timedelta(days=9), days=3, **LOCAL),
    "of another authority": lambda _: Authority.create("other").issue("CN=a", **LOCAL),
    "signed by itself": lambda _: self_signed("CN=a", dns=["localhost"]),
    "of another name": lambda ca: ca.issue("CN=a", dns=["other.example"], usage="server"),
    "of a client": lambda ca: ca.issue("CN=a", dns=["localhost"], usage="client"),
}
STEPS = {
    "has expired": "it has to be renewed at the server, unless the clock here is wrong",
    "not valid yet": "is the clock here right? certbound cert inspect URL",
    "of another authority": "certbound cert inspect URL shows who issued it; --ca FILE",
    "signed by itself": "certbound cert inspect URL shows who issued it; --ca FILE",
    "of another name": "certbound cert inspect URL shows for which names it is",
    "of a client": "usage serverAuth",
}


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The options of a client, and the authority that it believes about servers."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    issued = self_signed("CN=me")
    (tmp_path / "me.pem").write_bytes(issued.certificate_pem)
    (tmp_path / "me.key").write_bytes(issued.key_pem)
    files = {"cert": "me.pem", "key": "me.key", "ca": "known.pem"}
    return [
        "--client-id",
        "me",
        *(word for name, file in files.items() for word in (f"--{name}", str(tmp_path / file))),
    ]


@pytest.fixture
def known(tmp_path: Path) -> Authority:
    authority = Authority.create("known")
    (tmp_path / "known.pem").write_bytes(authority.certificate_pem)
    return authority


def every(certbound: Certbound, url: str, client: list[str]) -> Iterator[str]:
    """The one line that each command ends with."""
    login = [*client[:2], *client[-2:], "--no-browser"]
    for command in (
        ["token", "--issuer", url, *client], ["curl", f"{url}/x", *client], ["login", url, *login],
        ["doctor", url, *client],
    ):  # fmt: skip
        told = certbound(*command)
        assert (told.status, told.out) == (1, "")
        [line] = [each for each in told.err.splitlines() if each]
        assert line.startswith(f"certbound: {url}")
        yield line


@pytest.mark.parametrize("kind", CERTIFICATES)
def test_a_certificate_that_cannot_be_believed(
    kind: str, known: Authority, client: list[str], tmp_path: Path, certbound: Certbound
) -> None:
    """Which server, what is wrong with its certificate, and what helps; nothing was asked of it."""
    with served(tmp_path, certificate=CERTIFICATES[kind](known)) as server:
        for line in every(certbound, server.url, client):
            assert STEPS[kind].replace("URL", server.url) in line
    assert server.asked == []


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """The URL of a server that speaks no TLS."""

    def serve(listening: socket.socket) -> None:
        while True:
            with listening.accept()[0] as stream:
                if not stream.recv(1000):
                    return
                stream.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        try:
            yield f"https://localhost:{listening.getsockname()[1]}"
        finally:
            socket.create_connection(listening.getsockname()).close()
            thread.join(10)


def test_a_port_without_tls(known: Authority, client: list[str], certbound: Certbound) -> None:
    """Of plain HTTP, and of what ends the connection."""
    for answer, step in (
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "is that a port for https?"),
        (b"", "does it speak TLS at that port, and what does its own log say?"),
    ):
        with answering(answer) as url:
            for line in every(certbound, url, client):
                assert step in line


def test_a_closed_port(known: Authority, client: list[str], certbound: Certbound) -> None:
    """Nobody listens there; whoever is logged in is told the same, and that nothing was removed."""
    for line in every(certbound, "https://localhost:1", client):
        assert "nothing listens there: does the server run, and is that its port?" in line
    kept = kept_at("https://localhost:1")
    with kept.locked():
        thumbprint = kept.lasting_identity().thumbprint
        kept.keep(Login(issuer=kept.issuer, client_id="me", thumbprint=thumbprint, refresh_token="r"))
    assert "nothing listens there" in certbound("whoami").err
    told = certbound("logout").err
    assert "cannot be reached" in told
    assert "nothing was removed; --forget removes it all the same" in told


@pytest.mark.parametrize("host", ["nowhere.example", "a" * 64 + ".example", "a..example"])
def test_a_host_that_nobody_knows(
    host: str, known: Authority, client: list[str], certbound: Certbound, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether DNS says so, or no name can be so."""
    resolve = socket.getaddrinfo

    def unknown(name: str, *more: object, **given: object) -> object:
        name.encode("idna")
        if name == host:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve(name, *more, **given)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    for line in every(certbound, f"https://{host}", client):
        assert "is the name right, and does DNS know it from here?" in line


@pytest.mark.parametrize(
    ("reason", "step"),
    [
        ("the TLS handshake took too long", "; is that its address, and does a firewall let this machine through?"),
        ("TLS failed: tlsv1 alert protocol version", "; the server has to offer TLS 1.3 to a login"),
        ("TLS failed: tlsv13 alert certificate required", "; the server takes no connection with this certificate"),
        ("TLS failed: tlsv1 unrecognized name", "; what ends TLS there knows no host of that name"),
        ("is this the right mismatch?", " certbound cert inspect https://a.example:8443 shows for which names it is"),
        ("something that nobody has seen", ""),
    ],
)
def test_what_else_people_meet(reason: str, step: str) -> None:
    """Advice for what is known, and none for what is not; the message of the client is read up to the reason."""
    url = "https://a.example:8443/expired"
    assert advice(reason, url).startswith(step)
    assert next_step(f"{url} cannot be reached: {reason}") == advice(reason, url)
    assert bool(advice(reason, url)) is bool(step)
