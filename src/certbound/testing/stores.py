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

import pytest

from certbound.core.errors import StoreUnavailable
from certbound.core.ports import (
    AlreadyExists,
    ClientRecord,
    NotFound,
    Revision,
    RevokedKind,
)
from certbound.testing.store_accounts import AccountConformance
from certbound.testing.store_clients import ClientConformance
from certbound.testing.store_consents import ConsentConformance, SubjectConformance
from certbound.testing.store_descent import DescentConformance
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
from certbound.testing.store_redemption import RedemptionConformance
from certbound.testing.store_revocations import RevocationConformance
from certbound.testing.store_sessions import SessionConformance
from certbound.testing.store_statuses import StatusConformance
from certbound.testing.store_tickets import TicketConformance
from certbound.testing.store_tokens import TokenConformance

__all__ = ["METADATA", "NOW", "ODD_IDENTIFIERS", "StoreConformance", "allot", "client", "key", "revocation", "status"]


class StoreConformance(
    ClientConformance,
    KeyConformance,
    StatusConformance,
    RevocationConformance,
    DescentConformance,
    GrantConformance,
    TokenConformance,
    InitialTokenConformance,
    TicketConformance,
    RedemptionConformance,
    AccountConformance,
    SessionConformance,
    ConsentConformance,
    SubjectConformance,
):
    """What any store does.  Subclass it and say in `open` how yours is opened."""

    async def test_an_empty_store_has_nothing(self) -> None:
        """A new store has no client, no key, and a revision all the same."""
        async with self.opened() as store:
            assert await store.clients.find("client") is None
            assert list(await store.clients.list()) == []
            assert list(await store.keys.list()) == []
            assert isinstance(await store.revision(), Revision)

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

    # Processes, and the end

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
