"""What was revoked, and what it ended, over any database that SQLAlchemy speaks to.

Rule: a revocation and the statuses it ends are one transaction, behind the lock of all changes; so is a status that is
allotted meanwhile (`statuses`).  Whichever comes second sees the first.
"""

import logging
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Integer, delete, func, insert, select, type_coerce, update
from sqlalchemy.ext.asyncio import AsyncConnection

from certbound.core.errors import StoreUnavailable
from certbound.core.ports import (
    NotFound,
    RevocationRecord,
    RevokedKind,
    Statuses,
    StatusRecord,
)
from certbound.stores.database import Database, can_be_kept
from certbound.stores.schema import clients, revocations, statuses
from certbound.stores.statuses import ALL_STATUSES, MOST, Allotments, indices, read_status


class SqlRevocations:
    """What was revoked, a row each, and the statuses of tokens, a row for each client, certificate and path."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._allotments = Allotments(database)

    async def list(self) -> Sequence[RevocationRecord]:
        """All that is revoked, what came first before the rest."""

        async def question(connection: AsyncConnection) -> Sequence[RevocationRecord]:
            rows = (await connection.execute(select(revocations))).all()
            records = [record for row in rows if (record := _revocation(row))]
            return sorted(records, key=lambda record: (record.revoked_at, record.kind, record.value))

        return await self._database.ask(question)

    async def affected(self, kind: RevokedKind, value: str, *, now: float) -> Sequence[StatusRecord]:
        """The statuses that would not survive the revocation."""
        if not can_be_kept(value):
            return ()

        async def question(connection: AsyncConnection) -> Sequence[StatusRecord]:
            return [each for each in await _touched(connection, kind, value) if each.ends_at >= now]

        return await self._database.ask(question)

    async def add(self, record: RevocationRecord) -> Sequence[StatusRecord]:
        """It is revoked, and the affected statuses are not valid.  `NotFound` if a client is not there."""
        if not can_be_kept(record.value):
            raise NotFound(record.value)

        async def steps(connection: AsyncConnection, revision: int) -> Sequence[StatusRecord]:
            if record.kind is RevokedKind.CLIENT:
                await _switch(connection, record.value, revision, enabled=False)
            if await connection.scalar(select(revocations.c.kind).where(_is(record.kind, record.value))) is None:
                values = {"kind": record.kind.value, "value": record.value, "revoked_at": record.revoked_at}
                await connection.execute(insert(revocations).values(values))
            # Those too that seem to have ended: the clock of whoever revokes may be wrong.
            touched = await _touched(connection, record.kind, record.value)
            for some in _chunks([each.index for each in touched]):
                await connection.execute(update(statuses).where(statuses.c.idx.in_(some)).values(valid=False))
            return [each for each in touched if each.ends_at >= record.revoked_at]

        return await self._database.change(steps)

    async def remove(self, kind: RevokedKind, value: str) -> None:
        """It is not revoked any more.  `NotFound` if it was not."""
        if not can_be_kept(value):
            raise NotFound(value)

        async def steps(connection: AsyncConnection, revision: int) -> None:
            gone = await connection.execute(delete(revocations).where(_is(kind, value)))
            if gone.rowcount == 0:
                raise NotFound(value)
            if kind is RevokedKind.CLIENT:
                await _switch(connection, value, revision, enabled=True)

        await self._database.change(steps)

    async def allot(self, record: StatusRecord, *, until: float, now: float) -> StatusRecord:
        """The valid status of this client, certificate and path, which ends at `until` or later."""
        if not all(map(can_be_kept, (record.client_id, record.thumbprint, *record.authorities, *record.twins))):
            raise StoreUnavailable("a status is of a client_id and of thumbprints, text without NUL")
        return await self._allotments.allot(record, until, now)

    async def statuses(self, now: float) -> Statuses:
        """What the list says at `now`."""

        async def question(connection: AsyncConnection) -> Statuses:
            # One statement, and so one state: a row without an index says how many there are, and the largest of them.
            numbers = select(func.count(), func.max(statuses.c.idx), type_coerce(None, Integer)).select_from(statuses)
            invalid = select(type_coerce(0, Integer), type_coerce(0, Integer), statuses.c.idx).where(
                _is_invalid(), statuses.c.ends_at >= now
            )
            rows = (await connection.execute(numbers.union_all(invalid))).all()
            [(count, largest)] = [(row[0], row[1]) for row in rows if row[2] is None]
            size = max(2 * indices(count), 1 << (largest or 0).bit_length())
            return Statuses(invalid=frozenset(row[2] for row in rows if row[2] is not None), size=size)

        return await self._database.ask(question)


async def _touched(connection: AsyncConnection, kind: RevokedKind, value: str) -> Sequence[StatusRecord]:
    question = ALL_STATUSES.where(_is_valid(), _seems_touched(kind, value))
    rows = (await connection.execute(question.order_by(statuses.c.idx))).all()
    return [record for record in map(read_status, rows) if _is_touched(record, kind, value)]


def _seems_touched(kind: RevokedKind, value: str) -> ColumnElement[bool]:
    conditions = {
        RevokedKind.CLIENT: statuses.c.client_id == value,
        RevokedKind.CERTIFICATE: (statuses.c.thumbprint == value) | _is_listed(statuses.c.twins, value),
        RevokedKind.AUTHORITY: _is_listed(statuses.c.authorities, value),
    }
    return conditions[kind]


def _is_listed(column: ColumnElement[str], value: str) -> ColumnElement[bool]:
    return column.contains(f" {value} ", autoescape=True)


def _is_touched(record: StatusRecord, kind: RevokedKind, value: str) -> bool:
    """Character by character: to a database's LIKE, capitals are small letters."""
    values = {
        RevokedKind.CLIENT: (record.client_id,),
        RevokedKind.CERTIFICATE: (record.thumbprint, *record.twins),
        RevokedKind.AUTHORITY: record.authorities,
    }
    return value in values[kind]


async def _switch(connection: AsyncConnection, client_id: str, revision: int, *, enabled: bool) -> None:
    """The client is enabled or not.  `NotFound` if it is to be disabled and is not there."""
    changed = await connection.execute(
        update(clients).where(clients.c.client_id == client_id).values(enabled=enabled, version=revision)
    )
    if changed.rowcount == 0 and not enabled:
        raise NotFound(client_id)


def _revocation(row: Sequence[Any]) -> RevocationRecord | None:
    """The record of a row; None if a hand wrote what nobody here knows."""
    kind, value, revoked_at = row
    if kind not in list(RevokedKind) or not can_be_kept(value):
        _log.warning("the revocation of %r %r cannot be read; it is left out", kind, value)
        return None
    at = revoked_at if isinstance(revoked_at, float) else 0.0
    return RevocationRecord(kind=RevokedKind(kind), value=value, revoked_at=at)


def _is(kind: RevokedKind, value: str) -> ColumnElement[bool]:
    return (revocations.c.kind == kind.value) & (revocations.c.value == value)


def _is_valid() -> ColumnElement[bool]:
    return type_coerce(statuses.c.valid, Integer) == 1


def _is_invalid() -> ColumnElement[bool]:
    """Whatever a hand wrote, it is not valid unless it is 1."""
    return type_coerce(statuses.c.valid, Integer) != 1


def _chunks(places: Sequence[int]) -> Iterator[Sequence[int]]:
    """So many as a database takes in one statement."""
    return (places[at : at + MOST] for at in range(0, len(places), MOST))


_log = logging.getLogger(__name__)
