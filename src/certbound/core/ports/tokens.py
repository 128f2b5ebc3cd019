"""Opaque access tokens, and values that count once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessTokenRecord:
    """An opaque access token: what it says, under the SHA-256 of it, base64url."""

    digest: str
    claims: Mapping[str, Any]
    ends_at: float
    """Seconds since the epoch; the record may go then."""


class Tokens(Protocol):
    """Opaque access tokens, and values that count once.  Written often: nothing here moves the revision."""

    async def add(self, record: AccessTokenRecord) -> None:
        """It is kept until it ends.  Those who add at once share a transaction."""

    async def find(self, digest: str, *, now: float) -> AccessTokenRecord | None:
        """What was added, or None; also if it has ended.  One statement, whatever becomes of it."""

    async def remove(self, digest: str) -> None:
        """It is gone, if it was there."""

    async def use(self, purpose: str, value: str, *, until: float, now: float) -> bool:
        """True for the first who uses this value for this purpose, False for all others before `until`.

        Atomic between processes; `value` is kept as a hash.
        """

    async def purge(self, *, now: float, most: int = 500) -> int:
        """How many ended records of any kind are gone now: `most` of each kind, in one short statement each.

        Those of statuses, grants and refresh tokens among them; 0 if nothing is left to do.
        """
