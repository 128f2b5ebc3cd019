"""`GET` and `POST /account`: what a person lets clients do."""

from certbound.server.call import Call, Reply
from certbound.server.interactions import require_login
from certbound.server.service import Service


async def account(call: Call, service: Service) -> Reply:
    """The person's own page."""
    found = await require_login(call, service, then="/account")
    if isinstance(found, Reply):
        return found
    raise NotImplementedError
