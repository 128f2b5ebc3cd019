"""The grants, one file each; a new one is a new row."""

from collections.abc import Mapping

from certbound.core.grants import client_credentials
from certbound.core.grants._request import GrantHandler, Policy, TokenRequest

__all__ = ["GRANTS", "GrantHandler", "Policy", "TokenRequest"]

GRANTS: Mapping[str, GrantHandler] = {client_credentials.GRANT_TYPE: client_credentials.grant}
