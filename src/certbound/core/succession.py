"""Which signing key signs, which are published, and when one takes the place of another.

Rule 1: a key is published `lead` seconds before it signs, and `kept` seconds after it signed last: whoever verifies
knows it while a token lives that it signed.
Rule 2: each algorithm has a succession of its own, so that servers which are set to different ones, as while they are
restarted in turn, leave each other's keys alone.
Rule 3: what is here reads records and answers with records; that of two processes only one writes its answer is the
store's affair (`Keys.exchange`).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from certbound.core.ports import KeyRecord

DAY = 86400.0
LEAD = DAY
"""Seconds a new key is published before it signs.  Verifiers keep a JWK Set for minutes, some for six hours."""
LONGEST_TOKEN = DAY
"""Seconds that the longest token lives that the settings allow: what is set today may have been more yesterday."""
MARGIN = 3600.0
"""Seconds by which clocks may differ, and a proxy may hold an old JWK Set back."""
SWITCH = 2.0
"""Seconds until every process has heard of a change, and makes it at one moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When keys take turns, in seconds."""

    period: float | None
    """How long a key signs; None if its successor is made by hand."""
    lead: float = LEAD
    kept: float = LONGEST_TOKEN + MARGIN


class State(StrEnum):
    """What a key does."""

    NEXT = "next"
    """It is published, and will sign."""
    SIGNS = "signs"
    STANDS_BY = "stands by"
    """It could sign, but another one does."""
    VERIFIES = "verifies"
    """It signs no more; tokens that it signed may live."""
    ENDED = "ended"
    """No token can live that it signed."""


def state_of(record: KeyRecord, records: Iterable[KeyRecord], alg: str, now: float) -> State:
    """What this key does among the others, where `alg` is set."""
    if has_ended(record, now):
        return State.ENDED
    signing = choose(records, alg, now)
    if signing is not None and signing.kid == record.kid:
        return State.SIGNS
    if now < record.signs_from:
        return State.NEXT
    return State.STANDS_BY if may_sign(record, now) else State.VERIFIES


def choose(records: Iterable[KeyRecord], alg: str, now: float) -> KeyRecord | None:
    """The key that signs: the newest one of `alg` whose time is now, or of any if there is none; None without keys."""
    return max(records, key=lambda each: _fitness(each, alg, now), default=None)


def may_sign(record: KeyRecord, now: float) -> bool:
    """Whether its time is now."""
    return record.signs_from <= now and (record.signs_until is None or now < record.signs_until)


def is_published(record: KeyRecord, now: float) -> bool:
    """Whether the key stands in the JWK Set."""
    return record.created_at <= now and not has_ended(record, now)


def has_ended(record: KeyRecord, now: float) -> bool:
    """Whether no token can live that it signed."""
    return record.published_until is not None and record.published_until <= now


def moments(records: Iterable[KeyRecord]) -> Iterator[float]:
    """When anything of this becomes another."""
    for each in records:
        yield from (each.created_at, each.signs_from)
        yield from (end for end in (each.signs_until, each.published_until) if end is not None)


def due(records: Sequence[KeyRecord], alg: str, schedule: Schedule, now: float) -> float | None:
    """From when a new key of `alg` should sign, if it is time to make one; else None."""
    if not any(may_sign(each, now) or now < each.signs_from for each in records):
        return now  # nobody could know a key that would do until then
    newest = _newest(records, alg)
    if newest is None or newest.signs_until is not None:
        return now + schedule.lead
    if schedule.period is None:
        return None
    ends = _begins(newest) + schedule.period
    return max(ends, now + schedule.lead) if ends - schedule.lead <= now else None


def succeeded(records: Sequence[KeyRecord], successor: KeyRecord, schedule: Schedule) -> Sequence[KeyRecord]:
    """The keys with `successor`, which takes the place of the newest one of its algorithm at `signs_from`."""
    newest = _newest(records, successor.alg)
    at = successor.signs_from
    return [*(_ends(each, at, schedule.kept) if each is newest else each for each in records), successor]


def replaced(records: Sequence[KeyRecord], successor: KeyRecord) -> Sequence[KeyRecord]:
    """`successor` instead of all keys, which end when it begins: what they signed is worth nothing from then on.

    Those that were yet to sign are gone.
    """
    at = successor.signs_from
    return [*(_ends(each, at, 0) for each in records if each.signs_from < at), successor]


def retired(records: Sequence[KeyRecord], found: KeyRecord, *, now: float, kept: float) -> Sequence[KeyRecord]:
    """The keys, of which `found` signs no more, and ends `kept` seconds later.

    One that was yet to sign is gone, and the key that it would have succeeded goes on.
    """
    if now < found.signs_from:
        return [_goes_on(each) if _precedes(each, found) else each for each in records if each is not found]
    return [_ends(each, now, kept) if each is found else each for each in records]


def swept(records: Sequence[KeyRecord], alg: str, schedule: Schedule, now: float) -> Sequence[KeyRecord]:
    """The keys without those that have ended; one of another algorithm that nobody rotated in time signs no more."""
    kept = [each for each in records if not has_ended(each, now)]
    signing = choose(kept, alg, now)
    return [
        _ends(each, now, schedule.kept) if each is not signing and _is_forgotten(each, alg, schedule, now) else each
        for each in kept
    ]


def _is_forgotten(record: KeyRecord, alg: str, schedule: Schedule, now: float) -> bool:
    """Whether a server with its algorithm would have made a successor a day ago, so that there is none."""
    if record.alg == alg or record.signs_until is not None or schedule.period is None:
        return False
    return now > _begins(record) + schedule.period + DAY


def _fitness(record: KeyRecord, alg: str, now: float) -> tuple[bool, bool, bool, float]:
    # The last resort is one that signed before, or begins soon: clocks go back, and hands edit tables.
    can = may_sign(record, now)
    return can, can and record.alg == alg, record.signs_from <= now, -abs(now - record.signs_from)


def _begins(record: KeyRecord) -> float:
    """Since when it signs; a key of before there were successions has no `signs_from`."""
    return max(record.signs_from, record.created_at)


def _newest(records: Iterable[KeyRecord], alg: str) -> KeyRecord | None:
    return max((each for each in records if each.alg == alg), key=lambda each: each.signs_from, default=None)


def _precedes(record: KeyRecord, successor: KeyRecord) -> bool:
    return record.alg == successor.alg and record.signs_until == successor.signs_from


def _goes_on(record: KeyRecord) -> KeyRecord:
    return replace(record, signs_until=None, published_until=None)


def _ends(record: KeyRecord, at: float, kept: float) -> KeyRecord:
    """The record with its ends at these moments, or where they were if that was before."""
    signs_until = at if record.signs_until is None else min(record.signs_until, at)
    published_until = signs_until + kept if kept else at
    if record.published_until is not None:
        published_until = min(published_until, record.published_until)
    return replace(record, signs_until=signs_until, published_until=published_until)
