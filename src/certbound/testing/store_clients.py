"""The conformance suite for stores: registered clients."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from certbound.core.errors import StoreUnavailable
from certbound.core.ports import AlreadyExists, NotFound, RegistrationRecord, SecretRecord
from certbound.testing.store_place import METADATA, NOW, ODD_IDENTIFIERS, StorePlace, client, parted


class ClientConformance(StorePlace):
    """What any store does with clients."""

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
    async def test_metadata_that_is_no_json_is_refused(self, odd: Any) -> None:
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
