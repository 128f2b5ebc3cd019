"""`POST /token` (RFC 6749 section 3.2, RFC 8705 sections 2 to 4).

The numbers are the order, and the order is the security: nothing of the grant is read before the client is
authenticated, nothing is changed before everything that can refuse has been asked, and nothing is signed before the
certificate it is bound to is known.
"""

from certbound.core.authentication import digest_of
from certbound.core.binding import choose_certificate
from certbound.core.clients import TokenFormat
from certbound.core.errors import UnauthorizedClient, UnsupportedGrantType
from certbound.core.grants import TokenRequest
from certbound.core.metadata import TOKEN
from certbound.core.ports import AccessTokenRecord
from certbound.core.scope import format_scope
from certbound.core.tokens import choose_format, claims_of, sign
from certbound.server.authentication import authenticated_client
from certbound.server.call import NO_STORE, Call, Reply, json_reply
from certbound.server.grants import GRANTS, Asked
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
    if grant_type not in GRANTS:
        raise UnsupportedGrantType(f"grant_type {grant_type!r:.80}")
    if grant_type not in client.grant_types:
        raise UnauthorizedClient(f"{client.client_id} may not use {grant_type}")
    # (3) The grant gives no more than the client and the deployment have; nothing is changed yet.
    request = TokenRequest(scope=form.one("scope"), resources=form.all("resource"))
    given = await GRANTS[grant_type](Asked(call, service, authenticated, request))
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
    status = await service.statuses.reference(
        StatusOwner.of(authenticated, certificate, grant.grant_id, given.origin),
        now=call.now,
        lifetime=service.lifetime,
    )
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
    if choose_format(client, grant.audience, service.opaque) is TokenFormat.OPAQUE:
        access_token = "cbat_" + service.new_secret()
        record = AccessTokenRecord(digest=digest_of(access_token), claims=claims, ends_at=claims["exp"])
        await service.store.tokens.add(record)
    else:
        access_token = sign(claims, service.keys.signing)
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
    return json_reply(200, answer, NO_STORE)
