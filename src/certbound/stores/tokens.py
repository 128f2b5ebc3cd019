"""Opaque access tokens, and values that count once, over any database that SQLAlchemy speaks to.

Rules kept here:
- what is written for a request shares transactions, and takes no lock but those of its own rows;
- whether a value was used is decided by the statement that writes it: no question comes before;
- rows are written in the order of their keys: of two transactions that meet on several rows one waits for the other,
  and not each for each.
"""

import hashlib
import logging
from binascii import b2a_base64
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from operator import attrgetter
from typing import Any

from sqlalchemy import bindparam, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from certbound.core.errors import StoreUnavailable
from certbound.core.ports import AccessTokenRecord
from certbound.stores.batches import Batches
from certbound.stores.content import read_object, write_json
from certbound.stores.database import Database, can_be_kept
from certbound.stores.prepared import Hands, Prepared
from certbound.stores.purge import purge
from certbound.stores.schema import access_tokens, used


@dataclass(frozen=True, slots=True)
class _Token:
    digest: str
    claims: str
    ends_at: float


@dataclass(frozen=True, slots=True)
class _Use:
    digest: str
    ends_at: float
    now: float


class SqlTokens:
    """Opaque access tokens, a row each, and the hashes of used values, a row each."""

    def __init__(self, database: Database) -> None:
        self._database = database
        adding = database.insert_into(access_tokens).on_conflict_do_nothing()
        self._write = database.prepare(adding, [column.name for column in access_tokens.columns])
        self._first_use = _first_use(database)
        self._adding: Batches[_Token, None] = Batches(self._add, patience=database.patience)
        self._finding: Batches[str, AccessTokenRecord | None] = Batches(self._find, patience=database.patience)
        self._using: Batches[_Use, bool] = Batches(self._use, patience=database.patience)

    async def add(self, record: AccessTokenRecord) -> None:
        """It is kept until it ends.  Those who add at once share a transaction."""
        if not can_be_kept(record.digest):
            raise StoreUnavailable("the digest of a token must be text without NUL")
        claims = write_json(record.claims, "what an access token says")
        await self._adding.ask(_Token(record.digest, claims, record.ends_at))

    async def find(self, digest: str, *, now: float) -> AccessTokenRecord | None:
        """What was added, or None; also if it has ended.  Those who look at once ask together."""
        if not can_be_kept(digest):
            return None
        found = await self._finding.ask(digest)
        return None if found is None or found.ends_at < now else found

    async def _find(self, some: Sequence[str]) -> Sequence[AccessTokenRecord | None]:
        rows = {row[0]: row for row in await self._database.find(_THERE, {"digests": [*set(some)]})}
        return [_token(rows[each]) if each in rows else None for each in some]

    async def remove(self, digest: str) -> None:
        """It is gone, if it was there."""
        if not can_be_kept(digest):
            return

        async def steps(connection: AsyncConnection) -> None:
            await connection.execute(delete(access_tokens).where(access_tokens.c.digest == digest))

        await self._database.write(steps)

    async def use(self, purpose: str, value: str, *, until: float, now: float) -> bool:
        """True for the first who uses this value for this purpose, False for all others before `until`."""
        return await self._using.ask(_Use(_hash(purpose, value), until, now))

    async def purge(self, *, now: float, most: int = 500) -> int:
        """How many ended records of any kind are gone now."""
        return await purge(self._database, now, most)

    async def _add(self, some: Sequence[_Token]) -> Sequence[None]:
        rows = [
            {"digest": each.digest, "claims": each.claims, "ends_at": each.ends_at}
            for each in sorted(some, key=attrgetter("digest"))
        ]
        await self._write(rows)
        return [None] * len(some)

    async def _use(self, some: Sequence[_Use]) -> Sequence[bool]:
        order = sorted(range(len(some)), key=lambda at: some[at].digest)  # of equal ones, who came first is first

        async def steps(hands: Hands) -> Sequence[bool]:
            first = {at: (await hands.run(self._first_use, asdict(some[at]))).changed == 1 for at in order}
            return [first[at] for at in range(len(some))]

        return await self._database.write_prepared(steps)


def _first_use(database: Database) -> Prepared:
    """Writes a value that nobody had used."""
    # A row that has ended, which nobody purged yet, is written anew; one that has not is left alone and not counted.
    statement = database.insert_into(used)
    unless_it_lives = statement.on_conflict_do_update(
        index_elements=[used.c.digest],
        set_={"ends_at": statement.excluded.ends_at},
        where=used.c.ends_at < bindparam("now"),
    )
    return Prepared(unless_it_lives, [column.name for column in used.columns])


def _token(row: Sequence[Any]) -> AccessTokenRecord | None:
    """The record of a row; None if a hand wrote what cannot be read."""
    digest, stored, ends_at = row
    claims = read_object(stored)
    if claims is None or not isinstance(ends_at, float):
        _log.warning("the access token with the hash %s cannot be read; it counts for nothing", digest)
        return None
    return AccessTokenRecord(digest=digest, claims=claims, ends_at=ends_at)


def _hash(purpose: str, value: str) -> str:
    """One text for both, that no other two have; of any text, half a surrogate pair included."""
    parts = (hashlib.sha256(each.encode("utf-8", "surrogatepass")).digest() for each in (purpose, value))
    return b2a_base64(hashlib.sha256(b"".join(parts)).digest(), newline=False).decode()


_log = logging.getLogger(__name__)

_THERE = Prepared(select(access_tokens).where(access_tokens.c.digest.in_(bindparam("digests", expanding=True))))
