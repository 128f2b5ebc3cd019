"""How a store speaks to its database.

Rules kept here:
- every failure of the database, its driver or the operating system leaves as `StoreUnavailable`, without the values
  of the statement: one of them may be a private key;
- a change is one transaction that first moves a number of the revision.  That row is the lock: whatever a change
  reads after it, no other change can move before it commits, in SQLite and in PostgreSQL alike;
- changes of one process queue here and not in the database, where each would hold a connection while it waits;
- what is written often takes no lock but those of its own rows, and says itself what happens if they are there;
- where the database has one writer, prepared changes that come while one is made share the next transaction, and its
  way to the disk; each is whole or nothing, alone.  So do questions share a trip to the database;
- a question is one statement, and so consistent by itself;
- what was begun is brought to its end.  A caller that is cancelled (its peer hung up) leaves no statement behind
  that still runs on a connection which others get next.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from sqlalchemy import ColumnElement, Connection, Insert, Integer, Table, Update, cast, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from certbound.core.errors import StoreUnavailable
from certbound.core.ports import Revision
from certbound.stores import schema
from certbound.stores.batches import Batches
from certbound.stores.prepared import Hands, InSteps, Prepared, Values

T = TypeVar("T")
Rows = Sequence[Values]
PreparedSteps = Callable[[Hands], Coroutine[Any, Any, T]]

_LOST = "the store has lost its revision: the table `revision` must have one row"
_LOOK_AFTER = 1000
"""Rows that were purged, before anybody asks how much room they left."""


class Bell(Protocol):
    """How one process tells the others that it changed something."""

    async def ring(self, connection: AsyncConnection) -> None:
        """Those who wait are told when the transaction of `connection` commits, and only then."""

    async def wait(self, timeout: float) -> None:  # noqa: ASYNC109 - it is no failure when it ends
        """Returns after somebody rang, or after `timeout` seconds."""

    async def close(self) -> None:
        """Nobody listens any more; who waits returns."""


class AtOnce(Protocol):
    """How prepared statements are executed where that is cheaper than by SQLAlchemy."""

    async def __call__(self, some: Sequence["PreparedSteps[Any]"], *, writes: bool) -> Sequence[Any]:
        """What each of these returned, or the exception that it raised.

        Each is a single question, or together they are a transaction if they `write`: whoever raised then changed
        nothing.  They may run in another thread, and wait for nothing but their statements.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """An engine, and what its kind of database needs of us."""

    engine: AsyncEngine
    migrating: AsyncEngine
    """For statements that may take long."""
    one_writer: bool
    """Whatever writes waits for every change, because the database has one writer at a time."""
    writing: Mapping[str, Any]
    """Execution options of a connection whose transaction will change something."""
    patience: float
    """Seconds that a change waits for the changes before it."""
    is_there: Callable[[], bool]
    """Whether there is a database to ask."""
    make: Callable[[], Awaitable[None]]
    """After it there is one."""
    lock_schema: Callable[[AsyncConnection], Awaitable[None]]
    """Until the transaction of the connection ends, nobody else migrates or changes anything."""
    reclaim: Callable[[Table, int], Awaitable[bool]]
    """Whether the room of so many rows that are gone is free again; False if it is not yet worth the trouble."""
    bell: Bell
    at_once: AtOnce | None = None
    """None where prepared statements are no cheaper than others.  With it `bell` is not rung: it has to be silent, and
    there is one writer."""


class Database:
    """Questions and changes, each brought to its end or to `StoreUnavailable`."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._writer = asyncio.Lock()
        self._running: set[asyncio.Task[Any]] = set()
        self._gone: Counter[str] = Counter()
        self._closed = False
        self.patience = max(access.patience, 1)
        """Seconds that whoever shares a trip or a transaction waits for one."""
        self._questions: Batches[PreparedSteps[Any], Any] = Batches(self._ask_together, patience=self.patience)
        self._changes: Batches[PreparedSteps[Any], Any] = Batches(self._write_together, patience=self.patience)

    async def ask(self, question: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """What `question`, a single statement, found."""
        return await self._finish(self._ask(question))

    async def change(self, steps: Callable[[AsyncConnection, int], Awaitable[T]], *, statuses: bool = False) -> T:
        """What `steps` returned, after its commit; it is told the new `records`.  Nothing changed if it raised.

        With `statuses` the other number moves too.
        """
        return await self._finish(self._change(steps, statuses=statuses))

    async def change_statuses(self, steps: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """As `change`, behind the same lock; but what moves is `statuses`."""
        return await self._finish(self._change_statuses(steps))

    async def find(self, question: Prepared, values: Values | None = None) -> Sequence[Sequence[Any]]:
        """The rows that a prepared question finds."""

        async def steps(hands: Hands) -> Sequence[Sequence[Any]]:
            return (await hands.run(question, values)).rows

        if self._access.at_once is not None:
            return await self._share(self._questions, steps)
        return await self._finish(self._ask(lambda connection: steps(InSteps(connection))))

    async def write_prepared(self, steps: PreparedSteps[T]) -> T:
        """As `write`, of prepared statements."""
        return await self._write_prepared(steps)

    async def change_quietly(self, steps: PreparedSteps[T]) -> T:
        """As `change`, after all changes before it and before all after it, of prepared statements.

        But the revision stays.
        """
        return await self._write_prepared(steps, _STAYS)

    async def write(self, steps: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """What `steps` returned, after its commit.  It waits for no change, where the database has many writers."""
        return await self._finish(self._write(steps))

    def prepare(
        self, statement: Insert, columns: Sequence[str], *, statuses: bool = False
    ) -> Callable[[Rows], Awaitable[None]]:
        """What executes a statement, which asks nothing, for rows with these columns: each time in a transaction.

        With `statuses` it is one as that of `change_statuses`, otherwise as that of `write`.
        """
        prepared = Prepared(statement, columns)

        async def work(rows: Rows) -> None:
            async def steps(hands: Hands) -> None:
                await hands.run_all(prepared, rows)

            await self._write_prepared(steps, _STATUSES_MOVE if statuses else None)

        return work

    def insert_into(self, table: Table) -> sqlite.Insert | postgresql.Insert:
        """An `INSERT` that can say what happens `on_conflict`."""
        return insert_for(self._access.engine.dialect.name, table)

    async def purged(self, table: Table, count: int) -> None:
        """So many rows of `table` are gone; now and then their room is made free for others."""
        before, now = self._gone[table.name], self._gone[table.name] + count
        self._gone[table.name] = now
        if before // _LOOK_AFTER < now // _LOOK_AFTER and await self._finish(self._reclaim(table, now)):
            self._gone[table.name] -= now

    async def migrate(self, step: Callable[[Connection], T]) -> T:
        """What `step` returned, after its commit; no other process changes anything meanwhile."""
        return await self._finish(self._migrate(step))

    async def changed(self, *, timeout: float) -> None:  # noqa: ASYNC109 - it is no failure when it ends
        """Returns soon after another process moved the revision, where the database tells, or after `timeout`."""
        if self._closed:
            raise StoreUnavailable("the store is closed")
        await self._access.bell.wait(timeout)

    async def close(self) -> None:
        """What was begun has ended, and no connection is left.  Any call after this is `StoreUnavailable`."""
        self._closed = True
        await self._access.bell.close()
        await self._questions.ended()
        await self._changes.ended()
        if self._running:
            await asyncio.wait(self._running)
        with answering():
            await asyncio.shield(self._access.engine.dispose())
            await asyncio.shield(self._access.migrating.dispose())

    async def _finish(self, work: Coroutine[Any, Any, T]) -> T:
        if self._closed:
            work.close()
            raise StoreUnavailable("the store is closed")
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # seen, even when its caller is gone

    async def _ask(self, question: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        with answering():
            async with self._access.engine.connect() as connection:
                return await question(connection)

    async def _change(self, steps: Callable[[AsyncConnection, int], Awaitable[T]], *, statuses: bool) -> T:
        with answering():
            async with self._writing() as connection:
                await _move(connection, records=1, statuses=int(statuses))
                answer = await steps(connection, (await revision_of(connection)).records)
                await self._access.bell.ring(connection)
                return answer

    async def _change_statuses(self, steps: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        with answering():
            async with self._writing() as connection:
                await _move(connection, statuses=1)
                answer = await steps(connection)
                await self._access.bell.ring(connection)
                return answer

    async def _share(self, batches: Batches[PreparedSteps[Any], Any], steps: PreparedSteps[T]) -> T:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        with answering():
            answer: T = await batches.ask(steps)
            return answer

    async def _ask_together(self, some: Sequence[PreparedSteps[Any]]) -> Sequence[Any]:
        assert self._access.at_once is not None
        return await self._access.at_once(some, writes=False)

    async def _write_together(self, some: Sequence[PreparedSteps[Any]]) -> Sequence[Any]:
        assert self._access.at_once is not None
        async with self._turn():
            return await self._access.at_once(some, writes=True)

    async def _write_prepared(self, steps: PreparedSteps[T], move: Prepared | None = None) -> T:
        """With `move` it is a change, and behind their lock."""

        async def after_move(hands: Hands) -> T:
            if move is not None and (await hands.run(move)).changed != 1:
                raise StoreUnavailable(_LOST)
            return await steps(hands)

        if self._access.at_once is not None:
            return await self._share(self._changes, after_move)
        return await self._finish(self._write_in_steps(after_move, move))

    async def _write_in_steps(self, steps: PreparedSteps[T], move: Prepared | None) -> T:
        with answering():
            async with self._turn() if move is not None else nullcontext(), self._begun() as connection:
                answer = await steps(InSteps(connection))
                if move is _STATUSES_MOVE:
                    await self._access.bell.ring(connection)
                return answer

    async def _write(self, steps: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        with answering():
            async with self._turn() if self._access.one_writer else nullcontext(), self._begun() as connection:
                return await steps(connection)

    async def _reclaim(self, table: Table, gone: int) -> bool:
        with answering():
            return await self._access.reclaim(table, gone)

    async def _migrate(self, step: Callable[[Connection], T]) -> T:
        with answering():
            async with self._turn(), self._begun(self._access.migrating) as connection:
                await self._access.lock_schema(connection)
                return await connection.run_sync(step)

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[AsyncConnection]:
        async with self._turn(), self._begun() as connection:
            yield connection

    @asynccontextmanager
    async def _begun(self, engine: AsyncEngine | None = None) -> AsyncIterator[AsyncConnection]:
        async with (engine or self._access.engine).connect() as connection:
            await connection.execution_options(**self._access.writing)
            async with connection.begin():
                yield connection

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._access.patience):
                await self._writer.acquire()
        except TimeoutError as error:
            raise StoreUnavailable("the store did not answer: the changes before this one do not end") from error
        try:
            yield
        finally:
            self._writer.release()


@contextmanager
def answering() -> Iterator[None]:
    """Within it, what a database can fail with becomes `StoreUnavailable`."""
    try:
        yield
    except DBAPIError as error:
        if (state := getattr(error.orig, "sqlstate", None)) is not None:
            # What PostgreSQL says of data, and in the details of anything, are the values; the driver's error has them.
            said = type(error).__name__ if state[:2] in {"22", "23"} else str(error.orig).splitlines()[0]
            raise StoreUnavailable(f"the store did not answer: {said} ({state})") from None
        raise StoreUnavailable(f"the store did not answer: {error.orig}") from error
    # The driver reports values it cannot bind as ValueError and OverflowError, a thread that cannot start or a
    # loop that has ended as RuntimeError.
    except (SQLAlchemyError, OSError, ValueError, OverflowError, RuntimeError) as error:
        raise StoreUnavailable(f"the store did not answer: {type(error).__name__}: {error}") from error


def _moved(*, records: int = 0, statuses: int = 0) -> Update:
    """The revision so much further.  The lock of every change, whatever the numbers."""
    row = schema.revision.c
    return update(schema.revision).values({"number": row.number + records, "statuses": row.statuses + statuses})


async def _move(connection: AsyncConnection, *, records: int = 0, statuses: int = 0) -> None:
    # What it is then is another statement: SQLite has RETURNING since 3.35 only, and Python 3.11 runs on older ones.
    if (await connection.execute(_moved(records=records, statuses=statuses))).rowcount != 1:
        raise StoreUnavailable(_LOST)


async def revision_of(connection: AsyncConnection) -> Revision:
    """The revision as this connection sees it."""
    row = (await connection.execute(select(schema.revision.c.number, schema.revision.c.statuses))).first()
    if row is None or not (isinstance(row[0], int) and isinstance(row[1], int)):
        raise StoreUnavailable(_LOST)
    return Revision(records=row[0], statuses=row[1])


def is_true(column: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether a BOOLEAN is true: one of SQLite holds whatever a hand writes into it, and PostgreSQL's is no number."""
    return cast(column, Integer) == 1


def insert_into(connection: AsyncConnection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An `INSERT` that can say what happens `on_conflict`: the two databases say it alike, SQLAlchemy apart."""
    return insert_for(connection.dialect.name, table)


def insert_for(dialect: str, table: Table) -> sqlite.Insert | postgresql.Insert:
    """As `insert_into`, by the name of the database."""
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


def can_be_kept(*identifiers: object) -> bool:
    """Whether every database can hold them all: PostgreSQL has no NUL in text, and none has half a surrogate pair."""
    try:
        for each in identifiers:
            if not isinstance(each, str) or b"\0" in each.encode():
                return False
    except UnicodeEncodeError:
        return False
    return True


_STAYS = Prepared(_moved())
_STATUSES_MOVE = Prepared(_moved(statuses=1))
