"""The grants at work: what is loaded, what `core.grants` decides of it, and what is changed when nothing refused."""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256

import msgspec

from certbound.core.authentication import digest_of
from certbound.core.certificate import Certificate
from certbound.core.errors import InvalidGrant, InvalidRequest, UnacceptableToken, UnauthorizedClient
from certbound.core.grants import (
    TokenRequest,
    authorization_code,
    client_credentials,
    device_code,
    refresh_token,
    token_exchange,
)
from certbound.core.ports import GrantRecord, Origin, RefreshTokenRecord, Rotation
from certbound.core.tokens import Grant
from certbound.server.asked import Asked, Given
from certbound.server.codes import redeem_code, redeem_device_code
from certbound.server.inspection import NotLive, read_access_token
from certbound.server.opening import Opening, end_grant, require_open


async def _client_credentials(asked: Asked) -> Given:
    return Given(grant=client_credentials.grant(asked.authenticated, asked.request, asked.service.policy))


async def _refresh(asked: Asked) -> Given:
    """RFC 6749 section 6."""
    call, service = asked.call, asked.service
    token = asked.call.form.require("refresh_token")
    digest = digest_of(token)
    # (1) One question, whatever the token is.
    found = await service.store.grants.find(digest, now=call.now)
    # (2) It is the client's, and presented with what it is bound to.
    grant, granted = refresh_token.refresh(found, asked.authenticated, call.peer, asked.request, service.policy)
    call.notes.grant_id = grant.grant_id
    assert found is not None  # else `refresh` had refused
    person = found.grant.subject
    origin = Origin(index=None, sources=found.grant.sources) if found.grant.sources else None
    # (3) Nobody locked out the person that it is from.
    if person:
        await require_open(person, found.account, service)
    if not granted.rotates:
        return Given(grant=grant, origin=origin, person=person)
    # (4) One that was replaced, and not a moment ago, is in two hands: the family ends.
    if _is_reused(found, call.now, service.refresh.grace):
        await end_grant(asked, grant.grant_id)
        raise InvalidGrant("the refresh token was replaced before; its grant is revoked now")

    async def rotate(_: Certificate | None) -> str:
        # (5) Replaced once, whoever comes first: the successor follows from the token, so all who come get the same.
        successor = _successor(found.grant, token)
        rotation = await service.store.grants.rotate(
            digest, digest_of(successor), now=call.now, grace=service.refresh.grace
        )
        if rotation not in (Rotation.REPLACED, Rotation.REPEATED):
            service.statuses.forget()  # it may have ended the family
            raise InvalidGrant(f"the refresh token cannot be replaced: {rotation}")
        return successor

    return Given(grant=grant, refresh_token=rotate, origin=origin, person=person)


async def _exchange(asked: Asked) -> Given:
    """RFC 8693 section 2."""
    call, service, form = asked.call, asked.service, asked.call.form
    # (1) The caller has proven who it is, and asks for what there is.
    token_exchange.require_authenticated(asked.authenticated)
    if form.one("actor_token") is not None:
        raise InvalidRequest("actor_token is not taken here: who exchanges is who acts")
    if form.require("subject_token_type") not in token_exchange.SUBJECT_TYPES:
        raise InvalidRequest("subject_token_type must be that of an access token of this server")
    wanted = form.one("requested_token_type") or token_exchange.ACCESS_TOKEN
    if wanted not in token_exchange.REQUESTED_TYPES:
        raise InvalidRequest("requested_token_type must be that of an access token or a refresh token")
    client = asked.authenticated.client
    if wanted == token_exchange.REFRESH_TOKEN and refresh_token.GRANT_TYPE not in client.grant_types:
        raise UnauthorizedClient(f"{client.client_id} may not use {refresh_token.GRANT_TYPE}")
    # (2) The subject token is valid now, and meant for the caller; which of the two it was not, the log says.
    try:
        live = await read_access_token(form.require("subject_token"), service, call.now, lambda claims: True)
    except NotLive as why:
        raise UnacceptableToken(f"the subject token is not valid: {why}") from why
    request = TokenRequest(scope=asked.request.scope, resources=[*asked.request.resources, *form.all("audience")])
    grant = token_exchange.exchange(live.claims, asked.authenticated, request, service.policy)
    # (3) What is given ends with whatever would have ended the subject token, and that is not over yet.
    origin = await service.store.revocations.origin(live.index)
    if origin is None:
        raise UnacceptableToken("the subject token was revoked a moment ago")
    members = {"issued_token_type": token_exchange.ACCESS_TOKEN}
    if wanted == token_exchange.ACCESS_TOKEN:
        return Given(grant=grant, members=members, origin=origin)
    # (4) A refresh token outlives the subject token: whoever registered the client let it have one.
    opened, refresh = opening(asked, grant, origin)
    return Given(grant=opened, refresh_token=refresh, members=members, origin=origin)


def opening(asked: Asked, grant: Grant, origin: Origin | None = None) -> tuple[Grant, Opening]:
    """`grant` with an id of its own, and what opens it and makes its first refresh token."""
    opened = msgspec.structs.replace(grant, grant_id=asked.service.new_id())
    return opened, Opening(asked=asked, grant=opened, origin=origin)


def _is_reused(found: RefreshTokenRecord, now: float, grace: float) -> bool:
    return found.replaced_at is not None and (found.is_successor_used or now - found.replaced_at > grace)


def _successor(grant: GrantRecord, token: str) -> str:
    """The same for the same token, and nobody can tell it who has not both the token and our database."""
    made = hmac.digest(grant.seed.encode(), token.encode(), sha256)
    return refresh_token.PREFIX + urlsafe_b64encode(made).rstrip(b"=").decode("ascii")


GRANTS: Mapping[str, Callable[[Asked], Awaitable[Given]]] = {
    client_credentials.GRANT_TYPE: _client_credentials,
    refresh_token.GRANT_TYPE: _refresh,
    token_exchange.GRANT_TYPE: _exchange,
    authorization_code.GRANT_TYPE: redeem_code,
    device_code.GRANT_TYPE: redeem_device_code,
}
