"""Signed JWTs of others (RFC 7515, RFC 7519), read before they are believed.

Rule 1: a token is bounded before it is decoded.
Rule 2: `typ` and `alg` are checked against lists, and keys come from the caller: no header brings one.
Rule 3: what cannot be read is `BadJwt`, whatever it is.
"""

from binascii import a2b_base64, b2a_base64
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, TypeGuard

import msgspec
from joserfc.jwk import KeySet

from certbound.core.signatures import ALGORITHMS, can_verify, verifies

MAX_TOKEN = 8 * 1024
"""Bytes of a token; nothing longer is decoded."""
LEEWAY = 5
"""Seconds by which `iat` and `nbf` may lie ahead of our clock."""


class BadJwt(ValueError):
    """It is no JWT, none of the kind that is asked for, or nobody's who may sign it; the message is for the log."""


class NoKey(BadJwt):
    """None of the keys is one that could have signed it, so no signature was verified."""


@dataclass(frozen=True, slots=True)
class Header:
    """A protected header, read and not believed: which key would have signed the token."""

    alg: str
    kid: str | None


def unverified_claims(token: str, *, most: int = MAX_TOKEN) -> Mapping[str, Any]:
    """What the token claims: for picking the keys that could prove it, and nothing else."""
    return _decode(_split(token, most)[1])


def read_header(token: str, *, types: Set[str | None], algorithms: Collection[str], most: int = MAX_TOKEN) -> Header:
    """The header of a JWT of at most `most` bytes, if it is of one of `types` and signed by a listed algorithm.

    `None` among `types` admits a token that does not say its type.  `BadJwt` otherwise.
    """
    header = _decode(_split(token, most)[0])
    # (1) The type says what it is: an ID token or a logout token is no access token (RFC 9068 section 4).
    typ = header.get("typ")
    if not isinstance(typ, str | None) or (typ and typ.lower()) not in types:
        raise BadJwt(f"typ is {typ!r:.80}")
    # (2) The algorithm is one of ours: never none, never a shared secret.
    alg, kid = header.get("alg"), header.get("kid")
    if not isinstance(alg, str) or alg not in algorithms:
        raise BadJwt(f"alg is {alg!r:.80}")
    if "crit" in header or "b64" in header or (kid is not None and not isinstance(kid, str)):
        raise BadJwt("the header has a critical extension or a kid that is no string")
    return Header(alg, kid)


def verified_claims(token: str, header: Header, keys: KeySet) -> Mapping[str, Any]:
    """What a JWT says that one of `keys` signed.  `BadJwt` if none did, `NoKey` if none could have."""
    protected, payload, encoded = _split(token, len(token))
    able = [key for key in keys if header.kid in (None, key.kid) and can_verify(key, header.alg)]
    if not able:
        raise NoKey(f"no key can verify the signature (kid {header.kid!r:.80}, alg {header.alg!r:.80})")
    signing_input, signature = f"{protected}.{payload}".encode("ascii"), _bytes(encoded)
    if not any(verifies(key, header.alg, signing_input, signature) for key in able):
        raise BadJwt(f"no key verifies the signature (kid {header.kid!r:.80})")
    return _decode(payload)


def require_time(claims: Mapping[str, Any], now: float, *, leeway: float = LEEWAY) -> float:
    """`exp`, if it lies ahead of `now`, and `nbf` and `iat` do not.  `BadJwt` otherwise."""
    # (3) Its time is now.
    expires_at = claims.get("exp")
    if not is_time(expires_at) or now >= expires_at:
        raise BadJwt(f"expired at {expires_at!r:.40}")
    for name in ("nbf", "iat"):
        if name in claims and (not is_time(claims[name]) or claims[name] > now + leeway):
            raise BadJwt(f"{name} {claims[name]!r:.40} lies in the future")
    return float(expires_at)


def is_time(value: Any) -> TypeGuard[float]:
    """A number of seconds; JSON has room for integers that no clock and no `float` has."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15


def _split(token: str, most: int) -> Sequence[str]:
    """Header, payload and signature, as they came."""
    if len(token) > most or not token.isascii():
        raise BadJwt("the token is too long or not ASCII")
    segments = token.split(".")
    if len(segments) != 3:
        raise BadJwt("the token is no signed JWT")
    return segments


def _decode(segment: str) -> Mapping[str, Any]:
    return _object(_bytes(segment))


def _bytes(segment: str) -> bytes:
    """What the segment encodes, if it does so in the one way there is (RFC 7515 section 2)."""
    padded = segment.encode("ascii").translate(_ALPHABET) + b"=" * (-len(segment) % 4)  # `_split` found it ASCII
    try:
        data = a2b_base64(padded)
    except ValueError as error:
        raise BadJwt(f"the token is no JWT: {error}") from error
    if b2a_base64(data, newline=False) != padded:
        raise BadJwt("the token is no JWT: a segment is not base64url without padding")
    return data


def _object(data: bytes) -> Mapping[str, Any]:
    try:
        value = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadJwt(f"the token holds no JSON: {error}") from error
    if not isinstance(value, dict):
        raise BadJwt("the token holds no JSON object")
    return value


_ALPHABET = bytes.maketrans(b"-_+/=", b"+/***")
"""From base64url (RFC 4648 section 5) to what `binascii` reads; what only base64 has becomes what nothing has."""
ASYMMETRIC = frozenset(ALGORITHMS)
