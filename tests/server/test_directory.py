"""Remembered clients are never older than promised (real SQLite underneath)."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from certbound.core.errors import StoreUnavailable
from certbound.core.ports import ClientRecord, Revision, RevocationRecord, RevokedKind, Store
from certbound.server.directory import MAX_AGE, NEWS, ClientDirectory
from certbound.stores import open_store

METADATA: dict[str, Any] = {"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "a.example"}


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_store(f"sqlite:///{tmp_path}/test.sqlite")
    yield opened
    await opened.close()


async def test_a_client_is_found_and_remembered(store: Store) -> None:
    """The second question gets the very same value."""
    await store.clients.add(ClientRecord(client_id="a", metadata=METADATA))
    directory = ClientDirectory(store, Clock())

    first = await directory.find("a")

    assert first is not None
    assert first is await directory.find("a")
    assert await directory.find("b") is None


async def test_a_change_is_seen_after_at_most_max_age(store: Store) -> None:
    """Also when nobody refreshes in the background."""
    stored = await store.clients.add(ClientRecord(client_id="a", metadata=METADATA))
    clock = Clock()
    directory = ClientDirectory(store, clock)
    assert (await directory.find("a")).enabled  # type: ignore[union-attr]

    await store.clients.replace(replace(stored, enabled=False))
    clock.now += MAX_AGE + 0.001

    assert not (await directory.find("a")).enabled  # type: ignore[union-attr]


async def test_a_new_client_is_found_by_all_who_wait_for_it(store: Store) -> None:
    """Many ask at once for a client that was registered a moment ago: one answer of the store serves them all."""
    clock = Clock()
    directory = ClientDirectory(store, clock)
    assert await directory.find("a") is None
    await store.clients.add(ClientRecord(client_id="a", metadata=METADATA))
    clock.now += NEWS + 0.001

    found = await asyncio.gather(*(directory.find("a") for _ in range(10)))

    assert found[0] is not None
    assert all(each is found[0] for each in found)


async def test_a_new_client_is_found_soon(store: Store) -> None:
    """That a client was unknown is not believed for longer than `NEWS`."""
    clock = Clock()
    directory = ClientDirectory(store, clock)
    assert await directory.find("a") is None

    await store.clients.add(ClientRecord(client_id="a", metadata=METADATA))
    clock.now += NEWS + 0.001

    assert await directory.find("a") is not None


async def test_without_the_store_nothing_old_is_used(tmp_path: Path) -> None:
    """Closed by default: what cannot be confirmed is not used."""
    store = await open_store(f"sqlite:///{tmp_path}/test.sqlite")
    await store.clients.add(ClientRecord(client_id="a", metadata=METADATA))
    clock = Clock()
    directory = ClientDirectory(store, clock)
    assert await directory.find("a") is not None
    await store.close()
    clock.now += MAX_AGE + 0.001

    with pytest.raises(StoreUnavailable):
        await directory.find("a")


async def test_a_change_during_a_question_is_not_forgotten(store: Store) -> None:
    """What was read before a change is not remembered after it."""
    directory = ClientDirectory(store, Clock())
    for _ in range(20):
        stored = await store.clients.add(ClientRecord(client_id="a", metadata=METADATA))

        async def change(record: ClientRecord = stored) -> None:
            await store.clients.replace(replace(record, enabled=False))
            await directory.refresh()

        await asyncio.gather(directory.find("a"), change(), directory.find("a"))
        await directory.refresh()
        assert not (await directory.find("a")).enabled  # type: ignore[union-attr]
        await store.clients.remove("a")
        await directory.refresh()


async def test_an_unreadable_client_is_unknown_and_logged(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """Stored data stops nothing, and fills no log: one line, until it changes."""
    await store.clients.add(ClientRecord(client_id="a", metadata={"token_endpoint_auth_method": "x"}))
    directory = ClientDirectory(store, Clock())

    with caplog.at_level(logging.ERROR, "certbound.server"):
        assert [None, None] == [await directory.find("a"), await directory.find("a")]

    assert ["token_endpoint_auth_method" in record.getMessage() for record in caplog.records] == [True]


async def test_absence_is_answered_from_memory(store: Store) -> None:
    """A stranger's `client_id` costs no question to the store, and its refusal no more time than any other (R4)."""
    await store.clients.add(ClientRecord(client_id="a", metadata=METADATA))
    directory = ClientDirectory(store, Clock())
    assert await directory.find("a") is not None
    await store.close()

    assert await directory.find("b") is None
    assert await directory.find("a") is not None


async def test_more_clients_than_memory_holds(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are found one by one, and a change is seen all the same."""
    for name in ("a", "b", "c"):
        stored = await store.clients.add(ClientRecord(client_id=name, metadata=METADATA))
    monkeypatch.setattr("certbound.server.directory.CAPACITY", 2)
    clock = Clock()
    directory = ClientDirectory(store, clock)
    assert all([await directory.find(name) for name in ("a", "b", "c", "a")])
    assert await directory.find("d") is None

    await store.clients.replace(replace(stored, enabled=False))
    clock.now += MAX_AGE + 0.001

    assert not (await directory.find("c")).enabled  # type: ignore[union-attr]


async def test_clients_are_not_read_again_because_a_token_was_revoked(store: Store) -> None:
    """The number of the statuses is known all the same; with a revocation of more, clients are."""
    await store.clients.add(ClientRecord(client_id="a", metadata=METADATA))
    directory = ClientDirectory(store, Clock())
    first, before = await directory.find("a"), directory.revision

    await store.revocations.invalidate(7, until=1e10)
    await directory.refresh()

    assert first is await directory.find("a")
    assert directory.revision == await store.revision() == (before.records, before.statuses + 1)
    await store.revocations.add(RevocationRecord(kind=RevokedKind.CERTIFICATE, value="t"))
    await directory.refresh()
    assert first is not await directory.find("a")
    assert "t" in directory.revoked.certificates


async def test_many_questions_wait_for_one_answer(store: Store) -> None:
    """When memory is old, the store is asked once, not once for every request."""
    clock = Clock()
    directory = ClientDirectory(store, clock)
    asked = 0
    revision = store.revision

    async def counted() -> Revision:
        nonlocal asked
        asked += 1
        return await revision()

    store.revision = counted  # type: ignore[method-assign]
    await asyncio.gather(*(directory.find(str(number)) for number in range(50)))

    assert 1 == asked
