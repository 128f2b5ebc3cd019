"""`GET` and `POST /authorize` (RFC 6749 section 4.1.1, RFC 9126 section 4, OpenID Connect Core section 3.1.2).

Rule 1: until the client is known and the redirect URI is one of its own, what is wrong is shown to the person.
Rule 2: every answer to a client says who answers (`iss`, RFC 9207) and to which request (`state`), errors too.
Rule 3: a request is answered once: what it waits behind is taken before the code is made, and whoever comes second is
shown that.
Rule 4: what was true when a request came is asked again when it is answered: a client may be gone by then.
Rule 5: where the store is away, or a defect of ours is met, a client whose request is known is told so, for no redirect
can be a 503 or a 500; before that, and on a page whose button can be pressed again, the person is.
"""

import logging
from collections.abc import Awaitable, Mapping
from urllib.parse import urlsplit

import msgspec

from certbound.core.authentication import digest_of
from certbound.core.authorization import (
    AuthorizationError,
    AuthorizationRequest,
    ReturnTo,
    find_return,
    read_request,
    require_current,
)
from certbound.core.clients import Client, Method
from certbound.core.errors import CertboundError, InvalidRequest, StoreUnavailable, TemporarilyUnavailable
from certbound.core.grants import authorization_code
from certbound.core.grants.authorization_code import Code
from certbound.core.interaction import Cleared, Step, Waiting, next_step, write_waiting
from certbound.core.login import login_of
from certbound.core.metadata import AUTHORIZATION, PAGES
from certbound.core.ports import SessionRecord, TicketKind, TicketRecord
from certbound.core.redirects import ResponseMode, response_uri
from certbound.core.scope import Scope, format_scope
from certbound.server.call import Call, Form, Reply, redirect_reply
from certbound.server.openid import hinted_subject
from certbound.server.pages.views import Asking, FormPostView
from certbound.server.pushed import find_pushed, is_reference, keep_request
from certbound.server.service import Service, people_of
from certbound.server.sessions import find_session, visit_of
from certbound.server.strangers import admit_stranger


async def authorize(call: Call, service: Service) -> Reply:
    """The way back to the client, or to the page where a person decides."""
    # (1) The client is known.
    client = await _client(call, service, call.query)
    reference = call.query.single("request_uri")
    if is_reference(reference):
        # (2) What it pushed is all that counts.
        request = await find_pushed(reference, client, service, call.now)
        waiting = Waiting(request=request, pushed=digest_of(reference))
        answer = _begin_or_answer(call, service, client, request, waiting)
        return await _heard(call, service, client, request.to, answer)
    # (3) The answer has a place to go, and what is asked for makes sense.
    to = find_return(call.query.values, client)
    return await _heard(call, service, client, to, _read_and_answer(call, service, client, to))


async def authorize_by_post(call: Call, service: Service) -> Reply:
    """The same as a form (OpenID Connect Core section 3.1.2.1).

    Browsers keep our cookies from a form of another site, so the request is kept and the browser comes back for it.
    """
    client = await _client(call, service, call.form)
    reference = call.form.single("request_uri")
    if not is_reference(reference):
        to = find_return(call.form.values, client)
        return await _heard(call, service, client, to, _keep_and_return(call, service, client, to))
    return _return_with(reference, service, client)


async def begin(call: Call, service: Service, waiting: Waiting) -> Reply:
    """`waiting` waits for the person at this browser, who is sent to where they decide."""
    visit = visit_of(call, service)
    interaction = service.new_id()
    record = TicketRecord(
        kind=TicketKind.INTERACTION,
        digest=digest_of(interaction),
        content=write_waiting(msgspec.structs.replace(waiting, visit=visit.digest)),
        created_at=call.now,
        ends_at=call.now + people_of(service).request_lifetime,
    )
    await service.store.tickets.add(record)
    call.notes.is_decision = False
    return visit.keep(redirect_reply(f"{service.offer.issuer}{INTERACTION}{interaction}"))


async def missing(
    call: Call,
    service: Service,
    client: Client,
    request: AuthorizationRequest,
    waiting: Waiting,
    session: SessionRecord | None,
) -> Step | Cleared:
    """What the person must still do, or that it is nothing.  `AuthorizationError` for what cannot be had."""
    hinted = ""
    if request.id_token_hint:
        found = await hinted_subject(service, client, request.id_token_hint)
        if found is None:
            raise AuthorizationError("id_token_hint is no ID token that this client got here", request.to)
        hinted = found
    consent = await service.store.consents.find(session.subject, client.client_id) if session else None
    return next_step(
        request,
        client,
        session=session,
        consent=consent,
        waiting=waiting,
        hinted=hinted,
        has_acr=people_of(service).login_url is not None,
        now=call.now,
    )


async def give_code(
    call: Call, service: Service, client: Client, cleared: Cleared, waiting: Waiting, interaction: str = ""
) -> Reply:
    """The answer with a code.  `interaction` is the digest of the ticket behind which the request waited, if it did."""
    request, session = cleared.request, cleared.session
    # (1) The person is no client, whatever was registered since they logged in.
    if await service.clients.find(session.subject) is not None:
        raise AuthorizationError("the person's id is a client's", request.to, error="access_denied")
    # (2) The request was not answered before.
    await _close(service, waiting, interaction, call.now)
    # (3) Only now is there a code.  Nobody can press the button again, so whatever fails, the client hears of it.
    return await _heard(call, service, client, request.to, _new_code(call, service, client, cleared))


async def tell(
    call: Call,
    service: Service,
    client: Client,
    refusal: AuthorizationError,
    waiting: Waiting | None = None,
    interaction: str = "",
) -> Reply:
    """The answer with an error; what waited is answered with it."""
    if waiting is not None:
        await _close(service, waiting, interaction, call.now)
    call.notes.reason = refusal.reason
    call.notes.refuse(refusal.error)
    locales = waiting.request.ui_locales if waiting and waiting.request else ()
    members = {"error": refusal.error, "error_description": refusal.description}
    return _answer(call, service, client, refusal.to, members, locales)


def asking(client: Client, redirect_uri: str = "") -> Asking:
    """The client as people see it."""
    parts = urlsplit(redirect_uri)
    return Asking(
        client_id=client.client_id,
        name=client.name,
        host=parts.hostname or parts.scheme,
        is_proven=client.method is not Method.NONE,
    )


async def _read_and_answer(call: Call, service: Service, client: Client, to: ReturnTo) -> Reply:
    """The answer to a request that was not pushed."""
    try:
        request = _read(call.query, client, service, to)
    except AuthorizationError as refusal:
        return await tell(call, service, client, refusal)
    return await _begin_or_answer(call, service, client, request, Waiting(request=request))


async def _begin_or_answer(
    call: Call, service: Service, client: Client, request: AuthorizationRequest, waiting: Waiting
) -> Reply:
    """The way to the page for what is missing; the answer, where nothing is, or where it cannot be had."""
    try:
        if waiting.pushed:  # before anything can fail: the redirect URI may be none of the client's any more
            require_current(request, client, service.policy)
        # (4) What a person must do for it, they are asked; else the answer is there.
        session = await find_session(call, service)
        cleared = await missing(call, service, client, request, waiting, session)
        if isinstance(cleared, Cleared):
            return await give_code(call, service, client, cleared, waiting)
        if session is None:
            admit_stranger(call, service)
        return await begin(call, service, waiting)
    except AuthorizationError as refusal:
        return await tell(call, service, client, refusal, waiting)


async def _new_code(call: Call, service: Service, client: Client, cleared: Cleared) -> Reply:
    """The answer with a code, under a name that nobody can guess."""
    request, session = cleared.request, cleared.session
    secret = "cbac_" + service.new_secret()
    code = Code(
        **msgspec.structs.asdict(login_of(session)),
        client_id=client.client_id,
        redirect_uri=request.to.redirect_uri,
        code_challenge=request.code_challenge,
        scope=request.scope,
        resources=request.resources,
        grant_id=service.new_id(),
        ends_at=call.now + people_of(service).code_lifetime,
        nonce=request.nonce,
    )
    record = TicketRecord(
        kind=TicketKind.CODE,
        digest=digest_of(secret),
        content=authorization_code.write(code),
        created_at=call.now,
        ends_at=code.ends_at + authorization_code.REMEMBERED,
    )
    await service.store.tickets.add(record)
    notes = call.notes
    notes.subject, notes.grant_id = session.subject, code.grant_id
    notes.scope, notes.audience = format_scope(Scope(frozenset(code.scope))), " ".join(code.resources)
    return _answer(call, service, client, request.to, {"code": secret}, request.ui_locales)


async def _keep_and_return(call: Call, service: Service, client: Client, to: ReturnTo) -> Reply:
    """What the form asks for is kept, and the browser comes back for it."""
    try:
        request = _read(call.form, client, service, to)
    except AuthorizationError as refusal:
        return await tell(call, service, client, refusal)
    admit_stranger(call, service)
    return _return_with(await keep_request(request, service, call.now), service, client)


def _return_with(reference: str, service: Service, client: Client) -> Reply:
    members = {"client_id": client.client_id, "request_uri": reference}
    return redirect_reply(response_uri(service.offer.issuer + PAGES[AUTHORIZATION], members, ResponseMode.QUERY))


async def _heard(call: Call, service: Service, client: Client, to: ReturnTo, answer: Awaitable[Reply]) -> Reply:
    """`answer`; where it fails by no fault of the request, the client hears of that (RFC 6749 section 4.1.2.1)."""
    try:
        return await answer
    except StoreUnavailable as error:
        why = TemporarilyUnavailable(str(error))
        call.notes.reason = why.reason
        return _failed(call, service, client, to, why.error, why.description)
    except CertboundError:
        raise
    except Exception:  # noqa: BLE001 - a defect of ours: the client learns that, and the id to ask about
        return tell_defect(call, service, client, to)


def tell_defect(call: Call, service: Service, client: Client, to: ReturnTo) -> Reply:
    """The client hears of the exception that is being handled, and no more than that; the log has it all."""
    _log.exception("request %s for an authorization failed", call.request_id)
    return _failed(call, service, client, to, "server_error", f"the server failed at request {call.request_id}")


def _failed(call: Call, service: Service, client: Client, to: ReturnTo, error: str, description: str) -> Reply:
    call.notes.fail(error)
    return _answer(call, service, client, to, {"error": error, "error_description": description}, ())


async def _client(call: Call, service: Service, parameters: Form) -> Client:
    client_id = call.notes.client_id = parameters.single("client_id")
    if not client_id:
        raise InvalidRequest("client_id is missing")
    client = await service.clients.find(client_id)
    if client is None or not client.enabled:
        raise InvalidRequest(UNKNOWN)
    return client


def _read(parameters: Form, client: Client, service: Service, to: ReturnTo) -> AuthorizationRequest:
    """One that was not pushed.  `AuthorizationError` otherwise."""
    if service.offer.must_push or client.must_push:
        raise AuthorizationError("the request must be pushed (RFC 9126)", to)
    return read_request(parameters.values, client, service.policy, to)


async def _close(service: Service, waiting: Waiting, interaction: str, now: float) -> None:
    """The request is answered now, and was not before.  `InvalidRequest` (400) if it was."""
    tickets = service.store.tickets
    if interaction and not await tickets.take(TicketKind.INTERACTION, interaction, now=now):
        raise InvalidRequest(ANSWERED)
    if waiting.pushed and not await tickets.take(TicketKind.PUSHED_REQUEST, waiting.pushed, now=now):
        raise InvalidRequest(ANSWERED)


def _answer(
    call: Call, service: Service, client: Client, to: ReturnTo, members: Mapping[str, str], ui_locales: tuple[str, ...]
) -> Reply:
    """RFC 6749 section 4.1.2, RFC 9207 section 2."""
    state = {} if to.state is None else {"state": to.state}
    said = {**members, **state, "iss": service.offer.issuer}
    if to.mode is not ResponseMode.FORM_POST:
        return redirect_reply(response_uri(to.redirect_uri, said, to.mode))
    view = FormPostView(
        redirect_uri=to.redirect_uri, members=tuple(said.items()), asking=asking(client, to.redirect_uri)
    )
    return people_of(service).pages.show(call, view, ui_locales=ui_locales)


_log = logging.getLogger("certbound.server")

INTERACTION = "/interaction/"
"""The path of what waits, below the issuer; its id stands behind it."""
ANSWERED = "this request was answered already; go back to the app and start again"
UNKNOWN = "no such app is registered here"
