"""The conformance suite for stores: grants that are opened for a ticket."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from certbound.core.errors import StoreUnavailable
from certbound.core.ports import (
    AccountRecord,
    AlreadyTaken,
    ConsentRecord,
    Opened,
    RefreshTokenRecord,
    RevokedKind,
    RevokedMeanwhile,
    StatusRecord,
    Store,
    TicketKind,
)
from certbound.testing.store_grants import grant
from certbound.testing.store_place import NOW, StorePlace, allot, client, parted, refused, revocation, status
from certbound.testing.store_tickets import CODE, LIFETIME, find, open_for, take, ticket


async def standing(store: Store, numbers: Sequence[int]) -> list[int]:
    """Those of the numbers whose grant is there."""
    found = [await store.grants.find(f"first of {n}", now=NOW) for n in numbers]
    return [n for n, each in zip(numbers, found, strict=True) if each is not None]


def _places(block: StatusRecord) -> range:
    return range(block.index, block.index + block.count)


class RedemptionConformance(StorePlace):
    """What any store does when a grant takes a ticket: both, or neither."""

    async def test_a_grant_takes_its_ticket(self) -> None:
        """The grant is there with its refresh token, and the ticket is taken; once."""
        async with self.opened() as store:
            await store.clients.add(client())
            await store.tickets.add(ticket())
            await open_for(store, 1, 2.5)
            assert await store.grants.find("first of 1", now=NOW) == RefreshTokenRecord(
                digest="first of 1", grant=grant("1")
            )
            found = await find(store)
            assert found is not None
            assert found.taken_at == NOW + 2.5
            assert not await take(store)
            await refused(AlreadyTaken, open_for(store, 2))
            assert await standing(store, [1, 2]) == [1]

    async def test_a_grant_without_a_refresh_token_takes_its_ticket(self) -> None:
        """It has statuses of its own, and ends with them."""
        async with self.opened() as store:
            await store.clients.add(client())
            await store.tickets.add(ticket())
            await store.grants.open(grant(), None, now=NOW, ticket=CODE)
            assert not await take(store)
            given = await allot(store, status(grant_id="grant"))
            assert await store.grants.revoke("grant", now=NOW)
            assert not await store.revocations.is_valid(given.index)
            await refused(RevokedMeanwhile, allot(store, status(grant_id="grant")))

    async def test_a_grant_is_noted_at_its_consent(self) -> None:
        """With the name in the certificate, if it comes to be; at that one alone, and nothing else changes there."""
        async with self.opened() as store:
            await store.clients.add(client())
            given = ConsentRecord(subject="anna", client_id="client", scope=("read",), resources=(), created_at=NOW)
            for each in (given, replace(given, subject="ben"), replace(given, client_id="other")):
                await store.consents.put(each)
            opened = replace(grant(), subject="anna")
            await refused(AlreadyTaken, store.grants.open(opened, None, now=NOW, ticket=CODE, used_by="CN=a"))
            assert await store.consents.find("anna", "client") == given
            await store.grants.open(opened, None, now=NOW + 1, used_by="CN=a")
            used = replace(given, used_at=NOW + 1, certificate="CN=a")
            assert await store.consents.find("anna", "client") == used
            assert await store.consents.find("ben", "client") == replace(given, subject="ben")
            assert await store.consents.find("anna", "other") == replace(given, client_id="other")
            await store.grants.open(replace(opened, grant_id="next"), None, now=NOW + 2)
            assert await store.consents.find("anna", "client") == used
            await store.grants.open(replace(opened, grant_id="no one's", subject=""), None, now=NOW + 3, used_by="CN=a")

    async def test_a_grant_comes_with_what_stands_beside_it(self) -> None:
        """The consent and the account of its person, and places of its tokens, which end with it."""
        async with self.opened() as store:
            await store.clients.add(client())
            opened = await store.grants.open(replace(grant(), subject="anna"), "first", now=NOW)
            assert opened == Opened()
            given = ConsentRecord(subject="anna", client_id="client", scope=("read",), resources=(), created_at=NOW)
            for each in (given, replace(given, subject="ben"), replace(given, client_id="other")):
                await store.consents.put(each)
            account = await store.accounts.add(AccountRecord(subject="anna", username="anna.b", claims={"name": "A"}))
            await store.accounts.add(AccountRecord(subject="ben", username="anna"))
            wish = status(grant_id="next")
            opened = await store.grants.open(
                replace(grant("next"), subject="anna"), "next", now=NOW + 1, used_by="CN=a", block=wish
            )
            assert opened.consent == replace(given, used_at=NOW + 1, certificate="CN=a")
            assert opened.account == account
            assert opened.block is not None
            assert opened.block == replace(wish, index=opened.block.index, valid=True)
            assert await store.revocations.is_valid(opened.block.index + wish.count - 1)
            assert not await store.revocations.is_valid(opened.block.index + wish.count)
            assert await store.grants.revoke("next", now=NOW)
            assert not await store.revocations.is_valid(opened.block.index)

    async def test_of_fifty_grants_each_has_places_of_its_own(self) -> None:
        """And one that is refused, before or behind them, has none."""
        async with self.opened() as store:
            await store.clients.add(client())
            await store.tickets.add(ticket())
            wishes = [status(grant_id=f"{n}") for n in range(50)]
            opening = (
                store.grants.open(grant(f"{n}"), None, now=NOW, ticket=CODE if n % 10 == 3 else None, block=each)
                for n, each in enumerate(wishes)
            )
            opened = await asyncio.gather(*opening, return_exceptions=True)
            there = [each for each in opened if isinstance(each, Opened)]
            assert len(there) == 46
            taken = [place for each in there if each.block for place in _places(each.block)]
            assert len(taken) == len(set(taken)) == 46 * wishes[0].count
            for each in there:
                assert each.block is not None
                assert await store.revocations.is_valid(each.block.index)

    async def test_a_refresh_token_comes_with_the_account(self) -> None:
        """Of its person, as it is now."""
        async with self.opened() as store:
            await store.clients.add(client())
            account = await store.accounts.add(AccountRecord(subject="anna", username="anna"))
            await store.accounts.add(AccountRecord(subject="ben", username="ben"))
            await store.grants.open(replace(grant(), subject="anna"), "first", now=NOW)
            await store.grants.open(grant("nobody's"), "second", now=NOW)
            accounts = []
            for change in (None, replace(account, enabled=False)):
                account = account if change is None else await store.accounts.replace(change)
                found = await store.grants.find("first", now=NOW)
                assert found is not None
                accounts.append(found.account)
                assert found.account == account
            assert [each and each.enabled for each in accounts] == [True, False]
            await store.accounts.remove("anna")
            for digest in ("first", "second"):
                found = await store.grants.find(digest, now=NOW)
                assert found is not None
                assert found.account is None

    async def test_no_grant_for_a_ticket_that_does_not_count(self) -> None:
        """`AlreadyTaken` for one that was taken, has ended, is of another kind, or never was; nothing is there."""
        async with self.opened() as store:
            await store.clients.add(client())
            await refused(AlreadyTaken, open_for(store))
            await store.tickets.add(ticket(kind=TicketKind.DEVICE_CODE))
            await refused(AlreadyTaken, open_for(store))
            await store.tickets.add(ticket())
            await refused(AlreadyTaken, open_for(store, after=LIFETIME + 1))
            assert await take(store)
            await refused(AlreadyTaken, open_for(store))
            assert await standing(store, [0]) == []
            assert await store.tickets.take(TicketKind.DEVICE_CODE, "code", now=NOW)
            assert not await store.grants.revoke("0", now=NOW)

    @pytest.mark.parametrize("why", ["certificate", "authority", "client", "gone", "origin"])
    async def test_a_ticket_is_not_taken_for_a_grant_that_is_refused(self, why: str) -> None:
        """`RevokedMeanwhile`, and the ticket counts as before."""
        async with self.opened() as store:
            await store.clients.add(client())
            await store.tickets.add(ticket())
            before = await find(store)
            if why == "gone":
                await store.clients.remove("client")
            elif why != "origin":
                values = {"certificate": "twin", "authority": "root", "client": "client"}
                await store.revocations.add(revocation(RevokedKind(why), values[why]))
            origin = 7 if why == "origin" else None
            opening = store.grants.open(grant("0"), "first of 0", now=NOW, origin=origin, ticket=CODE)
            await refused(RevokedMeanwhile, opening)
            assert await standing(store, [0]) == []
            assert await find(store) == before
            assert await take(store)

    async def test_a_ticket_is_not_taken_for_a_grant_that_cannot_be(self) -> None:
        """Of an id or a refresh token that is there, or with content that is no JSON: the ticket counts as before."""
        async with self.opened() as store:
            await store.clients.add(client())
            await store.tickets.add(ticket())
            await store.grants.open(grant("0"), "first of 0", now=NOW)
            for record, number in (
                (grant("0"), 1),
                (grant("another"), 0),
                (grant("nul\0"), 1),
                (grant("another", content={"odd": object()}), 1),
            ):
                await refused(StoreUnavailable, open_for(store, number, record=record))
            assert await standing(store, [0, 1]) == [0]
            for block in (replace(status(), count=0), status(thumbprint="nul\0")):
                await refused(
                    StoreUnavailable, store.grants.open(grant("more"), None, now=NOW, ticket=CODE, block=block)
                )
            assert not await store.grants.revoke("another", now=NOW)
            assert not await store.grants.revoke("more", now=NOW)
            assert await take(store)

    async def test_one_of_fifty_grants_takes_a_ticket(self) -> None:
        """All others are refused and leave nothing."""
        async with self.opened() as store:
            await store.clients.add(client())
            await store.tickets.add(ticket())
            won, lost = await parted(AlreadyTaken, (open_for(store, n) for n in range(50)))
            assert (len(won), lost) == (1, 49)
            assert len(await standing(store, range(50))) == 1

    async def test_two_processes_open_one_grant_for_a_ticket(self) -> None:
        """Or one of them takes the ticket for nothing, and then there is none."""
        async with self.opened_twice() as views:
            await views[0].clients.add(client())
            for digest in ("code", "other"):
                await views[0].tickets.add(ticket(digest))
            won, lost = await parted(AlreadyTaken, (open_for(view, n) for n, view in enumerate(views * 10)))
            assert (len(won), lost) == (1, 19)
            assert len(await standing(views[1], range(20))) == 1
            other = (TicketKind.CODE, "other")
            opening = [
                view.grants.open(grant(f"other {n}"), f"first of {n + 100}", now=NOW, ticket=other)
                for n, view in enumerate(views * 4)
            ]
            taking = [take(view, "other") for view in views * 4]
            answers = await asyncio.gather(*opening, *taking, return_exceptions=True)
            opened = sum(isinstance(each, Opened) for each in answers[:8])
            assert opened + answers[8:].count(True) == 1
            assert all(isinstance(each, Opened | AlreadyTaken) for each in answers[:8])
            assert len(await standing(views[1], range(100, 108))) == opened
