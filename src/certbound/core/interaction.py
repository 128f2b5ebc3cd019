"""What a person must still do before a client gets its code: decided here, anew after every step.

Rule 1: a login counts if it is recent enough, of the person whom the client names, in one of the ways that it wants,
and, where the client asks for one, was done for this request, by whoever goes on with it.
Rule 2: a consent that is remembered counts for clients that prove who they are, or are reached at an https address of
their own: of any other, whoever has its id could pretend to be it (RFC 8252 section 8.6).
Rule 3: where the client forbids to ask (`prompt=none`), it is told what would have been asked.
"""

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Any

import msgspec

from certbound.core.authorization import AuthorizationError, AuthorizationRequest, Prompt
from certbound.core.clients import Client, Method
from certbound.core.login import Login
from certbound.core.ports import ConsentRecord, SessionRecord
from certbound.core.redirects import is_native


class Step(StrEnum):
    """What a person must do."""

    LOGIN = "login"
    CONSENT = "consent"


class Cleared(msgspec.Struct, frozen=True):
    """Nothing is missing: a code may be given for `request` to the person of `session`.  Only `next_step` makes one."""

    request: AuthorizationRequest
    session: SessionRecord


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A request that waits for a person: the content of a ticket of `TicketKind.INTERACTION`."""

    visit: str = ""
    """The SHA-256, base64url, of the cookie of the browser that brought it; nobody else goes on with it."""
    request: AuthorizationRequest | None = None
    """None where the person came for a page of their own."""
    then: str = ""
    """The path of that page."""
    anew: bool = False
    """They must log in for it, whoever is logged in."""
    pushed: str = ""
    """The digest of the pushed request that it is, to be taken when its code is given."""
    login: Login | None = None
    """What a login application said, until the browser comes for it."""
    rejected: str = ""
    """The error that the client gets, where a login application let nobody in."""
    because: str = ""
    """What the client is told beside it."""
    proof: str = ""
    """The SHA-256, base64url, of what the browser brings from the login application: it is that of who logged in."""
    logged_in: str = ""
    """The `sid` of the session that began with a login for this request: no other session has it, whoever's it is."""
    consented: str = ""
    """Who agreed in the request that is answered now, and never in a ticket: nobody agrees for who logs in later."""


def next_step(
    request: AuthorizationRequest,
    client: Client,
    *,
    session: SessionRecord | None,
    consent: ConsentRecord | None,
    waiting: Waiting,
    hinted: str = "",
    has_acr: bool = False,
    now: float,
) -> Step | Cleared:
    """What is missing, or that nothing is.  `AuthorizationError` where the client forbids to ask.

    `session` is that of the browser, `consent` what its person let this client do before, `hinted` the subject of the
    request's `id_token_hint`; `has_acr` where logins say in which way they were done.
    """
    # (1) The person is there, and is the one meant.
    if session is None:
        return _ask(Step.LOGIN, request, "login_required", "nobody is logged in")
    if reason := _why_login(request, session, waiting, hinted, now, has_acr=has_acr):
        return _ask(Step.LOGIN, request, "login_required", reason)
    # (2) The person agreed to what is asked for.
    if reason := _why_consent(request, client, session.subject, consent, waiting):
        return _ask(Step.CONSENT, request, "consent_required", reason)
    return Cleared(request, session)


def is_recent(session: SessionRecord, max_age: int | None, *, since: float, now: float) -> bool:
    """Whether the login is one for a client that asked at `since` for one that is no older than `max_age`, if it did.

    One that was done since counts: so short is no `max_age` that a person who logs in at once would never be in time.
    """
    return max_age is None or session.auth_time >= since or now - session.auth_time <= max_age


def covers(consent: ConsentRecord, scope: Collection[str], resources: Collection[str]) -> bool:
    """Whether it is for all of these."""
    return set(scope) <= set(consent.scope) and set(resources) <= set(consent.resources)


def write_waiting(waiting: Waiting) -> dict[str, Any]:
    """As the content of a `TicketRecord`."""
    made: dict[str, Any] = msgspec.to_builtins(waiting)
    return made


def read_waiting(content: Mapping[str, Any]) -> Waiting | None:
    """What `write_waiting` wrote; None for anything else."""
    try:
        return msgspec.convert(content, Waiting)
    except msgspec.ValidationError:
        return None


def _ask(step: Step, request: AuthorizationRequest, error: str, reason: str) -> Step:
    if Prompt.NONE in request.prompt:
        raise AuthorizationError(reason, request.to, error=error)
    return step


def _why_login(
    request: AuthorizationRequest,
    session: SessionRecord,
    waiting: Waiting,
    hinted: str,
    now: float,
    *,
    has_acr: bool,
) -> str:
    if hinted and session.subject != hinted:
        return "somebody else is logged in"
    return "" if waiting.logged_in == session.sid else _why_anew(request, session, now, has_acr=has_acr)


def _why_anew(request: AuthorizationRequest, session: SessionRecord, now: float, *, has_acr: bool) -> str:
    if request.prompt & {Prompt.LOGIN, Prompt.SELECT_ACCOUNT}:
        return "the client asks for a login"
    if request.max_age is not None and now - session.auth_time > request.max_age:
        return "the login is older than max_age"
    # Once: `acr_values` is a wish (OpenID Connect Core section 5.5.1.1), and the client is told what it got.
    if has_acr and request.acr_values and session.acr not in request.acr_values:
        return "the login was done in none of the ways of acr_values"
    return ""


def _why_consent(
    request: AuthorizationRequest, client: Client, subject: str, consent: ConsentRecord | None, waiting: Waiting
) -> str:
    if subject and waiting.consented == subject:
        return ""
    if Prompt.CONSENT in request.prompt:
        return "the client asks for consent"
    if consent is None or (consent.subject, consent.client_id) != (subject, request.client_id):
        return "the person was not asked yet"
    if not covers(consent, request.scope, request.resources):
        return "the person was not asked for all of it yet"
    if client.method is Method.NONE and is_native(request.to.redirect_uri):
        return "the client proves nothing of who it is"
    return ""
