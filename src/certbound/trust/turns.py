"""Who may fetch when: so many at a time and a second at one place, so many at a time in all.

Rule 1: the place is the address that is connected to, not a name: many names of one victim are one place.
Rule 2: nobody is refused here; whoever waits too long gives up by himself.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

AT_ONCE = 64
"""Fetches at a time."""
AT_ONE_SITE = 8
"""Of these, at one place."""
PER_SECOND = 50.0
"""How many may begin in a second at one place."""
BURST = 200
"""How many may begin together at a place that was left alone."""
_MOST_IDLE = 1024


class Turns:
    """Hands out turns in the order they are asked for, place by place."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` counts seconds and never goes back."""
        self._clock = clock
        self._places = asyncio.Semaphore(AT_ONCE)
        self._sites: dict[str, Site] = {}

    @contextlib.asynccontextmanager
    async def turn(self, name: str) -> AsyncIterator[None]:
        """Within it one may be connected to the site of that name."""
        site = self._sites.setdefault(name, Site())
        site.users += 1
        try:
            async with site.places:
                await asyncio.sleep(site.begin(self._clock()))
                async with self._places:
                    yield
        finally:
            site.users -= 1
            if len(self._sites) > _MOST_IDLE:
                self._forget_idle()

    def _forget_idle(self) -> None:
        now = self._clock()
        self._sites = {name: site for name, site in self._sites.items() if site.users or site.full_at > now}


class Site:
    """One place, and when it may be gone to."""

    __slots__ = ("full_at", "places", "users")

    def __init__(self) -> None:
        self.places = asyncio.Semaphore(AT_ONE_SITE)
        self.users = 0
        self.full_at = float("-inf")
        """When the whole burst may begin again."""

    def begin(self, now: float) -> float:
        """One more begins; the seconds it has to wait before."""
        wait = max(0.0, self.full_at - now - (BURST - 1) / PER_SECOND)
        self.full_at = max(self.full_at, now) + 1 / PER_SECOND
        return wait
