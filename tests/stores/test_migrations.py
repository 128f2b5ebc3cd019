"""Migrations: numbered steps, all or none of them, by whichever process comes first."""

import asyncio
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from certbound.core.errors import ConfigurationError, StoreUnavailable
from certbound.core.ports import GrantRecord, RefreshTokenRecord, RevokedKind, Rotation
from certbound.stores import migrate, migrations, open_store, pending, schema
from certbound.testing.store_accounts import settled
from certbound.testing.store_grants import rotate
from certbound.testing.stores import NOW, client, revocation


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database will lie."""
    return tmp_path / "store.db"


@pytest.fixture
def url(path: Path) -> str:
    """Its address."""
    return f"sqlite:///{path}"


def _by_hand(path: Path, statement: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as database:
        rows = database.execute(statement).fetchall()
        database.commit()
        return rows


async def test_a_new_database_gets_every_step(url: str, path: Path) -> None:
    """All steps are pending for a file that is not there, asking makes none, and migrating makes them once."""
    every = await pending(url)
    assert list(every) == list(migrations.every())
    assert every[0] == "0001"
    assert not path.exists()
    assert await migrate(url) == every
    assert await pending(url) == []
    assert list(await migrate(url)) == []


async def test_opening_migrates(url: str, path: Path) -> None:
    """A store that is opened has its schema; an empty file is as good as none."""
    path.touch(mode=0o600)
    assert list(await pending(url)) == list(migrations.every())
    store = await open_store(url)
    await store.close()
    assert await pending(url) == []


async def test_the_migrated_schema_is_the_schema(url: str, path: Path, tmp_path: Path) -> None:
    """No drift: `create_all` and the steps make the same tables, by Alembic's comparison and by SQLite's own."""
    await migrate(url)
    migrated, created = create_engine(url), create_engine(f"sqlite:///{tmp_path}/created.db")
    schema.tables.create_all(created)
    with migrated.connect() as connection:
        options = {"version_table": migrations.VERSION_TABLE, "compare_type": True}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), schema.tables) == []
    migrated.dispose()
    created.dispose()
    # Not the text of tables: that of one to which columns were added is another.
    for name in schema.tables.tables:
        query = f"SELECT name, type, \"notnull\", dflt_value, pk FROM pragma_table_info('{name}') ORDER BY name"
        assert _by_hand(path, query) == _by_hand(tmp_path / "created.db", query)
    query = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY name"
    assert _by_hand(path, query) == _by_hand(tmp_path / "created.db", query)


def test_the_steps_are_numbered_and_one_line() -> None:
    """Files are 0001_…, 0002_…, each on the one before, none twice."""
    scripts = list(ScriptDirectory(Path(migrations.__file__).parent).walk_revisions())[::-1]
    numbers = [script.revision for script in scripts]
    assert numbers == [f"{n:04}" for n in range(1, len(numbers) + 1)]
    assert [script.down_revision for script in scripts] == [None, *numbers[:-1]]
    assert [Path(script.path).name[:5] for script in scripts] == [f"{number}_" for number in numbers]


async def test_a_newer_schema_stops_the_start(url: str, path: Path) -> None:
    """A database that a newer certbound made is not touched, and the message says what to do."""
    await migrate(url)
    _by_hand(path, "UPDATE certbound_schema SET version_num = '9999'")
    before = path.read_bytes()
    for way in (open_store, migrate, pending):
        with pytest.raises(ConfigurationError, match=r"schema 9999, this version of certbound knows .* up to 0"):
            await way(url)
    assert path.read_bytes() == before


def _of_schema(number: str, path: Path) -> None:
    """A database as an older version of certbound left it: the steps up to this one."""
    path.touch(mode=0o600)
    scripts = ScriptDirectory(Path(migrations.__file__).parent)
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": migrations.VERSION_TABLE})
        for script in list(scripts.walk_revisions())[::-1]:
            if script.revision <= number:
                script.module.upgrade(Operations(context))
        context.stamp(scripts, number)
    engine.dispose()


async def test_what_was_there_before_a_step_is_there_after_it(url: str, path: Path) -> None:
    """A database of schema 0001 keeps its clients, and can revoke them."""
    _of_schema("0001", path)
    _by_hand(path, "INSERT INTO clients VALUES ('a', '{\"n\":1}', 1, 1, 5.0)")
    stored = replace(client("a", n=1), version=1, created_at=5.0)
    assert list(await pending(url)) == list(migrations.every())[1:]
    store = await open_store(url)
    assert list(await store.clients.list()) == [stored]
    await store.revocations.add(revocation(RevokedKind.CLIENT, "a"))
    await store.close()


async def test_what_was_granted_before_there_were_people_is_from_nobody(url: str, path: Path) -> None:
    """A database of schema 0003 keeps its grants, refreshes them, and nobody's withdrawal ends them."""
    _of_schema("0003", path)
    end = NOW + 86_400
    for each in (
        "INSERT INTO clients VALUES ('client', '{}', 1, 1, 5.0, '[]', NULL)",
        f"INSERT INTO grants VALUES ('g', 'client', '{{\"n\":1}}', 'seed', 'leaf', ' ca ', ' ', 1, {NOW}, {end}, ' ')",
        f"INSERT INTO refresh_tokens VALUES ('first', 'g', NULL, NULL, {end})",
        f"INSERT INTO statuses VALUES (7, 'client', 'leaf', ' ca ', ' ', 1, {NOW}, {end}, 4, 'g', NULL, ' ')",
        f"INSERT INTO access_tokens VALUES ('opaque', '{{}}', {end})",
        "UPDATE revision SET number = 1, statuses = 1",
    ):
        _by_hand(path, each)
    assert list(await pending(url)) == ["0004"]
    store = await open_store(url)
    kept = GrantRecord(
        grant_id="g", client_id="client", content={"n": 1}, seed="seed", thumbprint="leaf", authorities=("ca",),
        created_at=NOW, ends_at=end,
    )  # fmt: skip
    assert await store.grants.find("first", now=NOW) == RefreshTokenRecord(digest="first", grant=kept)
    assert await store.revision() == (1, 1)
    assert (await store.revocations.is_valid(10), await store.revocations.is_valid(11)) == (True, False)
    assert await store.tokens.find("opaque", now=NOW) is not None
    assert not await store.consents.withdraw("", "client")
    await settled(store)
    await store.accounts.remove("subject of ann")
    assert await rotate(store, "first", "second") is Rotation.REPLACED
    assert await store.revocations.is_valid(7)
    await store.close()


async def test_another_applications_migrations_are_its_own(url: str, path: Path) -> None:
    """An `alembic_version` of someone else in the same database means nothing to us and stays."""
    _by_hand(path, "CREATE TABLE alembic_version AS SELECT 'theirs' AS version_num")
    await migrate(url)
    assert _by_hand(path, "SELECT version_num FROM alembic_version") == [("theirs",)]


async def test_a_step_that_fails_leaves_nothing(url: str, path: Path) -> None:
    """A migration that cannot be finished leaves the database as it was: tables are made in the transaction too."""
    _by_hand(path, "CREATE TABLE revision (someone_elses TEXT)")  # the step's last table
    with pytest.raises(StoreUnavailable, match="already exists"):
        await open_store(url)
    assert _by_hand(path, "SELECT name FROM sqlite_master") == [("revision",)]


async def test_two_stores_opened_at_once_do_not_mix(tmp_path: Path) -> None:
    """Two tasks that migrate two databases at once each migrate their own; a third pair shares one."""
    urls = [f"sqlite:///{tmp_path}/{name}.db" for name in ("a", "b", "c", "c", "c")]
    stores = await asyncio.gather(*(open_store(url) for url in urls))
    for n, store in enumerate(stores):
        await store.clients.add(client(f"{n}"))
    assert [len(await store.clients.list()) for store in stores] == [1, 1, 3, 3, 3]
    for store in stores:
        await store.close()


_STARTING = """
import asyncio, sys
from certbound.stores import migrate
for url in sys.stdin:
    print(*asyncio.run(migrate(url.strip())), flush=True)
"""


async def test_two_processes_start_at_once(tmp_path: Path) -> None:
    """Two processes that open one new file at the same moment both start, and each step was made once."""
    processes = [_started() for _ in range(2)]
    for process in processes:
        assert _answered(process, "sqlite://") == list(migrations.every())  # they have loaded what it takes
    for number in range(4):
        url = f"sqlite:///{tmp_path}/{number}.db"
        for process in processes:
            process.stdin.write(f"{url}\n")
            process.stdin.flush()
        told = [process.stdout.readline().split() for process in processes]
        assert sorted(told) == [[], list(migrations.every())]
        assert await pending(url) == []
    outputs = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs


def _answered(process: Any, url: str) -> list[str]:
    process.stdin.write(f"{url}\n")
    process.stdin.flush()
    return list(process.stdout.readline().split())


def _started() -> Any:
    command = [sys.executable, "-W", "error", "-c", _STARTING]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
