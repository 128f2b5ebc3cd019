"""A token request whose client is known, and what a grant makes of it: what the endpoint and each grant share."""

from collections.abc import Awaitable, Callable, Mapping

import msgspec

from certbound.core.authentication import AuthenticatedClient
from certbound.core.certificate import Certificate
from certbound.core.grants import TokenRequest
from certbound.core.grants.authorization_code import Agreed
from certbound.core.ports import Origin
from certbound.core.tokens import Grant
from certbound.server.call import Call
from certbound.server.service import Service


class Asked(msgspec.Struct, frozen=True):
    """A token request whose client is known."""

    call: Call
    service: Service
    authenticated: AuthenticatedClient
    request: TokenRequest


async def _no_refresh_token(_: Certificate | None) -> None:
    return None


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """What a grant gives."""

    grant: Grant
    refresh_token: Callable[[Certificate | None], Awaitable[str | None]] = _no_refresh_token
    """Makes or replaces the refresh token that is answered, if one is; told the certificate of the access token."""
    members: Mapping[str, str] = {}
    """More members of the answer."""
    origin: Origin | None = None
    """What it was obtained from, if from a token: it ends with that."""
    code: Agreed | None = None
    """What a person agreed to, where this is the first that is given for it."""
    person: str = ""
    """Who agreed, whatever tokens call them."""
