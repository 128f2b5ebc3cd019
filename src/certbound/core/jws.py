"""Signed JWTs of others (RFC 7515, RFC 7519), read before they are believed.

Rule 1: a token is bounded before it is decoded.
Rule 2: `typ` and `alg` are checked against lists, and keys come from the caller: no header brings one.
Rule 3: what cannot be read is `BadJwt`, whatever it is.
Rule 4: of what strangers send only headers are remembered: short ones that can be read, and few.
"""

from binascii import a2b_base64, b2a_base64
from collections.abc import Collection, Mapping, Sequence, Set
from functools import lru_cache
from typing import Any, TypeGuard

import msgspec
from joserfc.jwk import KeySet

from certbound.core.signatures import ALGORITHMS, can_verify, verifies

MAX_TOKEN = 8 * 1024
"""Bytes of a token; nothing longer is decoded."""
LEEWAY = 5
"""Seconds by which `iat` and `nbf` may lie ahead of our clock."""
MOST_HEADERS = 64
"""Headers that are remembered: those that issuers sign with today."""
LONGEST_HEADER = 512
"""Characters of a header that is remembered."""


class BadJwt(ValueError):
    """It is no JWT, none of the kind that is asked for, or nobody's who may sign it; the message is for the log."""


class NoKey(BadJwt):
    """None of the keys is one that could have signed it, so no signature was verified."""


class Header(msgspec.Struct, frozen=True):
    """A protected header, read and not believed: which key would have signed the token."""

    alg: str
    kid: str | None


class Jwt(msgspec.Struct, frozen=True):
    """A JWT, taken apart once for all that is asked of it, and not believed."""

    segments: Sequence[str]
    """Header, payload and signature, as they came."""
    unverified_claims: Mapping[str, Any]
    """What it claims: for picking the keys that could prove it, and nothing else."""

    def header(self, *, types: Set[str | None], algorithms: Collection[str]) -> Header:
        """As `read_header`."""
        return _require_header(self.segments[0], types, algorithms)

    def verified_claims(self, header: Header, keys: KeySet) -> Mapping[str, Any]:
        """As the function of this name."""
        _require_signature(self.segments, header, keys)
        return self.unverified_claims


def read_jwt(token: str, *, most: int = MAX_TOKEN) -> Jwt:
    """A JWT of at most `most` bytes, its claims decoded.  `BadJwt` otherwise."""
    segments = _split(token, most)
    return Jwt(segments, _decode(segments[1]))


def unverified_claims(token: str, *, most: int = MAX_TOKEN) -> Mapping[str, Any]:
    """What the token claims: for picking the keys that could prove it, and nothing else."""
    return read_jwt(token, most=most).unverified_claims


def read_header(token: str, *, types: Set[str | None], algorithms: Collection[str], most: int = MAX_TOKEN) -> Header:
    """The header of a JWT of at most `most` bytes, if it is of one of `types` and signed by a listed algorithm.

    `None` among `types` admits a token that does not say its type.  `BadJwt` otherwise.
    """
    return _require_header(_split(token, most)[0], types, algorithms)


def verified_claims(token: str, header: Header, keys: KeySet) -> Mapping[str, Any]:
    """What a JWT says that one of `keys` signed.  `BadJwt` if none did, `NoKey` if none could have."""
    segments = _split(token, len(token))
    _require_signature(segments, header, keys)
    return _decode(segments[1])


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
    return type(value) in _NUMBERS and abs(value) < 1e15


def _require_header(segment: str, types: Set[str | None], algorithms: Collection[str]) -> Header:
    typ, header = _short_header(segment) if len(segment) <= LONGEST_HEADER else _read_header(segment)
    # (1) The type says what it is: an ID token or a logout token is no access token (RFC 9068 section 4).
    if typ not in types:
        raise BadJwt(f"typ is {typ!r:.80}")
    # (2) The algorithm is one of ours: never none, never a shared secret.
    if header.alg not in algorithms:
        raise BadJwt(f"alg is {header.alg!r:.80}")
    return header


def _read_header(segment: str) -> tuple[str | None, Header]:
    """The type, in lower case, and what of the header picks the key."""
    members = _decode(segment)
    typ, alg, kid = members.get("typ"), members.get("alg"), members.get("kid")
    if typ is not None and not isinstance(typ, str):
        raise BadJwt(f"typ is {typ!r:.80}")
    if not isinstance(alg, str):
        raise BadJwt(f"alg is {alg!r:.80}")
    if "crit" in members or "b64" in members or (kid is not None and not isinstance(kid, str)):
        raise BadJwt("the header has a critical extension or a kid that is no string")
    return typ and typ.lower(), Header(alg, kid)


_short_header = lru_cache(MOST_HEADERS)(_read_header)  # what it refuses it does not keep


def _require_signature(segments: Sequence[str], header: Header, keys: KeySet) -> None:
    protected, payload, encoded = segments
    able = [key for key in keys if (header.kid is None or key.kid == header.kid) and can_verify(key, header.alg)]
    if not able:
        raise NoKey(f"no key can verify the signature (kid {header.kid!r:.80}, alg {header.alg!r:.80})")
    signing_input, signature = f"{protected}.{payload}".encode("ascii"), _bytes(encoded)
    if not any(verifies(key, header.alg, signing_input, signature) for key in able):
        raise BadJwt(f"no key verifies the signature (kid {header.kid!r:.80})")


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
_NUMBERS = (int, float)
"""Not `bool`, which is a kind of `int`."""
ASYMMETRIC = frozenset(ALGORITHMS)
