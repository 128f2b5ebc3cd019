"""`POST /token` (RFC 6749 section 3.2, RFC 8705 sections 2 and 3).

The numbers are the order, and the order is the security: nothing of the grant is read before the client is
authenticated, and nothing is signed before the certificate it is bound to is known.
"""

import logging

from certbound.core.authentication import authenticate
from certbound.core.binding import choose_certificate
from certbound.core.errors import UnauthorizedClient, UnsupportedGrantType
from certbound.core.grants import GRANTS, TokenRequest
from certbound.core.scope import format_scope
from certbound.core.tokens import claims_of, sign
from certbound.server.call import NO_STORE, Call, Reply, json_reply
from certbound.server.service import Service

_log = logging.getLogger("certbound.server")


async def token(call: Call, service: Service) -> Reply:
    """A bound access token, or the error of RFC 6749 section 5.2."""
    form = call.form
    # (1) The client says who it is, in the body and once (RFC 8705 section 2): a claim, not a credential.
    client_id = form.require("client_id")
    # (2) The claim is proven by the connection.
    client = await service.clients.find(client_id)
    authenticated = await authenticate(
        client, call.peer, sources=service.sources, revoked=service.clients.revoked, now=call.now
    )
    # (3) The grant is one we speak and the client may use.
    grant_type = form.require("grant_type")
    if grant_type not in GRANTS:
        raise UnsupportedGrantType(f"grant_type {grant_type!r}")
    if grant_type not in authenticated.client.grant_types:
        raise UnauthorizedClient(f"{client_id} may not use {grant_type}")
    # (4) The certificate the token will be bound to is there, or there is no token.
    certificate = choose_certificate(authenticated.client, call.peer, service.bind)
    # (5) The grant gives no more than the client and the deployment have.
    request = TokenRequest(scope=form.one("scope"), resources=form.all("resource"))
    grant = GRANTS[grant_type](authenticated, request, service.policy, certificate)
    # (6) It is known where it will stand whether the token was revoked, and that it is not by now.
    status = await service.statuses.reference(authenticated, now=call.now, lifetime=service.lifetime)
    # (7) Only now is anything signed.
    claims = claims_of(
        grant, issuer=service.offer.issuer, now=call.now, lifetime=service.lifetime, jti=service.new_id(), status=status
    )
    access_token = sign(claims, service.keys[0])
    _log.debug("token %s issued to %s", claims["jti"], client_id)
    answer = {
        "access_token": access_token,
        "token_type": "Bearer",
        "expires_in": service.lifetime,
        "scope": format_scope(grant.scope),
    }
    return json_reply(200, answer, NO_STORE)
