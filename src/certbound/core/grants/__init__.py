"""The grants, one file each; a new one is a new row in `certbound.server.grants`."""

from certbound.core.grants import authorization_code, client_credentials, device_code, refresh_token, token_exchange
from certbound.core.grants._request import Policy, TokenRequest, grant_audience, narrowed

__all__ = ["GRANT_TYPES", "Policy", "TokenRequest", "grant_audience", "narrowed"]

GRANT_TYPES = frozenset(
    {each.GRANT_TYPE for each in (client_credentials, refresh_token, token_exchange, authorization_code, device_code)}
)
"""What there is; which are on, the deployment says."""
