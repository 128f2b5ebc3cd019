"""SQLite, the embedded store.

Rules kept here:
- what was answered survives: write-ahead log, and each commit on the disk before the answer;
- a change takes the write lock with its first statement (`BEGIN IMMEDIATE`).  A transaction that begins as a
  reader and then writes fails at once when another wrote meanwhile, without waiting for `busy_timeout`;
- the driver's own transaction handling is off: it begins none before DDL, so that half a migration could stay;
- the file is its owner's: it holds private keys.  It is made with mode 0600, and its log takes the mode from it.
"""

import asyncio
import logging
import os
import sqlite3
import stat
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, AsyncAdaptedQueuePool, Connection, Table, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.util import greenlet_spawn

from certbound.core.errors import ConfigurationError, StoreUnavailable
from certbound.stores import sqlite_driver
from certbound.stores.database import Access

FORMS = "sqlite:///relative/path.db, sqlite:////absolute/path.db, sqlite:// (in memory, for tests)"

_WRITES = "certbound_writes"
_PATIENCE = 5.0
_CONNECTIONS = 4


def sqlite_access(url: URL) -> Access:
    """The way to the database at `url`, which is not touched yet.  `ConfigurationError` if it is no address."""
    _check(url)
    patience = _patience(url)
    path = _file(url)
    engine = _engine(url, patience, connections=1 if path is None else _CONNECTIONS)

    async def make() -> None:
        if path is not None:
            _make_file(path)
            await _keep_log(engine, path, patience)

    def is_there() -> bool:
        return path is not None and path.exists()

    return Access(
        engine=engine,
        migrating=engine,
        one_writer=True,
        writing={_WRITES: True},
        patience=patience,
        is_there=is_there,
        make=make,
        lock_schema=_is_locked,
        reclaim=_is_reused,
        bell=Silence(),
        at_once=_AtOnce(engine),
    )


class _AtOnce:
    """As `database.AtOnce`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def __call__(self, some: Sequence[sqlite_driver.Steps], *, writes: bool) -> Sequence[Any]:
        try:
            # From the pool itself, past what SQLAlchemy keeps for its own statements.
            lent = await self._engine.raw_connection()
            try:
                driver: Any = lent.driver_connection
                answers = await sqlite_driver.at_once(driver, self._engine.dialect, some, writes=writes)
            finally:
                # A transaction that would not even end ends with its connection: nobody else gets into it.
                await greenlet_spawn(lent.invalidate if driver.in_transaction else lent.close)
        except sqlite3.Error as error:
            raise _unavailable(error) from error
        return [_unavailable(each) if isinstance(each, sqlite3.Error) else each for each in answers]


def _unavailable(error: sqlite3.Error) -> StoreUnavailable:
    return StoreUnavailable(f"the store did not answer: {error}")


class Silence:
    """SQLite tells nobody: who waits looks again when the time is over."""

    def __init__(self) -> None:
        self._closed = asyncio.Event()

    async def ring(self, connection: AsyncConnection) -> None:
        """Nobody hears it."""

    async def wait(self, timeout: float) -> None:  # noqa: ASYNC109 - as in `Bell`
        """After `timeout` seconds, or at `close`."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._closed.wait(), timeout)

    async def close(self) -> None:
        """Who waits returns."""
        self._closed.set()


def _file(url: URL) -> Path | None:
    return Path(url.database) if url.database and url.database != ":memory:" else None


def _check(url: URL) -> None:
    if url.drivername not in {"sqlite", "sqlite+aiosqlite"} or url.host or set(url.query) - {"timeout"}:
        raise ConfigurationError(f"store {url.render_as_string()!r} is no SQLite address; write one of {FORMS}")


def _patience(url: URL) -> float:
    text = url.query.get("timeout", str(_PATIENCE))
    try:
        seconds = float(str(text))
    except ValueError:
        seconds = -1
    if not 0 <= seconds <= 600:
        raise ConfigurationError(f"store timeout {text!r} is no number of seconds between 0 and 600")
    return seconds


def _make_file(path: Path) -> None:
    if not path.parent.is_dir():
        raise ConfigurationError(f"store {str(path)!r}: make its directory {str(path.parent)!r} first")
    if path.is_dir():
        raise ConfigurationError(f"store {str(path)!r} is a directory; name a file in it")
    try:
        # Never opened when it is there: closing any handle of a database file drops this process's locks on it.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            _log.warning("store %r holds private keys and is open to other users; chmod 600 it", str(path))


def _engine(url: URL, patience: float, *, connections: int) -> AsyncEngine:
    engine = create_async_engine(
        url.set(drivername="sqlite+aiosqlite", query={}),
        # A database in memory is its connection: one only, lent to one task at a time.
        poolclass=AsyncAdaptedQueuePool,
        pool_size=connections,
        max_overflow=0,
        pool_reset_on_return=None,  # nobody hands one back that is in a transaction
        pool_timeout=max(patience, 1),
        connect_args={"timeout": patience, "isolation_level": None, "async_creator_fn": sqlite_driver.connect},
        hide_parameters=True,
    )
    event.listen(engine.sync_engine, "connect", _prepare)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def _prepare(connection: Any, _: Any) -> None:
    # Text that is no UTF-8 must be readable, to be found broken; the driver would fail the whole SELECT.
    connection.driver_connection.text_factory = _text
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    # Without it, a question is its own transaction: it waits for nobody and there is nothing to roll back.
    if connection.get_execution_options().get(_WRITES):
        connection.exec_driver_sql("BEGIN IMMEDIATE")


async def _is_locked(_: AsyncConnection) -> None:
    """`BEGIN IMMEDIATE` has locked everything."""


async def _is_reused(_: Table, __: int) -> bool:
    """Pages that are free are taken before the file grows."""
    return True


def _text(stored: bytes) -> str:
    return stored.decode("utf-8", "surrogateescape")


async def _keep_log(engine: AsyncEngine, path: Path, patience: float) -> None:
    """The file has its write-ahead log.

    The mode stays with the file, so this changes something at the first start only.  Two processes that start at
    once can find each other here, and the change of mode does not wait by itself.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            async with engine.connect() as connection:
                mode = (await connection.exec_driver_sql("PRAGMA journal_mode = WAL")).scalar()
        except OperationalError:
            if time.monotonic() >= deadline:
                raise
            await asyncio.sleep(0.02)
        else:
            break
    if mode != "wal":
        raise ConfigurationError(f"store {str(path)!r}: no write-ahead log is possible there; use a local file system")


_log = logging.getLogger(__name__)

_PRAGMAS = (
    # NORMAL would write the log to the disk at checkpoints only: after a power cut the last commits are gone, and
    # with them a client that was told it is registered, or the end of one that was disabled.
    "synchronous = FULL",
    "fullfsync = ON",  # macOS: fsync alone stops at the drive's cache
    "foreign_keys = ON",
)
