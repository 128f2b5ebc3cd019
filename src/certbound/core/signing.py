"""Keys that sign JWTs, and the signature itself (RFC 7515 section 5.1, RFC 7518 section 3, RFC 8037).

Rule 1: an algorithm is a row of the table below; which one a key is for is decided when it is made or read, and stands
in its JWK.  A key never signs by another one.
Rule 2: a header names the algorithm, the type and the key, and brings no key of its own.
"""

from binascii import b2a_base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256, sha512
from typing import Any, NamedTuple

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from certbound.core.errors import ConfigurationError

ES256, PS256, EDDSA, RS256 = "ES256", "PS256", "EdDSA", "RS256"
RSA_BITS = 3072
"""Of a new RSA key: 128 bits of strength, as the others have (NIST SP 800-57 part 1, table 2)."""

Sign = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that stands in the JWK Set for one algorithm; `kid` is its RFC 7638 thumbprint."""

    kid: str
    alg: str
    jwk: Key = field(repr=False, compare=False)

    @classmethod
    def read(cls, pem: bytes, *, password: str | None = None, alg: str = ES256) -> "PublicKey":
        """The public half of a key in PEM, private or public, for `alg` if it fits, else for the first that it fits.

        `ConfigurationError` if it is no such key.
        """
        public = _read_public(pem) if b"PUBLIC KEY-----" in pem else _read(pem, password).public_key()
        able = next((each for each in (alg, *ALGORITHMS) if ALGORITHMS[each].fits(public)), None)
        if able is None:
            raise ConfigurationError(f"the key must be one for {', '.join(ALGORITHMS)}, not {_named(public)}")
        jwk = _jwk_of(public, able)
        return PublicKey(jwk.thumbprint(), able, jwk)

    def public_jwk(self) -> dict[str, Any]:
        """The public key as the JWK that `jwks_uri` serves."""
        return {**self.jwk.as_dict(private=False), "kid": self.kid, "use": "sig", "alg": self.alg}


@dataclass(frozen=True, slots=True)
class SigningKey(PublicKey):
    """A key that signs JWTs by one algorithm."""

    sign: Sign = field(repr=False, compare=False)
    """The signature of bytes, as a JWS has it."""
    private: Any = field(repr=False, compare=False)
    _headers: dict[str, bytes] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def load(cls, pem: bytes, *, password: str | None = None, alg: str = ES256) -> "SigningKey":
        """A private key in PEM that fits `alg`.  `ConfigurationError` for anything else.

        A key that is not encrypted needs no password, and is read all the same if there is one.
        """
        private = _read(pem, password)
        return cls._of(private, alg)

    @classmethod
    def generate(cls, alg: str = ES256) -> "SigningKey":
        """A new key; one for RSA takes some tenths of a second.

        Its `kid` is typed by people, so it does not begin with a dash, as one of 64 would.
        """
        while (made := cls._of(ALGORITHMS[alg].generate(), alg)).kid.startswith("-"):
            pass
        return made

    @classmethod
    def _of(cls, private: Any, alg: str) -> "SigningKey":
        row = ALGORITHMS[alg]
        if not row.fits(private):
            raise ConfigurationError(f"the signing key must be {row.kind} for {alg}, not {_named(private)}")
        jwk = _jwk_of(private.public_key(), alg)
        return cls(jwk.thumbprint(), alg, jwk, row.signer(private), private)

    def header(self, typ: str) -> bytes:
        """The protected header of every JWT of this type that it signs, encoded, and the dot behind it."""
        found = self._headers.get(typ)
        if found is None:
            found = self._headers[typ] = _base64url(_JSON.encode({"alg": self.alg, "typ": typ, "kid": self.kid})) + b"."
        return found

    def as_pem(self, *, password: str | None = None) -> bytes:
        """The private key, PEM (PKCS #8), encrypted if there is a password."""
        how = BestAvailableEncryption(password.encode()) if password else NoEncryption()
        pem: bytes = self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)
        return pem


def sign_jwt(claims: Mapping[str, Any], key: SigningKey, typ: str) -> str:
    """The claims as a compact JWS of this type (RFC 7515 section 5.1).

    The header never changes and is encoded once: that and no more is why no JOSE library stands here.
    """
    signing_input = key.header(typ) + _base64url(_JSON.encode(claims))
    return (signing_input + b"." + _base64url(key.sign(signing_input))).decode("ascii")


def is_encrypted(pem: bytes) -> bool:
    """Whether nobody can read this private key without its password."""
    return b"ENCRYPTED" in pem


class Algorithm(NamedTuple):
    """What a signature algorithm needs."""

    kind: str
    """Its keys, for people."""
    generate: Callable[[], Any]
    fits: Callable[[Any], bool]
    """Whether a key is one for it, private or public."""
    jwk: type[ECKey] | type[RSAKey] | type[OKPKey]
    signer: Callable[[Any], Sign]
    digest: Callable[[bytes], bytes]
    """What it hashes with; Ed25519 by SHA-512 (RFC 8032 section 5.1)."""


def _read(pem: bytes, password: str | None) -> Any:
    if not is_encrypted(pem):
        password = None
    elif not password:
        raise ConfigurationError("the signing key cannot be read: it is encrypted, and there is no password for it")
    try:
        return load_pem_private_key(pem, password.encode() if password else None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        reason = "its password is another" if password else "it is no private key in PEM, or of no known kind"
        raise ConfigurationError(f"the signing key cannot be read: {reason}") from error


def _read_public(pem: bytes) -> Any:
    try:
        return load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigurationError("the key cannot be read: it is no public key in PEM, or of no known kind") from error


def _jwk_of(public: Any, alg: str) -> Key:
    found: Key = ALGORITHMS[alg].jwk.import_key(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return found


def _named(key: Any) -> str:
    if isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey):
        return f"one of the curve {key.curve.name}"
    return f"an RSA key of {key.key_size} bits" if _is_rsa(key) else f"{type(key).__name__}"


def _es256(private: ec.EllipticCurvePrivateKey) -> Sign:
    return lambda data: _concatenated(private.sign(data, _ECDSA))


def _ps256(private: rsa.RSAPrivateKey) -> Sign:
    return lambda data: private.sign(data, _PSS, _SHA256)


def _rs256(private: rsa.RSAPrivateKey) -> Sign:
    return lambda data: private.sign(data, _PKCS1, _SHA256)


def _eddsa(private: ed25519.Ed25519PrivateKey) -> Sign:
    return private.sign


def _sha256(data: bytes) -> bytes:
    return sha256(data).digest()


def _sha512(data: bytes) -> bytes:
    return sha512(data).digest()


def _concatenated(signature: bytes) -> bytes:
    """An ECDSA signature of P-256 in DER, our own, as JWS has it: r and s, 32 bytes each (RFC 7518 section 3.4)."""
    # SEQUENCE { INTEGER r, INTEGER s }, each with its length in one byte, and with a zero before or none too few.
    r_ends = 4 + signature[3]
    return signature[4:r_ends][-32:].rjust(32, b"\0") + signature[r_ends + 2 :][-32:].rjust(32, b"\0")


def _is_p256(key: Any) -> bool:
    found = isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey)
    return found and isinstance(key.curve, ec.SECP256R1)


def _is_rsa(key: Any) -> bool:
    return isinstance(key, rsa.RSAPrivateKey | rsa.RSAPublicKey)


def _is_strong_rsa(key: Any) -> bool:
    """RFC 7518 section 3.3 asks for 2048 bits; the upper bound is what verifiers commonly have."""
    return _is_rsa(key) and 2048 <= key.key_size <= 8192


def _is_ed25519(key: Any) -> bool:
    return isinstance(key, ed25519.Ed25519PrivateKey | ed25519.Ed25519PublicKey)


def _new_p256() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _new_rsa() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, RSA_BITS)


def _base64url(data: bytes) -> bytes:
    return b2a_base64(data, newline=False).rstrip(b"=").translate(_URL_SAFE)


_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_SHA256 = hashes.SHA256()
_ECDSA = ec.ECDSA(_SHA256)
_PSS = padding.PSS(padding.MGF1(_SHA256), 32)  # RFC 7518 section 3.5: the salt is as long as the hash
_PKCS1 = padding.PKCS1v15()
_JSON = msgspec.json.Encoder()
_RSA = "an RSA private key of 2048 to 8192 bits"

ALGORITHMS: Mapping[str, Algorithm] = {
    ES256: Algorithm("a P-256 private key", _new_p256, _is_p256, ECKey, _es256, _sha256),
    PS256: Algorithm(_RSA, _new_rsa, _is_strong_rsa, RSAKey, _ps256, _sha256),
    EDDSA: Algorithm(
        "an Ed25519 private key", ed25519.Ed25519PrivateKey.generate, _is_ed25519, OKPKey, _eddsa, _sha512
    ),
    RS256: Algorithm(_RSA, _new_rsa, _is_strong_rsa, RSAKey, _rs256, _sha256),
}  # fmt: skip
