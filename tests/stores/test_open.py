"""Opening a store: addresses, files, and what a database can do to us."""

import asyncio
import logging
import sqlite3
import stat
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, closing
from dataclasses import replace
from pathlib import Path

import pytest

from certbound.core.errors import ConfigurationError, StoreUnavailable
from certbound.core.ports import KeyRecord, RevokedKind, Store
from certbound.stores import open_store, pending
from certbound.testing.stores import NOW, allot, client, key, revocation, status


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database will lie."""
    return tmp_path / "store.db"


@pytest.fixture
def url(path: Path) -> str:
    """Its address; a locked database is waited for a fifth of a second."""
    return f"sqlite:///{path}?timeout=0.2"


Opening = Callable[[str], Awaitable[Store]]


@pytest.fixture
async def opening() -> AsyncIterator[Opening]:
    """Opens stores that are closed when the test ends, however it does."""
    async with AsyncExitStack() as stores:

        async def open_(url: str) -> Store:
            store = await open_store(url)
            stores.push_async_callback(store.close)
            return store

        yield open_


async def _filled(url: str) -> None:
    store = await open_store(url)
    await store.clients.add(client("a", n=1))
    await store.clients.add(client("b", n=2))
    await store.keys.add(key())
    await store.close()


def _by_hand(path: Path, *statements: str) -> None:
    """What someone does with the sqlite3 command."""
    with closing(sqlite3.connect(path)) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "store.db",
        "/var/lib/certbound/store.db",
        "mysql://localhost/certbound",
        "oracle+cx://x",
        "sqlite+pysqlite:///store.db",
        "sqlite://store.db",
        "sqlite:store.db",
        "sqlite:///store.db?mode=ro",
        "sqlite:///store.db?timeout=soon",
        "sqlite:///store.db?timeout=-1",
        "sqlite:///store.db?timeout=nan",
        "sqlite:///store.db?timeout=1&timeout=2",
        "postgres://h:port/x",
    ],
)
async def test_an_unknown_address_stops_the_start(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address of no accepted form is one sentence that names it, or its bad part, and makes no file."""
    monkeypatch.chdir(tmp_path)
    for way in (open_store, pending):
        with pytest.raises(ConfigurationError) as refused:
            await way(url)
        assert "\n" not in str(refused.value)
        assert repr(url) in str(refused.value) or "timeout" in str(refused.value)
    assert list(tmp_path.iterdir()) == []


async def test_an_address_is_shown_without_its_password() -> None:
    """A password in an address that is refused stays out of the message."""
    with pytest.raises(ConfigurationError) as refused:
        await open_store("mysql://user:hunter2@db/x")
    assert "hunter2" not in str(refused.value)
    assert "mysql://user:***@db/x" in str(refused.value)


@pytest.mark.parametrize("form", ["sqlite:///store.db", "sqlite+aiosqlite:///store.db", "sqlite:///{}/store.db"])
async def test_addresses_of_files(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative and absolute paths are files."""
    monkeypatch.chdir(tmp_path)
    await _filled(form.format(tmp_path))
    assert (tmp_path / "store.db").is_file()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite+aiosqlite://"])
async def test_addresses_in_memory(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database in memory makes no file."""
    monkeypatch.chdir(tmp_path)
    await _filled(url)
    assert list(tmp_path.iterdir()) == []


async def test_odd_paths_are_paths(tmp_path: Path) -> None:
    """Spaces, letters, quotes and, written as %25, percent signs in a path are part of it."""
    path = tmp_path / "a b%20%(x)s'ü#" / "store.db"
    path.parent.mkdir()
    await _filled(f"sqlite:///{str(path).replace('%', '%25')}")
    assert path.is_file()


async def test_the_directory_must_exist(tmp_path: Path) -> None:
    """A missing directory stops the start and is not made: it might be one that is to be mounted."""
    with pytest.raises(ConfigurationError, match="make its directory"):
        await open_store(f"sqlite:///{tmp_path}/missing/store.db")
    with pytest.raises(ConfigurationError, match="is a directory"):
        await open_store(f"sqlite:///{tmp_path}")
    assert list(tmp_path.iterdir()) == []


async def test_files_are_the_owners(opening: Opening, url: str, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The database and its log have mode 0600; a file that is open to others is used, with a warning."""
    store = await opening(url)
    await store.keys.add(key())
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    await store.close()
    assert modes == {"store.db": 0o600, "store.db-wal": 0o600, "store.db-shm": 0o600}
    assert caplog.messages == []
    path.chmod(0o640)
    store = await opening(url)
    await store.close()
    assert "chmod 600" in caplog.text
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


async def test_commits_are_on_the_disk(opening: Opening, url: str, path: Path) -> None:
    """Every connection syncs each commit, and the file has its write-ahead log."""
    store = await opening(url)
    engine = store._database._access.engine  # type: ignore[attr-defined]
    async with engine.connect() as one, engine.connect() as other:
        for connection in (one, other):
            values = [(await connection.exec_driver_sql(f"PRAGMA {name}")).scalar() for name in _PRAGMAS]
            assert dict(zip(_PRAGMAS, values, strict=True)) == _PRAGMAS
    await store.close()


_PRAGMAS = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 200}


async def test_threads_end(opening: Opening, url: str) -> None:
    """After `close` no thread of a connection is left."""
    before = set(threading.enumerate())
    store = await opening(url)
    await asyncio.gather(*(store.clients.list() for _ in range(20)))
    await store.close()
    for _ in range(100):
        if set(threading.enumerate()) <= before:
            break
        await asyncio.sleep(0.01)
    assert set(threading.enumerate()) <= before


async def test_a_locked_database_is_waited_for(opening: Opening, url: str, path: Path) -> None:
    """A change waits while another process holds the write lock, and is made when that ends in time."""
    store = await opening(url)
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        adding = asyncio.ensure_future(store.clients.add(client()))
        await asyncio.sleep(0.1)
        assert not adding.done()
        assert list(await store.clients.list()) == []  # readers wait for nobody
        other.execute("ROLLBACK")
    stored = await adding
    assert await store.clients.find("client") == stored
    await store.close()


async def test_a_database_that_stays_locked_is_unavailable(opening: Opening, url: str, path: Path) -> None:
    """Changes that wait too long are `StoreUnavailable`, all of them soon; then the store works again."""
    store = await opening(url)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        begun = time.monotonic()
        changes = (store.clients.add(client(f"{n}")) for n in range(10))
        answers = await asyncio.gather(*changes, return_exceptions=True)
        assert [type(answer) for answer in answers] == [StoreUnavailable] * 10
        assert 0.2 <= time.monotonic() - begun < 3
        other.execute("ROLLBACK")
    assert list(await store.clients.list()) == []
    await store.clients.add(client())
    await store.close()


async def test_a_cancelled_wait_leaves_nothing_behind(opening: Opening, url: str, path: Path) -> None:
    """A caller that goes away while the database is locked leaves no lock and no half change."""
    store = await opening(f"{url[:-3]}5")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        adding = asyncio.ensure_future(store.clients.add(client("a")))
        await asyncio.sleep(0.05)
        adding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await adding
        other.execute("ROLLBACK")
        await store.clients.add(client("b"))
        other.execute("BEGIN IMMEDIATE")
        other.execute("ROLLBACK")
    assert [record.client_id for record in await store.clients.list()] == ["a", "b"]
    await store.close()


async def test_a_full_disk_changes_nothing(opening: Opening, url: str) -> None:
    """When the database cannot grow, the change is `StoreUnavailable`, none of it stands, and small ones still work."""
    store = await opening(url)
    await store.clients.add(client("small"))
    engine = store._database._access.engine  # type: ignore[attr-defined]
    async with engine.connect() as connection:
        pages = (await connection.exec_driver_sql("PRAGMA page_count")).scalar()
        await connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    before = await store.revision()
    with pytest.raises(StoreUnavailable, match="full"):
        await store.clients.add(client("large", text="x" * 100_000))
    assert await store.revision() == before
    assert [record.client_id for record in await store.clients.list()] == ["small"]
    await store.clients.remove("small")
    await store.close()


async def test_a_file_that_is_no_database_is_unavailable(url: str, path: Path) -> None:
    """A foreign file is refused and stays as it is."""
    path.write_bytes(b"Dear diary, " * 1000)
    with pytest.raises(StoreUnavailable, match="not a database"):
        await open_store(url)
    assert path.read_bytes() == b"Dear diary, " * 1000


async def test_a_torn_database_is_unavailable(opening: Opening, url: str, path: Path) -> None:
    """A file whose second half is gone answers with `StoreUnavailable` and nothing else."""
    await _filled(url)
    path.write_bytes(path.read_bytes()[:4096] + b"\xff" * 4096 * 7)
    with pytest.raises(StoreUnavailable) as refused:
        await (await opening(url)).clients.list()
    assert refused.value.__cause__ is not None


async def test_tables_that_are_gone_are_unavailable(opening: Opening, url: str, path: Path) -> None:
    """A table dropped by hand, or the revision's row, makes the calls that need it `StoreUnavailable`."""
    await _filled(url)
    _by_hand(path, "DELETE FROM revision", "DROP TABLE signing_keys")
    store = await opening(url)
    for call in (
        store.revision(),
        store.keys.list(),
        store.clients.add(client()),
        store.clients.remove("a"),
        store.revocations.invalidate(7, until=NOW),
        store.revocations.statuses(NOW),
    ):
        with pytest.raises(StoreUnavailable):
            await call
    assert len(await store.clients.list()) == 2
    await store.close()


@pytest.mark.parametrize(
    "broken",
    ["'{'", "''", "'[]'", "'null'", "'\"x\"'", "x'ff'", "CAST(x'7b22ff223a317d' AS TEXT)", "7", f"'{'[' * 3000}'"],
    ids=lambda text: text[:40],
)
async def test_broken_metadata_disables_its_client_only(
    opening: Opening, broken: str, url: str, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A client whose metadata was broken by hand is there, empty and disabled; the log says so, others stay."""
    await _filled(url)
    _by_hand(path, f"UPDATE clients SET metadata = {broken} WHERE client_id = 'a'")
    store = await opening(url)
    found = await store.clients.find("a")
    assert found is not None
    assert (found.metadata, found.enabled) == ({}, False)
    assert "client 'a' cannot be read" in caplog.text
    whole = await store.clients.find("b")
    assert list(await store.clients.list()) == [found, whole]
    assert whole is not None
    assert whole.enabled
    await _repaired(store)


async def _repaired(store: Store) -> None:
    """It can be replaced and removed like any other."""
    found = await store.clients.find("a")
    assert found is not None
    repaired = await store.clients.replace(replace(found, metadata={"n": 1}, enabled=True))
    assert await store.clients.find("a") == repaired
    await store.clients.remove("a")
    await store.close()


async def test_rows_of_the_wrong_type_stop_nothing(opening: Opening, url: str, path: Path) -> None:
    """What SQLite lets a hand write into any column raises out of no question."""
    await _filled(url)
    _by_hand(
        path,
        "UPDATE clients SET enabled = 'perhaps', version = 'one', created_at = 'today' WHERE client_id = 'a'",
        "INSERT INTO clients VALUES (x'00ff', '{}', 1, 9, 9, '[]', NULL)",
        "INSERT INTO clients VALUES (CAST(x'ff' AS TEXT), '{}', 1, 9, 9, '[]', NULL)",
        "UPDATE signing_keys SET private_key = '-----BEGIN PRIVATE KEY-----'",
    )
    store = await opening(url)
    records = {record.client_id: record for record in await store.clients.list()}
    assert records["b"].enabled
    assert not any(record.enabled for name, record in records.items() if name != "b")
    assert all(isinstance(record.version, int) for record in records.values())
    assert [record.private_key for record in await store.keys.list()] == [b"-----BEGIN PRIVATE KEY-----"]
    await store.close()


async def test_a_status_of_the_wrong_type_is_revoked_like_others(opening: Opening, url: str, path: Path) -> None:
    """Nothing that a hand wrote stands in the way of a revocation, nor of the next block."""
    await _filled(url)
    store = await opening(url)
    first = await allot(store, status("b", count=4))
    _by_hand(path, "UPDATE statuses SET ends_at = x'ff', created_at = 'once'")
    assert (await allot(store, status("b", count=4))).index != first.index
    await store.revocations.add(revocation(RevokedKind.CLIENT, "b"))
    assert (first.index, 4) in (await store.revocations.statuses(NOW)).invalid
    await store.close()


async def test_errors_show_no_values(opening: Opening, url: str, path: Path) -> None:
    """What a failed statement was to write is in no text of the error, nor of its causes."""
    store = await opening(url)
    _by_hand(
        path,
        "ALTER TABLE signing_keys RENAME COLUMN private_key TO secret",
        "CREATE TRIGGER no BEFORE INSERT ON clients BEGIN SELECT RAISE(ABORT, 'not today'); END",
    )
    for call in (
        store.keys.add_first(KeyRecord(kid="k", alg="ES256", private_key=b"hunter2")),
        store.clients.add(client(secret="hunter2")),
    ):
        with pytest.raises(StoreUnavailable) as refused:
            await call
        texts = _texts(refused.value)
        assert len(texts) > 2
        assert "hunter2" not in "".join(texts)


def _texts(error: BaseException | None) -> list[str]:
    return [f"{error} {error!r}", *_texts(error.__cause__)] if error else []


async def test_the_log_stays_quiet(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """A store that works writes nothing above INFO."""
    with caplog.at_level(logging.INFO):
        await _filled(url)
        await _filled("sqlite://")
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []
