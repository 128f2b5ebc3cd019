"""Where the status of a token stands, and the list that says what became of it.

Rule 1: each token has a place of its own, so that it can be revoked alone.  Nothing is written for it: this process
leases blocks of places and gives them out from memory, in an order that tells nobody how many were given.
Rule 2: a place in a block that was revoked is given to no token, once the directory knows; a token signed a moment
before has one that the list calls invalid.
Rule 3: whether a token is valid is answered from memory, at most as old as the directory; what this process itself
revoked counts at once.
Rule 4: the store is asked for what became invalid since it was asked, and for all of it every `WHOLE` seconds: a place
is forgotten here before the store may give it to another token.
Rule 5: the list is signed when a status became invalid, and again when `REMADE` seconds have passed, not for a request;
it is compressed when it says something else, beside the loop that serves.
"""

import asyncio
import random
from array import array
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from certbound.core.authentication import AuthenticatedClient
from certbound.core.certificate import Certificate
from certbound.core.errors import InvalidClient
from certbound.core.ports import Origin, RevokedMeanwhile, Statuses, StatusRecord, Store
from certbound.core.signing import SigningKey
from certbound.core.status import Runs, StatusReference, describe_list, encode_list, make_list
from certbound.core.tokens import sign_list
from certbound.server.directory import ClientDirectory
from certbound.server.keys import KeyRing

FIRST = 16
"""Places of the first block of a client; of the next one twice as many if they were soon given, half if few were."""
FIRST_OF_FEW = 4
"""Those of a grant, which is used once in the life of a token, and of what is obtained from a token."""
FEWEST, MOST = 4, 1024
"""Places of a block, powers of two."""
LEASE = 6 * 3600
"""Seconds for which a block of up to `FIRST` places is used; a larger one in proportion shorter, it is used faster."""
SHORTEST = 900
"""Seconds for which any block is used, however large."""
MARGIN = 900
"""Seconds a status is told longer than its token lives: by so much may the clocks of two servers differ."""
WHOLE = 300
"""Seconds after which all statuses are read again, and those are left out that end before it happens once more."""
STANDS = MARGIN + WHOLE
"""Seconds a status stands in the store after its token ended."""
AHEAD = 8
"""The next block is asked for when one part of so many remains, of those that are larger than the first."""
CAPACITY = 20_000
"""How many blocks are held in memory.  What is pushed out has lost its places, and asks for new ones."""
REMADE = 10
"""Seconds after which a list is signed anew, although nothing changed: before it ends, and with room for growth."""


class StatusOwner(msgspec.Struct, frozen=True):
    """Whose tokens share a block of places: whatever can be revoked of them is the same."""

    client_id: str
    certificate: Certificate | None
    """The one they are bound to, or that the client authenticated with."""
    authorities: tuple[str, ...] = ()
    """The thumbprints of the keys above it, if a path proved it."""
    grant_id: str = ""
    origin: Origin | None = None
    """What they were obtained from, if from a token."""

    @classmethod
    def of(
        cls,
        authenticated: AuthenticatedClient,
        certificate: Certificate | None,
        grant_id: str = "",
        origin: Origin | None = None,
    ) -> "StatusOwner":
        """The owner of what this client gets, bound to `certificate`, by the grant if there is one that lasts."""
        client_id = authenticated.client.client_id
        return cls(client_id, certificate or authenticated.certificate, authenticated.authorities, grant_id, origin)

    @property
    def sources(self) -> tuple[str, ...]:
        """Those of `Origin`."""
        return () if self.origin is None else self.origin.sources

    def key(self) -> "_Key":
        """What tells owners apart, soon compared."""
        thumbprint = "" if self.certificate is None else self.certificate.thumbprint
        return self.client_id, thumbprint, self.grant_id, self.authorities, self.sources


_Key = tuple[str, str, str, tuple[str, ...], tuple[str, ...]]


@dataclass(slots=True)
class _Block:
    """Places this process may give out, and nobody else."""

    first: int
    count: int
    begins_at: float
    until: float
    """When the last one may be given."""
    ends_at: float
    """When the store may give them to others."""
    rest: "array[int]"
    """What was not given yet, counted from the first; from the end."""

    @classmethod
    def of(cls, record: StatusRecord, until: float) -> "_Block":
        # Not a secret: in order, the places of two tokens would tell an API how many others got in between.
        rest = array("H", random.sample(range(record.count), record.count))
        return cls(record.index, record.count, record.created_at, until, record.ends_at, rest)

    def serves(self, now: float, lifetime: float) -> bool:
        """Whether a token that is made now, and lives so long, can have a place of it."""
        return bool(self.rest) and now <= self.until and now + lifetime + STANDS <= self.ends_at

    def next_size(self, now: float) -> int:
        """Places of the block after it."""
        if self.is_nearly_given and now - self.begins_at < _lease(self.count) / 2:
            return min(2 * self.count, MOST)
        return max(self.count // 2, FEWEST) if len(self.rest) > self.count // 2 else self.count

    @property
    def is_nearly_given(self) -> bool:
        return len(self.rest) * AHEAD <= self.count


@dataclass(frozen=True, slots=True)
class _Known:
    """What the store said of all statuses."""

    asked: int = -1
    """The number of the directory's revision when it was asked; what is known is of that, or newer."""
    statuses: int = -1
    """The number of which it is."""
    forgotten: int = -1
    whole_at: float = float("-inf")
    """When all of it was read; the rest is news."""
    size: int = 0
    invalid: Runs = field(default_factory=Runs)
    """With what was revoked here meanwhile."""
    content: object = field(default_factory=object)
    """Another one when the list is to say something else."""


class StatusBook:
    """The statuses of tokens, as far as this process needs them.  For one event loop."""

    def __init__(self, store: Store, directory: ClientDirectory, uri: str) -> None:
        """`uri` is where the list is published."""
        self.uri = uri
        self._store = store
        self._directory = directory
        self._blocks: OrderedDict[_Key, _Block] = OrderedDict()
        self._asking: dict[_Key, asyncio.Task[None]] = {}
        self._known = _Known()
        self._forgotten = 0
        self._reading = asyncio.Lock()
        self._encoded_of: object = None
        self._encoded: Mapping[str, Any] = {}
        self._list = b""
        self._list_known = _Known()
        self._list_made_at = float("-inf")
        self._list_key: SigningKey | None = None
        self._making = asyncio.Lock()

    async def reference(self, owner: StatusOwner, *, now: float, lifetime: int) -> StatusReference:
        """Where the status of the owner's next token stands, which lives for `lifetime` seconds; given once.

        `InvalidClient` (401) if it was revoked since it authenticated, `StoreUnavailable` if only the store could say.
        """
        if not self._is_known(now):
            await self._read(now)
        key = owner.key()
        block = self._blocks.get(key)
        while block is None or not block.serves(now, lifetime):
            try:
                await asyncio.shield(self._next(key, owner, now, lifetime))
            except RevokedMeanwhile as error:
                raise InvalidClient(str(error)) from error
            block = self._blocks.get(key)
        place = block.first + block.rest.pop()
        if block.count > FIRST and block.is_nearly_given:
            self._next(key, owner, now, lifetime)  # before anybody has to wait for it
        return StatusReference(place, self.uri)

    def wish(self, owner: StatusOwner, *, now: float, lifetime: int) -> StatusRecord:
        """The first block of the owner, for the transaction that makes them one who can have it."""
        size = _first_size(owner)
        return _record(owner, size, now, _until(owner.certificate, now, size) + lifetime + STANDS)

    def adopt(self, owner: StatusOwner, record: StatusRecord, *, now: float) -> None:
        """The block that came of `wish` at `now` is given from, unless it was revoked since."""
        block = _Block.of(record, _until(owner.certificate, now, record.count))
        if not self._is_revoked(block):
            self._keep(owner.key(), block)

    async def is_valid(self, index: int, *, now: float) -> bool:
        """Whether the status at `index`, which a token of ours names, is valid.  `StoreUnavailable` if unknown.

        From memory, as the list has it: also of a place that no token was given yet.
        """
        await self._directory.confirm()
        if not self._is_known(now):
            await self._read(now)
        if 0 <= index < self._known.size:
            return index not in self._known.invalid
        return await self._store.revocations.is_valid(index)  # allotted since, or by nobody

    async def invalidate(self, index: int, *, until: float) -> None:
        """The status at `index` is not valid, here at once; its token ends at `until`."""
        await self._store.revocations.invalidate(index, until=until + STANDS)
        self._known.invalid.add((index, 1))
        self._known = replace(self._known, content=object())
        if self._reading.locked():  # all of it perhaps, as it was a moment ago
            self.forget()

    def forget(self) -> None:
        """Statuses have become invalid: the next question to the book asks the store."""
        self._forgotten += 1

    async def published(self, keys: KeyRing, clock: Callable[[], float]) -> bytes:
        """The list as a signed JWT, at most as old as the directory.  `StoreUnavailable` if that cannot be said."""
        await self._directory.confirm()
        if self._is_due(keys.signing, clock()):
            async with self._making:
                if self._is_due(keys.signing, clock()):
                    await self._make(keys.signing, clock())
        return self._list

    def _is_known(self, now: float) -> bool:
        known = self._known
        is_new = self._directory.revision.statuses in (known.statuses, known.asked)
        return is_new and known.forgotten == self._forgotten and abs(now - known.whole_at) < WHOLE

    async def _read(self, now: float) -> None:
        """Known is what the store says at the directory's revision, or later; many who need it ask once."""
        async with self._reading:
            while not self._is_known(now):
                await self._ask(now)

    async def _ask(self, now: float) -> None:
        """What the store says is known: its news, or all where that is due."""
        # Before the question: what is answered is of this revision or newer.
        asked, forgotten = self._directory.revision.statuses, self._forgotten
        since = self._known.statuses if abs(now - self._known.whole_at) < WHOLE else None
        said = await self._store.revocations.statuses(now + WHOLE, since=since)
        if since is not None and said.revision < since:  # an older database has taken the place of ours
            since, said = None, await self._store.revocations.statuses(now + WHOLE)
        if since is None:
            known = _Known(whole_at=now, size=said.size, invalid=Runs.of(said.invalid))
        else:
            known = self._with_news(said)
        self._known = replace(known, asked=asked, statuses=said.revision, forgotten=forgotten)
        self._drop_revoked(said)

    def _with_news(self, said: Statuses) -> _Known:
        known = self._known
        if not said.invalid and said.size <= known.size:
            return known
        for run in said.invalid:
            known.invalid.add(run)
        return replace(known, size=max(said.size, known.size), content=object())

    def _drop_revoked(self, said: Statuses) -> None:
        """No block is kept that is among what became invalid."""
        firsts = {first for first, _ in said.invalid}
        for key in [key for key, block in self._blocks.items() if block.first in firsts and self._is_revoked(block)]:
            del self._blocks[key]

    def _is_revoked(self, block: _Block) -> bool:
        """By a place of it that no token has: one that has a token may be revoked alone."""
        return bool(block.rest) and block.first + block.rest[-1] in self._known.invalid

    def _next(self, key: _Key, owner: StatusOwner, now: float, lifetime: int) -> "asyncio.Task[None]":
        """Another block is on its way; those who wait for one of the same owner wait for the same."""
        asking = self._asking.get(key)
        if asking is None:
            asking = asyncio.create_task(self._allot(key, owner, now, lifetime))
            self._asking[key] = asking
            asking.add_done_callback(lambda done: self._arrived(key, done))
        return asking

    def _arrived(self, key: _Key, done: "asyncio.Task[None]") -> None:
        del self._asking[key]
        if not done.cancelled():
            done.exception()  # seen, even when nobody waits any more

    async def _allot(self, key: _Key, owner: StatusOwner, now: float, lifetime: int) -> None:
        before = self._blocks.get(key)
        size = _first_size(owner) if before is None else before.next_size(now)
        until = _until(owner.certificate, now, size)
        record = _record(owner, size, now, until + lifetime + STANDS)
        origin = None if owner.origin is None else owner.origin.index
        block = _Block.of(await self._store.revocations.allot(record, now=now, origin=origin), until)
        if self._is_revoked(block):  # since it was allotted; and the directory knows already
            raise RevokedMeanwhile(f"client {owner.client_id!r} was revoked a moment ago")
        self._keep(key, block)

    def _keep(self, key: _Key, block: _Block) -> None:
        self._blocks[key] = block
        self._blocks.move_to_end(key)
        if len(self._blocks) > CAPACITY:
            self._blocks.popitem(last=False)

    def _is_due(self, key: SigningKey, now: float) -> bool:
        is_known = self._list_known is self._known and self._is_known(now) and self._list_key is key
        return not (is_known and 0 <= now - self._list_made_at < REMADE)

    async def _make(self, key: SigningKey, now: float) -> None:
        async with self._reading:
            await self._ask(now)
        known = self._known
        if known.content is not self._encoded_of:
            invalid = known.invalid.copy()  # what is revoked meanwhile is no part of it
            self._encoded = await asyncio.to_thread(lambda: encode_list(make_list(invalid, known.size)))
            self._encoded_of = known.content
        claims = describe_list(self._encoded, uri=self.uri, now=now)
        self._list = sign_list(claims, key).encode("ascii")
        self._list_known, self._list_made_at, self._list_key = known, now, key


def _first_size(owner: StatusOwner) -> int:
    """Places of the first block."""
    return FIRST_OF_FEW if owner.grant_id or owner.origin else FIRST


def _lease(count: int) -> float:
    """Seconds for which a block of so many places is used."""
    return max(LEASE * FIRST / max(count, FIRST), SHORTEST)


def _until(certificate: Certificate | None, now: float, count: int) -> float:
    """How long places may be given.  After the certificate expired there are tokens only if the client ignores that."""
    until = now + _lease(count)
    return until if certificate is None or now > certificate.not_after else min(until, certificate.not_after)


def _record(owner: StatusOwner, count: int, now: float, ends_at: float) -> StatusRecord:
    certificate = owner.certificate
    return StatusRecord(
        client_id=owner.client_id,
        thumbprint="" if certificate is None else certificate.thumbprint,
        grant_id=owner.grant_id,
        count=count,
        authorities=owner.authorities,
        twins=() if certificate is None else tuple(sorted(certificate.thumbprints - {certificate.thumbprint})),
        sources=owner.sources,
        created_at=now,
        ends_at=ends_at,
    )
