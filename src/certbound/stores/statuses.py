"""Places in the status list, allotted in blocks, many at a time: a thousand first tokens are a few transactions.

Rules kept here:
- a block belongs to whoever asked for it: nobody else is given any place of it until its row is gone, and the free
  ones are looked up in the transaction that takes them, behind the lock of all changes;
- whether anything of a block is revoked is asked in that transaction too: a revocation that commits before it is seen,
  and one that comes after it finds the block;
- a block lies in a page of blocks of its own size, so that large ones find room however many small ones there are.
  Each process fills pages of its own, chosen at random among more than twice as many as are in use, and their blocks in
  random order: the list tells nobody how many tokens there are, and an empty page is found soon.
"""

import random
import secrets
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Integer,
    bindparam,
    distinct,
    exists,
    func,
    insert,
    literal_column,
    or_,
    select,
    type_coerce,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from certbound.core.errors import StoreUnavailable
from certbound.core.ports import RevokedKind, RevokedMeanwhile, StatusRecord
from certbound.core.status import MAX_BYTES
from certbound.stores.batches import MOST, Batches
from certbound.stores.content import read_list, read_time, write_list
from certbound.stores.database import Database, can_be_kept
from certbound.stores.prepared import Hands, Prepared, Values
from certbound.stores.schema import clients, grants, invalid_statuses, revision, revocations, statuses

PAGE = 1024
"""Places of a page, and of the largest block."""
FEWEST = 1 << 20
"""Places there are at least: 128 KiB of bits, of which compression leaves next to nothing."""
TURNS = 16
"""How often an empty page is looked for before it is counted again how many there are."""
LARGEST = MAX_BYTES * 8
"""Places there are at most, so that whoever reads the list can."""


@dataclass(frozen=True, slots=True)
class Wish:
    """For a status, or for a grant as if it were one."""

    record: StatusRecord
    now: float
    origin: int | None = None
    """Where the block begins that it is obtained from, if it is."""


class Allotments:
    """Allots blocks of places.  For one event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._batches = Batches(self._answer, patience=database.patience)
        self._slots: dict[int, list[int]] = {}
        """First places of the page of each size that were not given yet, in random order."""
        self._among = self._turns = 0

    async def allot(self, record: StatusRecord, now: float, origin: int | None) -> StatusRecord:
        """As `core.ports.Revocations.allot`."""
        require_places(record)
        return await self._batches.ask(Wish(record, now, origin))

    async def place(self, hands: Hands, record: StatusRecord) -> StatusRecord:
        """`record`, which was judged, with places of its own; a part of a transaction behind the lock."""
        [index] = await self._free(hands, _slot(record), 1)
        placed = replace(record, index=index, valid=True)
        await hands.run(_ADD, _row(placed))
        return placed

    async def _answer(self, some: Sequence[Wish]) -> Sequence[StatusRecord | Exception]:
        return await self._database.change_quietly(lambda hands: self._allot(hands, some))

    async def _allot(self, hands: Hands, some: Sequence[Wish]) -> Sequence[StatusRecord | Exception]:
        """What each has afterwards, or why it has nothing."""
        refuse = await judge(hands, some)
        answers: dict[int, StatusRecord | Exception] = {}
        good: dict[int, list[tuple[int, StatusRecord]]] = {}
        for at, wish in enumerate(some):
            if (reason := refuse(wish)) is not None:
                answers[at] = RevokedMeanwhile(reason)
            else:
                good.setdefault(_slot(wish.record), []).append((at, wish.record))
        for size, wanted in good.items():
            free = await self._free(hands, size, len(wanted))
            placed = [replace(record, index=index, valid=True) for (_, record), index in zip(wanted, free, strict=True)]
            await hands.run_all(_ADD, [_row(each) for each in placed])
            answers |= zip((at for at, _ in wanted), placed, strict=True)
        return [answers[at] for at in range(len(some))]

    async def _free(self, hands: Hands, size: int, wanted: int) -> Sequence[int]:
        """First places of so many free slots of that size."""
        rest = self._slots.get(size, [])
        free: list[int] = []
        while rest and (missing := wanted - len(free)):
            free += await _free_of(hands, rest[-missing:], size)
            del rest[-missing:]
        opened: set[int] = set()
        while len(free) < wanted:
            page = await self._empty_page(hands, opened)
            opened.add(page)
            slots = _shuffled(range(page * PAGE, (page + 1) * PAGE, size))
            missing = wanted - len(free)
            free += slots[:missing]
            self._slots[size] = slots[missing:]
        return free

    async def _empty_page(self, hands: Hands, besides: Set[int]) -> int:
        """A page in which there is nothing."""
        while True:
            if self._turns == 0:  # not for each page: it is a look at all statuses
                self._among = await _pages_among(hands)
                self._turns = TURNS
            self._turns -= 1
            page = _random.randrange(self._among)
            if page not in besides and not (await hands.run(_IS_IN_USE, _places(page * PAGE, PAGE))).rows[0][0]:
                return page


def require_places(record: StatusRecord) -> None:
    """It can have places.  `StoreUnavailable` otherwise."""
    lists = (*record.authorities, *record.twins, *record.sources)
    named = (record.client_id, record.thumbprint, record.grant_id, *lists)
    if not (can_be_kept(*named) and 1 <= record.count <= PAGE):
        raise StoreUnavailable(f"a status is of ids and thumbprints, text without NUL, and has 1 to {PAGE} places")


def _slot(record: StatusRecord) -> int:
    """The power of two that a block is put into."""
    return 1 << (record.count - 1).bit_length()


async def _free_of(hands: Hands, slots: Sequence[int], size: int) -> Sequence[int]:
    """Those of the slots of one page in which nothing stands, be it a larger block of whoever has that page now."""
    page = min(slots) // PAGE * PAGE
    if len(slots) == 1:
        found = await hands.run(_TAKEN_AT, {**_places(slots[0], size), "page": page})
    else:
        found = await hands.run(_TAKEN, _places(page, PAGE))
    taken: set[int] = set()
    for index, count in found.rows:
        taken.update(range(index - index % size, index + count, size))
    return [each for each in slots if each not in taken]


def _places(first: int, count: int) -> Values:
    return {"first": first, "last": first + count - 1}


def _shuffled(places: Sequence[int]) -> list[int]:
    """In an order that nobody can guess; from one secret, since to ask the system for each takes longer."""
    return random.Random(secrets.token_bytes(32)).sample(places, len(places))  # noqa: S311 - seeded with 256 bits


async def _pages_among(hands: Hands) -> int:
    """Among how many pages an empty one is looked for; some turns later there is one still, in whatever process."""
    in_use = (await hands.run(_PAGES_IN_USE)).rows[0][0]
    if in_use >= LARGEST // PAGE * 15 // 16:
        raise StoreUnavailable(f"the status list is full: {in_use} of {LARGEST // PAGE} pages are in use")
    return indices(in_use) // PAGE


async def judge(hands: Hands, some: Sequence[Wish]) -> Callable[[Wish], str | None]:
    """Says of a wish why it may not come true, or None."""
    records = [each.record for each in some]
    enabled = {row[0] for row in await _among(hands, _ENABLED, {each.client_id for each in records})}
    revoked = {
        (row[0], row[1]) for row in await _among(hands, _REVOKED, {key for each in records for key in _keys(each)})
    }
    granted = await _granted(hands, {each.grant_id for each in records if each.grant_id})
    origins = await _valid_blocks(hands, {each.origin for each in some if each.origin is not None})

    def refuse(wish: Wish) -> str | None:
        record = wish.record
        if record.client_id not in enabled:
            return f"client {record.client_id!r} is not there or disabled"
        for thumbprint in (record.thumbprint, *record.twins):
            if (RevokedKind.CERTIFICATE.value, thumbprint) in revoked:
                return f"the certificate {record.thumbprint} was revoked here"
        for authority in record.authorities:
            if (RevokedKind.AUTHORITY.value, authority) in revoked:
                return f"the authority with the key {authority} was revoked here"
        if record.grant_id and not granted.get(record.grant_id, float("-inf")) >= wish.now:
            return f"the grant {record.grant_id} is not there, was revoked, or has ended"
        if wish.origin is not None and wish.origin not in origins:
            return "what it is obtained from was revoked"
        return None

    return refuse


async def _granted(hands: Hands, ids: Set[str]) -> dict[str, float]:
    """When each of the grants ends that are there and valid."""
    return {row[0]: read_time(row[1]) for row in await _among(hands, _GRANTED, ids)}


async def _valid_blocks(hands: Hands, firsts: Set[int]) -> Set[int]:
    """Those of them where a valid block begins."""
    return {row[0] for row in await _among(hands, _VALID, firsts)}


async def _among(hands: Hands, question: Prepared, keys: Set[Any]) -> Sequence[Sequence[Any]]:
    return [row for some in chunks([*keys]) for row in (await hands.run(question, {"keys": some})).rows]


def _keys(record: StatusRecord) -> Sequence[str]:
    """The thumbprints that can be revoked of it: of certificates and of authorities."""
    return (record.thumbprint, *record.twins, *record.authorities)


async def invalidate_statuses(connection: AsyncConnection, firsts: Sequence[int]) -> None:
    """The blocks that begin there are not valid, for ever; part of a transaction that moves the number of statuses."""
    for some in chunks(firsts):
        await connection.execute(update(statuses).where(statuses.c.idx.in_(some)).values(_INVALID))


async def invalidate_client_statuses(connection: AsyncConnection, client_id: str) -> None:
    """No access token of the client is valid; part of a transaction that moves the number of statuses."""
    await connection.execute(
        update(statuses).where(statuses.c.client_id == client_id, statuses.c.valid.is_(True)).values(_INVALID)
    )


async def invalidate_grant_statuses(connection: AsyncConnection, grant_id: str) -> None:
    """The access tokens of the grant are not valid; part of a transaction that moves the number of statuses."""
    await connection.execute(update(statuses).where(statuses.c.grant_id == grant_id).values(_INVALID))


def size_of(largest: int | None) -> int:
    """How long the list is if that is the largest place in use: with room for those of the next minutes.

    Pages are taken at random among a power of two of them, so one of its upper half is in use; twice as many are
    those there will be when the number of pages in use has doubled.
    """
    return min(max(2 * FEWEST, 2 * PAGE << ((largest or 0) // PAGE).bit_length()), LARGEST)


def indices(pages: int) -> int:
    """How many places there are to choose from, where so many pages are in use: more than twice as many."""
    return min(max(FEWEST, PAGE << (2 * pages).bit_length()), LARGEST)


def read_status(row: Sequence[Any]) -> StatusRecord:
    """The record of a row of `ALL_STATUSES`."""
    index, client_id, thumbprint, authorities, twins, valid, created_at, ends_at, count, grant_id, sources = row
    return StatusRecord(
        client_id=client_id,
        thumbprint=thumbprint,
        grant_id=grant_id,
        count=count,
        authorities=read_list(authorities),
        twins=read_list(twins),
        sources=read_list(sources),
        index=index,
        valid=valid == 1,
        created_at=read_time(created_at),
        ends_at=read_time(ends_at),
    )


def chunks(places: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """So many as a database takes in one statement."""
    return (places[at : at + MOST] for at in range(0, len(places), MOST))


def _row(record: StatusRecord) -> dict[str, Any]:
    return {
        "idx": record.index,
        "client_id": record.client_id,
        "thumbprint": record.thumbprint,
        "authorities": write_list(record.authorities),
        "twins": write_list(record.twins),
        "valid": record.valid,
        "created_at": record.created_at,
        "ends_at": record.ends_at,
        "count": record.count,
        "grant_id": record.grant_id,
        "sources": write_list(record.sources),
    }


_random = secrets.SystemRandom()

NUMBER = select(revision.c.statuses).scalar_subquery()
"""In a transaction that moved it, the number under which others hear of its statuses."""
_INVALID = {"valid": False, "revoked_in": NUMBER}

_ADD = Prepared(insert(statuses), [each.name for each in statuses.columns if each is not statuses.c.revoked_in])

_PAGES_IN_USE = Prepared(select(func.count(distinct(statuses.c.idx // PAGE))))


def _lies_in(column: ColumnElement[int]) -> ColumnElement[bool]:
    return column.between(bindparam("first"), bindparam("last"))


_IS_IN_USE = Prepared(
    select(
        type_coerce(
            or_(*(exists().where(_lies_in(table.c.idx)) for table in (statuses, invalid_statuses))),
            Integer,
        )
    )
)
# The others are of a token that is gone, long after its block: no other token may have that place.
_ALONE = select(invalid_statuses.c.idx, type_coerce(1, Integer)).where(_lies_in(invalid_statuses.c.idx))
_TAKEN = Prepared(select(statuses.c.idx, statuses.c.count).where(_lies_in(statuses.c.idx)).union_all(_ALONE))
_last = (
    select(statuses.c.idx, statuses.c.count)
    .where(statuses.c.idx.between(bindparam("page"), bindparam("last")))
    .order_by(statuses.c.idx.desc())
    .limit(1)
    .subquery()
)
_TAKEN_AT = Prepared(select(_last.c.idx, _last.c.count).union_all(_ALONE))
"""In one slot: no block begins behind the last one and reaches into it."""

_KEYS: BindParameter[Any] = bindparam("keys", expanding=True)
_ENABLED = Prepared(select(clients.c.client_id).where(clients.c.client_id.in_(_KEYS), clients.c.enabled.is_(True)))
# The kinds are no parameters: a few texts, each found by its key, however many others are revoked.
_REVOKED = Prepared(
    select(revocations.c.kind, revocations.c.value).where(
        revocations.c.kind.in_(
            [literal_column(f"'{each}'") for each in (RevokedKind.CERTIFICATE, RevokedKind.AUTHORITY)]
        ),
        revocations.c.value.in_(_KEYS),
    )
)
_GRANTED = Prepared(
    select(grants.c.grant_id, grants.c.ends_at).where(grants.c.grant_id.in_(_KEYS), grants.c.valid.is_(True))
)
_VALID = Prepared(select(statuses.c.idx).where(statuses.c.idx.in_(_KEYS), statuses.c.valid.is_(True)))

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
    statuses.c.count,
    statuses.c.grant_id,
    statuses.c.sources,
)
