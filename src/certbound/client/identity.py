"""Who a client is on a connection: a certificate, what stands behind it, and the private key."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from certbound.client.errors import IdentityUnusable
from certbound.core.certificate import Certificate, Thumbprint, read_pem_certificates
from certbound.core.errors import BadCertificate


@dataclass(frozen=True, slots=True)
class Identity:
    """A client certificate and its key, both PEM, checked to belong together.  `IdentityUnusable` otherwise."""

    certificate_chain_pem: bytes = field(repr=False)
    """The client's certificate first, then its issuers."""
    key_pem: bytes = field(repr=False)
    """Its private key, not encrypted."""
    certificate: Certificate = field(init=False, compare=False)

    def __post_init__(self) -> None:
        try:
            leaf = read_pem_certificates(self.certificate_chain_pem)[0]
            belongs = self.private_key().public_key() == leaf.public_key
        except BadCertificate as error:
            raise IdentityUnusable(f"the client certificate cannot be used: {error}") from error
        if not belongs:
            raise IdentityUnusable("the private key does not belong to the client certificate; give the pair")
        object.__setattr__(self, "certificate", leaf)

    @classmethod
    def load(cls, certificate: Path, key: Path) -> Self:
        """The identity in two PEM files, which may be the same file."""
        return cls(_read(certificate, "certificate"), _read(key, "key"))

    @property
    def thumbprint(self) -> Thumbprint:
        """`x5t#S256`: what a token bound to this identity holds in `cnf`."""
        return self.certificate.thumbprint

    def certificates(self) -> list[x509.Certificate]:
        """The chain, leaf first."""
        return x509.load_pem_x509_certificates(self.certificate_chain_pem)

    def private_key(self) -> Any:
        """The key, as `cryptography` has it."""
        try:
            return load_pem_private_key(self.key_pem, None)
        except TypeError as error:
            raise IdentityUnusable("the private key is encrypted; give it without a password") from error
        except (ValueError, UnsupportedAlgorithm):
            # Without the cause: a parser may quote what it read.
            raise IdentityUnusable("the private key is not PEM, or of an unknown kind") from None


def _read(file: Path, what: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise IdentityUnusable(f"the client {what} {file} cannot be read: {error.strerror}") from error
