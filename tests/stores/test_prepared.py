"""certbound.stores.prepared, and transactions that are made in the thread of a connection."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Text, bindparam, event, insert, select, update
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
END_SOME = Prepared(
    update(used)
    .where(used.c.ends_at != bindparam("when"), used.c.digest.in_(bindparam("digests", expanding=True)))
    .where(used.c.digest != "literal")
    .values(ends_at=bindparam("when"))
)


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


async def end_some(hands: Hands, *, digests: list[str], now: float) -> int:
    """How many of these had another end."""
    return (await hands.run(END_SOME, {"digests": digests, "when": now})).changed


async def stored(database: Database) -> list[str]:
    """What is there."""
    return [row[0] for row in await database.find(ALL)]


async def test_a_statement_may_have_lists_of_any_length_and_values_of_its_own(database: Database) -> None:
    """Literals of the statement stand where they stood, whatever else is filled in."""
    await add(database, "a", "b", "c")
    for digests in (["a"], ["a", "c"], [], ["c", "b"], ["b"], []):
        assert sorted(row[0] for row in await database.find(SOME, {"digests": digests})) == sorted(digests)

    for changed, digests in ((2, ["a", "no", "b"]), (1, ["c"]), (1, ["a", "b", "c"])):
        assert await database.write_prepared(partial(end_some, digests=digests, now=5.0 + len(digests))) == changed

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


async def test_those_who_write_at_once_share_a_commit_and_nothing_else(database: Database, path: Path) -> None:
    """Whoever raises, or writes what cannot be, changed nothing, before or behind the others, which did."""
    commits: list[str] = []
    event.listen(database._access.engine.sync_engine, "connect", lambda raw, _: _tell_commits(raw, commits))

    async def fail(hands: Hands) -> None:
        await hands.run(ADD, {"digest": "lost", "ends_at": 1.0})
        raise LookupError

    answers = await asyncio.gather(
        add(database, "first"),
        add(database, "second"),
        database.write_prepared(fail),
        add(database, "third", "first"),
        database.change_quietly(fail),
        add(database, "third", "fourth"),
        return_exceptions=True,
    )
    assert [type(each) for each in answers] == [
        type(None), type(None), LookupError, StoreUnavailable, LookupError, type(None),
    ]  # fmt: skip
    assert await stored(database) == ["first", "fourth", "second", "third"]
    assert len(commits) <= 2


async def test_nobody_was_told_what_a_full_disk_did_not_take(database: Database) -> None:
    """Where the database gives up a transaction, all who shared it are refused, those too that had done their part."""
    event.listen(database._access.engine.sync_engine, "connect", lambda raw, _: _limit(raw))
    few = [str(each) for each in range(20)]
    much = [f"{each} {'x' * 3000}" for each in range(600)]
    asked = [add(database, "alone"), *(add(database, each) for each in few[:10]), add(database, *much)]
    answers = await asyncio.gather(*asked, *(add(database, each) for each in few[10:]), return_exceptions=True)
    told = ["alone", *few[:10], "much", *few[10:]]
    assert isinstance(answers[11], StoreUnavailable)
    assert set(await stored(database)) == {
        name for name, each in zip(told, answers, strict=True) if not isinstance(each, StoreUnavailable)
    }


async def test_a_transaction_that_would_not_end_is_nobody_elses(database: Database, path: Path) -> None:
    """Where even the way back fails the connection is gone, with all that was not committed, and its lock."""
    denied = ["ROLLBACK"]
    event.listen(database._access.engine.sync_engine, "connect", lambda raw, _: _deny(raw, denied))

    async def fail(hands: Hands) -> None:
        await hands.run(ADD, {"digest": "lost", "ends_at": 1.0})
        raise LookupError

    with pytest.raises(StoreUnavailable, match="not authorized"):
        await database.write_prepared(fail)
    denied.clear()
    assert await asyncio.gather(*(stored(database) for _ in range(8))) == [[]] * 8
    await add(database, "next")
    assert await stored(database) == ["next"]


async def test_questions_that_are_asked_at_once_have_an_answer_each(database: Database) -> None:
    """One that cannot be asked is nobody else's failure."""
    await add(database, "a", "b")
    wrong = Prepared(select(bindparam("text", type_=Text)))
    answers = await asyncio.gather(
        database.find(ALL),
        database.find(SOME, {"digests": ["b"]}),
        database.find(wrong, {"text": object()}),
        database.find(SOME, {}),
        database.find(ALL),
        return_exceptions=True,
    )
    assert [list(each) if isinstance(each, list) else type(each) for each in answers] == [
        [("a",), ("b",)], [("b",)], StoreUnavailable, KeyError, [("a",), ("b",)],
    ]  # fmt: skip


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


async def test_what_was_asked_before_the_end_is_answered(database: Database) -> None:
    """Also what waits for a transaction that is under way."""
    asked = [asyncio.ensure_future(add(database, str(each))) for each in range(1)]
    await asyncio.sleep(0)
    asked += [asyncio.ensure_future(add(database, str(each))) for each in range(1, 9)]
    asking = asyncio.ensure_future(stored(database))
    await asyncio.sleep(0)
    await database.close()
    assert [each.done() for each in (*asked, asking)] == [True] * 10
    assert await asyncio.gather(*asked) == [None] * 9


async def test_a_closed_store_is_asked_nothing(database: Database) -> None:
    """As everything else of it."""
    await database.close()
    for call in (database.find(ALL), add(database, "late")):
        with pytest.raises(StoreUnavailable, match="closed"):
            await call


def _tell_commits(raw: Any, commits: list[str]) -> None:
    def tell(text: str) -> None:
        if text == "COMMIT":
            commits.append(text)

    raw.run_async(lambda driver: driver.set_trace_callback(tell))


def _deny(raw: Any, denied: list[str]) -> None:
    def judge(action: int, what: str | None, *_: Any) -> int:
        return sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_TRANSACTION and what in denied else sqlite3.SQLITE_OK

    raw.run_async(lambda driver: driver._execute(driver._conn.set_authorizer, judge))


def _limit(raw: Any) -> None:
    """So many pages and no more: to SQLite that is a disk that is full."""
    cursor = raw.cursor()
    cursor.execute("PRAGMA page_count")
    cursor.execute(f"PRAGMA max_page_count = {cursor.fetchone()[0] + 20}")
    cursor.close()
