"""What was revoked, and what it ended, over any database that SQLAlchemy speaks to.

Rules kept here:
- a revocation and what it ends, statuses and grants, are one transaction, behind the lock of all changes; so is a block
  of statuses that is allotted meanwhile (`statuses`).  Whichever comes second sees the first;
- a grant that ends takes the statuses of its access tokens with it, with whatever certificate they were obtained;
- what was obtained from a token ends with what would have ended that one, whoever obtained it (`descent`); not with
  that token alone.
"""

import logging
from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Insert,
    Integer,
    Table,
    bindparam,
    delete,
    exists,
    func,
    insert,
    null,
    select,
    type_coerce,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from certbound.core.errors import StoreUnavailable
from certbound.core.ports import (
    NotFound,
    Origin,
    RevocationRecord,
    RevokedKind,
    Statuses,
    StatusRecord,
)
from certbound.stores.batches import Batches
from certbound.stores.content import read_list
from certbound.stores.database import Database, can_be_kept
from certbound.stores.descent import is_obtained, name_of, origin_at
from certbound.stores.prepared import Prepared
from certbound.stores.schema import clients, grants, invalid_statuses, revocations, statuses
from certbound.stores.statuses import (
    ALL_STATUSES,
    NUMBER,
    Allotments,
    chunks,
    invalidate_statuses,
    read_status,
    size_of,
)


class SqlRevocations:
    """What was revoked, a row each, and the statuses of tokens, a row for each block of places."""

    def __init__(self, database: Database, allotments: Allotments) -> None:
        self._database = database
        self._allotments = allotments
        self._write = database.prepare(_invalidation(database), ("idx", "ends_at"), statuses=True)
        self._invalidations = Batches(self._invalidate, patience=database.patience)

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
            await invalidate_statuses(connection, [each.index for each in touched])
            for some in chunks(await _touched_grants(connection, record.kind, record.value)):
                await connection.execute(update(grants).where(grants.c.grant_id.in_(some)).values(valid=False))
            return [each for each in touched if each.ends_at >= record.revoked_at]

        return await self._database.change(steps, statuses=True)

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

    async def allot(self, record: StatusRecord, *, now: float, origin: int | None = None) -> StatusRecord:
        """`record` with places of its own.  `RevokedMeanwhile` if anything of it is revoked."""
        return await self._allotments.allot(record, now, origin)

    async def origin(self, index: int) -> Origin | None:
        """What the token whose status stands there is to those obtained from it; None if it was revoked."""
        if not 0 <= index < 1 << 63:
            return None
        return await self._database.ask(lambda connection: origin_at(connection, index))

    async def invalidate(self, index: int, *, until: float) -> None:
        """The status at `index` is not valid.  Those that come at once share a transaction."""
        if not 0 <= index < 1 << 63:
            raise StoreUnavailable(f"no status can stand at {index}")
        await self._invalidations.ask((index, until))

    async def is_valid(self, index: int) -> bool:
        """Whether the status at `index` is; it is not if none was allotted there."""
        if not 0 <= index < 1 << 63:
            return False
        for first, count, valid, alone in await self._database.find(_LAST_BEFORE, {"at": index}):
            return index < first + count and bool(valid) and not alone
        return False

    async def statuses(self, now: float, *, since: int | None = None) -> Statuses:
        """What the list says at `now`: all of it, or what is news since that number."""

        async def question(connection: AsyncConnection) -> Statuses:
            rows = (await connection.execute(_all(now) if since is None else _news(now, since))).all()
            [(number, largest)] = [(row[1], row[0]) for row in rows if row[2] is None]
            if number is None:
                raise StoreUnavailable("the store has lost its revision: the table `revision` must have one row")
            runs = sorted((row[0], row[2]) for row in rows if row[2] is not None)
            return Statuses(revision=number, invalid=runs, size=size_of(largest))

        return await self._database.ask(question)

    async def _invalidate(self, some: Sequence[tuple[int, float]]) -> Sequence[None]:
        ends: dict[int, float] = {}
        for index, until in some:
            ends[index] = max(until, ends.get(index, until))
        await self._write([{"idx": index, "ends_at": ends[index]} for index in sorted(ends)])
        return [None] * len(some)


def _invalidation(database: Database) -> Insert:
    """Of a place alone; of one that is there already, until the later moment."""
    statement, there = database.insert_into(invalid_statuses).values(revoked_in=NUMBER), invalid_statuses.c
    return statement.on_conflict_do_update(
        index_elements=[there.idx],
        set_={"ends_at": statement.excluded.ends_at, "revoked_in": statement.excluded.revoked_in},
        where=there.ends_at < statement.excluded.ends_at,
    )


def _all(now: float) -> CompoundSelect[Any]:
    return _said(statuses.c.valid.is_not(True), invalid_statuses.c.idx.is_not(None), now)


def _news(now: float, since: int) -> CompoundSelect[Any]:
    return _said(statuses.c.revoked_in > since, invalid_statuses.c.revoked_in > since, now)


def _said(blocks: ColumnElement[bool], alone: ColumnElement[bool], now: float) -> CompoundSelect[Any]:
    """One statement, and so one state: a row without a count has the largest place and the number."""
    numbers = select(select(func.max(statuses.c.idx)).scalar_subquery(), NUMBER, type_coerce(null(), Integer))
    zero, one = type_coerce(0, Integer), type_coerce(1, Integer)
    return numbers.union_all(
        select(statuses.c.idx, zero, statuses.c.count).where(blocks, statuses.c.ends_at >= now),
        select(invalid_statuses.c.idx, zero, one).where(alone, invalid_statuses.c.ends_at >= now),
    )


async def _touched(connection: AsyncConnection, kind: RevokedKind, value: str) -> Sequence[StatusRecord]:
    """The valid statuses of what is revoked, and of the grants that end with it, by index."""
    valid = ALL_STATUSES.where(_is_valid(statuses))
    found: dict[int, StatusRecord] = {}
    for seems_touched in _seem_touched(statuses, kind, value):
        rows = (await connection.execute(valid.where(seems_touched))).all()
        found |= {each.index: each for each in map(read_status, rows) if _is_touched(each, kind, value)}
    for some in chunks(await _touched_grants(connection, kind, value)):
        rows = (await connection.execute(valid.where(statuses.c.grant_id.in_(some)))).all()
        found |= {each.index: each for each in map(read_status, rows)}
    return [found[index] for index in sorted(found)]


async def _touched_grants(connection: AsyncConnection, kind: RevokedKind, value: str) -> Sequence[str]:
    """The ids of the valid grants of what is revoked."""
    columns = [grants.c[each] for each in ("grant_id", "client_id", "thumbprint", "authorities", "twins", "sources")]
    found: set[str] = set()
    for seems_touched in _seem_touched(grants, kind, value):
        rows = (await connection.execute(select(*columns).where(_is_valid(grants), seems_touched))).all()
        records = [StatusRecord(client_id=row[1], thumbprint=row[2], grant_id=row[0], authorities=read_list(row[3]),
                                twins=read_list(row[4]), sources=read_list(row[5])) for row in rows]  # fmt: skip
        found |= {each.grant_id for each in records if _is_touched(each, kind, value)}
    return sorted(found)


def _seem_touched(table: Table, kind: RevokedKind, value: str) -> Sequence[ColumnElement[bool]]:
    """Of statuses and of grants, whose columns are the same; a question each, so that each has its index."""
    conditions = {
        RevokedKind.CLIENT: table.c.client_id == value,
        RevokedKind.CERTIFICATE: (table.c.thumbprint == value) | _is_listed(table.c.twins, value),
        RevokedKind.AUTHORITY: _is_listed(table.c.authorities, value),
    }
    return conditions[kind], is_obtained(table, name_of(kind, value))


def _is_listed(column: ColumnElement[str], value: str) -> ColumnElement[bool]:
    return column.contains(f" {value} ", autoescape=True)


def _is_touched(record: StatusRecord, kind: RevokedKind, value: str) -> bool:
    """Character by character: to a database's LIKE, capitals are small letters."""
    values = {
        RevokedKind.CLIENT: (record.client_id,),
        RevokedKind.CERTIFICATE: (record.thumbprint, *record.twins),
        RevokedKind.AUTHORITY: record.authorities,
    }
    return value in values[kind] or name_of(kind, value) in record.sources


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


def _is_valid(table: Table) -> ColumnElement[bool]:
    """Whatever a hand wrote, it is not valid unless it is true."""
    return table.c.valid.is_(True)


_log = logging.getLogger(__name__)

_LAST_BEFORE = Prepared(
    select(
        statuses.c.idx,
        statuses.c.count,
        type_coerce(statuses.c.valid.is_(True), Integer),
        type_coerce(exists().where(invalid_statuses.c.idx == bindparam("at")), Integer),
    )
    .where(statuses.c.idx <= bindparam("at"))
    .order_by(statuses.c.idx.desc())
    .limit(1)
)
"""The block that begins at a place or before it, and whether that place alone is not valid."""
