"""`GET` and `POST /interactions/ID`: what a login application of the deployment asks and says.

People are sent to it with `?interaction=ID`.  It asks here who wants what, finds out who the person is, says so here,
and sends the browser to where the answer says.

Rule 1: who speaks here may log anybody in, so it proves who it is by a certificate on the connection: that of one of
`login.clients`.
Rule 2: what it says counts for the browser that it sends back with the proof in the answer, and that began the request:
else whoever sent a link to his own request to somebody else would find himself logged in as them.
Rule 3: its last word counts, until the request is answered.
Rule 4: a login that the client cannot have meant is refused here, where somebody can do something about it: of a time
that is over, of a subject that is a client's (RFC 9700 section 4.15).
"""

from dataclasses import replace
from typing import Any

import msgspec

from certbound.core.authentication import Accepted, AuthenticatedClient, authenticate, digest_of
from certbound.core.authorization import AuthorizationRequest, Prompt
from certbound.core.clients import Client, Method
from certbound.core.credentials import Presented
from certbound.core.errors import InvalidClient, InvalidRequest
from certbound.core.interaction import Waiting, read_waiting, write_waiting
from certbound.core.login import Login
from certbound.core.people import is_subject
from certbound.core.ports import TicketKind, TicketRecord
from certbound.server.authorization import INTERACTION
from certbound.server.call import NO_STORE, Call, Reply, json_reply
from certbound.server.openid import hinted_subject
from certbound.server.service import Service, people_of

INTERACTIONS = "/interactions/"
"""The path below the issuer, or the mutual-TLS host; the id stands behind it."""
LEEWAY = 60
"""Seconds by which the application's clock may be wrong."""
MAX_ACR = 255
MAX_METHODS = 16
MAX_DESCRIPTION = 500
"""Characters, and how many."""


async def show(call: Call, service: Service) -> Reply:
    """What waits for a person: which client asks for what, and what it wants of the login."""
    # (1) The login application asks.
    await _login_application(call, service)
    # (2) Something waits.
    _, waiting = await _find(call, service)
    request = waiting.request
    document: dict[str, Any] = {"interaction": call.rest, "client": None}
    if waiting.anew:
        document["prompt"] = Prompt.LOGIN.value
    if request is not None:
        document = await _describe(request, service, document)
    return json_reply(200, document, NO_STORE)


async def decide(call: Call, service: Service) -> Reply:
    """Who the person is, or that they are nobody; the answer says where the browser goes on."""
    # (1) The login application says so.
    await _login_application(call, service)
    # (2) It says one of two things, in full.
    said = _read(call.body)
    # (3) Something waits.
    ticket, waiting = await _find(call, service)
    # (4) The login is one that counts for what waits.
    login = None if said.accept is None else await _login(said.accept, ticket, waiting, call, service)
    # (5) It is told to one browser.
    proof = service.new_secret()
    rejected = said.reject or _Reject()
    changed = msgspec.structs.replace(
        waiting,
        login=login,
        rejected="" if login else rejected.error,
        because="" if login else rejected.error_description,
        proof=digest_of(proof),
    )
    if not await service.store.tickets.change(replace(ticket, content=write_waiting(changed)), now=call.now):
        raise InvalidRequest("the request was changed or answered at the same time; ask again", status=409)
    if login:
        call.notes.subject = login.subject
    else:
        call.notes.reason = f"nobody is logged in: {rejected.error}"
    back = f"{service.offer.issuer}{INTERACTION}{call.rest}?proof={proof}"
    return json_reply(200, {"redirect_to": back}, NO_STORE)


class _Accept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    subject: str
    auth_time: float | None = None
    acr: str = ""
    amr: tuple[str, ...] = ()


class _Reject(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    error: str = "access_denied"
    error_description: str = "nobody was logged in"


class _Said(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    accept: _Accept | None = None
    reject: _Reject | None = None


async def _login_application(call: Call, service: Service) -> AuthenticatedClient:
    """The client that sent the request, one of `login.clients`, by mutual TLS.  `InvalidClient` (401) otherwise."""
    methods = {each for each in Method if each.is_mutual_tls} & service.offer.methods
    refusal = InvalidClient("no client is named in login.clients")
    for client_id in sorted(people_of(service).login_clients):
        try:
            authenticated = await authenticate(
                await service.clients.find(client_id),
                Presented(client_id),
                call.peer,
                accepted=Accepted(methods=methods, issuer=service.offer.issuer),
                sources=service.sources,
                revoked=service.clients.revoked,
                now=call.now,
            )
        except InvalidClient as error:
            refusal = InvalidClient(f"{client_id!r}, of login.clients: {error.reason}")
            refusal.step = error.step
            continue
        call.notes.client_id = client_id
        call.notes.method = authenticated.client.method
        return authenticated
    raise refusal


async def _find(call: Call, service: Service) -> tuple[TicketRecord, Waiting]:
    ticket = await service.store.tickets.find(TicketKind.INTERACTION, digest_of(call.rest), now=call.now)
    waiting = None if ticket is None or ticket.taken_at is not None else read_waiting(ticket.content)
    if ticket is None or waiting is None:
        raise InvalidRequest("nothing waits under this id; it was answered, or its time is over", status=404)
    return ticket, waiting


async def _describe(request: AuthorizationRequest, service: Service, document: dict[str, Any]) -> dict[str, Any]:
    """As the names of the authorization request have it; what was not said is left out."""
    client = await service.clients.find(request.client_id)
    told = {
        "subject": await _hinted(request, client, service),
        "scope": " ".join(request.scope),
        "resource": list(request.resources),
        "prompt": " ".join(sorted(request.prompt)),
        "max_age": request.max_age,
        "login_hint": request.login_hint,
        "acr_values": " ".join(request.acr_values),
        "ui_locales": " ".join(request.ui_locales),
    }
    shown = {"client_id": request.client_id, **({"client_name": client.name} if client and client.name else {})}
    return {**document, "client": shown, **{name: value for name, value in told.items() if value not in (None, "", [])}}


async def _hinted(request: AuthorizationRequest, client: Client | None, service: Service) -> str | None:
    """The person whom the client's `id_token_hint` names, if it does."""
    if client is None or not request.id_token_hint:
        return None
    return await hinted_subject(service, client, request.id_token_hint)


def _read(body: bytes) -> _Said:
    """What it says.  `InvalidRequest` (400) names what is wrong."""
    try:
        said = msgspec.json.decode(body, type=_Said)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"the body must be a JSON object with accept or reject: {error}") from error
    if (said.accept is None) == (said.reject is None):
        raise InvalidRequest("say either accept or reject")
    if said.reject is not None and said.reject.error not in REJECTIONS:
        raise InvalidRequest(f"reject.error must be one of {', '.join(sorted(REJECTIONS))}")
    if said.reject is not None and len(said.reject.error_description) > MAX_DESCRIPTION:
        raise InvalidRequest(f"reject.error_description has more than {MAX_DESCRIPTION} characters")
    return said


async def _login(said: _Accept, ticket: TicketRecord, waiting: Waiting, call: Call, service: Service) -> Login:
    """`InvalidRequest` (400) if it is none that counts."""
    # (a) Tokens can call the person so, and call no client so.
    if not is_subject(said.subject):
        raise InvalidRequest("accept.subject must be 1 to 255 printable ASCII characters without space")
    if await service.clients.find(said.subject) is not None:
        raise InvalidRequest("accept.subject is the client_id of a client; a person needs another (RFC 9700, 4.15)")
    request = waiting.request
    client = await service.clients.find(request.client_id) if request is not None else None
    if request is not None and await _hinted(request, client, service) not in (None, said.subject):
        raise InvalidRequest("accept.subject is not the person whom the client means; that is `subject` of the GET")
    # (b) It happened, and not too long ago for what the client asks.
    auth_time = call.now if said.auth_time is None else said.auth_time
    if not 0 <= auth_time <= call.now + LEEWAY:
        raise InvalidRequest("accept.auth_time must be seconds since the epoch, and not in the future")
    if request is not None and request.max_age is not None and call.now - auth_time > request.max_age + LEEWAY:
        raise InvalidRequest("accept.auth_time is longer ago than the max_age that the client asks for")
    is_new = waiting.anew or (request is not None and Prompt.LOGIN in request.prompt)
    if is_new and auth_time < ticket.created_at - LEEWAY:
        raise InvalidRequest("accept.auth_time is before this request, and the client asks for a new login")
    # (c) What it says of how fits into a token.
    if len(said.amr) > MAX_METHODS or any(
        len(each) > MAX_ACR or not each.isprintable() for each in (said.acr, *said.amr)
    ):
        raise InvalidRequest(f"accept.acr and each of accept.amr are printable, of {MAX_ACR} characters at most")
    # What was done for a page is not from before it, whichever clock is wrong: else the page would ask for ever.
    earliest = ticket.created_at if waiting.anew else 0.0
    return Login(subject=said.subject, auth_time=min(max(auth_time, earliest), call.now), acr=said.acr, amr=said.amr)


REJECTIONS = frozenset({
    "access_denied", "login_required", "account_selection_required", "interaction_required", "consent_required",
    "unmet_authentication_requirements", "temporarily_unavailable", "server_error",
})  # fmt: skip
"""What the client can be told (RFC 6749 section 4.1.2.1, OpenID Connect Core section 3.1.2.6)."""
