"""The conformance suite for stores: revocations, and what they end."""

import asyncio
from dataclasses import replace

import pytest

from certbound.core.ports import NotFound, RevokedKind, RevokedMeanwhile, StatusRecord
from certbound.testing.store_place import (
    NOW,
    StorePlace,
    allot,
    client,
    invalid,
    open_grant,
    places,
    refused,
    revocation,
    status,
    valid_grants,
)
from certbound.testing.store_statuses import news


class RevocationConformance(StorePlace):
    """What any store does with revocations."""

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
            await open_grant(store, "hit", thumbprint="stolen", twins=("twin",), authorities=("ca",))
            await open_grant(store, "other", thumbprint="leaf")
            ended = [await allot(store, status("client", each, grant_id="hit", count=4)) for each in ("leaf", "stolen")]
            lives = await allot(store, status(grant_id="other", count=4))
            for kind, value in ((RevokedKind.CERTIFICATE, "TWIN"), (RevokedKind.AUTHORITY, "stolen")):
                assert list(await store.revocations.affected(kind, value, now=NOW)) == []
            ended.sort(key=lambda each: each.index)
            assert list(await store.revocations.affected(RevokedKind.CERTIFICATE, "twin", now=NOW)) == ended
            assert list(await store.revocations.affected(RevokedKind.AUTHORITY, "ca", now=NOW)) == ended
            assert list(await store.revocations.add(revocation(RevokedKind.CERTIFICATE, "twin"))) == ended
            assert await invalid(store) == places(*ended)
            assert await valid_grants(store, "hit", "other") == ["other"]
            await refused(RevokedMeanwhile, allot(store, status(grant_id="hit")))
            assert list(await store.revocations.add(revocation(RevokedKind.CLIENT, "client"))) == [lives]
            assert await valid_grants(store, "hit", "other") == []

    async def test_a_removed_client_has_no_token_left(self) -> None:
        """Its statuses are invalid, whatever grant they are of, and who waits for that hears of it; others' are not.

        Whoever comes under its id later is enabled, was never revoked, and has none of that.
        """
        async with self.opened() as store:
            for name in ("client", "CLIENT"):
                await store.clients.add(client(name))
            await open_grant(store, "grant")
            ended = [await allot(store, status(grant_id=each, count=4)) for each in ("grant", "")]
            lives = await allot(store, status("CLIENT", count=4))
            before, known = await store.revision(), await news(store, None)
            await store.clients.remove("client")
            assert await invalid(store) == places(*ended)
            assert {first for first, _ in (await news(store, known)).invalid} == {each.index for each in ended}
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
            assert await valid_grants(store, "grant") == []

    async def test_a_revoked_grant_has_no_token_left(self) -> None:
        """Its statuses are invalid, all at once, those of other grants and of none are not."""
        async with self.opened() as store:
            await store.clients.add(client())
            for each in ("grant", "other"):
                await open_grant(store, each)
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
