"""From one virtual host to another: sessions, server names and Host, each with the policy of its own host."""

import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from certbound.core.certificate import thumbprint
from tls.wire import CLIENT, PATIENCE, Client, Recorder, Server, files, one_port, virtual_host

ASKS, SILENT = "mtls.example", "plain.example"
HANDSHAKE = bytes((22,))


@dataclass
class Hosts:
    """A port with a host that asks for certificates and one that does not."""

    server: Server
    asks: Recorder
    silent: Recorder


@pytest.fixture(params=["the first asks", "the first does not"])
def hosts(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Hosts]:
    asks, silent = Recorder(), Recorder()
    both = [virtual_host(tmp_path, asks, ASKS), virtual_host(tmp_path, silent, SILENT, asks=False)]
    with Server(one_port(*(both if request.param == "the first asks" else both[::-1]))) as server:
        yield Hosts(server, asks, silent)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(("first", "second"), [(SILENT, ASKS), (ASKS, SILENT), (ASKS, ASKS)])
def test_a_session_of_one_host_opens_no_other(
    hosts: Hosts, tmp_path: Path, version: ssl.TLSVersion, first: str, second: str
) -> None:
    """CVE-2025-23419, CVE-2025-23048: a ticket of one host is offered at another: a full handshake, and its policy."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    session = None
    for name, holds in ((first, name_holds(first)), (second, name_holds(second))):
        certificate, key = files(tmp_path, CLIENT, "client")
        context.load_cert_chain(certificate, key)
        with (
            socket.create_connection(hosts.server.address, PATIENCE) as raw,
            context.wrap_socket(raw, server_hostname=name, session=session) as tls,
        ):
            tls.sendall(f"GET / HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
            answer = tls.recv(10_000)
            assert answer.startswith(b"HTTP/1.1 200"), answer
            assert (thumbprint(CLIENT.der).encode() in answer) is holds
            assert not tls.session_reused
            session = tls.session


def name_holds(name: str) -> bool:
    """Whether a client's certificate is known there."""
    return name == ASKS


@pytest.mark.parametrize("host", ["MTLS.example", "mtls.EXAMPLE:443", "mTLS.ExAmPlE"])
def test_the_case_of_a_name_changes_no_policy(hosts: Hosts, host: str) -> None:
    """CVE-2026-53622: in the server name, in Host, or in both."""
    bare = host.partition(":")[0]
    for sni in (ASKS, bare):
        with Client(hosts.server.address, sni=sni, certificate=CLIENT) as client:
            assert client.shake().ask(host=host).json["thumbprint"] == thumbprint(CLIENT.der)
    with Client(hosts.server.address, sni=SILENT.upper(), certificate=CLIENT) as client:
        assert client.shake().ask(host=host).status == 421
    assert not hosts.silent.scopes


@pytest.mark.parametrize("target", ["/", f"https://{ASKS}/"])
def test_a_public_server_name_does_not_front_for_the_other_host(hosts: Hosts, target: str) -> None:
    """CVE-2026-48491: Host, or the target, says the host that asks, on a connection that was never asked: 421, or 400
    where the two disagree."""
    for host in (ASKS, f"{ASKS}:443", SILENT):
        with Client(hosts.server.address, sni=SILENT, certificate=CLIENT) as client:
            status = client.shake().ask(target, host=host).status
            assert status == (421 if host != SILENT else 200 if target == "/" else 400)
            assert status == 200 or client.is_closed()
    assert not hosts.asks.scopes


NAMES = {
    "an empty name": b"\x00\x03\x00\x00\x00",
    "no name": b"\x00\x00",
    "nothing": b"",
    "two names": b"\x00\x08\x00\x00\x01a\x00\x00\x01b",
    "a NUL behind the name": b"\x00\x10\x00\x00\x0dplain.exampl\x00",
    "a kind that nobody knows": b"\x00\x04\x01\x00\x01a",
    "a name that is cut off": b"\x00\x10\x00\x00\x20plain.exampl\x00",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_malformed_server_name_is_not_the_absence_of_one(hosts: Hosts, name: str) -> None:
    """CVE-2026-32305: that would be the policy of the first host.  It ends the handshake, or belongs to no host."""
    with Client(hosts.server.address, sni=SILENT, certificate=CLIENT) as client:
        client.step()
        client.socket.sendall(with_server_name(client.outgoing(), NAMES[name]))
        if client.socket.recv(1) == HANDSHAKE:  # OpenSSL takes the empty name for one
            assert name == "an empty name"
            [connection] = hosts.server.running._listeners[0].connections
            assert connection.site is None  # every request is misdirected
    with Client(hosts.server.address, sni=SILENT) as client:
        client.step()
        client.socket.sendall(with_server_name(client.outgoing(), b"\x00\x10\x00\x00\x0d" + SILENT.encode()))
        assert client.socket.recv(1) == HANDSHAKE  # so a good one is understood
    assert not hosts.asks.scopes
    assert not hosts.silent.scopes


def with_server_name(record: bytes, said: bytes) -> bytes:
    """A ClientHello in one record (RFC 8446 section 4.1.2) with these bytes as the extension `server_name`."""
    at = 5 + 4 + 2 + 32  # header of the record, header of the message, version, random
    at += 1 + record[at]  # session
    at += 2 + int.from_bytes(record[at : at + 2], "big")  # cipher suites
    at += 1 + record[at]  # compression
    front, rest, extensions = record[9:at], record[at + 2 :], b""
    while rest:
        kind, size = rest[:2], int.from_bytes(rest[2:4], "big")
        data = said if kind == b"\x00\x00" else rest[4 : 4 + size]
        extensions += kind + len(data).to_bytes(2, "big") + data
        rest = rest[4 + size :]
    body = front + len(extensions).to_bytes(2, "big") + extensions
    message = record[5:6] + len(body).to_bytes(3, "big") + body
    return record[:3] + len(message).to_bytes(2, "big") + message
