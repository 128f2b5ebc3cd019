"""aiosqlite, with one trip to the thread of a connection for each statement, or for many questions or a transaction.

A trip there and back costs some 40 µs, most of what a small statement costs; aiosqlite makes one to have a cursor, to
execute, to fetch and to close it.  Prepared statements of all who ask at once go there together.

Rules kept here:
- whatever a statement found is fetched where it ran, and its cursor is closed there; so nothing is open between two
  statements, and where no transaction is, there is nothing to commit or to roll back;
- of those who share a transaction each is undone alone: whoever raised changed nothing, and nothing of what the others
  did;
- nobody of them has an answer before the commit, and if that fails, it is the answer of all.
"""

import sqlite3
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

import aiosqlite
from sqlalchemy import Dialect

from certbound.stores.prepared import Found, Hands, Prepared, Values

T = TypeVar("T")
Steps = Callable[[Hands], Coroutine[Any, Any, Any]]


def connect(database: str, **options: Any) -> aiosqlite.Connection:
    """As `aiosqlite.connect`; for SQLAlchemy's `async_creator_fn`."""
    connection = _Connection(lambda: sqlite3.connect(database, **options), iter_chunk_size=64)
    connection._thread.daemon = True  # noqa: SLF001 - as SQLAlchemy does with one that it makes
    return connection


async def at_once(
    connection: aiosqlite.Connection, dialect: Dialect, some: Sequence[Steps], *, writes: bool
) -> Sequence[Any]:
    """What each of these returned or raised, in one trip: questions, or one transaction if they `write`.

    They run in the thread of the connection, and so wait for nothing but their statements.
    """
    work = (_write_together if writes else _ask_together, connection._conn, dialect, some)  # noqa: SLF001
    answers: Sequence[Any] = await connection._execute(*work)  # type: ignore[no-untyped-call]  # noqa: SLF001
    return answers


def _ask_together(connection: sqlite3.Connection, dialect: Dialect, some: Sequence[Steps]) -> Sequence[Any]:
    """In the thread of the connection."""
    hands = _Hands(connection, dialect)
    return [_answer(steps, hands) for steps in some]


def _write_together(connection: sqlite3.Connection, dialect: Dialect, some: Sequence[Steps]) -> Sequence[Any]:
    """In the thread of the connection."""
    hands = _Hands(connection, dialect)
    connection.execute("BEGIN IMMEDIATE").close()
    try:
        # Who is alone raises, and takes back all there is.
        answers = [_part(each, hands, connection) for each in some] if some[1:] else [_finished(some[0](hands))]
        connection.execute("COMMIT").close()
        return answers
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK").close()


def _part(steps: Steps, hands: Hands, connection: sqlite3.Connection) -> Any:
    """What the steps returned or raised; then they changed nothing."""
    connection.execute("SAVEPOINT part").close()
    answer = _answer(steps, hands)
    if isinstance(answer, Exception):
        if not connection.in_transaction:  # SQLite gave up all of it: a disk that is full, for one
            raise answer
        connection.execute("ROLLBACK TO part").close()
    connection.execute("RELEASE part").close()
    return answer


def _answer(steps: Steps, hands: Hands) -> Any:
    try:
        return _finished(steps(hands))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer of this one alone
        return error


def _finished(steps: Coroutine[Any, Any, T]) -> T:
    """What the coroutine returned that never waits: `_Hands` have what they were asked for before they return."""
    try:
        steps.send(None)
    except StopIteration as end:
        answer: T = end.value
        return answer
    steps.close()
    raise RuntimeError("a transaction waited for something else than its statements")


class _Hands:
    """In the thread of the connection."""

    def __init__(self, connection: sqlite3.Connection, dialect: Dialect) -> None:
        self._connection = connection
        self._dialect = dialect

    async def run(self, statement: Prepared, values: Values | None = None) -> Found:
        cursor = self._connection.execute(*statement.on(self._dialect).with_values(values or {}))
        try:
            return Found(cursor.fetchall() if cursor.description else (), cursor.rowcount)
        finally:
            cursor.close()

    async def run_all(self, statement: Prepared, rows: Sequence[Values]) -> None:
        text = statement.on(self._dialect)
        self._connection.executemany(str(text), map(text.row, rows)).close()


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
