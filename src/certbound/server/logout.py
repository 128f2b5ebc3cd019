"""`GET` and `POST /logout` (OpenID Connect RP-Initiated Logout 1.0): a client sends a person here who wants to leave.

Rule 1: nobody is sent anywhere but to a URI that the client registered for it, compared as the string it is; what is
wrong is shown to the person (section 3: then the person is not sent on).
Rule 2: a session ends at once where the client shows an ID token that was given in it; else the person is asked, by a
form of our own, so that no other site can log anybody out.
Rule 3: an ID token that we cannot read any more is none: keys go, and people still want to leave.
Rule 4: nobody is told that they are logged out by an answer to another site's form, to which browsers add no cookies.
"""

from dataclasses import dataclass
from urllib.parse import urlencode

from certbound.core.authorization import MAX_STATE, MOST_WORDS
from certbound.core.clients import Client
from certbound.core.errors import InvalidRequest
from certbound.core.metadata import END_SESSION, PAGES
from certbound.core.openid import Hint, sid_for
from certbound.core.ports import SessionRecord
from certbound.core.redirects import ResponseMode, response_uri
from certbound.server.authorization import asking
from certbound.server.call import Call, Form, Reply, redirect_reply, with_headers
from certbound.server.interactions import shown_name_of
from certbound.server.openid import read_hint
from certbound.server.pages.views import DoneView, LogoutView
from certbound.server.service import Service, people_of
from certbound.server.sessions import (
    FORM_TOKEN,
    end_session,
    find_session,
    require_own_form,
    visit_of,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """What the request asks for, with everything checked that it says."""

    client: Client | None = None
    hint: Hint | None = None
    location: str = ""
    """Where the person goes afterwards; empty where they stay with us."""
    ui_locales: tuple[str, ...] = ()


async def logout(call: Call, service: Service) -> Reply:
    """The person is logged out, or asked."""
    return await _logout(call, service, is_own_form=False)


async def posted_logout(call: Call, service: Service) -> Reply:
    """The same for a form: ours, or a client's."""
    # (1) What another site posts comes without cookies (SameSite=Lax); the browser comes again with them.
    if call.form.one(FORM_TOKEN) is None or visit_of(call, service).is_new:
        return _come_again(call, service)
    return await _logout(call, service, is_own_form=True)


async def _logout(call: Call, service: Service, *, is_own_form: bool) -> Reply:
    # (2) Where the person goes then is decided before anything else.
    leaving = await read_leaving(call.query, service)
    if leaving.client is not None:
        call.notes.client_id = leaving.client.client_id
    session = await find_session(call, service)
    if session is None:
        return _left(call, service, leaving)
    call.notes.subject = session.subject
    # (3) The client has an ID token of this session, or the person says so on a page of ours.
    if is_own_form:
        require_own_form(call, service, _purpose(session))
    elif not _is_of(leaving, session):
        return await _ask(call, service, leaving, session)
    # (4) Only now does it end.
    return with_headers(_left(call, service, leaving), await end_session(call, service))


async def read_leaving(asked: Form, service: Service) -> Leaving:
    """What the parameters ask for (section 2).  `InvalidRequest` (400) is shown to the person."""
    # (a) The ID token and the client that are named belong together.
    hint = read_hint(service, asked.one("id_token_hint") or "")
    client_id = asked.one("client_id")
    if hint and client_id and hint.client_id != client_id:
        raise InvalidRequest("id_token_hint was given to another client than client_id names")
    named = client_id or (hint.client_id if hint else None)
    client = await service.clients.find(named) if named else None
    if client is not None and not client.enabled:
        client = None
    if client_id and client is None:
        raise InvalidRequest("there is no such client")
    # (b) It registered where people go afterwards.
    uri, state = asked.one("post_logout_redirect_uri"), asked.one("state")
    if uri is not None and client is None:
        raise InvalidRequest("post_logout_redirect_uri needs client_id, or the id_token_hint of a client that is here")
    if uri is not None and client is not None and uri not in client.logout_uris:
        raise InvalidRequest("post_logout_redirect_uri is none that the client registered")
    if state is not None and len(state) > MAX_STATE:
        raise InvalidRequest(f"state has more than {MAX_STATE} characters")
    location = response_uri(uri, {"state": state}, ResponseMode.QUERY) if uri and state else uri or ""
    locales = tuple((asked.one("ui_locales") or "").split()[:MOST_WORDS])
    return Leaving(client=client, hint=hint, location=location, ui_locales=locales)


def _is_of(leaving: Leaving, session: SessionRecord) -> bool:
    """Whether a client that is here shows an ID token which was given in this session."""
    if leaving.client is None or leaving.hint is None:
        return False
    return leaving.hint.sid == sid_for(leaving.client, session.sid) != ""


async def _ask(call: Call, service: Service, leaving: Leaving, session: SessionRecord) -> Reply:
    visit = visit_of(call, service)
    view = LogoutView(
        form_token=visit.form_token(_purpose(session)),
        username=await shown_name_of(service, session),
        asking=asking(leaving.client, leaving.location) if leaving.client else None,
    )
    return visit.keep(people_of(service).pages.show(call, view, ui_locales=leaving.ui_locales))


def _purpose(session: SessionRecord) -> str:
    return f"logout {session.sid}"


def _left(call: Call, service: Service, leaving: Leaving) -> Reply:
    if leaving.location:
        return redirect_reply(leaving.location)
    return people_of(service).pages.show(call, DoneView(what="logged_out"), ui_locales=leaving.ui_locales)


def _come_again(call: Call, service: Service) -> Reply:
    """As a GET, without the token that makes a form ours."""
    said = [*call.query.values.items(), *call.form.values.items()]
    asked = urlencode([(name, value) for name, values in said if name != FORM_TOKEN for value in values])
    return redirect_reply(f"{service.offer.issuer}{PAGES[END_SESSION]}?{asked}")
