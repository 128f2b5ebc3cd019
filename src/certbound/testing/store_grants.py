"""The conformance suite for stores: grants and their refresh tokens."""

import asyncio
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from certbound.core.errors import StoreUnavailable
from certbound.core.ports import (
    GrantRecord,
    Opened,
    RefreshTokenRecord,
    RevokedKind,
    RevokedMeanwhile,
    Rotation,
    StatusRecord,
    Store,
)
from certbound.testing.store_place import (
    METADATA,
    NOW,
    StorePlace,
    allot,
    client,
    invalid,
    places,
    refused,
    revocation,
    status,
)

GRACE = 30.0


def grant(grant_id: str = "grant", client_id: str = "client", **changes: Any) -> GrantRecord:
    """A grant that no store has seen yet; it lives a day."""
    facts: dict[str, Any] = {
        "content": METADATA,
        "seed": f"seed of {grant_id}",
        "thumbprint": "leaf",
        "authorities": ("ca", "root"),
        "twins": ("twin",),
        "created_at": NOW,
        "ends_at": NOW + 86_400,
        **changes,
    }
    return GrantRecord(grant_id=grant_id, client_id=client_id, **facts)


async def opened_grant(store: Store, record: GrantRecord | None = None) -> GrantRecord:
    """A grant of a new client, whose first refresh token is `first`."""
    await store.clients.add(client())
    record = record or grant()
    await store.grants.open(record, "first", now=NOW)
    return record


async def rotate(store: Store, digest: str, successor: str, after: float = 0) -> Rotation:
    """So many seconds after the grant was opened."""
    return await store.grants.rotate(digest, successor, now=NOW + after, grace=GRACE)


async def obtained_grant(store: Store, subject: StatusRecord, grant_id: str, client_id: str) -> StatusRecord:
    """A status of the grant that was given for the token which stands there; its refresh token is of the same name."""
    origin = await store.revocations.origin(subject.index)
    record = grant(grant_id, client_id, thumbprint=f"of {client_id}", authorities=(), twins=(),
                   sources=origin.sources if origin else ())  # fmt: skip
    await store.grants.open(record, grant_id, now=NOW, origin=subject.index)
    found = await store.grants.find(grant_id, now=NOW)
    assert found is not None
    assert found.grant == record
    return await allot(store, status(client_id, f"of {client_id}", grant_id=grant_id))


async def obtained_status(store: Store, subject: StatusRecord, client_id: str) -> StatusRecord:
    """Of a token for which that one was exchanged."""
    origin = await store.revocations.origin(subject.index)
    assert origin is not None
    record = status(client_id, f"of {client_id}", sources=origin.sources)
    return await store.revocations.allot(record, now=NOW, origin=origin.index)


async def end_grant(store: Store, how: str) -> None:
    """That of `opened_grant`."""
    if how == "revoked":
        assert await store.grants.revoke("grant", now=NOW)
    elif how == "used again":
        await rotate(store, "first", "successor")
        assert await rotate(store, "first", "another") is Rotation.REUSED
    elif how == "certificate":
        await store.revocations.add(revocation(RevokedKind.CERTIFICATE, "twin"))
    else:
        await store.clients.remove("client")


class GrantConformance(StorePlace):
    """What any store does with grants and refresh tokens."""

    async def test_a_grant_comes_back(self) -> None:
        """It is found by its refresh token, as it was opened; nothing else finds it."""
        async with self.opened() as store:
            record = await opened_grant(store)
            assert await store.grants.find("first", now=NOW) == RefreshTokenRecord(digest="first", grant=record)
            for other in ("First", "grant", "", "nul\0", "half \ud83d pair"):
                assert await store.grants.find(other, now=NOW) is None
            plain = grant("plain", content={}, thumbprint="", authorities=(), twins=())
            await store.grants.open(plain, "plain", now=NOW)
            found = await store.grants.find("plain", now=NOW)
            assert found is not None
            assert found.grant == plain

    async def test_a_grant_ends(self) -> None:
        """It is found until then, and its tokens are not replaced afterwards."""
        async with self.opened() as store:
            record = await opened_grant(store)
            assert await store.grants.find("first", now=record.ends_at) is not None
            assert await store.grants.find("first", now=record.ends_at + 1) is None
            assert await rotate(store, "first", "second", 86_401) is Rotation.GONE
            assert await rotate(store, "first", "second", 86_400) is Rotation.REPLACED

    async def test_no_grant_is_opened_to_what_is_revoked(self) -> None:
        """`RevokedMeanwhile` for the certificate, a twin, an authority, a client disabled or gone; nothing is there."""
        async with self.opened() as store:
            for name in ("client", "closed", "gone"):
                await store.clients.add(client(name))
            await store.revocations.add(revocation(RevokedKind.CERTIFICATE, "stolen"))
            await store.revocations.add(revocation(RevokedKind.AUTHORITY, "lost"))
            await store.revocations.add(revocation(RevokedKind.CLIENT, "closed"))
            await store.clients.remove("gone")
            for record in (
                grant(thumbprint="stolen"),
                grant(twins=("other", "stolen")),
                grant(authorities=("ca", "lost")),
                grant(client_id="closed"),
                grant(client_id="gone"),
                grant(client_id="never there"),
            ):
                await refused(RevokedMeanwhile, store.grants.open(record, "first", now=NOW))
                assert await store.grants.find("first", now=NOW) is None
            await store.grants.open(grant(thumbprint="lost", authorities=("stolen",)), "first", now=NOW)

    @pytest.mark.parametrize(
        "changes",
        [{"grant_id": "nul\0"}, {"thumbprint": "half \ud83d pair"}, {"content": {"odd": object()}}],
        ids=["id", "thumbprint", "content"],
    )
    async def test_a_grant_that_cannot_be_kept_is_refused(self, changes: dict[str, Any]) -> None:
        """As `StoreUnavailable`, and nothing is there."""
        async with self.opened() as store:
            await store.clients.add(client())
            await refused(StoreUnavailable, store.grants.open(replace(grant(), **changes), "first", now=NOW))
            assert await store.grants.find("first", now=NOW) is None

    async def test_a_grant_id_is_taken_once(self) -> None:
        """The second grant of one id, or with a token that is there, is refused, and the first stays as it was."""
        async with self.opened() as store:
            record = await opened_grant(store)
            other = grant(content={"other": True})
            await refused(StoreUnavailable, store.grants.open(other, "second", now=NOW))
            await refused(StoreUnavailable, store.grants.open(grant("other"), "first", now=NOW))
            assert await store.grants.find("second", now=NOW) is None
            assert await store.grants.find("first", now=NOW) == RefreshTokenRecord(digest="first", grant=record)

    # Rotation

    async def test_a_token_is_replaced(self) -> None:
        """Its successor counts, and both are found with what became of them."""
        async with self.opened() as store:
            record = await opened_grant(store)
            assert await rotate(store, "first", "second", 5) is Rotation.REPLACED
            first, second = [await store.grants.find(each, now=NOW) for each in ("first", "second")]
            assert first == RefreshTokenRecord(digest="first", grant=record, replaced_at=NOW + 5)
            assert second == RefreshTokenRecord(digest="second", grant=record)
            assert await rotate(store, "second", "third", 6) is Rotation.REPLACED
            first = await store.grants.find("first", now=NOW)
            assert first == RefreshTokenRecord(
                digest="first", grant=record, replaced_at=NOW + 5, is_successor_used=True
            )

    async def test_a_lost_answer_is_repeated(self) -> None:
        """Within the grace the same replacement is as good as the first, and changes nothing."""
        async with self.opened() as store:
            await opened_grant(store)
            await rotate(store, "first", "second")
            for after in (0, 1, GRACE):
                assert await rotate(store, "first", "second", after) is Rotation.REPEATED
            first = await store.grants.find("first", now=NOW)
            assert first is not None
            assert (first.replaced_at, first.grant.valid) == (NOW, True)
            assert await rotate(store, "second", "third", 40) is Rotation.REPLACED

    @pytest.mark.parametrize("how", ["late", "successor used", "another successor"])
    async def test_a_token_that_is_used_again_ends_its_grant(self, how: str) -> None:
        """Late, after its successor was replaced, or for another successor: no token counts, no status is valid."""
        async with self.opened() as store:
            await opened_grant(store)
            mine = await allot(store, status(grant_id="grant"))
            other = await allot(store, status(grant_id=""))
            await rotate(store, "first", "second")
            if how == "successor used":
                await rotate(store, "second", "third", 1)
            before = await store.revision()
            again = ("first", "another" if how == "another successor" else "second")
            assert await rotate(store, *again, GRACE + 1 if how == "late" else 2) is Rotation.REUSED
            for digest in ("first", "second", "third"):
                found = await store.grants.find(digest, now=NOW)
                assert found is None or not found.grant.valid
                assert await rotate(store, digest, "after", 3) is Rotation.GONE
            assert await store.grants.find("after", now=NOW) is None
            assert await store.grants.find("another", now=NOW) is None
            assert not await store.revocations.is_valid(mine.index)
            assert await store.revocations.is_valid(other.index)
            after = await store.revision()
            assert (after.records, after.statuses > before.statuses) == (before.records, True)

    async def test_a_token_that_is_not_there_is_not_replaced(self) -> None:
        """Nor is anything added for it."""
        async with self.opened() as store:
            await opened_grant(store)
            for digest in ("never there", "", "nul\0", "half \ud83d pair"):
                assert await rotate(store, digest, "second") is Rotation.GONE
            assert await store.grants.find("second", now=NOW) is None

    async def test_fifty_rotations_make_one_line(self) -> None:
        """Of 50 at once one replaces the token and all others repeat that; the successor counts."""
        async with self.opened() as store:
            record = await opened_grant(store)
            answers = await asyncio.gather(*(rotate(store, "first", "second", n / 10) for n in range(50)))
            assert Counter(answers) == {Rotation.REPLACED: 1, Rotation.REPEATED: 49}
            assert await store.grants.find("second", now=NOW) == RefreshTokenRecord(digest="second", grant=record)

    async def test_fifty_different_rotations_make_one_line_at_most(self) -> None:
        """Where each of 50 brings a successor of its own one wins, and its grant is revoked for the others."""
        async with self.opened() as store:
            await opened_grant(store)
            answers = Counter(await asyncio.gather(*(rotate(store, "first", f"{n}") for n in range(50))))
            assert answers[Rotation.REPLACED] <= 1
            assert answers[Rotation.REUSED] == 1
            assert answers.total() - answers[Rotation.GONE] <= 2
            there = [n for n in range(50) if await store.grants.find(f"{n}", now=NOW)]
            assert len(there) == answers[Rotation.REPLACED]

    async def test_two_processes_make_one_line(self) -> None:
        """Rotation is atomic between them, chain after chain."""
        async with self.opened_twice() as views:
            await opened_grant(views[0])
            line = ["first", *(f"{n}" for n in range(4))]
            for at, (digest, successor) in enumerate(pairwise(line)):
                answers = await asyncio.gather(*(rotate(view, digest, successor, at) for view in views * 12))
                assert Counter(answers) == {Rotation.REPLACED: 1, Rotation.REPEATED: 23}
            last = await views[1].grants.find(line[-1], now=NOW)
            assert last is not None
            assert (last.replaced_at, last.grant.valid) == (None, True)

    async def test_rotation_moves_no_revision(self) -> None:
        """Nor does the opening of a grant: nobody needs to hear of it."""
        async with self.opened() as store:
            await store.clients.add(client())
            before = await store.revision()
            await store.grants.open(grant(), "first", now=NOW)
            await rotate(store, "first", "second")
            await rotate(store, "first", "second")
            await rotate(store, "never there", "second")
            assert await store.revision() == before

    # Revocation

    async def test_a_grant_is_revoked_once(self) -> None:
        """No token of it counts, no status is valid, the statuses' number moves; what was not there moves nothing."""
        async with self.opened() as store:
            record = await opened_grant(store)
            await store.grants.open(grant("other"), "other", now=NOW)
            mine = await allot(store, status(grant_id="grant", count=8))
            others = await allot(store, status(grant_id="other"))
            await rotate(store, "first", "second")
            before = await store.revision()
            assert await store.grants.revoke("grant", now=NOW)
            after = await store.revision()
            assert (after.records, after.statuses > before.statuses) == (before.records, True)
            for gone in ("grant", "never there", "", "nul\0"):
                assert not await store.grants.revoke(gone, now=NOW)
            assert await store.revision() == after
            found = await store.grants.find("second", now=NOW)
            assert found is not None
            assert found.grant == replace(record, valid=False)
            assert await rotate(store, "second", "third") is Rotation.GONE
            assert not await store.revocations.is_valid(mine.index + 7)
            assert await store.revocations.is_valid(others.index)
            await refused(RevokedMeanwhile, allot(store, status(grant_id="grant")))
            assert await rotate(store, "other", "others") is Rotation.REPLACED

    @pytest.mark.parametrize("how", ["revoked", "used again", "certificate", "client"])
    async def test_what_was_obtained_from_a_grant_ends_with_it(self, how: str) -> None:
        """Tokens and grants, those too that came of these; a grant of the same caller from nowhere goes on."""
        async with self.opened() as store:
            await opened_grant(store)
            for name in ("one", "two"):
                await store.clients.add(client(name))
            subject = await allot(store, status("client", "renewed", grant_id="grant"))
            first = await obtained_grant(store, subject, "first grant", "one")
            second = await obtained_grant(store, first, "second grant", "two")
            token = await obtained_status(store, second, "one")
            await store.grants.open(grant("lives", "two", thumbprint="x", twins=()), "lives", now=NOW)
            lives = await allot(store, status("two", "x", grant_id="lives"))
            await end_grant(store, how)
            for digest in ("first", "first grant", "second grant"):
                found = await store.grants.find(digest, now=NOW)
                assert found is not None
                assert not found.grant.valid
                assert await rotate(store, digest, f"after {digest}") is Rotation.GONE
            assert await invalid(store) == places(subject, first, second, token)
            assert await rotate(store, "lives", "after") is Rotation.REPLACED
            assert await store.revocations.is_valid(lives.index)
            await refused(RevokedMeanwhile, obtained_grant(store, subject, "third", "two"))
            assert await store.grants.find("third", now=NOW) is None

    async def test_what_was_obtained_does_not_end_where_it_is_from(self) -> None:
        """Nor what else was obtained there."""
        async with self.opened() as store:
            await opened_grant(store)
            for name in ("one", "two"):
                await store.clients.add(client(name))
            subject = await allot(store, status(grant_id="grant"))
            obtained = [await obtained_grant(store, subject, each, each) for each in ("one", "two")]
            assert await store.grants.revoke("one", now=NOW)
            assert await invalid(store) == places(obtained[0])
            assert [await rotate(store, each, f"after {each}") for each in ("one", "two", "first")] == [
                Rotation.GONE, Rotation.REPLACED, Rotation.REPLACED,
            ]  # fmt: skip

    async def test_a_grant_does_not_survive_its_client(self) -> None:
        """Who takes the id of a client that is gone has none of its refresh tokens."""
        async with self.opened() as store:
            await opened_grant(store)
            await store.clients.remove("client")
            await store.clients.add(client())
            found = await store.grants.find("first", now=NOW)
            assert found is None or not found.grant.valid
            assert await rotate(store, "first", "second") is Rotation.GONE

    async def test_revoked_while_it_is_rotated(self) -> None:
        """Whoever comes first, no token counts in the end."""
        async with self.opened_twice() as (one, other):
            await opened_grant(one)
            rotating = asyncio.gather(*(rotate(one, "first", "second") for _ in range(10)))
            assert sum(await asyncio.gather(*(other.grants.revoke("grant", now=NOW) for _ in range(3)))) == 1
            assert set(await rotating) <= {Rotation.REPLACED, Rotation.REPEATED, Rotation.GONE}
            for digest in ("first", "second"):
                found = await other.grants.find(digest, now=NOW)
                assert found is None or not found.grant.valid

    async def test_no_grant_outlives_a_revocation_that_comes_with_it(self) -> None:
        """A client that is revoked while grants are opened to it has only such as were opened before."""
        async with self.opened() as store:
            await store.clients.add(client())
            opening = [asyncio.ensure_future(store.grants.open(grant(f"{n}"), f"{n}", now=NOW)) for n in range(30)]
            await asyncio.sleep(0.01)
            await store.revocations.add(revocation(RevokedKind.CLIENT, "client"))
            await refused(RevokedMeanwhile, store.grants.open(grant(), "first", now=NOW))
            answers = await asyncio.gather(*opening, return_exceptions=True)
            assert all(isinstance(each, Opened | RevokedMeanwhile) for each in answers)
            there = [await store.grants.find(f"{n}", now=NOW) is not None for n in range(30)]
            assert there == [isinstance(each, Opened) for each in answers]

    # The end

    async def test_grants_that_have_ended_are_purged(self) -> None:
        """With their refresh tokens; those that live stay, replaced tokens of theirs included."""
        async with self.opened() as store:
            await opened_grant(store)
            await rotate(store, "first", "second")
            for n in range(3):
                await store.grants.open(grant(f"{n}", ends_at=NOW + 10), f"{n}", now=NOW)
            await rotate(store, "0", "0 again")
            assert await store.tokens.purge(now=NOW + 10) == 0
            assert await store.tokens.purge(now=NOW + 11) == 3 + 4
            assert await store.tokens.purge(now=NOW + 11) == 0
            assert await rotate(store, "first", "second", GRACE + 1) is Rotation.REUSED

    async def test_no_grants_in_a_closed_store(self) -> None:
        """After `close` every call is `StoreUnavailable`."""
        store = await self.open()
        await store.close()
        for call in (
            store.grants.open(grant(), "first", now=NOW),
            store.grants.find("first", now=NOW),
            rotate(store, "first", "second"),
            store.grants.revoke("grant", now=NOW),
        ):
            await refused(StoreUnavailable, call)
