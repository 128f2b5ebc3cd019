"""The conformance suite for stores: signing keys, and how they take turns."""

import asyncio
from dataclasses import replace

import pytest

from certbound.core.errors import StoreUnavailable
from certbound.core.ports import AlreadyExists, KeyRecord
from certbound.testing.store_place import StorePlace, key


class KeyConformance(StorePlace):
    """What any store does with signing keys."""

    async def test_keys_come_back(self) -> None:
        """A key is stored byte by byte."""
        async with self.opened() as store:
            await store.keys.add(key("ключ ' 🔐"))
            assert list(await store.keys.list()) == [key("ключ ' 🔐")]

    async def test_keys_are_listed_oldest_first(self) -> None:
        """All keys, oldest first, in whatever order they were stored."""
        async with self.opened() as store:
            for created_at in (30.0, 10.5, 20.0, 10.25):
                await store.keys.add(key(f"{created_at}", created_at=created_at))
            assert [record.created_at for record in await store.keys.list()] == [10.25, 10.5, 20.0, 30.0]

    async def test_a_kid_is_taken_once(self) -> None:
        """`AlreadyExists` if the kid is there, and the key that has it stays as it was."""
        async with self.opened() as store:
            await store.keys.add(key(created_at=1))
            with pytest.raises(AlreadyExists):
                await store.keys.add(key(created_at=2))
            assert list(await store.keys.list()) == [key(created_at=1)]

    async def test_add_first_stores_the_first(self) -> None:
        """`add_first` stores its key if there was none, and else returns the oldest of those that were there."""
        async with self.opened() as store:
            assert await store.keys.add_first(key("a", created_at=50)) == key("a", created_at=50)
            assert await store.keys.add_first(key("b", created_at=1)) == key("a", created_at=50)
            await store.keys.add(key("c", created_at=40))
            assert await store.keys.add_first(key("d")) == key("c", created_at=40)
            assert [record.kid for record in await store.keys.list()] == ["c", "a"]

    async def test_a_private_key_is_not_shown(self) -> None:
        """What a store says when it fails has no private key in it."""
        async with self.opened() as store:
            secret = KeyRecord(kid="nul\0", alg="ES256", private_key=b"correct horse battery staple")
            with pytest.raises(StoreUnavailable) as refused:
                await store.keys.add(secret)
            assert "horse" not in str(refused.value) + str(refused.value.__cause__)

    async def test_many_first_keys_are_one(self) -> None:
        """Twenty tasks call `add_first` at once: all get the same key, and it is the only one."""
        async with self.opened() as store:
            calls = (store.keys.add_first(key(f"{n}", created_at=n)) for n in range(20))
            first = await asyncio.gather(*calls)
            assert len({record.kid for record in first}) == 1
            assert list(await store.keys.list()) == [first[0]]

    async def test_two_processes_have_one_first_key(self) -> None:
        """`add_first` is atomic between processes."""
        async with self.opened_twice() as views:
            calls = [view.keys.add_first(key(f"{n}")) for n in range(10) for view in views]
            first = await asyncio.gather(*calls)
            assert len({record.kid for record in first}) == 1
            assert list(await views[1].keys.list()) == [first[0]]

    # Succession

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
