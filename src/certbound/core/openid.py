"""What clients learn of a person: ID tokens and claims (OpenID Connect Core sections 2, 3.1.3.6 and 5).

Rule 1: a claim is told for a scope that asks for it, and the person agreed to; nothing else of an account leaves.
Rule 2: an ID token is for one client, and is no access token: its header says another type, and it has no `client_id`.
Rule 3: a hint is an ID token of ours that may be old; nobody is anybody by it, it only says who was.
Rule 4: a session has another name for each sector, or client without one: those who compare learn nothing by it.
"""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from joserfc.jwk import KeySet

from certbound.core.clients import Client
from certbound.core.grants.authorization_code import Agreed
from certbound.core.jws import BadJwt, read_header, verified_claims
from certbound.core.signing import ALGORITHMS

ID_TOKEN_TYPE = "JWT"  # noqa: S105
LIFETIME = 600
"""Seconds an ID token lives: its client reads it at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """What an ID token of ours says of whom it was for; it may have ended."""

    subject: str
    """As the client knows the person."""
    client_id: str
    sid: str = ""
    """Of the session in which it was given, as `sid_for` told it; empty if there was none."""


def id_token_claims(
    agreed: Agreed, *, issuer: str, subject: str, sid: str, access_token: str, alg: str, now: float
) -> dict[str, Any]:
    """The claims of an ID token from the token endpoint (sections 2 and 3.1.3.6), to be signed with `alg`.

    `subject` is the person as the client knows them, `sid` the session as `sid_for` tells it.  `c_hash` is for answers
    of the authorization endpoint, where we give no ID token; `azp` for an audience that is not the client.
    """
    claims: dict[str, Any] = {
        "iss": issuer,
        "sub": subject,
        "aud": agreed.client_id,
        "exp": int(now) + LIFETIME,
        "iat": int(now),
        "auth_time": int(agreed.auth_time),
        "at_hash": half_hash(access_token, alg),
    }
    told = {"nonce": agreed.nonce, "acr": agreed.acr or None, "amr": list(agreed.amr) or None, "sid": sid or None}
    return claims | {name: value for name, value in told.items() if value is not None}


def sid_for(client: Client, sid: str) -> str:
    """What the client knows the session `sid` by; empty if there is none.  Nobody can tell it who has not `sid`."""
    if not sid:
        return ""
    who = f"sector {client.sector}" if client.sector else f"client {client.client_id}"
    return urlsafe_b64encode(hmac.digest(sid.encode(), who.encode(), sha256)).rstrip(b"=").decode("ascii")


def half_hash(value: str, alg: str) -> str:
    """The left half of the hash that `alg` signs with, base64url: `at_hash` (section 3.1.3.6)."""
    digest = ALGORITHMS[alg].digest(value.encode())
    return urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode("ascii")


def read_hint(token: str, *, keys: KeySet, algorithms: Collection[str], issuer: str) -> Hint | None:
    """Whom an ID token that one of `keys` signed was for, also if it has ended; None if it is no such token."""
    try:
        # (1) It is of the type of an ID token: none of our access tokens is one.
        header = read_header(token, types=_TYPES, algorithms=algorithms)
        # (2) We signed it.
        claims = verified_claims(token, header, keys)
    except BadJwt:
        return None
    # (3) It says what ours say.  When it ended is not asked (section 3.1.2.1).
    subject, client_id, sid = claims.get("sub"), claims.get("aud"), claims.get("sid", "")
    if claims.get("iss") != issuer or not (isinstance(subject, str) and isinstance(client_id, str)):
        return None
    return Hint(subject=subject, client_id=client_id, sid=sid if isinstance(sid, str) else "")


def claims_for(scope: Collection[str], claims: Mapping[str, Any]) -> dict[str, Any]:
    """What of `claims` the scope asks for (section 5.4)."""
    told = [claim for word, listed in CLAIMS_OF.items() if word in scope for claim in listed]
    return {claim: claims[claim] for claim in told if claims.get(claim) is not None}


_TYPES = frozenset({ID_TOKEN_TYPE.lower()})
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

ID_TOKEN_CLAIMS = frozenset({
    "iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "sid", "at_hash",
})  # fmt: skip
"""What an ID token of ours may say."""
