"""Reloading, stopping, websockets, and the ASGI TLS extension."""

import asyncio
import ssl
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from websockets.client import ClientProtocol
from websockets.uri import parse_uri

from certbound.core.certificate import read_certificate, thumbprint
from certbound.core.errors import BadCertificate
from certbound.tls import Limits, peer_certificate
from certbound.trust.authority import self_signed
from tls.wire import CLIENT, ROOT, Client, Recorder, Server, client_context, files, one_port, reply, until, virtual_host


def serial(client):
    return client.tls.get_peer_certificate(as_cryptography=True).serial_number


# --- reloading


def test_a_new_certificate_is_served_without_a_restart(tmp_path):
    """Files that change are read within two seconds; connections in flight keep theirs and go on."""
    with Server(one_port(virtual_host(tmp_path, Recorder()))) as server, Client(server.address) as old:
        old.shake().ask()
        renewed = ROOT.issue("CN=new", dns=["localhost", "new.example"], usage="server")
        files(tmp_path, renewed, "localhost")

        def new_one_is_served():
            with Client(server.address) as client:
                return serial(client.shake()) == renewed.certificate.serial_number

        assert until(new_one_is_served)
        assert old.ask().status == 200
        with Client(server.address, sni="new.example") as client:
            assert client.shake().ask(host="new.example").status == 200


def test_a_bad_file_changes_nothing(tmp_path, caplog):
    """A reload that fails keeps the last good certificate and says so in the log."""
    host = virtual_host(tmp_path, Recorder())
    with Server(one_port(host)) as server:
        with Client(server.address) as client:
            before = serial(client.shake())
        for content in (b"junk", files_of_another(tmp_path)):
            host.certificate.write_bytes(content)
            caplog.clear()
            server.call(server.running.reload)
            assert "not reloaded" in caplog.text
            assert str(host.certificate) in caplog.text
            with Client(server.address) as client:
                assert serial(client.shake()) == before
                assert client.ask().status == 200


def files_of_another(tmp_path):
    certificate, _ = files(tmp_path, ROOT.issue("CN=a", dns=["localhost"], usage="server"), "another")
    return certificate.read_bytes()


# --- stopping


def test_a_stop_lets_begun_requests_end(tmp_path):
    """A request in flight is answered; idle and half-open connections end at once; no new one is taken."""
    gate = asyncio.Event()

    async def slow(scope, receive, send):
        if scope["type"] == "http":
            await gate.wait()
            await reply(send, b"done")

    server = Server(one_port(virtual_host(tmp_path, slow)))
    server.grace = 5
    with server, Client(server.address) as busy, Client(server.address) as idle, Client(server.address) as silent:
        busy.shake().send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        idle.shake()
        time.sleep(0.1)
        server.call(server._end.set)
        assert idle.receive() == b""
        assert silent.is_closed()
        with pytest.raises(ConnectionError):
            Client(server.address)
        server.call(gate.set)
        response = busy.response()
        assert response.body == b"done"
        assert response.headers[b"connection"] == b"close"
        assert busy.is_closed()
        server._thread.join(3)
        assert not server._thread.is_alive()


def test_a_stop_has_an_end(tmp_path):
    """A request that does not end is cut off after the grace."""

    async def stuck(scope, receive, send):
        if scope["type"] == "http":
            await asyncio.sleep(60)

    server = Server(one_port(virtual_host(tmp_path, stuck)))
    server.grace = 0.2
    with server, Client(server.address) as client:
        client.shake().send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(0.1)
        begun = time.monotonic()
        server.stop()
        assert time.monotonic() - begun < 3
        assert client.is_closed()


# --- the ASGI TLS extension


def test_the_asgi_tls_extension(tmp_path):
    """Other applications find version 0.2 of the extension, its chain leaf first, and are told what was not done."""
    app = Recorder()
    middle = ROOT.subordinate("middle")
    leaf = middle.issue("CN=deep,O=Example")
    host = virtual_host(tmp_path, app)
    with Server(one_port(host)) as server:
        with Client(server.address, certificate=leaf, chain=[middle.certificate]) as client:
            client.shake().ask()
            client.ask()
        with Client(server.address, version=SSL.TLS1_2_VERSION) as client:
            client.shake().ask()
    with_one, again, without = (scope["extensions"]["tls"] for scope in app.scopes)
    assert with_one is again
    assert set(with_one) == {
        "server_cert", "client_cert_chain", "client_cert_name", "client_cert_error", "tls_version", "cipher_suite",
    }  # fmt: skip
    chain = [x509.load_pem_x509_certificate(pem.encode()) for pem in with_one["client_cert_chain"]]
    assert [each.public_bytes(Encoding.DER) for each in chain] == [
        leaf.der, middle.certificate.public_bytes(Encoding.DER),
    ]  # fmt: skip
    assert with_one["client_cert_name"] == leaf.certificate.subject.rfc4514_string()
    assert "not verified" in with_one["client_cert_error"]
    assert with_one["tls_version"] == 0x0304
    assert with_one["cipher_suite"] in (0x1301, 0x1302, 0x1303)
    assert with_one["server_cert"] == host.certificate.read_text().partition("-----END CERTIFICATE-----\n")[0] + (
        "-----END CERTIFICATE-----\n"
    )
    assert dict(without) == {
        **without, "client_cert_chain": [], "client_cert_name": None, "client_cert_error": None, "tls_version": 0x0303,
    }  # fmt: skip
    assert without["cipher_suite"] >> 8 in (0xC0, 0xCC)


def test_the_extension_behaves_like_a_dictionary(tmp_path):
    """It is written out when first looked at, whichever way that is."""
    app = Recorder()
    with Server(one_port(virtual_host(tmp_path, app))) as server:
        for _ in range(5):
            with Client(server.address, certificate=CLIENT) as client:
                client.shake().ask()
    first, second, third, fourth, fifth = (scope["extensions"]["tls"] for scope in app.scopes)
    assert "tls_version" in first
    assert second.get("tls_version") == 0x0304
    assert len(third) == 6
    assert dict(fourth)["client_cert_name"] == "CN=client"
    assert {**fifth}["client_cert_name"] == "CN=client"


def test_a_certificate_that_we_cannot_read_is_not_no_certificate(tmp_path):
    """OpenSSL takes some certificates that are not canonical; the application can tell them from none."""
    app = Recorder()
    context = odd_context(tmp_path)
    with Server(one_port(virtual_host(tmp_path, app))) as server, Client(server.address, context=context) as client:
        answer = client.shake().ask().json
    assert answer["thumbprint"] is None
    assert answer["unusable"]
    assert peer_certificate(app.scopes[0]) is None
    extension = app.scopes[0]["extensions"]["tls"]
    assert extension["client_cert_error"] == answer["unusable"]
    assert len(extension["client_cert_chain"]) == 1


def odd_context(folder):
    """A client whose certificate says TRUE as 01, not FF: BER that OpenSSL takes, not DER."""
    good = self_signed("CN=odd")
    odd = good.der.replace(b"\x01\x01\xff", b"\x01\x01\x01")
    assert odd != good.der
    with pytest.raises(BadCertificate):
        read_certificate(odd)
    file = folder / "odd.pem"
    file.write_text(ssl.DER_cert_to_PEM_cert(odd))
    key = folder / "odd.key"
    key.write_bytes(good.key_pem)
    context = client_context()
    context.use_certificate_file(str(file))
    context.use_privatekey_file(str(key))
    return context


# --- websockets


@pytest.fixture
def echo():
    scopes = []

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            raise RuntimeError("no lifespan here")
        scopes.append(scope)
        if scope["type"] != "websocket":
            await reply(send, b"plain")
            return
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"].upper()})

    app.scopes = scopes
    return app


def open_websocket(client, host="localhost"):
    protocol = ClientProtocol(parse_uri(f"wss://{host}/chat"))
    protocol.send_request(protocol.connect())
    client.send(b"".join(protocol.data_to_send()))
    return protocol


def exchange(client, protocol):
    events = []
    while not events:
        data = client.receive()
        if not data:
            raise ConnectionError
        protocol.receive_data(data)
        events = protocol.events_received()
    return events


def test_websockets_carry_the_same_facts(tmp_path, echo):
    """Where they are wanted, a websocket scope has the certificate and the extension like a request."""
    host = virtual_host(tmp_path, echo, websockets=True)
    with Server(one_port(host)) as server, Client(server.address, certificate=CLIENT) as client:
        protocol = open_websocket(client.shake())
        assert exchange(client, protocol)[0].status_code == 101
        for text in (b"hello", b"x" * 70_000):
            protocol.send_text(text)
            client.send(b"".join(protocol.data_to_send()))
            assert exchange(client, protocol)[0].data == text.upper()
        (scope,) = echo.scopes
        assert scope["type"] == "websocket"
        assert scope["scheme"] == "wss"
        assert peer_certificate(scope).leaf.thumbprint == thumbprint(CLIENT.der)
        assert scope["extensions"]["tls"]["tls_version"] == 0x0304
        assert scope["client"] == client.socket.getsockname()
        client.tls.shutdown()
        client.socket.sendall(client.outgoing())
        assert client.is_closed()
    assert until(lambda: server.running.connections == 0)


def test_a_websocket_for_another_host_is_misdirected(tmp_path, echo):
    """The rules for Host hold for upgrades."""
    host = virtual_host(tmp_path, echo, websockets=True)
    with Server(one_port(host)) as server, Client(server.address) as client:
        open_websocket(client.shake(), host="other.example")
        assert client.response().status == 421
    assert not echo.scopes


def test_websockets_are_refused_where_nothing_serves_them(tmp_path, echo):
    """400, and the application sees neither a websocket nor a request."""
    with Server(one_port(virtual_host(tmp_path, echo))) as server, Client(server.address) as client:
        open_websocket(client.shake())
        assert client.response().status == 400
        assert client.is_closed()
    assert not echo.scopes


def test_an_open_websocket_ends_with_the_server(tmp_path, echo):
    """A stop closes websockets in order."""
    server = Server(one_port(virtual_host(tmp_path, echo, websockets=True), limits=Limits(idle_seconds=0.2)))
    with server, Client(server.address) as client:
        protocol = open_websocket(client.shake())
        exchange(client, protocol)
        time.sleep(0.5)  # no limit of HTTP applies to it
        protocol.send_text(b"still here")
        client.send(b"".join(protocol.data_to_send()))
        assert exchange(client, protocol)[0].data == b"STILL HERE"
        server.call(server._end.set)
        assert exchange(client, protocol)[0].opcode == 8
