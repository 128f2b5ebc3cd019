"""The client credentials grant (RFC 6749 section 4.4): the client asks for itself."""

from certbound.core.authentication import AuthenticatedClient
from certbound.core.errors import UnauthorizedClient
from certbound.core.grants._request import Policy, TokenRequest, grant_audience
from certbound.core.proofs import NothingProven
from certbound.core.scope import Scope, grant_scope
from certbound.core.tokens import Grant

GRANT_TYPE = "client_credentials"


def grant(authenticated: AuthenticatedClient, request: TokenRequest, policy: Policy) -> Grant:
    """`InvalidScope` or `InvalidTarget` (400) if more is asked for than there is, `UnauthorizedClient` if a public
    client asks: it has no credentials.
    """
    client = authenticated.client
    if isinstance(authenticated.proof, NothingProven):
        raise UnauthorizedClient("a public client has no credentials (RFC 6749 section 4.4)")
    return Grant(
        client_id=client.client_id,
        subject=client.client_id,
        audience=grant_audience(request.resources, policy.resources, policy.resources[:1]),
        scope=grant_scope(request.scope, Scope(client.scope & policy.scope)),
    )
