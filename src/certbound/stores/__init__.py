"""What survives a restart: registered clients and signing keys, in SQL.

Rules kept here:
- this room knows SQL and nothing of OAuth; what a store must do stands in `certbound.core.ports`;
- an address that cannot work stops the start with one sentence; stored data never does;
- the schema is brought up to date when a store is opened, by whichever process comes first.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection

from certbound.core.errors import ConfigurationError
from certbound.core.ports import Store
from certbound.stores import migrations
from certbound.stores.database import Access, Database, answering
from certbound.stores.sql import SqlStore
from certbound.stores.sqlite import FORMS, sqlite_access

__all__ = ["migrate", "open_store", "pending"]


async def open_store(url: str) -> Store:
    """The store at `url`, its schema up to date.

    `ConfigurationError` if `url` has no accepted form, its directory is missing, or the database is of a
    newer schema; `StoreUnavailable` if the database does not answer.
    """
    database, _ = await _open(url)
    return SqlStore(database)


async def migrate(url: str) -> Sequence[str]:
    """The database at `url` exists and its schema is up to date; the steps that took, none if it was.

    Raises what `open_store` raises.
    """
    database, steps = await _open(url)
    await database.close()
    return steps


async def pending(url: str) -> Sequence[str]:
    """The steps that `migrate` would take.  Nothing is made or changed; raises what `open_store` raises."""
    access = _access(url)
    if not access.is_there():
        return migrations.every()
    database = Database(access)
    try:
        return await database.ask(_pending)
    finally:
        await database.close()


async def _open(url: str) -> tuple[Database, Sequence[str]]:
    access = _access(url)
    database = Database(access)
    try:
        with answering():
            await access.make()
        # The question first: who finds nothing to do waits for no other process.
        lacking = await database.ask(_pending)
        return database, await database.migrate(migrations.upgrade) if lacking else ()
    except BaseException:
        await database.close()
        raise


async def _pending(connection: AsyncConnection) -> Sequence[str]:
    return await connection.run_sync(migrations.pending)


def _access(url: str) -> Access:
    try:
        parsed = make_url(url)
        kind = _KINDS.get(parsed.drivername)
    except (ArgumentError, ValueError):
        kind = None
    if kind is None:
        forms = f"{FORMS}, postgresql://user@host/database"
        raise ConfigurationError(f"store {_shown(url)!r} has no accepted form; write one of {forms}")
    return kind(parsed)


def _postgres_access(url: URL) -> Access:
    try:
        from certbound.stores.postgres import postgres_access  # noqa: PLC0415 - who has SQLite needs no driver for it
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"a store on PostgreSQL needs {error.name}: pip install 'certbound[server,postgresql]'"
        ) from error
    return postgres_access(url)


def _shown(url: str) -> str:
    """The address without a password, even where it is no address."""
    return re.sub(r"(?<=:)(?!//).*(?=@)|(?<=password=)[^&]*", "***", url, flags=re.DOTALL)


_KINDS: Mapping[str, Callable[[URL], Access]] = {
    "sqlite": sqlite_access,
    "sqlite+aiosqlite": sqlite_access,
    "postgresql": _postgres_access,
    "postgresql+asyncpg": _postgres_access,
}
