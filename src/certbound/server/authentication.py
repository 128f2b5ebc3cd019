"""Whose request is it?  Every endpoint that needs a client asks here, so that none can ask less."""

from certbound.core.authentication import AuthenticatedClient, authenticate
from certbound.core.credentials import read_credentials
from certbound.server.call import Call
from certbound.server.service import Service


async def authenticated_client(call: Call, service: Service, endpoint: str) -> AuthenticatedClient:
    """The client that sent the request to `endpoint`, a name of the metadata.

    `InvalidRequest` (400) or `InvalidClient` (401) otherwise.
    """
    form = call.form
    # (1) The request says who sends it, and shows one credential at most: claims, not proofs.
    presented = read_credentials(
        authorization=call.authorization,
        client_id=form.one("client_id"),
        client_secret=form.one("client_secret"),
        client_assertion=form.one("client_assertion"),
        client_assertion_type=form.one("client_assertion_type"),
    )
    call.notes.client_id = presented.client_id
    # (2) The claim is proven, by the method that the client registered.
    client = await service.clients.find(presented.client_id)
    authenticated = await authenticate(
        client,
        presented,
        call.peer,
        accepted=service.accepted[endpoint],
        sources=service.sources,
        revoked=service.clients.revoked,
        now=call.now,
    )
    call.notes.method = authenticated.client.method
    return authenticated
