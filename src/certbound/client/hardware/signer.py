"""A private key that we do not have: what it signs, and by what.

Rule 1: a signature is asked for over the whole message, never over a hash that somebody else made.
Rule 2: ECDSA signatures are r and s, joined, as PKCS #11 and JWS have them (RFC 7518 section 3.4).
Rule 3: nothing that a signer made is used before it was checked by the public key: what is no signature is said to be
        the signer's fault, and a faulty one of RSA, which would tell the key, goes nowhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
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


def signature_of(signer: Signer, data: bytes, scheme: Scheme) -> bytes:
    """What the signer made of `data`; `IdentityUnusable` if that is no signature (rule 3)."""
    made = signer.sign(data, scheme)
    if not isinstance(made, bytes) or len(made) != _length(signer.public_key):
        said = f"{len(made)} bytes" if isinstance(made, bytes) else type(made).__name__
        raise IdentityUnusable(f"{signer.name} made a signature of {said}, which is none")
    if not verifies(signer.public_key, made, data, scheme):
        raise IdentityUnusable(f"{signer.name} made a signature that the certificate's key does not verify")
    return made


def verifies(public_key: Any, signature: bytes, data: bytes, scheme: Scheme) -> bool:
    """Whether that is the key's signature of `data`."""
    kind = _HASHES[scheme.hash or "SHA256"]
    try:
        if scheme.kind == "EC":
            half = len(signature) // 2
            der = encode_dss_signature(int.from_bytes(signature[:half]), int.from_bytes(signature[half:]))
            public_key.verify(der, data, ec.ECDSA(kind))
        elif scheme.kind == "RSA":
            pss = padding.PSS(padding.MGF1(kind), kind.digest_size)
            public_key.verify(signature, data, pss if scheme.padding == "pss" else padding.PKCS1v15(), kind)
        else:
            public_key.verify(signature, data)
    except InvalidSignature:
        return False
    return True


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
    return SigningKey(public.kid, public.alg, public.jwk, lambda data: signature_of(signer, data, scheme), None)


def _length(public_key: Any) -> int:
    size = (int(getattr(public_key, "key_size", 256)) + 7) // 8
    return size if isinstance(public_key, rsa.RSAPublicKey) else 2 * size


_HASHES: Mapping[Hash, hashes.HashAlgorithm] = {
    "SHA256": hashes.SHA256(),
    "SHA384": hashes.SHA384(),
    "SHA512": hashes.SHA512(),
}
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
