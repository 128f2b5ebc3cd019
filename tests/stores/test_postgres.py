"""PostgreSQL passes the conformance suite, and keeps the promises that are its own."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import count

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import AsyncAdaptedQueuePool, Connection, TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from certbound.core.errors import ConfigurationError, StoreUnavailable
from certbound.core.ports import KeyRecord, Store
from certbound.stores import migrate, migrations, open_store, pending, schema
from certbound.stores.database import Database
from certbound.stores.sql import SqlStore
from certbound.testing.stores import StoreConformance, client, key
from postgres_server import OWNER, PostgresServer

pytestmark = pytest.mark.postgres

HELD = "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.relation::regclass::text <> 'x'"
"""Locks of relations that connections hold."""
WITHIN = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
"""Connections whose transaction nobody ended."""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """One server for the module; each test has a database of its own."""
    with PostgresServer.running() as server:
        yield server


@pytest.fixture(scope="module")
def copies(server: PostgresServer) -> Iterator[str]:
    """Names of databases of today's schema in which there is nothing: copied, which is sooner than made."""
    first = server.database()
    asyncio.run(migrate(server.url(first)))

    def copy(number: int) -> str:
        server.sql(f"CREATE DATABASE copy{number} OWNER {OWNER} TEMPLATE {first}", database="postgres")
        return f"copy{number}"

    return map(copy, count(1))


@pytest.fixture
def name(server: PostgresServer) -> str:
    """The test's database."""
    return server.database()


@pytest.fixture
def url(server: PostgresServer, name: str) -> str:
    """Its address."""
    return server.url(name)


class TestPostgres(StoreConformance):
    """A database of PostgreSQL."""

    @pytest.fixture(autouse=True)
    def place(self, server: PostgresServer, copies: Iterator[str]) -> None:
        """Each test has a database of its own, its schema made already."""
        self.url = server.url(next(copies))

    async def open(self) -> Store:
        """The database, opened once more."""
        return await open_store(self.url)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Store]:
    """An open store, closed afterwards."""
    store = await open_store(url)
    try:
        yield store
    finally:
        await store.close()


def database_of(store: Store) -> Database:
    """What is below the ports."""
    assert isinstance(store, SqlStore)
    return store._database


async def nothing(_: object, *__: object) -> None:
    """A change of nothing."""


# The schema


async def test_a_new_database_gets_every_step(url: str) -> None:
    """All steps are pending for an empty database, asking makes none, and migrating makes them once."""
    assert list(await pending(url)) == list(migrations.every())
    assert list(await migrate(url)) == list(migrations.every())
    assert await pending(url) == []
    assert list(await migrate(url)) == []


async def test_the_migrated_schema_is_the_schema(url: str) -> None:
    """No drift, by Alembic's comparison."""
    await migrate(url)
    engine = create_async_engine("postgresql+asyncpg://" + url.removeprefix("postgresql://"))

    def compare(connection: Connection) -> list[object]:
        options = {"version_table": migrations.VERSION_TABLE, "compare_type": True, "compare_server_default": True}
        return compare_metadata(MigrationContext.configure(connection, opts=options), schema.tables)

    async with engine.connect() as connection:
        assert await connection.run_sync(compare) == []
    await engine.dispose()


async def test_many_open_an_empty_database_at_once(url: str) -> None:
    """One of them migrates, all of them work."""
    stores = await asyncio.gather(*(open_store(url) for _ in range(8)))
    await asyncio.gather(*(store.clients.add(client(f"{n}")) for n, store in enumerate(stores)))
    assert len(await stores[0].clients.list()) == 8
    await asyncio.gather(*(store.close() for store in stores))


async def test_a_newer_schema_stops_the_start(server: PostgresServer, name: str, url: str) -> None:
    """A database that a newer certbound made is not touched, and the message says what to do."""
    await migrate(url)
    server.sql("UPDATE certbound_schema SET version_num = '9999'", database=name)
    for way in (open_store, migrate, pending):
        with pytest.raises(ConfigurationError, match=r"schema 9999, this version of certbound knows .* up to 0"):
            await way(url)


async def test_a_step_that_fails_leaves_nothing(server: PostgresServer, name: str, url: str) -> None:
    """A migration that cannot be finished leaves the database as it was."""
    server.sql("CREATE TABLE used (someone_elses TEXT)", database=name)
    with pytest.raises(StoreUnavailable, match="already exists"):
        await open_store(url)
    assert server.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", database=name) == "used"


async def test_a_database_of_another_encoding_stops_the_start(server: PostgresServer) -> None:
    """One sentence says how to make one that can hold every name."""
    server.sql(
        "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0",
        database="postgres",
    )
    with pytest.raises(ConfigurationError, match=r"has the encoding LATIN1, .* create it with ENCODING 'UTF8'"):
        await open_store(server.url("latin"))


async def test_a_database_that_is_not_there_is_unavailable(server: PostgresServer) -> None:
    """Nor is one made: it is the administrator's."""
    with pytest.raises(StoreUnavailable, match='database "nowhere" does not exist'):
        await open_store(server.url("nowhere"))
    with pytest.raises(StoreUnavailable):
        await open_store(server.url("nowhere").replace(str(server.folder), "/nowhere"))


async def test_hosts_are_tried_in_turn(server: PostgresServer, name: str) -> None:
    """The first one that answers and takes changes."""
    hosts = f"host=/nowhere&host={server.folder}&target_session_attrs=read-write"
    async with opened(f"postgresql://{OWNER}@/{name}?{hosts}") as store:
        await store.clients.add(client())
        assert await store.clients.find(client().client_id) is not None


# Locks and waits


async def test_a_locked_revision_is_waited_for(server: PostgresServer, url: str) -> None:
    """A change waits while another process changes; questions and what is written often do not."""
    async with opened(url) as store, opened(url) as other:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def steps(connection: AsyncConnection, _: int) -> None:
            begun.set()
            await go_on.wait()

        changing = asyncio.ensure_future(database_of(other).change(steps))
        await begun.wait()
        adding = asyncio.ensure_future(store.clients.add(client()))
        await asyncio.sleep(0.1)
        assert not adding.done()
        assert list(await store.clients.list()) == []
        await asyncio.wait_for(database_of(store).write(nothing), 1)
        await asyncio.wait_for(store.tokens.use("jti", "a", until=2e9, now=1e9), 1)
        go_on.set()
        await changing
        stored = await adding
        assert await store.clients.find("client") == stored


async def test_a_revision_that_stays_locked_is_unavailable(server: PostgresServer, name: str) -> None:
    """Changes that wait too long are refused, all of them soon; then the store works again."""
    url = server.url(name, timeout=0.3)
    async with opened(url) as store, opened(server.url(name)) as other:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def steps(connection: AsyncConnection, _: int) -> None:
            begun.set()
            await go_on.wait()

        changing = asyncio.ensure_future(database_of(other).change(steps))
        await begun.wait()
        at = time.monotonic()
        changes = (store.clients.add(client(f"{n}")) for n in range(30))
        answers = await asyncio.gather(*changes, return_exceptions=True)
        assert {type(answer) for answer in answers} == {StoreUnavailable}
        assert 0.2 <= time.monotonic() - at < 3
        go_on.set()
        await changing
        assert list(await store.clients.list()) == []
        await store.clients.add(client())


async def test_who_stops_within_a_change_loses_the_lock(server: PostgresServer, name: str) -> None:
    """A process that does not go on, as one that is suspended, holds up the others for a moment and not for ever."""
    async with opened(server.url(name, timeout=0.5)) as stopped, opened(server.url(name)) as store:

        async def steps(connection: AsyncConnection, _: int) -> None:
            await asyncio.sleep(2.5)
            await connection.execute(text("SELECT 1"))

        changing = asyncio.ensure_future(database_of(stopped).change(steps))
        await asyncio.sleep(0.1)
        at = time.monotonic()
        await store.clients.add(client())
        assert time.monotonic() - at < 2.3
        with pytest.raises(StoreUnavailable):
            await changing
        await stopped.clients.add(client("again"))


async def test_a_statement_that_takes_too_long_is_unavailable(server: PostgresServer, name: str) -> None:
    """It ends, and its connection is good for the next."""
    async with opened(server.url(name, timeout=0.2)) as store:
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await database_of(store).ask(lambda connection: connection.execute(text("SELECT pg_sleep(60)")))
        assert list(await store.clients.list()) == []


@pytest.mark.parametrize(
    "setting", ["default_transaction_isolation = 'serializable'", "synchronous_commit = off"], ids=["isolation", "sync"]
)
async def test_what_a_role_is_set_to_means_nothing(server: PostgresServer, name: str, url: str, setting: str) -> None:
    """The lock works and a commit is on the disk, whatever an administrator made the default."""
    server.sql(f"ALTER DATABASE {name} SET {setting}", database="postgres")
    async with opened(url) as store, opened(url) as other:
        await asyncio.gather(*(each.clients.add(client(f"{n}")) for n, each in enumerate([store, other] * 10)))

        async def steps(connection: AsyncConnection) -> tuple[str, str]:
            asked = "SELECT current_setting('transaction_isolation'), current_setting('synchronous_commit')"
            row = (await connection.execute(text(asked))).one()
            return row[0], row[1]

        assert await database_of(store).write(steps) == ("read committed", "on")


async def test_a_synchronous_commit_that_promises_more_stays(server: PostgresServer, name: str, url: str) -> None:
    """Who wants every commit applied on the standby has it."""
    server.sql(f"ALTER DATABASE {name} SET synchronous_commit = remote_apply", database="postgres")
    async with opened(url) as store:
        asked = text("SHOW synchronous_commit")
        assert await database_of(store).ask(lambda connection: connection.scalar(asked)) == "remote_apply"


# What others hear


async def test_a_change_is_heard_at_once(url: str) -> None:
    """Who waits returns within milliseconds; after a write, a question or a refused change, not before its time."""
    async with opened(url) as store, opened(url) as other:
        await other.changed(timeout=5)  # who begins to listen looks once
        times = []
        for n in range(20):
            waiting = asyncio.ensure_future(other.changed(timeout=5))
            await asyncio.sleep(0.01)
            at = time.monotonic()
            await (store.clients.add(client(f"{n}")) if n % 2 else database_of(store).change_statuses(nothing))
            await waiting
            times.append(time.monotonic() - at)
        assert sorted(times)[10] < 0.2
        await store.clients.add(client("between two waits"))
        await asyncio.sleep(0.1)
        await asyncio.wait_for(other.changed(timeout=5), 1)
        await database_of(store).write(nothing)
        await database_of(store).change_quietly(nothing)
        await store.clients.find("a")
        with pytest.raises(Exception, match="between"):
            await store.clients.add(client("between two waits"))
        at = time.monotonic()
        await other.changed(timeout=0.3)
        assert time.monotonic() - at >= 0.29


async def test_nobody_is_told_before_the_commit(url: str) -> None:
    """Who hears of a change finds it."""
    async with opened(url) as store, opened(url) as other:
        await other.changed(timeout=5)
        for n in range(20):
            adding = asyncio.ensure_future(store.clients.add(client(f"{n}")))
            await other.changed(timeout=5)
            assert await other.clients.find(f"{n}") is not None
            await adding


async def test_who_never_waits_has_no_connection_for_it(server: PostgresServer, name: str, url: str) -> None:
    """And after `close` no connection of a store is left."""
    count = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}' AND application_name = 'certbound'"
    async with opened(url) as store:
        await store.clients.list()
        assert server.sql(count, database="postgres") == "1"
        await store.changed(timeout=5)
        assert server.sql(count, database="postgres") == "2"
    for _ in range(100):
        if server.sql(count, database="postgres") == "0":
            break
        await asyncio.sleep(0.02)
    assert server.sql(count, database="postgres") == "0"


async def test_close_ends_a_wait(url: str) -> None:
    """Who waits for changes when the store is closed waits no longer; who begins then is refused."""
    store = await open_store(url)
    waiting = asyncio.ensure_future(store.changed(timeout=60))
    await asyncio.sleep(0.3)
    await asyncio.wait_for(store.close(), 5)
    await asyncio.wait_for(waiting, 1)
    with pytest.raises(StoreUnavailable):
        await store.changed(timeout=1)


# Connections that end


async def test_connections_that_were_ended_are_replaced(server: PostgresServer, name: str, url: str) -> None:
    """After an administrator ended all of them nobody is refused, and changes are heard again."""
    end = f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{name}'"
    async with opened(url) as store, opened(url) as other:
        await asyncio.gather(*(store.clients.list() for _ in range(20)), other.changed(timeout=5))
        for n in range(3):
            assert int(server.sql(end, database="postgres")) >= 2
            await asyncio.sleep(0.05)  # the loop sees that the sockets were closed
            await asyncio.gather(*(store.clients.list() for _ in range(20)))
            await store.clients.add(client(f"{n}"))
            await asyncio.wait_for(other.changed(timeout=5), 2)
            await asyncio.sleep(0.3)
        waiting = asyncio.ensure_future(other.changed(timeout=5))
        await asyncio.sleep(0.3)
        await store.clients.add(client("heard"))
        await asyncio.wait_for(waiting, 1)


async def test_connections_that_nobody_used_are_replaced(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A firewall between may have forgotten them without a word."""
    async with opened(url) as store:
        pid = text("SELECT pg_backend_pid()")

        async def ask() -> int:
            found = await database_of(store).ask(lambda connection: connection.scalar(pid))
            assert isinstance(found, int)
            return found

        assert await ask() == await ask()
        before = await ask()
        monkeypatch.setattr("certbound.stores.postgres._IDLE", 0.05)
        await asyncio.sleep(0.1)
        assert await ask() != before


async def test_a_cancelled_wait_leaves_nothing_behind(server: PostgresServer, name: str, url: str) -> None:
    """Callers that go away in the middle leave no lock, no half change and no connection that is not given back."""
    tasks = []
    async with opened(url) as store:
        for n in range(60):
            task = asyncio.ensure_future(store.clients.add(client(f"{n}")))
            asking = asyncio.ensure_future(store.clients.list())
            await asyncio.sleep(0.0003 * (n % 20))
            task.cancel()
            asking.cancel()
            await asyncio.wait([task, asking])
            tasks.append(task)
        async with asyncio.timeout(5):  # what was begun is brought to its end, unseen
            while database_of(store)._running:
                await asyncio.sleep(0.01)
        there = await store.clients.list()
        assert sum(each.cancelled() for each in tasks) > 10
        assert len(there) == (await store.revision()).records == 60, "all were begun, and each is whole"
        assert sorted(each.version for each in there) == list(range(1, 61))
        assert server.sql(f"{HELD} AND a.datname = '{name}'", database="postgres") == "0"
        assert server.sql(f"{WITHIN} AND datname = '{name}'", database="postgres") == "0"
        pool = database_of(store)._access.engine.pool
        assert isinstance(pool, AsyncAdaptedQueuePool)
        assert pool.checkedout() == 0
        await asyncio.gather(*(store.clients.list() for _ in range(30)))
        await store.clients.add(client("after"))


# What errors say


async def test_errors_show_no_values(server: PostgresServer, name: str, url: str) -> None:
    """What a failed statement was to write is in no text of the error, nor of its causes."""
    async with opened(url) as store:
        await store.keys.add(key("hunter2"))
        server.sql(
            "ALTER TABLE signing_keys ADD CONSTRAINT no CHECK (created_at > 1e12) NOT VALID",
            "ALTER TABLE clients ADD COLUMN more TEXT NOT NULL",
            "ALTER TABLE clients ALTER COLUMN version TYPE SMALLINT",
            database=name,
        )

        async def twice(connection: AsyncConnection) -> None:
            await connection.execute(text("INSERT INTO used VALUES ('hunter2', 1), ('hunter2', 1)"))

        async def no_number(connection: AsyncConnection) -> None:
            statement = text("INSERT INTO used VALUES ('a', CAST(CAST(:value AS TEXT) AS FLOAT))")
            await connection.execute(statement, {"value": "hunter2"})

        async def no_bytes(connection: AsyncConnection) -> None:
            await connection.execute(text("INSERT INTO used VALUES ('a', :value)"), {"value": "hunter2"})

        for call in (
            store.keys.add(KeyRecord(kid="k", alg="ES256", private_key=b"hunter2")),
            store.clients.add(client(secret="hunter2")),
            *(database_of(store).write(each) for each in (twice, no_number, no_bytes)),
        ):
            with pytest.raises(StoreUnavailable) as refused:
                await call
            error: BaseException | None = refused.value
            while error is not None:
                assert "hunter2" not in f"{error} {error!r}"
                assert "6875" not in f"{error} {error!r}"  # in hexadecimal
                error = error.__cause__


async def test_tables_that_are_gone_are_unavailable(server: PostgresServer, name: str, url: str) -> None:
    """A table dropped by hand, or the revision's row, makes the calls that need it `StoreUnavailable`, no others."""
    async with opened(url) as store:
        server.sql("DELETE FROM revision", "DROP TABLE signing_keys", database=name)
        for call in (store.revision(), store.keys.list(), store.clients.add(client())):
            with pytest.raises(StoreUnavailable):
                await call
        assert list(await store.clients.list()) == []


async def test_rights_that_are_missing_are_said(server: PostgresServer, name: str) -> None:
    """A role that may not make tables is told so, in the server's words."""
    server.sql("CREATE ROLE guest LOGIN", database="postgres")
    with pytest.raises(StoreUnavailable, match="permission denied for schema public"):
        await open_store(server.url(name).replace(f"{OWNER}@", "guest@"))


async def _execute(statement: TextClause, values: dict[str, float], connection: AsyncConnection) -> None:
    await connection.execute(statement, values)


# Tables that turn over quickly


async def test_tables_that_turn_over_stay_small(server: PostgresServer, name: str, url: str) -> None:
    """Five times all rows of a table are new, and it is hardly larger than at first."""
    size = "SELECT pg_total_relation_size('used')"
    async with opened(url) as store:

        async def renew(turn: float) -> None:
            fill = "INSERT INTO used SELECT gen_random_uuid() || '', :turn FROM generate_series(1, 1000)"
            fill_it = partial(_execute, text(fill), {"turn": turn})
            await database_of(store).write(fill_it)
            assert await store.tokens.purge(now=turn, most=1000) in {0, 1000}

        first = 0
        for turn in range(6):
            for _ in range(20):
                await renew(float(turn))
            first = first or int(server.sql(size, database=name))
        assert server.sql("SELECT count(*) FROM used", database=name) == "20000"
        assert int(server.sql(size, database=name)) < 1.5 * first
        vacuums = server.sql("SELECT vacuum_count FROM pg_stat_user_tables WHERE relname = 'used'", database=name)
        assert int(vacuums) > 5
    for table in ("access_tokens", "tickets", "sessions"):
        options = server.sql(f"SELECT reloptions FROM pg_class WHERE relname = '{table}'", database=name)
        assert "autovacuum_vacuum_threshold=2000" in options
