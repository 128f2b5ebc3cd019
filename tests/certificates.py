"""Certificates for tests, made on the spot; and DER, so that a test can make what no library would."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from certbound.core import _der
from certbound.core.certificate import Certificate, PeerCertificate, read_certificate
from certbound.trust.anchors import Anchors
from certbound.trust.authority import Authority, Issued

TODAY = datetime(2030, 6, 1, 12, tzinfo=UTC)
"""When the certificates of unit tests are made; the real time is nobody's business there."""
NOW = TODAY.timestamp()
DAY = 86_400.0

SUBJECT_ALT_NAME = x509.ObjectIdentifier("2.5.29.17")


def read(issued: Issued | Authority | x509.Certificate) -> Certificate:
    """The certificate as the core reads it."""
    return read_certificate(der(issued))


def der(issued: Issued | Authority | x509.Certificate) -> bytes:
    """The certificate's bytes."""
    certificate = issued if isinstance(issued, x509.Certificate) else issued.certificate
    return certificate.public_bytes(Encoding.DER)


def peer(leaf: Issued | Certificate, *behind: Issued | Authority | bytes) -> PeerCertificate:
    """A peer that proved to hold the key of `leaf` and sent `behind` after it."""
    certificate = leaf if isinstance(leaf, Certificate) else read(leaf)
    return PeerCertificate(certificate, tuple(each if isinstance(each, bytes) else der(each) for each in behind))


def anchors(*authorities: Authority, intermediates: Sequence[Authority] = ()) -> Anchors:
    """Trust in `authorities`."""
    return Anchors(tuple(map(read, authorities)), tuple(map(read, intermediates)))


def tlv(tag: int, content: bytes) -> bytes:
    """One DER value."""
    if len(content) < 0x80:
        return bytes([tag, len(content)]) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def general_names(*names: tuple[int, bytes]) -> x509.UnrecognizedExtension:
    """A subject alternative name extension with any tags and bytes."""
    return x509.UnrecognizedExtension(SUBJECT_ALT_NAME, tlv(0x30, b"".join(tlv(*name) for name in names)))


def name(*rdns: Sequence[tuple[str, int, bytes]]) -> bytes:
    """A Name: each RDN a list of (object identifier, tag of the value, bytes of the value)."""
    return tlv(0x30, b"".join(tlv(0x31, b"".join(map(_attribute, rdn))) for rdn in rdns))


def with_field(issued: Issued, position: int, value: bytes, signer: Any = None) -> bytes:
    """`issued` with another value at `position` of what is signed, signed anew (by its own P-256 key, or `signer`)."""
    certificate = list(_der.read_all(_der.read(issued.der).content))
    fields = [each.encoded for each in _der.read_all(certificate[0].content)]
    fields[position] = value
    signed = tlv(0x30, b"".join(fields))
    signature = (signer or issued.private_key).sign(signed, ec.ECDSA(hashes.SHA256()))
    return tlv(0x30, signed + certificate[1].encoded + tlv(0x03, b"\x00" + signature))


VERSION, SERIAL, ALGORITHM, ISSUER, VALIDITY, SUBJECT, KEY = range(7)
"""Positions of a v3 certificate's fields, for `with_field`."""


def _attribute(attribute: tuple[str, int, bytes]) -> bytes:
    oid, tag, content = attribute
    encoded = x509.Name([x509.NameAttribute(x509.ObjectIdentifier(oid), "AA")]).public_bytes()
    # Name -> RDN -> attribute -> type
    kind = next(_der.read_all(_der.read(_der.read(_der.read(encoded).content).content).content))
    return tlv(0x30, kind.encoded + tlv(tag, content))


def oid(dotted: str) -> bytes:
    """An OBJECT IDENTIFIER."""
    return _der.read(x509.ExtendedKeyUsage([x509.ObjectIdentifier(dotted)]).public_bytes()).content


def psd2_statements(roles: Mapping[str, str]) -> bytes:
    """The qcStatements extension of a QWAC with these roles, object identifier and text (ETSI TS 119 495)."""
    listed = b"".join(tlv(0x30, oid(role) + tlv(0x0C, text.encode())) for role, text in roles.items())
    psd2 = tlv(0x30, tlv(0x30, listed) + tlv(0x0C, "Banco de España".encode()) + tlv(0x0C, b"ES-BDE"))
    statements = [
        oid("0.4.0.1862.1.1"),
        oid("0.4.0.1862.1.6") + tlv(0x30, oid("0.4.0.1862.1.6.3")),
        oid("0.4.0.19495.2") + psd2,
    ]
    return tlv(0x30, b"".join(tlv(0x30, statement) for statement in statements))
