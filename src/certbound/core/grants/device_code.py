"""The device authorization grant (RFC 8628): a device asks, and a person decides with a browser of their own.

Rule 1: a code is bound to the client; the token is bound to the certificate of the device when it gets it.
Rule 2: who polls faster than it was told is told to slow down, by five seconds more each time (section 3.5).
Rule 3: a code counts once, and is decided once.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:device_code"
INTERVAL = 5
"""Seconds between two polls, and what is added for whoever comes sooner."""


class Approved(msgspec.Struct, frozen=True, kw_only=True):
    """Who agreed, and how they had proven who they are."""

    subject: str
    auth_time: float
    acr: str = ""
    amr: tuple[str, ...] = ()
    sid: str = ""


class DeviceRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a device asks for: the content of a ticket of `TicketKind.DEVICE_CODE`."""

    client_id: str
    scope: tuple[str, ...]
    resources: tuple[str, ...]
    grant_id: str
    """Of the grant that will be opened with it."""
    user_code: str = ""
    """The digest of the code that the person types, which is a ticket of its own."""
    interval: int = INTERVAL
    polled_at: float | None = None
    is_denied: bool = False
    approved: Approved | None = None


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
