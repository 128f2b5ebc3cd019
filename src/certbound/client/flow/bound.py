"""Whether a token that came is bound to the certificate that it was asked for with (RFC 8705 section 3.1).

A client acts on nothing that it reads in a token; a token that says it is anybody's, or another's, is not used.
"""

from base64 import urlsafe_b64decode
from typing import Any

import msgspec

from certbound.client.errors import AnswerUnusable
from certbound.core.confirmation import NotConfirmed, read_confirmation


def require_bound(endpoint: str, access_token: str, thumbprint: str, *, unbound: bool = False) -> None:
    """`AnswerUnusable` for a JWT that says otherwise; of one that only the server can read, nothing is known.

    `unbound` lets one pass that says it is anybody's.
    """
    claims = _claims_of(access_token)
    if claims is None or (unbound and "cnf" not in claims):
        return
    try:
        bound_to = read_confirmation(claims.get("cnf"))
    except NotConfirmed:
        bound_to = None
    if bound_to != thumbprint:
        raise AnswerUnusable(
            f"the token of {endpoint} is not bound to the certificate that it was asked for with, so it was dropped; "
            "have tls_client_certificate_bound_access_tokens registered for this client, and see that the server's "
            "mutual-TLS endpoint was used"
        )


def _claims_of(access_token: str) -> dict[str, Any] | None:
    """What a JWT says, unverified; None for a token that is none."""
    parts = access_token.split(".")
    if len(parts) != 3:
        return None
    try:
        _, claims = (msgspec.json.decode(_decoded(each), type=dict[str, Any]) for each in parts[:2])
    except (ValueError, RecursionError):
        return None
    return claims


def _decoded(segment: str) -> bytes:
    return urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
