"""The client credentials grant (RFC 6749 section 4.4): the client asks for itself."""

from certbound.core.authentication import AuthenticatedClient
from certbound.core.certificate import Certificate
from certbound.core.grants._request import Policy, TokenRequest, grant_audience
from certbound.core.scope import Scope, grant_scope
from certbound.core.tokens import Grant

GRANT_TYPE = "client_credentials"


def grant(
    authenticated: AuthenticatedClient, request: TokenRequest, policy: Policy, certificate: Certificate | None
) -> Grant:
    """`InvalidScope` or `InvalidTarget` (400) if more is asked for than there is."""
    client = authenticated.client
    return Grant(
        client_id=client.client_id,
        subject=client.client_id,
        audience=grant_audience(request.resources, policy.resources),
        scope=grant_scope(request.scope, Scope(client.scope & policy.scope)),
        certificate=certificate,
    )
