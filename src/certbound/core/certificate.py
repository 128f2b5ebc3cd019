"""Whose certificate is this?  RFC 8705 sections 2.1.2 (names) and 3.1 (thumbprint), RFC 5280 section 4.

Rule 1: names are read as tag and bytes from the certificate's own DER, never from a decoded text.
Rule 2: bytes that are not one DER certificate, whole and canonical, are refused before anything else is asked.
Rule 3: reading judges nothing; validity, key strength and trust are asked where they matter.
"""

from base64 import urlsafe_b64encode
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import NewType

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from certbound.core import _der
from certbound.core.errors import BadCertificate
from certbound.core.names import BadName, DistinguishedName, read_name

Thumbprint = NewType("Thumbprint", str)
"""The text of `cnf["x5t#S256"]`: base64url without padding of SHA-256 over the DER."""
KeyThumbprint = NewType("KeyThumbprint", str)
"""A key whoever certifies it: base64url without padding of SHA-256 over the DER of its SubjectPublicKeyInfo."""


def thumbprint(der: bytes) -> Thumbprint:
    """`x5t#S256` of a DER certificate (RFC 8705 section 3.1)."""
    return Thumbprint(urlsafe_b64encode(sha256(der).digest())[:43].decode("ascii"))


@dataclass(frozen=True, slots=True)
class GeneralName:
    """One subject alternative name as encoded: context tag and bytes (RFC 5280 section 4.2.1.6)."""

    tag: int
    value: bytes


@dataclass(frozen=True, slots=True)
class CarriedNames:
    """The names of one kind in the form they are compared in; where they cannot be read, none, and why."""

    names: frozenset[Hashable] = frozenset()
    refusal: str | None = None


@dataclass(frozen=True)
class Certificate:
    """One certificate, parsed once.  `not_before` and `not_after` are seconds since the epoch, both inclusive."""

    der: bytes = field(repr=False)
    thumbprint: Thumbprint
    not_before: float = field(repr=False)
    not_after: float = field(repr=False)
    subject_der: bytes = field(repr=False)
    """The subject Name, DER."""
    parsed: x509.Certificate = field(repr=False, compare=False)
    _tbs: tuple[_der.Value, ...] = field(repr=False, compare=False)
    carried: dict[str, CarriedNames] = field(default_factory=dict, init=False, repr=False, compare=False)
    """What `core.subject` made of the names, by kind; empty until the first question, then kept."""

    def is_valid_at(self, now: float) -> bool:
        """Whether `now`, in seconds since the epoch, lies within the validity period."""
        return self.not_before <= now <= self.not_after

    @cached_property
    def public_key(self) -> CertificatePublicKeyTypes:
        """The public key.  `BadCertificate` if its algorithm is unknown or the key unreadable."""
        try:
            return self.parsed.public_key()
        except (ValueError, UnsupportedAlgorithm, TypeError) as error:
            raise BadCertificate(f"unreadable public key: {error}") from error

    @cached_property
    def spki_der(self) -> bytes:
        """The SubjectPublicKeyInfo, DER: what identifies a key whoever certifies it."""
        return self.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    @cached_property
    def key_thumbprint(self) -> KeyThumbprint:
        """What names its key among trust anchors.  `BadCertificate` if the key is unreadable."""
        return KeyThumbprint(thumbprint(self.spki_der))

    @cached_property
    def subject(self) -> DistinguishedName:
        """The subject as it is compared.  `BadCertificate` if it is unreadable."""
        try:
            return read_name(self.subject_der)
        except BadName as error:
            raise BadCertificate(f"unreadable subject: {error}") from error

    @cached_property
    def alternative_names(self) -> tuple[GeneralName, ...]:
        """Every subject alternative name.  `BadCertificate` if they are unreadable, too many, or listed twice."""
        try:
            return tuple(_alternative_names(self._tbs))
        except _der.DERError as error:
            raise BadCertificate(f"unreadable subject alternative name: {error}") from error


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """What the TLS layer says of its peer: the leaf, possession of its key proven, and what was sent behind it.

    `chain` holds the further certificates as DER, in the order sent; they are material for a path, never identity.
    """

    leaf: Certificate
    chain: tuple[bytes, ...] = field(default=(), repr=False)


def read_certificate(der: bytes) -> Certificate:
    """`der` as facts.  `BadCertificate` if it is not exactly one canonical DER certificate."""
    try:
        parsed = x509.load_der_x509_certificate(der)
        certificate = _der.expect(_der.read(der), _der.SEQUENCE)
        tbs = tuple(_der.read_all(_der.expect(next(_der.read_all(certificate)), _der.SEQUENCE)))
        not_before = parsed.not_valid_before_utc.timestamp()
        not_after = parsed.not_valid_after_utc.timestamp()
        canonical = parsed.public_bytes(Encoding.DER)
    except (ValueError, TypeError, StopIteration, x509.InvalidVersion) as error:
        raise BadCertificate(f"not a DER certificate: {error}") from error
    if canonical != der:
        raise BadCertificate("the certificate is not canonical DER")
    # RFC 5280 section 4.1: version [0] is absent in v1; then serial, signature, issuer, validity, subject, key.
    subject = tbs[5 if tbs[0].tag == _VERSION else 4]
    return Certificate(
        der=der,
        thumbprint=thumbprint(der),
        not_before=not_before,
        not_after=not_after,
        subject_der=subject.encoded,
        parsed=parsed,
        _tbs=tbs,
    )


def read_pem_certificates(pem: bytes) -> tuple[Certificate, ...]:
    """Every certificate in `pem`, in order.  `BadCertificate` if there is none or one is unusable."""
    try:
        found = x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise BadCertificate(f"no PEM certificate: {error}") from error
    return tuple(read_certificate(each.public_bytes(Encoding.DER)) for each in found)


def _alternative_names(tbs: tuple[_der.Value, ...]) -> Iterator[GeneralName]:
    extensions = [value for value in tbs if value.tag == _EXTENSIONS]
    if not extensions:
        return
    listed = _der.expect(_der.read(extensions[0].content), _der.SEQUENCE)
    values = [
        value for oid, value in map(_extension, _der.read_all(listed, _MOST_EXTENSIONS)) if oid == _SUBJECT_ALT_NAME
    ]
    if len(values) > 1:
        raise _der.DERError("the extension stands twice")
    for value in values:
        for name in _der.read_all(_der.expect(_der.read(value), _der.SEQUENCE), _MOST_ALTERNATIVE_NAMES):
            yield GeneralName(name.tag, name.content)


def _extension(value: _der.Value) -> tuple[bytes, bytes]:
    fields = list(_der.read_all(_der.expect(value, _der.SEQUENCE), 3))
    if len(fields) not in (2, 3):
        raise _der.DERError("an extension has an OID, perhaps a criticality, and a value")
    return _der.expect(fields[0], _der.OBJECT_IDENTIFIER), _der.expect(fields[-1], _der.OCTET_STRING)


_MOST_EXTENSIONS = 64
_MOST_ALTERNATIVE_NAMES = 256
_VERSION = 0xA0
_EXTENSIONS = 0xA3
_SUBJECT_ALT_NAME = bytes.fromhex("551d11")  # 2.5.29.17
