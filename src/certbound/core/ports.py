"""What a store must do.  `server` knows these protocols and no store; `stores` knows SQL and no OAuth.

A record carries client metadata as the JSON object of RFC 7591, unread: a store that cannot read what it keeps
cannot fail on it either.  Every method may raise `StoreUnavailable`; beside those named at a method, no other
exception leaves a store.  A caller that is cancelled leaves the old state or the new one.  All of this is tested
by `certbound.testing.stores`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple, Protocol


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


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """A signing key.  `private_key` is PEM (PKCS #8), encrypted if the caller encrypted it."""

    kid: str
    alg: str
    private_key: bytes = field(repr=False)
    created_at: float = 0
    """Seconds since the epoch; published since then."""
    signs_from: float = 0
    """Published before, so that everybody knows it by then."""
    signs_until: float | None = None
    """When its successor takes over, or it was retired; None if nobody knows yet."""
    published_until: float | None = None
    """When the last token that it signed has ended; the record may go then."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessTokenRecord:
    """An opaque access token: what it says, under the SHA-256 of it, base64url."""

    digest: str
    claims: Mapping[str, Any]
    ends_at: float
    """Seconds since the epoch; the record may go then."""


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


class Revision(NamedTuple):
    """Two numbers that never go back."""

    records: int
    """Another one after every committed change of clients, keys or revocations."""
    statuses: int
    """Another one after each that made a status invalid."""


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
        """The client is gone, its grants are revoked, and the statuses of its tokens are not valid, all or nothing.

        What was obtained from its tokens ends too.  With it goes its revocation: whoever comes under this id later is
        somebody else.  `NotFound` if it was not there.
        """


class Keys(Protocol):
    """Signing keys, oldest first."""

    async def list(self) -> Sequence[KeyRecord]:
        """All keys, oldest first."""

    async def add(self, record: KeyRecord) -> None:
        """The key is stored.  `AlreadyExists` if its kid is there."""

    async def add_first(self, record: KeyRecord) -> KeyRecord:
        """The oldest key: `record` if there was none, else the one that was there.  Atomic between processes."""

    async def exchange(self, before: Sequence[KeyRecord], after: Sequence[KeyRecord]) -> bool:
        """`after` are all keys, if `before` were, in any order; else False, and nothing changed.

        Atomic between processes.  What cannot be read, and so is not in `list`, stays.
        """


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


class Grants(Protocol):
    """What clients hold refresh tokens for."""

    async def open(self, grant: GrantRecord, digest: str, *, now: float, origin: int | None = None) -> None:
        """The grant is there, with its first refresh token.

        `RevokedMeanwhile` if its client is not there or disabled, anything of its certificate is revoked, or there is
        no valid block at `origin`, as for `Revocations.allot`.
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


class Tokens(Protocol):
    """Opaque access tokens, and values that count once.  Written often: nothing here moves the revision."""

    async def add(self, record: AccessTokenRecord) -> None:
        """It is kept until it ends.  Those who add at once share a transaction."""

    async def find(self, digest: str, *, now: float) -> AccessTokenRecord | None:
        """What was added, or None; also if it has ended.  One statement, whatever becomes of it."""

    async def remove(self, digest: str) -> None:
        """It is gone, if it was there."""

    async def use(self, purpose: str, value: str, *, until: float, now: float) -> bool:
        """True for the first who uses this value for this purpose, False for all others before `until`.

        Atomic between processes; `value` is kept as a hash.
        """

    async def purge(self, *, now: float, most: int = 500) -> int:
        """How many ended records of any kind are gone now: `most` of each kind, in one short statement each.

        Those of statuses, grants and refresh tokens among them; 0 if nothing is left to do.
        """


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


class Store(Protocol):
    """All that survives a restart."""

    @property
    def clients(self) -> Clients: ...

    @property
    def keys(self) -> Keys: ...

    @property
    def revocations(self) -> Revocations: ...

    @property
    def grants(self) -> Grants: ...

    @property
    def tokens(self) -> Tokens: ...

    @property
    def initial_tokens(self) -> InitialTokens: ...

    async def revision(self) -> Revision:
        """Two numbers, one of which is another after every committed change by any process that others must hear of.

        It is cheap: one indexed row, or less.
        """

    async def changed(self, *, timeout: float) -> None:  # noqa: ASYNC109 - it is none: the time is what is asked for
        """Returns soon after another process changed something, where the database tells, or after `timeout` seconds.

        One who waits is enough; the number of `revision` is what counts.
        """

    async def close(self) -> None:
        """What was begun has ended and connections are closed; any other call after it is `StoreUnavailable`."""
