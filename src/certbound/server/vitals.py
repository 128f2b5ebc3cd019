"""Whether this process can do its work now: the reasons why not, and the numbers of what is true.

Rule 1: a reason is a fixed sentence; what a store or a file says of itself stays in the log.
Rule 2: asking has an end: what does not answer within `PATIENCE` is down.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from certbound.core.errors import StoreUnavailable
from certbound.core.ports import Store
from certbound.server.metrics import SAMPLING, Numbers
from certbound.trust.sources import SourceStatus

PATIENCE = 2.0
"""Seconds."""

_log = logging.getLogger("certbound.server")


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """Where to look."""

    store: Store
    anchors: Callable[[], int]
    """How many trust anchors are loaded."""
    needs_anchors: bool
    """Whether the metadata promises what without an anchor nobody can do."""
    keys: Callable[[], int]
    """How many keys can sign or are published."""
    key_age: Callable[[], float | None]
    """Seconds since the key that signs was made; None if nobody knows."""
    clients: Callable[[], int | None]
    ending: Callable[[], int]
    """Registered certificates that end soon."""
    sources: Callable[[], Sequence[SourceStatus]]
    """How those who are asked about revocation are doing."""
    now: Callable[[], float]
    """Seconds since the epoch."""


async def hindrances(vitals: Vitals) -> list[str]:
    """Why this process cannot do its work; nothing if it can."""
    found = []
    if not await _store_answers(vitals.store):
        found.append("the store does not answer")
    if not vitals.keys():
        found.append("there is no key to sign with")
    if vitals.needs_anchors and not vitals.anchors():
        found.append("no trust anchor is loaded")
    return found


async def keep_sampling(vitals: Vitals, numbers: Numbers) -> None:
    """Until cancelled: what is true now is among the numbers."""
    while True:
        try:
            numbers.sample(await sample(vitals))
        except Exception:  # noqa: BLE001 - a watch that ended because of one bad look would end unnoticed
            _log.exception("the numbers of now cannot be told")
        await asyncio.sleep(SAMPLING)


async def sample(vitals: Vitals) -> Mapping[tuple[str, str], float | None]:
    """The values of `metrics.GAUGES`."""
    states = [_state(each, vitals.now()) for each in vitals.sources()]
    return {
        ("certbound_store_up", ""): float(await _store_answers(vitals.store)),
        ("certbound_clients", ""): vitals.clients(),
        ("certbound_trust_anchors", ""): vitals.anchors(),
        ("certbound_signing_keys", ""): vitals.keys(),
        ("certbound_signing_key_age_seconds", ""): vitals.key_age(),
        ("certbound_certificates_ending", ""): vitals.ending(),
        **{
            ("certbound_revocation_sources", state): states.count(state)
            for state in ("good", "failing", "outdated", "unread")
        },
    }


def _state(source: SourceStatus, now: float) -> str:
    if source.ends_at is not None and source.ends_at <= now:
        return "outdated"
    if source.failures:
        return "failing" if source.last_success is not None else "unread"
    return "good" if source.last_success is not None else "unread"


async def _store_answers(store: Store) -> bool:
    try:
        async with asyncio.timeout(PATIENCE):
            await store.revision()
    except (StoreUnavailable, TimeoutError):
        return False
    return True
