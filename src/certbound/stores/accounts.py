"""Accounts and sessions, over any database that SQLAlchemy speaks to.

Rules kept here:
- with an account goes everything that is from its person, in one transaction behind the lock of all changes;
- what stands in the database was perhaps edited by hand: a session that cannot be read is none; of accounts, and
  consents, `standing` says it.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from certbound.core.errors import StoreUnavailable
from certbound.core.ports import AccountRecord, AlreadyExists, NotFound, PutOut, SessionRecord
from certbound.stores.content import read_json, read_time, write_json, write_object
from certbound.stores.database import Database, can_be_kept
from certbound.stores.grants import NothingThere, end_grants_from
from certbound.stores.prepared import Hands, Prepared
from certbound.stores.schema import accounts, consents, pairwise_subjects, sessions
from certbound.stores.standing import ACCOUNT, ACCOUNT_OF, read_account


class SqlAccounts:
    """A row each."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, username: str) -> AccountRecord | None:
        """The account, or None."""
        return await self._find(_OF_NAME, username)

    async def find_subject(self, subject: str) -> AccountRecord | None:
        """The account with that subject, or None."""
        return await self._find(ACCOUNT_OF, subject)

    async def list(self) -> Sequence[AccountRecord]:
        """All accounts by `username`, in the order of code points."""

        async def question(connection: AsyncConnection) -> Sequence[AccountRecord]:
            rows = (await connection.execute(_ALL)).all()
            found = [account for row in rows if (account := read_account(row))]
            return sorted(found, key=lambda account: account.username)

        return await self._database.ask(question)

    async def add(self, record: AccountRecord) -> AccountRecord:
        """`record` as stored.  `AlreadyExists` if its name or subject is taken."""
        values, stored = _write(record)

        async def steps(connection: AsyncConnection) -> AccountRecord:
            first = {"subject": record.subject, "created_at": record.created_at, "version": 1}
            try:
                await connection.execute(insert(accounts).values({**values, **first}))
            except IntegrityError:
                raise AlreadyExists(record.username) from None
            return replace(stored, version=1)

        return await self._database.write(steps)

    async def replace(self, record: AccountRecord) -> AccountRecord:
        """`record` stands where that of the same subject and `version` stood."""
        values, stored = _write(record)

        async def steps(connection: AsyncConnection) -> AccountRecord:
            same = (accounts.c.subject == record.subject) & (accounts.c.version == record.version)
            version = record.version + 1
            try:
                changed = await connection.execute(update(accounts).where(same).values({**values, "version": version}))
            except IntegrityError:
                raise AlreadyExists(record.username) from None
            if changed.rowcount == 0:
                raise NotFound(record.subject)
            created_at = await connection.scalar(
                select(accounts.c.created_at).where(accounts.c.subject == record.subject)
            )
            return replace(stored, version=version, created_at=read_time(created_at))

        return await self._database.write(steps)

    async def end_all(self, subject: str) -> None:
        """The person's sessions are gone, and their grants revoked."""
        if not (subject and can_be_kept(subject)):
            return

        async def steps(connection: AsyncConnection) -> None:
            if not await _end_all(connection, subject):
                raise NothingThere

        with suppress(NothingThere):
            await self._database.change_statuses(steps)

    async def put_out(self, subject: str) -> PutOut:
        """As `end_all`, and the person's consents are gone too."""
        nothing = PutOut(sessions=0, clients=())
        if not (subject and can_be_kept(subject)):
            return nothing

        async def steps(connection: AsyncConnection) -> PutOut:
            theirs = delete(consents).where(consents.c.subject == subject)
            gone = (await connection.execute(theirs.returning(consents.c.client_id, consents.c.created_at))).all()
            ended = await _end_all(connection, subject)
            if not (gone or ended):
                raise NothingThere
            latest_first = sorted(gone, key=lambda row: (-read_time(row.created_at), row.client_id))
            return PutOut(sessions=ended.sessions, clients=tuple(row.client_id for row in latest_first))

        try:
            return await self._database.change_statuses(steps)
        except NothingThere:
            return nothing

    async def remove(self, subject: str) -> None:
        """The account is gone, with all that is from its person.  `NotFound` if it was not there."""
        if not can_be_kept(subject):
            raise NotFound(subject)

        async def steps(connection: AsyncConnection) -> None:
            gone = await connection.execute(delete(accounts).where(accounts.c.subject == subject))
            if gone.rowcount == 0:
                raise NotFound(subject)
            for table in (consents, pairwise_subjects):
                await connection.execute(delete(table).where(table.c.subject == subject))
            await _end_all(connection, subject)

        await self._database.change_statuses(steps)

    async def _find(self, question: Prepared, key: str) -> AccountRecord | None:
        if not can_be_kept(key):
            return None
        rows = await self._database.find(question, {"key": key})
        return read_account(rows[0]) if rows else None


class SqlSessions:
    """A row each."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, record: SessionRecord) -> None:
        """It is kept until it ends."""
        if not can_be_kept(record.digest, record.subject, record.sid, record.acr):
            raise StoreUnavailable("a session is of ids, text without NUL")
        values = {
            "digest": record.digest,
            "subject": record.subject,
            "sid": record.sid,
            "auth_time": record.auth_time,
            "acr": record.acr,
            "amr": write_json(record.amr, "the methods of a login"),
            "created_at": record.created_at,
            "ends_at": record.ends_at,
        }

        async def steps(hands: Hands) -> None:
            await hands.run(_BEGIN, values)

        await self._database.write_prepared(steps)

    async def find(self, digest: str, *, now: float) -> SessionRecord | None:
        """It, or None; also if it has ended at `now`."""
        if not can_be_kept(digest):
            return None
        rows = await self._database.find(_LIVES, {"key": digest, "now": now})
        return _session(rows[0]) if rows else None

    async def end(self, digest: str) -> None:
        """It is gone, if it was there."""
        if can_be_kept(digest):
            await self._end(sessions.c.digest == digest)

    async def end_all(self, subject: str) -> int:
        """How many of this person are gone now."""
        return await self._end(sessions.c.subject == subject) if can_be_kept(subject) else 0

    async def _end(self, which: ColumnElement[bool]) -> int:
        async def steps(connection: AsyncConnection) -> int:
            return (await connection.execute(delete(sessions).where(which))).rowcount

        return await self._database.write(steps)


class _Ended(NamedTuple):
    """How many of a person's there were."""

    sessions: int
    grants: int

    def __bool__(self) -> bool:
        return any(self)


async def _end_all(connection: AsyncConnection, subject: str) -> _Ended:
    """The person's sessions and grants; a part of a transaction that moves the number of statuses."""
    gone = await connection.execute(delete(sessions).where(sessions.c.subject == subject))
    return _Ended(gone.rowcount, await end_grants_from(connection, subject))


def _session(row: Sequence[Any]) -> SessionRecord | None:
    digest, subject, sid, auth_time, acr, stored, created_at, ends_at = row
    amr = read_json(stored, tuple[str, ...])
    times = all(isinstance(each, float) for each in (auth_time, created_at, ends_at))
    if amr is None or not times or not can_be_kept(subject, sid, acr):
        _log.warning("a session of %r cannot be read; it counts for nothing", subject)
        return None
    return SessionRecord(
        digest=digest,
        subject=subject,
        sid=sid,
        auth_time=auth_time,
        acr=acr,
        amr=amr,
        created_at=created_at,
        ends_at=ends_at,
    )


def _write(record: AccountRecord) -> tuple[dict[str, Any], AccountRecord]:
    """The columns that a change sets, and the record as it will be read."""
    if not can_be_kept(record.subject, record.username, record.password):
        raise StoreUnavailable("an account has a subject, a name and a password of text without NUL")
    text, claims = write_object(record.claims, f"what is known of {record.username!r}")
    values = {
        "username": record.username,
        "password": record.password,
        "claims": text,
        "enabled": record.enabled,
        "password_at": record.password_at,
    }
    return values, replace(record, claims=claims)


_log = logging.getLogger(__name__)

_ALL = select(*ACCOUNT)
_OF_NAME = Prepared(_ALL.where(accounts.c.username == bindparam("key")))

_BEGIN = Prepared(insert(sessions), [column.name for column in sessions.columns])
_LIVES = Prepared(select(sessions).where(sessions.c.digest == bindparam("key"), sessions.c.ends_at >= bindparam("now")))
