"""So many a minute of each sender, and what is left out is counted: for limits, and for lines of a log.

Rule 1: whose things count together is for the caller to say; all of one network count together as well, `NEIGHBOURS`
times as many.
Rule 2: up to the limit each is written down, then the first one beyond; the next one that has a place says how many
were not.
Rule 3: memory is bounded; what is forgotten is forgiven.
"""

import ipaddress
import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

NEIGHBOURS = 10
CAPACITY = 20_000
"""How many senders are remembered unless it is said otherwise: about 5 MB."""


@dataclass(slots=True)
class Bucket:
    """Runs full by failures and empties with time."""

    level: float = 0.0
    at: float = 0.0
    """When `level` was true."""
    untold: int = 0
    """Failures since it was full."""

    def has_room(self, now: float, most: int) -> bool:
        """Whether one more fits, at `now`."""
        self.level = max(0.0, self.level - (now - self.at) * most / 60)
        self.at = now
        return self.level + 1 <= most

    def seconds_to_room(self, most: int) -> int:
        """At least 1."""
        return max(1, math.ceil((self.level + 1 - most) * 60 / most))


class Buckets:
    """One for each sender; what was not asked for the longest is forgotten first."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._buckets: OrderedDict[object, Bucket] = OrderedDict()

    def __len__(self) -> int:
        """How many senders are remembered."""
        return len(self._buckets)

    def of(self, whose: object, now: float) -> Bucket:
        """The sender's, a new one if it has none."""
        bucket = self._buckets.get(whose)
        if bucket is None:
            bucket = self._buckets[whose] = Bucket(at=now)
            if len(self._buckets) > self._capacity:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(whose)
        return bucket


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows from one more."""

    retry_after: int
    """Seconds after which the next one is one too many no more; 0 while this one is not."""
    unwritten: int
    """How many were not written down before this one, which is."""
    is_written: bool
    """Whether this one is written down: each up to the limit, then the first one beyond."""
    places: tuple[Bucket, ...] = ()
    """Where it has a place; none if it is one too many."""


class Limit:
    """So many a minute of each sender, and `NEIGHBOURS` times as many of each network."""

    def __init__(self, per_minute: int, clock: Callable[[], float], *, capacity: int = CAPACITY) -> None:
        """`clock` counts seconds and never goes back."""
        self._most = per_minute
        self._clock = clock
        self._buckets = Buckets(capacity)

    @property
    def remembered(self) -> int:
        """How many senders; it stops at the capacity."""
        return len(self._buckets)

    def one_more(self, whose: object, network: object) -> Verdict:
        """It takes a place of the sender's and one of the network's; beyond either limit it takes none."""
        now = self._clock()
        own, near = self._buckets.of(whose, now), self._buckets.of(network, now)
        for bucket, most in ((own, self._most), (near, self._most * NEIGHBOURS)):
            if not bucket.has_room(now, most):
                # What is too many fills nothing, or one that goes on would never be heard of again.
                bucket.untold += 1
                return Verdict(bucket.seconds_to_room(most), 0, is_written=bucket.untold == 1)
        unwritten = max(0, own.untold - 1) + max(0, near.untold - 1)
        for bucket in (own, near):
            bucket.level += 1
            bucket.untold = 0
        return Verdict(0, unwritten, is_written=True, places=(own, near))


def network_of(remote: str) -> str:
    """What one subscriber has: an IPv4 address, or the first 64 bits of an IPv6 one; `remote` itself if it is none."""
    if ":" not in remote:
        return remote
    try:
        address = ipaddress.IPv6Address(remote.partition("%")[0])
    except ValueError:
        return remote
    mapped = address.ipv4_mapped
    return str(mapped) if mapped else f"{ipaddress.IPv6Address(int(address) >> 64 << 64)}/64"
