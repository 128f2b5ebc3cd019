"""certbound.stores.prepared, and transactions that are made in the thread of a connection."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.engine import make_url

from certbound.core.errors import StoreUnavailable
from certbound.core.ports import Store
from certbound.stores.database import Database
from certbound.stores.prepared import Hands, Prepared
from certbound.stores.schema import accounts, used
from certbound.stores.sqlite import sqlite_access

ADD = Prepared(insert(used), ["digest", "ends_at"])
ALL = Prepared(select(used.c.digest).order_by(used.c.digest))
SOME = Prepared(select(used.c.digest).where(used.c.digest.in_(bindparam("digests", expanding=True))))
END = Prepared(update(used).where(used.c.digest == bindparam("one")).values(ends_at=0.0))


@pytest.fixture
async def database(store: Store, path: Path) -> AsyncIterator[Database]:
    """A database of its own on the file of a store."""
    database = Database(sqlite_access(make_url(f"sqlite:///{path}")))
    yield database
    await database.close()


async def add(database: Database, *digests: str) -> None:
    """All of them, or none."""

    async def steps(hands: Hands) -> None:
        await hands.run_all(ADD, [{"digest": each, "ends_at": 1.0} for each in digests])

    await database.write_prepared(steps)


async def stored(database: Database) -> list[str]:
    """What is there."""
    return [row[0] for row in await database.find(ALL)]


async def test_a_statement_may_have_lists_of_any_length_and_values_of_its_own(database: Database) -> None:
    """Literals of the statement stand where they stood, whatever else is filled in."""
    await add(database, "a", "b", "c")
    for digests in (["a"], ["a", "c"], []):
        assert sorted(row[0] for row in await database.find(SOME, {"digests": digests})) == digests

    async def end(hands: Hands) -> tuple[int, int]:
        return (await hands.run(END, {"one": "b"})).changed, (await hands.run(END, {"one": "no"})).changed

    assert await database.write_prepared(end) == (1, 0)


async def test_what_raises_changes_nothing(database: Database) -> None:
    """Neither what the steps raise, which is handed on, nor what the database refuses, which says no value."""

    async def steps(hands: Hands) -> None:
        await hands.run(ADD, {"digest": "lost", "ends_at": 1.0})
        raise LookupError

    with pytest.raises(LookupError):
        await database.change_quietly(steps)
    await add(database, "kept")
    with pytest.raises(StoreUnavailable) as raised:
        await add(database, "secret", "kept")
    assert "secret" not in str(raised.value)
    assert await stored(database) == ["kept"]


async def test_steps_wait_for_nothing_but_their_statements(database: Database) -> None:
    """They are in another thread, where there is no loop; so a mistake is found the first time."""

    async def steps(hands: Hands) -> None:
        await hands.run(ADD, {"digest": "lost", "ends_at": 1.0})
        await asyncio.sleep(0)

    with pytest.raises(StoreUnavailable, match="waited"):
        await database.write_prepared(steps)
    assert await stored(database) == []


async def test_a_value_that_is_missing_is_no_null(database: Database) -> None:
    """It is a mistake of ours, and says so."""

    async def steps(hands: Hands) -> None:
        await hands.run(END, {})

    with pytest.raises(KeyError, match="one"):
        await database.write_prepared(steps)


async def test_a_column_that_would_be_read_otherwise_is_refused(database: Database) -> None:
    """A BOOLEAN, for one: SQLAlchemy makes True of a 1, and raises for what a hand wrote."""
    with pytest.raises(TypeError, match="enabled"):
        await database.find(Prepared(select(accounts.c.enabled)))


async def test_a_caller_that_is_cancelled_leaves_a_whole_transaction(database: Database) -> None:
    """And the connection to whoever comes next."""
    asked = asyncio.ensure_future(add(database, *map(str, range(1000))))
    await asyncio.sleep(0)
    asked.cancel()
    await add(database, "next")
    assert len(await stored(database)) in {1, 1001}


async def test_a_closed_store_is_asked_nothing(database: Database) -> None:
    """As everything else of it."""
    await database.close()
    for call in (database.find(ALL), add(database, "late")):
        with pytest.raises(StoreUnavailable, match="closed"):
            await call
