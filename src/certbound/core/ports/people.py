"""The people whom clients act for: their accounts, their sessions, and what they agreed to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRecord:
    """A person who logs in here.

    `subject` is what tokens call them, for ever; `username` what they type, as `core.people` prepared it; `password` an
    argon2id hash in PHC form, empty while they have none; `claims` a JSON object of OpenID Connect standard claims.
    """

    subject: str
    username: str
    password: str = field(default="", repr=False)
    claims: Mapping[str, Any] = field(default_factory=dict, repr=False)
    enabled: bool = True
    version: int = 0
    """Made by the store: another number after each change."""
    created_at: float = 0
    password_at: float = 0
    """Since when that password counts; sessions from before do not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PutOut:
    """What was there of a person who was put out."""

    sessions: int
    clients: Sequence[str]
    """Those that acted for them with a consent, the latest first."""


class Accounts(Protocol):
    """Accounts.  Nothing here moves the revision, but what ends grants the number of statuses."""

    async def find(self, username: str) -> AccountRecord | None:
        """The account, or None.  One statement, whatever becomes of it."""

    async def find_subject(self, subject: str) -> AccountRecord | None:
        """The account with that subject, or None."""

    async def list(self) -> Sequence[AccountRecord]:
        """All accounts by `username`, in the order of code points."""

    async def add(self, record: AccountRecord) -> AccountRecord:
        """`record` as stored, with a version of its own.  `AlreadyExists` if its name or subject is taken."""

    async def replace(self, record: AccountRecord) -> AccountRecord:
        """`record` stands where that of the same subject and `version` stood.

        `NotFound` if there is none such, `AlreadyExists` if its name is another's.
        """

    async def end_all(self, subject: str) -> None:
        """The person's sessions are gone, and their grants revoked, as by `remove`: all or nothing.

        Whether there is an account of that subject does not matter.  Nothing moves if nothing was there.
        """

    async def put_out(self, subject: str) -> PutOut:
        """As `end_all`, and the person's consents are gone too: all or nothing."""

    async def remove(self, subject: str) -> None:
        """The account is gone, with its sessions, consents and pairwise subjects, and its grants are revoked: all or
        nothing.  `NotFound` if it was not there.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRecord:
    """A person who logged in with one browser: `digest` is the SHA-256, base64url, of the value of its cookie."""

    digest: str = field(repr=False)
    subject: str
    sid: str
    """What names it here, and nobody else knows: each client has another name for it (`core.openid.sid_for`)."""
    auth_time: float
    """Seconds since the epoch: when the person last proved who they are."""
    acr: str = ""
    amr: tuple[str, ...] = ()
    created_at: float = 0
    ends_at: float = 0


class Sessions(Protocol):
    """Sessions.  Nothing here moves the revision."""

    async def add(self, record: SessionRecord) -> None:
        """It is kept until it ends."""

    async def find(self, digest: str, *, now: float) -> SessionRecord | None:
        """It, or None; also if it has ended at `now`."""

    async def end(self, digest: str) -> None:
        """It is gone, if it was there."""

    async def end_all(self, subject: str) -> int:
        """How many of this person are gone now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentRecord:
    """What a person lets a client do, until they withdraw it."""

    subject: str
    client_id: str
    scope: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    created_at: float = 0
    """When it was last given."""
    used_at: float | None = None
    """When the client last got a token by it; None if it never did."""
    certificate: str = ""
    """The name in the certificate that token was bound to, for the person to see; empty if there was none."""


class Consents(Protocol):
    """Consents, one for each person and client.

    Nothing here moves the revision, but `withdraw` the number of statuses.  With a client go the consents to it.
    """

    async def find(self, subject: str, client_id: str) -> ConsentRecord | None:
        """It, or None."""

    async def list(self, subject: str) -> Sequence[ConsentRecord]:
        """Those of a person, the latest first."""

    async def put(self, record: ConsentRecord) -> None:
        """It stands, in the place of the one before; what that says of its use stays."""

    async def join(self, record: ConsentRecord) -> None:
        """As `put`, together with the scope and resources of the one before.  Atomic between processes."""

    async def use(self, subject: str, client_id: str, *, certificate: str, now: float) -> None:
        """The client got a token by it now, if there is one.  Moves nothing but that."""

    async def withdraw(self, subject: str, client_id: str) -> bool:
        """It is gone, the client's grants from this person are revoked, and the statuses of their tokens are not valid:
        all or nothing.  What was obtained from those ends too.  False, and nothing moved, if there was neither consent
        nor valid grant.
        """


class Subjects(Protocol):
    """What clients of one sector know a person by (OpenID Connect Core section 8.1)."""

    async def pairwise(self, subject: str, sector: str, *, proposed: str) -> str:
        """The person's subject in that sector: `proposed` if there was none.  Atomic between processes.

        `StoreUnavailable` if that stands for somebody else, or for this person in another sector.
        """

    async def reveal(self, pairwise: str) -> str | None:
        """The subject it stands for; None if it stands for none."""
