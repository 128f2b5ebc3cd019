"""Signing keys, a row each.

Rule: all keys are read by one statement, and so are consistent; there are seldom more than four.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from sqlalchemy import LargeBinary, cast, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from certbound.core.errors import StoreUnavailable
from certbound.core.ports import AlreadyExists, KeyRecord
from certbound.stores.database import Database, can_be_kept
from certbound.stores.schema import signing_keys


class SqlKeys:
    """As `certbound.core.ports.Keys`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self) -> Sequence[KeyRecord]:
        """All keys, oldest first."""
        return await self._database.ask(_keys)

    async def add(self, record: KeyRecord) -> None:
        """The key is stored.  `AlreadyExists` if its kid is there."""

        async def steps(connection: AsyncConnection, _: int) -> None:
            if any(key.kid == record.kid for key in await _keys(connection)):
                raise AlreadyExists(record.kid)
            await _add_key(connection, record)

        await self._database.change(steps)

    async def add_first(self, record: KeyRecord) -> KeyRecord:
        """The oldest key: `record` if there was none, else the one that was there.  Atomic between processes."""
        there = await self.list()  # nearly always; then nothing is locked and the revision stays
        if there:
            return there[0]
        try:
            return await self._database.change(_first_key(record))
        except _Undone as found:
            return found.keys[0]

    async def exchange(self, before: Sequence[KeyRecord], after: Sequence[KeyRecord]) -> bool:
        """`after` are all keys, if `before` were; else False, and nothing changed.  Atomic between processes."""
        if _sorted(before) == _sorted(after):
            return _sorted(before) == await self.list()

        async def steps(connection: AsyncConnection, _: int) -> None:
            there = await _keys(connection)
            if there != _sorted(before):
                raise _Undone(there)
            await connection.execute(delete(signing_keys).where(signing_keys.c.kid.in_([key.kid for key in before])))
            for key in after:
                await _add_key(connection, key)

        try:
            await self._database.change(steps)
        except _Undone:
            return False
        return True


class _Undone(Exception):
    """Undoes a change that turned out to be none; `keys` are those that were there."""

    def __init__(self, keys: Sequence[KeyRecord]) -> None:
        super().__init__()
        self.keys = keys


def _first_key(record: KeyRecord) -> Callable[[AsyncConnection, int], Awaitable[KeyRecord]]:
    async def steps(connection: AsyncConnection, _: int) -> KeyRecord:
        there = await _keys(connection)
        if there:
            raise _Undone(there)
        await _add_key(connection, record)
        return record

    return steps


async def _keys(connection: AsyncConnection) -> Sequence[KeyRecord]:
    rows = (await connection.execute(_ALL_KEYS)).all()
    return _sorted([record for row in rows if (record := _key(row))])


def _sorted(keys: Sequence[KeyRecord]) -> Sequence[KeyRecord]:
    return sorted(keys, key=lambda key: (key.created_at, key.kid))


async def _add_key(connection: AsyncConnection, record: KeyRecord) -> None:
    if not can_be_kept(record.kid):
        raise StoreUnavailable("a kid must be text without NUL")
    values = {
        "kid": record.kid,
        "alg": record.alg,
        "private_key": record.private_key,
        "created_at": record.created_at,
        "signs_from": record.signs_from,
        "signs_until": record.signs_until,
        "published_until": record.published_until,
    }
    await connection.execute(insert(signing_keys).values(values))


def _key(row: Sequence[Any]) -> KeyRecord | None:
    """The record of a row; None if it cannot be read."""
    kid, alg, private_key, created_at, signs_from, signs_until, published_until = row
    are_times = isinstance(created_at, float) and isinstance(signs_from, float)
    ends = (signs_until, published_until)
    are_times = are_times and all(each is None or isinstance(each, float) for each in ends)
    if not (can_be_kept(kid) and isinstance(alg, str) and are_times):
        _log.warning("the signing key with the kid %r cannot be read; it is left out", kid)
        return None
    return KeyRecord(
        kid=kid,
        alg=alg,
        private_key=private_key,
        created_at=created_at,
        signs_from=signs_from,
        signs_until=signs_until,
        published_until=published_until,
    )


_log = logging.getLogger(__name__)

# The cast: who pastes a PEM with the sqlite3 command stores text, and it is a key all the same.
_ALL_KEYS = select(
    signing_keys.c.kid,
    signing_keys.c.alg,
    cast(signing_keys.c.private_key, LargeBinary),
    signing_keys.c.created_at,
    signing_keys.c.signs_from,
    signing_keys.c.signs_until,
    signing_keys.c.published_until,
)
