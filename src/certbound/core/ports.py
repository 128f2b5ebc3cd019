"""What a store must do.  `server` knows these protocols and no store; `stores` knows SQL and no OAuth.

A record carries client metadata as the JSON object of RFC 7591, unread: a store that cannot read what it keeps
cannot fail on it either.  Every method may raise `StoreUnavailable`; beside those named at a method, no other
exception leaves a store.  A caller that is cancelled leaves the old state or the new one.  All of this is tested
by `certbound.testing.stores`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
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


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRecord:
    """One place in the status list: that of every token which one client gets with one certificate over one path.

    `authorities` are the thumbprints of the keys on the path above the certificate.  `index` is made by the store, and
    no other record has it until this one has ended.
    """

    client_id: str
    thumbprint: str
    authorities: tuple[str, ...] = ()
    twins: tuple[str, ...] = ()
    """The other thumbprints of `Certificate.thumbprints`: a revocation of any of them is one of this certificate."""
    index: int = -1
    valid: bool = True
    """False for ever once it was revoked; what the client gets afterwards has another place."""
    created_at: float = 0
    ends_at: float = 0
    """Seconds since the epoch: afterwards no token can live that stands here, and the record may go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statuses:
    """What a status list says: which indices are not valid, and how long it is."""

    invalid: frozenset[int]
    size: int
    """All indices are smaller, those too that will be given in the next seconds."""


class RevokedKind(StrEnum):
    """What can be revoked."""

    CLIENT = "client"
    """By its id; it is disabled too."""
    CERTIFICATE = "certificate"
    """By the SHA-256 of its DER."""
    AUTHORITY = "authority"
    """By the SHA-256 of its SubjectPublicKeyInfo."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationRecord:
    """What was revoked here, since when (seconds since the epoch)."""

    kind: RevokedKind
    value: str
    revoked_at: float = 0


class AlreadyExists(Exception):
    """A record with this identifier is there already."""


class NotFound(Exception):
    """There is no record with this identifier, or it changed since it was read."""


class RevokedMeanwhile(Exception):
    """What a status is asked for was revoked, disabled or removed."""


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


class Revocations(Protocol):
    """What was revoked here, and the statuses of the tokens that were issued before."""

    async def list(self) -> Sequence[RevocationRecord]:
        """All that is revoked, what came first before the rest."""

    async def affected(self, kind: RevokedKind, value: str, *, now: float) -> Sequence[StatusRecord]:
        """The statuses that are valid, have not ended at `now`, and would not survive the revocation."""

    async def add(self, record: RevocationRecord) -> Sequence[StatusRecord]:
        """It is revoked, a client disabled too, and the `affected` statuses are not valid: all at once or nothing.

        What is returned were the affected.  A status that has ended by `revoked_at` is not valid either: that clock may
        be wrong.  What was revoked already stays so since then, and the statuses that came since are affected.
        `NotFound` if a client is not there.
        """

    async def remove(self, kind: RevokedKind, value: str) -> None:
        """It is not revoked any more, a client enabled; statuses stay as they are.  `NotFound` if it was not."""

    async def allot(self, record: StatusRecord, *, until: float, now: float) -> StatusRecord:
        """The valid status of this client, certificate and path, which ends at `until` or later.

        That which is there, ending later from now on if need be, or `record` with an index nobody can foretell.
        Atomic between processes; the revision stays.  `RevokedMeanwhile` if anything of it is revoked at that moment,
        or the client is not there or disabled.
        """

    async def statuses(self, now: float) -> Statuses:
        """What the list says at `now`."""


class Store(Protocol):
    """All that survives a restart."""

    @property
    def clients(self) -> Clients: ...

    @property
    def keys(self) -> Keys: ...

    @property
    def revocations(self) -> Revocations: ...

    async def revision(self) -> int:
        """A number that is another one after every committed change by any process, an allotted status excepted.

        It is cheap: one indexed row, or less.
        """

    async def close(self) -> None:
        """What was begun has ended and connections are closed; any other call after it is `StoreUnavailable`."""
