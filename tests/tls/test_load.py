"""Many connections and hostile ones: what they cost, and that requests on established connections hardly notice."""

import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from OpenSSL import SSL

from certbound.tls import Limits
from certbound.trust.authority import Authority, self_signed
from speed import cpu
from tls.load import certificate_message, client_hello
from tls.wire import Client, Recorder, Server, client_context, one_port, virtual_host

PROGRAM = Path(__file__).with_name("load.py")


def linked_chain(length, key="P-521"):
    """A leaf and authorities above it, each signed by the next: what OpenSSL would like to verify."""
    authority = Authority.create("0", key=key)
    behind = [authority.certificate]
    for number in range(1, length):
        inner = authority.subordinate(str(number), key=key)
        authority = type(authority)(inner.certificate, inner.private_key)
        behind.insert(0, inner.certificate)
    return authority.issue("CN=leaf", key=key), behind


HOSTILE = {
    "linked": lambda: linked_chain(100),
    "not linked": lambda: (
        self_signed("CN=leaf", key="P-521"),
        [self_signed(f"CN={number}", key="P-521").certificate for number in range(100)],
    ),
}


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_chain_costs_little(tmp_path, kind, version):
    """100 P-521 certificates, linked or not, cost at most 5 ms of processor, even with the bound on bytes lifted."""
    leaf, behind = HOSTILE[kind]()
    context = client_context(leaf, behind, version=version)
    limits = Limits(handshake_bytes=200_000)
    with Server(one_port(virtual_host(tmp_path, Recorder()), limits=limits)) as server:
        costs = []
        for _ in range(5):
            with Client(server.address, context=context) as hostile:
                hostile.step()
                flight = hostile.outgoing()
                while len(flight) < 10_000:
                    hostile.socket.sendall(flight)
                    hostile.take()
                    hostile.step()
                    flight = hostile.outgoing()
                assert len(flight) > 50_000
                before = server.call(time.thread_time)
                hostile.socket.sendall(flight)
                assert hostile.shake().ask().status == 200
                costs.append(server.call(time.thread_time) - before)
    assert sorted(costs)[1] < cpu(0.005), costs


def test_the_dearest_chain_within_the_bound(tmp_path):
    """Tiny certificates with compressed P-521 keys are the worst that we know; the bound on bytes bounds their cost."""
    size = Limits().handshake_bytes - 2048
    chain = certificate_message([tiny_certificate(number) for number in range(size // 176)])
    with Server(one_port(virtual_host(tmp_path, Recorder()))) as server:
        costs = []
        for _ in range(3):
            with Client(server.address) as hostile:
                hostile.socket.sendall(client_hello())
                assert hostile.socket.recv(4096)[0] == 22
                before = server.call(time.thread_time)
                hostile.socket.sendall(chain + b"\x16\x03\x03\x00\x25\x10\x00\x00\x21\x20" + bytes(32))
                assert hostile.is_closed()
                costs.append(server.call(time.thread_time) - before)
    print(f"{len(chain)} bytes: {min(costs) * 1000:.1f} ms")
    assert min(costs) < cpu(0.015), costs


def tiny_certificate(number):
    """A certificate of 172 bytes: no names, no extensions, a signature that is none, and a key that takes a root."""

    def tlv(tag, *contents):
        content = b"".join(contents)
        length = len(content).to_bytes(1, "big") if len(content) < 128 else b"\x81" + len(content).to_bytes(1, "big")
        return bytes([tag]) + length + content

    point = ec.generate_private_key(ec.SECP521R1()).public_key().public_bytes(
        Encoding.X962, PublicFormat.CompressedPoint
    )  # fmt: skip
    algorithm = tlv(0x30, bytes.fromhex("06072a8648ce3d0201"), bytes.fromhex("06052b81040023"))
    signed_with = tlv(0x30, bytes.fromhex("06082a8648ce3d040302"))
    validity = tlv(0x30, tlv(0x17, b"250101000000Z"), tlv(0x17, b"350101000000Z"))
    serial = tlv(2, (0x10000 + number).to_bytes(3, "big"))
    key = tlv(0x30, algorithm, tlv(3, b"\0", point))
    tbs = tlv(0x30, serial, signed_with, tlv(0x30), validity, tlv(0x30), key)
    return tlv(0x30, tbs, signed_with, tlv(3, b"\0", tlv(0x30, tlv(2, b"\1"), tlv(2, b"\1"))))
