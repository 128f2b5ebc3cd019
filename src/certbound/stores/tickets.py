"""Tickets, over any database that SQLAlchemy speaks to.

Rules kept here:
- whether a ticket is taken is decided by the statement that takes it: no question comes before;
- what a hand wrote instead of its content is no ticket, and a line in the log.
"""

import logging
from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, bindparam, delete, select, update

from certbound.core.errors import StoreUnavailable
from certbound.core.ports import AlreadyExists, TicketKind, TicketRecord
from certbound.stores.content import read_object, write_json
from certbound.stores.database import Database, can_be_kept
from certbound.stores.prepared import Hands, Prepared
from certbound.stores.schema import tickets


class SqlTickets:
    """A row each."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._adding = Prepared(
            database.insert_into(tickets).on_conflict_do_nothing(), [column.name for column in tickets.columns]
        )

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

        async def steps(hands: Hands) -> None:
            if (await hands.run(self._adding, values)).changed == 0:
                raise AlreadyExists(record.kind)

        await self._database.write_prepared(steps)

    async def find(self, kind: TicketKind, digest: str, *, now: float) -> TicketRecord | None:
        """It, taken or not; None if there is none, or it has ended at `now`."""
        if not can_be_kept(digest):
            return None
        rows = await self._database.find(_LIVES, {"key": _key(kind, digest), "now": now})
        return _record(kind, rows[0]) if rows else None

    async def change(self, record: TicketRecord, *, now: float) -> bool:
        """`content` and `ends_at` of `record` stand where `version` stood."""
        if not can_be_kept(record.digest):
            return False
        values = {
            "key": _key(record.kind, record.digest),
            "now": now,
            "seen": record.version,
            "what": write_json(record.content, f"the content of a {record.kind}"),
            "until": record.ends_at,
            "next": record.version + 1,
        }

        async def steps(hands: Hands) -> bool:
            return (await hands.run(_CHANGE, values)).changed == 1

        return await self._database.write_prepared(steps)

    async def take(self, kind: TicketKind, digest: str, *, now: float) -> bool:
        """True for the first, False for all others, for one that is not there, and for one that has ended."""
        if not can_be_kept(digest):
            return False

        async def steps(hands: Hands) -> bool:
            return await take(hands, kind, digest, now)

        return await self._database.write_prepared(steps)

    async def remove(self, kind: TicketKind, digest: str) -> None:
        """It is gone, if it was there."""
        if not can_be_kept(digest):
            return

        async def steps(hands: Hands) -> None:
            await hands.run(_REMOVE, {"key": _key(kind, digest)})

        await self._database.write_prepared(steps)


async def take(hands: Hands, kind: TicketKind, digest: str, now: float) -> bool:
    """As `SqlTickets.take`, as a part of a transaction."""
    return (await hands.run(_TAKE, {"key": _key(kind, digest), "now": now})).changed == 1


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

_IS = tickets.c.ticket == bindparam("key")
_LIVES = Prepared(select(tickets).where(_IS, tickets.c.ends_at >= bindparam("now")))
_REMOVE = Prepared(delete(tickets).where(_IS))

_UNTAKEN = and_(_IS, tickets.c.taken_at.is_(None), tickets.c.ends_at >= bindparam("now"))
"""It is there, nobody took it, and it has not ended."""

_CHANGE = Prepared(
    update(tickets)
    .where(_UNTAKEN, tickets.c.version == bindparam("seen"))
    .values(content=bindparam("what"), ends_at=bindparam("until"), version=bindparam("next"))
)

_TAKE = Prepared(update(tickets).where(_UNTAKEN).values(taken_at=bindparam("now")))
