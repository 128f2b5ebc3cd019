"""Use cases around registered clients: one validation and one audit event, whoever asks."""

import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from certbound.core.binding import Bind, is_bound
from certbound.core.clients import Allowed, Client, describe_client, read_client, require_allowed
from certbound.core.errors import InvalidClientMetadata
from certbound.core.ports import AlreadyExists, ClientRecord, NotFound, Store
from certbound.server.audit import AUDIT, Decision
from certbound.server.directory import readable


@dataclass(frozen=True, slots=True)
class ClientRegistry:
    """Registers, changes and removes clients in `store`, as far as this deployment allows."""

    store: Store
    allowed: Allowed
    bind: Bind
    now: Callable[[], float]
    actor: str = ""
    """Who asks, for the audit; nobody where the endpoint tells it."""

    async def register(self, metadata: Mapping[str, Any], *, client_id: str | None = None) -> Client:
        """The new client, stored; without `client_id` the server makes one.

        `InvalidClientMetadata` (400) names the field that is wrong; nothing is stored then.
        """
        client_id = client_id or secrets.token_urlsafe(16)
        self._read(client_id, metadata)
        record = ClientRecord(client_id=client_id, metadata=_given(metadata), created_at=self.now())
        try:
            stored = await self.store.clients.add(record)
        except AlreadyExists as error:
            raise InvalidClientMetadata("client_id", f"{client_id!r} is taken") from error
        self._tell(client_id, "registered")
        return self._read(client_id, metadata, version=stored.version)

    async def update(self, client_id: str, changes: Mapping[str, Any], *, enabled: bool | None = None) -> Client | None:
        """The client with `changes` merged in, stored; `None` takes a member away.  None if there is no such client.

        `InvalidClientMetadata` (400) if the result cannot stand; nothing is stored then.
        """
        record = await self.store.clients.find(client_id)
        if record is None:
            return None
        changed = replace(
            record,
            metadata=_given({**record.metadata, **changes}),
            enabled=record.enabled if enabled is None else enabled,
        )
        if changes:  # what is only switched off need not be readable
            self._read(client_id, changed.metadata)
        stored = await self.store.clients.replace(changed)
        self._tell(client_id, "changed")
        return readable(stored)

    async def remove(self, client_id: str) -> bool:
        """The client is gone; False if it was not there."""
        try:
            await self.store.clients.remove(client_id)
        except NotFound:
            return False
        self._tell(client_id, "removed")
        return True

    async def find(self, client_id: str) -> ClientRecord | None:
        """The client as it is kept, readable or not."""
        return await self.store.clients.find(client_id)

    async def list(self) -> Sequence[ClientRecord]:
        """All clients as they are kept, by id."""
        return await self.store.clients.list()

    def describe(self, client: Client) -> dict[str, Any]:
        """Client metadata with the values in effect (RFC 7591 section 3.2.1)."""
        return describe_client(client, bound=is_bound(client, self.bind))

    def _tell(self, client_id: str, what: str) -> None:
        by = f" by {self.actor}" if self.actor else ""
        event = Decision(
            time=self.now(),
            what=f"client {what}",
            actor=self.actor,
            client_id=client_id,
            told=f"client {client_id!r} {what}{by}",
        )
        AUDIT.record(event, level=logging.WARNING)

    def _read(self, client_id: str, metadata: Mapping[str, Any], *, version: int = 0) -> Client:
        return require_allowed(read_client(client_id, metadata, version=version), self.allowed)


def _given(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """`null` is absence (RFC 7591 section 3.1)."""
    return {member: value for member, value in metadata.items() if value is not None}
