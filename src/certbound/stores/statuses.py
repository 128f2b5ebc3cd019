"""Statuses of tokens, allotted: many at a time, so that a thousand first tokens at once are a few transactions.

Rules kept here:
- what is there already is found without the lock of changes, so that nobody waits for a transaction in vain;
- whether anything of a status is revoked is asked in the transaction that writes it, behind the lock: a revocation
  that commits before it is seen, and one that comes after it finds the status;
- an index is chosen at random among more than twice as many as there are statuses, so that the list tells nobody how
  many clients there are, and a free one is found soon.
"""

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Integer, delete, func, insert, select, type_coerce, update
from sqlalchemy.ext.asyncio import AsyncConnection

from certbound.core.ports import RevokedKind, RevokedMeanwhile, StatusRecord
from certbound.stores.database import Database
from certbound.stores.schema import clients, revocations, statuses

MOST = 200
"""Statuses of one transaction, and values of one statement."""
FEWEST = 1 << 16
"""Indices there are at least: 8 KiB of bits, of which compression leaves next to nothing."""

Place = tuple[str, str, tuple[str, ...]]
"""What a status is of: client, certificate, authorities."""


@dataclass(frozen=True, slots=True, eq=False)
class _Wanted:
    record: StatusRecord
    until: float
    now: float
    answer: asyncio.Future[StatusRecord]


class Allotments:
    """Allots statuses: while one transaction runs, those who come wait for the next one together."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[_Wanted] = []
        self._working: asyncio.Task[None] | None = None

    async def allot(self, record: StatusRecord, until: float, now: float) -> StatusRecord:
        """As `core.ports.Revocations.allot`."""
        wanted = _Wanted(record, until, now, asyncio.get_running_loop().create_future())
        self._waiting.append(wanted)
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work())
        return await wanted.answer

    async def _work(self) -> None:
        while self._waiting:
            some, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
            try:
                await self._answer(some)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
                for each in some:
                    if not each.answer.done():
                        each.answer.set_exception(error)
            finally:
                for each in some:  # of a loop that ends
                    each.answer.cancel()

    async def _answer(self, some: Sequence[_Wanted]) -> None:
        there = await self._database.ask(lambda connection: _find(connection, some))
        lacking = [each for each in some if not _give(each, there.get(_place(each.record)))]
        if lacking:
            found = await self._database.change_quietly(lambda connection: _allot(connection, lacking))
            for each in lacking:
                _give(each, found[_place(each.record)], whole=True)


def _give(wanted: _Wanted, found: StatusRecord | RevokedMeanwhile | None, *, whole: bool = False) -> bool:
    """Whether `found` is the answer; then it is given, if anybody still waits for it."""
    if found is None or (isinstance(found, StatusRecord) and found.ends_at < wanted.until and not whole):
        return False
    if wanted.answer.done():
        return True
    if isinstance(found, StatusRecord):
        wanted.answer.set_result(found)
    else:
        wanted.answer.set_exception(found)
    return True


async def _allot(connection: AsyncConnection, some: Sequence[_Wanted]) -> dict[Place, StatusRecord | RevokedMeanwhile]:
    """What each place has afterwards, or why it has nothing."""
    answers: dict[Place, StatusRecord | RevokedMeanwhile] = {}
    there = await _find(connection, some)
    refuse = await _judge(connection, some)
    new: dict[Place, StatusRecord] = {}
    for each in some:
        place = _place(each.record)
        known = there.get(place)
        if (reason := refuse(each.record)) is not None:
            answers[place] = RevokedMeanwhile(reason)
        elif known is None:
            new[place] = max(new.get(place, each.record), each.record, key=lambda record: record.ends_at)
        else:
            answers[place] = await _extend(connection, known, each)
            there[place] = answers[place]
    if new:
        await connection.execute(delete(statuses).where(statuses.c.ends_at < min(each.now for each in some)))
        answers |= zip(new, await _insert(connection, list(new.values())), strict=True)
    return answers


async def _extend(connection: AsyncConnection, known: StatusRecord, wanted: _Wanted) -> StatusRecord:
    if known.ends_at >= wanted.until:
        return known
    ends_at = max(known.ends_at, wanted.record.ends_at)
    await connection.execute(update(statuses).where(statuses.c.idx == known.index).values(ends_at=ends_at))
    return replace(known, ends_at=ends_at)


async def _judge(connection: AsyncConnection, some: Sequence[_Wanted]) -> Any:
    """Says of a record why it may not have a status, or None."""
    ids = {each.record.client_id for each in some}
    question = select(clients.c.client_id, type_coerce(clients.c.enabled, Integer)).where(clients.c.client_id.in_(ids))
    enabled = {row[0] for row in (await connection.execute(question)).all() if row[1] == 1}
    revoked = {(row[0], row[1]) for row in (await connection.execute(select(revocations))).all()}

    def refuse(record: StatusRecord) -> str | None:
        if record.client_id not in enabled:
            return f"client {record.client_id!r} is not there or disabled"
        for thumbprint in (record.thumbprint, *record.twins):
            if (RevokedKind.CERTIFICATE.value, thumbprint) in revoked:
                return f"the certificate {record.thumbprint} was revoked here"
        for authority in record.authorities:
            if (RevokedKind.AUTHORITY.value, authority) in revoked:
                return f"the authority with the key {authority} was revoked here"
        return None

    return refuse


async def _find(connection: AsyncConnection, some: Sequence[_Wanted]) -> dict[Place, Any]:
    """The valid statuses that are there, by place."""
    ids = {each.record.client_id for each in some}
    thumbprints = {each.record.thumbprint for each in some}
    question = ALL_STATUSES.where(
        statuses.c.client_id.in_(ids),
        statuses.c.thumbprint.in_(thumbprints),
        type_coerce(statuses.c.valid, Integer) == 1,
    )
    found = [read_status(row) for row in (await connection.execute(question)).all()]
    return {_place(record): record for record in found}


async def _insert(connection: AsyncConnection, records: Sequence[StatusRecord]) -> Sequence[StatusRecord]:
    count = await connection.scalar(select(func.count()).select_from(statuses)) or 0
    free: set[int] = set()
    while len(free) < len(records):
        chosen = {secrets.randbelow(indices(count + len(records))) for _ in range(len(records) - len(free))}
        taken = await connection.execute(select(statuses.c.idx).where(statuses.c.idx.in_(chosen)))
        free |= chosen - set(taken.scalars())
    placed = [replace(record, index=index, valid=True) for record, index in zip(records, free, strict=True)]
    await connection.execute(insert(statuses), [_row(each) for each in placed])
    return placed


def indices(count: int) -> int:
    """How many indices there are to choose from, where there are so many statuses: at least twice as many."""
    return max(FEWEST, 1 << (2 * count).bit_length())


def read_status(row: Sequence[Any]) -> StatusRecord:
    """The record of a row of `ALL_STATUSES`."""
    index, client_id, thumbprint, authorities, twins, valid, created_at, ends_at = row
    return StatusRecord(
        client_id=client_id,
        thumbprint=thumbprint,
        authorities=tuple(authorities.split()),
        twins=tuple(twins.split()),
        index=index,
        valid=valid == 1,
        created_at=_time(created_at),
        ends_at=_time(ends_at),
    )


def _time(stored: Any) -> float:
    """What a hand wrote instead is long ago: a status that ended so is written anew."""
    return stored if isinstance(stored, float) else 0.0


def _row(record: StatusRecord) -> dict[str, Any]:
    return {
        "idx": record.index,
        "client_id": record.client_id,
        "thumbprint": record.thumbprint,
        "authorities": _listed(record.authorities),
        "twins": _listed(record.twins),
        "valid": record.valid,
        "created_at": record.created_at,
        "ends_at": record.ends_at,
    }


def _listed(thumbprints: Sequence[str]) -> str:
    return "".join(f" {each}" for each in thumbprints) + " "


def _place(record: StatusRecord) -> Place:
    return record.client_id, record.thumbprint, record.authorities


# As a number: a BOOLEAN of SQLite holds whatever a hand writes into it, and only 1 is true.
ALL_STATUSES = select(
    statuses.c.idx,
    statuses.c.client_id,
    statuses.c.thumbprint,
    statuses.c.authorities,
    statuses.c.twins,
    type_coerce(statuses.c.valid, Integer),
    statuses.c.created_at,
    statuses.c.ends_at,
)
