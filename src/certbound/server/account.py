"""`GET` and `POST /account`: the person's own page: which clients act for them, and the way out.

Rule 1: everything here is of whoever is logged in at this browser; no parameter names a person.
Rule 2: what is withdrawn ends at once: consent, refresh tokens, access tokens.
Rule 3: a client that is gone is shown by its id; what it was let do can be withdrawn as any other.
"""

from collections.abc import Awaitable, Callable, Mapping

from certbound.core.errors import InvalidRequest
from certbound.core.ports import ConsentRecord, SessionRecord
from certbound.server.authorization import asking
from certbound.server.call import Call, Reply, with_headers
from certbound.server.interactions import require_login, shown_name_of
from certbound.server.pages.views import AccountView, App, Asking, DoneView
from certbound.server.service import Service, people_of
from certbound.server.sessions import end_session, require_own_form, visit_of

PAGE = "/account"


async def account(call: Call, service: Service) -> Reply:
    """What the person lets clients do, or what became of a button."""
    # (1) Somebody is logged in here.
    session = await require_login(call, service, PAGE)
    if isinstance(session, Reply):
        return session
    call.notes.subject = session.subject
    action = call.form.one("action")
    if action is None:
        return await _show(call, service, session)
    # (2) The form is our own, and was shown to this person.
    require_own_form(call, service, _purpose(session))
    if action not in _ACTIONS:
        raise InvalidRequest("the form says nothing that can be done")
    return await _ACTIONS[action](call, service, session)


async def _show(call: Call, service: Service, session: SessionRecord, said: str = "") -> Reply:
    visit = visit_of(call, service)
    view = AccountView(
        form_token=visit.form_token(_purpose(session)),
        username=await shown_name_of(service, session),
        apps=[await _app(each, service) for each in await service.store.consents.list(session.subject)],
        said=said,
    )
    return visit.keep(people_of(service).pages.show(call, view))


async def _withdraw(call: Call, service: Service, session: SessionRecord) -> Reply:
    client_id = call.notes.client_id = call.form.require("client_id")
    if await service.store.consents.withdraw(session.subject, client_id):
        call.notes.reason = "withdrawn by the person"
        service.statuses.forget()
    else:
        call.notes.reason = "the person withdrew what was not there"
    return await _show(call, service, session, "withdrawn")


async def _log_out(call: Call, service: Service, session: SessionRecord) -> Reply:
    call.notes.reason = f"session {session.sid} ended by the person"
    page = people_of(service).pages.show(call, DoneView(what="logged_out"))
    return with_headers(page, await end_session(call, service))


async def _app(consent: ConsentRecord, service: Service) -> App:
    client = await service.clients.find(consent.client_id)
    return App(
        asking=asking(client) if client else Asking(client_id=consent.client_id),
        scope=consent.scope,
        resources=consent.resources,
        created_at=consent.created_at,
        used_at=consent.used_at,
        certificate=consent.certificate,
    )


def _purpose(session: SessionRecord) -> str:
    return f"account {session.sid}"


_ACTIONS: Mapping[str, Callable[[Call, Service, SessionRecord], Awaitable[Reply]]] = {
    "withdraw": _withdraw,
    "log_out": _log_out,
}
