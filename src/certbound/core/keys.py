"""Which public keys are strong enough (RFC 9325 section 4.5, NIST SP 800-57): one table for every certificate.

Self-signed certificates and those of public clients pass through the same table as CA-issued ones; a chain's
verdict says nothing about the leaf's own key.
"""

from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from certbound.core.certificate import Certificate
from certbound.core.errors import BadCertificate


class StrongKey(msgspec.Struct, frozen=True):
    """Proof that the certificate's key is in the table; `kind` is for people."""

    certificate: Certificate
    kind: str


def require_strong_key(certificate: Certificate) -> StrongKey:
    """The key is strong enough.  `BadCertificate` if it is weak, unreadable, or of a kind not in the table."""
    key = certificate.public_key
    return StrongKey(certificate, _row(type(key)).strong(key))


def require_strong_public_key(key: Any) -> str:
    """What people call the key.  `BadCertificate` if it is weak or of a kind not in the table."""
    kind: type = type(key)
    return _row(kind).strong(key)


def public_jwk(certificate: Certificate) -> dict[str, str]:
    """The public members of the certificate's key as a JWK (RFC 7518, RFC 8037; ML-DSA as `kty` `AKP`)."""
    key = certificate.public_key
    return _row(type(key)).jwk(key)


class _Kind(NamedTuple):
    strong: Callable[[Any], str]
    """What people call the key; `BadCertificate` if it is weak."""
    jwk: Callable[[Any], dict[str, str]]


@cache  # asking an abstract base class costs microseconds
def _row(kind: type) -> _Kind:
    for base, row in _KINDS.items():
        if issubclass(kind, base):
            return row
    raise BadCertificate(f"{kind.__name__} is no accepted kind of key")


def _rsa(key: rsa.RSAPublicKey) -> str:
    if not 2048 <= key.key_size <= 8192:
        # The upper bound keeps one verification from costing what an attacker likes.
        raise BadCertificate(f"RSA key of {key.key_size} bits; 2048 to 8192 are accepted")
    if key.public_numbers().e.bit_length() > 32:
        raise BadCertificate("RSA key with a public exponent of more than 32 bits")
    return f"RSA-{key.key_size}"


def _ec(key: ec.EllipticCurvePublicKey) -> str:
    if key.curve.name not in _CURVES:
        raise BadCertificate(f"curve {key.curve.name}; accepted are P-256, P-384 and P-521")
    return _CURVES[key.curve.name]


def _rsa_jwk(key: rsa.RSAPublicKey) -> dict[str, str]:
    numbers = key.public_numbers()
    return {"kty": "RSA", "n": _base64url_uint(numbers.n), "e": _base64url_uint(numbers.e)}


def _ec_jwk(key: ec.EllipticCurvePublicKey) -> dict[str, str]:
    numbers = key.public_numbers()
    size = (key.key_size + 7) // 8
    return {
        "kty": "EC",
        "crv": _CURVES.get(key.curve.name, key.curve.name),
        "x": _base64url(numbers.x.to_bytes(size, "big")),
        "y": _base64url(numbers.y.to_bytes(size, "big")),
    }


def _fixed(name: str, kty: str) -> _Kind:
    """A kind whose keys are all of one strength."""
    parameter, public = ("crv", "x") if kty == "OKP" else ("alg", "pub")
    return _Kind(lambda _: name, lambda key: {"kty": kty, parameter: name, public: _raw(key)})


def _raw(key: Any) -> str:
    return _base64url(key.public_bytes(Encoding.Raw, PublicFormat.Raw))


def _base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _base64url_uint(number: int) -> str:
    return _base64url(number.to_bytes((number.bit_length() + 7) // 8, "big"))


_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}

_KINDS: Mapping[type, _Kind] = {
    ec.EllipticCurvePublicKey: _Kind(_ec, _ec_jwk),
    rsa.RSAPublicKey: _Kind(_rsa, _rsa_jwk),
    ed25519.Ed25519PublicKey: _fixed("Ed25519", "OKP"),
    ed448.Ed448PublicKey: _fixed("Ed448", "OKP"),
    mldsa.MLDSA44PublicKey: _fixed("ML-DSA-44", "AKP"),
    mldsa.MLDSA65PublicKey: _fixed("ML-DSA-65", "AKP"),
    mldsa.MLDSA87PublicKey: _fixed("ML-DSA-87", "AKP"),
}
