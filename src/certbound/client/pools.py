"""One pool of connections for each identity, the old one kept until its last request has ended.

Rule 1: a connection shows the certificate that it was made with, so a pool belongs to one identity and is never shared.
Rule 2: a request that holds a token goes over the pool of the identity that the token is bound to, even if that is no
        longer the current one.
Rule 3: a forked child makes pools of its own; its parent's connections are not its.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from certbound.client.forking import anew_in_children
from certbound.client.identity import Identity, IdentitySource

_P = TypeVar("_P")


@dataclass(slots=True, eq=False)
class Held(Generic[_P]):
    """A pool, whose it is, and how many requests it carries."""

    identity: Identity | None
    pool: _P
    users: int = 0


class Pools(Generic[_P]):
    """The pools of one transport; what they return as lists is for the caller to close."""

    def __init__(self, source: IdentitySource | None, make: Callable[[Identity | None], _P]) -> None:
        self._source = source
        self._make = make
        self._lock = threading.Lock()
        identity = source.current() if source else None
        self._newest: Held[_P] | None = Held(identity, make(identity))
        self._older: list[Held[_P]] = []
        anew_in_children(self)

    def __repr__(self) -> str:
        return "no certificate" if self._source is None else repr(self._source)

    def begin_anew(self) -> None:
        """As if nobody had asked yet; what there was is not closed, which would tell the parent's servers so."""
        self._lock = threading.Lock()
        self._newest, self._older = None, []

    def current(self) -> Identity | None:
        """Whoever the next connection is made as."""
        return self._source.current() if self._source else None

    @property
    def files(self) -> tuple[Path, ...]:
        """Where the identity comes from, for messages; none if it is in memory."""
        found: tuple[Path, ...] = getattr(self._source, "files", ())
        return found

    def enter(self, wanted: Identity | None) -> tuple[Held[_P], list[_P]]:
        """The pool for a request as `wanted`, or as whoever is current; and idle ones of identities of before."""
        now = self.current()
        with self._lock:
            idle: list[_P] = []
            if self._newest is None:
                self._newest = Held(now, self._make(now))
            elif self._newest.identity is not now:
                self._older.append(self._newest)
                self._newest = Held(now, self._make(now))
                idle = [each.pool for each in self._older if not each.users]
                self._older = [each for each in self._older if each.users]
            held = self._newest if wanted is None or wanted is now else self._of(wanted)
            held.users += 1
            return held, idle

    def leave(self, held: Held[_P]) -> list[_P]:
        """The request has ended; the pool, if it was the last one of an identity of before."""
        with self._lock:
            held.users -= 1
            if held is self._newest or held.users or held not in self._older:
                return []
            self._older.remove(held)
            return [held.pool]

    def empty(self) -> list[_P]:
        """All pools; there are none from now on but for the newest, which its user closes too."""
        with self._lock:
            pools = [each.pool for each in (self._newest, *self._older) if each is not None]
            self._older = []
            return pools

    def _of(self, wanted: Identity) -> Held[_P]:
        found = next((each for each in self._older if each.identity is wanted), None)
        if found is None:
            found = Held(wanted, self._make(wanted))
            self._older.append(found)
        return found
