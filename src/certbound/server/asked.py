"""A token request whose client is known: what every grant is handed."""

import msgspec

from certbound.core.authentication import AuthenticatedClient
from certbound.core.grants import TokenRequest
from certbound.server.call import Call
from certbound.server.service import Service


class Asked(msgspec.Struct, frozen=True):
    """A token request whose client is known."""

    call: Call
    service: Service
    authenticated: AuthenticatedClient
    request: TokenRequest
