"""The store of this deployment, and the use cases that need nothing else."""

import contextlib
import time
from collections.abc import AsyncIterator

from certbound.app.policy import allowed
from certbound.app.trusted import anchor_files
from certbound.core.errors import ConfigurationError
from certbound.core.ports import Store
from certbound.server.clients import ClientRegistry
from certbound.server.revocation import Revoker
from certbound.settings import Settings
from certbound.stores import open_store


@contextlib.asynccontextmanager
async def opened_store(settings: Settings) -> AsyncIterator[Store]:
    """The store of `settings`, closed at the end.  `ConfigurationError` says that it is `store.url` that names none."""
    try:
        store = await open_store(settings.store.url)
    except ConfigurationError as error:
        raise ConfigurationError(f"store.url: {error}") from error
    try:
        yield store
    finally:
        await store.close()


@contextlib.asynccontextmanager
async def open_registry(settings: Settings, actor: str = "") -> AsyncIterator[ClientRegistry]:
    """The use cases around clients, as this deployment allows them; `actor` is who asks, for the audit."""
    anchors = anchor_files(settings)
    async with opened_store(settings) as store:
        yield ClientRegistry(store, allowed(settings, anchors), settings.tokens.bind, time.time, actor)


@contextlib.asynccontextmanager
async def open_revoker(settings: Settings, actor: str) -> AsyncIterator[Revoker]:
    """The use cases around revocation; `actor` is who asks, for the audit line."""
    async with opened_store(settings) as store:
        yield Revoker(store, actor, time.time)
