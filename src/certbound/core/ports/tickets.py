"""What stands for something that was begun or agreed on, and is taken once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol


class TicketKind(StrEnum):
    """What a ticket is to its holder."""

    CODE = "code"
    """An authorization code (RFC 6749 section 4.1.2)."""
    PUSHED_REQUEST = "pushed_request"
    """An authorization request that waits behind its `request_uri` (RFC 9126)."""
    INTERACTION = "interaction"
    """An authorization request that waits for a person."""
    DEVICE_CODE = "device_code"
    """What a device polls with (RFC 8628)."""
    USER_CODE = "user_code"
    """What the person types who decides on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketRecord:
    """A ticket: `digest` is the SHA-256, base64url, of what its holder shows; `content` a JSON object, unread."""

    kind: TicketKind
    digest: str = field(repr=False)
    content: Mapping[str, Any] = field(repr=False)
    created_at: float = 0
    ends_at: float = 0
    """Seconds since the epoch; the record may go then."""
    taken_at: float | None = None
    version: int = 0
    """Made by the store: another number after each change."""


class Tickets(Protocol):
    """Tickets.  Nothing here moves the revision."""

    async def add(self, record: TicketRecord) -> None:
        """It is kept until it ends.  `AlreadyExists` if there is one of this kind and digest."""

    async def find(self, kind: TicketKind, digest: str, *, now: float) -> TicketRecord | None:
        """It, taken or not; None if there is none, or it has ended at `now`.  One statement, whatever becomes of it."""

    async def change(self, record: TicketRecord, *, now: float) -> bool:
        """`content` and `ends_at` of `record` stand where `version` stood; False if it changed, was taken or ended."""

    async def take(self, kind: TicketKind, digest: str, *, now: float) -> bool:
        """True for the first, False for all others, for one that is not there, and for one that has ended.

        Atomic between processes.
        """

    async def remove(self, kind: TicketKind, digest: str) -> None:
        """It is gone, if it was there."""
