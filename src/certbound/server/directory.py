"""Registered clients, remembered, so that the hot path touches no database.

Rule 1: nothing remembered is used when the store has not confirmed within `MAX_AGE` that nothing changed.
Rule 2: a client that cannot be read is no client; it is logged and stops nothing.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable

from certbound.core.clients import Client, read_client
from certbound.core.errors import InvalidClientMetadata
from certbound.core.ports import ClientRecord, Store

MAX_AGE = 0.9
"""Seconds a remembered client may be used without asking the store."""
CAPACITY = 10_000

_log = logging.getLogger("certbound.server")


class ClientDirectory:
    """Clients by id, at most `MAX_AGE` seconds behind the store, whichever process changed it."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        """`clock` counts seconds and never goes back."""
        self._store = store
        self._clock = clock
        self._remembered: OrderedDict[str, Client] = OrderedDict()
        self._revision = -1
        self._confirmed_until = float("-inf")

    async def find(self, client_id: str) -> Client | None:
        """The client, or None.  `StoreUnavailable` if the store is needed and does not answer."""
        if self._clock() > self._confirmed_until:
            await self.refresh()
        client = self._remembered.get(client_id)
        return client if client is not None else await self._load(client_id)

    async def refresh(self) -> None:
        """What changed in the store is forgotten here."""
        asked_at = self._clock()
        revision = await self._store.revision()
        if revision != self._revision:
            self._remembered.clear()
            self._revision = revision
        self._confirmed_until = asked_at + MAX_AGE

    async def _load(self, client_id: str) -> Client | None:
        revision = self._revision
        record = await self._store.clients.find(client_id)
        client = None if record is None else readable(record)
        # A change that was noticed while we read may not be in what we read.
        if client is not None and revision == self._revision:
            self._remembered[client_id] = client
            if len(self._remembered) > CAPACITY:
                self._remembered.popitem(last=False)
        return client


def readable(record: ClientRecord) -> Client | None:
    """The stored client; None, and a line in the log, if what is stored is no client."""
    try:
        return read_client(record.client_id, record.metadata, enabled=record.enabled, version=record.version)
    except InvalidClientMetadata as error:
        _log.error("stored client %r is unusable: %s", record.client_id, error.reason)
        return None
