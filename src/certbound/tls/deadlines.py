"""Time limits for many connections at the price of one timer.

Rule 1: a deadline that holds for all is a queue: what started first ends first, so a sweep looks at the front only.
Rule 2: the clock is coarse; nothing ends early, everything ends within two ticks of its time.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Clock:
    """The loop's time in seconds, as of the last tick."""

    __slots__ = ("now", "tick")

    def __init__(self, loop: asyncio.AbstractEventLoop, tick: float) -> None:
        self.now = loop.time()
        self.tick = tick


class Deadline(Generic[T]):
    """One time limit, `seconds` long, for whatever is started and not stopped."""

    __slots__ = ("_clock", "_expire", "_running", "seconds")

    def __init__(self, clock: Clock, seconds: float, expire: Callable[[T], None]) -> None:
        self.seconds = seconds
        self._clock = clock
        self._expire = expire
        self._running: OrderedDict[T, float] = OrderedDict()

    def start(self, item: T) -> None:
        """From now on `item` has `seconds`; a running deadline of its starts anew."""
        self._running.pop(item, None)
        self._running[item] = self._clock.now

    def start_once(self, item: T) -> None:
        """As `start`, but a running deadline stays as it is."""
        self._running.setdefault(item, self._clock.now)

    def stop(self, item: T) -> None:
        self._running.pop(item, None)

    def sweep(self) -> None:
        """Expire what is due."""
        latest = self._clock.now - self.seconds - self._clock.tick
        due = []
        for item, since in self._running.items():
            if since > latest:
                break
            due.append(item)
        for item in due:
            if self._running.pop(item, None) is not None:
                self._expire(item)
