"""Tickets, over any database that SQLAlchemy speaks to.

Rules kept here:
- whether a ticket is taken is decided by the statement that takes it: no question comes before;
- what a hand wrote instead of its content is no ticket, and a line in the log.
"""

import logging
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from certbound.core.errors import StoreUnavailable
from certbound.core.ports import AlreadyExists, TicketKind, TicketRecord
from certbound.stores.content import read_object, write_json
from certbound.stores.database import Database, can_be_kept
from certbound.stores.schema import tickets


class SqlTickets:
    """A row each."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, record: TicketRecord) -> None:
        """It is kept until it ends.  `AlreadyExists` if there is one of this kind and digest."""
        if not can_be_kept(record.digest):
            raise StoreUnavailable("the digest of a ticket must be text without NUL")
        values = {
            "ticket": _key(record.kind, record.digest),
            "content": write_json(record.content, f"the content of a {record.kind}"),
            "created_at": record.created_at,
            "ends_at": record.ends_at,
            "taken_at": record.taken_at,
            "version": 0,
        }

        async def steps(connection: AsyncConnection) -> None:
            try:
                await connection.execute(insert(tickets).values(values))
            except IntegrityError:
                raise AlreadyExists(record.kind) from None

        await self._database.write(steps)

    async def find(self, kind: TicketKind, digest: str, *, now: float) -> TicketRecord | None:
        """It, taken or not; None if there is none, or it has ended at `now`."""
        if not can_be_kept(digest):
            return None

        async def question(connection: AsyncConnection) -> TicketRecord | None:
            row = (await connection.execute(select(tickets).where(_is(kind, digest), tickets.c.ends_at >= now))).first()
            return None if row is None else _record(kind, row)

        return await self._database.ask(question)

    async def change(self, record: TicketRecord, *, now: float) -> bool:
        """`content` and `ends_at` of `record` stand where `version` stood."""
        if not can_be_kept(record.digest):
            return False
        values = {
            "content": write_json(record.content, f"the content of a {record.kind}"),
            "ends_at": record.ends_at,
            "version": record.version + 1,
        }
        same = untaken(record.kind, record.digest, now, record.version)

        async def steps(connection: AsyncConnection) -> bool:
            return (await connection.execute(update(tickets).where(same).values(values))).rowcount == 1

        return await self._database.write(steps)

    async def take(self, kind: TicketKind, digest: str, *, now: float, version: int | None = None) -> bool:
        """True for the first, False for all others, for one that is not there, and for one that has ended."""
        if not can_be_kept(digest):
            return False
        return await self._database.write(lambda connection: take(connection, kind, digest, now, version))

    async def remove(self, kind: TicketKind, digest: str) -> None:
        """It is gone, if it was there."""
        if not can_be_kept(digest):
            return

        async def steps(connection: AsyncConnection) -> None:
            await connection.execute(delete(tickets).where(_is(kind, digest)))

        await self._database.write(steps)


async def take(
    connection: AsyncConnection, kind: TicketKind, digest: str, now: float, version: int | None = None
) -> bool:
    """As `SqlTickets.take`, as a part of a transaction."""
    taken = update(tickets).where(untaken(kind, digest, now, version)).values(taken_at=now)
    return (await connection.execute(taken)).rowcount == 1


def untaken(kind: TicketKind, digest: str, now: float, version: int | None) -> ColumnElement[bool]:
    """It is there, nobody took it, and it has not ended."""
    free = _is(kind, digest) & tickets.c.taken_at.is_(None) & (tickets.c.ends_at >= now)
    return free if version is None else free & (tickets.c.version == version)


def _is(kind: TicketKind, digest: str) -> ColumnElement[bool]:
    return tickets.c.ticket == _key(kind, digest)


def _key(kind: TicketKind, digest: str) -> str:
    return f"{kind} {digest}"


def _record(kind: TicketKind, row: Sequence[Any]) -> TicketRecord | None:
    """The record of a row; None if a hand wrote what cannot be read."""
    ticket, stored, created_at, ends_at, taken_at, version = row
    content = read_object(stored)
    times = isinstance(created_at, float) and isinstance(ends_at, float) and isinstance(taken_at, float | None)
    if content is None or not times or not isinstance(version, int):
        _log.warning("the ticket %r cannot be read; it counts for nothing", ticket)
        return None
    return TicketRecord(
        kind=kind,
        digest=ticket.partition(" ")[2],
        content=content,
        created_at=created_at,
        ends_at=ends_at,
        taken_at=taken_at,
        version=version,
    )


_log = logging.getLogger(__name__)
