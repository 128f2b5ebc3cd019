"""What has ended goes: a few rows in a statement, so that nobody waits long for one.

Rules kept here:
- rows are found by when they end, and their number in a statement is bounded: what is alive costs nothing;
- each statement is a transaction of its own, and there is none where nothing has ended;
- of processes that purge at once none waits for another: what one has begun to remove, the others leave out.
"""

from dataclasses import dataclass

from sqlalchemy import Table, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from certbound.stores.database import Database
from certbound.stores.schema import (
    access_tokens,
    grants,
    initial_tokens,
    invalid_statuses,
    refresh_tokens,
    sessions,
    statuses,
    tickets,
    used,
)


async def purge(database: Database, now: float, most: int) -> int:
    """How many records that had ended at `now` are gone: `most` of each kind."""
    gone = 0
    for table in _ENDING:
        ended = _Ended(table, now, most)
        if await database.ask(ended.are_there):
            count = await database.write(ended.remove)
            await database.purged(table, count)
            gone += count
    return gone


@dataclass(frozen=True, slots=True)
class _Ended:
    """Rows of one table."""

    table: Table
    now: float
    most: int

    async def are_there(self, connection: AsyncConnection) -> bool:
        """Whether there is one."""
        ends_at = self.table.c.ends_at
        question = select(ends_at).where(ends_at < self.now).order_by(ends_at).limit(1)
        return (await connection.execute(question)).first() is not None

    async def remove(self, connection: AsyncConnection) -> int:
        """How many of them, the first to end before the rest, are gone."""
        [key] = self.table.primary_key.columns
        ends_at = self.table.c.ends_at
        some = select(key).where(ends_at < self.now).order_by(ends_at).limit(self.most)
        # SQLite needs no such words and gets none: there a transaction that writes is alone.
        unlocked = some.with_for_update(skip_locked=True)
        return (await connection.execute(delete(self.table).where(key.in_(unlocked)))).rowcount


_ENDING = (
    access_tokens, used, statuses, invalid_statuses, refresh_tokens, grants, initial_tokens, tickets, sessions,
)  # fmt: skip
