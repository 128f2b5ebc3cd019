"""Access tokens as signed JWTs (RFC 9068), bound to a certificate (RFC 8705 section 3.1).

Rule: what is signed is what `claims_of` made; nothing of the request is copied into a token unread.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from certbound.core.certificate import Certificate
from certbound.core.clients import Client, ClientId, TokenFormat
from certbound.core.confirmation import confirm
from certbound.core.scope import Scope, format_scope
from certbound.core.signing import SigningKey, sign_jwt
from certbound.core.status import TYPE as LIST_TYPE
from certbound.core.status import StatusReference
from certbound.core.well_known import AccessToken, Issuer

TYPE = "at+jwt"


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What a grant gives: to whom, for whom, for which resources, how far."""

    client_id: ClientId
    subject: str
    audience: Sequence[str]
    scope: Scope
    is_bound: bool = False
    """What it comes from was bound, so its tokens are, whatever the client and the deployment ask for now."""
    actor: Mapping[str, Any] | None = None
    """Who acts for the subject (RFC 8693 section 4.1)."""
    grant_id: str = ""
    """What the refresh token that it comes from belongs to."""
    ends_at: float | None = None
    """Seconds since the epoch: no token of it lives longer."""


def choose_format(client: Client, audience: Sequence[str], opaque: Collection[str]) -> TokenFormat:
    """What the client's token for `audience` is: as it registered, else what its resources want."""
    if client.token_format is not None:
        return client.token_format
    return TokenFormat.OPAQUE if any(each in opaque for each in audience) else TokenFormat.JWT


def claims_of(
    grant: Grant,
    *,
    certificate: Certificate | None,
    issuer: Issuer,
    now: float,
    lifetime: int,
    jti: str,
    status: StatusReference | None = None,
) -> dict[str, Any]:
    """The claims of RFC 9068 section 2.2, `cnf` if there is a certificate to bind to, and where the status stands.

    `lifetime` is in seconds.
    """
    issued_at = int(now)
    claims: dict[str, Any] = {
        "iss": issuer,
        "sub": grant.subject,
        "aud": grant.audience[0] if len(grant.audience) == 1 else list(grant.audience),
        "client_id": grant.client_id,
        "iat": issued_at,
        "exp": issued_at + lifetime if grant.ends_at is None else int(min(issued_at + lifetime, grant.ends_at)),
        "jti": jti,
    }
    if grant.scope:
        claims["scope"] = format_scope(grant.scope)
    if grant.actor is not None:
        claims["act"] = grant.actor
    if certificate is not None:
        claims["cnf"] = confirm(certificate)
    if status is not None:
        claims["status"] = status.claim()
    return claims


def sign(claims: Mapping[str, Any], key: SigningKey) -> AccessToken:
    """The claims as a compact JWS of type `at+jwt`."""
    return AccessToken(sign_jwt(claims, key, TYPE))


def sign_list(claims: Mapping[str, Any], key: SigningKey) -> str:
    """The claims of a status list as a compact JWS of type `statuslist+jwt`: no access token, by its header."""
    return sign_jwt(claims, key, LIST_TYPE)
