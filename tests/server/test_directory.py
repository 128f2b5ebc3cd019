"""Remembered clients are never older than promised (real SQLite underneath)."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from certbound.core.errors import StoreUnavailable
from certbound.core.ports import ClientRecord, Store
from certbound.server.directory import MAX_AGE, ClientDirectory
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


async def test_a_new_client_is_found_at_once(store: Store) -> None:
    """That a client was unknown is not remembered."""
    directory = ClientDirectory(store, Clock())
    assert await directory.find("a") is None

    await store.clients.add(ClientRecord(client_id="a", metadata=METADATA))

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
    """Stored data stops nothing."""
    await store.clients.add(ClientRecord(client_id="a", metadata={"token_endpoint_auth_method": "x"}))

    with caplog.at_level(logging.ERROR, "certbound.server"):
        assert await ClientDirectory(store, Clock()).find("a") is None

    assert "token_endpoint_auth_method" in caplog.text
