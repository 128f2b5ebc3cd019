"""`POST /token` (RFC 6749 section 3.2, RFC 8705 sections 2 to 4).

The numbers are the order, and the order is the security: nothing of the grant is read before the client is
authenticated, nothing is changed before everything that can refuse has been asked, and nothing is signed before the
certificate it is bound to is known.
"""

from typing import Any

from certbound.core.authentication import digest_of
from certbound.core.authorization import OPENID
from certbound.core.binding import choose_certificate
from certbound.core.clients import TokenFormat
from certbound.core.errors import InvalidClient, InvalidGrant, UnauthorizedClient, UnsupportedGrantType
from certbound.core.grants import TokenRequest
from certbound.core.metadata import TOKEN
from certbound.core.ports import AccessTokenRecord
from certbound.core.scope import format_scope
from certbound.core.status import StatusReference
from certbound.core.tokens import choose_format, claims_of, sign
from certbound.server.asked import Asked
from certbound.server.authentication import authenticated_client
from certbound.server.call import NO_STORE, Call, Reply, json_reply
from certbound.server.grants import GRANTS
from certbound.server.openid import id_token
from certbound.server.service import Service
from certbound.server.statuses import StatusOwner


async def token(call: Call, service: Service) -> Reply:
    """A bound access token, or the error of RFC 6749 section 5.2."""
    form = call.form
    # (1) The client is who it says, or one that has nothing to prove.
    authenticated = await authenticated_client(call, service, TOKEN)
    client = authenticated.client
    # (2) The grant is one we speak and the client may use.
    grant_type = form.require("grant_type")
    if grant_type not in service.offer.grant_types:
        raise UnsupportedGrantType(f"grant_type {grant_type!r:.80}")
    if grant_type not in client.grant_types:
        raise UnauthorizedClient(f"{client.client_id} may not use {grant_type}")
    request = TokenRequest(scope=form.one("scope"), resources=form.all("resource"))
    asked = Asked(call, service, authenticated, request)
    code = form.one("code") or form.one("device_code")
    if code is None:
        return await _answer(asked, grant_type)
    # Whoever redeems a code has the answer before the next one who has that code is heard.
    async with service.turns.of(code):
        return await _answer(asked, grant_type)


async def _answer(asked: Asked, grant_type: str) -> Reply:
    call, service, authenticated = asked.call, asked.service, asked.authenticated
    client = authenticated.client
    # (3) The grant gives no more than the client and the deployment have; nothing is changed yet.
    given = await GRANTS[grant_type](asked)
    grant = given.grant
    scope = format_scope(grant.scope)
    call.notes.scope, call.notes.audience = scope, " ".join(grant.audience)
    # (4) The certificate the token will be bound to is there, or there is no token.
    certificate = choose_certificate(
        authenticated, call.peer, service.bind, revoked=service.clients.revoked, is_bound_before=grant.is_bound
    )
    # (5) The refresh token, if there is one, is given or replaced: of this request, nothing is left that could refuse.
    refresh_token = await given.refresh_token(certificate)
    # (6) It is known where it will stand whether the token was revoked, and that nothing of it is by now, nor of that
    # from which it is obtained.
    status = await _status(StatusOwner.of(authenticated, certificate, grant.grant_id, given.origin), asked)
    # (7) Only now is anything signed, or kept under a name that nobody can guess.
    claims = claims_of(
        grant,
        certificate=certificate,
        issuer=service.offer.issuer,
        now=call.now,
        lifetime=service.lifetime,
        jti=service.new_id(),
        status=status,
    )
    access_token = await _token_of(claims, choose_format(client, grant.audience, service.opaque), service)
    call.notes.jti = claims["jti"]
    answer = {
        "access_token": access_token,
        "token_type": "Bearer",
        "expires_in": claims["exp"] - claims["iat"],
        "scope": scope,
        **given.members,
    }
    if refresh_token is not None:
        answer["refresh_token"] = refresh_token
    # (8) The client learns who agreed, if the person agreed to that; and the person, who goes on to use it.
    if given.code is not None and service.offer.openid and OPENID in grant.scope:
        answer["id_token"] = id_token(
            service, client, given.code, subject=grant.subject, access_token=access_token, now=call.now
        )
    if given.person and given.code is None:
        await service.uses.note(service.store, given.person, client.client_id, certificate, now=call.now)
    return json_reply(200, answer, NO_STORE)


async def _token_of(claims: dict[str, Any], form: TokenFormat, service: Service) -> str:
    """The access token that stands for these claims."""
    if form is TokenFormat.OPAQUE:
        access_token = "cbat_" + service.new_secret()
        record = AccessTokenRecord(digest=digest_of(access_token), claims=claims, ends_at=claims["exp"])
        await service.store.tokens.add(record)
        return access_token
    key = service.keys.signing
    access_token = sign(claims, key)
    service.signed.keep(access_token, key)
    return access_token


async def _status(owner: StatusOwner, asked: Asked) -> StatusReference:
    """Where the status of the token will stand.  `InvalidClient` (401), or `InvalidGrant` (400) of what has a grant."""
    service = asked.service
    try:
        return await service.statuses.reference(owner, now=asked.call.now, lifetime=service.lifetime)
    except InvalidClient as error:  # it was one a moment ago; what was revoked meanwhile ended its grants
        if owner.grant_id:
            raise InvalidGrant(error.reason) from error
        raise
