"""A private key that we do not have: what it signs, and by what.

Rule 1: a signature is asked for over the whole message, never over a hash that somebody else made.
Rule 2: ECDSA signatures are r and s, joined, as PKCS #11 and JWS have them (RFC 7518 section 3.4).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from certbound.client.errors import IdentityUnusable
from certbound.core.signing import EDDSA, ES256, PS256, RS256, PublicKey, SigningKey

Kind = Literal["EC", "RSA", "ED25519"]
Hash = Literal["SHA256", "SHA384", "SHA512"]


@dataclass(frozen=True, slots=True)
class Scheme:
    """How a key of that kind signs."""

    kind: Kind
    hash: Hash | None = None
    """None for what does without: Ed25519."""
    padding: Literal["pss", "pkcs1"] | None = None
    """Of RSA; the salt of PSS is as long as the hash."""


class Signer(Protocol):
    """Whoever has a private key and signs with it; threads share one."""

    @property
    def name(self) -> str:
        """Which key this is, fit for a message."""
        ...

    @property
    def public_key(self) -> Any:
        """As `cryptography` has it."""
        ...

    def sign(self, data: bytes, scheme: Scheme) -> bytes:
        """The signature of `data`.  `IdentityUnusable` says why there is none."""
        ...


class Remembering:
    """A signer, and what it raised last, for where no exception passes; None after a signature."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self.name = signer.name
        self.public_key = signer.public_key
        self.failure: BaseException | None = None

    def sign(self, data: bytes, scheme: Scheme) -> bytes:
        """As the signer."""
        try:
            made = self._signer.sign(data, scheme)
        except BaseException as error:
            self.failure = error
            raise
        self.failure = None
        return made


def kind_of(public_key: Any, name: str) -> Kind:
    """`IdentityUnusable` for a key of another kind."""
    for type_, kind in _KINDS.items():
        if isinstance(public_key, type_):
            return kind
    raise IdentityUnusable(f"{name} is neither an RSA key nor one of ECDSA or Ed25519; no other can be used in place")


def signing_key_of(signer: Signer, alg: str | None = None) -> SigningKey:
    """The same key for `private_key_jwt` (RFC 7523), by `alg` if it fits, else by the first that does."""
    pem = signer.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    public = PublicKey.read(pem, alg=alg or ES256)
    if alg is not None and public.alg != alg:
        raise IdentityUnusable(f"{signer.name} cannot sign by {alg}; {public.alg} it could")
    scheme = _JWS[public.alg]
    return SigningKey(public.kid, public.alg, public.jwk, lambda data: signer.sign(data, scheme), None)


_KINDS: Mapping[type, Kind] = {
    ec.EllipticCurvePublicKey: "EC",
    rsa.RSAPublicKey: "RSA",
    ed25519.Ed25519PublicKey: "ED25519",
}
_JWS: Mapping[str, Scheme] = {
    ES256: Scheme("EC", "SHA256"),
    PS256: Scheme("RSA", "SHA256", "pss"),
    RS256: Scheme("RSA", "SHA256", "pkcs1"),
    EDDSA: Scheme("ED25519"),
}
