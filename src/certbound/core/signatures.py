"""Signatures of JWSs, verified (RFC 7515 section 5.2, RFC 7518 section 3, RFC 8037, RFC 9864).

Rule 1: an algorithm is a row of the table below: the kind of key it takes, its curve, and what is asked of the key.
Rule 2: a key that is for something else, by its kind, curve, `use`, `alg` or `key_ops`, verifies nothing: it is not
tried at all, and that is told apart from a signature that is wrong.

The JOSE library holds the keys; asked to verify, it takes three times as long as the signature itself.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey


def can_verify(key: Key, alg: str) -> bool:
    """Whether the key is one that may have signed by `alg`."""
    row = ALGORITHMS.get(alg)
    return (
        row is not None
        and isinstance(key, row.kind)
        and (not row.curves or key.get("crv") in row.curves)
        and key.get("alg") in (None, alg)
        and key.get("use") in (None, "sig")
        and "verify" in (_VERIFY if (operations := key.get("key_ops")) is None else operations)
    )


def verifies(key: Key, alg: str, signing_input: bytes, signature: bytes) -> bool:
    """Whether the signature is that of a key which `can_verify`."""
    try:
        ALGORITHMS[alg].verify(key.public_key, signature, signing_input)
    except InvalidSignature:
        return False
    return True


class _Row(NamedTuple):
    kind: type[ECKey] | type[RSAKey] | type[OKPKey]
    curves: tuple[str, ...]
    verify: Callable[[Any, bytes, bytes], None]
    """Of a public key, a signature and what was signed; `InvalidSignature` if it is not."""


def _ecdsa(curve: str, size: int, digest: hashes.HashAlgorithm) -> _Row:
    algorithm = ec.ECDSA(digest)

    def verify(key: Any, signature: bytes, data: bytes) -> None:
        # RFC 7518 section 3.4: r and s, each as long as the curve's order.
        if len(signature) != 2 * size:
            raise InvalidSignature
        r, s = int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big")
        key.verify(encode_dss_signature(r, s), data, algorithm)

    return _Row(ECKey, (curve,), verify)


def _pss(digest: hashes.HashAlgorithm) -> _Row:
    how = padding.PSS(padding.MGF1(digest), digest.digest_size)  # RFC 7518 section 3.5
    return _Row(RSAKey, (), lambda key, signature, data: key.verify(signature, data, how, digest))


def _pkcs1(digest: hashes.HashAlgorithm) -> _Row:
    how = padding.PKCS1v15()
    return _Row(RSAKey, (), lambda key, signature, data: key.verify(signature, data, how, digest))


def _eddsa(*curves: str) -> _Row:
    return _Row(OKPKey, curves, lambda key, signature, data: key.verify(signature, data))


_VERIFY = ("verify",)
_SHA256, _SHA384, _SHA512 = hashes.SHA256(), hashes.SHA384(), hashes.SHA512()

ALGORITHMS: Mapping[str, _Row] = {
    "ES256": _ecdsa("P-256", 32, _SHA256),
    "ES384": _ecdsa("P-384", 48, _SHA384),
    "ES512": _ecdsa("P-521", 66, _SHA512),
    "PS256": _pss(_SHA256),
    "PS384": _pss(_SHA384),
    "PS512": _pss(_SHA512),
    "RS256": _pkcs1(_SHA256),
    "RS384": _pkcs1(_SHA384),
    "RS512": _pkcs1(_SHA512),
    "EdDSA": _eddsa("Ed25519", "Ed448"),
    "Ed25519": _eddsa("Ed25519"),
    "Ed448": _eddsa("Ed448"),
}
