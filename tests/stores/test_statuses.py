"""certbound.stores.statuses: whatever is asked for, ends and is revoked, no place is anybody's twice."""

import asyncio
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certbound.core.errors import StoreUnavailable
from certbound.core.ports import StatusRecord, Store
from certbound.stores import open_store
from certbound.stores.statuses import FEWEST, LARGEST, PAGE, indices
from certbound.testing.store_place import NOW, allot, client, invalid, places, status

HOUR = 3600.0


@dataclass(frozen=True)
class Hour:
    """What happens in it: sizes that each process asks for, at once, and how long those blocks stand."""

    sizes: tuple[list[int], list[int]]
    stands: float
    revoked: int
    """Which of the places that are out is revoked alone, for much longer than its block stands."""
    is_purged: bool


SIZES = st.lists(st.sampled_from([1, 3, 4, 16, 16, 32, 64, 200, 1024]), max_size=8)
HOURS = st.lists(
    st.builds(
        Hour,
        sizes=st.tuples(SIZES, SIZES),
        stands=st.sampled_from([0.5 * HOUR, 1.5 * HOUR, 4.5 * HOUR]),
        revoked=st.integers(0, 1 << 16),
        is_purged=st.booleans(),
    ),
    min_size=2,
    max_size=6,
)


@settings(max_examples=6, deadline=None)
@given(HOURS)
def test_no_place_is_given_twice(hours: list[Hour]) -> None:
    """To two processes over one file, in a list so short that they meet in it."""
    with tempfile.TemporaryDirectory() as directory, patch("certbound.stores.statuses.FEWEST", 4 * PAGE):
        asyncio.run(_live(f"sqlite:///{directory}/test.sqlite", hours))


async def _live(url: str, hours: list[Hour]) -> None:
    views = [await open_store(url), await open_store(url)]
    await views[0].clients.add(client())
    out: list[StatusRecord] = []
    revoked: dict[int, float] = {}
    for number, hour in enumerate(hours):
        now = NOW + number * HOUR
        new = await asyncio.gather(
            *(
                allot(view, status(count=size, created_at=now, ends_at=now + hour.stands), now=now)
                for view, sizes in zip(views, hour.sizes, strict=True)
                for size in sizes
            )
        )
        if hour.is_purged:
            out = [each for each in out if each.ends_at >= now]
        out += new
        assert len(places(*out)) == sum(each.count for each in out)
        assert not places(*new) & {index for index, until in revoked.items() if until >= now}
        if new:
            chosen = sorted(places(*new))[hour.revoked % len(places(*new))]
            revoked[chosen] = now + 2.5 * HOUR
            await views[number % 2].revocations.invalidate(chosen, until=revoked[chosen])
        assert await invalid(views[0], now) == {index for index, until in revoked.items() if until >= now}
        await _purge(views[1], now + HOUR, is_due=hour.is_purged)
        if hour.is_purged:
            out = [each for each in out if each.ends_at >= now + HOUR]
    for each in views:
        await each.close()


async def _purge(store: Store, now: float, *, is_due: bool) -> None:
    while is_due and await store.tokens.purge(now=now):
        pass


async def test_large_blocks_find_room_among_small_ones(tmp_path: Path) -> None:
    """However many of four places there are, they do not lie everywhere: one of a thousand needs no longer list."""
    store = await open_store(f"sqlite:///{tmp_path}/test.sqlite")
    await store.clients.add(client())
    small = await asyncio.gather(*(allot(store, status(count=4)) for _ in range(2000)))
    assert len({each.index // PAGE for each in small}) == -(-2000 * 4 // PAGE)
    large = await asyncio.gather(*(allot(store, status(count=PAGE)) for _ in range(100)))
    assert len(places(*small, *large)) == 8000 + 100 * PAGE
    assert (await store.revocations.statuses(NOW)).size == 2 * FEWEST
    await store.close()


@pytest.mark.parametrize(
    ("pages", "expected"),
    [(0, FEWEST), (255, FEWEST), (511, FEWEST), (512, 2 * FEWEST), (5000, 1 << 24), (9000, LARGEST)],
)
def test_less_than_half_of_the_pages_are_in_use(pages: int, expected: int) -> None:
    """So an empty one is found soon, and the length of the list tells little."""
    assert indices(pages) == expected
    assert pages * PAGE < indices(pages) / 2


async def test_a_full_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It grows no longer than those can read who need it; then nothing is allotted, until something ends."""
    for name, value in (("LARGEST", 16 * PAGE), ("FEWEST", PAGE), ("TURNS", 1)):
        monkeypatch.setattr(f"certbound.stores.statuses.{name}", value)
    async with AsyncExitStack() as stack:
        store = await open_store(f"sqlite:///{tmp_path}/test.sqlite")
        stack.push_async_callback(store.close)
        await store.clients.add(client())
        for _ in range(15):
            await allot(store, status(count=PAGE))
        with pytest.raises(StoreUnavailable, match="full"):
            await allot(store, status(count=PAGE))
        after = status().ends_at + 1
        assert await store.tokens.purge(now=after) == 15
        await allot(store, status(count=PAGE), now=after)
