"""The conformance suite for stores: what people agreed to, and what clients know them by."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from certbound.core.errors import StoreUnavailable
from certbound.core.ports import ConsentRecord, RevokedMeanwhile, Rotation, Store
from certbound.testing.store_accounts import persons_grant
from certbound.testing.store_grants import grant, obtained_grant, rotate
from certbound.testing.store_place import (
    NOW,
    ODD_IDENTIFIERS,
    StorePlace,
    allot,
    client,
    invalid,
    places,
    refused,
    status,
    valid_grants,
)


def consent(client_id: str = "client", subject: str = "ann", **changes: Any) -> ConsentRecord:
    """A consent that no store has seen yet."""
    facts: dict[str, Any] = {
        "scope": ("openid", "read:a b"),
        "resources": ("https://api.example/ü?a=1",),
        "created_at": NOW + 0.25,
        **changes,
    }
    return ConsentRecord(subject=subject, client_id=client_id, **facts)


async def opened_to(store: Store, *client_ids: str) -> None:
    """These clients are there, with a consent and a grant of their name from `ann`."""
    for each in client_ids:
        await store.clients.add(client(each))
        await store.consents.put(consent(each))
        await persons_grant(store, "ann", each, each)


class ConsentConformance(StorePlace):
    """What any store does with consents."""

    async def test_a_consent_comes_back(self) -> None:
        """As it was put, and nothing else finds it."""
        async with self.opened() as store:
            assert list(await store.consents.list("ann")) == []
            used = consent("used", used_at=NOW + 0.5, certificate="CN=Ann's phone, O=Ünï")
            plain = ConsentRecord(subject="ann", client_id="plain")
            for each in (consent(), used, plain):
                await store.consents.put(each)
                assert await store.consents.find("ann", each.client_id) == each
            for subject, name in (
                ("ann", "Client"),
                ("Ann", "client"),
                ("client", "ann"),
                ("", ""),
                ("nul\0", "\ud83d"),
            ):
                assert await store.consents.find(subject, name) is None
                assert list(await store.consents.list("" if subject == "ann" else subject)) == []

    async def test_consents_are_listed_the_latest_first(self) -> None:
        """Those of the person alone."""
        async with self.opened() as store:
            for n in (2.0, 4.5, 1.0, 4.25):
                await store.consents.put(consent(f"{n}", created_at=NOW + n))
            await store.consents.put(consent(subject="Ann"))
            assert [each.client_id for each in await store.consents.list("ann")] == ["4.5", "4.25", "2.0", "1.0"]

    async def test_odd_ids_are_parties_to_a_consent(self) -> None:
        """Persons and clients of whatever id, each with what is theirs."""
        async with self.opened() as store:
            for each in ODD_IDENTIFIERS:
                await store.consents.put(consent(each, each, scope=(each, "")))
            for number, each in enumerate(ODD_IDENTIFIERS, start=1):
                assert await store.consents.find(each, each) == consent(each, each, scope=(each, ""))
                assert list(await store.consents.list(each)) == [consent(each, each, scope=(each, ""))]
                assert await store.consents.withdraw(each, each)
                there = [await store.consents.find(other, other) is not None for other in ODD_IDENTIFIERS]
                assert there == [n >= number for n in range(len(ODD_IDENTIFIERS))]

    @pytest.mark.parametrize(
        "changes",
        [{"subject": "nul\0"}, {"client_id": "\ud83d"}, {"scope": ("\ud83d",)}, {"certificate": "\0"}],
        ids=["person", "client", "scope", "certificate"],
    )
    async def test_a_consent_that_cannot_be_kept_is_refused(self, changes: dict[str, Any]) -> None:
        """As `StoreUnavailable`, and what was there stays."""
        async with self.opened() as store:
            await store.consents.put(consent())
            await refused(StoreUnavailable, store.consents.put(replace(consent(), **changes)))
            assert list(await store.consents.list("ann")) == [consent()]

    async def test_a_consent_stands_in_the_place_of_the_one_before(self) -> None:
        """Its scope, resources and time are the new ones, not both; what was told of its use stays."""
        async with self.opened() as store:
            await store.consents.put(consent())
            await store.consents.use("ann", "client", certificate="CN=phone", now=NOW + 5)
            again = consent(scope=("read",), resources=(), created_at=NOW + 9)
            await store.consents.put(again)
            assert list(await store.consents.list("ann")) == [replace(again, used_at=NOW + 5, certificate="CN=phone")]

    async def test_a_consent_is_used(self) -> None:
        """The last time and its certificate are told, of this client alone; where there is no consent nothing is."""
        async with self.opened() as store:
            for each in ("client", "other"):
                await store.consents.put(consent(each))
            before = await store.revision()
            for at, name in ((1, "CN=phone"), (2, "CN=desk")):
                await store.consents.use("ann", "client", certificate=name, now=NOW + at)
            for subject, name in (("ann", "never"), ("Ann", "client"), ("nul\0", "client"), ("ann", "\ud83d")):
                await store.consents.use(subject, name, certificate="CN=phone", now=NOW)
            assert await store.consents.find("ann", "client") == consent(used_at=NOW + 2, certificate="CN=desk")
            assert await store.consents.find("ann", "other") == consent("other")
            assert len(await store.consents.list("ann")) == 2
            assert await store.revision() == before

    # Withdrawal

    async def test_a_withdrawn_consent_ends_what_was_given_by_it(self) -> None:
        """Every grant of that client from that person and its tokens, at once; no other person's, no other client's."""
        async with self.opened() as store:
            await opened_to(store, "client", "other")
            await persons_grant(store, "ann", "client", "second")
            await persons_grant(store, "Ann", "client", "hers")
            await persons_grant(store, "", "client", "its own")
            grants = ["client", "second", "other", "hers", "its own"]
            tokens = {
                each: await allot(store, status("other" if each == "other" else "client", grant_id=each, count=4))
                for each in grants
            }
            before = await store.revision()
            assert await store.consents.withdraw("ann", "client")
            after = await store.revision()
            assert (after.records, after.statuses > before.statuses) == (before.records, True)
            assert [each.client_id for each in await store.consents.list("ann")] == ["other"]
            assert await valid_grants(store, *grants) == grants[2:]
            assert await invalid(store) == places(tokens["client"], tokens["second"])
            assert await rotate(store, "second", "after") is Rotation.GONE
            await refused(RevokedMeanwhile, allot(store, status(grant_id="client")))

    async def test_a_withdrawn_consent_ends_what_was_obtained_by_it(self) -> None:
        """By other clients, by exchange; also where one grant of the person came of another."""
        async with self.opened() as store:
            await opened_to(store, "client")
            await store.clients.add(client("caller"))
            token = await allot(store, status(grant_id="client"))
            obtained = await obtained_grant(store, token, "obtained", "caller")
            origin = await store.revocations.origin(obtained.index)
            assert origin is not None
            for number in range(3):
                theirs = grant(f"{number}", "client", subject="ann", sources=origin.sources)
                await store.grants.open(theirs, f"{number}", now=NOW, origin=origin.index)
            await store.grants.open(grant("lives", "caller", subject="ann"), "lives", now=NOW)
            assert await store.consents.withdraw("ann", "client")
            assert await valid_grants(store, "client", "obtained", "0", "1", "2", "lives") == ["lives"]
            assert await invalid(store) == places(token, obtained)

    async def test_grants_are_withdrawn_without_a_consent(self) -> None:
        """And a consent without grants; where there is neither, nothing moves."""
        async with self.opened() as store:
            await store.clients.add(client())
            await persons_grant(store, "ann", "client", "grant")
            await persons_grant(store, "", "client", "its own")
            assert await store.consents.withdraw("ann", "client")
            assert await valid_grants(store, "grant", "its own") == ["its own"]
            await store.consents.put(consent())
            assert await store.consents.withdraw("ann", "client")
            before = await store.revision()
            for subject, name in (
                ("ann", "client"),
                ("Ann", "client"),
                ("ann", ""),
                ("", "client"),
                ("nul\0", "\ud83d"),
            ):
                assert not await store.consents.withdraw(subject, name)
            assert await store.revision() == before
            assert await valid_grants(store, "its own") == ["its own"]

    async def test_what_was_withdrawn_can_be_given_again(self) -> None:
        """It begins anew: nothing of before counts, nor is it told when that was used."""
        async with self.opened() as store:
            await opened_to(store, "client")
            await store.consents.use("ann", "client", certificate="CN=phone", now=NOW)
            await store.consents.withdraw("ann", "client")
            await store.consents.put(consent())
            await persons_grant(store, "ann", "client", "again")
            assert list(await store.consents.list("ann")) == [consent()]
            assert await valid_grants(store, "client", "again") == ["again"]

    async def test_consents_go_with_their_client(self) -> None:
        """Who takes its id later is somebody to whom nobody agreed."""
        async with self.opened() as store:
            await opened_to(store, "client", "CLIENT")
            await store.clients.remove("client")
            await store.clients.add(client())
            assert [each.client_id for each in await store.consents.list("ann")] == ["CLIENT"]
            assert await valid_grants(store, "client", "CLIENT") == ["CLIENT"]

    # At once

    async def test_one_of_twenty_withdraws(self) -> None:
        """All others are told that there was nothing."""
        async with self.opened() as store:
            await opened_to(store, "client")
            before = await store.revision()
            answers = await asyncio.gather(*(store.consents.withdraw("ann", "client") for _ in range(20)))
            assert answers.count(True) == 1
            assert (await store.revision()).statuses == before.statuses + 1

    async def test_fifty_put_one_consent(self) -> None:
        """It is one of theirs, and whole."""
        async with self.opened() as store:
            given = [consent(scope=(f"{n}",), resources=(f"{n}",), created_at=NOW + n) for n in range(50)]
            await asyncio.gather(*map(store.consents.put, given))
            [found] = await store.consents.list("ann")
            assert found in given

    async def test_fifty_join_one_consent(self) -> None:
        """All that any of them agreed to is agreed to, and what was said of its use stays."""
        async with self.opened() as store:
            used = consent(scope=("first",), resources=("https://first",), used_at=NOW, certificate="CN=phone")
            await store.consents.join(used)
            given = [consent(scope=(f"{n:02}",), resources=(f"{n:02}",), created_at=NOW + n) for n in range(50)]
            await asyncio.gather(*map(store.consents.join, given))
            [found] = await store.consents.list("ann")
            assert found.scope == (*(f"{n:02}" for n in range(50)), "first")
            assert found.resources[0] == "https://first"
            assert set(found.resources[1:]) == {f"{n:02}" for n in range(50)}
            assert found.created_at in {each.created_at for each in given}
            assert (found.used_at, found.certificate) == (NOW, "CN=phone")

    async def test_no_token_outlives_a_withdrawal_that_comes_with_it(self) -> None:
        """Of another process: what was allotted before is not valid, and what comes after is refused."""
        async with self.opened_twice() as (one, other):
            await opened_to(one, "client")
            asking = [asyncio.ensure_future(allot(one, status(grant_id="client", count=1024))) for _ in range(20)]
            await asyncio.sleep(0.005)
            assert await other.consents.withdraw("ann", "client")
            answers = await asyncio.gather(*asking, return_exceptions=True)
            given = [each for each in answers if not isinstance(each, BaseException)]
            assert all(isinstance(each, RevokedMeanwhile) for each in answers if isinstance(each, BaseException))
            assert await invalid(other) == places(*given)
            await refused(RevokedMeanwhile, allot(one, status(grant_id="client")))

    async def test_withdrawn_while_it_is_refreshed(self) -> None:
        """Whoever comes first, no token counts in the end, and none waits for another for ever."""
        async with self.opened_twice() as (one, other):
            await opened_to(one, "client")
            rotating = asyncio.gather(*(rotate(one, "client", "second") for _ in range(10)))
            withdrawing = asyncio.gather(*(other.consents.withdraw("ann", "client") for _ in range(3)))
            assert (await withdrawing).count(True) == 1
            assert set(await rotating) <= {Rotation.REPLACED, Rotation.REPEATED, Rotation.GONE}
            assert await valid_grants(other, "client", "second") == []


class SubjectConformance(StorePlace):
    """What any store does with pairwise subjects."""

    async def test_a_person_is_somebody_else_in_each_sector(self) -> None:
        """And the same in one, whatever is proposed later; who it is can be found again."""
        async with self.opened() as store:
            proposed: dict[tuple[str, str], str] = {}
            for subject in ("ann", "Ann", "ben"):
                for sector in ("a.example", "A.example", "b.example"):
                    name = f"{len(proposed)}"
                    assert await store.subjects.pairwise(subject, sector, proposed=name) == name
                    proposed[subject, sector] = name
            for (subject, sector), name in proposed.items():
                assert await store.subjects.pairwise(subject, sector, proposed="another") == name
                assert await store.subjects.reveal(name) == subject
            for nobody in ("another", "ann", "a.example", "", "nul\0", "half \ud83d pair", *ODD_IDENTIFIERS):
                assert await store.subjects.reveal(nobody) is None

    async def test_odd_ids_have_a_pairwise_subject(self) -> None:
        """Each its own."""
        async with self.opened() as store:
            for each in ODD_IDENTIFIERS:
                assert await store.subjects.pairwise(each, each, proposed=each) == each
            for each in ODD_IDENTIFIERS:
                assert await store.subjects.pairwise(each, each, proposed="another") == each
                assert await store.subjects.reveal(each) == each

    async def test_a_pairwise_subject_stands_for_one_person(self) -> None:
        """`StoreUnavailable` where the one proposed is somebody's, or cannot be kept; theirs it stays."""
        async with self.opened() as store:
            await store.subjects.pairwise("ann", "a.example", proposed="one")
            for subject, sector in (("ben", "a.example"), ("ann", "b.example")):
                await refused(StoreUnavailable, store.subjects.pairwise(subject, sector, proposed="one"))
                assert await store.subjects.pairwise(subject, sector, proposed=f"of {subject}") == f"of {subject}"
            for odd in (("nul\0", "s", "p"), ("s", "\ud83d", "p"), ("s", "s", "\0")):
                await refused(StoreUnavailable, store.subjects.pairwise(*odd[:2], proposed=odd[2]))
            assert await store.subjects.reveal("one") == "ann"

    async def test_fifty_make_one_pairwise_subject(self) -> None:
        """All are told the same, and it is the only one that stands for the person; nobody hears of it."""
        async with self.opened() as store:
            before = await store.revision()
            asking = (store.subjects.pairwise("ann", "a.example", proposed=f"{n}") for n in range(50))
            [told] = set(await asyncio.gather(*asking))
            revealed = [await store.subjects.reveal(f"{n}") for n in range(50)]
            assert revealed == ["ann" if f"{n}" == told else None for n in range(50)]
            assert await store.revision() == before

    async def test_two_processes_make_one_pairwise_subject(self) -> None:
        """For each of ten sectors."""
        async with self.opened_twice() as views:
            asking = [
                view.subjects.pairwise("ann", f"{n % 10}.example", proposed=f"{n} by {at}")
                for n in range(20)
                for at, view in enumerate(views)
            ]
            told = await asyncio.gather(*asking)
            assert len(set(told)) == 10
            assert {await views[0].subjects.reveal(each) for each in told} == {"ann"}

    async def test_consents_and_subjects_survive_a_restart(self) -> None:
        """With what was told of their use."""
        if not self.reopens:
            pytest.skip("each opening of this store is a place of its own")
        async with self.opened() as store:
            await store.consents.put(consent())
            await store.consents.use("ann", "client", certificate="CN=phone", now=NOW)
            await store.subjects.pairwise("ann", "a.example", proposed="one")
        async with self.opened() as store:
            assert list(await store.consents.list("ann")) == [consent(used_at=NOW, certificate="CN=phone")]
            assert await store.subjects.pairwise("ann", "a.example", proposed="two") == "one"

    async def test_no_consents_in_a_closed_store(self) -> None:
        """After `close` every call is `StoreUnavailable`."""
        store = await self.open()
        await store.close()
        for call in (
            store.consents.find("ann", "client"),
            store.consents.list("ann"),
            store.consents.put(consent()),
            store.consents.use("ann", "client", certificate="", now=NOW),
            store.consents.withdraw("ann", "client"),
            store.subjects.pairwise("ann", "a.example", proposed="one"),
            store.subjects.reveal("one"),
        ):
            await refused(StoreUnavailable, call)
