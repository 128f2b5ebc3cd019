"""The store of `certbound.core.ports`, over any database that SQLAlchemy speaks to.

Rules kept here:
- `version` is the revision of the change that made the state, so it never repeats;
- what stands in the database was perhaps edited by hand: a client that cannot be read is a disabled client and a
  line in the log, never an exception;
- identifiers are compared and sorted by code point, whatever the database's collation.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Integer, delete, insert, select, type_coerce, update
from sqlalchemy.ext.asyncio import AsyncConnection

from certbound.core.errors import StoreUnavailable
from certbound.core.ports import (
    AlreadyExists,
    ClientRecord,
    NotFound,
    RegistrationRecord,
    Revision,
    RevokedKind,
    SecretRecord,
)
from certbound.stores.accounts import SqlAccounts, SqlSessions
from certbound.stores.consents import SqlConsents, SqlSubjects
from certbound.stores.content import read_json, read_object, write_json, write_object
from certbound.stores.database import Database, can_be_kept, revision_of
from certbound.stores.descent import end_obtained, name_of
from certbound.stores.grants import SqlGrants, end_grants_of
from certbound.stores.initial_tokens import SqlInitialTokens
from certbound.stores.revocations import SqlRevocations
from certbound.stores.schema import clients, consents, revocations
from certbound.stores.signing_keys import SqlKeys
from certbound.stores.statuses import Allotments, invalidate_client_statuses
from certbound.stores.tickets import SqlTickets
from certbound.stores.tokens import SqlTokens


class SqlStore:
    """All that survives a restart, in one SQL database.  For one event loop; other processes have their own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        allotments = Allotments(database)
        self._clients = SqlClients(database)
        self._keys = SqlKeys(database)
        self._revocations = SqlRevocations(database, allotments)
        self._grants = SqlGrants(database, allotments)
        self._tokens = SqlTokens(database)
        self._initial_tokens = SqlInitialTokens(database)
        self._tickets = SqlTickets(database)
        self._accounts = SqlAccounts(database)
        self._sessions = SqlSessions(database)
        self._consents = SqlConsents(database)
        self._subjects = SqlSubjects(database)

    @property
    def clients(self) -> "SqlClients":
        """Registered clients."""
        return self._clients

    @property
    def keys(self) -> SqlKeys:
        """Signing keys."""
        return self._keys

    @property
    def revocations(self) -> SqlRevocations:
        """What was revoked here, and the statuses of tokens."""
        return self._revocations

    @property
    def grants(self) -> SqlGrants:
        """What clients hold refresh tokens for."""
        return self._grants

    @property
    def tokens(self) -> SqlTokens:
        """Opaque access tokens, and values that count once."""
        return self._tokens

    @property
    def initial_tokens(self) -> SqlInitialTokens:
        """What admits clients that register themselves."""
        return self._initial_tokens

    @property
    def tickets(self) -> SqlTickets:
        """What stands for something that was begun, and is taken once."""
        return self._tickets

    @property
    def accounts(self) -> SqlAccounts:
        """The people who log in here."""
        return self._accounts

    @property
    def sessions(self) -> SqlSessions:
        """Those who are logged in."""
        return self._sessions

    @property
    def consents(self) -> SqlConsents:
        """What they let clients do."""
        return self._consents

    @property
    def subjects(self) -> SqlSubjects:
        """What clients of one sector know them by."""
        return self._subjects

    async def revision(self) -> Revision:
        """Two numbers that tell of the last committed changes, whichever process made them."""
        return await self._database.ask(revision_of)

    async def changed(self, *, timeout: float) -> None:  # noqa: ASYNC109 - it is no failure when it ends
        """Returns soon after another process changed something, or after `timeout` seconds."""
        await self._database.changed(timeout=timeout)

    async def close(self) -> None:
        """Connections are closed.  A second time changes nothing."""
        await self._database.close()


class SqlClients:
    """Registered clients, a row each."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, client_id: str) -> ClientRecord | None:
        """The client, or None."""
        if not can_be_kept(client_id):
            return None

        async def question(connection: AsyncConnection) -> ClientRecord | None:
            row = (await connection.execute(_ALL_CLIENTS.where(_is(client_id)))).first()
            return None if row is None else _client(row)

        return await self._database.ask(question)

    async def list(self, *, limit: int | None = None) -> Sequence[ClientRecord]:
        """All clients by `client_id`, or so many of them."""

        async def question(connection: AsyncConnection) -> Sequence[ClientRecord]:
            rows = (await connection.execute(_ALL_CLIENTS.limit(limit))).all()
            records = [record for row in rows if (record := _client(row))]
            return sorted(records, key=lambda record: record.client_id)

        return await self._database.ask(question)

    async def add(self, record: ClientRecord) -> ClientRecord:
        """`record` as stored.  `AlreadyExists` if the id is taken."""
        values, metadata = _write(record)

        async def steps(connection: AsyncConnection, revision: int) -> ClientRecord:
            taken = await connection.scalar(select(clients.c.version).where(_is(record.client_id)))
            if taken is not None:
                raise AlreadyExists(record.client_id)
            first = {"client_id": record.client_id, "created_at": record.created_at}
            await connection.execute(insert(clients).values({**values, **first, "version": revision}))
            return replace(record, metadata=metadata, version=revision)

        return await self._database.change(steps)

    async def replace(self, record: ClientRecord) -> ClientRecord:
        """`record` stands where that of the same id and `version` stood.  `NotFound` if there is none such."""
        values, metadata = _write(record)

        async def steps(connection: AsyncConnection, revision: int) -> ClientRecord:
            same = _is(record.client_id) & (clients.c.version == record.version)
            created_at = await connection.scalar(select(clients.c.created_at).where(same))
            if created_at is None:
                raise NotFound(record.client_id)
            await connection.execute(update(clients).where(same).values({**values, "version": revision}))
            return replace(record, metadata=metadata, version=revision, created_at=created_at)

        return await self._database.change(steps)

    async def remove(self, client_id: str) -> None:
        """The client is gone, with its grants and the statuses of its tokens.  `NotFound` if it was not there."""
        if not can_be_kept(client_id):
            raise NotFound(client_id)

        async def steps(connection: AsyncConnection, _: int) -> None:
            gone = await connection.execute(delete(clients).where(_is(client_id)))
            if gone.rowcount == 0:
                raise NotFound(client_id)
            await connection.execute(delete(consents).where(consents.c.client_id == client_id))
            await end_grants_of(connection, client_id)
            await invalidate_client_statuses(connection, client_id)
            await end_obtained(connection, name_of(RevokedKind.CLIENT, client_id))
            # Whoever comes under this id later is somebody else.
            await connection.execute(delete(revocations).where(_is_revoked(client_id)))

        await self._database.change(steps, statuses=True)


def _client(row: Sequence[Any]) -> ClientRecord | None:
    """The record of a row; disabled and without metadata if that cannot be read, None if nobody can name it."""
    client_id, metadata, enabled, version, created_at, secrets, registration = row
    if not can_be_kept(client_id):
        _log.warning("a client with the id %r cannot be read; it is left out", client_id)
        return None
    content, secrets = read_object(metadata), read_json(secrets, tuple[SecretRecord, ...])
    managed = None if registration is None else read_json(registration, RegistrationRecord)
    whole = (
        content is not None
        and secrets is not None
        and (registration is None or managed is not None)
        and isinstance(version, int)
        and isinstance(created_at, float)
    )
    if not whole:
        _log.warning("client %r cannot be read; it counts as disabled", client_id)
    return ClientRecord(
        client_id=client_id,
        metadata=content if whole and content else {},
        enabled=whole and enabled == 1,
        version=version if isinstance(version, int) else 0,
        created_at=created_at if isinstance(created_at, float) else 0,
        secrets=secrets if whole and secrets else (),
        registration=managed if whole else None,
    )


def _write(record: ClientRecord) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The columns that a change sets, and the metadata as it will be read."""
    if not can_be_kept(record.client_id):
        raise StoreUnavailable("a client_id must be text without NUL")
    name = f"client {record.client_id!r}"
    text, metadata = write_object(record.metadata, f"the metadata of {name}")
    values = {
        "metadata": text,
        "enabled": record.enabled,
        "secrets": write_json(record.secrets, f"the secrets of {name}"),
        "registration": write_json(record.registration, f"the registration of {name}") if record.registration else None,
    }
    return values, metadata


def _is(client_id: str) -> ColumnElement[bool]:
    return clients.c.client_id == client_id


def _is_revoked(client_id: str) -> ColumnElement[bool]:
    return (revocations.c.kind == RevokedKind.CLIENT.value) & (revocations.c.value == client_id)


_log = logging.getLogger(__name__)

# As a number: a BOOLEAN of SQLite holds whatever a hand writes into it, and only 1 is true.
_ALL_CLIENTS = select(
    clients.c.client_id,
    clients.c.metadata,
    type_coerce(clients.c.enabled, Integer),
    clients.c.version,
    clients.c.created_at,
    clients.c.secrets,
    clients.c.registration,
)
