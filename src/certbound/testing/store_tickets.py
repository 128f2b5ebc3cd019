"""The conformance suite for stores: tickets."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from certbound.core.errors import StoreUnavailable
from certbound.core.ports import (
    AlreadyExists,
    AlreadyTaken,
    GrantRecord,
    Store,
    TicketKind,
    TicketRecord,
)
from certbound.testing.store_grants import grant
from certbound.testing.store_place import (
    METADATA,
    NOW,
    ODD_IDENTIFIERS,
    StorePlace,
    client,
    refused,
)

LIFETIME = 60.0
CODE = (TicketKind.CODE, "code")


def ticket(digest: str = "code", kind: TicketKind = TicketKind.CODE, **changes: Any) -> TicketRecord:
    """A ticket that no store has seen yet; it lives a minute."""
    facts: dict[str, Any] = {"content": METADATA, "created_at": NOW, "ends_at": NOW + LIFETIME, **changes}
    return TicketRecord(kind=kind, digest=digest, **facts)


async def find(store: Store, digest: str = "code", after: float = 0) -> TicketRecord | None:
    """A code, so many seconds after it was added."""
    return await store.tickets.find(TicketKind.CODE, digest, now=NOW + after)


async def take(store: Store, digest: str = "code", after: float = 0) -> bool:
    """So many seconds after it was added."""
    return await store.tickets.take(TicketKind.CODE, digest, now=NOW + after)


async def open_for(store: Store, number: int = 0, after: float = 0, record: GrantRecord | None = None) -> None:
    """A grant of that number with its refresh token, for the code."""
    await store.grants.open(record or grant(f"{number}"), f"first of {number}", now=NOW + after, ticket=CODE)


class TicketConformance(StorePlace):
    """What any store does with tickets."""

    async def test_a_ticket_comes_back(self) -> None:
        """What was added is found, whatever its content is; to the bit of its times, and nothing else is found."""
        async with self.opened() as store:
            record = ticket(created_at=NOW + 0.125, ends_at=NOW + 60.5)
            await store.tickets.add(record)
            found = await find(store)
            assert found is not None
            assert replace(found, version=record.version) == record
            for other in ("Code", "code ", " code", "", "nul\0", "half \ud83d pair", *ODD_IDENTIFIERS):
                assert await find(store, other) is None

    async def test_a_ticket_is_of_one_kind(self) -> None:
        """What counts as one counts as no other, though the same is shown: each is another ticket."""
        async with self.opened() as store:
            for number, kind in enumerate(TicketKind):
                await store.tickets.add(ticket("same", kind, content={"n": number}))
                assert [
                    await store.tickets.find(each, "same", now=NOW) is not None for each in TicketKind
                ] == [n <= number for n in range(len(TicketKind))]  # fmt: skip
            for number, kind in enumerate(TicketKind):
                found = await store.tickets.find(kind, "same", now=NOW)
                assert found is not None
                assert (found.kind, found.content, found.taken_at) == (kind, {"n": number}, None)
                assert await store.tickets.take(kind, "same", now=NOW)

    async def test_odd_digests_are_digests(self) -> None:
        """Each is itself and no other: added, changed, taken and removed."""
        async with self.opened() as store:
            for each in ODD_IDENTIFIERS:
                await store.tickets.add(ticket(each, content={"digest": each}))
            for number, each in enumerate(ODD_IDENTIFIERS):
                found = await find(store, each)
                assert found is not None
                assert (found.digest, found.content) == (each, {"digest": each})
                assert await store.tickets.change(replace(found, content={}), now=NOW)
                assert await take(store, each)
                await store.tickets.remove(TicketKind.CODE, each)
                assert await find(store, each) is None
                there = [await find(store, other) is not None for other in ODD_IDENTIFIERS]
                assert there == [n > number for n in range(len(ODD_IDENTIFIERS))]

    @pytest.mark.parametrize(
        "changes",
        [{"digest": "nul\0"}, {"digest": "half \ud83d pair"}, {"content": {"odd": object()}}, {"content": {"x": 1j}}],
        ids=["nul", "surrogate", "object", "complex"],
    )
    async def test_a_ticket_that_cannot_be_kept_is_refused(self, changes: dict[str, Any]) -> None:
        """As `StoreUnavailable`; it can be neither changed, taken nor removed, and nothing is there."""
        async with self.opened() as store:
            record = replace(ticket(), **changes)
            await refused(StoreUnavailable, store.tickets.add(record))
            assert await find(store, record.digest) is None
            assert not await take(store, record.digest)
            await store.tickets.remove(TicketKind.CODE, record.digest)
            if "digest" in changes:
                assert not await store.tickets.change(record, now=NOW)
                opening = store.grants.open(grant(), None, now=NOW, ticket=(TicketKind.CODE, record.digest))
                await refused(AlreadyTaken, opening)

    async def test_a_digest_is_added_once(self) -> None:
        """`AlreadyExists` for the second, also when the first was taken; the first stays as it was."""
        async with self.opened() as store:
            await store.tickets.add(ticket(content={"first": True}))
            stored = await find(store)
            await refused(AlreadyExists, store.tickets.add(ticket(content={"first": False})))
            assert await find(store) == stored
            assert await take(store)
            await refused(AlreadyExists, store.tickets.add(ticket(content={"first": False})))
            found = await find(store)
            assert found is not None
            assert (found.content, found.taken_at) == ({"first": True}, NOW)

    async def test_a_ticket_ends(self) -> None:
        """Until then it is found, changed and taken; then it is there for nobody, purged or not."""
        async with self.opened() as store:
            for each in ("code", "taken"):
                await store.tickets.add(ticket(each))
            assert await take(store, "taken", LIFETIME)
            found = await find(store, after=LIFETIME)
            assert found is not None
            for digest in ("code", "taken"):
                assert await find(store, digest, LIFETIME + 0.5) is None
            assert not await take(store, after=LIFETIME + 0.5)
            assert not await store.tickets.change(replace(found, content={}), now=NOW + LIFETIME + 0.5)
            assert await store.tickets.change(replace(found, content={}), now=NOW + LIFETIME)
            assert await take(store, after=LIFETIME)

    async def test_a_taken_ticket_says_when(self) -> None:
        """It is found until it ends, with what it was and the moment of the first who took it."""
        async with self.opened() as store:
            await store.tickets.add(ticket())
            assert [await take(store, after=n) for n in (1.5, 2, 3)] == [True, False, False]
            found = await find(store, after=4)
            assert found is not None
            assert (found.taken_at, found.content) == (NOW + 1.5, METADATA)
            assert not await store.tickets.change(replace(found, content={}), now=NOW)
            assert await find(store) == found

    async def test_a_ticket_changes(self) -> None:
        """What was read is replaced, not merged, and its end with it; not what it is, nor when it was made."""
        async with self.opened() as store:
            await store.tickets.add(ticket(content={"a": 1, "b": 2}))
            old = await find(store)
            assert old is not None
            changed = replace(old, content={"b": 3}, ends_at=NOW + 5, created_at=NOW - 9, taken_at=NOW)
            assert await store.tickets.change(changed, now=NOW)
            new = await find(store)
            assert new is not None
            assert new.version != old.version
            assert new == replace(old, content={"b": 3}, ends_at=NOW + 5, version=new.version)
            assert await find(store, after=6) is None

    async def test_a_ticket_changes_from_what_was_read(self) -> None:
        """False, and nothing changed, for one that changed since, that never was so, or that is not there."""
        async with self.opened() as store:
            await store.tickets.add(ticket(content={"n": 0}))
            old = await find(store)
            assert old is not None
            assert await store.tickets.change(replace(old, content={"n": 1}), now=NOW)
            now = await find(store)
            assert now is not None
            for version in (old.version, now.version + 1, -1):
                assert not await store.tickets.change(replace(old, content={"n": 2}, version=version), now=NOW)
            assert not await store.tickets.change(replace(now, digest="never there"), now=NOW)
            assert await find(store) == now
            assert await take(store)

    async def test_a_version_that_no_database_has_is_none(self) -> None:
        """Nothing is changed by one of seventy bits."""
        async with self.opened() as store:
            await store.tickets.add(ticket())
            stored = await find(store)
            assert stored is not None
            for version in (2**63, 2**70):
                call = store.tickets.change(replace(stored, version=version), now=NOW)
                [answer] = await asyncio.gather(call, return_exceptions=True)
                assert answer is False or isinstance(answer, StoreUnavailable)
            assert await find(store) == stored

    async def test_a_ticket_is_removed(self) -> None:
        """It is gone, taken or not, and the others stay; its digest is free again."""
        async with self.opened() as store:
            for each in ("a", "b", "c"):
                await store.tickets.add(ticket(each))
            await take(store, "b")
            for each in ("a", "b", "b", "never there", "nul\0"):
                await store.tickets.remove(TicketKind.CODE, each)
            assert [await find(store, each) is not None for each in ("a", "b", "c")] == [False, False, True]
            assert not await take(store, "a")
            await store.tickets.add(ticket("b"))
            assert await take(store, "b")

    # At once

    async def test_one_of_fifty_takes_a_ticket(self) -> None:
        """All others are told that they did not, and so for each of four tickets."""
        async with self.opened() as store:
            digests = ["a", "b", "c", "d"]
            for each in digests:
                await store.tickets.add(ticket(each))
            answers = await asyncio.gather(*(take(store, digests[n % 4], n) for n in range(50)))
            taken = [digests[n % 4] for n, first in enumerate(answers) if first]
            assert sorted(taken) == digests

    async def test_one_of_fifty_changes_what_all_read(self) -> None:
        """It is its change that stands."""
        async with self.opened() as store:
            await store.tickets.add(ticket())
            read = await find(store)
            assert read is not None
            changes = (store.tickets.change(replace(read, content={"n": n}), now=NOW) for n in range(50))
            answers = await asyncio.gather(*changes)
            found = await find(store)
            assert found is not None
            assert answers.count(True) == 1
            assert found.content == {"n": answers.index(True)}

    async def test_a_ticket_is_changed_before_it_is_taken(self) -> None:
        """Who takes it has it, and who changes it at once is told whether that was in time."""
        async with self.opened() as store:
            for n in range(10):
                digest = f"{n}"
                await store.tickets.add(ticket(digest, content={}))
                read = await find(store, digest)
                assert read is not None
                change = store.tickets.change(replace(read, content={"changed": True}), now=NOW)
                changed, taken = await asyncio.gather(change, take(store, digest))
                found = await find(store, digest)
                assert found is not None
                assert (found.content == {"changed": True}, found.taken_at is not None, taken) == (changed, True, True)

    async def test_two_processes_take_a_ticket_once(self) -> None:
        """Whichever order they come in; and each sees at once what the other did."""
        async with self.opened_twice() as views:
            digests = [f"{n}" for n in range(20)]
            for each in digests:
                await views[0].tickets.add(ticket(each))
            calls = [take(views[0], each) for each in digests] + [take(views[1], each) for each in digests[::-1]]
            answers = await asyncio.gather(*calls)
            assert [a + b for a, b in zip(answers[:20], reversed(answers[20:]), strict=True)] == [1] * 20
            for view in views:
                found = [await find(view, each) for each in digests]
                assert all(each is not None and each.taken_at == NOW for each in found)

    # The end

    async def test_nobody_hears_of_tickets(self) -> None:
        """Neither number of the revision moves, whatever is done with them."""
        async with self.opened() as store:
            await store.clients.add(client())
            before = await store.revision()
            for each in ("code", "other"):
                await store.tickets.add(ticket(each))
            found = await find(store)
            assert found is not None
            await store.tickets.change(found, now=NOW)
            await open_for(store)
            await refused(AlreadyTaken, open_for(store, 1))
            await take(store, "other")
            await store.tickets.remove(TicketKind.CODE, "other")
            await store.tokens.purge(now=NOW + LIFETIME + 1)
            assert await store.revision() == before

    async def test_tickets_that_have_ended_are_purged(self) -> None:
        """Taken or not, a part at a time, and nothing that is alive; a code that was taken is known until it ends."""
        async with self.opened() as store:
            for n in range(25):
                await store.tickets.add(ticket(f"{n}", ends_at=NOW - n - 1))
            await store.tickets.add(ticket(ends_at=NOW))
            await take(store)
            assert [await store.tokens.purge(now=NOW, most=10) for _ in range(4)] == [10, 10, 5, 0]
            found = await find(store)
            assert found is not None
            assert found.taken_at == NOW
            assert await store.tokens.purge(now=NOW + 1) == 1

    async def test_tickets_survive_a_restart(self) -> None:
        """What was taken stays so."""
        if not self.reopens:
            pytest.skip("each opening of this store is a place of its own")
        async with self.opened() as store:
            for each in ("code", "taken"):
                await store.tickets.add(ticket(each))
            await take(store, "taken")
            there = [await find(store, each) for each in ("code", "taken")]
        async with self.opened() as store:
            assert [await find(store, each) for each in ("code", "taken")] == there
            assert [await take(store, each) for each in ("code", "taken")] == [True, False]

    async def test_no_tickets_in_a_closed_store(self) -> None:
        """After `close` every call is `StoreUnavailable`."""
        store = await self.open()
        await store.close()
        for call in (
            store.tickets.add(ticket()),
            find(store),
            store.tickets.change(ticket(), now=NOW),
            take(store),
            store.tickets.remove(*CODE),
            open_for(store),
        ):
            await refused(StoreUnavailable, call)
