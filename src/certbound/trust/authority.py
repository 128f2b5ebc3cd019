"""A small certificate authority for development, tests and private deployments (RFC 5280 section 4).

It keeps one key and remembers nothing of what it issued; what it took back stands in `trust.ledger`.  Every fact is an
argument, the time included; a caller who needs an odd certificate passes odd facts.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, rsa
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

KeyKind = Literal[
    "P-256", "P-384", "P-521", "RSA-2048", "RSA-3072", "RSA-4096", "Ed25519", "Ed448",
    "ML-DSA-44", "ML-DSA-65", "ML-DSA-87",
]  # fmt: skip
Usage = Literal["client", "server", "both", "none"]


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its private key.  PEM everywhere but in `der`."""

    certificate: x509.Certificate
    private_key: Any = field(repr=False)
    issuers: tuple[x509.Certificate, ...] = ()
    """What stands behind the certificate in `chain_pem`: its issuer first."""

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def chain_pem(self) -> bytes:
        """The certificate and its issuers, leaf first."""
        return b"".join(c.public_bytes(serialization.Encoding.PEM) for c in (self.certificate, *self.issuers))

    @property
    def key_pem(self) -> bytes:
        """PKCS #8, not encrypted."""
        return private_key_pem(self.private_key)


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority: a CA certificate and its key."""

    certificate: x509.Certificate
    private_key: Any = field(repr=False)
    issuers: tuple[x509.Certificate, ...] = ()

    @classmethod
    def create(
        cls,
        common_name: str,
        *,
        now: datetime | None = None,
        days: float = 3650,
        key: KeyKind | Any = "P-256",
    ) -> Self:
        """A new root: self-signed, valid for `days` from an hour before `now`."""
        private_key = _key(key)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
        return cls(_authority(name, name, private_key, private_key, now, days, path_length=None), private_key)

    @classmethod
    def load(cls, certificate_pem: bytes, key_pem: bytes, *, password: bytes | None = None) -> Self:
        """The authority kept in PEM.  `ValueError` if the two do not belong together."""
        certificate, *issuers = x509.load_pem_x509_certificates(certificate_pem)
        private_key: Any = serialization.load_pem_private_key(key_pem, password)
        if private_key.public_key() != certificate.public_key():
            raise ValueError("the key does not belong to the certificate")
        return cls(certificate, private_key, tuple(issuers))

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """PKCS #8, not encrypted."""
        return private_key_pem(self.private_key)

    def subordinate(
        self,
        common_name: str,
        *,
        now: datetime | None = None,
        days: float = 1825,
        key: KeyKind | Any = "P-256",
    ) -> Self:
        """An intermediate authority that may issue leaves only."""
        private_key = _key(key)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
        certificate = _authority(
            name, self.certificate.subject, private_key, self.private_key, now, days, path_length=0
        )
        return type(self)(certificate, private_key, (self.certificate, *self.issuers))

    def issue(
        self,
        subject: x509.Name | str = "",
        *,
        dns: Iterable[str] = (),
        uris: Iterable[str] = (),
        ips: Iterable[str] = (),
        emails: Iterable[str] = (),
        usage: Usage = "client",
        now: datetime | None = None,
        days: float = 90,
        key: KeyKind | Any = "P-256",
        extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    ) -> Issued:
        """A leaf with these names, valid for `days` from an hour before `now`.

        `subject` is a Name or an RFC 4514 string; `key` a kind of key or a private key; `extensions` are added as
        they are, each with its criticality.
        """
        private_key = _key(key)
        certificate = _leaf(
            subject, self.certificate.subject, private_key, self.private_key, now, days,
            _alternative_names(dns, uris, ips, emails), usage, extensions,
        )  # fmt: skip
        return Issued(certificate, private_key, (self.certificate, *self.issuers))


def self_signed(
    subject: x509.Name | str = "",
    *,
    dns: Iterable[str] = (),
    uris: Iterable[str] = (),
    ips: Iterable[str] = (),
    emails: Iterable[str] = (),
    usage: Usage = "client",
    now: datetime | None = None,
    days: float = 365,
    key: KeyKind | Any = "P-256",
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
) -> Issued:
    """A leaf signed by its own key (RFC 8705 section 2.2); arguments as `Authority.issue` has them."""
    private_key = _key(key)
    name = _name(subject)
    certificate = _leaf(
        name, name, private_key, private_key, now, days,
        _alternative_names(dns, uris, ips, emails), usage, extensions,
    )  # fmt: skip
    return Issued(certificate, private_key)


def private_key_pem(private_key: Any, password: bytes | None = None) -> bytes:
    """PKCS #8 in PEM, encrypted if there is a password."""
    return bytes(
        private_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption(),
        )
    )


def digest_for(key: Any) -> hashes.SHA256 | None:
    """What `key` signs with: EdDSA and ML-DSA bring a digest of their own."""
    return hashes.SHA256() if isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) else None


def _authority(
    name: x509.Name, issuer: x509.Name, key: Any, issuer_key: Any, now: datetime | None, days: float, *,
    path_length: int | None,
) -> x509.Certificate:  # fmt: skip
    usage = _key_usage(key_cert_sign=True, crl_sign=True)
    return (
        _builder(name, issuer, key, issuer_key, now, days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(usage, critical=True)
        .sign(issuer_key, digest_for(issuer_key))
    )


def published_at(*, crls: Iterable[str] = (), ocsp: Iterable[str] = ()) -> tuple[tuple[x509.ExtensionType, bool], ...]:
    """Extensions that name where CRLs and OCSP answers are had (RFC 5280 sections 4.2.1.13 and 4.2.2.1)."""
    points = [x509.DistributionPoint([x509.UniformResourceIdentifier(url)], None, None, None) for url in crls]
    responders = [
        x509.AccessDescription(AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(url)) for url in ocsp
    ]
    return (
        *([(x509.CRLDistributionPoints(points), False)] if points else []),
        *([(x509.AuthorityInformationAccess(responders), False)] if responders else []),
    )


def _leaf(
    subject: x509.Name | str, issuer: x509.Name, key: Any, issuer_key: Any, now: datetime | None, days: float,
    names: list[x509.GeneralName], usage: Usage, extensions: Sequence[tuple[x509.ExtensionType, bool]],
) -> x509.Certificate:  # fmt: skip
    name = _name(subject)
    builder = (
        _builder(name, issuer, key, issuer_key, now, days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True), critical=True)
    )
    if purposes := _PURPOSES[usage]:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    if names:
        # RFC 5280 section 4.2.1.6: critical where there is no other name.
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=not list(name))
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(issuer_key, digest_for(issuer_key))


def _builder(
    name: x509.Name, issuer: x509.Name, key: Any, issuer_key: Any, now: datetime | None, days: float
) -> x509.CertificateBuilder:
    start = (now or datetime.now(UTC)) - timedelta(hours=1)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(hours=1) + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )


def _name(subject: x509.Name | str) -> x509.Name:
    if isinstance(subject, x509.Name):
        return subject
    return x509.Name.from_rfc4514_string(subject) if subject else x509.Name([])


def _alternative_names(
    dns: Iterable[str], uris: Iterable[str], ips: Iterable[str], emails: Iterable[str]
) -> list[x509.GeneralName]:
    return [
        *(x509.DNSName(name) for name in dns),
        *(x509.UniformResourceIdentifier(name) for name in uris),
        *(x509.IPAddress(ipaddress.ip_address(name)) for name in ips),
        *(x509.RFC822Name(name) for name in emails),
    ]


def _key(kind: KeyKind | Any) -> Any:
    return _KEYS[kind]() if isinstance(kind, str) else kind


def _key_usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


_PURPOSES: dict[Usage, list[x509.ObjectIdentifier]] = {
    "client": [ExtendedKeyUsageOID.CLIENT_AUTH],
    "server": [ExtendedKeyUsageOID.SERVER_AUTH],
    "both": [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH],
    "none": [],
}

_KEYS: dict[str, Any] = {
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "RSA-2048": lambda: rsa.generate_private_key(65537, 2048),
    "RSA-3072": lambda: rsa.generate_private_key(65537, 3072),
    "RSA-4096": lambda: rsa.generate_private_key(65537, 4096),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
    "Ed448": ed448.Ed448PrivateKey.generate,
    "ML-DSA-44": mldsa.MLDSA44PrivateKey.generate,
    "ML-DSA-65": mldsa.MLDSA65PrivateKey.generate,
    "ML-DSA-87": mldsa.MLDSA87PrivateKey.generate,
}
