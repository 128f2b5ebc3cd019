"""Registered clients and what was revoked here, remembered, so that the hot path touches no database.

Rule 1: nothing remembered is used when the store has not confirmed within `MAX_AGE` that nothing changed.
Rule 2: that there is no such client is answered from memory as well: it costs a stranger's question no more, and takes
no longer, than the refusal of a client that exists.
Rule 3: a client that cannot be read is no client; it is logged and stops nothing.
Rule 4: all of it is read again when a client, a key or a revocation changed, and not when a token was revoked.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence

from certbound.core.certificate import KeyThumbprint, Thumbprint
from certbound.core.clients import Client, read_client
from certbound.core.errors import InvalidClientMetadata
from certbound.core.ports import ClientRecord, Revision, RevocationRecord, RevokedKind, Store
from certbound.core.revoked import NOTHING_REVOKED, Revoked

MAX_AGE = 0.9
"""Seconds a remembered client may be used without asking the store."""
NEWS = 0.05
"""Seconds between two questions to the store that unknown clients may cause: so soon a new client is known."""
CAPACITY = 5_000
"""How many clients are held in memory.  Where there are more, they are read one by one."""

_log = logging.getLogger("certbound.server")


class ClientDirectory:
    """Clients by id, at most `MAX_AGE` seconds behind the store, whichever process changed it."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        """`clock` counts seconds and never goes back."""
        self._store = store
        self._clock = clock
        self._records: dict[str, ClientRecord] | None = None
        self._remembered: OrderedDict[str, Client] = OrderedDict()
        self._asking = asyncio.Lock()
        self._revoked = NOTHING_REVOKED
        self._revision = Revision(-1, -1)
        self._count: int | None = None
        self._asked_at = float("-inf")

    @property
    def revoked(self) -> Revoked:
        """What was revoked here, as new as the last answer of `find` or `confirm`."""
        return self._revoked

    @property
    def revision(self) -> Revision:
        """That of the store, as new as `revoked`."""
        return self._revision

    @property
    def count(self) -> int | None:
        """How many clients there are; None if more than fit in memory, or nobody has asked yet."""
        return self._count

    async def confirm(self) -> None:
        """What is remembered is at most `MAX_AGE` old.  `StoreUnavailable` if that cannot be said."""
        await self._ask_if_older(MAX_AGE)

    async def find(self, client_id: str) -> Client | None:
        """The client, or None.  `StoreUnavailable` if the store is needed and does not answer."""
        if self._clock() - self._asked_at > MAX_AGE:  # hardly ever: this is the hot path
            await self._ask_if_older(MAX_AGE)
        if client_id not in self._remembered and self._records is not None and client_id not in self._records:
            await self._ask_if_older(NEWS)  # it may have been registered a moment ago
        # Looked up only now: while one waits, another may have read the client.
        client = self._remembered.get(client_id)
        if client is not None:
            return client
        if self._records is not None:
            # Read once: what is readable is remembered, what is not is gone until it changes.
            record = self._records.pop(client_id, None)
            return None if record is None else self._remember(readable(record))
        known = self._revision.records
        record = await self._store.clients.find(client_id)
        client = None if record is None else readable(record)
        # A change that was noticed while we read may not be in what we read.
        return self._remember(client) if known == self._revision.records else client

    async def refresh(self) -> None:
        """What changed in the store until now is known here."""
        async with self._asking:
            await self._ask()

    async def _ask_if_older(self, age: float) -> None:
        """Many who find the answer too old wait for one new one."""
        if self._clock() - self._asked_at > age:
            async with self._asking:
                if self._clock() - self._asked_at > age:
                    await self._ask()

    async def _ask(self) -> None:
        asked_at = self._clock()
        revision = await self._store.revision()
        if revision.records != self._revision.records:
            self._revoked = _revoked(await self._store.revocations.list(), before=self._revoked)
            records = await self._store.clients.list(limit=CAPACITY + 1)
            self._records = {each.client_id: each for each in records} if len(records) <= CAPACITY else None
            self._count = len(records) if self._records is not None else None
            self._remembered.clear()
        self._revision = revision
        self._asked_at = asked_at

    def _remember(self, client: Client | None) -> Client | None:
        if client is not None:
            self._remembered[client.client_id] = client
            if len(self._remembered) > CAPACITY:
                self._remembered.popitem(last=False)
        return client


def readable(record: ClientRecord) -> Client | None:
    """The stored client; None, and a line in the log, if what is stored is no client."""
    try:
        return read_client(
            record.client_id,
            record.metadata,
            enabled=record.enabled,
            version=record.version,
            secrets=record.secrets,
        )
    except InvalidClientMetadata as error:
        _log.error("stored client %r is unusable: %s", record.client_id, error.reason)
        return None


def _revoked(records: Sequence[RevocationRecord], *, before: Revoked) -> Revoked:
    revoked = Revoked(
        frozenset(Thumbprint(each.value) for each in records if each.kind is RevokedKind.CERTIFICATE),
        frozenset(KeyThumbprint(each.value) for each in records if each.kind is RevokedKind.AUTHORITY),
    )
    if revoked != before:
        _log.info(
            "revoked here are %d certificates and %d authorities", len(revoked.certificates), len(revoked.authorities)
        )
    return revoked
