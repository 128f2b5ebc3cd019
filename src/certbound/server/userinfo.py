"""`GET` and `POST /userinfo` (OpenID Connect Core section 5.3), a protected resource as any other (RFC 6750, RFC 8705).

The numbers are the order, as at a guard: whoever has not the certificate that the token is bound to learns nothing of
it.  Which tokens count here is told in docs/decisions/0020-openid.md.
"""

from collections.abc import Mapping
from typing import Any

from certbound.core.authorization import OPENID
from certbound.core.bearer import read_bearer
from certbound.core.binding import is_bound
from certbound.core.clients import Client
from certbound.core.confirmation import NotConfirmed, match_confirmation
from certbound.core.errors import InsufficientScope, InvalidToken
from certbound.core.openid import claims_for
from certbound.core.people import claims_of
from certbound.core.scope import Scope, format_scope, read_scope
from certbound.server.call import NO_STORE, Call, Reply, json_reply
from certbound.server.inspection import NotLive, read_access_token
from certbound.server.openid import person_of
from certbound.server.service import Service


async def userinfo(call: Call, service: Service) -> Reply:
    """Who the person is whose access token this is, as far as its scope goes.

    `TokenMissing` (401), `TokenRequestInvalid` (400), `InvalidToken` (401) or `InsufficientScope` (403) otherwise.
    """
    # (1) One token, in its place.
    token = read_bearer(call.authorization)
    # (2) It is live.
    try:
        live = await read_access_token(token, service, call.now, lambda _: True)
    except NotLive as why:
        raise InvalidToken(str(why)) from why
    claims = live.claims
    client = await service.clients.find(claims["client_id"])
    if client is None or not client.enabled:  # its tokens are revoked; here also within the moment until that is known
        raise InvalidToken(f"its client {claims['client_id']!r:.100} is not there any more, or disabled")
    # (3) It is bound to the certificate on this connection.
    _require_binding(claims, client, call, service)
    call.notes.client_id, call.notes.jti = client.client_id, claims["jti"]
    # (4) The person agreed that this client learns who they are.
    scope = read_scope(claims.get("scope"))
    call.notes.scope = format_scope(scope)
    if OPENID not in scope:
        raise InsufficientScope("the token is not for learning who somebody is", required=frozenset({OPENID}))
    if claims["sub"] == client.client_id:
        raise InvalidToken("the client got the token for itself, so it is nobody's")
    if "act" in claims:
        raise InvalidToken("the token was exchanged, so its sub is what another client knows the person by")
    # (5) The person is still there.
    person = call.notes.subject = await person_of(service, client, claims["sub"])
    return json_reply(200, {"sub": claims["sub"], **await _claims(person, scope, service)}, NO_STORE)


def _require_binding(claims: Mapping[str, Any], client: Client, call: Call, service: Service) -> None:
    if "cnf" not in claims:
        if is_bound(client, service.bind):
            raise InvalidToken("not bound to a certificate, and its client's tokens are to be")
        return
    try:
        match_confirmation(claims["cnf"], call.peer.leaf if call.peer else None)
    except NotConfirmed as error:
        raise InvalidToken(str(error)) from error


async def _claims(person: str, scope: Scope, service: Service) -> Mapping[str, Any]:
    """Nothing where a login application says who people are: it says no more than that."""
    if service.people is None or service.people.accounts is None:
        return {}
    account = await service.store.accounts.find_subject(person)
    if account is None or not account.enabled:
        raise InvalidToken("the person's account is not there any more, or disabled")
    return claims_for(scope, claims_of(account))
