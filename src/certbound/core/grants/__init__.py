"""The grants, one file each; a new one is a new row in `certbound.server.grants`."""

from certbound.core.grants import client_credentials, refresh_token, token_exchange
from certbound.core.grants._request import Policy, TokenRequest, grant_audience, narrowed

__all__ = ["GRANT_TYPES", "Policy", "TokenRequest", "grant_audience", "narrowed"]

GRANT_TYPES = frozenset({client_credentials.GRANT_TYPE, refresh_token.GRANT_TYPE, token_exchange.GRANT_TYPE})
