"""What a store must do.  `server` knows these protocols and no store; `stores` knows SQL and no OAuth.

A record carries client metadata as the JSON object of RFC 7591, unread: a store that cannot read what it keeps
cannot fail on it either.  Every method may raise `StoreUnavailable`; beside those named at a method, no other
exception leaves a store.  A caller that is cancelled leaves the old state or the new one.  All of this is tested
by `certbound.testing.stores`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRecord:
    """A registered client as it is kept.

    `version` is made by the store: another number after each change, never the same for two states of one
    `client_id`, deletion and re-creation included.
    """

    client_id: str
    metadata: Mapping[str, Any]
    enabled: bool = True
    version: int = 0
    created_at: float = 0
    """Seconds since the epoch; kept from the first `add`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """A signing key.  `private_key` is PEM (PKCS #8), encrypted if the caller encrypted it."""

    kid: str
    alg: str
    private_key: bytes = field(repr=False)
    created_at: float = 0


class AlreadyExists(Exception):
    """A record with this identifier is there already."""


class NotFound(Exception):
    """There is no record with this identifier, or it changed since it was read."""


class Clients(Protocol):
    """Registered clients."""

    async def find(self, client_id: str) -> ClientRecord | None:
        """The client, or None."""

    async def list(self, *, limit: int | None = None) -> Sequence[ClientRecord]:
        """All clients by `client_id`, in the order of code points; with `limit`, any so many of them at most."""

    async def add(self, record: ClientRecord) -> ClientRecord:
        """`record` as stored, with a version of its own.  `AlreadyExists` if the id is taken.

        `StoreUnavailable` if it cannot be kept: an id with NUL or half a surrogate pair, metadata that is no JSON.
        """

    async def replace(self, record: ClientRecord) -> ClientRecord:
        """`record` stands where that of the same id and `version` stood.  `NotFound` if there is none such.

        What is returned is what stands: another version, and the `created_at` of before.
        """

    async def remove(self, client_id: str) -> None:
        """The client is gone.  `NotFound` if it was not there."""


class Keys(Protocol):
    """Signing keys, oldest first."""

    async def list(self) -> Sequence[KeyRecord]:
        """All keys, oldest first."""

    async def add(self, record: KeyRecord) -> None:
        """The key is stored.  `AlreadyExists` if its kid is there."""

    async def add_first(self, record: KeyRecord) -> KeyRecord:
        """The oldest key: `record` if there was none, else the one that was there.  Atomic between processes."""


class Store(Protocol):
    """All that survives a restart."""

    @property
    def clients(self) -> Clients: ...

    @property
    def keys(self) -> Keys: ...

    async def revision(self) -> int:
        """A number that is another one after every committed change by any process.

        It is cheap: one indexed row, or less.
        """

    async def close(self) -> None:
        """What was begun has ended and connections are closed; any other call after it is `StoreUnavailable`."""
