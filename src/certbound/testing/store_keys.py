"""The conformance suite for stores: signing keys that take turns."""

import asyncio
from dataclasses import replace

from certbound.core.ports import KeyRecord
from certbound.testing.store_place import StorePlace, key


class KeyConformance(StorePlace):
    """What any store does with the succession of signing keys."""

    async def test_keys_keep_their_times(self) -> None:
        """When a key signs and when it goes comes back to the fraction, and not known is not zero."""
        async with self.opened() as store:
            keys = [
                key("a"),
                replace(key("b"), signs_from=1_700_000_000.125),
                replace(key("c"), signs_until=1_700_000_001.5, published_until=0.0),
            ]
            assert await store.keys.exchange([], keys)
            assert list(await store.keys.list()) == keys

    async def test_keys_are_exchanged(self) -> None:
        """What was there is gone, what was changed is changed, and what is new is there."""
        async with self.opened() as store:
            old, kept, new = key("old", created_at=1), key("kept", created_at=2), key("new", created_at=3)
            await store.keys.add(old)
            await store.keys.add(kept)
            changed = replace(kept, signs_until=5.0, private_key=b"as another password has it")
            assert await store.keys.exchange([kept, old], [new, changed])
            assert list(await store.keys.list()) == [changed, new]

    async def test_keys_that_changed_are_not_exchanged(self) -> None:
        """Whoever has read other keys than there are changes nothing, and is told so; the revision stays."""
        async with self.opened() as store:
            there = key("there")
            await store.keys.add(there)
            before = await store.revision()
            for read in ([], [key("other")], [replace(there, signs_until=1.0)], [there, key("other")]):
                assert await store.keys.exchange(read, [key("new")]) is False
            assert list(await store.keys.list()) == [there]
            assert await store.revision() == before

    async def test_no_exchange_is_no_change(self) -> None:
        """Keys for the same keys leave the revision where it is."""
        async with self.opened() as store:
            await store.keys.add(key())
            before = await store.revision()
            assert await store.keys.exchange([key()], [key()])
            assert not await store.keys.exchange([], [])
            assert await store.revision() == before

    async def test_an_exchange_moves_the_records(self) -> None:
        """Others must hear of it: `records` moves."""
        async with self.opened() as store:
            before = await store.revision()
            await store.keys.exchange([], [key()])
            assert (await store.revision()).records != before.records

    async def test_all_keys_may_go(self) -> None:
        """An exchange for nothing leaves nothing."""
        async with self.opened() as store:
            await store.keys.add(key())
            assert await store.keys.exchange([key()], [])
            assert list(await store.keys.list()) == []

    async def test_one_of_many_exchanges_wins(self) -> None:
        """Twenty tasks put another key in the place of one: one of them does, and it is its key that stands."""
        async with self.opened() as store:
            await store.keys.add(key("old"))
            new = [key(f"{n:02}") for n in range(20)]
            answers = await asyncio.gather(*(store.keys.exchange([key("old")], [each]) for each in new))
            assert answers.count(True) == 1
            assert list(await store.keys.list()) == [new[answers.index(True)]]

    async def test_two_processes_exchange_once(self) -> None:
        """So do two processes, again and again."""
        async with self.opened_twice() as views:
            there: list[KeyRecord] = []
            for n in range(5):
                new = [key(f"{n}-{view}") for view in range(2)]
                answers = await asyncio.gather(
                    *(view.keys.exchange(there, [each]) for view, each in zip(views, new, strict=True))
                )
                assert answers.count(True) == 1
                there = [new[answers.index(True)]]
                assert list(await views[0].keys.list()) == list(await views[1].keys.list()) == there
