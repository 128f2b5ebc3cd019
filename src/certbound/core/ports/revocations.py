"""What was revoked, and where it stands whether tokens were."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRecord:
    """Consecutive places in the status list: for tokens which one client gets with one certificate over one path.

    `authorities` are the thumbprints of the keys on the path above the certificate; `thumbprint` is empty where there
    was no certificate; `sources` are those of `Origin`.  `index`, the first of `count` places, is made by the store,
    and no other record has any of them until this one has ended.
    """

    client_id: str
    thumbprint: str
    grant_id: str = ""
    """The grant that the tokens belong to, if they do."""
    count: int = 1
    authorities: tuple[str, ...] = ()
    twins: tuple[str, ...] = ()
    """The other thumbprints of `Certificate.thumbprints`: a revocation of any of them is one of this certificate."""
    sources: tuple[str, ...] = ()
    index: int = -1
    valid: bool = True
    """False for ever once it was revoked; what the client gets afterwards has another place."""
    created_at: float = 0
    ends_at: float = 0
    """Seconds since the epoch: afterwards no token can live that stands here, and the record may go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A token from which another one is obtained: its block of places, and what would end it.

    `sources` are names that the store makes, and only it reads: of the client, the certificate, the authorities and the
    grant, and of all that the token was itself obtained from.  A revocation of any of them ends what has it among its
    own `sources`.
    """

    index: int | None
    """The first place of the block.  None of what a grant was obtained from: that is asked whether it is valid."""
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statuses:
    """What a status list says: which indices are not valid, and how long it is."""

    revision: int
    """The `Revision.statuses` at which it says so."""
    invalid: Sequence[tuple[int, int]]
    """First index and count of each run that is not valid; of news, of each that became so."""
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


class Revocations(Protocol):
    """What was revoked here, and the statuses of the tokens that were issued before."""

    async def list(self) -> Sequence[RevocationRecord]:
        """All that is revoked, what came first before the rest."""

    async def affected(self, kind: RevokedKind, value: str, *, now: float) -> Sequence[StatusRecord]:
        """The statuses that are valid, have not ended at `now`, and would not survive the revocation.

        Those of grants that would not are among them, whichever certificate they were obtained with, and those that
        were obtained from any of these.
        """

    async def add(self, record: RevocationRecord) -> Sequence[StatusRecord]:
        """It is revoked, a client disabled too, and the `affected` statuses are not valid: all at once or nothing.

        What is returned were the affected.  A status that has ended by `revoked_at` is not valid either: that clock may
        be wrong.  What was revoked already stays so since then, and the statuses that came since are affected.
        `NotFound` if a client is not there.
        """

    async def remove(self, kind: RevokedKind, value: str) -> None:
        """It is not revoked any more, a client enabled; statuses stay as they are.  `NotFound` if it was not."""

    async def allot(self, record: StatusRecord, *, now: float, origin: int | None = None) -> StatusRecord:
        """`record` with an index nobody can foretell: `count` places that nobody else has, all valid.

        Those who ask at once share a transaction; the revision stays.  `RevokedMeanwhile` if anything of it is revoked
        at that moment, its grant is not there or has ended, the client is not there or disabled, or there is no valid
        block at `origin`, the `Origin.index` of what its `sources` are of.
        """

    async def origin(self, index: int) -> Origin | None:
        """What the token whose status stands at `index` is to those that are obtained from it; None if it was revoked.

        Whether it was revoked alone is not asked.
        """

    async def invalidate(self, index: int, *, until: float) -> None:
        """The status at `index` is not valid, and may be forgotten after `until`."""

    async def is_valid(self, index: int) -> bool:
        """Whether the status at `index` is; asked of the database, by its keys."""

    async def statuses(self, now: float, *, since: int | None = None) -> Statuses:
        """What the list says at `now`: all of it, or what is news since that `Revision.statuses`.

        News cost what they are, however long the list is; what has ended is in neither.
        """
