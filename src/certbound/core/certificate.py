"""Whose certificate is this?  RFC 8705 sections 2.1.2 (names) and 3.1 (thumbprint), RFC 5280 section 4.

Rule 1: names are read as tag and bytes from the certificate's own DER, never from a decoded text.
Rule 2: bytes that are not one DER certificate, whole and canonical, are refused before anything else is asked.
Rule 3: reading judges nothing; validity, key strength and trust are asked where they matter.
"""

from base64 import urlsafe_b64encode
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import NamedTuple, NewType

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from certbound.core import _der
from certbound.core._twins import twins
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


class Extension(NamedTuple):
    """One extension as encoded (RFC 5280 section 4.2)."""

    critical: bool
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
    issuer_der: bytes = field(repr=False)
    """The issuer Name, DER."""
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
    def thumbprints(self) -> frozenset[Thumbprint]:
        """`thumbprint`, and those of certificates that anybody can make of this one without a key (ECDSA)."""
        return frozenset((self.thumbprint, *map(thumbprint, twins(self.der))))

    @cached_property
    def subject(self) -> DistinguishedName:
        """The subject as it is compared.  `BadCertificate` if it is unreadable."""
        try:
            return read_name(self.subject_der)
        except BadName as error:
            raise BadCertificate(f"unreadable subject: {error}") from error

    @cached_property
    def extensions(self) -> Mapping[bytes, Extension]:
        """Every extension by the content of its OID.  `BadCertificate` if they are unreadable, too many, or double."""
        try:
            return _extensions(self._tbs)
        except _der.DERError as error:
            raise BadCertificate(f"unreadable extensions: {error}") from error

    @cached_property
    def decoded_extensions(self) -> x509.Extensions:
        """Every extension as `cryptography` decodes it.  `BadCertificate` if there is one that it cannot decode."""
        try:
            return self.parsed.extensions
        except Exception as error:  # KeyError, TypeError and others: it raises what it likes there
            raise BadCertificate(f"unreadable extensions: {error}") from error

    @cached_property
    def alternative_names(self) -> tuple[GeneralName, ...]:
        """Every subject alternative name.  `BadCertificate` if they are unreadable, too many, or listed twice."""
        try:
            return tuple(_alternative_names(self.extensions.get(_SUBJECT_ALT_NAME)))
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
        signed, _, signature = _der.read_all(_der.expect(_der.read(der), _der.SEQUENCE))
        tbs = tuple(_der.read_all(_der.expect(signed, _der.SEQUENCE)))
        not_before = parsed.not_valid_before_utc.timestamp()
        not_after = parsed.not_valid_after_utc.timestamp()
        canonical = parsed.public_bytes(Encoding.DER)
    except (ValueError, TypeError, x509.InvalidVersion, Warning) as error:  # a warning where somebody made them errors
        raise BadCertificate(f"not a DER certificate: {error}") from error
    if canonical != der:
        raise BadCertificate("the certificate is not canonical DER")
    if signature.content[0]:
        # Libraries overlook how many bits are said to be unused: the same signature, and another thumbprint.
        raise BadCertificate("the signature is not of whole octets")
    # RFC 5280 section 4.1: version [0] is absent in v1; then serial, signature, issuer, validity, subject, key.
    issuer, _, subject = tbs[3:6] if tbs[0].tag == _VERSION else tbs[2:5]
    return Certificate(
        der=der,
        thumbprint=thumbprint(der),
        not_before=not_before,
        not_after=not_after,
        subject_der=subject.encoded,
        issuer_der=issuer.encoded,
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


def _alternative_names(extension: Extension | None) -> Iterator[GeneralName]:
    if extension is not None:
        listed = _der.expect(_der.read(extension.value), _der.SEQUENCE)
        for name in _der.read_all(listed, _MOST_ALTERNATIVE_NAMES):
            yield GeneralName(name.tag, name.content)


def _extensions(tbs: tuple[_der.Value, ...]) -> dict[bytes, Extension]:
    found: dict[bytes, Extension] = {}
    for holder in tbs:
        if holder.tag == _EXTENSIONS:
            listed = _der.expect(_der.read(holder.content), _der.SEQUENCE)
            for oid, extension in map(_extension, _der.read_all(listed, _MOST_EXTENSIONS)):
                if oid in found:
                    raise _der.DERError("one stands twice")
                found[oid] = extension
    return found


def _extension(value: _der.Value) -> tuple[bytes, Extension]:
    fields = list(_der.read_all(_der.expect(value, _der.SEQUENCE), 3))
    if len(fields) not in (2, 3):
        raise _der.DERError("an extension has an OID, perhaps a criticality, and a value")
    critical = len(fields) == 3 and _der.expect(fields[1], _der.BOOLEAN) == b"\xff"
    return _der.expect(fields[0], _der.OBJECT_IDENTIFIER), Extension(
        critical, _der.expect(fields[-1], _der.OCTET_STRING)
    )


_MOST_EXTENSIONS = 64
_MOST_ALTERNATIVE_NAMES = 256
_VERSION = 0xA0
_EXTENSIONS = 0xA3
_SUBJECT_ALT_NAME = bytes.fromhex("551d11")  # 2.5.29.17
