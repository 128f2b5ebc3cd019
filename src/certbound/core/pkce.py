"""Proof key for code exchange (RFC 7636): S256, and nothing else."""

import hmac
import re
from base64 import urlsafe_b64encode
from hashlib import sha256

S256 = "S256"


def is_challenge(text: str) -> bool:
    """Whether `text` can be a `code_challenge` of S256: a SHA-256, base64url."""
    return _CHALLENGE.fullmatch(text) is not None


def verify_challenge(verifier: str, challenge: str) -> bool:
    """Whether whoever has the `code_verifier` made the challenge (section 4.6)."""
    if not _VERIFIER.fullmatch(verifier):
        return False
    made = urlsafe_b64encode(sha256(verifier.encode("ascii")).digest()).rstrip(b"=")
    return hmac.compare_digest(made, challenge.encode())


_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")
