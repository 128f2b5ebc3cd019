"""What clients hold refresh tokens for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from certbound.core.ports.people import AccountRecord, ConsentRecord
from certbound.core.ports.revocations import StatusRecord
from certbound.core.ports.tickets import TicketKind


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantRecord:
    """What a client holds refresh tokens for.

    `thumbprint`, `authorities` and `twins` are those of the certificate that was presented when it was given, as in
    `StatusRecord`; empty if there was none.  `sources` are those of `Origin`.  `seed` is a secret from
    which successors of refresh tokens are derived.
    """

    grant_id: str
    client_id: str
    content: Mapping[str, Any]
    """What was granted: a JSON object, unread by the store."""
    seed: str = field(repr=False)
    thumbprint: str = ""
    authorities: tuple[str, ...] = ()
    twins: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    subject: str = ""
    """The person it is from, whatever tokens call them; empty where the client acts for nobody."""
    valid: bool = True
    created_at: float = 0
    ends_at: float = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshTokenRecord:
    """One refresh token of a grant.  `digest` is its SHA-256, base64url."""

    digest: str
    grant: GrantRecord
    replaced_at: float | None = None
    """Since when a successor stands in its place; None for the one that counts."""
    is_successor_used: bool = False
    """Whether the successor was replaced too, so that whoever has this one is late or a thief."""
    account: AccountRecord | None = None
    """That of the grant's person, at this moment; None if there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What stands beside a grant in the transaction that opened it: whatever changes later finds the grant."""

    block: StatusRecord | None = None
    """The places of its access tokens, if some were asked for."""
    consent: ConsentRecord | None = None
    """What its person lets its client do; None if nothing."""
    account: AccountRecord | None = None
    """The person's; None if there is none."""


class Rotation(StrEnum):
    """What became of an attempt to replace a refresh token."""

    REPLACED = "replaced"
    """The successor counts now."""
    REPEATED = "repeated"
    """It counted already, since a moment ago: the same request, or one whose answer was lost."""
    REUSED = "reused"
    """Somebody has a token that was replaced long ago, or twice: the grant is revoked now."""
    GONE = "gone"
    """There is no such token, or its grant is revoked or has ended."""


class Grants(Protocol):
    """What clients hold refresh tokens for."""

    async def open(
        self,
        grant: GrantRecord,
        digest: str | None,
        *,
        now: float,
        origin: int | None = None,
        ticket: tuple[TicketKind, str] | None = None,
        used_by: str | None = None,
        block: StatusRecord | None = None,
    ) -> Opened:
        """The grant is there, with its first refresh token if `digest` is that of one, and `ticket` is taken for it.

        With `used_by`, the person's consent to its client says that it was used now, with that name in a certificate.
        `block` is of this grant, and has places of its own afterwards, as by `Revocations.allot`.

        `RevokedMeanwhile` if its client is not there or disabled, anything of its certificate is revoked, or there is
        no valid block at `origin`, as for `Revocations.allot`; `AlreadyTaken` if the ticket was taken before, has ended
        at `now`, or is not there.  All or nothing.
        """

    async def find(self, digest: str, *, now: float) -> RefreshTokenRecord | None:
        """The refresh token and its grant, valid or not; None if there is none, or the grant has ended at `now`.

        One statement, whatever becomes of it.
        """

    async def rotate(self, digest: str, successor: str, *, now: float, grace: float) -> Rotation:
        """`successor` stands in the place of the token; both are digests.  Atomic between processes.

        A token that was replaced by this successor at most `grace` seconds ago, itself not yet replaced, is `REPEATED`.
        """

    async def revoke(self, grant_id: str, *, now: float) -> bool:
        """No refresh token of the grant counts, and the statuses of its access tokens are not valid.

        What was obtained from those ends too.  False if there was no such grant, or it was revoked already.
        """
