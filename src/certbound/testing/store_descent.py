"""The conformance suite for stores: what was obtained from a token ends with it."""

import asyncio
from dataclasses import replace

import pytest

from certbound.core.ports import RevokedKind, RevokedMeanwhile, StatusRecord, Store
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


class DescentConformance(StorePlace):
    """What any store does with what was obtained from a token."""

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
            await open_grant(store, "grant", thumbprint="of-grant", authorities=("over-grant",))
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
            await open_grant(store, "grant", ends_at=NOW + 100)
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


async def _obtain(
    store: Store, subject: StatusRecord, record: StatusRecord, sources: tuple[str, ...] = ()
) -> StatusRecord:
    """A status of a token for which that of `subject` was exchanged; with the sources that were seen, if it is gone."""
    origin = await store.revocations.origin(subject.index)
    record = replace(record, sources=origin.sources if origin else sources)
    return await store.revocations.allot(record, now=NOW, origin=subject.index)
