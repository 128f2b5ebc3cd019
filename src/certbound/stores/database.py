"""How a store speaks to its database.

Rules kept here:
- every failure of the database, its driver or the operating system leaves as `StoreUnavailable`, without the values
  of the statement: one of them may be a private key;
- a change is one transaction that first moves the revision.  That row is the lock: whatever a change reads after
  it, no other change can move before it commits, in SQLite and in PostgreSQL alike;
- a question is one statement, and so consistent by itself;
- what was begun is brought to its end.  A caller that is cancelled (its peer hung up) leaves no statement behind
  that still runs on a connection which others get next.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection, select, update
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from certbound.core.errors import StoreUnavailable
from certbound.stores import schema

T = TypeVar("T")

WRITES = "certbound_writes"
"""Execution option of a connection whose transaction will change something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """An engine, and what its kind of database needs of us."""

    engine: AsyncEngine
    one_writer: bool
    """Changes of this process queue here and not in the database."""
    patience: float
    """Seconds that a change waits for the changes before it."""
    is_there: Callable[[], bool]
    """Whether there is a database to ask."""
    make: Callable[[], Awaitable[None]]
    """After it there is one."""


class Database:
    """Questions and changes, each brought to its end or to `StoreUnavailable`."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._writer = asyncio.Lock() if access.one_writer else None
        self._running: set[asyncio.Task[Any]] = set()
        self._closed = False

    async def ask(self, question: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """What `question`, a single statement, found."""
        return await self._finish(self._ask(question))

    async def change(self, steps: Callable[[AsyncConnection, int], Awaitable[T]]) -> T:
        """What `steps` returned, after its commit; it is told the new revision.  Nothing changed if it raised."""
        return await self._finish(self._change(steps))

    async def change_quietly(self, steps: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """As `change`, after all changes before it and before all after it; but the revision stays."""
        return await self._finish(self._change_quietly(steps))

    async def migrate(self, step: Callable[[Connection], T]) -> T:
        """What `step` returned, after its commit; no other process changes anything meanwhile."""
        return await self._finish(self._migrate(step))

    async def close(self) -> None:
        """What was begun has ended, and no connection is left.  Any call after this is `StoreUnavailable`."""
        self._closed = True
        if self._running:
            await asyncio.wait(self._running)
        with answering():
            await asyncio.shield(self._access.engine.dispose())

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

    async def _change(self, steps: Callable[[AsyncConnection, int], Awaitable[T]]) -> T:
        with answering():
            async with self._writing() as connection:
                return await steps(connection, await _next_revision(connection))

    async def _change_quietly(self, steps: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        with answering():
            async with self._writing() as connection:
                # The lock of every change, whatever the number.
                await connection.execute(update(schema.revision).values(number=schema.revision.c.number))
                return await steps(connection)

    async def _migrate(self, step: Callable[[Connection], T]) -> T:
        with answering():
            async with self._writing() as connection:
                return await connection.run_sync(step)

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[AsyncConnection]:
        async with self._turn(), self._access.engine.connect() as connection:
            await connection.execution_options(**{WRITES: True})
            async with connection.begin():
                yield connection

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self._writer is None:
            yield
            return
        try:
            await asyncio.wait_for(self._writer.acquire(), self._access.patience)
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
        raise StoreUnavailable(f"the store did not answer: {error.orig}") from error
    # The driver reports values it cannot bind as ValueError and OverflowError, a thread that cannot start or a
    # loop that has ended as RuntimeError.
    except (SQLAlchemyError, OSError, ValueError, OverflowError, RuntimeError) as error:
        raise StoreUnavailable(f"the store did not answer: {type(error).__name__}: {error}") from error


async def _next_revision(connection: AsyncConnection) -> int:
    # Two statements: SQLite has RETURNING since 3.35 only, and Python 3.11 runs on older ones.
    await connection.execute(update(schema.revision).values(number=schema.revision.c.number + 1))
    return await revision_of(connection)


async def revision_of(connection: AsyncConnection) -> int:
    """The revision as this connection sees it."""
    number = await connection.scalar(select(schema.revision.c.number))
    if not isinstance(number, int):
        raise StoreUnavailable("the store has lost its revision: the table `revision` must have one row")
    return number


def can_be_kept(identifier: object) -> bool:
    """Whether every database can hold it: PostgreSQL has no NUL in text, and none has half a surrogate pair."""
    try:
        return isinstance(identifier, str) and b"\0" not in identifier.encode()
    except UnicodeEncodeError:
        return False
