"""The conformance suite for stores: the accounts of people, and what goes with one."""

from dataclasses import replace
from typing import Any

import pytest

from certbound.core.errors import StoreUnavailable
from certbound.core.ports import (
    AccountRecord,
    AlreadyExists,
    ConsentRecord,
    NotFound,
    PutOut,
    RevokedMeanwhile,
    Rotation,
    Store,
)
from certbound.testing.store_grants import grant, obtained_grant, rotate
from certbound.testing.store_place import (
    METADATA,
    NOW,
    ODD_IDENTIFIERS,
    StorePlace,
    allot,
    client,
    invalid,
    parted,
    places,
    refused,
    status,
    valid_grants,
)
from certbound.testing.store_sessions import session


def account(username: str = "ann", subject: str = "", **changes: Any) -> AccountRecord:
    """An account that no store has seen yet."""
    facts: dict[str, Any] = {
        "password": "$argon2id$v=19$m=8,t=1,p=1$c2FsdA$aGFzaA",
        "claims": METADATA,
        "created_at": NOW + 0.25,
        "password_at": NOW + 0.5,
        **changes,
    }
    return AccountRecord(subject=subject or f"subject of {username}", username=username, **facts)


async def persons_grant(store: Store, subject: str, client_id: str, grant_id: str) -> None:
    """From that person to that client, with a refresh token of the grant's name."""
    record = grant(grant_id, client_id, subject=subject, thumbprint=f"of {client_id}", authorities=(), twins=())
    await store.grants.open(record, grant_id, now=NOW)


async def settled(store: Store, username: str = "ann", client_id: str = "client") -> AccountRecord:
    """A person with one of everything; the refresh token of the grant, which has a status, is of the same name."""
    stored = await store.accounts.add(account(username))
    await store.sessions.add(session(f"cookie of {username}", stored.subject))
    await store.consents.put(ConsentRecord(subject=stored.subject, client_id=client_id, created_at=NOW))
    await store.subjects.pairwise(stored.subject, "app.example", proposed=f"pairwise {username}")
    await persons_grant(store, stored.subject, client_id, username)
    await allot(store, status(client_id, f"of {client_id}", grant_id=username))
    return stored


class AccountConformance(StorePlace):
    """What any store does with accounts."""

    async def test_an_account_comes_back(self) -> None:
        """By its name and by its subject, as `add` returned it: what was given, but for the version."""
        async with self.opened() as store:
            assert list(await store.accounts.list()) == []
            given = account()
            stored = await store.accounts.add(given)
            assert replace(stored, version=given.version) == given
            assert await store.accounts.find("ann") == stored
            assert await store.accounts.find_subject("subject of ann") == stored
            assert list(await store.accounts.list()) == [stored]
            for other in ("Ann", "ann ", "", "nul\0", "half \ud83d pair", "subject of ann", *ODD_IDENTIFIERS):
                assert await store.accounts.find(other) is None
            for other in ("ann", "Subject of ann", "", "nul\0", *ODD_IDENTIFIERS):
                assert await store.accounts.find_subject(other) is None

    async def test_an_account_has_a_password_or_none(self) -> None:
        """And is enabled or not; each comes back, after `add` and after `replace`."""
        async with self.opened() as store:
            plain = AccountRecord(subject="s", username="u")
            stored = await store.accounts.add(plain)
            assert replace(stored, version=0) == plain
            for changes in ({"password": "hash", "password_at": NOW}, {"enabled": False}, {"claims": {"name": "Ann"}}):
                changed = await store.accounts.replace(replace(stored, **changes))
                assert changed == replace(stored, **changes, version=changed.version)
                assert await store.accounts.find("u") == changed
                stored = changed

    async def test_odd_names_are_names(self) -> None:
        """And odd subjects subjects: each is itself and no other, and they are listed in the order of code points."""
        async with self.opened() as store:
            for each in ODD_IDENTIFIERS:
                await store.accounts.add(account(each, subject=each[::-1]))
            assert [each.username for each in await store.accounts.list()] == sorted(ODD_IDENTIFIERS)
            for number, each in enumerate(ODD_IDENTIFIERS, start=1):
                found = await store.accounts.find(each)
                assert found is not None
                assert found.subject == each[::-1]
                assert await store.accounts.find_subject(each[::-1]) == found
                changed = await store.accounts.replace(replace(found, claims={"is": each}))
                assert await store.accounts.find(each) == changed
                await store.accounts.remove(each[::-1])
                assert await store.accounts.find(each) is None
                assert len(await store.accounts.list()) == len(ODD_IDENTIFIERS) - number

    @pytest.mark.parametrize(
        "changes",
        [
            {"username": "nul\0"},
            {"subject": "half \ud83d pair"},
            {"password": "\0"},
            {"claims": {"odd": object()}},
            {"claims": {"half": "\ud83d"}},
        ],
        ids=["name", "subject", "password", "claims", "surrogate"],
    )
    async def test_an_account_that_cannot_be_kept_is_refused(self, changes: dict[str, Any]) -> None:
        """As `StoreUnavailable`, and what was there stays."""
        async with self.opened() as store:
            stored = await store.accounts.add(account())
            await refused(StoreUnavailable, store.accounts.add(replace(account("other"), **changes)))
            with pytest.raises((NotFound, StoreUnavailable)):
                await store.accounts.replace(replace(stored, **changes))
            assert list(await store.accounts.list()) == [stored]

    async def test_a_name_and_a_subject_are_taken_once(self) -> None:
        """`AlreadyExists` for the second, by `add` and by a change of name; who has it keeps what they have."""
        async with self.opened() as store:
            ann = await store.accounts.add(account("ann"))
            ben = await store.accounts.add(account("ben"))
            await refused(AlreadyExists, store.accounts.add(account("ann", subject="another")))
            await refused(AlreadyExists, store.accounts.add(account("another", subject=ann.subject)))
            await refused(AlreadyExists, store.accounts.replace(replace(ben, username="ann")))
            assert list(await store.accounts.list()) == [ann, ben]
            changed = await store.accounts.replace(replace(ben, username="Ann"))
            assert await store.accounts.find("ben") is None
            assert await store.accounts.find("Ann") == changed
            await store.accounts.add(account("ben", subject="another"))

    async def test_an_account_is_replaced_as_it_was_read(self) -> None:
        """`NotFound` for a state that was replaced, never was, or is gone; `created_at` stays the first."""
        async with self.opened() as store:
            old = await store.accounts.add(account())
            now = await store.accounts.replace(replace(old, claims={"n": 1}, created_at=5))
            assert now.created_at == old.created_at
            assert now.version != old.version
            for version in (old.version, now.version + 1, -1):
                await refused(NotFound, store.accounts.replace(replace(old, version=version)))
            for version in (2**63, 2**70):
                with pytest.raises((NotFound, StoreUnavailable)):
                    await store.accounts.replace(replace(old, version=version))
            await refused(NotFound, store.accounts.replace(replace(now, subject="another")))
            assert list(await store.accounts.list()) == [now]
            await store.accounts.remove(now.subject)
            await refused(NotFound, store.accounts.replace(now))

    async def test_nobody_hears_of_people(self) -> None:
        """Neither number of the revision moves when an account or a session is made, changed or ends."""
        async with self.opened() as store:
            before = await store.revision()
            stored = await store.accounts.add(account())
            await store.accounts.replace(replace(stored, enabled=False))
            await refused(AlreadyExists, store.accounts.add(account()))
            for each in ("one", "two"):
                await store.sessions.add(session(each))
            await store.sessions.end("one")
            await store.sessions.end_all("subject of ann")
            await refused(NotFound, store.accounts.remove("nobody"))
            assert await store.revision() == before

    # At once

    async def test_one_of_fifty_gets_the_name(self) -> None:
        """Each with a subject of their own; it is the winner who stands there."""
        async with self.opened() as store:
            adding = (store.accounts.add(account(subject=f"{n}")) for n in range(50))
            won, lost = await parted(AlreadyExists, adding)
            assert (len(won), lost) == (1, 49)
            assert list(await store.accounts.list()) == won

    async def test_one_of_fifty_changes_an_account(self) -> None:
        """Of those that read the same; all others are told that it changed."""
        async with self.opened() as store:
            old = await store.accounts.add(account())
            changes = (store.accounts.replace(replace(old, claims={"n": n})) for n in range(50))
            won, lost = await parted(NotFound, changes)
            assert (len(won), lost) == (1, 49)
            assert await store.accounts.find("ann") == won[0]

    async def test_two_processes_share_the_names(self) -> None:
        """One of them adds a name, changes and removes an account, and the other sees it at once."""
        async with self.opened_twice() as views:
            adding = (view.accounts.add(account(subject=f"{n}")) for n, view in enumerate(views * 10))
            [stored], lost = await parted(AlreadyExists, adding)
            assert lost == 19
            for view in views:
                assert await view.accounts.find("ann") == stored
            changes = (view.accounts.replace(replace(stored, claims={"n": n})) for n, view in enumerate(views * 5))
            [changed], lost = await parted(NotFound, changes)
            assert lost == 9
            removing = (view.accounts.remove(changed.subject) for view in views * 3)
            won, lost = await parted(NotFound, removing)
            assert (len(won), lost) == (1, 5)
            assert [await view.accounts.find("ann") for view in views] == [None, None]

    # The end of an account

    async def test_everything_of_a_person_goes_with_the_account(self) -> None:
        """Sessions, consents, pairwise subjects, grants and tokens of theirs, whoever has them; nobody else's."""
        async with self.opened() as store:
            for name in ("one", "two"):
                await store.clients.add(client(name))
            subjects = {name: f"subject of {name}" for name in ("ann", "Ann")}
            tokens = {}
            for name, subject in subjects.items():
                await store.accounts.add(account(name))
                for device in ("phone", "desk"):
                    await store.sessions.add(session(f"{device} of {name}", subject))
                pairwise = await store.subjects.pairwise(subject, "app.example", proposed=f"pairwise {name}")
                assert pairwise == f"pairwise {name}"
                for each in ("one", "two"):
                    await store.consents.put(ConsentRecord(subject=subject, client_id=each))
                    await persons_grant(store, subject, each, f"{name} {each}")
                tokens[name] = [
                    await allot(store, status(each, f"of {each}", grant_id=f"{name} {each}", count=4))
                    for each in ("one", "two")
                ]
            before = await store.revision()
            await store.accounts.remove(subjects["ann"])
            assert await store.accounts.find("ann") is None
            left = [await store.sessions.find(f"{each} of ann", now=NOW) for each in ("phone", "desk")]
            assert (left, list(await store.consents.list(subjects["ann"]))) == ([None, None], [])
            assert await store.subjects.reveal("pairwise ann") is None
            assert await invalid(store) == places(*tokens["ann"])
            assert (await store.revision()).statuses > before.statuses
            assert (await store.revision()).records == before.records
            assert await valid_grants(store, "ann one", "ann two", "Ann one", "Ann two") == ["Ann one", "Ann two"]
            assert [await rotate(store, each, f"after {each}") for each in ("ann one", "Ann one")] == [
                Rotation.GONE, Rotation.REPLACED,
            ]  # fmt: skip
            await refused(RevokedMeanwhile, allot(store, status("one", grant_id="ann one")))
            assert await store.sessions.find("desk of Ann", now=NOW) is not None
            assert len(await store.consents.list(subjects["Ann"])) == 2
            assert await store.subjects.reveal("pairwise Ann") == subjects["Ann"]

    async def test_what_was_obtained_from_a_person_goes_with_the_account(self) -> None:
        """Though it is another client's; also where a grant of the person came of another of theirs."""
        async with self.opened() as store:
            for name in ("client", "caller"):
                await store.clients.add(client(name))
            ann = await store.accounts.add(account())
            await persons_grant(store, ann.subject, "client", "first")
            token = await allot(store, status(grant_id="first"))
            obtained = await obtained_grant(store, token, "obtained", "caller")
            origin = await store.revocations.origin(obtained.index)
            assert origin is not None
            theirs = grant("theirs", "caller", subject=ann.subject, sources=origin.sources)
            await store.grants.open(theirs, "theirs", now=NOW, origin=origin.index)
            await persons_grant(store, "", "client", "nobody's")
            await store.accounts.remove(ann.subject)
            assert await valid_grants(store, "first", "obtained", "theirs", "nobody's") == ["nobody's"]
            assert await invalid(store) == places(token, obtained)

    async def test_who_is_locked_out_has_nothing_that_goes_on(self) -> None:
        """Sessions, grants, tokens and what was obtained from them end, whether there is an account; the rest stays."""
        async with self.opened() as store:
            for name in ("client", "caller"):
                await store.clients.add(client(name))
            ann, ben = [await settled(store, name) for name in ("ann", "ben")]
            await persons_grant(store, "elsewhere", "client", "elsewhere")
            token = await allot(store, status(grant_id="ann"))
            await obtained_grant(store, token, "obtained", "caller")
            for subject, ended in ((ann.subject, {"ann", "obtained"}), ("elsewhere", {"elsewhere"})):
                before = await store.revision()
                was = await valid_grants(store, "ann", "obtained", "ben", "elsewhere")
                await store.accounts.end_all(subject)
                assert set(was) - set(await valid_grants(store, *was)) == ended
                after = await store.revision()
                assert (after.records, after.statuses > before.statuses) == (before.records, True)
            assert not await store.revocations.is_valid(token.index)
            await refused(RevokedMeanwhile, allot(store, status(grant_id="ann")))
            assert await store.sessions.find("cookie of ann", now=NOW) is None
            assert list(await store.accounts.list()) == [ann, ben]
            assert await store.consents.find(ann.subject, "client") is not None
            assert await store.subjects.reveal("pairwise ann") == ann.subject
            before = await store.revision()
            for nobody in (ann.subject, "nobody", "", "nul\0", "half \ud83d pair"):
                await store.accounts.end_all(nobody)
            assert await store.revision() == before
            assert await valid_grants(store, "ben") == ["ben"]
            assert await store.sessions.find("cookie of ben", now=NOW) is not None

    async def test_who_is_put_out_has_nothing_left(self) -> None:
        """Consents go too, and who had one is told, the latest first; the account and the names of sectors stay."""
        async with self.opened() as store:
            for name in ("client", "a", "b"):
                await store.clients.add(client(name))
            ann, ben = [await settled(store, name) for name in ("ann", "ben")]
            for name, after in (("a", 2), ("b", 1)):
                await store.consents.put(ConsentRecord(subject=ann.subject, client_id=name, created_at=NOW + after))
            await persons_grant(store, ann.subject, "a", "forgotten")
            await store.sessions.add(session("another", ann.subject))
            before = await store.revision()
            assert await store.accounts.put_out(ann.subject) == PutOut(sessions=2, clients=("a", "b", "client"))
            after_it = await store.revision()
            assert (after_it.records, after_it.statuses > before.statuses) == (before.records, True)
            assert await valid_grants(store, "ann", "forgotten", "ben") == ["ben"]
            assert list(await store.consents.list(ann.subject)) == []
            assert [await store.sessions.find(f"cookie of {each}", now=NOW) is None for each in ("ann", "ben")] == [
                True, False,
            ]  # fmt: skip
            assert list(await store.accounts.list()) == [ann, ben]
            assert await store.subjects.reveal("pairwise ann") == ann.subject
            assert await store.consents.find(ben.subject, "client") is not None
            for nobody in (ann.subject, "nobody", "", "nul\0", "half \ud83d pair"):
                assert await store.accounts.put_out(nobody) == PutOut(sessions=0, clients=())
            assert await store.revision() == after_it
            await store.consents.put(ConsentRecord(subject="elsewhere", client_id="client"))
            assert await store.accounts.put_out("elsewhere") == PutOut(sessions=0, clients=("client",))

    async def test_an_account_that_is_not_there_takes_nothing_with_it(self) -> None:
        """`NotFound`, the second time too; a person who has no account here keeps what they have."""
        async with self.opened() as store:
            await store.clients.add(client())
            await persons_grant(store, "elsewhere", "client", "elsewhere")
            await store.sessions.add(session(subject="elsewhere"))
            await store.accounts.add(account())
            await store.accounts.remove("subject of ann")
            before = await store.revision()
            for each in ("subject of ann", "elsewhere", "", "nul\0", "half \ud83d pair"):
                await refused(NotFound, store.accounts.remove(each))
            assert await valid_grants(store, "elsewhere") == ["elsewhere"]
            assert await store.sessions.find("cookie", now=NOW) is not None
            assert await store.revision() == before

    async def test_who_comes_after_has_nothing_of_who_went(self) -> None:
        """An account of the same name, and even of the same subject, begins with nothing."""
        async with self.opened() as store:
            await store.clients.add(client())
            ann = await store.accounts.add(account())
            await store.sessions.add(session())
            await persons_grant(store, ann.subject, "client", "grant")
            await store.accounts.remove(ann.subject)
            await store.accounts.add(account())
            assert await store.sessions.find("cookie", now=NOW) is None
            assert await valid_grants(store, "grant") == []

    async def test_people_survive_a_restart(self) -> None:
        """Their accounts and their sessions."""
        if not self.reopens:
            pytest.skip("each opening of this store is a place of its own")
        async with self.opened() as store:
            stored = await store.accounts.add(account())
            await store.sessions.add(session())
        async with self.opened() as store:
            assert await store.accounts.find("ann") == stored
            assert await store.sessions.find("cookie", now=NOW) == session()

    async def test_no_people_in_a_closed_store(self) -> None:
        """After `close` every call is `StoreUnavailable`."""
        store = await self.open()
        await store.close()
        for call in (
            store.accounts.find("ann"),
            store.accounts.find_subject("ann"),
            store.accounts.list(),
            store.accounts.add(account()),
            store.accounts.replace(account()),
            store.accounts.end_all("ann"),
            store.accounts.put_out("ann"),
            store.accounts.remove("ann"),
            store.sessions.add(session()),
            store.sessions.find("cookie", now=NOW),
            store.sessions.end("cookie"),
            store.sessions.end_all("ann"),
        ):
            await refused(StoreUnavailable, call)
