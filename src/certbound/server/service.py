"""What the endpoints share: the facts of this deployment, and the ports to everything that changes."""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from certbound.core.authentication import Sources
from certbound.core.binding import Bind
from certbound.core.errors import StoreUnavailable
from certbound.core.grants import Policy
from certbound.core.metadata import Offer
from certbound.core.ports import Store
from certbound.core.tokens import SigningKey
from certbound.server.directory import ClientDirectory
from certbound.server.statuses import StatusBook

REFRESH_INTERVAL = 0.25
"""Seconds between two questions to the store whether anything changed."""

_log = logging.getLogger("certbound.server")


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The authorization server without HTTP."""

    offer: Offer
    policy: Policy
    bind: Bind
    lifetime: int
    """Seconds an access token lives."""
    keys: Sequence[SigningKey]
    """The first signs; all are published."""
    clients: ClientDirectory
    statuses: StatusBook
    sources: Sources
    new_id: Callable[[], str] = field(default=lambda: secrets.token_urlsafe(16))
    """128 bits nobody can guess, base64url."""
    clock: Callable[[], float] = time.time


async def keep_fresh(clients: ClientDirectory) -> None:
    """Runs until cancelled: requests find a directory that was confirmed a moment ago."""
    while True:
        try:
            await clients.refresh()
        except StoreUnavailable:
            pass  # the request that needs the store says so
        except Exception:  # noqa: BLE001 - a watch that ended because of one bad look would end unnoticed
            _log.exception("clients cannot be refreshed")
        await asyncio.sleep(REFRESH_INTERVAL)


def directory(store: Store) -> ClientDirectory:
    """The clients in `store`, by this machine's monotonic clock."""
    return ClientDirectory(store, time.monotonic)
