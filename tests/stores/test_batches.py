"""certbound.stores.batches: many callers, few transactions, and each has an answer of his own."""

import asyncio
from collections.abc import Sequence

import pytest

from certbound.core.errors import StoreUnavailable
from certbound.stores.batches import Batches


class Transactions:
    """Doubles what it is asked; refuses what is negative, and fails at zero."""

    def __init__(self) -> None:
        self.seen: list[Sequence[int]] = []
        self.may_end = asyncio.Event()
        self.may_end.set()

    async def __call__(self, some: Sequence[int]) -> Sequence[int | Exception]:
        self.seen.append(some)
        await self.may_end.wait()
        if 0 in some:
            raise StoreUnavailable("gone")
        return [2 * each if each > 0 else ValueError(str(each)) for each in some]


@pytest.fixture
def work() -> Transactions:
    return Transactions()


async def test_those_who_come_meanwhile_share_the_next_transaction(work: Transactions) -> None:
    """The first one waits for nobody; a thousand after it are a few."""
    work.may_end.clear()
    batches = Batches(work, most=600)
    asking = [asyncio.ensure_future(batches.ask(each)) for each in range(1, 2)]
    await asyncio.sleep(0.01)
    asking += [asyncio.ensure_future(batches.ask(each)) for each in range(2, 1002)]
    await asyncio.sleep(0.01)
    assert work.seen == [[1]]
    work.may_end.set()
    assert await asyncio.gather(*asking) == [2 * each for each in range(1, 1002)]
    assert [len(each) for each in work.seen] == [1, 600, 400]


async def test_who_is_about_to_ask_is_waited_for_where_many_ask(work: Transactions) -> None:
    """Not where one asks alone, and for two turns of the loop."""

    async def ask_after(turns: int, number: int) -> int:
        for _ in range(turns):
            await asyncio.sleep(0)
        return await batches.ask(number)

    batches = Batches(work)
    assert await asyncio.gather(*(ask_after(0, 1), ask_after(2, 2))) == [2, 4]
    assert work.seen == [[1], [2]]
    await asyncio.gather(ask_after(0, 3), ask_after(0, 4))
    assert await asyncio.gather(*(ask_after(0, 5), ask_after(2, 6))) == [10, 12]
    assert work.seen[2:] == [[3, 4], [5, 6]]
    assert await asyncio.gather(*(ask_after(0, 7), ask_after(9, 8))) == [14, 16]
    assert work.seen[4:] == [[7], [8]]


async def test_each_has_its_own_refusal(work: Transactions) -> None:
    """What one is refused for says nothing to the others of its transaction."""
    answers = await asyncio.gather(*map(Batches(work).ask, (1, -1, 2)), return_exceptions=True)
    assert [str(each) for each in answers] == ["2", "-1", "4"]
    assert len(work.seen) == 1


async def test_a_transaction_that_fails_is_the_answer_of_all_in_it(work: Transactions) -> None:
    """And of nobody after it."""
    batches = Batches(work)
    answers = await asyncio.gather(*map(batches.ask, (1, 0)), return_exceptions=True)
    assert [type(each) for each in answers] == [StoreUnavailable] * 2
    assert await batches.ask(3) == 6


async def test_each_who_shares_a_failure_has_one_of_his_own(work: Transactions) -> None:
    """A traceback is of one caller, and no other's is in a log with it."""
    errors = await asyncio.gather(*map(Batches(work).ask, (1, 2, 0)), return_exceptions=True)
    assert len({id(each) for each in errors}) == 3
    assert {str(each) for each in errors} == {"gone"}


async def test_nobody_waits_longer_than_is_patient(work: Transactions) -> None:
    """Who came later waits later; who is served is waited for; and whoever was refused takes no part."""
    work.may_end.clear()
    batches = Batches(work, patience=0.2)
    began = asyncio.get_running_loop().time()
    asking = [asyncio.ensure_future(batches.ask(1))]
    await asyncio.sleep(0.01)
    asking += [asyncio.ensure_future(batches.ask(each)) for each in (2, 3)]
    await asyncio.sleep(0.1)
    asking.append(asyncio.ensure_future(batches.ask(4)))
    late = await asyncio.gather(*asking[1:3], return_exceptions=True)
    assert 0.2 <= asyncio.get_running_loop().time() - began
    assert [type(each) for each in late] == [StoreUnavailable] * 2
    assert [each.done() for each in asking] == [False, True, True, False]
    work.may_end.set()
    assert [await asking[0], await asking[3]] == [2, 8]
    assert work.seen == [[1], [4]]
    await asyncio.sleep(0.25)
    work.may_end.clear()
    asking = [asyncio.ensure_future(batches.ask(1))]
    await asyncio.sleep(0.01)
    with pytest.raises(StoreUnavailable):
        await batches.ask(5)
    work.may_end.set()
    assert await asking[0] == 2


async def test_who_went_away_takes_no_part(work: Transactions) -> None:
    """Nothing is written for a caller that gave up before his transaction began; one under way goes on."""
    work.may_end.clear()
    batches = Batches(work)
    asking = []
    for each in (1, 2, 3):
        asking.append(asyncio.ensure_future(batches.ask(each)))
        await asyncio.sleep(0.001)
    asking[0].cancel()
    asking[1].cancel()
    await asyncio.sleep(0)
    work.may_end.set()
    assert await asking[2] == 6
    assert work.seen == [[1], [3]]
    assert [each.cancelled() for each in asking] == [True, True, False]
