"""The conformance suite for stores: revocations, and the statuses of tokens."""

import asyncio
from dataclasses import replace

import pytest

from certbound.core.ports import NotFound, RevokedKind, RevokedMeanwhile, StatusRecord
from certbound.testing.store_place import NOW, ODD_IDENTIFIERS, StorePlace, allot, client, refused, revocation, status


class StatusConformance(StorePlace):
    """What any store does with revocations and statuses."""

    async def test_nothing_is_revoked_at_first(self) -> None:
        """A new store has no revocation and no status, and a list has room for some all the same."""
        async with self.opened() as store:
            assert list(await store.revocations.list()) == []
            said = await store.revocations.statuses(NOW)
            assert said.invalid == frozenset()
            assert said.size > 0

    async def test_a_status_is_allotted_once(self) -> None:
        """The same client, certificate and path have the same place; anything else has another."""
        async with self.opened() as store:
            await store.clients.add(client())
            await store.clients.add(client("other"))
            records = [status(), status("other"), status("client", "other"), status("client", "leaf", "ca"),
                       status("client", "leaf", "ca", "root"), status("client", "leaf", "CA")]  # fmt: skip
            first = [await allot(store, each) for each in records]
            assert first == [await allot(store, each) for each in records]
            assert len({each.index for each in first}) == len(records)
            assert [replace(each, index=-1) for each in first] == records
            size = (await store.revocations.statuses(NOW)).size
            assert all(0 <= each.index < size for each in first)

    async def test_a_status_in_use_ends_later(self) -> None:
        """Where it would end before `until`, it is the same place and ends as late as was asked for."""
        async with self.opened() as store:
            await store.clients.add(client())
            first = await allot(store, status())
            later = status(created_at=NOW + 600_000, ends_at=NOW + 1_200_000)
            assert await allot(store, later, until=first.ends_at, now=NOW + 600_000) == first
            extended = await allot(store, later, until=first.ends_at + 1, now=NOW + 600_000)
            assert extended == replace(first, ends_at=later.ends_at)
            assert await allot(store, status(), until=later.ends_at) == extended

    async def test_odd_ids_have_a_status(self) -> None:
        """A client of any id has one of its own, and its revocation ends no other."""
        async with self.opened() as store:
            for identifier in ODD_IDENTIFIERS:
                await store.clients.add(client(identifier))
            places = await asyncio.gather(*(allot(store, status(identifier)) for identifier in ODD_IDENTIFIERS))
            ended = set()
            for identifier, place in zip(ODD_IDENTIFIERS, places, strict=True):
                assert list(await store.revocations.add(revocation(RevokedKind.CLIENT, identifier))) == [place]
                ended.add(place.index)
                assert (await store.revocations.statuses(NOW)).invalid == ended
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
            places = {
                "c1": await allot(store, status("client", "leaf", "ca", "root_")),
                "c2": await allot(store, status("client", "second", "rootx")),
                "o1": await allot(store, status("other", "leaf", "root_")),
            }
            expected = sorted((places[name] for name in hit), key=lambda each: each.index)
            assert list(await store.revocations.affected(kind, value, now=NOW)) == expected
            assert list(await store.revocations.add(revocation(kind, value))) == expected
            assert list(await store.revocations.affected(kind, value, now=NOW)) == []
            assert (await store.revocations.statuses(NOW)).invalid == {each.index for each in expected}
            assert list(await store.revocations.list()) == [revocation(kind, value)]

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
            assert (await store.revocations.statuses(NOW)).invalid == {out.index}

    async def test_a_revocation_finds_the_twins_of_a_certificate(self) -> None:
        """Who made another certificate of a stolen one has no token left either, and gets no status any more."""
        async with self.opened() as store:
            await store.clients.add(client())
            made = await allot(store, status(thumbprint="twin", twins=("other", "leaf")))
            assert made.twins == ("other", "leaf")
            await allot(store, status(thumbprint="unlike", twins=("LEAF",)))
            assert list(await store.revocations.affected(RevokedKind.CERTIFICATE, "leaf", now=NOW)) == [made]
            assert list(await store.revocations.add(revocation(RevokedKind.CERTIFICATE, "leaf"))) == [made]
            assert (await store.revocations.statuses(NOW)).invalid == {made.index}
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
            assert (await store.revocations.statuses(NOW)).invalid == {old.index}
            assert (await store.revocations.statuses(old.ends_at + 1)).invalid == frozenset()

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
            assert (await allot(store, status("client", "other"), until=after, now=after)).index >= 0

    async def test_the_revision_stays_when_a_status_is_allotted(self) -> None:
        """Nobody needs to hear of it; a revocation and its lifting move the revision."""
        async with self.opened() as store:
            await store.clients.add(client())
            before = await store.revision()
            await allot(store, status())
            await allot(store, status(), until=NOW + 1_000_000)
            await refused(RevokedMeanwhile, allot(store, status("nobody")))
            assert await store.revision() == before
            await store.revocations.add(revocation(RevokedKind.CERTIFICATE, "leaf"))
            between = await store.revision()
            await store.revocations.remove(RevokedKind.CERTIFICATE, "leaf")
            assert len({before, between, await store.revision()}) == 3

    async def test_many_allot_one_status(self) -> None:
        """Twenty tasks ask at once for the same status: all get the same place."""
        async with self.opened() as store:
            await store.clients.add(client())
            assert len({each.index for each in await asyncio.gather(*(allot(store, status()) for _ in range(20)))}) == 1

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

    async def test_a_thousand_statuses(self) -> None:
        """Asked for at once, each has a place of its own, and finds it again."""
        async with self.opened() as store:
            await store.clients.add(client())
            records = [status("client", f"{n}", "ca") for n in range(1000)]
            first = await asyncio.gather(*(allot(store, each) for each in records))
            assert [replace(each, index=-1) for each in first] == records
            assert len({each.index for each in first}) == 1000
            assert await asyncio.gather(*(allot(store, each) for each in records)) == first
            ended = await store.revocations.add(revocation(RevokedKind.AUTHORITY, "ca"))
            assert {each.index for each in ended} == {each.index for each in first}

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
            assert given == (await store.revocations.statuses(NOW)).invalid

    async def test_two_processes_allot_one_status(self) -> None:
        """And both see at once when it was revoked."""
        async with self.opened_twice() as views:
            await views[0].clients.add(client())
            allotted = await asyncio.gather(*(allot(view, status()) for view in views * 10))
            assert len({each.index for each in allotted}) == 1
            await views[0].revocations.add(revocation(RevokedKind.CERTIFICATE, "leaf"))
            assert (await views[1].revocations.statuses(NOW)).invalid == {allotted[0].index}
            await refused(RevokedMeanwhile, allot(views[1], status()))
            assert list(await views[1].revocations.list()) == [revocation(RevokedKind.CERTIFICATE, "leaf")]
