"""`GET` and `POST /interactions/ID`: what a login application of the deployment asks and says."""

from certbound.server.call import Call, Reply
from certbound.server.service import Service


async def show(call: Call, service: Service) -> Reply:
    """What waits for a person."""
    raise NotImplementedError


async def decide(call: Call, service: Service) -> Reply:
    """Who the person is, or that they are nobody."""
    raise NotImplementedError
