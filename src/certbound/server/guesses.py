"""Limits on guessing what people type: passwords, and the codes that devices show.

Rule 1: a guess has a place before anything is looked at, and gives it back if it was right: so those that are under way
count too, and one that must wait costs nothing.
Rule 2: whose guesses count together: those of one network at one thing; all of one network count together as well,
`throttle.NEIGHBOURS` times as many.  From elsewhere the person still gets in, whoever guesses.
Rule 3: memory is bounded; what is forgotten is forgiven.
"""

from collections.abc import Callable
from dataclasses import dataclass

from certbound.server.throttle import CAPACITY, Bucket, Limit, network_of


class TooManyGuesses(Exception):
    """Whoever asks has to wait; `retry_after` seconds.  `is_written`: it is the first one beyond the limit."""

    def __init__(self, retry_after: int, reason: str = "too many guesses", *, is_written: bool = True) -> None:
        super().__init__(f"{reason}; wait {retry_after} s")
        self.retry_after = retry_after
        self.is_written = is_written


@dataclass(slots=True)
class Guess:
    """One that may be looked at; it counts as wrong until it `was_right`."""

    buckets: tuple[Bucket, ...]
    unwritten: int = 0
    """How many were not looked at before this one, and not written down."""

    def was_right(self) -> None:
        """It was right, or nobody looked at it: it gives its place back, once."""
        for bucket in self.buckets:
            bucket.level = max(0.0, bucket.level - 1)
        self.buckets = ()


class Guesses:
    """Counts guesses of this process."""

    def __init__(self, per_minute: int, clock: Callable[[], float], *, capacity: int = CAPACITY) -> None:
        """As `Limit`."""
        self._limit = Limit(per_minute, clock, capacity=capacity)

    @property
    def remembered(self) -> int:
        """How many senders."""
        return self._limit.remembered

    def begin(self, remote: str, what: str) -> Guess:
        """One more guess at `what`, from the address `remote`.  `TooManyGuesses` if there is no place."""
        network = network_of(remote)
        verdict = self._limit.one_more((network, what[:256]), network)
        if verdict.retry_after:
            raise TooManyGuesses(verdict.retry_after, is_written=verdict.is_written)
        return Guess(verdict.places, verdict.unwritten)
