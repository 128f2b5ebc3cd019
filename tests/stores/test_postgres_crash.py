"""`kill -9` of a server process between any two steps of a change or a migration, on PostgreSQL.

As `test_crash.py` for SQLite: before the last commit began there is the state of before, after it that of after.  Who
repeats a change because no answer came has what one change makes; who starts on half a migration has all of it.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Connection, MetaData
from sqlalchemy.ext.asyncio import create_async_engine

from certbound.core.ports import GrantRecord
from certbound.stores import migrations, open_store, pending
from certbound.stores.schema import tables
from certbound.testing.store_accounts import settled
from certbound.testing.store_tickets import ticket
from certbound.testing.stores import NOW, client
from postgres_server import PostgresServer

pytestmark = pytest.mark.postgres

CHANGES = [
    "add", "replace", "remove", "add_first", "exchange", "revoke", "revoke_client", "open_grant", "redeem",
    "obtain_grant", "obtain_status", "change_ticket", "take_ticket", "withdraw", "lock_out", "remove_account",
    "rotate", "reuse", "revoke_grant", "add_token", "use",
]  # fmt: skip
REPEATABLE = {
    "add_first", "exchange", "rotate", "reuse", "revoke_grant", "take_ticket", "withdraw", "lock_out", "add_token",
    "use",
}  # fmt: skip
TABLES = [table.name for table in tables.sorted_tables]


class Crasher:
    """The process of `crashing.py`, and a database that can be made again what it was."""

    def __init__(self, server: PostgresServer) -> None:
        command = [sys.executable, "-W", "error", str(Path(__file__).with_name("crashing.py"))]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.server = server
        self.name = server.database()
        self.url = server.url(self.name)
        asyncio.run(_fill(self.url))
        keep = (f"CREATE TABLE kept.{each} AS TABLE {each}" for each in TABLES)
        server.sql("CREATE SCHEMA kept", *keep, database=self.name)

    def renew(self) -> None:
        """The database is as at first."""
        back = (f"INSERT INTO {each} SELECT * FROM kept.{each}" for each in TABLES)
        self.server.sql(f"TRUNCATE {', '.join(TABLES)}", *back, database=self.name)

    def order(self, **order: Any) -> Any:
        """What became of it."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"url": self.url, **order}) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def state(self) -> list[str]:
        """All rows of all tables, once PostgreSQL has seen that who wrote them is dead."""
        return rows_of(self.server, self.name, TABLES)

    def close(self) -> None:
        """The process has ended."""
        self._process.communicate()


def rows_of(server: PostgresServer, name: str, tables: Sequence[str]) -> list[str]:
    """All rows of these tables, a line for each table; where in the list a status lies is chance, and is left out."""
    others = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()"
    deadline = time.monotonic() + 10
    while server.sql(others, database=name) != "0":
        assert time.monotonic() < deadline
    row = {each: "to_jsonb(t) - 'idx'" if each == "statuses" else "to_jsonb(t)" for each in tables}
    asked = (f"SELECT '{each}', jsonb_agg({row[each]} ORDER BY ({row[each]})::text) FROM {each} t" for each in tables)
    return server.sql(*asked, database=name).splitlines()


async def _fill(url: str) -> None:
    store = await open_store(url)
    await store.clients.add(client("gone"))
    await store.clients.add(client("old", text="o" * 5000))
    await store.clients.remove("gone")
    grant = GrantRecord(grant_id="grant", client_id="old", content={}, seed="s", created_at=NOW, ends_at=NOW + 604_800)
    await store.grants.open(grant, "first", now=NOW)
    await store.grants.rotate("first", "second", now=NOW, grace=0)
    await store.tickets.add(ticket())
    await settled(store, "ann", "old")
    await store.close()


@pytest.fixture(scope="module")
def crasher() -> Iterator[Crasher]:
    """One warm process and one database for the module."""
    with PostgresServer.running() as server:
        crasher = Crasher(server)
        yield crasher
        crasher.close()


@pytest.mark.parametrize("change", CHANGES)
def test_killed_between_any_two_steps(change: str, crasher: Crasher) -> None:
    """A change that dies before any of its statements, before or after its commit, stands wholly or not at all."""
    crasher.renew()
    before = crasher.state()
    undisturbed = crasher.order(work="change", change=change)
    assert undisturbed["status"] == 0
    after = crasher.state()
    assert before != after
    commits = undisturbed["told"].count("commit")
    seen: set[bool] = set()
    for at in range(int(undisturbed["told"][-1].removeprefix("count "))):
        crasher.renew()
        answer = crasher.order(work="change", change=change, at=at)
        assert answer["status"] == -9
        state, told = crasher.state(), answer["told"]
        if told.count("committed") == commits:
            assert state == after, told
        elif told.count("commit") < commits:
            assert state == before, told
        else:
            assert state in (before, after), told
        stands = state == after
        if change in REPEATABLE and stands not in seen:  # from one state one repetition
            assert crasher.order(work="change", change=change)["status"] == 0
            assert _records(crasher.state()) == _records(after)
        seen.add(stands)
    assert seen == {False, True}


def _records(state: list[str]) -> list[str]:
    return [each for each in state if not each.startswith("revision|")]


def test_killed_between_any_two_steps_of_a_migration(crasher: Crasher) -> None:
    """A first start that dies at any step leaves a database that the next start finishes."""
    name = crasher.server.database()
    undisturbed = crasher.order(work="migrate", url=crasher.server.url(name))
    assert undisturbed["status"] == 0
    asked = "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public'"
    whole = sorted(crasher.server.sql(asked, database=name).splitlines())
    for at in range(int(undisturbed["told"][-1].removeprefix("count "))):
        name = crasher.server.database()
        url = crasher.server.url(name)
        answer = crasher.order(work="migrate", url=url, at=at)
        assert answer["status"] == -9
        left = list(asyncio.run(pending(url)))
        if "commit" not in answer["told"]:
            assert left == list(migrations.every())
        assert left in ([], list(migrations.every()))
        assert crasher.order(work="migrate", url=url)["status"] == 0
        assert sorted(crasher.server.sql(asked, database=name).splitlines()) == whole


@pytest.mark.parametrize("number", migrations.every()[:-1])
def test_a_migration_of_data_killed_between_any_two_steps(number: str, crasher: Crasher) -> None:
    """A database of each older schema, with rows in every table: as before or as after it, and the next start ends it.

    Nothing of a row is lost or changed by it, whatever is added.
    """
    server = crasher.server
    old = server.database()
    asyncio.run(_fill_old(server.url(old), number))
    before = _shape(server, old)
    done = server.database(template=old)
    undisturbed = crasher.order(work="migrate", url=server.url(done))
    assert undisturbed["status"] == 0
    after = _shape(server, done)
    seen = set()
    for at in range(int(undisturbed["told"][-1].removeprefix("count "))):
        name = server.database(template=old)
        url = server.url(name)
        answer = crasher.order(work="migrate", url=url, at=at)
        assert answer["status"] == -9
        state, told = _shape(server, name), answer["told"]
        assert state == after if "committed" in told else state in ((before, after) if "commit" in told else (before,))
        if (state == after) not in seen:  # from one state one start
            assert crasher.order(work="migrate", url=url)["status"] == 0
            assert _shape(server, name) == after
        seen.add(state == after)
        server.sql(f"DROP DATABASE {name}", database="postgres")
    assert seen == {False, True}
    for table, rows in before.items():
        if table not in {migrations.VERSION_TABLE, _INDEXES}:
            kept = [{column: row[column] for column in rows[0]} for row in after[table]]
            assert sorted(map(str, kept)) == sorted(map(str, rows))
            assert len(rows) == (1 if table == "revision" else 3)


def _shape(server: PostgresServer, name: str) -> dict[str, Any]:
    """Every row of every table that there is, and the names of the indexes."""
    tables = server.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", database=name).splitlines()
    asked = (f"SELECT coalesce(jsonb_agg(t ORDER BY t::text), '[]') FROM {each} t" for each in tables)
    indexes = "SELECT jsonb_agg(indexname ORDER BY indexname) FROM pg_indexes WHERE schemaname = 'public'"
    rows = map(json.loads, server.sql(*asked, indexes, database=name).splitlines())
    return dict(zip([*tables, _INDEXES], rows, strict=True))


_INDEXES = "indexes"


async def _fill_old(url: str, number: str) -> None:
    """A database as an older version left it, and three rows in each table, of anything that fits."""
    scripts = ScriptDirectory(Path(migrations.__file__).parent)
    engine = create_async_engine("postgresql+asyncpg://" + url.removeprefix("postgresql://"))

    def fill(connection: Connection) -> None:
        context = MigrationContext.configure(connection, opts={"version_table": migrations.VERSION_TABLE})
        for script in list(scripts.walk_revisions())[::-1]:
            if script.revision <= number:
                script.module.upgrade(Operations(context))
        found = MetaData()
        found.reflect(connection)
        for table in found.sorted_tables:
            if table.name != "revision":
                made = [{each.name: _anything(each, n) for each in table.columns} for n in range(3)]
                connection.execute(table.insert(), made)
        context.stamp(scripts, number)

    async with engine.begin() as connection:
        await connection.run_sync(fill)
    await engine.dispose()


def _anything(column: Column[Any], number: int) -> Any:
    kind = column.type.python_type
    return {bool: bool(number), bytes: b"%d" % number, str: f"{column.name} {number}"}.get(kind) or kind(number)
