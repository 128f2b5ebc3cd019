"""The refresh token grant (RFC 6749 section 6, RFC 8705 sections 4 and 7.1).

Rule 1: a refresh token of a client that authenticates is bound by that; one of a public client to the certificate that
it was given over, and that is looked at before anything else is, reuse too: or anyone with an old token could end a
family.
Rule 2: what was given under one method is worth nothing under a weaker one.
Rule 3: a refresh gives no more than the first grant did, and no more than the client and the deployment have now.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from certbound.core.authentication import AuthenticatedClient
from certbound.core.certificate import Certificate, PeerCertificate
from certbound.core.clients import ClientId, Method
from certbound.core.errors import InvalidGrant
from certbound.core.grants._request import Policy, TokenRequest, narrowed
from certbound.core.ports import RefreshTokenRecord
from certbound.core.scope import Scope, grant_scope
from certbound.core.tokens import Grant

GRANT_TYPE = "refresh_token"
PREFIX = "cbrt_"
"""What a refresh token begins with, for whoever finds one where it should not be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """What was granted first, and how: the content of a `GrantRecord`."""

    grant: Grant
    method: Method
    """How the client authenticated."""
    holder: str = ""
    """The thumbprint of the certificate that the refresh tokens are bound to; empty where authentication binds."""
    rotates: bool = False
    """A refresh token counts until its successor was given."""


def first(
    grant: Grant, authenticated: AuthenticatedClient, certificate: Certificate | None, *, always_rotates: bool
) -> Granted:
    """What is kept of a grant when its first refresh token is given.

    Rotation is for refresh tokens that nothing else binds: FAPI 2.0 and others forbid it elsewhere.
    """
    is_public = authenticated.client.method is Method.NONE
    return Granted(
        grant=msgspec.structs.replace(grant, is_bound=grant.is_bound or certificate is not None),
        method=authenticated.client.method,
        holder=certificate.thumbprint if is_public and certificate is not None else "",
        rotates=always_rotates or (is_public and certificate is None),
    )


def refresh(
    found: RefreshTokenRecord | None,
    authenticated: AuthenticatedClient,
    peer: PeerCertificate | None,
    request: TokenRequest,
    policy: Policy,
) -> tuple[Grant, Granted]:
    """What the refresh gives, and what it comes from.  `InvalidGrant`, `InvalidScope` or `InvalidTarget` (400).

    Whether the token was replaced is not looked at here: that is asked and answered in one transaction.
    """
    client = authenticated.client
    # (a) There is such a token, and it is the client's.
    if found is None:
        raise InvalidGrant("no such refresh token, or its grant has ended")
    if found.grant.client_id != client.client_id:
        raise InvalidGrant(f"the refresh token belongs to {found.grant.client_id!r}")
    granted = read(found.grant.content, client_id=client.client_id, grant_id=found.grant.grant_id)
    # (b) Whoever has it has the certificate that it is bound to.
    if granted.holder and (peer is None or peer.leaf.thumbprint != granted.holder):
        presented = peer.leaf.thumbprint if peer else "none"
        raise InvalidGrant(f"the refresh token is bound to certificate {granted.holder}, presented was {presented}")
    # (c) The client authenticated as strongly as when it was given.
    if client.method.strength < granted.method.strength:
        raise InvalidGrant(f"given under {granted.method}, and the client authenticates by {client.method} now")
    # (d) Nobody revoked it.
    if not found.grant.valid:
        raise InvalidGrant("the grant was revoked")
    # (e) No more than was granted, and than there is now.
    scope = grant_scope(request.scope, Scope(granted.grant.scope & client.scope & policy.scope))
    known = [each for each in granted.grant.audience if each in policy.resources]
    if not known:
        raise InvalidGrant(f"none of the resources {granted.grant.audience} is known here any more")
    return narrowed(msgspec.structs.replace(granted.grant, scope=scope, audience=known), request.resources), granted


def write(granted: Granted) -> dict[str, Any]:
    """As the content of a `GrantRecord`."""
    grant = granted.grant
    return {
        "subject": grant.subject,
        "audience": list(grant.audience),
        "scope": sorted(grant.scope),
        "is_bound": grant.is_bound,
        "actor": grant.actor,
        "method": granted.method.value,
        "holder": granted.holder,
        "rotates": granted.rotates,
    }


def read(content: Mapping[str, Any], *, client_id: str, grant_id: str) -> Granted:
    """What `write` wrote.  `InvalidGrant` (400) for anything else."""
    try:
        return Granted(
            grant=Grant(
                client_id=ClientId(client_id),
                subject=str(content["subject"]),
                audience=tuple(map(str, content["audience"])),
                scope=Scope(frozenset(map(str, content["scope"]))),
                # Whatever a hand wrote, it is bound unless it says that it is not.
                is_bound=content["is_bound"] is not False,
                actor=content["actor"],
                grant_id=grant_id,
            ),
            method=Method(content["method"]),
            holder=str(content["holder"]),
            rotates=content["rotates"] is not False,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidGrant(f"the grant {grant_id!r} cannot be read: {error!r}") from error
