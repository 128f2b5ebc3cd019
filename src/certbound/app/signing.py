"""The keys that tokens are signed with: the configured one, or those of the store."""

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

from certbound.app.files import read_file
from certbound.app.running import running
from certbound.app.storage import opened_store
from certbound.core.errors import ConfigurationError
from certbound.core.ports import Store
from certbound.core.signing import PublicKey, SigningKey
from certbound.core.succession import DAY, Schedule
from certbound.server.key_keeper import KeyKeeper, password_hint
from certbound.server.keys import KeyRing
from certbound.settings import Settings


async def signing_keys(settings: Settings, store: Store) -> KeyRing:
    """The keys tokens are signed with, as they are now: the configured one, or those of the store.

    A store without a key gets one.  `ConfigurationError` names a key that cannot be opened.
    """
    return _configured_key(settings) or await key_keeper(settings, store).open()


@contextlib.asynccontextmanager
async def open_keys(settings: Settings, store: Store) -> AsyncIterator[KeyRing]:
    """As `signing_keys`, and those of the store take turns."""
    configured = _configured_key(settings)
    if configured is not None:
        yield configured
        return
    keeper = key_keeper(settings, store)
    ring = await keeper.open()
    async with running(keeper.run()):
        yield ring


@contextlib.asynccontextmanager
async def open_key_keeper(settings: Settings, actor: str) -> AsyncIterator[KeyKeeper]:
    """The use cases around the keys in the store; `actor` is who asks, for the audit."""
    if settings.keys.file is not None:
        raise ConfigurationError(
            f"keys.file names the key that signs, {settings.keys.file}; those in the store do not, while it does"
        )
    async with opened_store(settings) as store:
        yield key_keeper(settings, store, actor)


def key_keeper(settings: Settings, store: Store, actor: str = "") -> KeyKeeper:
    """Who looks after the keys in the store, as this deployment wants it."""
    asked = settings.keys
    return KeyKeeper(
        store,
        alg=asked.algorithm,
        schedule=Schedule(period=asked.rotate_days * DAY if asked.rotate_days else None),
        password=asked.password,
        actor=actor,
    )


K = TypeVar("K", bound=PublicKey)


def _configured_key(settings: Settings) -> KeyRing | None:
    if settings.keys.file is None:
        return None
    signing = _key_in(settings.keys.file, "keys.file", SigningKey.load, settings)
    others = [_key_in(file, "keys.published", PublicKey.read, settings) for file in settings.keys.published]
    return KeyRing.of(signing, others=others)


def _key_in(file: Path, key: str, read: Callable[..., K], settings: Settings) -> K:
    pem, password = read_file(file, key), settings.keys.password
    try:
        return read(pem, password=password, alg=settings.keys.algorithm)
    except ConfigurationError as error:
        raise ConfigurationError(f"{key}: {file}: {error}{password_hint(pem, password)}") from error
