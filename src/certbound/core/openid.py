"""What clients learn of a person: ID tokens and claims (OpenID Connect Core sections 2 and 5).

Rule: a claim is told for a scope that asks for it, and the person agreed to; nothing else of an account leaves.
"""

from collections.abc import Collection, Mapping
from typing import Any

ID_TOKEN_TYPE = "JWT"  # noqa: S105

CLAIMS_OF: Mapping[str, tuple[str, ...]] = {
    "profile": (
        "name", "family_name", "given_name", "middle_name", "nickname", "preferred_username", "profile", "picture",
        "website", "gender", "birthdate", "zoneinfo", "locale", "updated_at",
    ),
    "email": ("email", "email_verified"),
    "address": ("address",),
    "phone": ("phone_number", "phone_number_verified"),
}  # fmt: skip
"""By scope (section 5.4)."""

CLAIMS = frozenset({
    "iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "azp", "sid",
    *(claim for claims in CLAIMS_OF.values() for claim in claims),
})  # fmt: skip


def claims_for(scope: Collection[str], claims: Mapping[str, Any]) -> dict[str, Any]:
    """What of `claims` the scope asks for (section 5.4)."""
    told = [claim for word, listed in CLAIMS_OF.items() if word in scope for claim in listed]
    return {claim: claims[claim] for claim in told if claims.get(claim) is not None}
