"""`POST /par` (RFC 9126): authorization requests that wait behind a `request_uri`.

Rule 1: what is pushed is read as at the authorization endpoint, and what is wrong with it is said here.
Rule 2: a `request_uri` is its client's, leads to the page for a short time, and is used up by the answer: a page may be
loaded again, and a person may take longer to decide (FAPI 2.0 Security Profile section 5.3.2.2).
"""

import msgspec

from certbound.core.authentication import digest_of
from certbound.core.authorization import (
    AuthorizationError,
    AuthorizationRequest,
    find_return,
    read_request,
)
from certbound.core.clients import Client
from certbound.core.errors import InvalidRequest, RequestRefused
from certbound.core.metadata import PUSHED
from certbound.core.ports import TicketKind, TicketRecord
from certbound.core.scope import Scope, format_scope
from certbound.server.authentication import authenticated_client
from certbound.server.call import NO_STORE, Call, Reply, json_reply
from certbound.server.service import Service, people_of
from certbound.server.strangers import admit

PREFIX = "urn:ietf:params:oauth:request_uri:"


async def push(call: Call, service: Service) -> Reply:
    """A `request_uri` for what the body asks for, or the error of RFC 9126 section 2.3."""
    # (1) The client is who it says, or one that has nothing to prove.
    authenticated = await authenticated_client(call, service, PUSHED)
    client = authenticated.client
    # (2) It asks as it would at the authorization endpoint.
    try:
        to = find_return(call.form.values, client)
        request = read_request(call.form.values, client, service.policy, to)
    except AuthorizationError as refusal:
        raise RequestRefused(refusal.reason, error=refusal.error, description=refusal.description) from refusal
    call.notes.scope, call.notes.audience = format_scope(Scope(frozenset(request.scope))), " ".join(request.resources)
    # (3) Not too much is kept for those who prove nothing.
    admit(authenticated, call, service)
    # (4) What it asked for is kept, and nothing else of what it sent.
    reference = await keep_request(request, service, call.now)
    return json_reply(201, {"request_uri": reference, "expires_in": people_of(service).pushed_lifetime}, NO_STORE)


async def keep_request(request: AuthorizationRequest, service: Service, now: float) -> str:
    """The `request_uri` behind which it waits."""
    people = people_of(service)
    reference = PREFIX + service.new_secret()
    record = TicketRecord(
        kind=TicketKind.PUSHED_REQUEST,
        digest=digest_of(reference),
        content=msgspec.to_builtins(request),
        created_at=now,
        # It leads to the page no longer than it says, and is there to be used up as long as a person may take then.
        ends_at=now + people.pushed_lifetime + people.request_lifetime,
    )
    await service.store.tickets.add(record)
    return reference


def is_reference(text: str) -> bool:
    """Whether it is a `request_uri` of the kind that we make."""
    return text.startswith(PREFIX)


async def find_pushed(reference: str, client: Client, service: Service, now: float) -> AuthorizationRequest:
    """What `client` pushed, still to be answered.  `InvalidRequest` (400), to be shown to the person, otherwise.

    Whether the client may still ask for it is not looked at here: what it is told then answers the request.
    """
    record = await service.store.tickets.find(TicketKind.PUSHED_REQUEST, digest_of(reference), now=now)
    # (1) It is there, and this client's: to another it is as if it were not.
    request = None if record is None else _read(record)
    if record is None or request is None or request.client_id != client.client_id:
        raise InvalidRequest(_NONE)
    # (2) Its time is not over, and it was not answered.
    if now > record.created_at + people_of(service).pushed_lifetime:
        raise InvalidRequest(_NONE)
    if record.taken_at is not None:
        raise InvalidRequest(f"this request was answered already; {_AGAIN}")
    return request


def _read(record: TicketRecord) -> AuthorizationRequest | None:
    try:
        return msgspec.convert(record.content, AuthorizationRequest)
    except msgspec.ValidationError:
        return None


_AGAIN = "go back to the app and start again"
_NONE = f"request_uri is none of this app, or its time is over; {_AGAIN}"
