"""Client assertions: `private_key_jwt` (RFC 7523 sections 2.2 and 3), as FAPI 2.0 and its successor want it.

Rule 1: the audience is the issuer and nothing else, one string: an assertion that another server was given, or may
have been, is none for us (audience injection).
Rule 2: nothing counts before the signature does; the `jti` is used up last, or strangers could use it up.
"""

import contextlib
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey

from certbound.core.jws import BadJwt, Header, is_time, read_header, verified_claims

ALGORITHMS = ("ES256", "PS256", "EdDSA")
"""Those that FAPI 2.0 allows."""
MAX_LIFETIME = 3600
"""Seconds an assertion may be valid for; so long is its `jti` remembered."""
MAX_AHEAD = 60
"""Seconds by which `iat` and `nbf` may lie ahead of our clock (FAPI 2.0: 10 must pass, more than 60 must not)."""
MAX_JTI = 256


@dataclass(frozen=True, slots=True)
class VerifiedAssertion:
    """Proof that the client signed an assertion for this server; whether it is the first use is asked of the store."""

    jti: str
    expires_at: float


def verify_assertion(
    assertion: str, *, client_id: str, issuer: str, keys: KeySet, algorithms: Collection[str], now: float
) -> VerifiedAssertion:
    """One of `keys` signed the assertion of `client_id` for `issuer`, and it is valid at `now`.  `BadJwt` otherwise."""
    # (a) It is a JWT for this purpose, signed with an algorithm that is listed.
    header = read_assertion_header(assertion, algorithms=algorithms)
    # (b) The client signed it.
    claims = verified_claims(assertion, header, keys)
    # (c) It speaks for the client itself.
    if claims.get("iss") != client_id or claims.get("sub") != client_id:
        raise BadJwt(f"iss is {claims.get('iss')!r:.80}, sub is {claims.get('sub')!r:.80}")
    # (d) It is for this server alone.
    if claims.get("aud") != issuer:
        raise BadJwt(f"aud is {claims.get('aud')!r:.200}, and must be the issuer as a string")
    # (e) Its time is now, and ends soon.
    expires_at = claims.get("exp")
    if not is_time(expires_at) or not now < expires_at <= now + MAX_LIFETIME + MAX_AHEAD:
        raise BadJwt(f"exp is {expires_at!r:.40}: over, or more than {MAX_LIFETIME} seconds ahead")
    for name in ("iat", "nbf"):
        if name in claims and (not is_time(claims[name]) or claims[name] > now + MAX_AHEAD):
            raise BadJwt(f"{name} {claims[name]!r:.40} lies in the future")
    # (f) It can be told from every other one.
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 0 < len(jti) <= MAX_JTI:
        raise BadJwt(f"jti is missing, or no string of up to {MAX_JTI} characters")
    return VerifiedAssertion(jti, float(expires_at))


def read_assertion_header(assertion: str, *, algorithms: Collection[str]) -> Header:
    """Its header, if it may be one of an assertion; read, and not believed.  `BadJwt` otherwise."""
    return read_header(assertion, types=TYPES, algorithms=algorithms)


def try_decoys(assertion: str, *, algorithms: Collection[str]) -> None:
    """As much is done as for an assertion with one key that could have signed it, of whoever names a client that has
    none: the signature is verified with a key of nobody.
    """
    with contextlib.suppress(BadJwt):
        header = read_assertion_header(assertion, algorithms=algorithms)
        verified_claims(assertion, Header(header.alg, None), decoy_keys())


@cache
def decoy_keys() -> KeySet:
    """A public key of each kind; what they verify counts for nothing, so it matters to nobody who could sign."""
    seed = sha256(b"nobody").digest()
    modulus = int.from_bytes(b"\xff" + b"".join(sha256(seed + bytes([n])).digest() for n in range(8))[1:]) | 1
    return KeySet([
        ECKey.import_key(_pem(ec.derive_private_key(int.from_bytes(seed), ec.SECP256R1()).public_key())),
        RSAKey.import_key(_pem(rsa.RSAPublicNumbers(65537, modulus).public_key())),
        OKPKey.import_key(_pem(ed25519.Ed25519PrivateKey.from_private_bytes(seed).public_key())),
    ])  # fmt: skip


def _pem(key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


TYPES = frozenset({None, "jwt", "client-authentication+jwt"})
