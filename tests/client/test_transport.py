"""`certbound.client.transport` and `.tls`: whom a client believes, and who it is."""

import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

import certbound.client
from certbound.client import AsyncTransport, ClientError, Identity, Transport, WatchedIdentity, open_client
from certbound.client.tls import TLS_CONNECTION
from certbound.trust.authority import Authority, Issued, self_signed
from client.served import Served, served


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as running:
        running.answer("/", {"hello": "world"})
        yield running


def identity(issued: Issued) -> Identity:
    return Identity(issued.chain_pem, issued.key_pem)


class TestServer:
    def test_a_server_of_the_ca_is_believed(self, server: Served) -> None:
        """By name and by address, and one connection serves several requests."""
        with open_client(ca=server.ca) as client:
            for url in (server.url, server.url, server.url.replace("localhost", "127.0.0.1")):
                assert client.get(url).json() == {"hello": "world"}

    def test_whom_to_believe_is_a_path_or_its_text(self, server: Served) -> None:
        """As everywhere else in Python; below `open` too."""
        with open_client(ca=str(server.ca)) as client:
            assert client.get(server.url).json() == {"hello": "world"}
        with pytest.raises(ClientError, match=r"the CA file missing\.pem cannot be read"):
            Transport(ca="missing.pem")

    def test_a_server_of_another_ca_is_refused(self, server: Served, tmp_path: Path) -> None:
        """Its application sees nothing, and the sentence says why."""
        other = tmp_path / "other.pem"
        other.write_bytes(Authority.create("other").certificate_pem)
        with open_client(ca=other) as client, pytest.raises(httpx.ConnectError, match="cannot be trusted: its issuer"):
            client.get(server.url)
        assert server.asked == []

    def test_without_a_ca_the_systems_roots_decide(self, server: Served) -> None:
        """They do not know our authority."""
        with open_client() as client, pytest.raises(httpx.ConnectError, match="cannot be trusted"):
            client.get(server.url)

    @pytest.mark.parametrize(
        ("names", "host"),
        [
            ({"dns": ["other.example"]}, "localhost"),
            ({"dns": ["*.localhost"]}, "localhost"),
            ({"dns": ["localhost"]}, "127.0.0.1"),
            ({"dns": ["127.0.0.1"]}, "127.0.0.1"),
            ({"ips": ["127.0.0.1"]}, "localhost"),
            ({}, "localhost"),
        ],
    )
    def test_the_certificate_names_the_host(self, tmp_path: Path, names: dict[str, list[str]], host: str) -> None:
        """Another name, a name for an address, an address for a name, or a CN alone: refused."""
        authority = Authority.create("servers")
        issued = authority.issue("CN=localhost", usage="server", **names)
        with served(tmp_path, certificate=issued, name=host) as server:
            server.ca.write_bytes(authority.certificate_pem)
            with open_client(ca=server.ca) as client, pytest.raises(httpx.ConnectError, match=f"is not for {host}"):
                client.get(server.url)
            assert server.asked == []

    @pytest.mark.parametrize(
        ("fact", "reason"),
        [
            ({"now": datetime.now(UTC) - timedelta(days=9), "days": 1}, "it has expired"),
            ({"now": datetime.now(UTC) + timedelta(days=9)}, "it is not valid yet"),
            ({"usage": "client"}, "it is not made for servers"),
        ],
    )
    def test_a_certificate_that_does_not_serve(self, tmp_path: Path, fact: dict[str, object], reason: str) -> None:
        """Expired, not yet valid, or made for clients: refused, and the sentence says which."""
        authority = Authority.create("servers")
        facts = {"usage": "server", **fact}
        issued = authority.issue("CN=server", dns=["localhost"], **facts)  # type: ignore[arg-type]
        with served(tmp_path, certificate=issued) as server:
            server.ca.write_bytes(authority.certificate_pem)
            with open_client(ca=server.ca) as client, pytest.raises(httpx.ConnectError, match=reason):
                client.get(server.url)

    def test_a_self_signed_server(self, tmp_path: Path) -> None:
        """It is believed only when it is itself the CA that was named."""
        issued = self_signed("CN=server", dns=["localhost"], usage="server")
        with served(tmp_path, certificate=issued) as server:
            server.answer("/")
            with open_client(ca=server.ca) as client, pytest.raises(httpx.ConnectError, match="self-signed"):
                client.get(server.url)
            server.ca.write_bytes(issued.certificate_pem)
            with open_client(ca=server.ca) as client:
                assert client.get(server.url).status_code == 200

    def test_a_ca_file_that_is_none(self, tmp_path: Path) -> None:
        """It is named, before any connection."""
        (tmp_path / "empty.pem").write_bytes(b"")
        for name in ("empty.pem", "missing.pem"):
            with pytest.raises(ClientError, match=name):
                Transport(ca=tmp_path / name)

    def test_plain_http_is_not_spoken(self, server: Served) -> None:
        """No byte leaves in the clear, whatever the URL says."""
        with open_client(ca=server.ca) as client, pytest.raises(httpx.UnsupportedProtocol, match="https"):
            client.get(server.url.replace("https:", "http:"))

    def test_redirects_are_not_followed(self, server: Served) -> None:
        """The answer is the redirect itself."""
        server.answer("/", status=302, location="/elsewhere")
        with open_client(ca=server.ca) as client:
            assert client.get(server.url).status_code == 302


class TestIdentity:
    @pytest.mark.parametrize("key", ["P-256", "RSA-2048", "Ed25519", "ML-DSA-65"])
    def test_the_certificate_is_presented_and_proven(self, server: Served, key: str) -> None:
        """Of every kind of key, post-quantum among them; the key agreement is post-quantum, too."""
        own = identity(self_signed("CN=client", key=key))
        with open_client(own, ca=server.ca) as client, client.stream("GET", server.url) as answer:
            connection = answer.extensions["network_stream"].get_extra_info(TLS_CONNECTION)
            answer.read()
            assert (connection.get_protocol_version_name(), connection.get_group_name()) == (
                "TLSv1.3", "X25519MLKEM768",
            )  # fmt: skip
        assert server.asked[-1][2] == own.thumbprint

    def test_each_client_is_its_own_identity(self, server: Served) -> None:
        """Two clients of one server, and one without a certificate, never share a connection."""
        one, other = identity(self_signed("CN=one")), identity(self_signed("CN=other"))
        with (
            open_client(one, ca=server.ca) as first,
            open_client(other, ca=server.ca) as second,
            open_client(ca=server.ca) as third,
        ):
            for client in (first, second, third, first):
                client.get(server.url)
        assert [thumbprint for *_, thumbprint in server.asked] == [
            one.thumbprint, other.thumbprint, None, one.thumbprint,
        ]  # fmt: skip

    def test_tls_13_only(self, server: Served) -> None:
        """Asked for it, the client speaks nothing older; the server here has it."""
        with open_client(ca=server.ca, minimum_tls="1.3") as client:
            assert client.get(server.url).status_code == 200


class TestBounds:
    def test_a_silent_server_is_left(self, tmp_path: Path) -> None:
        """A handshake that does not go on ends after the timeout as a whole."""
        with (
            socket.create_server(("127.0.0.1", 0)) as silent,
            open_client() as client,
            pytest.raises(httpx.ConnectTimeout),
        ):
            client.get(f"https://127.0.0.1:{silent.getsockname()[1]}", timeout=0.2)

    def test_a_dripping_server_is_left(self) -> None:
        """Bytes that come one by one do not prolong the handshake."""
        done = threading.Event()
        with socket.create_server(("127.0.0.1", 0)) as drip:

            def serve() -> None:
                accepted, _ = drip.accept()
                with accepted:
                    # A handshake record of 16,000 bytes, one at a time.
                    accepted.sendall(b"\x16\x03\x03\x3e\x80\x02\x00\x3e\x7c")
                    while not done.wait(0.05):
                        accepted.sendall(b"\x03")

            thread = threading.Thread(target=serve)
            thread.start()
            try:
                begun = time.monotonic()
                with open_client() as client, pytest.raises(httpx.TransportError):
                    client.get(f"https://127.0.0.1:{drip.getsockname()[1]}", timeout=0.3)
                assert time.monotonic() - begun < 2
            finally:
                done.set()
                thread.join()

    def test_a_server_that_speaks_no_tls(self) -> None:
        """It is a connection error with a sentence, not an exception of OpenSSL."""
        with socket.create_server(("127.0.0.1", 0)) as plain:

            def serve() -> None:
                accepted, _ = plain.accept()
                with accepted:
                    accepted.recv(65536)
                    accepted.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

            thread = threading.Thread(target=serve)
            thread.start()
            try:
                with open_client() as client, pytest.raises(httpx.ConnectError, match="TLS failed"):
                    client.get(f"https://127.0.0.1:{plain.getsockname()[1]}")
            finally:
                thread.join()

    def test_a_long_answer_arrives_whole(self, server: Served) -> None:
        """Several megabytes pass in both directions, byte by byte the same."""
        server.answer("/", "x" * 5_000_000)
        with open_client(ca=server.ca) as client:
            assert client.post(server.url, content=b"y" * 5_000_000).content == server.answers["/"].body
        assert server.asked[-1][1] == b"y" * 5_000_000


def test_a_transport_says_whose_it_is(tmp_path: Path) -> None:
    """The files, or the certificate; never a part of the key."""
    mine = self_signed("CN=me")
    (tmp_path / "me.pem").write_bytes(mine.chain_pem + mine.key_pem)
    own = identity(mine)
    assert repr(Transport(own)) == f"Transport({own!r})"
    assert repr(AsyncTransport(WatchedIdentity(tmp_path / "me.pem"))) == (
        f"AsyncTransport(WatchedIdentity({tmp_path}/me.pem))"
    )
    assert repr(Transport()) == "Transport(no certificate)"
    assert "PRIVATE" not in repr(Transport(own))


def test_import_star_leaves_pythons_open_alone() -> None:
    """`certbound.client.open` is public all the same."""
    names: dict[str, object] = {}
    exec("from certbound.client import *", names)
    assert "open" not in names
    assert {"open_async", "open_client", "probe", "Probed", "Device", "Started"} <= names.keys()
    assert certbound.client.open.__module__ == "certbound.client.opening"
