"""Proof key for code exchange (RFC 7636): S256, and nothing else."""

import hmac
import re
from base64 import urlsafe_b64encode
from hashlib import sha256

from certbound.core.errors import InvalidGrant

S256 = "S256"


def is_challenge(text: str) -> bool:
    """Whether `text` can be a `code_challenge` of S256: a SHA-256, base64url."""
    return _CHALLENGE.fullmatch(text) is not None


def verify_challenge(verifier: str, challenge: str) -> None:
    """Whoever has the `code_verifier` made the challenge (section 4.6).  `InvalidGrant` (400) otherwise."""
    if not (_VERIFIER.fullmatch(verifier) and hmac.compare_digest(_made(verifier), challenge.encode())):
        raise InvalidGrant("the code_verifier does not fit the code_challenge")


def _made(verifier: str) -> bytes:
    return urlsafe_b64encode(sha256(verifier.encode("ascii")).digest()).rstrip(b"=")


_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")
