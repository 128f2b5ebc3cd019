"""Who is asked for a certificate, what is believed of it, and what never reaches an application."""

# ruff: noqa: SIM117, PT012 -- the connection is made outside, what must fail stands inside

import asyncio
import contextlib
import logging
import socket
import ssl
from base64 import b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from OpenSSL import SSL

from certbound.core.certificate import thumbprint
from certbound.tls import Limits, peer_certificate
from certbound.trust.authority import self_signed
from tls.wire import (
    CLIENT,
    PATIENCE,
    ROOT,
    Client,
    Recorder,
    Server,
    client_context,
    one_port,
    pieces,
    refragmented,
    until,
    use_key,
    virtual_host,
)  # fmt: skip

THUMBPRINT = thumbprint(CLIENT.der)


@pytest.fixture
def app():
    return Recorder()


@pytest.fixture
def server(tmp_path, app):
    with Server(one_port(virtual_host(tmp_path, app))) as running:
        yield running


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, None])
def test_the_application_learns_the_certificate_whose_key_the_peer_holds(tmp_path, app, version, loop_factory):
    """A client certificate is asked for, and reaches the application with its thumbprint, on both versions of TLS."""
    more = {"loop_factory": loop_factory} if loop_factory else {}
    with Server(one_port(virtual_host(tmp_path, app)), **more) as server:
        with Client(server.address, certificate=CLIENT, version=version) as client:
            assert client.shake().ask("/who?x=1").json["thumbprint"] == THUMBPRINT
            assert client.ask("/again").json["thumbprint"] == THUMBPRINT
        with Client(server.address, version=version) as client:
            assert client.shake().ask().json["thumbprint"] is None


@pytest.mark.parametrize("key", ["P-256", "P-384", "RSA-2048", "Ed25519", "ML-DSA-65"])
def test_any_certificate_is_accepted(server, key):
    """Self-signed, unknown, of any key that TLS knows: it is handed on, judged by nobody."""
    stranger = self_signed("CN=stranger", key=key)
    with Client(server.address, certificate=stranger) as client:
        assert client.shake().ask().json["thumbprint"] == thumbprint(stranger.der)


def test_an_expired_certificate_is_accepted(server):
    """Time is the application's business."""
    stale = self_signed("CN=stale", days=-0.01)
    with Client(server.address, certificate=stale) as client:
        assert client.shake().ask().json["thumbprint"] == thumbprint(stale.der)


def test_the_chain_behind_the_leaf_is_handed_on(server, app):
    """What was sent behind the leaf arrives in order, as material for a path."""
    middle = ROOT.subordinate("middle")
    leaf = middle.issue("CN=deep")
    with Client(server.address, certificate=leaf, chain=[middle.certificate, ROOT.certificate]) as client:
        client.shake().ask()
    peer = peer_certificate(app.scopes[0])
    assert peer.leaf.der == leaf.der
    assert [len(each) > 100 for each in peer.chain] == [True, True]


def test_no_request_can_forge_the_facts(server, app):
    """What a request says about certificates stays a header; the facts are an object that only the listener makes."""
    forged = "Client-Cert: :MIIB:\r\nCertbound.tls: x\r\nX-Forwarded-For: 10.0.0.1\r\n"
    with Client(server.address) as client:
        assert client.shake().ask(more=forged).json["thumbprint"] is None
        ours = client.socket.getsockname()
    assert app.scopes[0]["client"] == ours
    assert peer_certificate({"extensions": {"certbound.tls": {"peer_certificate": "x"}}}) is None
    assert peer_certificate({}) is None


def test_post_quantum_key_agreement_is_taken_when_offered(server):
    """X25519MLKEM768 is negotiated with a peer that offers it."""
    with Client(server.address) as client:
        assert client.shake().ask().json["group"] == "X25519MLKEM768"


def test_tls_13_only_is_a_policy_of_the_port(tmp_path, app):
    """A port that wants TLS 1.3 refuses 1.2."""
    with Server(one_port(virtual_host(tmp_path, app), minimum_tls="1.3")) as server:
        with Client(server.address, version=SSL.TLS1_2_VERSION) as client, pytest.raises(SSL.Error):
            client.shake()
        with Client(server.address) as client:
            assert client.shake().ask().json["tls"] == "TLSv1.3"


@pytest.mark.parametrize("suite", [b"AES128-GCM-SHA256", b"ECDHE-ECDSA-AES128-SHA", b"ECDHE-ECDSA-AES128-SHA256"])
def test_tls_12_needs_forward_secrecy_and_an_aead(server, suite):
    """Static RSA and CBC are refused."""
    context = client_context(version=SSL.TLS1_2_VERSION)
    context.set_cipher_list(suite + b":@SECLEVEL=0")
    with Client(server.address, context=context) as client, pytest.raises((SSL.Error, ConnectionError)):
        client.shake()


def test_renegotiation_is_refused(server, app):
    """A client that wants to renegotiate under TLS 1.2 gets no second handshake."""
    with Client(server.address, version=SSL.TLS1_2_VERSION, certificate=CLIENT) as client:
        client.shake().ask()
        assert client.tls.total_renegotiations() == 0
        client.tls.renegotiate()
        with pytest.raises((SSL.Error, ConnectionError)):
            client.shake()
            client.ask()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_is_never_resumed(server, version):
    """A session that the client offers again leads to a full handshake with a certificate of its own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    session = None
    for _ in range(3):
        with (
            socket.create_connection(server.address, PATIENCE) as raw,
            context.wrap_socket(raw, server_hostname="localhost", session=session) as tls,
        ):
            tls.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert tls.recv(1000).startswith(b"HTTP/1.1 200")
            assert not tls.session_reused
            session = tls.session or session


def test_alpn_is_http_11_or_nothing(server):
    """HTTP/1.1 is chosen among others; a client that speaks none of it is told so in the handshake."""
    with Client(server.address, alpn=[b"h2", b"http/1.1"]) as client:
        client.shake()
        assert client.tls.get_alpn_proto_negotiated() == b"http/1.1"
        assert client.ask().status == 200
    with Client(server.address, alpn=[b"h2"]) as client, pytest.raises(SSL.Error, match="no application protocol"):
        client.shake()


# --- what comes in odd portions


def test_the_first_request_may_come_with_the_end_of_the_handshake(server):
    """Finished and the first request in one segment: the request is answered."""
    with Client(server.address, certificate=CLIENT) as client:
        assert not client.step()
        client.socket.sendall(client.outgoing())
        while not client.step():
            client.take()
        client.tls.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        client.socket.sendall(client.outgoing())
        assert client.response().json["thumbprint"] == THUMBPRINT


def test_a_large_body_may_come_with_the_end_of_the_handshake(server):
    """What follows the handshake does not count against its bound."""
    with Client(server.address, certificate=CLIENT) as client:
        assert not client.step()
        client.socket.sendall(client.outgoing())
        while not client.step():
            client.take()
        client.tls.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 150000\r\n\r\n" + bytes(150000))
        client.socket.sendall(client.outgoing())
        assert client.response().json["body"] == 150000


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
def test_one_byte_segments(server, version):
    """Every byte in a TCP segment of its own: handshake and requests work."""
    with Client(server.address, certificate=CLIENT, version=version) as client:

        def send(flight):
            for piece in pieces(flight, 1):
                client.socket.sendall(piece)

        client.shake(send)
        send(client.encrypt(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc"))
        assert client.response().json["thumbprint"] == THUMBPRINT
        assert client.ask(body=b"after that, as usual").json["body"] == 20


def test_one_byte_records(server):
    """Every byte in a TLS record of its own, many in one segment: requests work."""
    with Client(server.address, certificate=CLIENT) as client:
        client.shake()
        for piece in pieces(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 400\r\n\r\n" + bytes(400), 1):
            client.tls.sendall(piece)
        client.socket.sendall(client.outgoing())
        assert client.response().json["body"] == 400


def test_a_fragmented_client_hello_meets_the_same_policy(tmp_path, app):
    """A ClientHello in one-byte records is understood or refused; the server name in it still chooses."""
    plain = Recorder()
    hosts = [virtual_host(tmp_path, plain, "plain.example", asks=False), virtual_host(tmp_path, app, "mtls.example")]
    with Server(one_port(*hosts)) as server, Client(server.address, sni="mtls.example", certificate=CLIENT) as client:
        sent = []

        def send(flight):
            client.socket.sendall(flight if sent else refragmented(flight))
            sent.append(flight)

        try:
            client.shake(send)
        except (SSL.Error, ConnectionError):
            return
        assert client.ask(host="mtls.example").json["thumbprint"] == THUMBPRINT
    assert not plain.scopes


# --- what must never reach the application


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(600),
        b"\x16\x03\x01\xff\xff" + bytes(70000),
        b"\x16" + b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3,
        b"\x80\x2e\x01\x00\x02" + bytes(60),
        bytes(5000),
    ],
)
def test_garbage_ends_its_connection_only(server, app, caplog, garbage):
    """Plaintext or garbage: that connection ends, the application is not called, nothing above debug is logged."""
    with caplog.at_level(logging.INFO), Client(server.address) as good, Client(server.address) as bad:
        good.shake()
        bad.socket.sendall(garbage)
        assert bad.is_closed()
        assert not app.scopes
        assert good.ask().status == 200
    assert not caplog.records
    assert until(lambda: server.running.connections == 0)


def test_plaintext_before_the_client_hello_is_no_part_of_a_request(server, app):
    """A request prefix in plain text before the ClientHello (TLS injection) ends the connection."""
    with Client(server.address, certificate=CLIENT) as client:
        client.step()
        client.socket.sendall(b"POST /steal HTTP/1.1\r\nX: " + client.outgoing())
        assert client.is_closed()
    assert not app.scopes


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 1.0])
def test_a_handshake_that_is_cut_off(server, app, caplog, share):
    """The client leaves in the middle of its first or second flight: the connection is gone, no trace is left."""
    with caplog.at_level(logging.INFO):
        for flights in (0, 1):
            client = Client(server.address, certificate=CLIENT)
            with client:
                client.step()
                flight = client.outgoing()
                if flights:
                    client.socket.sendall(flight)
                    while not client.step():
                        client.take()
                    flight = client.outgoing()[:-1]
                client.socket.sendall(flight[: int(len(flight) * share)])
        assert until(lambda: server.running.connections == 0)
    assert not app.scopes
    assert not caplog.records


def test_the_handshake_has_a_time(tmp_path, app):
    """Whoever connects and says nothing, or half of a ClientHello, is dropped in time."""
    limits = Limits(handshake_seconds=0.2)
    with Server(one_port(virtual_host(tmp_path, app), limits=limits)) as server:
        with Client(server.address) as silent, Client(server.address) as halfway, Client(server.address) as good:
            good.shake()
            halfway.step()
            halfway.socket.sendall(halfway.outgoing()[:100])
            assert silent.is_closed()
            assert halfway.is_closed()
            assert good.ask().status == 200


def test_the_bytes_of_a_handshake_are_bounded(tmp_path, app):
    """A chain beyond the bound ends the handshake."""
    chain = [self_signed(f"CN={n}").certificate for n in range(40)]
    limits = Limits(handshake_bytes=8 * 1024)
    with Server(one_port(virtual_host(tmp_path, app), limits=limits)) as server:
        with Client(server.address, certificate=CLIENT, chain=chain) as client:
            client.shake()
            client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.is_closed()
        with Client(server.address, certificate=CLIENT, chain=chain[:5]) as client:
            assert client.shake().ask().json["thumbprint"] == THUMBPRINT
    assert len(app.scopes) == 1


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
def test_a_certificate_without_its_key(server, app, caplog, version):
    """A CertificateVerify made by another key: the handshake fails and the application is never called."""
    context = client_context(version=version)
    use_key(context, CLIENT.certificate, _misfit_key(CLIENT))
    with caplog.at_level(logging.INFO), Client(server.address, context=context) as client:
        with pytest.raises((SSL.Error, ConnectionError)):
            client.shake().ask()
    assert until(lambda: server.running.connections == 0)
    assert not app.scopes
    assert not caplog.records


def test_a_certificate_verify_with_one_bit_flipped(server, app, caplog):
    """TLS 1.2 sends CertificateVerify in clear: a bit of its signature flipped under way ends the connection."""
    flipped = []

    def send(flight):
        records = bytearray(flight)
        at = 0
        while at < len(records):
            length = int.from_bytes(records[at + 3 : at + 5], "big")
            if records[at] == 22 and records[at + 5] == 15:
                records[at + 5 + length - 1] ^= 1
                flipped.append(at)
            at += 5 + length
        client.socket.sendall(records)

    with (
        caplog.at_level(logging.INFO),
        Client(server.address, certificate=CLIENT, version=SSL.TLS1_2_VERSION) as client,
    ):
        with pytest.raises((SSL.Error, ConnectionError)):
            client.shake(send).ask()
    assert flipped
    assert not app.scopes
    assert not caplog.records


def test_every_bit_flip_in_the_clients_second_flight_is_noticed(server, app):
    """Whatever byte of certificate, proof or Finished is changed under way, no request is served."""
    for place in range(0, 1100, 37):
        sent = []

        def send(flight, place=place, sent=sent):  # called before the next round only
            flight = bytearray(flight)
            if sent and place < len(flight):
                flight[place] ^= 0x10
            sent.append(flight)
            client.socket.sendall(flight)  # noqa: B023

        client = Client(server.address, certificate=CLIENT, version=SSL.TLS1_2_VERSION)
        with client, contextlib.suppress(SSL.Error, ConnectionError):
            client.shake(send)
            client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            client.response()
        if len(sent) > 1 and place < len(sent[1]):
            assert not app.scopes, place
    assert until(lambda: server.running.connections == 0)


def test_a_malformed_certificate(server, app, caplog):
    """A leaf that OpenSSL cannot parse ends the handshake."""
    broken = bytearray(CLIENT.der)

    def send(flight):
        client.socket.sendall(flight.replace(bytes(broken[:30]), bytes(broken[:4]) + b"\x30\x80" + bytes(broken[6:30])))

    with (
        caplog.at_level(logging.INFO),
        Client(server.address, certificate=CLIENT, version=SSL.TLS1_2_VERSION) as client,
    ):
        with pytest.raises((SSL.Error, ConnectionError)):
            client.shake(send).ask()
    assert not app.scopes
    assert not caplog.records


def _misfit_key(victim) -> bytes:
    """A private key whose encoding claims the victim's public key (RFC 5915), so that OpenSSL takes it for the one."""
    scalar = ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value.to_bytes(32, "big")
    point = victim.certificate.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    curve = bytes.fromhex("06082a8648ce3d030107")
    body = b"\x02\x01\x01\x04\x20" + scalar + b"\xa0\x0a" + curve + b"\xa1\x44\x03\x42\x00" + point
    text = b64encode(b"\x30" + bytes([len(body)]) + body).decode()
    return f"-----BEGIN EC PRIVATE KEY-----\n{text}\n-----END EC PRIVATE KEY-----\n".encode()
