"""Initial access tokens of registration, over any database that SQLAlchemy speaks to.

Rule: whether a use is left is decided by the statement that takes it: no question comes before.
"""

import logging
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from certbound.core.errors import StoreUnavailable
from certbound.core.ports import InitialTokenRecord
from certbound.stores.database import Database, can_be_kept
from certbound.stores.schema import initial_tokens


class SqlInitialTokens:
    """A row each."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, *, now: float) -> Sequence[InitialTokenRecord]:
        """Those that count, the oldest first."""

        async def question(connection: AsyncConnection) -> Sequence[InitialTokenRecord]:
            rows = (await connection.execute(select(initial_tokens).where(_counts(now)))).all()
            records = [record for row in rows if (record := _record(row))]
            return sorted(records, key=lambda record: (record.created_at, record.digest))

        return await self._database.ask(question)

    async def add(self, record: InitialTokenRecord) -> None:
        """It is kept until it ends."""
        if not can_be_kept(record.digest, record.label):
            raise StoreUnavailable("the digest and the label of an initial access token must be text without NUL")
        values = {
            "digest": record.digest, "uses": record.uses, "label": record.label,
            "created_at": record.created_at, "ends_at": record.ends_at,
        }  # fmt: skip

        async def steps(connection: AsyncConnection) -> None:
            await connection.execute(insert(initial_tokens).values(values))

        await self._database.write(steps)

    async def find(self, digest: str, *, now: float) -> InitialTokenRecord | None:
        """What was added, or None."""
        if not can_be_kept(digest):
            return None

        async def question(connection: AsyncConnection) -> InitialTokenRecord | None:
            row = (await connection.execute(select(initial_tokens).where(_is(digest), _counts(now)))).first()
            return None if row is None else _record(row)

        return await self._database.ask(question)

    async def take(self, digest: str, *, now: float) -> bool:
        """One use less, and True; False if there is none left."""
        if not can_be_kept(digest):
            return False

        async def steps(connection: AsyncConnection) -> bool:
            less = update(initial_tokens).where(_is(digest), _counts(now)).values(uses=initial_tokens.c.uses - 1)
            return (await connection.execute(less)).rowcount == 1

        return await self._database.write(steps)

    async def remove(self, digest: str) -> bool:
        """It is gone; False if it was not there."""
        if not can_be_kept(digest):
            return False

        async def steps(connection: AsyncConnection) -> bool:
            return (await connection.execute(delete(initial_tokens).where(_is(digest)))).rowcount == 1

        return await self._database.write(steps)


def _is(digest: str) -> ColumnElement[bool]:
    return initial_tokens.c.digest == digest


def _counts(now: float) -> ColumnElement[bool]:
    return (initial_tokens.c.ends_at >= now) & (initial_tokens.c.uses > 0)


def _record(row: Sequence[Any]) -> InitialTokenRecord | None:
    """The record of a row; None if a hand wrote what cannot be read."""
    digest, uses, label, created_at, ends_at = row
    if not (isinstance(uses, int) and isinstance(ends_at, float) and isinstance(created_at, float)):
        _log.warning("the initial access token with the hash %s cannot be read; it counts for nothing", digest)
        return None
    return InitialTokenRecord(digest=digest, uses=uses, label=label, created_at=created_at, ends_at=ends_at)


_log = logging.getLogger(__name__)
