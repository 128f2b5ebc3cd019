"""Token exchange (RFC 8693): a service that was called asks for a token with which it calls on.

Rule 1: who exchanges is authenticated, and the subject token was meant for it: in its `aud`, or named in `may_act`.
Rule 2: the new token is for less or as much, and lives no longer; `act` says who acts, and for whom that one acted.
Rule 3: where the subject token was bound, so is the new one, to the certificate of the caller.  The subject token's own
`cnf` is not compared: its key is the first client's, who presented it to the caller, and nobody else can show it.
"""

from collections.abc import Mapping
from typing import Any

from certbound.core.authentication import AuthenticatedClient
from certbound.core.clients import Client
from certbound.core.errors import UnacceptableToken, UnauthorizedClient
from certbound.core.grants._request import Policy, TokenRequest, grant_audience
from certbound.core.proofs import NothingProven
from certbound.core.scope import Scope, grant_scope, read_scope
from certbound.core.tokens import Grant

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105
REFRESH_TOKEN = "urn:ietf:params:oauth:token-type:refresh_token"  # noqa: S105
JWT = "urn:ietf:params:oauth:token-type:jwt"

SUBJECT_TYPES = (ACCESS_TOKEN, JWT)
"""`subject_token_type`: what can be exchanged."""
REQUESTED_TYPES = (ACCESS_TOKEN, REFRESH_TOKEN)
"""`requested_token_type`: what for."""

MOST_ACTORS = 8
"""How many may have acted one for another."""


def require_authenticated(authenticated: AuthenticatedClient) -> None:
    """The caller proved who it is.  `UnauthorizedClient` (400) if it is a public client."""
    if isinstance(authenticated.proof, NothingProven):
        raise UnauthorizedClient("a public client may not exchange tokens")


def exchange(
    claims: Mapping[str, Any], authenticated: AuthenticatedClient, request: TokenRequest, policy: Policy
) -> Grant:
    """What the exchange gives for a subject token that is valid now, and says `claims`.

    `UnacceptableToken`, `InvalidScope` or `InvalidTarget` (400).
    """
    client = authenticated.client
    # (a) It was meant for the caller.
    if not _is_meant_for(client, claims):
        raise UnacceptableToken(f"the subject token is for {claims.get('aud')!r:.200}, and does not name the caller")
    # (b) It says who acts, and so do those before.
    actor = {"sub": client.client_id, **({"act": claims["act"]} if "act" in claims else {})}
    if _depth(actor) > MOST_ACTORS:
        raise UnacceptableToken(f"more than {MOST_ACTORS} act one for another")
    # (c) No more than the subject token, the client and the deployment have.
    return Grant(
        client_id=client.client_id,
        subject=str(claims["sub"]),
        audience=grant_audience(request.resources, policy.resources, policy.resources[:1]),
        scope=grant_scope(request.scope, Scope(read_scope(claims.get("scope")) & client.scope & policy.scope)),
        is_bound="cnf" in claims,
        actor=actor,
        ends_at=claims["exp"],
    )


def audience_of(claims: Mapping[str, Any]) -> frozenset[str]:
    """`aud`, which is one string or several; nobody if it is anything else."""
    audience = claims.get("aud")
    listed = audience if isinstance(audience, list | tuple) else [audience]
    return frozenset(each for each in listed if isinstance(each, str))


def _is_meant_for(client: Client, claims: Mapping[str, Any]) -> bool:
    audience = audience_of(claims)
    if client.client_id in audience or not audience.isdisjoint(client.protected_resources):
        return True
    may_act = claims.get("may_act")
    return isinstance(may_act, Mapping) and may_act == {"sub": client.client_id}


def _depth(actor: Any) -> int:
    return 1 + _depth(actor.get("act")) if isinstance(actor, Mapping) else 0
