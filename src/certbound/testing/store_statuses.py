"""The conformance suite for stores: revocations, and the statuses of tokens."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from certbound.core.errors import StoreUnavailable
from certbound.core.ports import GrantRecord, NotFound, RevokedKind, RevokedMeanwhile, Statuses, StatusRecord, Store
from certbound.testing.store_place import (
    NOW,
    ODD_IDENTIFIERS,
    StorePlace,
    allot,
    client,
    invalid,
    places,
    refused,
    revocation,
    status,
)


class StatusConformance(StorePlace):
    """What any store does with revocations and statuses."""

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
            await _open(store, "grant")
            names = ("first", "second", "third")
            blocks = [await allot(store, status(thumbprint=each, count=4)) for each in names]
            of_grant = await allot(store, status(thumbprint="x", grant_id="grant", count=4))
            await store.revocations.invalidate(blocks[2].index + 1, until=NOW + 300)
            known = await _news(store, None)
            assert known.revision == (await store.revision()).statuses
            assert list((await _news(store, known)).invalid) == []
            await store.revocations.invalidate(blocks[2].index + 2, until=NOW + 300)
            await store.revocations.invalidate(blocks[2].index + 1, until=NOW + 200)  # as it is already
            alone = await _news(store, known)
            assert list(alone.invalid) == [(blocks[2].index + 2, 1)]
            await store.revocations.add(revocation(RevokedKind.CERTIFICATE, "first"))
            await store.grants.revoke("grant", now=NOW)
            await store.revocations.remove(RevokedKind.CERTIFICATE, "first")
            ended = await _news(store, alone)
            assert sorted(ended.invalid) == sorted((each.index, 4) for each in (blocks[0], of_grant))
            assert (await _news(store, ended)).revision == ended.revision == (await store.revision()).statuses
            everything = {*known.invalid, *alone.invalid, *ended.invalid}
            assert set((await _news(store, None)).invalid) == everything
            assert {known.size, alone.size, ended.size} == {(await _news(store, None)).size}

    async def test_what_has_ended_is_no_news(self) -> None:
        """Nor what was purged; a token that is revoked for longer is, once more."""
        async with self.opened() as store:
            await store.clients.add(client())
            known = await _news(store, None)
            block = await allot(store, status(count=4))
            await store.revocations.invalidate(block.index, until=NOW + 300)
            told = await _news(store, known)
            await store.revocations.invalidate(block.index, until=NOW + 600)
            for since in (known, told):
                assert list((await _news(store, since)).invalid) == [(block.index, 1)]
                assert list((await _news(store, since, NOW + 601)).invalid) == []
            while await store.tokens.purge(now=NOW + 601):
                pass
            assert list((await _news(store, known)).invalid) == []

    async def test_no_news_are_missed(self) -> None:
        """By one who asks while two processes revoke: what he was told in all is what was revoked."""
        async with self.opened_twice() as views:
            await views[0].clients.add(client())
            block = await allot(views[0], status(count=256))
            known = await _news(views[0], None)
            some = [block.index + n for n in range(0, 256, 2)]
            revoking = [
                asyncio.ensure_future(views[n % 2].revocations.invalidate(each, until=NOW + 300))
                for n, each in enumerate(some)
            ]
            told: set[tuple[int, int]] = set()
            while not all(each.done() for each in revoking):
                known = await _news(views[0], known)
                told |= set(known.invalid)
            await asyncio.gather(*revoking)
            told |= set((await _news(views[0], known)).invalid)
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

    @pytest.mark.parametrize(
        ("kind", "value", "hit"),
        [
            (RevokedKind.CLIENT, "client", {"c1", "c2"}),
            (RevokedKind.CLIENT, "other", {"o1"}),
            (RevokedKind.CERTIFICATE, "leaf", {"c1", "o1"}),
            (RevokedKind.CERTIFICATE, "LEAF", set()),
            (RevokedKind.AUTHORITY, "root_", {"c1", "o1"}),
            (RevokedKind.AUTHORITY, "ca", {"c1"}),
            (RevokedKind.AUTHORITY, "rootx", {"c2"}),
            (RevokedKind.AUTHORITY, "ROOT_", set()),
            (RevokedKind.AUTHORITY, "roo", set()),
            (RevokedKind.AUTHORITY, "%", set()),
            (RevokedKind.AUTHORITY, "leaf", set()),
            (RevokedKind.CERTIFICATE, "nobody's", set()),
        ],
    )
    async def test_what_a_revocation_ends(self, kind: RevokedKind, value: str, hit: set[str]) -> None:
        """Those of the client, with the certificate, over the authority: by character, and no others."""
        async with self.opened() as store:
            await store.clients.add(client())
            await store.clients.add(client("other"))
            blocks = {
                "c1": await allot(store, status("client", "leaf", "ca", "root_", count=16)),
                "c2": await allot(store, status("client", "second", "rootx", count=4)),
                "o1": await allot(store, status("other", "leaf", "root_")),
            }
            expected = sorted((blocks[name] for name in hit), key=lambda each: each.index)
            assert list(await store.revocations.affected(kind, value, now=NOW)) == expected
            assert list(await store.revocations.add(revocation(kind, value))) == expected
            assert list(await store.revocations.affected(kind, value, now=NOW)) == []
            assert await invalid(store) == places(*expected)
            assert list(await store.revocations.list()) == [revocation(kind, value)]

    async def test_a_revocation_ends_the_grants_of_what_it_revokes(self) -> None:
        """With whatever certificate their access tokens were obtained; other grants of the client stay."""
        async with self.opened() as store:
            await store.clients.add(client())
            await _open(store, "hit", thumbprint="stolen", twins=("twin",), authorities=("ca",))
            await _open(store, "other", thumbprint="leaf")
            ended = [await allot(store, status("client", each, grant_id="hit", count=4)) for each in ("leaf", "stolen")]
            lives = await allot(store, status(grant_id="other", count=4))
            for kind, value in ((RevokedKind.CERTIFICATE, "TWIN"), (RevokedKind.AUTHORITY, "stolen")):
                assert list(await store.revocations.affected(kind, value, now=NOW)) == []
            ended.sort(key=lambda each: each.index)
            assert list(await store.revocations.affected(RevokedKind.CERTIFICATE, "twin", now=NOW)) == ended
            assert list(await store.revocations.affected(RevokedKind.AUTHORITY, "ca", now=NOW)) == ended
            assert list(await store.revocations.add(revocation(RevokedKind.CERTIFICATE, "twin"))) == ended
            assert await invalid(store) == places(*ended)
            assert [await _is_valid(store, each) for each in ("hit", "other")] == [False, True]
            await refused(RevokedMeanwhile, allot(store, status(grant_id="hit")))
            assert list(await store.revocations.add(revocation(RevokedKind.CLIENT, "client"))) == [lives]
            assert not await _is_valid(store, "other")

    # What was obtained from a token

    async def test_where_a_token_is_from(self) -> None:
        """Whatever place of a block it has, its origin is the same; none where nobody has one, or it was revoked."""
        async with self.opened() as store:
            await store.clients.add(client())
            block = await allot(store, status(count=4))
            origins = {await store.revocations.origin(block.index + n) for n in range(4)}
            assert {each and each.index for each in origins} == {block.index}
            for index in (block.index - 1, block.index + 4, 0, -1, 1 << 63, 1 << 70):
                assert await store.revocations.origin(index) is None
            await store.revocations.invalidate(block.index, until=NOW + 300)
            assert await store.revocations.origin(block.index + 1) in origins
            await store.revocations.add(revocation(RevokedKind.CERTIFICATE, "leaf"))
            assert await store.revocations.origin(block.index + 1) is None

    @pytest.mark.parametrize(
        ("kind", "value", "hit"),
        [
            (RevokedKind.CLIENT, "client", {"subject", "first", "second"}),
            (RevokedKind.CLIENT, "one", {"first", "second"}),
            (RevokedKind.CLIENT, "other", {"second", "other"}),
            (RevokedKind.CERTIFICATE, "leaf", {"subject", "first", "second"}),
            (RevokedKind.CERTIFICATE, "LEAF", set()),
            (RevokedKind.CERTIFICATE, "twin", {"subject", "first", "second"}),
            (RevokedKind.CERTIFICATE, "of-one", {"first", "second"}),
            (RevokedKind.AUTHORITY, "ca", {"subject", "first", "second"}),
            (RevokedKind.AUTHORITY, "leaf", set()),
            (RevokedKind.CERTIFICATE, "of-grant", {"subject", "first", "second"}),
            (RevokedKind.AUTHORITY, "over-grant", {"subject", "first", "second"}),
            (RevokedKind.CERTIFICATE, "grant", set()),
        ],
    )
    async def test_what_was_obtained_ends_with_where_it_is_from(
        self, kind: RevokedKind, value: str, hit: set[str]
    ) -> None:
        """Whoever obtained it, and from what was itself obtained so; other tokens of the same client do not."""
        async with self.opened() as store:
            for name in ("client", "one", "other"):
                await store.clients.add(client(name))
            await _open(store, "grant", thumbprint="of-grant", authorities=("over-grant",))
            subject = await allot(store, status("client", "leaf", "ca", twins=("twin",), grant_id="grant", count=4))
            first = await _obtain(store, subject, status("one", "of-one"))
            second = await _obtain(store, first, status("other", "x", count=4))
            other = await allot(store, status("other", "y"))
            blocks = {"subject": subject, "first": first, "second": second, "other": other}
            expected = sorted((blocks[name] for name in hit), key=lambda each: each.index)
            assert list(await store.revocations.affected(kind, value, now=NOW)) == expected
            assert list(await store.revocations.add(revocation(kind, value))) == expected
            assert await invalid(store) == places(*expected)

    async def test_what_has_ended_by_time_ends_nothing(self) -> None:
        """Neither the token, nor its grant, nor their rows that are gone; a revocation later than that does."""
        async with self.opened() as store:
            for name in ("client", "one"):
                await store.clients.add(client(name))
            await _open(store, "grant", ends_at=NOW + 100)
            subject = await allot(store, status(grant_id="grant", ends_at=NOW + 200))
            obtained = await _obtain(store, subject, status("one"))
            while await store.tokens.purge(now=NOW + 201):
                pass
            assert await store.revocations.is_valid(obtained.index)
            assert not await store.revocations.is_valid(subject.index)
            assert not await store.grants.revoke("grant", now=NOW + 201)
            await refused(RevokedMeanwhile, _obtain(store, subject, status("one"), obtained.sources))
            assert list(await store.revocations.add(revocation(RevokedKind.CERTIFICATE, "leaf", NOW + 201)))

    async def test_what_was_obtained_from_a_removed_client_ends(self) -> None:
        """And comes back with nobody of that id."""
        async with self.opened() as store:
            for name in ODD_IDENTIFIERS:
                await store.clients.add(client(name))
            await store.clients.add(client("caller"))
            subjects = [await allot(store, status(each)) for each in ODD_IDENTIFIERS]
            obtained = [await _obtain(store, each, status("caller")) for each in subjects]
            for n, name in enumerate(ODD_IDENTIFIERS, start=1):
                before = await store.revision()
                await store.clients.remove(name)
                assert await store.revision() == (before.records + 1, before.statuses + 1)
                await store.clients.add(client(name))
                assert await invalid(store) == places(*subjects[:n], *obtained[:n])
            await refused(RevokedMeanwhile, _obtain(store, subjects[0], status("caller"), obtained[0].sources))

    async def test_nothing_is_obtained_from_what_is_revoked_meanwhile(self) -> None:
        """Whoever comes first: no status that was given is valid; not even if the revocation is lifted at once."""
        async with self.opened_twice() as (one, other):
            for name in ("client", "caller"):
                await one.clients.add(client(name))
            subject = await allot(one, status())
            origin = await one.revocations.origin(subject.index)
            assert origin is not None
            wish = status("caller", "of caller", sources=origin.sources)
            asking = [
                asyncio.ensure_future(one.revocations.allot(wish, now=NOW, origin=origin.index)) for _ in range(30)
            ]
            await asyncio.sleep(0.005)
            await other.revocations.add(revocation(RevokedKind.CLIENT, "client"))
            await other.revocations.remove(RevokedKind.CLIENT, "client")
            asking.append(asyncio.ensure_future(one.revocations.allot(wish, now=NOW, origin=origin.index)))
            answers = await asyncio.gather(*asking, return_exceptions=True)
            given = [each for each in answers if isinstance(each, StatusRecord)]
            assert all(isinstance(each, StatusRecord | RevokedMeanwhile) for each in answers)
            assert isinstance(answers[-1], RevokedMeanwhile)
            assert await invalid(one) == places(subject, *given)

    async def test_a_removed_client_has_no_token_left(self) -> None:
        """Its statuses are invalid, whatever grant they are of, and who waits for that hears of it; others' are not.

        Whoever comes under its id later is enabled, was never revoked, and has none of that.
        """
        async with self.opened() as store:
            for name in ("client", "CLIENT"):
                await store.clients.add(client(name))
            await _open(store, "grant")
            ended = [await allot(store, status(grant_id=each, count=4)) for each in ("grant", "")]
            lives = await allot(store, status("CLIENT", count=4))
            before, known = await store.revision(), await _news(store, None)
            await store.clients.remove("client")
            assert await invalid(store) == places(*ended)
            assert {first for first, _ in (await _news(store, known)).invalid} == {each.index for each in ended}
            assert await store.revision() == (before.records + 1, before.statuses + 1)
            await store.clients.add(client())
            await store.revocations.add(revocation(RevokedKind.CLIENT, "client"))
            await store.clients.remove("client")
            await store.clients.add(client())
            assert list(await store.revocations.list()) == []
            new = await allot(store, status())
            assert await store.revocations.is_valid(new.index)
            assert await store.revocations.is_valid(lives.index)
            assert await invalid(store) == places(*ended)
            assert not await _is_valid(store, "grant")

    async def test_a_revoked_grant_has_no_token_left(self) -> None:
        """Its statuses are invalid, all at once, those of other grants and of none are not."""
        async with self.opened() as store:
            await store.clients.add(client())
            for each in ("grant", "other"):
                await _open(store, each)
            ended = [await allot(store, status(grant_id="grant", count=4)) for _ in range(3)]
            for each in ("other", ""):
                await allot(store, status(grant_id=each, count=4))
            assert await store.grants.revoke("grant", now=NOW)
            assert await invalid(store) == places(*ended)
            assert not await store.revocations.is_valid(ended[1].index + 1)
            for each in ("grant", "never there"):
                await refused(RevokedMeanwhile, allot(store, status(grant_id=each)))
            await allot(store, status(grant_id="other"), now=NOW + 86_400)  # as long as its tokens are found
            await refused(RevokedMeanwhile, allot(store, status(grant_id="other"), now=NOW + 86_401))

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

    async def test_a_revocation_believes_no_clock(self) -> None:
        """Who revokes by a clock that is days ahead ends what is out all the same, by the clock of those who ask."""
        async with self.opened() as store:
            await store.clients.add(client())
            out = await allot(store, status())
            assert list(await store.revocations.add(revocation(RevokedKind.CLIENT, "client", out.ends_at + 1))) == []
            assert await invalid(store) == {out.index}

    async def test_a_revocation_finds_the_twins_of_a_certificate(self) -> None:
        """Who made another certificate of a stolen one has no token left either, and gets no status any more."""
        async with self.opened() as store:
            await store.clients.add(client())
            made = await allot(store, status(thumbprint="twin", twins=("other", "leaf")))
            assert made.twins == ("other", "leaf")
            await allot(store, status(thumbprint="unlike", twins=("LEAF",)))
            assert list(await store.revocations.affected(RevokedKind.CERTIFICATE, "leaf", now=NOW)) == [made]
            assert list(await store.revocations.add(revocation(RevokedKind.CERTIFICATE, "leaf"))) == [made]
            assert await invalid(store) == {made.index}
            await refused(RevokedMeanwhile, allot(store, status(thumbprint="twin", twins=("other", "leaf"))))

    async def test_a_revoked_status_stays_so(self) -> None:
        """What is lifted gets another place; the old one is invalid until it ends, and then it is forgotten."""
        async with self.opened() as store:
            await store.clients.add(client())
            old = await allot(store, status())
            await store.revocations.add(revocation(RevokedKind.CERTIFICATE, "leaf"))
            await store.revocations.remove(RevokedKind.CERTIFICATE, "leaf")
            new = await allot(store, status())
            assert new.index != old.index
            assert list(await store.revocations.list()) == []
            assert await invalid(store) == {old.index}
            assert [await store.revocations.is_valid(each.index) for each in (old, new)] == [False, True]
            assert await invalid(store, old.ends_at + 1) == set()

    async def test_revoking_twice(self) -> None:
        """The first time counts, and statuses that came between are ended too."""
        async with self.opened() as store:
            await store.clients.add(client())
            first = revocation(RevokedKind.CLIENT, "client")
            await store.revocations.add(first)
            record = await store.clients.find("client")
            assert record is not None
            await store.clients.replace(replace(record, enabled=True))
            between = await allot(store, status())
            assert list(await store.revocations.add(replace(first, revoked_at=NOW + 9))) == [between]
            assert list(await store.revocations.list()) == [first]

    async def test_lifting(self) -> None:
        """What is lifted is not revoked, a client enabled; `NotFound` for what was not revoked."""
        async with self.opened() as store:
            stored = await store.clients.add(client())
            for kind in RevokedKind:
                await refused(NotFound, store.revocations.remove(kind, "client"))
                await store.revocations.add(revocation(kind, "client"))
            for kind in RevokedKind:
                await store.revocations.remove(kind, "client")
            found = await store.clients.find("client")
            assert found == replace(stored, version=found.version if found else 0)
            assert found is not None
            assert found.version > stored.version
            assert list(await store.revocations.list()) == []

    @pytest.mark.parametrize("identifier", ["nobody", "", "nul\0", "half \ud83d pair"], ids=ascii)
    async def test_a_client_that_is_not_there_is_not_revoked(self, identifier: str) -> None:
        """`NotFound`, and nothing stands there afterwards."""
        async with self.opened() as store:
            await refused(NotFound, store.revocations.add(revocation(RevokedKind.CLIENT, identifier)))
            assert list(await store.revocations.affected(RevokedKind.CLIENT, identifier, now=NOW)) == []
            assert list(await store.revocations.list()) == []

    async def test_revocations_are_listed_oldest_first(self) -> None:
        """In whatever order they came."""
        async with self.opened() as store:
            for at in (30.0, 10.5, 20.0):
                await store.revocations.add(revocation(RevokedKind.CERTIFICATE, f"{at}", at))
            assert [each.revoked_at for each in await store.revocations.list()] == [10.5, 20.0, 30.0]

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

    async def test_no_status_outlives_a_revocation_that_comes_with_it(self) -> None:
        """Statuses that are allotted while their authority is revoked end up invalid, or are not given at all."""
        async with self.opened() as store:
            await store.clients.add(client())
            asking = [asyncio.ensure_future(allot(store, status("client", f"{n}", "ca"))) for n in range(30)]
            await asyncio.sleep(0.005)
            await store.revocations.add(revocation(RevokedKind.AUTHORITY, "ca"))
            answers = await asyncio.gather(*asking, return_exceptions=True)
            given = {each.index for each in answers if isinstance(each, StatusRecord)}
            assert all(isinstance(each, StatusRecord | RevokedMeanwhile) for each in answers)
            assert given == await invalid(store)

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


async def _news(store: Store, known: Statuses | None, now: float = NOW) -> Statuses:
    """What the list says, or what is new since then."""
    return await store.revocations.statuses(now, since=None if known is None else known.revision)


async def _obtain(
    store: Store, subject: StatusRecord, record: StatusRecord, sources: tuple[str, ...] = ()
) -> StatusRecord:
    """A status of a token for which that of `subject` was exchanged; with the sources that were seen, if it is gone."""
    origin = await store.revocations.origin(subject.index)
    record = replace(record, sources=origin.sources if origin else sources)
    return await store.revocations.allot(record, now=NOW, origin=subject.index)


async def _open(store: Store, grant_id: str, **changes: Any) -> None:
    """A grant of a day, with a refresh token of the same name."""
    grant = GrantRecord(
        grant_id=grant_id, client_id="client", content={}, seed="s", created_at=NOW, ends_at=NOW + 86_400
    )
    await store.grants.open(replace(grant, **changes), grant_id, now=NOW)


async def _is_valid(store: Store, grant_id: str) -> bool:
    found = await store.grants.find(grant_id, now=NOW)
    assert found is not None
    return found.grant.valid
