"""`GET` and `POST /interaction/ID`: where a person logs in and decides, one page after the other.

Rule 1: what waits goes on in the browser that brought it, and nowhere else: its address alone is worth nothing.
Rule 2: each request asks anew what is missing, so the order of pages is nobody's to choose, and none can be skipped.
Rule 3: a consent counts in the request that gives it, for whoever it was shown to.
Rule 4: what a login application says counts for the browser that comes back from it, once.
Rule 5: of a defect of ours the client hears, if there is one and it may still send people anywhere.
"""

import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

import msgspec

from certbound.core.authentication import digest_of
from certbound.core.authorization import AuthorizationError, AuthorizationRequest, Prompt, require_current
from certbound.core.clients import Client
from certbound.core.errors import CertboundError, InvalidRequest
from certbound.core.grants import refresh_token
from certbound.core.interaction import Cleared, Step, Waiting, read_waiting, write_waiting
from certbound.core.login import Login
from certbound.core.people import MAX_USERNAME
from certbound.core.ports import SessionRecord, TicketKind, TicketRecord
from certbound.core.redirects import ResponseMode, match_redirect_uri, response_uri
from certbound.server.authorization import (
    ANSWERED,
    INTERACTION,
    UNKNOWN,
    asking,
    begin,
    give_code,
    missing,
    tell,
    tell_defect,
)
from certbound.server.call import Call, Reply, redirect_reply, with_headers
from certbound.server.consents import consent_to
from certbound.server.guesses import TooManyGuesses
from certbound.server.pages.views import ConsentView, LoginView
from certbound.server.service import Service, people_of
from certbound.server.sessions import (
    Visit,
    find_session,
    require_own_form,
    start_session,
    visit_of,
)
from certbound.server.strangers import admit_stranger


class Found(msgspec.Struct, frozen=True):
    """What waits for the person at this browser."""

    call: Call
    service: Service
    visit: Visit
    ticket: TicketRecord
    waiting: Waiting
    session: SessionRecord | None

    @property
    def url(self) -> str:
        """Where it waits."""
        return f"{self.service.offer.issuer}{INTERACTION}{self.call.rest}"


async def require_login(call: Call, service: Service, then: str) -> SessionRecord | Reply:
    """The session of the browser; where nobody is logged in, the way to the login, which leads back to `then`.

    That is a path of our own, below the issuer.
    """
    session = await find_session(call, service)
    if session is not None:
        return session
    admit_stranger(call, service)
    return await begin(call, service, Waiting(then=then))


async def shown_name_of(service: Service, session: SessionRecord) -> str:
    """What pages call the person."""
    account = await service.store.accounts.find_subject(session.subject) if people_of(service).accounts else None
    return account.username if account else session.subject


async def show(call: Call, service: Service) -> Reply:
    """The page for what is missing, or the answer."""
    found = await _find(call, service)
    if found.waiting.proof and hmac.compare_digest(found.waiting.proof, digest_of(call.query.one("proof") or "")):
        return await _heard(found, _come_back(found))
    return await _heard(found, _go_on(found))


async def submit(call: Call, service: Service) -> Reply:
    """What the person says on the page."""
    found = await _find(call, service)
    action = call.form.one("action") or ""
    if action not in _ACTIONS:
        raise InvalidRequest("the form says nothing that can be done")
    return await _heard(found, _ACTIONS[action](found))


async def _heard(found: Found, answer: Awaitable[Reply]) -> Reply:
    """`answer`, or what the client is told of a defect (RFC 6749 section 4.1.2.1)."""
    try:
        return await answer
    except CertboundError:
        raise
    except Exception:
        request = found.waiting.request
        client = await found.service.clients.find(request.client_id) if request else None
        if request is None or client is None or not client.enabled:
            raise
        if not match_redirect_uri(request.to.redirect_uri, client.redirect_uris):
            raise
        return tell_defect(found.call, found.service, client, request.to)


async def _find(call: Call, service: Service) -> Found:
    """What waits, for this browser.  `InvalidRequest` (400 or 403) otherwise."""
    # (1) It is there, and nobody answered it.
    ticket = await service.store.tickets.find(TicketKind.INTERACTION, digest_of(call.rest), now=call.now)
    waiting = None if ticket is None else read_waiting(ticket.content)
    if ticket is None or waiting is None:
        raise InvalidRequest(
            "nothing waits here, or the time for it is over; go back to the app and start again", status=404
        )
    # (2) This browser brought it.
    visit = visit_of(call, service)
    if not hmac.compare_digest(waiting.visit, visit.digest):
        raise InvalidRequest(
            "this was begun in another browser, or at the same time in another tab, or this browser keeps no cookies; "
            "go back to the app and start again",
            status=403,
        )
    if ticket.taken_at is not None:
        raise InvalidRequest(ANSWERED)
    call.notes.client_id = waiting.request.client_id if waiting.request else ""
    session = await find_session(call, service)
    call.notes.subject = session.subject if session else ""
    return Found(call, service, visit, ticket, waiting, session)


async def _go_on(found: Found) -> Reply:
    """What `core.interaction` says is next."""
    call, service, request = found.call, found.service, found.waiting.request
    if request is None:
        is_there = found.session is not None and (not found.waiting.anew or _logged_in_for_it(found))
        return await _leave(found) if is_there else await _log_in(found, None)
    client = await _client(found, request)
    if isinstance(client, Reply):
        return client
    try:
        step = await missing(call, service, client, request, found.waiting, found.session)
        if isinstance(step, Cleared):
            return await give_code(call, service, client, step, found.waiting, found.ticket.digest)
    except AuthorizationError as refusal:
        return await tell(call, service, client, refusal, found.waiting, found.ticket.digest)
    if step is Step.CONSENT and found.session is not None:
        return await _ask_consent(found, client, request, found.session)
    # Whoever logged in for it, and must again, is not the person whom the client names.
    is_another = _logged_in_for_it(found) and bool(request.id_token_hint)
    return await _log_in(found, client, failed="other" if is_another else "")


def _logged_in_for_it(found: Found) -> bool:
    return found.session is not None and found.session.sid == found.waiting.logged_in


async def _client(found: Found, request: AuthorizationRequest) -> Client | Reply:
    """The client that asks; or the answer, where it may not ask for this any more."""
    call, service = found.call, found.service
    client = await service.clients.find(request.client_id)
    if client is None:
        raise InvalidRequest(UNKNOWN)
    try:
        require_current(request, client, service.policy)
    except AuthorizationError as refusal:
        return await tell(call, service, client, refusal, found.waiting, found.ticket.digest)
    return client


async def _leave(found: Found) -> Reply:
    """To the page of their own for which the person came."""
    await found.service.store.tickets.remove(TicketKind.INTERACTION, found.ticket.digest)
    found.call.notes.is_decision = False
    return redirect_reply(found.service.offer.issuer + found.waiting.then)


async def _log_in(found: Found, client: Client | None, *, username: str = "", failed: str = "", wait: int = 0) -> Reply:
    """The page that asks who they are, or the way to the login application."""
    people = people_of(found.service)
    found.call.notes.is_decision = bool(failed)
    if failed:
        found.call.notes.refuse("access_denied", wait=wait)
    if people.login_url is not None:
        return redirect_reply(response_uri(people.login_url, {"interaction": found.call.rest}, ResponseMode.QUERY))
    request = found.waiting.request
    view = LoginView(
        form_token=found.visit.form_token(_login_purpose(found)),
        asking=asking(client, request.to.redirect_uri) if client and request else None,
        username=username or await _expected(found, request),
        failed=failed,
    )
    status = 429 if wait else 403 if failed else 200
    reply = people.pages.show(found.call, view, status=status, ui_locales=request.ui_locales if request else ())
    return with_headers(reply, (b"retry-after", b"%d" % wait)) if wait else reply


async def _expected(found: Found, request: AuthorizationRequest | None) -> str:
    """Whom the client means, or who was logged in last."""
    if request is None:
        return ""
    # Whom an `id_token_hint` names is not told to whoever sits there, and need not be whoever was logged in.
    is_named = request.login_hint or request.id_token_hint
    if is_named or found.session is None or Prompt.SELECT_ACCOUNT in request.prompt:
        return request.login_hint
    return await shown_name_of(found.service, found.session)


async def _ask_consent(found: Found, client: Client, request: AuthorizationRequest, session: SessionRecord) -> Reply:
    """The page that asks whether the client may."""
    found.call.notes.is_decision = False
    view = ConsentView(
        form_token=found.visit.form_token(_consent_purpose(found, session)),
        asking=asking(client, request.to.redirect_uri),
        username=await shown_name_of(found.service, session),
        scope=request.scope,
        resources=request.resources,
        keeps_access=refresh_token.GRANT_TYPE in client.grant_types,
    )
    return people_of(found.service).pages.show(found.call, view, ui_locales=request.ui_locales)


async def _come_back(found: Found) -> Reply:
    """From the login application: the person is whom it says, or the client is told that they are nobody."""
    waiting = found.waiting
    if waiting.rejected:
        return await _rejected(found)
    if waiting.login is None:
        return await _go_on(found)
    # Used up before it counts: of two who bring the same proof, one is logged in.
    sid = found.service.new_id()
    if not await _change(found, msgspec.structs.replace(waiting, login=None, proof="", logged_in=sid)):
        return redirect_reply(found.url)
    return await _start(found, waiting.login, sid)


async def _rejected(found: Found) -> Reply:
    waiting, request = found.waiting, found.waiting.request
    if request is None:
        raise InvalidRequest("nobody was logged in")
    client = await _client(found, request)
    if isinstance(client, Reply):
        return client
    refusal = AuthorizationError(
        "the login application rejects it", request.to, error=waiting.rejected, description=waiting.because
    )
    return await tell(found.call, found.service, client, refusal, waiting, found.ticket.digest)


async def _take_login(found: Found) -> Reply:
    """The login form: name and password."""
    call, service, form = found.call, found.service, found.call.form
    people, request = people_of(service), found.waiting.request
    # (1) The form is our own.
    require_own_form(call, service, _login_purpose(found))
    if people.accounts is None:
        raise InvalidRequest("nobody logs in by a form here")
    # (2) The client may still ask, so nobody types a password for nothing.
    client = await _client(found, request) if request else None
    if isinstance(client, Reply):
        return client
    # (3) The password is the person's.
    username = form.one("username") or ""
    try:
        account = await people.accounts.verify(
            username, form.one("password") or "", remote=call.address, request_id=call.request_id
        )
    except TooManyGuesses as why:
        call.notes.reason = str(why)
        return await _log_in(found, client, username=username[:MAX_USERNAME], failed="slow", wait=why.retry_after)
    if account is None:
        call.notes.reason = "wrong name or password"
        return await _log_in(found, client, username=username[:MAX_USERNAME], failed="wrong")
    # (4) They are logged in, for this request too: with that session, and none that was there before.
    sid = service.new_id()
    if not await _change(found, msgspec.structs.replace(found.waiting, logged_in=sid)):
        call.notes.reason = "logged in, while the request was answered or changed elsewhere"
    return await _start(found, Login(subject=account.subject, auth_time=call.now, amr=("pwd",)), sid)


async def _start(found: Found, login: Login, sid: str) -> Reply:
    """The session, and what is next."""
    session, cookie = await start_session(found.call, found.service, login, sid)
    found.call.notes.subject = session.subject
    return with_headers(redirect_reply(found.url), cookie)


async def _take_consent(found: Found) -> Reply:
    """The consent form, whichever button."""
    call, service, request, session = found.call, found.service, found.waiting.request, found.session
    if request is None or session is None:
        return redirect_reply(found.url)  # somebody must log in first
    # (1) The form is our own, and was shown to this person.
    require_own_form(call, service, _consent_purpose(found, session))
    client = await _client(found, request)
    if isinstance(client, Reply):
        return client
    try:
        # (2) Nothing else is missing.
        if await missing(call, service, client, request, found.waiting, session) is Step.LOGIN:
            return redirect_reply(found.url)
        if call.form.one("action") == "deny":
            raise AuthorizationError("the person said no", request.to, error="access_denied")
        # (3) What they agreed to is remembered, and counts at once; nothing else remembers it.
        await service.store.consents.join(consent_to(request, session, call.now))
        agreed = msgspec.structs.replace(found.waiting, consented=session.subject)
        cleared = await missing(call, service, client, request, agreed, session)
        if not isinstance(cleared, Cleared):
            return redirect_reply(found.url)
        return await give_code(call, service, client, cleared, agreed, found.ticket.digest)
    except AuthorizationError as refusal:
        return await tell(call, service, client, refusal, found.waiting, found.ticket.digest)


async def _change(found: Found, waiting: Waiting) -> bool:
    """`waiting` stands in its place, if nobody changed it meanwhile."""
    changed = replace(found.ticket, content=write_waiting(waiting))
    return await found.service.store.tickets.change(changed, now=found.call.now)


def _login_purpose(found: Found) -> str:
    return f"login {found.call.rest}"


def _consent_purpose(found: Found, session: SessionRecord) -> str:
    """A form that was shown to one person is nothing to the next one at the same browser."""
    return f"consent {found.call.rest} {session.sid}"


_ACTIONS: Mapping[str, Callable[[Found], Awaitable[Reply]]] = {
    "login": _take_login,
    "allow": _take_consent,
    "deny": _take_consent,
}
