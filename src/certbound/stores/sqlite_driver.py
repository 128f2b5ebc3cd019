"""aiosqlite, with one trip to the thread of a connection for each statement.

A trip there and back costs some 40 µs, most of what a small statement costs; aiosqlite makes one to have a cursor, to
execute, to fetch and to close it.

Rule: whatever a statement found is fetched where it ran, and its cursor is closed there; so nothing is open between two
statements, and where no transaction is, there is nothing to commit or to roll back.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any, NamedTuple

import aiosqlite


class Step(NamedTuple):
    """One statement of a transaction that asks nothing, and the values of each time it is executed."""

    statement: str
    rows: Sequence[Sequence[Any]] = ((),)
    changes: int | None = None
    """How many rows it has to change, or nothing of the transaction is done."""


def connect(database: str, **options: Any) -> aiosqlite.Connection:
    """As `aiosqlite.connect`; for SQLAlchemy's `async_creator_fn`."""
    connection = _Connection(lambda: sqlite3.connect(database, **options), iter_chunk_size=64)
    connection._thread.daemon = True  # noqa: SLF001 - as SQLAlchemy does with one that it makes
    return connection


async def transact(connection: aiosqlite.Connection, steps: Sequence[Step]) -> bool:
    """The steps are one transaction, made in one trip; False if one of them did not change what it had to."""
    done: bool = await connection._execute(_transact, connection._conn, steps)  # type: ignore[no-untyped-call]  # noqa: SLF001
    return done


def _transact(connection: sqlite3.Connection, steps: Sequence[Step]) -> bool:
    """In the thread of the connection."""
    cursor = connection.cursor()
    try:
        cursor.execute("BEGIN IMMEDIATE")
        for step in steps:
            cursor.executemany(step.statement, step.rows)
            if step.changes not in (None, cursor.rowcount):
                return False
        cursor.execute("COMMIT")
        return True
    finally:
        if connection.in_transaction:
            cursor.execute("ROLLBACK")
        cursor.close()


class _Connection(aiosqlite.Connection):
    def cursor(self) -> "_Cursor":  # type: ignore[override]
        return _Cursor(self)

    async def commit(self) -> None:
        if self._conn.in_transaction:
            await super().commit()

    async def rollback(self) -> None:
        if self._conn.in_transaction:
            await super().rollback()


class _Cursor:
    """What SQLAlchemy needs of one."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        self._found: Sequence[Any] = ()
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None
        self.arraysize = 1

    async def __aenter__(self) -> "_Cursor":
        return self

    async def execute(self, statement: str, values: Sequence[Any] = ()) -> "_Cursor":
        return await self._go("execute", statement, values)

    async def executemany(self, statement: str, rows: Sequence[Sequence[Any]]) -> "_Cursor":
        return await self._go("executemany", statement, rows)

    async def fetchall(self) -> Sequence[Any]:
        return self._found

    async def close(self) -> None:
        """It is."""

    async def _go(self, *work: Any) -> "_Cursor":
        await self._connection._execute(self._run, *work)  # type: ignore[no-untyped-call]  # noqa: SLF001
        return self

    def _run(self, method: str, statement: str, values: Any) -> None:
        """In the thread of the connection."""
        cursor = self._connection._conn.cursor()  # noqa: SLF001
        try:
            getattr(cursor, method)(statement, values)
            self.description = cursor.description
            self._found = cursor.fetchall() if cursor.description else ()
            self.rowcount, self.lastrowid = cursor.rowcount, cursor.lastrowid
        finally:
            cursor.close()
