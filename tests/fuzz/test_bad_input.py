"""What fuzzing found, and what is known to be bad input, each by name: a refusal, at a bounded cost."""

import time
from base64 import b64encode
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from certbound.core._twins import twins
from certbound.core.anchors import read_anchors
from certbound.core.certificate import Certificate, PeerCertificate, read_certificate
from certbound.core.errors import BadCertificate, InvalidClientMetadata, Untrusted
from certbound.core.revoked import Revoked
from certbound.core.subject import Subject, SubjectKind, match_subject
from certbound.core.svid import require_svid
from certbound.trust.anchors import Anchors
from certbound.trust.authority import Authority, self_signed
from certbound.trust.chains import verify_chain
from certbound.trust.crl_frames import BadList
from certbound.trust.crls import read_lists
from certificates import NOW, SUBJECT, TODAY, anchors, der, name, peer, read, tlv, with_field
from fuzz.mutations import MOST_BYTES
from speed import cpu, least

KEY = ec.generate_private_key(ec.SECP256R1())
SPIFFE = "spiffe://trust.example/workload"
STRANGE_NAME = name([("2.5.4.3", 0x15, b"a VideotexString")])
URI = tlv(0x86, b"http://a.example")
CLIENT_AUTH = tlv(0x06, bytes.fromhex("2b06010505070302"))
UNDECODABLE: dict[str, x509.UnrecognizedExtension] = {
    "a name of a string type that nobody knows (KeyError)": x509.UnrecognizedExtension(
        x509.ObjectIdentifier("2.5.29.31"), tlv(0x30, tlv(0x30, tlv(0xA2, tlv(0xA4, STRANGE_NAME))))
    ),
    "a TLS feature that nobody knows (TypeError)": x509.UnrecognizedExtension(
        x509.ObjectIdentifier("1.3.6.1.5.5.7.1.24"), tlv(0x30, b"\x02\x01\x63")
    ),
}


@pytest.mark.parametrize("extension", UNDECODABLE.values(), ids=UNDECODABLE)
def test_extensions_that_the_library_cannot_decode(authority: Authority, extension: x509.UnrecognizedExtension) -> None:
    """`cryptography` raises what it likes on them; whoever asks for them gets a refusal."""
    issued = authority.issue("CN=a", uris=[SPIFFE], now=TODAY, key=KEY, extensions=[(extension, False)])
    leaf = read(issued)
    with pytest.raises(BadCertificate):
        _ = leaf.decoded_extensions
    with pytest.raises(BadCertificate):
        require_svid(leaf)
    with pytest.raises(InvalidClientMetadata):
        read_anchors({"tls_client_auth_trust_anchors": [b64encode(leaf.der).decode()]})
    assert match_subject(leaf, Subject.registered(SubjectKind.URI, SPIFFE))


def test_a_subject_that_the_library_cannot_show(authority: Authority) -> None:
    """A common name that is a BIT STRING: where a refusal of the library names its certificate, it raises TypeError."""
    subject = name([("2.5.4.3", 0x03, b"\x00a")])
    server = authority.issue("CN=a", usage="server", now=TODAY, key=KEY)
    leaf = read_certificate(with_field(server, SUBJECT, subject, authority.private_key))
    with pytest.raises(Untrusted):
        verify_chain(peer(leaf), anchors(authority), NOW)


@pytest.mark.parametrize("behind", ["strangers", "our own", "loops"])
def test_a_hundred_certificates_behind_the_leaf(authority: Authority, behind: str) -> None:
    """As many as a handshake may carry, in the names of each other: a verdict within 20 ms of CPU."""
    between = authority.subordinate("between", now=TODAY)
    makers: dict[str, Callable[[], Authority]] = {
        "strangers": lambda: Authority.create("between", now=TODAY),
        "our own": lambda: authority.subordinate("between", now=TODAY),
        "loops": lambda: between.subordinate("between", now=TODAY),
    }
    crowd = [der(makers[behind]()) for _ in range(100)]
    stranger = Authority.create("between", now=TODAY)
    leaf = stranger.issue("CN=a", now=TODAY, key=KEY)
    for sent in (crowd, crowd[: MOST_BYTES // len(crowd[0])], [der(between), *crowd]):
        presented, trusted = peer(leaf, *sent), anchors(authority)
        assert least(partial(_refused, presented, trusted), 3) < 0.020


def _refused(presented: PeerCertificate, trusted: Anchors) -> None:
    with pytest.raises(Untrusted):
        verify_chain(presented, trusted, NOW)


@pytest.mark.parametrize("kind", ["P-256", "P-384", "P-521"])
def test_a_revoked_certificate_does_not_come_back_as_its_twin(kind: Any) -> None:
    """In ECDSA (r, s) and (r, n - s) verify alike, so whoever has a certificate has two, of two thumbprints: if one is
    revoked here, both are."""
    authority = Authority.create("Root", now=TODAY, key=kind)
    certificate = read(authority.issue("CN=a", now=TODAY, key=KEY))
    found = [each for each in map(read_certificate, twins(certificate.der)) if _is_trusted(each, authority)]
    assert len(found) == 1
    assert found[0].thumbprint in certificate.thumbprints
    assert found[0].thumbprint != certificate.thumbprint
    for revoked in (certificate, found[0]):
        for presented in (certificate, found[0]):
            assert Revoked(frozenset({revoked.thumbprint})).includes(presented)
    stranger = read(authority.issue("CN=a", now=TODAY, key=KEY))
    assert not Revoked(frozenset({certificate.thumbprint, found[0].thumbprint})).includes(stranger)


@pytest.mark.parametrize("bits", range(1, 5))
def test_unused_bits_make_no_other_certificate(authority: Authority, bits: int) -> None:
    """How many bits of the signature are said to be unused is overlooked by libraries that verify it; not here."""
    for _ in range(200):  # the bits said to be unused must be zero
        good = authority.issue("CN=a", now=TODAY, key=KEY)
        if good.der[-1] & (1 << bits) - 1 == 0:
            break
    changed = bytearray(good.der)
    changed[-len(good.certificate.signature) - 1] = bits
    with pytest.raises(BadCertificate, match="whole octets"):
        read_certificate(bytes(changed))


@pytest.mark.parametrize("kind", ["RSA-2048", "Ed25519", "ML-DSA-44"])
def test_other_signatures_have_no_twin(kind: Any) -> None:
    """And of what is no certificate there is none either."""
    certificate = read(self_signed("CN=a", now=TODAY, key=kind))
    assert certificate.thumbprints == {certificate.thumbprint}
    assert not list(twins(b"\x30\x00"))


def _is_trusted(certificate: Certificate, authority: Authority) -> bool:
    try:
        return verify_chain(peer(certificate), anchors(authority), NOW).certificate is certificate
    except Untrusted:
        return False


def test_a_list_of_an_issuer_with_a_long_name(authority: Authority) -> None:
    """Who sends a revocation list over plain HTTP has signed nothing yet: a name of 360 KB is refused, not folded."""
    rdn = name([("2.5.4.10", 0x0C, b"Example")])[2:]
    issuer = tlv(0x30, rdn * 20_000)
    fields = [b"\x02\x01\x01", bytes.fromhex("300a06082a8648ce3d040302"), issuer, tlv(0x17, b"300601110000Z")]
    signed = tlv(0x30, b"".join(fields))
    signature = authority.private_key.sign(signed, ec.ECDSA(hashes.SHA256()))
    found = tlv(0x30, signed + fields[1] + tlv(0x03, b"\x00" + signature))
    start = time.thread_time()
    with pytest.raises(BadList, match="bytes"):
        read_lists(found)
    assert time.thread_time() - start < cpu(0.060)


COSTLY: dict[str, tuple[str, bytes]] = {
    "a key usage of 160,000 bits": ("2.5.29.15", tlv(0x03, b"\x00" + b"\x80" * 20_000)),
    "a purpose of 20,000 bytes": ("2.5.29.37", tlv(0x30, CLIENT_AUTH + tlv(0x06, b"\xff" * 20_000 + b"\x7f"))),
    "a place of 20,000 bytes": ("1.3.6.1.5.5.7.1.1", tlv(0x30, tlv(0x30, tlv(0x06, b"\xff" * 20_000 + b"\x7f") + URI))),
    "a policy of 20,000 bytes": ("2.5.29.32", tlv(0x30, tlv(0x30, tlv(0x06, b"\xff" * 20_000 + b"\x7f")))),
}


@pytest.mark.parametrize(("oid", "value"), COSTLY.values(), ids=COSTLY)
def test_extensions_that_the_second_judge_would_read_for_long(oid: str, value: bytes) -> None:
    """It makes a set of the bits, and text of object identifiers in quadratic time: such are refused before."""
    edwards = Authority.create("Edwards", now=TODAY, key="Ed25519")
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a")]))
        .issuer_name(edwards.certificate.subject)
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(TODAY)
        .not_valid_after(TODAY)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(edwards.private_key.public_key()), False)
    )
    costly = builder.add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value), critical=False)
    good, long = (peer(read(each.sign(edwards.private_key, None))) for each in (builder, costly))
    assert verify_chain(good, anchors(edwards), NOW)
    start = time.thread_time()
    with pytest.raises(Untrusted, match=f"an extension {oid} of"):
        verify_chain(long, anchors(edwards), NOW)
    assert time.thread_time() - start < cpu(0.020)


def test_a_subject_that_a_judge_would_fold_for_long() -> None:
    """1,500 organizations of one client: refused before they are folded."""
    edwards = Authority.create("Edwards", now=TODAY, key="Ed25519")
    many = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "O")] * 1500)
    presented, trusted = peer(edwards.issue(many, dns=["a.example"], now=TODAY, key=KEY)), anchors(edwards)
    start = time.thread_time()
    with pytest.raises(Untrusted, match="a name of more than"):
        verify_chain(presented, trusted, NOW)
    assert time.thread_time() - start < cpu(0.020)
