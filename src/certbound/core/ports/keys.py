"""Signing keys."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """A signing key.  `private_key` is PEM (PKCS #8), encrypted if the caller encrypted it."""

    kid: str
    alg: str
    private_key: bytes = field(repr=False)
    created_at: float = 0
    """Seconds since the epoch; published since then."""
    signs_from: float = 0
    """Published before, so that everybody knows it by then."""
    signs_until: float | None = None
    """When its successor takes over, or it was retired; None if nobody knows yet."""
    published_until: float | None = None
    """When the last token that it signed has ended; the record may go then."""


class Keys(Protocol):
    """Signing keys, oldest first."""

    async def list(self) -> Sequence[KeyRecord]:
        """All keys, oldest first."""

    async def add(self, record: KeyRecord) -> None:
        """The key is stored.  `AlreadyExists` if its kid is there."""

    async def add_first(self, record: KeyRecord) -> KeyRecord:
        """The oldest key: `record` if there was none, else the one that was there.  Atomic between processes."""

    async def exchange(self, before: Sequence[KeyRecord], after: Sequence[KeyRecord]) -> bool:
        """`after` are all keys, if `before` were, in any order; else False, and nothing changed.

        Atomic between processes.  What cannot be read, and so is not in `list`, stays.
        """
