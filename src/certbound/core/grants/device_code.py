"""The device authorization grant (RFC 8628): a device asks, and a person decides with a browser of their own.

Rule 1: a code is bound to the client; the token is bound to the certificate of the device when it gets it.
Rule 2: who polls faster than it was told is told to slow down, by five seconds more each time (section 3.5).
Rule 3: a code counts once, and is decided once.
Rule 4: what a person types is compared without case, hyphens and spaces (section 6.1).
"""

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import msgspec

from certbound.core.authentication import AuthenticatedClient
from certbound.core.errors import AccessDenied, ExpiredToken, InvalidGrant
from certbound.core.grants.authorization_code import Agreed
from certbound.core.login import Login
from certbound.core.ports import TicketRecord

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:device_code"
INTERVAL = 5
"""Seconds between two polls, and what is added for whoever comes sooner."""
TOLERANCE = 1.0
"""Seconds that the way through a network may take from an interval."""
REMEMBERED = 600
"""Seconds for which a device is told that its code has expired; then there is none."""
LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
"""Of user codes: no vowels, so no words, and no two that look alike (section 6.1)."""
LENGTH = 8
MAX_TYPED = 64
"""Characters that are looked at."""


class DeviceRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a device asks for: the content of a ticket of `TicketKind.DEVICE_CODE`."""

    client_id: str
    scope: tuple[str, ...]
    resources: tuple[str, ...]
    grant_id: str
    """Of the grant that will be opened with it."""
    ends_at: float
    """Seconds since the epoch; the ticket stays a while longer, so that the device can be told."""
    user_code: str = ""
    """The digest of the code that the person types, which is a ticket of its own."""
    interval: int = INTERVAL
    polled_at: float | None = None
    is_denied: bool = False
    approved: Login | None = None
    """Of whoever agreed."""

    @property
    def is_decided(self) -> bool:
        """The person said yes or no."""
        return self.is_denied or self.approved is not None


def make_user_code(secret: str) -> str:
    """`XXXX-XXXX`, made of a secret of 256 bits; 20^8 of them."""
    number, letters = int.from_bytes(sha256(secret.encode()).digest(), "big"), ""
    for _ in range(LENGTH):
        number, letter = divmod(number, len(LETTERS))
        letters += LETTERS[letter]
    return f"{letters[:4]}-{letters[4:]}"


def typed(text: str) -> str:
    """A user code as it is compared, whatever stands between its letters; empty if it can be none."""
    letters = _NO_LETTER.sub("", text[:MAX_TYPED]).upper()
    return letters if len(letters) == LENGTH else ""


def redeem(found: TicketRecord | None, authenticated: AuthenticatedClient) -> DeviceRequest:
    """What the device asked for.  `InvalidGrant` (400) if it did not.

    Whether the code was taken is not looked at here, as with an authorization code.
    """
    # (a) There is such a code.
    request = read(found.content) if found is not None else None
    if request is None:
        raise InvalidGrant("no such device code")
    # (b) It is the client's.
    if request.client_id != authenticated.client.client_id:
        raise InvalidGrant(f"the device code belongs to {request.client_id!r}")
    return request


def decision(request: DeviceRequest, *, now: float) -> Agreed | None:
    """What was agreed to, or None while nothing is decided.  `AccessDenied` or `ExpiredToken` (400)."""
    if request.ends_at < now:
        raise ExpiredToken("nobody decided in time, or the device did not ask")
    if request.is_denied:
        raise AccessDenied("the person denied the request")
    if request.approved is None:
        return None
    return Agreed(
        **msgspec.structs.asdict(request.approved),
        client_id=request.client_id,
        scope=request.scope,
        resources=request.resources,
        grant_id=request.grant_id,
        ends_at=request.ends_at,
    )


def polled(request: DeviceRequest, *, now: float) -> tuple[DeviceRequest, bool]:
    """The request after one more poll, and whether that came too soon."""
    is_soon = request.polled_at is not None and now - request.polled_at < request.interval - TOLERANCE
    interval = request.interval + INTERVAL if is_soon else request.interval
    return msgspec.structs.replace(request, interval=interval, polled_at=now), is_soon


def decide(request: DeviceRequest, approved: Login | None) -> DeviceRequest:
    """The request as the person decided it; None approved denies."""
    return msgspec.structs.replace(request, approved=approved, is_denied=approved is None)


def write(request: DeviceRequest) -> dict[str, Any]:
    """As the content of a `TicketRecord`."""
    made: dict[str, Any] = msgspec.to_builtins(request)
    return made


def read(content: Mapping[str, Any]) -> DeviceRequest | None:
    """What `write` wrote; None for anything else."""
    try:
        return msgspec.convert(content, DeviceRequest)
    except msgspec.ValidationError:
        return None


_NO_LETTER = re.compile(r"[^A-Za-z]")
