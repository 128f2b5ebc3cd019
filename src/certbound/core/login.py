"""A person who proved who they are, as codes, devices and login applications say it."""

import msgspec

from certbound.core.ports import SessionRecord


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """Who it was, when and how."""

    subject: str
    """The person, as accounts and sessions call them."""
    auth_time: float
    """Seconds since the epoch."""
    acr: str = ""
    amr: tuple[str, ...] = ()
    sid: str = ""
    """Of the session that began with it, once one did."""


def login_of(session: SessionRecord) -> Login:
    """The one that the session began with."""
    return Login(
        subject=session.subject, auth_time=session.auth_time, acr=session.acr, amr=session.amr, sid=session.sid
    )
