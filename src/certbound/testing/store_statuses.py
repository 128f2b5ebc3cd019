"""The conformance suite for stores: the statuses of tokens."""

import asyncio
from dataclasses import replace

import pytest

from certbound.core.errors import StoreUnavailable
from certbound.core.ports import RevokedKind, RevokedMeanwhile, Statuses, StatusRecord, Store
from certbound.testing.store_place import (
    NOW,
    ODD_IDENTIFIERS,
    StorePlace,
    allot,
    client,
    invalid,
    open_grant,
    places,
    refused,
    revocation,
    status,
)


async def news(store: Store, known: Statuses | None, now: float = NOW) -> Statuses:
    """What the list says, or what is new since then."""
    return await store.revocations.statuses(now, since=None if known is None else known.revision)


class StatusConformance(StorePlace):
    """What any store does with the statuses of tokens."""

    async def test_nothing_is_revoked_at_first(self) -> None:
        """A new store has no revocation and no status, and a list has room for some all the same."""
        async with self.opened() as store:
            assert list(await store.revocations.list()) == []
            said = await store.revocations.statuses(NOW)
            assert list(said.invalid) == []
            assert said.size > 0
            assert not await store.revocations.is_valid(0)

    async def test_nobody_else_has_a_place_of_a_block(self) -> None:
        """Whoever asks again for the same gets other places; all of them are valid, and in the list."""
        async with self.opened() as store:
            await store.clients.add(client())
            records = [status(count=count) for count in (1, 2, 3, 4, 16, 16, 17, 200, 1000, 1024, 1)]
            blocks = [await allot(store, each) for each in records * 2]
            assert [replace(each, index=-1) for each in blocks] == records * 2
            size = (await store.revocations.statuses(NOW)).size
            assert len(places(*blocks)) == 2 * sum(each.count for each in records)
            assert all(0 <= index < size for index in places(*blocks))
            for each in blocks:
                assert await store.revocations.is_valid(each.index)
                assert await store.revocations.is_valid(each.index + each.count - 1)
            assert await invalid(store) == set()

    async def test_a_block_that_cannot_be(self) -> None:
        """Of no place, of a million, of what no database can hold: nothing is allotted."""
        async with self.opened() as store:
            await store.clients.add(client())
            odd = [status("nul\0"), status("client", "\ud83d"), status("client", "leaf", "\0"), status(grant_id="\0")]
            for record in (status(count=0), status(count=-1), status(count=1 << 20), status(twins=("\0",)), *odd):
                await refused(StoreUnavailable, allot(store, record))

    async def test_nobody_can_foretell_a_place(self) -> None:
        """Two stores that were asked for the same do not answer the same; the list of the empty one is as long."""
        async with self.opened() as store:
            await store.clients.add(client())
            empty = (await store.revocations.statuses(NOW)).size
            blocks = await asyncio.gather(*(allot(store, status(count=16)) for _ in range(40)))
            firsts = [each.index for each in blocks]
            assert firsts != sorted(firsts)
            assert firsts != sorted(firsts, reverse=True)
            assert (await store.revocations.statuses(NOW)).size == empty

    async def test_one_token_is_revoked_alone(self) -> None:
        """Its siblings stay valid; clients need not be read again, and it is forgotten when it has ended."""
        async with self.opened() as store:
            await store.clients.add(client())
            block = await allot(store, status(count=16))
            before = await store.revision()
            await store.revocations.invalidate(block.index + 3, until=NOW + 300)
            after = await store.revision()
            assert (after.records, after.statuses > before.statuses) == (before.records, True)
            assert await invalid(store) == {block.index + 3}
            valid = [await store.revocations.is_valid(block.index + n) for n in range(-1, 17)]
            assert valid == [False, True, True, True, False, *[True] * 12, False]
            assert await invalid(store, NOW + 301) == set()

    async def test_a_token_is_revoked_twice(self) -> None:
        """It stays so until the later of the two moments, whatever their order."""
        async with self.opened() as store:
            await store.clients.add(client())
            block = await allot(store, status(count=16))
            for until in (NOW + 300, NOW + 600, NOW + 100):
                await store.revocations.invalidate(block.index, until=until)
            assert await invalid(store, NOW + 599) == {block.index}
            assert await invalid(store, NOW + 601) == set()

    async def test_many_tokens_are_revoked_at_once(self) -> None:
        """Each of them, and one that is among them twice."""
        async with self.opened() as store:
            await store.clients.add(client())
            block = await allot(store, status(count=1024))
            some = [block.index + n for n in range(0, 1024, 3)]
            await asyncio.gather(*(store.revocations.invalidate(each, until=NOW + 300) for each in [*some, some[7]]))
            assert await invalid(store) == set(some)

    async def test_news_are_what_became_invalid(self) -> None:
        """Since a number that was told before: tokens alone, blocks, those of grants; and nothing else."""
        async with self.opened() as store:
            await store.clients.add(client())
            await open_grant(store, "grant")
            names = ("first", "second", "third")
            blocks = [await allot(store, status(thumbprint=each, count=4)) for each in names]
            of_grant = await allot(store, status(thumbprint="x", grant_id="grant", count=4))
            await store.revocations.invalidate(blocks[2].index + 1, until=NOW + 300)
            known = await news(store, None)
            assert known.revision == (await store.revision()).statuses
            assert list((await news(store, known)).invalid) == []
            await store.revocations.invalidate(blocks[2].index + 2, until=NOW + 300)
            await store.revocations.invalidate(blocks[2].index + 1, until=NOW + 200)  # as it is already
            alone = await news(store, known)
            assert list(alone.invalid) == [(blocks[2].index + 2, 1)]
            await store.revocations.add(revocation(RevokedKind.CERTIFICATE, "first"))
            await store.grants.revoke("grant", now=NOW)
            await store.revocations.remove(RevokedKind.CERTIFICATE, "first")
            ended = await news(store, alone)
            assert sorted(ended.invalid) == sorted((each.index, 4) for each in (blocks[0], of_grant))
            assert (await news(store, ended)).revision == ended.revision == (await store.revision()).statuses
            everything = {*known.invalid, *alone.invalid, *ended.invalid}
            assert set((await news(store, None)).invalid) == everything
            assert {known.size, alone.size, ended.size} == {(await news(store, None)).size}

    async def test_what_has_ended_is_nonews(self) -> None:
        """Nor what was purged; a token that is revoked for longer is, once more."""
        async with self.opened() as store:
            await store.clients.add(client())
            known = await news(store, None)
            block = await allot(store, status(count=4))
            await store.revocations.invalidate(block.index, until=NOW + 300)
            told = await news(store, known)
            await store.revocations.invalidate(block.index, until=NOW + 600)
            for since in (known, told):
                assert list((await news(store, since)).invalid) == [(block.index, 1)]
                assert list((await news(store, since, NOW + 601)).invalid) == []
            while await store.tokens.purge(now=NOW + 601):
                pass
            assert list((await news(store, known)).invalid) == []

    async def test_no_news_are_missed(self) -> None:
        """By one who asks while two processes revoke: what he was told in all is what was revoked."""
        async with self.opened_twice() as views:
            await views[0].clients.add(client())
            block = await allot(views[0], status(count=256))
            known = await news(views[0], None)
            some = [block.index + n for n in range(0, 256, 2)]
            revoking = [
                asyncio.ensure_future(views[n % 2].revocations.invalidate(each, until=NOW + 300))
                for n, each in enumerate(some)
            ]
            told: set[tuple[int, int]] = set()
            while not all(each.done() for each in revoking):
                known = await news(views[0], known)
                told |= set(known.invalid)
            await asyncio.gather(*revoking)
            told |= set((await news(views[0], known)).invalid)
            assert told == {(each, 1) for each in some}

    @pytest.mark.parametrize("index", [-1, -(1 << 70), 1 << 63, 1 << 70])
    async def test_where_no_status_can_stand(self, index: int) -> None:
        """Nothing is valid there, and nothing can be revoked."""
        async with self.opened() as store:
            assert not await store.revocations.is_valid(index)
            await refused(StoreUnavailable, store.revocations.invalidate(index, until=NOW))

    async def test_odd_ids_have_a_status(self) -> None:
        """A client of any id has one of its own, and its revocation ends no other."""
        async with self.opened() as store:
            for identifier in ODD_IDENTIFIERS:
                await store.clients.add(client(identifier))
            blocks = await asyncio.gather(*(allot(store, status(each, count=4)) for each in ODD_IDENTIFIERS))
            for number, (identifier, block) in enumerate(zip(ODD_IDENTIFIERS, blocks, strict=True), start=1):
                assert list(await store.revocations.add(revocation(RevokedKind.CLIENT, identifier))) == [block]
                assert await invalid(store) == places(*blocks[:number])
            assert [record.client_id for record in await store.clients.list() if record.enabled] == []

    async def test_nothing_is_allotted_to_what_is_revoked(self) -> None:
        """`RevokedMeanwhile` for the certificate, for any authority on the path, for a client disabled or gone."""
        async with self.opened() as store:
            for name in ("client", "closed", "gone"):
                await store.clients.add(client(name))
            await store.revocations.add(revocation(RevokedKind.CERTIFICATE, "stolen"))
            await store.revocations.add(revocation(RevokedKind.AUTHORITY, "lost"))
            await store.revocations.add(revocation(RevokedKind.CLIENT, "closed"))
            await store.clients.remove("gone")
            for record in (
                status("client", "stolen"),
                status("client", "leaf", "ca", "lost"),
                status("client", "leaf", "lost", "ca"),
                status("closed"),
                status("gone"),
                status("never there"),
            ):
                await refused(RevokedMeanwhile, allot(store, record))
            await allot(store, status("client", "lost", "stolen"))  # of another kind

    async def test_a_status_that_ended_is_no_more(self) -> None:
        """It is not affected, and its place may be given again."""
        async with self.opened() as store:
            await store.clients.add(client())
            old = await allot(store, status())
            after = old.ends_at + 1
            assert list(await store.revocations.affected(RevokedKind.CLIENT, "client", now=after)) == []
            assert (await allot(store, status("client", "other"), now=after)).index >= 0

    async def test_the_revision_stays_when_a_status_is_allotted(self) -> None:
        """Nobody needs to hear of it; a revocation and its lifting move the revision."""
        async with self.opened() as store:
            await store.clients.add(client())
            before = await store.revision()
            await allot(store, status())
            await refused(RevokedMeanwhile, allot(store, status("nobody")))
            assert await store.revision() == before
            await store.revocations.add(revocation(RevokedKind.CERTIFICATE, "leaf"))
            between = await store.revision()
            await store.revocations.remove(RevokedKind.CERTIFICATE, "leaf")
            assert len({before, between, await store.revision()}) == 3

    async def test_allotted_at_once_each_has_its_own_answer(self) -> None:
        """One that is refused, or whose caller went away, takes nothing from those that came with it."""
        async with self.opened() as store:
            await store.clients.add(client())
            await store.revocations.add(revocation(RevokedKind.CERTIFICATE, "stolen"))
            thumbprints = ["a", "stolen", "b", "gone", "c"]
            asking = [asyncio.ensure_future(allot(store, status("client", each))) for each in thumbprints]
            asking.append(asyncio.ensure_future(allot(store, status("nobody"))))
            await asyncio.sleep(0)
            asking[3].cancel()
            answers = await asyncio.gather(*asking, return_exceptions=True)
            kinds = [StatusRecord, RevokedMeanwhile, StatusRecord, asyncio.CancelledError, StatusRecord]
            assert [type(each) for each in answers] == [*kinds, RevokedMeanwhile]
            records = [each for each in answers if isinstance(each, StatusRecord)]
            assert [each.thumbprint for each in records] == ["a", "b", "c"]
            assert len({each.index for each in records}) == 3

    async def test_a_thousand_blocks(self) -> None:
        """Asked for at once, of all sizes, each has places of its own."""
        async with self.opened() as store:
            await store.clients.add(client())
            records = [status("client", f"{n}", "ca", count=1 << n % 6) for n in range(1000)]
            blocks = await asyncio.gather(*(allot(store, each) for each in records))
            assert [replace(each, index=-1) for each in blocks] == records
            assert len(places(*blocks)) == sum(each.count for each in records)
            ended = await store.revocations.add(revocation(RevokedKind.AUTHORITY, "ca"))
            assert {each.index for each in ended} == {each.index for each in blocks}
            assert await invalid(store) == places(*blocks)

    async def test_two_processes_share_no_place(self) -> None:
        """However their questions come together; and both see at once when something was revoked."""
        async with self.opened_twice() as views:
            await views[0].clients.add(client())
            asking = (allot(view, status(count=1 << n % 8)) for n in range(60) for view in views)
            blocks = await asyncio.gather(*asking)
            assert len(places(*blocks)) == sum(each.count for each in blocks)
            await views[1].revocations.invalidate(blocks[7].index, until=NOW + 300)
            assert await invalid(views[0]) == {blocks[7].index}
            assert await views[0].revision() == await views[1].revision()
            await views[0].revocations.add(revocation(RevokedKind.CERTIFICATE, "leaf"))
            assert await invalid(views[1]) == places(*blocks)
            await refused(RevokedMeanwhile, allot(views[1], status()))
            assert list(await views[1].revocations.list()) == [revocation(RevokedKind.CERTIFICATE, "leaf")]
