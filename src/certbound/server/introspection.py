"""`POST /introspect` (RFC 7662), signed if that is asked for (RFC 9701).

Rule 1: who asks is authenticated, and the token was meant for it; a public client may not ask.
Rule 2: whatever is not so, the answer is the same `{"active": false}`, from the same statements.
"""

import re
from collections.abc import Mapping
from typing import Any

from certbound.core.authentication import AuthenticatedClient, digest_of
from certbound.core.clients import Client
from certbound.core.errors import InvalidGrant
from certbound.core.grants.refresh_token import read
from certbound.core.grants.token_exchange import audience_of
from certbound.core.metadata import INTROSPECTION
from certbound.core.scope import format_scope
from certbound.core.signing import sign_jwt
from certbound.server.authentication import authenticated_client
from certbound.server.call import NO_STORE, Call, Reply, json_reply
from certbound.server.inspection import NotLive, read_access_token
from certbound.server.service import Service


async def introspect(call: Call, service: Service) -> Reply:
    """What a token says, to those it is meant for."""
    # (1) Who asks is authenticated.
    authenticated = await authenticated_client(call, service, INTROSPECTION)
    token = call.form.require("token")
    # (2) The token is live and meant for who asks.
    describe = _describe_refresh_token if token.startswith(REFRESH) else _describe_access_token
    try:
        answer = await describe(token, authenticated.client, call, service)
    except NotLive as why:
        call.notes.reason, answer = str(why), INACTIVE
    return _signed(answer, authenticated, call, service) if _asks_for_jwt(call) else json_reply(200, answer, NO_STORE)


async def _describe_access_token(token: str, client: Client, call: Call, service: Service) -> Mapping[str, Any]:
    live = await read_access_token(
        token, service, call.now, lambda claims: _is_meant_for(client, claims), asker=client.client_id
    )
    call.notes.jti = live.claims["jti"]
    said = {name: value for name, value in live.claims.items() if name not in _OURS}
    return {"active": True, "token_type": "Bearer", **said}


async def _describe_refresh_token(token: str, client: Client, call: Call, service: Service) -> Mapping[str, Any]:
    """To its own client alone."""
    found = await service.store.grants.find(digest_of(token), now=call.now)
    if found is None or not found.grant.valid or found.replaced_at is not None:
        raise NotLive("the refresh token is none of this server, or was revoked or replaced")
    if found.grant.client_id != client.client_id:
        raise NotLive(f"the refresh token of the grant {found.grant.grant_id} is of another client")
    try:
        granted = read(found.grant.content, client_id=client.client_id, grant_id=found.grant.grant_id)
    except InvalidGrant as error:
        raise NotLive(str(error)) from error
    call.notes.grant_id = found.grant.grant_id
    answer = {
        "active": True,
        "client_id": client.client_id,
        "sub": granted.grant.subject,
        "scope": format_scope(granted.grant.scope),
        "iss": service.offer.issuer,
        "iat": int(found.grant.created_at),
        "exp": int(found.grant.ends_at),
    }
    return answer | ({"cnf": {"x5t#S256": granted.holder}} if granted.holder else {})


def _is_meant_for(client: Client, claims: Mapping[str, Any]) -> bool:
    """A resource server asks about tokens for its resources; a client about its own."""
    return claims.get("client_id") == client.client_id or not audience_of(claims).isdisjoint(client.protected_resources)


def _asks_for_jwt(call: Call) -> bool:
    """`Accept` names the type, and does not say that it is not acceptable (RFC 9110 section 12.4.2)."""
    for each in call.accept.lower().split(b","):
        media_type, *parameters = (part.strip() for part in each.split(b";"))
        if media_type == MEDIA_TYPE.encode():
            return not any(map(_NOT_ACCEPTABLE.fullmatch, parameters))
    return False


def _signed(answer: Mapping[str, Any], authenticated: AuthenticatedClient, call: Call, service: Service) -> Reply:
    """RFC 9701 section 5."""
    client = authenticated.client
    claims = {
        "iss": service.offer.issuer,
        "aud": client.client_id,
        "iat": int(call.now),
        "token_introspection": answer,
    }
    token = sign_jwt(claims, service.keys.signing_with(client.introspection_alg), TYPE)
    return Reply(200, token.encode("ascii"), ((b"content-type", MEDIA_TYPE.encode()), *NO_STORE))


REFRESH = "cbrt_"
INACTIVE: Mapping[str, Any] = {"active": False}
TYPE = "token-introspection+jwt"
MEDIA_TYPE = f"application/{TYPE}"
_NOT_ACCEPTABLE = re.compile(rb"q=0(?:\.0{0,3})?")
_OURS = frozenset({"status"})
"""Claims that are no business of who asks: the answer is the status."""
