"""The conformance suite for stores: what `certbound.core.ports` demands of one, as tests.

A store passes when a subclass of `StoreConformance` does, under pytest with pytest-asyncio in its auto mode:

    class TestMine(StoreConformance):
        @pytest.fixture(autouse=True)
        def place(self, tmp_path):
            self.path = tmp_path / "store"

        async def open(self):
            return await open_my_store(self.path)

Rules kept here:
- each sentence of the ports is a test, and no test asks for more than they say;
- only the ports are used: what a store is made of is its own affair;
- `pytest.register_assert_rewrite("certbound.testing")` in a conftest.py makes failures tell more.
"""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from certbound.core.errors import StoreUnavailable
from certbound.core.ports import (
    AlreadyExists,
    ClientRecord,
    KeyRecord,
    NotFound,
    RegistrationRecord,
    Revision,
    RevokedKind,
    SecretRecord,
)
from certbound.testing.store_accounts import AccountConformance, SessionConformance
from certbound.testing.store_consents import ConsentConformance, SubjectConformance
from certbound.testing.store_grants import GrantConformance
from certbound.testing.store_initial_tokens import InitialTokenConformance
from certbound.testing.store_keys import KeyConformance
from certbound.testing.store_place import (
    METADATA,
    NOW,
    ODD_IDENTIFIERS,
    allot,
    client,
    key,
    parted,
    refused,
    revocation,
    status,
)
from certbound.testing.store_statuses import StatusConformance
from certbound.testing.store_tickets import TicketConformance
from certbound.testing.store_tokens import TokenConformance

__all__ = ["METADATA", "NOW", "ODD_IDENTIFIERS", "StoreConformance", "allot", "client", "key", "revocation", "status"]


class StoreConformance(
    KeyConformance,
    StatusConformance,
    GrantConformance,
    TokenConformance,
    InitialTokenConformance,
    TicketConformance,
    AccountConformance,
    SessionConformance,
    ConsentConformance,
    SubjectConformance,
):
    """What any store does.  Subclass it and say in `open` how yours is opened."""

    # Clients, one after another

    async def test_an_empty_store_has_nothing(self) -> None:
        """A new store has no client, no key, and a revision all the same."""
        async with self.opened() as store:
            assert await store.clients.find("client") is None
            assert list(await store.clients.list()) == []
            assert list(await store.keys.list()) == []
            assert isinstance(await store.revision(), Revision)

    async def test_add_returns_what_is_stored(self) -> None:
        """What `add` returns is what `find` and `list` return, and what was given but for the version."""
        async with self.opened() as store:
            given = client(**METADATA)
            stored = await store.clients.add(given)
            assert replace(stored, version=given.version) == given
            assert await store.clients.find("client") == stored
            assert list(await store.clients.list()) == [stored]

    async def test_add_makes_the_version(self) -> None:
        """A version that the caller brings to `add` means nothing."""
        async with self.opened() as store:
            first = await store.clients.add(replace(client("a"), version=77))
            second = await store.clients.add(replace(client("b"), version=77))
            assert (first.version == 77) + (second.version == 77) <= 1
            assert await store.clients.find("a") == first

    @pytest.mark.parametrize("enabled", [True, False])
    async def test_enabled_is_kept(self, *, enabled: bool) -> None:
        """A client is as enabled as it was stored, after `add` and after `replace`."""
        async with self.opened() as store:
            stored = await store.clients.add(replace(client(), enabled=enabled))
            assert stored.enabled is enabled
            changed = await store.clients.replace(replace(stored, enabled=not enabled))
            assert changed.enabled is not enabled
            assert await store.clients.find("client") == changed

    async def test_secrets_and_registration_are_kept(self) -> None:
        """With the client, after `add` and after `replace`, which replaces them too."""
        async with self.opened() as store:
            secrets = (SecretRecord(digest="a", created_at=NOW, ends_at=NOW + 1), SecretRecord(digest="b"))
            registration = RegistrationRecord(digest="c", subject="MAA=", way="open")
            stored = await store.clients.add(replace(client(), secrets=secrets, registration=registration))
            assert (stored.secrets, stored.registration) == (secrets, registration)
            assert await store.clients.find("client") == stored
            assert list(await store.clients.list()) == [stored]
            changed = await store.clients.replace(replace(stored, secrets=secrets[1:], registration=None))
            assert (changed.secrets, changed.registration) == (secrets[1:], None)
            assert await store.clients.find("client") == changed
            again = await store.clients.replace(replace(changed, registration=RegistrationRecord(digest="d")))
            assert await store.clients.find("client") == again

    async def test_add_refuses_a_taken_id(self) -> None:
        """`AlreadyExists` if the id is taken, and the client that has it stays as it was."""
        async with self.opened() as store:
            stored = await store.clients.add(client(a=1))
            with pytest.raises(AlreadyExists):
                await store.clients.add(client(a=2))
            assert await store.clients.find("client") == stored

    async def test_list_is_sorted_by_code_point(self) -> None:
        """All clients by `client_id`, in the order of code points whatever the machine's language."""
        async with self.opened() as store:
            for identifier in ODD_IDENTIFIERS:
                await store.clients.add(client(identifier))
            assert [record.client_id for record in await store.clients.list()] == sorted(ODD_IDENTIFIERS)
            assert len(await store.clients.list(limit=3)) == 3

    @pytest.mark.parametrize("identifier", ODD_IDENTIFIERS, ids=ascii)
    async def test_odd_ids_are_ids(self, identifier: str) -> None:
        """An id of quotes, of SQL, of 255 characters is stored, found, replaced and removed like any other."""
        async with self.opened() as store:
            others = [other for other in ODD_IDENTIFIERS if other != identifier]
            stored = await store.clients.add(client(identifier, name=identifier))
            assert await store.clients.find(identifier) == stored
            assert [other for other in others if await store.clients.find(other)] == []
            changed = await store.clients.replace(replace(stored, metadata={}))
            assert await store.clients.find(identifier) == changed
            await store.clients.remove(identifier)
            assert await store.clients.find(identifier) is None

    @pytest.mark.parametrize("identifier", ["", "nul\0", "\0", "half \ud83d pair"], ids=ascii)
    async def test_no_id_is_an_accident(self, identifier: str) -> None:
        """An id that no database can hold, or an empty one, is not there, and no foreign exception says so."""
        async with self.opened() as store:
            assert await store.clients.find(identifier) is None
            with pytest.raises(NotFound):
                await store.clients.remove(identifier)
            with pytest.raises((NotFound, StoreUnavailable)):
                await store.clients.replace(client(identifier))
            assert list(await store.clients.list()) == []

    @pytest.mark.parametrize("odd", [object(), "half \ud83d pair", 1j], ids=["object", "surrogate", "complex"])
    async def test_metadata_that_is_no_json_isrefused(self, odd: Any) -> None:
        """What cannot be stored is refused as `StoreUnavailable`, and nothing is stored."""
        async with self.opened() as store:
            before = await store.revision()
            with pytest.raises(StoreUnavailable):
                await store.clients.add(client(odd=odd))
            assert list(await store.clients.list()) == []
            assert await store.revision() == before

    async def test_replace_changes_the_state(self) -> None:
        """After `replace` the record stands where the old one stood; its metadata is replaced, not merged."""
        async with self.opened() as store:
            stored = await store.clients.add(client(a=1, b=2))
            other = await store.clients.add(client("other"))
            changed = await store.clients.replace(replace(stored, metadata={"b": 3}))
            assert changed.metadata == {"b": 3}
            assert changed.version != stored.version
            assert await store.clients.find("client") == changed
            assert await store.clients.find("other") == other

    async def test_replace_keeps_created_at(self) -> None:
        """`created_at` is kept from the first `add`, whatever `replace` is given."""
        async with self.opened() as store:
            stored = await store.clients.add(client())
            changed = await store.clients.replace(replace(stored, created_at=5))
            assert changed.created_at == stored.created_at
            assert await store.clients.find("client") == changed

    async def test_replace_wants_the_version_that_stands(self) -> None:
        """`NotFound` for a version that was replaced, never was, or whose client is gone; nothing changes."""
        async with self.opened() as store:
            old = await store.clients.add(client(a=1))
            now = await store.clients.replace(replace(old, metadata={"a": 2}))
            for version in (old.version, now.version + 1, 0, -1, 2**63, 2**70):
                with pytest.raises((NotFound, StoreUnavailable)):
                    await store.clients.replace(replace(old, version=version))
            with pytest.raises(NotFound):
                await store.clients.replace(old)
            assert await store.clients.find("client") == now
            await store.clients.remove("client")
            with pytest.raises(NotFound):
                await store.clients.replace(now)
            assert await store.clients.find("client") is None

    async def test_remove(self) -> None:
        """The client is gone, the others stay; `NotFound` if it was not there, the second time too."""
        async with self.opened() as store:
            await store.clients.add(client("a"))
            other = await store.clients.add(client("b"))
            await store.clients.remove("a")
            for missing in ("a", "c"):
                with pytest.raises(NotFound):
                    await store.clients.remove(missing)
            assert list(await store.clients.list()) == [other]

    async def test_versions_never_repeat(self) -> None:
        """Each state of one `client_id` has a version of its own, deletion and re-creation included."""
        async with self.opened() as store:
            seen = []
            for _ in range(3):
                record = await store.clients.add(client())
                seen.append(record.version)
                for flag in (False, True):
                    record = await store.clients.replace(replace(record, enabled=flag))
                    seen.append(record.version)
                await store.clients.remove("client")
            assert len(set(seen)) == len(seen)

    async def test_an_old_state_cannot_return(self) -> None:
        """A record read before its client was removed and made anew replaces nothing."""
        async with self.opened() as store:
            old = await store.clients.add(client(a=1))
            await store.clients.remove("client")
            new = await store.clients.add(client(a=2))
            with pytest.raises(NotFound):
                await store.clients.replace(old)
            assert await store.clients.find("client") == new

    # Keys

    async def test_keys_come_back(self) -> None:
        """A key is stored byte by byte."""
        async with self.opened() as store:
            await store.keys.add(key("ключ ' 🔐"))
            assert list(await store.keys.list()) == [key("ключ ' 🔐")]

    async def test_keys_are_listed_oldest_first(self) -> None:
        """All keys, oldest first, in whatever order they were stored."""
        async with self.opened() as store:
            for created_at in (30.0, 10.5, 20.0, 10.25):
                await store.keys.add(key(f"{created_at}", created_at=created_at))
            assert [record.created_at for record in await store.keys.list()] == [10.25, 10.5, 20.0, 30.0]

    async def test_a_kid_is_taken_once(self) -> None:
        """`AlreadyExists` if the kid is there, and the key that has it stays as it was."""
        async with self.opened() as store:
            await store.keys.add(key(created_at=1))
            with pytest.raises(AlreadyExists):
                await store.keys.add(key(created_at=2))
            assert list(await store.keys.list()) == [key(created_at=1)]

    async def test_add_first_stores_the_first(self) -> None:
        """`add_first` stores its key if there was none, and else returns the oldest of those that were there."""
        async with self.opened() as store:
            assert await store.keys.add_first(key("a", created_at=50)) == key("a", created_at=50)
            assert await store.keys.add_first(key("b", created_at=1)) == key("a", created_at=50)
            await store.keys.add(key("c", created_at=40))
            assert await store.keys.add_first(key("d")) == key("c", created_at=40)
            assert [record.kid for record in await store.keys.list()] == ["c", "a"]

    async def test_a_private_key_is_not_shown(self) -> None:
        """What a store says when it fails has no private key in it."""
        async with self.opened() as store:
            secret = KeyRecord(kid="nul\0", alg="ES256", private_key=b"correct horse battery staple")
            with pytest.raises(StoreUnavailable) as refused:
                await store.keys.add(secret)
            assert "horse" not in str(refused.value) + str(refused.value.__cause__)

    # Revision

    async def test_the_revision_moves_with_each_change(self) -> None:
        """It is another number after every committed change, and never one that it was before."""
        async with self.opened() as store:
            seen = [await store.revision()]
            record = await store.clients.add(client())
            seen.append(await store.revision())
            await store.clients.replace(replace(record, enabled=False))
            seen.append(await store.revision())
            await store.clients.remove("client")
            seen.append(await store.revision())
            await store.keys.add(key("a"))
            seen.append(await store.revision())
            await store.clients.add(client())
            seen.append(await store.revision())
            assert len(set(seen)) == len(seen)

    async def test_the_revision_moves_with_the_first_key(self) -> None:
        """`add_first` moves it when it stores its key, and not when it finds one."""
        async with self.opened() as store:
            before = await store.revision()
            await store.keys.add_first(key("a"))
            after = await store.revision()
            assert after != before
            await store.keys.add_first(key("b"))
            assert await store.revision() == after

    async def test_the_revision_stays_without_a_change(self) -> None:
        """Questions and refused changes leave it as it is."""
        async with self.opened() as store:
            stored = await store.clients.add(client())
            await store.keys.add(key())
            before = await store.revision()
            await store.clients.find("client")
            await store.clients.list()
            await store.keys.list()
            await refused(AlreadyExists, store.clients.add(client()))
            await refused(AlreadyExists, store.keys.add(key()))
            await refused(NotFound, store.clients.remove("other"))
            await refused(NotFound, store.clients.replace(replace(stored, version=stored.version + 1)))
            assert await store.revision() == before

    # At once

    async def test_one_of_many_adds_wins(self) -> None:
        """Of 50 parallel `add`s of one id one wins, and it is the winner's record that stands."""
        async with self.opened() as store:
            won, lost = await parted(AlreadyExists, (store.clients.add(client(n=n)) for n in range(50)))
            assert (len(won), lost) == (1, 49)
            assert await store.clients.find("client") == won[0]

    async def test_one_of_many_replaces_wins(self) -> None:
        """Of 50 parallel `replace`s of one version one wins, and it is the winner's record that stands."""
        async with self.opened() as store:
            old = await store.clients.add(client())
            changes = (store.clients.replace(replace(old, metadata={"n": n})) for n in range(50))
            won, lost = await parted(NotFound, changes)
            assert (len(won), lost) == (1, 49)
            assert await store.clients.find("client") == won[0]

    async def test_one_of_many_removes_wins(self) -> None:
        """Of 20 parallel `remove`s of one client one finds it."""
        async with self.opened() as store:
            await store.clients.add(client())
            won, lost = await parted(NotFound, (store.clients.remove("client") for _ in range(20)))
            assert (len(won), lost) == (1, 19)

    async def test_many_first_keys_are_one(self) -> None:
        """Twenty tasks call `add_first` at once: all get the same key, and it is the only one."""
        async with self.opened() as store:
            calls = (store.keys.add_first(key(f"{n}", created_at=n)) for n in range(20))
            first = await asyncio.gather(*calls)
            assert len({record.kid for record in first}) == 1
            assert list(await store.keys.list()) == [first[0]]

    async def test_changes_of_others_do_not_mix(self) -> None:
        """Parallel changes of different clients and keys all stand afterwards, each with a version of its own."""
        async with self.opened() as store:
            adding = asyncio.gather(*(store.clients.add(client(f"{n:02}", n=n)) for n in range(30)))
            keys = asyncio.gather(*(store.keys.add(key(f"{n:02}")) for n in range(10)))
            stored = await adding
            await keys
            assert list(await store.clients.list()) == stored
            assert len({record.version for record in stored}) == 30
            assert len(await store.keys.list()) == 10

    async def test_reading_while_others_write(self) -> None:
        """A reader sees a state that was committed, wholly, however many changes are under way."""
        async with self.opened() as store:
            await store.clients.add(client(a=0, b=0))

            async def write() -> None:
                for n in range(20):
                    old = await store.clients.find("client")
                    assert old is not None
                    await store.clients.replace(replace(old, metadata={"a": n, "b": n}))

            writing = asyncio.ensure_future(write())
            while not writing.done():
                seen = await store.clients.find("client")
                assert seen is not None
                assert seen.metadata["a"] == seen.metadata["b"]
            await writing

    async def test_a_cancelled_change_is_done_or_not(self) -> None:
        """A caller that goes away at any moment leaves the old state or the new one, and a store that works."""
        async with self.opened() as store:
            for n in range(20):
                task = asyncio.ensure_future(store.clients.add(client(f"{n}", a=n)))
                await asyncio.sleep(0.0004 * n)
                task.cancel()
                await asyncio.wait([task])
            stored = await store.clients.add(client("after"))
            there = {record.client_id: record for record in await store.clients.list()}
            assert there.pop("after") == stored
            assert all(record.metadata == {"a": int(name)} for name, record in there.items())

    # Processes, and the end

    async def test_another_process_sees_a_change_at_once(self) -> None:
        """What one view committed the other one finds, and its revision tells of it."""
        async with self.opened_twice() as (one, other):
            before = await other.revision()
            stored = await one.clients.add(client())
            assert await other.revision() == await one.revision() != before
            assert await other.clients.find("client") == stored
            changed = await other.clients.replace(replace(stored, enabled=False))
            assert await one.clients.find("client") == changed
            await refused(NotFound, one.clients.replace(stored))
            await refused(AlreadyExists, one.clients.add(client()))

    async def test_two_processes_have_one_first_key(self) -> None:
        """`add_first` is atomic between processes."""
        async with self.opened_twice() as views:
            calls = [view.keys.add_first(key(f"{n}")) for n in range(10) for view in views]
            first = await asyncio.gather(*calls)
            assert len({record.kid for record in first}) == 1
            assert list(await views[1].keys.list()) == [first[0]]

    async def test_two_processes_do_not_both_win(self) -> None:
        """Of parallel `add`s through two views one wins, and so of `replace`s; other changes all stand."""
        async with self.opened_twice() as views:
            won, _ = await parted(AlreadyExists, (view.clients.add(client(n=n)) for n, view in enumerate(views * 5)))
            assert len(won) == 1
            again = (view.clients.replace(replace(won[0], metadata={"n": n})) for n, view in enumerate(views * 5))
            won, _ = await parted(NotFound, again)
            assert len(won) == 1
            assert await views[0].clients.find("client") == won[0]
            await asyncio.gather(*(view.clients.add(client(f"{n}")) for n, view in enumerate(views * 10)))
            assert len(await views[0].clients.list()) == 21

    async def test_what_was_stored_is_there_after_a_restart(self) -> None:
        """Clients, keys and the revision survive the close; versions do not begin anew."""
        if not self.reopens:
            pytest.skip("each opening of this store is a place of its own")
        async with self.opened() as store:
            gone = await store.clients.add(client())
            await store.clients.remove("client")
            stored = await store.clients.add(client("b", **METADATA))
            await store.keys.add(key())
            revision = await store.revision()
        async with self.opened() as store:
            assert await store.revision() == revision
            assert list(await store.clients.list()) == [stored]
            assert list(await store.keys.list()) == [key()]
            assert (await store.clients.add(client())).version not in {gone.version, stored.version}

    async def test_close_twice(self) -> None:
        """`close` a second time, or twice at once, changes nothing."""
        store = await self.open()
        await store.clients.add(client())
        await asyncio.gather(store.close(), store.close())
        await store.close()

    async def test_a_closed_store_is_unavailable(self) -> None:
        """After `close` every call is `StoreUnavailable`."""
        store = await self.open()
        await store.close()
        for call in (
            store.clients.find("client"),
            store.clients.list(),
            store.clients.add(client()),
            store.clients.replace(client()),
            store.clients.remove("client"),
            store.keys.list(),
            store.keys.add(key()),
            store.keys.add_first(key()),
            store.revision(),
            store.revocations.list(),
            store.revocations.affected(RevokedKind.CLIENT, "client", now=NOW),
            store.revocations.add(revocation(RevokedKind.CLIENT, "client")),
            store.revocations.remove(RevokedKind.CLIENT, "client"),
            allot(store, status()),
            store.revocations.statuses(NOW),
        ):
            await refused(StoreUnavailable, call)

    async def test_close_waits_for_changes(self) -> None:
        """A change that was begun before `close` is committed, or refused; it is never lost after its answer."""
        if not self.reopens:
            pytest.skip("each opening of this store is a place of its own")
        store = await self.open()
        tasks = [asyncio.ensure_future(store.clients.add(client(f"{n}"))) for n in range(10)]
        await asyncio.sleep(0)
        await store.close()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        stored = {answer.client_id for answer in answers if isinstance(answer, ClientRecord)}
        assert all(isinstance(answer, ClientRecord | StoreUnavailable) for answer in answers)
        async with self.opened() as again:
            assert {record.client_id for record in await again.clients.list()} == stored
