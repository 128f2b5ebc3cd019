"""certbound.server.purging: what has ended goes by itself."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from certbound.core.ports import Store
from certbound.server import purging
from certbound.server.purging import MOST, Purge
from certbound.stores import open_store
from certbound.testing.store_tokens import access_token
from certbound.testing.stores import NOW


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    """An empty store."""
    store = await open_store("sqlite://")
    yield store
    await store.close()


async def fill(store: Store, ended: int, alive: int = 0) -> None:
    """So many tokens that ended a second ago, and so many that live."""
    ends = [NOW - 1] * ended + [NOW + 60] * alive
    await asyncio.gather(*(store.tokens.add(access_token(f"{n}", ends_at=end)) for n, end in enumerate(ends)))


@contextlib.asynccontextmanager
async def running(purge: Purge) -> AsyncIterator[None]:
    """While the task runs."""
    task = asyncio.create_task(purge.run())
    yield
    assert not task.done()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def until(condition: Callable[[], Any]) -> None:
    """It is so within five seconds."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


async def test_all_that_has_ended_is_purged(store: Store) -> None:
    """However many statements that takes, and nothing that is alive."""
    await fill(store, 3 * MOST + 1, alive=5)
    purge = Purge(store, lambda: NOW)
    await purge.purge()
    assert purge.gone == 3 * MOST + 1
    assert await store.tokens.purge(now=NOW) == 0
    assert await store.tokens.purge(now=NOW + 61) == 5


async def test_requests_have_their_turn(store: Store) -> None:
    """Others are served while there is much to purge."""
    await fill(store, 10 * MOST)
    purge = Purge(store, lambda: NOW)
    purging_all = asyncio.create_task(purge.purge())
    served = 0
    while not purging_all.done():
        await store.clients.find("client")
        served += 1
    await purging_all
    assert served >= 10


async def test_it_looks_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ends later goes later."""
    monkeypatch.setattr(purging, "PAUSE", 0.01)
    await fill(store, 1, alive=2)
    now = NOW
    purge = Purge(store, lambda: now)
    async with running(purge):
        await until(lambda: purge.gone == 1)
        now += 61
        await until(lambda: purge.gone == 3)


async def test_a_failure_is_told_once(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And it goes on, whatever it was; that it works again is told too."""
    monkeypatch.setattr(purging, "PAUSE", 0.01)
    caplog.set_level("INFO", "certbound.server")
    looks = 0
    good = False

    def now() -> float:
        nonlocal looks
        looks += 1
        if not good:
            raise ZeroDivisionError
        return NOW

    await fill(store, 1)
    purge = Purge(store, now)
    async with running(purge):
        await until(lambda: looks > 5)
        assert [each.getMessage() for each in caplog.records] == ["what has ended cannot be purged"]
        good = True
        await until(lambda: purge.gone)
        await until(lambda: len(caplog.records) == 2)
    assert caplog.records[1].getMessage() == "what has ended is purged again"


async def test_a_store_that_does_not_answer_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One line says why, however long it lasts."""
    monkeypatch.setattr(purging, "PAUSE", 0.01)
    store = await open_store("sqlite://")
    await store.close()
    async with running(Purge(store, lambda: NOW)):
        await until(lambda: caplog.records)
        await asyncio.sleep(0.1)
    [line] = caplog.records
    assert line.getMessage() == "what has ended cannot be purged: the store is closed"
    assert line.exc_info is None
