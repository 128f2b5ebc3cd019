"""Tokens that a client keeps, and how long.

Rule 1: a token is kept by issuer, client, thumbprint, resource and scope: a renewed certificate finds no token of the
        old one.
Rule 2: it is used until 30 seconds, or a tenth of its life, before its end, counted from before it was asked for: by a
        clock that nobody sets, and by the one on the wall, which also runs while the machine sleeps.
Rule 3: a token that an API refuses is replaced once; if its replacement is refused too, within seconds, the API is
        answered for, not asked again.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from certbound.client.flow import Token
from certbound.client.forking import anew_in_children

MARGIN = 30.0
"""Seconds before its end from which on a token is not used; less for one that lives shorter than ten times that."""
UNSTATED = 300.0
"""Seconds for which a token is kept whose life the server does not tell."""
PATIENCE = 5.0
"""Seconds within which a replacement that is refused too is not replaced."""


class Name(NamedTuple):
    """Which token."""

    issuer: str
    client_id: str
    thumbprint: str
    resource: str | None
    scope: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A token, and until when it is used."""

    token: Token
    header: str = field(repr=False)
    """What the Authorization header says."""
    since: float
    until: float
    """By the clock that nobody sets."""
    until_by_wall: float
    replaces: bool = False
    """It was fetched because another one was refused."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """Seconds, from anywhere; and since 1970."""

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time


class Shelf:
    """Tokens in memory; threads and tasks may share it."""

    def __init__(self, clocks: Clocks = Clocks()) -> None:
        self.clocks = clocks
        self._kept: dict[Name, Kept] = {}
        self._refused: dict[Name, float] = {}
        self._lock = threading.Lock()
        anew_in_children(self)

    def begin_anew(self) -> None:
        """The tokens are the child's, too: they are bound to a certificate and not to a process."""
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Shelf({len(self._kept)} tokens)"

    def find(self, name: Name) -> Kept | None:
        """A token that can still be used."""
        kept = self._kept.get(name)
        if kept is None or self.clocks.monotonic() >= kept.until or self.clocks.wall() >= kept.until_by_wall:
            return None
        return kept

    def begin(self) -> tuple[float, float]:
        """From when on the life of a token counts that is asked for now."""
        return self.clocks.monotonic(), self.clocks.wall()

    def keep(self, name: Name, token: Token, begun: tuple[float, float]) -> Kept:
        """`token`, until it ends."""
        life = UNSTATED if token.expires_in is None else max(token.expires_in, 0)
        used = life - min(MARGIN, life / 10)
        since, wall = begun
        with self._lock:
            kept = Kept(
                token=token, header=f"Bearer {token.access_token}", since=since, until=since + used,
                until_by_wall=wall + used, replaces=self._refused.pop(name, None) is not None,
            )  # fmt: skip
            self._kept[name] = kept
            for other in [each for each in self._kept if _is_outlived(each, name)]:
                del self._kept[other]
        return kept

    def refused(self, name: Name, kept: Kept) -> bool:
        """The API says that this token is none; whether another one is worth asking for."""
        now = self.clocks.monotonic()
        with self._lock:
            if kept.replaces and now - kept.since < PATIENCE:
                return False
            if self._kept.get(name) is kept:
                del self._kept[name]
                self._refused[name] = now
            return True


def _is_outlived(one: Name, by: Name) -> bool:
    """Whether `one` is the same token for another certificate."""
    return one != by and one._replace(thumbprint=by.thumbprint) == by
