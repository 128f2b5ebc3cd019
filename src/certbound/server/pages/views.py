"""What each page shows, as values: no page looks at a request, a store or a session itself.

Rule: every text in them is a stranger's; the templates escape it, and `shown_name` takes what moves a reader's eye.
"""

from collections.abc import Sequence

import msgspec


class Asking(msgspec.Struct, frozen=True, kw_only=True):
    """The client that asks, as people see it."""

    client_id: str
    name: str = ""
    """What it calls itself; the id stands for it where that is empty."""
    host: str = ""
    """Where the person will be sent with the answer; empty for a device."""
    is_proven: bool = True
    """Whether it proves who it is; of another the page says that anybody could have its name."""


class LoginView(msgspec.Struct, frozen=True, kw_only=True):
    """The page that asks who the person is."""

    form_token: str
    asking: Asking | None = None
    """None where the person came for a page of their own."""
    username: str = ""
    """What the field holds already."""
    failed: str = ""
    """Why it stands here again: "wrong", "slow" or "other"."""


class ConsentView(msgspec.Struct, frozen=True, kw_only=True):
    """The page that asks whether the client may."""

    form_token: str
    asking: Asking
    username: str
    scope: Sequence[str]
    resources: Sequence[str]
    keeps_access: bool
    """Whether it gets a refresh token."""
    user_code: str = ""
    """Where a device asks, what it shows: the person compares the two."""


class DeviceView(msgspec.Struct, frozen=True, kw_only=True):
    """The page on which a person types the code that a device shows."""

    form_token: str
    user_code: str = ""
    failed: str = ""
    """Why it stands here again: "wrong" or "slow"."""


class App(msgspec.Struct, frozen=True, kw_only=True):
    """A client that the person lets act for them."""

    asking: Asking
    scope: Sequence[str]
    resources: Sequence[str]
    created_at: float
    used_at: float | None = None
    certificate: str = ""


class AccountView(msgspec.Struct, frozen=True, kw_only=True):
    """The person's own page."""

    form_token: str
    username: str
    apps: Sequence[App]
    said: str = ""
    """What was just done: "withdrawn"."""


class LogoutView(msgspec.Struct, frozen=True, kw_only=True):
    """The page that asks whether to log out."""

    form_token: str
    username: str
    asking: Asking | None = None


class DoneView(msgspec.Struct, frozen=True, kw_only=True):
    """The page after which there is nothing to do: "logged_out", "device_approved", "denied"."""

    what: str


class FormPostView(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a client, as a form that goes there (OAuth 2.0 Form Post Response Mode)."""

    redirect_uri: str
    members: Sequence[tuple[str, str]]
    asking: Asking


class RefusalView(msgspec.Struct, frozen=True, kw_only=True):
    """What cannot go on, and why, in a sentence of ours."""

    status: int
    error: str
    description: str
    request_id: str
    retry_after: int = 0
