"""Browsers and the people behind them: two cookies, and forms that are our own.

Rule 1: both cookies are `__Host-`, so no other host can set them, and no script and no other site's form has them.
Rule 2: `visit` is made by the first page and names nobody: it ties what waits, and each form, to the browser.
Rule 3: `session` is made anew by every login, and the one before it ends: what somebody knew before a login is worth
nothing after it.
Rule 4: a form counts with a token for what it was shown for, and from our own pages; each of the two would do.
Rule 5: a person who was locked out, or whose password was changed since, is not logged in.
"""

import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from hashlib import sha256

import msgspec

from certbound.core.authentication import digest_of
from certbound.core.errors import InvalidRequest
from certbound.core.login import Login
from certbound.core.ports import SessionRecord
from certbound.server.call import Call, Reply, with_headers
from certbound.server.service import Service, people_of

__all__ = [
    "FORM_TOKEN", "SESSION", "VISIT", "Visit", "end_session", "find_session", "require_own_form",
    "start_session", "visit_of",
]  # fmt: skip

VISIT = "__Host-certbound-visit"
SESSION = "__Host-certbound-session"
FORM_TOKEN = "form_token"  # noqa: S105 - a name

Header = tuple[bytes, bytes]


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """One browser, whoever sits there."""

    value: str
    """Of its cookie; a secret between it and us."""
    is_new: bool = False
    """It has no cookie yet."""

    def __repr__(self) -> str:
        """Without the secret."""
        return "<Visit>"

    @property
    def digest(self) -> str:
        """What is kept of it."""
        return digest_of(self.value)

    def form_token(self, purpose: str) -> str:
        """What a form that is shown for `purpose` carries; nobody can tell it who has not the cookie."""
        made = hmac.digest(self.value.encode("ascii"), purpose.encode(), sha256)
        return urlsafe_b64encode(made).rstrip(b"=").decode("ascii")

    def keep(self, reply: Reply) -> Reply:
        """`reply`, with the cookie if the browser has none yet."""
        return with_headers(reply, _set_cookie(VISIT, self.value)) if self.is_new else reply


def visit_of(call: Call, service: Service) -> Visit:
    """The browser that sent the request; a new one if it has no cookie of ours."""
    value = _cookie(call, VISIT)
    return Visit(value=value) if value else Visit(value=service.new_secret(), is_new=True)


def require_own_form(call: Call, service: Service, purpose: str) -> None:
    """The form that was posted is one that this browser was shown for `purpose`.  `InvalidRequest` (403) otherwise."""
    # (1) It comes from a page of ours, if the browser says where from.
    if call.browser.site not in _OWN_SITE:
        raise InvalidRequest(f"the form was sent from another site ({_FOREIGN})", status=403)
    if call.browser.origin not in (None, _origin(service.offer.issuer)):
        raise InvalidRequest(f"the form was sent from another origin ({_FOREIGN})", status=403)
    # (2) This browser was shown it, and for this.
    value = _cookie(call, VISIT)
    if not value:
        raise InvalidRequest("the browser sent no cookie; allow cookies for this site and start again", status=403)
    shown = Visit(value=value).form_token(purpose)
    if not hmac.compare_digest(shown.encode(), (call.form.one(FORM_TOKEN) or "").encode()):
        raise InvalidRequest(f"the form is not, or no longer, one that was shown for this ({_FOREIGN})", status=403)


async def find_session(call: Call, service: Service) -> SessionRecord | None:
    """The session of the browser that sent the request; None if nobody is logged in there."""
    people = people_of(service)
    value = _cookie(call, SESSION)
    if not value:
        return None
    digest = digest_of(value)
    session = await service.store.sessions.find(digest, now=call.now)
    if session is None or people.accounts is None:
        return session
    account = await service.store.accounts.find_subject(session.subject)
    if account is None or not account.enabled or account.password_at > session.auth_time:
        await service.store.sessions.end(digest)
        return None
    return session


async def start_session(call: Call, service: Service, login: Login, sid: str) -> tuple[SessionRecord, Header]:
    """The person is logged in with this browser; the header brings the cookie.  `InvalidRequest` (403) for nobody.

    `sid` is new, and names the session to whoever keeps it beside the login.
    """
    # (1) They are no client: `sub` of a token that a client got for itself is its id (RFC 9700 section 4.15).
    if await service.clients.find(login.subject) is not None:
        raise InvalidRequest("this person cannot log in here", status=403)
    # (2) Whoever was logged in before is not any more.
    before = _cookie(call, SESSION)
    if before:
        await service.store.sessions.end(digest_of(before))
    # (3) The cookie is new, whatever the browser brought.
    value = service.new_secret()
    session = SessionRecord(
        digest=digest_of(value),
        subject=login.subject,
        sid=sid,
        auth_time=login.auth_time,
        acr=login.acr,
        amr=login.amr,
        created_at=call.now,
        ends_at=call.now + people_of(service).session_lifetime,
    )
    await service.store.sessions.add(session)
    return session, _set_cookie(SESSION, value)


async def end_session(call: Call, service: Service) -> Header:
    """Nobody is logged in with this browser; the header takes the cookie away."""
    value = _cookie(call, SESSION)
    if value:
        await service.store.sessions.end(digest_of(value))
    return _set_cookie(SESSION, "", "; Max-Age=0")


def _cookie(call: Call, name: str) -> str:
    """Its value; empty if there is none, two, or one that we did not make."""
    value = call.browser.cookies.get(name, "")
    return value if _VALUE.fullmatch(value) else ""


def _set_cookie(name: str, value: str, more: str = "") -> Header:
    return b"set-cookie", f"{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax{more}".encode("ascii")


def _origin(url: str) -> str:
    """As browsers write it: lower case, and without the port that goes without saying."""
    return "/".join(url.lower().split("/", 3)[:3]).removesuffix(":443")


_VALUE = re.compile(r"[A-Za-z0-9_-]{22,128}")
_OWN_SITE: Sequence[str | None] = (None, "same-origin", "none")
"""`Sec-Fetch-Site`; `none` is the person themselves, who loads a page again."""
_FOREIGN = "go back, load that page again, and send it from there"
