"""`POST /revoke` (RFC 7009): a client gives a token back, its own.

Rule 1: what is not there, not valid, or another's is answered as what was revoked: 200, and nothing is learned.  But no
client is told that its own token has ended when it has not.
Rule 2: with the access token of a public client whoever holds it can do this: it takes nothing but itself.  A refresh
token takes its grant along, so one that is bound to a certificate asks for that.
"""

from certbound.core.authentication import AuthenticatedClient, digest_of
from certbound.core.errors import InvalidGrant
from certbound.core.grants.refresh_token import read
from certbound.core.metadata import REVOCATION
from certbound.server.authentication import authenticated_client
from certbound.server.call import NO_STORE, Call, Reply
from certbound.server.inspection import NotLive, read_access_token
from certbound.server.introspection import REFRESH
from certbound.server.service import Service


async def revoke(call: Call, service: Service) -> Reply:
    """The token does not count any more; with a refresh token, nothing of its grant does."""
    # (1) Who gives it back is its client.
    authenticated = await authenticated_client(call, service, REVOCATION)
    token = call.form.require("token")
    # (2) What it gives back is its own.
    end = _revoke_grant if token.startswith(REFRESH) else _revoke_access_token
    try:
        await end(token, authenticated, call, service)
    except NotLive as why:
        call.notes.reason = f"nothing ended: {why}"
    return Reply(200, b"", NO_STORE)


async def _revoke_access_token(token: str, authenticated: AuthenticatedClient, call: Call, service: Service) -> None:
    client_id = authenticated.client.client_id
    live = await read_access_token(token, service, call.now, lambda claims: claims.get("client_id") == client_id)
    await service.statuses.invalidate(live.index, until=live.claims["exp"])
    call.notes.jti = live.claims["jti"]


async def _revoke_grant(token: str, authenticated: AuthenticatedClient, call: Call, service: Service) -> None:
    found = await service.store.grants.find(digest_of(token), now=call.now)
    if found is None:
        raise NotLive("the refresh token is none of this server")
    if found.grant.client_id != authenticated.client.client_id:
        raise NotLive(f"the refresh token of the grant {found.grant.grant_id} is of another client")
    try:
        granted = read(found.grant.content, client_id=found.grant.client_id, grant_id=found.grant.grant_id)
    except InvalidGrant as error:
        raise NotLive(str(error)) from error
    # (3) One that is bound to a certificate is given back over that: who found an old one cannot end a family.
    if granted.holder and (call.peer is None or call.peer.leaf.thumbprint != granted.holder):
        raise InvalidGrant(f"the refresh token is bound to the certificate {granted.holder}, and given back without it")
    await service.store.grants.revoke(found.grant.grant_id, now=call.now)
    service.statuses.forget()
    call.notes.grant_id = found.grant.grant_id
