"""Who a client is on a connection: a certificate, what stands behind it, and the private key, or what signs with it.

Rule 1: the key belongs to the certificate; a pair that does not fit is none.
Rule 2: no part of a key, and no password, is in a message or a repr.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    pkcs12,
)

from certbound.client.errors import IdentityUnusable
from certbound.client.hardware.signer import Signer, signing_key_of
from certbound.client.hardware.uri import TokenUri
from certbound.core.certificate import Certificate, Thumbprint, read_pem_certificates
from certbound.core.errors import BadCertificate
from certbound.core.jwks import make_jwks
from certbound.core.signing import ES256, SigningKey


class IdentitySource(Protocol):
    """Who a client is at this moment."""

    def current(self) -> "Identity":
        """The same object for as long as nothing changed."""
        ...


@dataclass(frozen=True, slots=True)
class Identity:
    """A client certificate and its key, checked to belong together.  `IdentityUnusable` otherwise."""

    certificate_chain_pem: bytes = field(repr=False)
    """The client's certificate first, then its issuers."""
    key_pem: bytes = field(repr=False)
    """Its private key, PEM, not encrypted; empty if it is in a token."""
    signer: Signer | None = field(default=None, repr=False, compare=False, kw_only=True)
    """What signs with the key, if that is in a token."""
    certificate: Certificate = field(init=False, compare=False)

    def __post_init__(self) -> None:
        try:
            leaf = read_pem_certificates(self.certificate_chain_pem)[0]
            public_key = self.private_key().public_key() if self.signer is None else self.signer.public_key
            belongs = public_key == leaf.public_key
        except BadCertificate as error:
            raise IdentityUnusable(f"the client certificate cannot be used: {error}") from error
        if not belongs:
            raise IdentityUnusable("the private key does not belong to the client certificate; give the pair")
        object.__setattr__(self, "certificate", leaf)

    @classmethod
    def read(cls, certificate_chain_pem: bytes, key_pem: bytes, password: str | None = None) -> Self:
        """The identity in PEM from memory; the key may be encrypted under `password`."""
        if password is None or b"ENCRYPTED" not in key_pem:
            return cls(certificate_chain_pem, key_pem)
        return cls(certificate_chain_pem, _decrypted(_load(key_pem, password)))

    @classmethod
    def read_pkcs12(cls, data: bytes, password: str | None = None) -> Self:
        """The identity in PKCS #12 (RFC 7292) from memory."""
        try:
            found = pkcs12.load_pkcs12(data, None if password is None else password.encode())
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise IdentityUnusable("the PKCS #12 file cannot be read; is it one, and the password right?") from None
        if found.key is None or found.cert is None:
            raise IdentityUnusable("the PKCS #12 file holds no private key, or no certificate of it")
        chain = [found.cert.certificate, *(each.certificate for each in found.additional_certs)]
        return cls(b"".join(each.public_bytes(Encoding.PEM) for each in chain), _decrypted(found.key))

    @classmethod
    def load(cls, certificate: Path, key: Path | None = None, password: str | None = None) -> Self:
        """The identity in two PEM files, which may be the same; without `key`, in one of PEM or PKCS #12.

        `IdentityUnusable` names the file.
        """
        first = _read(certificate, "certificate")
        second = first if key is None else _read(key, "key")
        try:
            if key is None and b"-----BEGIN " not in first:
                return cls.read_pkcs12(first, password)
            return cls.read(first, second, password)
        except IdentityUnusable as error:
            named = certificate if key is None else f"{certificate}, {key}"
            raise IdentityUnusable(f"{named}: {error}") from error.__cause__

    @classmethod
    def from_pkcs11(cls, uri: str, *, pin: str | None = None, certificate: Path | bytes | None = None) -> Self:
        """The identity whose key stays in a PKCS #11 token; `uri` says which, and by which module (RFC 7512).

        Its certificates are in PEM, a file or bytes, or in the token.  A PIN that was refused is not tried again.
        """
        try:
            from certbound.client.hardware.token import open_key  # noqa: PLC0415 - of an extra
        except ModuleNotFoundError as error:
            raise IdentityUnusable("keys in tokens need an extra: pip install 'certbound[pkcs11]'") from error
        pem = _read(certificate, "certificate") if isinstance(certificate, Path) else certificate
        try:
            chain = None if pem is None else x509.load_pem_x509_certificates(pem)
        except ValueError as error:
            raise IdentityUnusable(f"the client certificate cannot be used: {error}") from error
        key, chain = open_key(TokenUri.read(uri), pin, chain)
        return cls(b"".join(each.public_bytes(Encoding.PEM) for each in chain), b"", signer=key)

    def current(self) -> "Identity":
        """Itself: nothing changes here."""
        return self

    @property
    def thumbprint(self) -> Thumbprint:
        """`x5t#S256`: what a token bound to this identity holds in `cnf`."""
        return self.certificate.thumbprint

    def jwks(self) -> dict[str, Any]:
        """What a client registers that authenticates by `self_signed_tls_client_auth` (RFC 8705 section 2.2.2)."""
        return make_jwks([self.certificate])

    def certificates(self) -> list[x509.Certificate]:
        """The chain, leaf first."""
        return x509.load_pem_x509_certificates(self.certificate_chain_pem)

    def signing_key(self, alg: str | None = None) -> SigningKey:
        """The same key for `private_key_jwt` (RFC 7523), by `alg`, or by the first algorithm that it is for."""
        if self.signer is not None:
            return signing_key_of(self.signer, alg)
        return SigningKey.load(self.key_pem, alg=alg or ES256)

    def private_key(self) -> Any:
        """The key, as `cryptography` has it.  `IdentityUnusable` if it is in a token."""
        if self.signer is not None:
            raise IdentityUnusable(f"{self.signer.name} stays in its token")
        return _load(self.key_pem, None)


def _load(key_pem: bytes, password: str | None) -> Any:
    try:
        return load_pem_private_key(key_pem, None if password is None else password.encode())
    except TypeError as error:
        raise IdentityUnusable("the private key is encrypted; give its password, or the key without one") from error
    except (ValueError, UnsupportedAlgorithm):
        if b"-----BEGIN CERTIFICATE-----" in key_pem and b"PRIVATE KEY-----" not in key_pem:
            raise IdentityUnusable(
                "a certificate is there, and no private key; give the key too: key=, --key"
            ) from None
        # Without the cause: a parser may quote what it read.
        wrong = "" if password is None else ", or the password is wrong"
        raise IdentityUnusable(f"the private key is not PEM, or of an unknown kind{wrong}") from None


def _decrypted(key: Any) -> bytes:
    pem: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem


def _read(file: Path, what: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise IdentityUnusable(f"the client {what} {file} cannot be read: {error.strerror}") from error
