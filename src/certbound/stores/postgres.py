"""PostgreSQL, the store that several servers share.

Rules kept here:
- the address says all: nothing is taken from `~/.postgresql` or `PGSSLMODE`.  To another host it is TLS with
  certificate and name verified, unless the address says otherwise;
- every wait ends: for a connection, for a lock, for a statement, for a server that does not say it is gone; and a
  process that stops in the middle of a change loses the lock;
- what was answered survives: `synchronous_commit` is never off;
- a connection that ended, or that nobody used for a minute, is replaced before it is lent, so that a server that
  restarts costs only what was under way;
- a question is one round trip, without a transaction around it;
- where rows come and go quickly, their room is free again before autovacuum, which looks once a minute, would see it.
"""

import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

import asyncpg
from sqlalchemy import URL, AsyncAdaptedQueuePool, NullPool, Table, event, text
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from certbound.core.errors import ConfigurationError
from certbound.stores.bell import CHANNEL, PostgresBell
from certbound.stores.database import Access

_PATIENCE = 5.0
_CONNECTIONS = 8
_MIGRATION = 60.0
"""Seconds that a migration waits for a lock; the statements of one may take any time."""
_IDLE = 60.0


@dataclass(frozen=True, slots=True)
class Address:
    """Where the database is and how it is spoken to."""

    dsn: str = field(repr=False)
    tls: ssl.SSLContext | bool
    patience: float
    connections: int

    async def connect(self, *, migrating: bool = False) -> Any:
        """A connection of which every wait ends; `ConfigurationError` if the database cannot hold every text."""
        connection = await asyncpg.connect(
            self.dsn,
            ssl=self.tls,
            timeout=max(self.patience, 1),
            command_timeout=None if migrating else 3 * self.patience + 1,
            server_settings={"application_name": "certbound"},
        )
        try:
            await connection.execute(_settings(_MIGRATION if migrating else self.patience, bounded=not migrating))
            _check_encoding(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection


def postgres_access(url: URL) -> Access:
    """The way to the database at `url`, which is not touched yet.  `ConfigurationError` if it is no address."""
    address = _address(url)
    bell = PostgresBell(address.connect)
    migrating = _migrating(address)

    async def make() -> None:
        """The database is an administrator's to make."""

    async def reclaim(table: Table, gone: int) -> bool:
        async with migrating.connect() as connection:
            if not await connection.scalar(_MUCH_IS_DEAD, {"name": table.name, "gone": gone}):
                return False
            await connection.exec_driver_sql(f"VACUUM (SKIP_LOCKED, TRUNCATE FALSE) {table.name}")
            return True

    return Access(
        engine=_engine(address),
        migrating=migrating,
        one_writer=False,
        # Whatever a role's default is: the revision's row is the lock, and what is read after it is what stands.
        writing={"isolation_level": "READ COMMITTED"},
        patience=address.patience,
        is_there=lambda: True,
        make=make,
        lock_schema=_lock_schema,
        reclaim=reclaim,
        bell=bell,
    )


def _engine(address: Address) -> AsyncEngine:
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=address.connect,
        poolclass=AsyncAdaptedQueuePool,
        pool_size=address.connections,
        max_overflow=0,
        pool_timeout=max(address.patience, 1),
        pool_use_lifo=True,
        # A question is its own transaction; `Database` says where one of more statements begins.
        isolation_level="AUTOCOMMIT",
        hide_parameters=True,
    )
    event.listen(engine.sync_engine, "checkout", _check)
    event.listen(engine.sync_engine, "checkin", _note)
    return engine


def _migrating(address: Address) -> AsyncEngine:
    async def connect() -> Any:
        return await address.connect(migrating=True)

    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
        hide_parameters=True,
    )


def _check(connection: Any, record: Any, _: Any) -> None:
    unused = time.monotonic() - record.info.get(_USED, time.monotonic())
    # A server that ended has closed the socket, and the loop has seen it; a firewall that forgot us says nothing.
    if connection.driver_connection.is_closed() or unused > _IDLE:
        raise DisconnectionError("the connection has ended or is too old")


def _note(_: Any, record: Any) -> None:
    record.info[_USED] = time.monotonic()


async def _lock_schema(connection: AsyncConnection) -> None:
    """Until this transaction ends, no other process migrates, and none changes what it has a number for."""
    await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _KEY})
    # In the order of every change: the revision before all else, or the two would wait for each other.
    if await connection.scalar(text("SELECT to_regclass('revision') IS NOT NULL")):
        await connection.execute(text("LOCK TABLE revision IN ACCESS EXCLUSIVE MODE"))


def _settings(patience: float, *, bounded: bool) -> str:
    """One statement, so that a new connection costs one round trip more, and none that a pooler would refuse."""
    milliseconds = int(1000 * patience)
    values = {
        "lock_timeout": max(milliseconds, 1),
        "statement_timeout": 2 * milliseconds + 1000 if bounded else 0,
        "idle_in_transaction_session_timeout": milliseconds + 1000,
    }
    calls = [f"set_config('{name}', '{value}', false)" for name, value in values.items()]
    return (
        f"SELECT {', '.join(calls)}, CASE current_setting('synchronous_commit') "
        "WHEN 'off' THEN set_config('synchronous_commit', 'on', false) END"
    )


def _check_encoding(connection: Any) -> None:
    settings = connection.get_settings()
    if settings.server_encoding != "UTF8":
        raise ConfigurationError(
            f"the PostgreSQL database has the encoding {settings.server_encoding}, where not every name can be kept; "
            "create it with ENCODING 'UTF8' TEMPLATE template0"
        )


# Addresses


def _address(url: URL) -> Address:
    query = {name: value if isinstance(value, str) else ",".join(value) for name, value in url.query.items()}
    if strange := sorted(set(query) - _OURS - _TLS - _THEIRS):
        raise _refused(f"has {strange[0]!r}, which is none of {', '.join(sorted(_OURS | _TLS | _THEIRS))}")
    if not url.database:
        raise _refused("names no database")
    if not url.host and not query.get("host"):
        raise _refused("names no host; for the socket of this machine add ?host=/var/run/postgresql")
    for name in sorted(_PATHS & set(query)):
        if not PurePath(query[name]).is_absolute():
            raise _refused(f"has {name}={query[name]!r}; write the whole path")
    theirs = {name: value for name, value in query.items() if name in _THEIRS}
    return Address(
        dsn=url.set(drivername="postgresql", query=theirs).render_as_string(hide_password=False),
        tls=_tls(query, hosts=[host for each in (url.host, query.get("host")) if each for host in each.split(",")]),
        patience=_number(query, "timeout", _PATIENCE, least=0.1, most=600),
        connections=int(_number(query, "pool", _CONNECTIONS, least=2, most=200)),
    )


def _number(query: Mapping[str, str], name: str, default: float, *, least: float, most: float) -> float:
    written = query.get(name, str(default))
    try:
        number = float(written)
    except ValueError:
        number = -1
    if not least <= number <= most:
        raise _refused(f"has {name}={written!r}, which is no number between {least:g} and {most:g}")
    return number


def _tls(query: Mapping[str, str], hosts: list[str]) -> ssl.SSLContext | bool:
    near = all(_is_here(host) for host in hosts)
    mode = query.get("sslmode", "disable" if near and not _TLS & set(query) else "verify-full")
    if mode not in _MODES:
        raise _refused(f"has sslmode={mode!r}; write one of {', '.join(_MODES)}")
    if mode == "disable":
        return False
    if mode == "require" and "sslrootcert" in query:
        mode = "verify-ca"  # as libpq has it
    try:
        context = ssl.create_default_context(cafile=query.get("sslrootcert"))
        context.check_hostname = mode == "verify-full"
        context.verify_mode = ssl.CERT_NONE if mode == "require" else ssl.CERT_REQUIRED
        if "sslcert" in query:
            # No password is asked for at the terminal.
            context.load_cert_chain(query["sslcert"], query.get("sslkey"), password="")
    except OSError as error:  # `ssl.SSLError` too
        files = ", ".join(query[name] for name in ("sslrootcert", "sslcert", "sslkey") if name in query)
        raise _refused(f"names files for TLS that cannot be used ({files}): {error}") from error
    return context


def _is_here(host: str) -> bool:
    return host.startswith("/") or host in {"localhost", "127.0.0.1", "::1", "[::1]"}


def _refused(problem: str) -> ConfigurationError:
    return ConfigurationError(f"the PostgreSQL address of the store {problem}")


_USED = "certbound_used_at"
_KEY = int.from_bytes(CHANNEL[:7].encode())
"""Of the advisory lock."""

# What this process knows it removed, or what the server heard of from all, a second later.
_MUCH_IS_DEAD = text(
    "SELECT greatest(n_dead_tup, :gone) > 2000 + 0.03 * n_live_tup "
    "FROM pg_stat_user_tables WHERE relid = to_regclass(:name)"
)

_OURS = {"timeout", "pool"}
_TLS = {"sslmode", "sslrootcert", "sslcert", "sslkey"}
_THEIRS = {"host", "port", "passfile", "target_session_attrs"}
_PATHS = {"sslrootcert", "sslcert", "sslkey", "passfile"}
_MODES = ("verify-full", "verify-ca", "require", "disable")
