"""Registered clients, and what admits those that register themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretRecord:
    """A client secret as it is kept: its SHA-256, base64url, and until when it counts (seconds since the epoch)."""

    digest: str = field(repr=False)
    created_at: float = 0
    ends_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationRecord:
    """How a client that registered itself may be managed (RFC 7592).

    `digest` is the SHA-256 of its registration access token, base64url; `subject` the name in the certificate that was
    vouched for, if one had to be, as `core.registration.name_of` has it; `way` how it was admitted.
    """

    digest: str = field(repr=False)
    subject: str = ""
    way: str = ""


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
    secrets: tuple[SecretRecord, ...] = ()
    registration: RegistrationRecord | None = None
    """None if an administrator registered it."""


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
        """The client is gone, its grants are revoked, and the statuses of its tokens are not valid, all or nothing.

        What was obtained from its tokens ends too.  With it goes its revocation: whoever comes under this id later is
        somebody else.  `NotFound` if it was not there.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class InitialTokenRecord:
    """An initial access token (RFC 7591 section 3): `digest` is its SHA-256, base64url."""

    digest: str = field(repr=False)
    uses: int = 1
    """How many clients may still register with it."""
    label: str = ""
    """What it is for, for people."""
    created_at: float = 0
    ends_at: float = 0
    """Seconds since the epoch; the record may go then."""


class InitialTokens(Protocol):
    """What admits clients that register themselves.  Nothing here moves the revision."""

    async def list(self, *, now: float) -> Sequence[InitialTokenRecord]:
        """Those that have not ended at `now` and have uses left, the oldest first."""

    async def add(self, record: InitialTokenRecord) -> None:
        """It is kept until it ends."""

    async def find(self, digest: str, *, now: float) -> InitialTokenRecord | None:
        """What was added, or None; also if it has ended or has no use left."""

    async def take(self, digest: str, *, now: float) -> bool:
        """One use less, and True; False if there is none left, or no such token.  Atomic between processes."""

    async def remove(self, digest: str) -> bool:
        """It is gone; False if it was not there."""
