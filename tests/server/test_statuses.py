"""certbound.server.statuses: each token has a place of its own, and none has one that was revoked."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.exceptions import InvalidSignature
from joserfc import jws
from joserfc.jwk import ECKey

from certbound.core._twins import twins
from certbound.core.authentication import AuthenticatedClient
from certbound.core.certificate import Certificate, read_certificate, read_pem_certificates
from certbound.core.clients import read_client
from certbound.core.errors import InvalidClient, StoreUnavailable
from certbound.core.keys import require_strong_key
from certbound.core.ports import ClientRecord, GrantRecord, Origin, RevocationRecord, RevokedKind, SecretRecord, Store
from certbound.core.proofs import KnownSecret, TrustedChain
from certbound.core.signing import SigningKey
from certbound.core.status import LIFETIME, Runs, StatusReference, read_list
from certbound.server.directory import MAX_AGE, ClientDirectory
from certbound.server.keys import KeyRing
from certbound.server.statuses import (
    AHEAD,
    FEWEST,
    FIRST,
    FIRST_OF_FEW,
    LEASE,
    MOST,
    REMADE,
    SHORTEST,
    STANDS,
    WHOLE,
    StatusBook,
    StatusOwner,
)
from certbound.stores import open_store
from certbound.trust.authority import Authority

NOW = 1_700_000_000.0
METADATA: dict[str, Any] = {"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "a.example"}
URI = "https://as.example/status"
KEY = SigningKey.generate()
RING = KeyRing.of(KEY, lambda: NOW)
AUTHORITY = Authority.create("CA")
[CA] = read_pem_certificates(AUTHORITY.certificate_pem)
LEAF = read_certificate(AUTHORITY.issue(dns=["a.example"]).der)
OTHER = read_certificate(AUTHORITY.issue(dns=["a.example"]).der)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Counted:
    """The store's revocations, and what was asked of them."""

    def __init__(self, store: Store) -> None:
        self.sizes: list[int] = []
        self.asked: list[bool] = []
        """Of each question for statuses, whether it was for all of them."""
        self.said: list[int] = []
        """And how many runs the answer had."""
        self._allot, self._statuses = store.revocations.allot, store.revocations.statuses
        store.revocations.allot = self.allot  # type: ignore[method-assign]
        store.revocations.statuses = self.statuses  # type: ignore[method-assign]

    async def allot(self, record: Any, *, now: float, origin: int | None = None) -> Any:
        self.sizes.append(record.count)
        return await self._allot(record, now=now, origin=origin)

    async def statuses(self, now: float, *, since: int | None = None) -> Any:
        self.asked.append(since is None)
        said = await self._statuses(now, since=since)
        self.said.append(len(said.invalid))
        return said

    @property
    def listed(self) -> int:
        return len(self.asked)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_store(f"sqlite:///{tmp_path}/test.sqlite")
    await opened.clients.add(ClientRecord(client_id="a", metadata=METADATA))
    yield opened
    await opened.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def directory(store: Store, clock: Clock) -> ClientDirectory:
    return ClientDirectory(store, clock)


@pytest.fixture
def book(store: Store, directory: ClientDirectory) -> StatusBook:
    return StatusBook(store, directory, URI)


def authenticated(certificate: Any = LEAF, *authorities: Any) -> AuthenticatedClient:
    """As `authenticate` would say."""
    proof = TrustedChain((certificate, *(authorities or (CA,))), NOW + 1e6)
    return AuthenticatedClient(read_client("a", METADATA), certificate, require_strong_key(certificate), proof)


def by_secret() -> AuthenticatedClient:
    """A client without a certificate."""
    return AuthenticatedClient(read_client("a", METADATA), None, None, KnownSecret(SecretRecord(digest="d")))


def owner(certificate: Any = LEAF, *authorities: Any, grant_id: str = "") -> StatusOwner:
    """Of tokens that are bound to the certificate."""
    return StatusOwner.of(authenticated(certificate, *authorities), certificate, grant_id)


def from_token(origin: Origin | None) -> StatusOwner:
    """The same owner, of what was obtained from a token."""
    return StatusOwner.of(authenticated(), LEAF, origin=origin)


async def place(book: StatusBook, of: StatusOwner | None = None, *, at: float = NOW) -> int:
    """Where the next token stands, which lives for five minutes."""
    return (await book.reference(of or owner(), now=at, lifetime=300)).index


async def invalid(store: Store) -> Runs:
    return Runs.of((await store.revocations.statuses(NOW)).invalid)


async def blocks(store: Store) -> Any:
    """What was allotted to the client."""
    return await store.revocations.affected(RevokedKind.CLIENT, "a", now=0)


async def open_grant(store: Store, grant_id: str) -> None:
    grant = GrantRecord(grant_id=grant_id, client_id="a", content={}, seed="s", created_at=NOW, ends_at=NOW + 1e6)
    await store.grants.open(grant, f"token of {grant_id}", now=NOW)


async def revoke(store: Store, kind: RevokedKind, value: str) -> None:
    await store.revocations.add(RevocationRecord(kind=kind, value=value, revoked_at=NOW))


def _is_signed(certificate: Certificate) -> bool:
    try:
        certificate.parsed.verify_directly_issued_by(AUTHORITY.certificate)
    except InvalidSignature:
        return False
    return True


def read(token: bytes) -> Any:
    """What the list says, its signature verified."""
    return msgspec.json.decode(jws.deserialize_compact(token, ECKey.import_key(KEY.public_jwk())).payload)


async def test_the_next_token_costs_no_question(book: StatusBook, store: Store) -> None:
    """Each has another place, out of memory; with the database gone, there are fifteen more."""
    first = await book.reference(owner(), now=NOW, lifetime=300)
    await store.close()
    others = [await place(book, at=NOW + each) for each in range(FIRST - 1)]
    assert len({first.index, *others}) == FIRST
    assert first == StatusReference(first.index, URI)
    with pytest.raises(StoreUnavailable):
        await place(book)


async def test_the_order_of_places_tells_nothing(book: StatusBook) -> None:
    """Who sees two tokens of a client cannot count those between them."""
    runs = [[await place(book) for _ in range(FIRST)] for _ in range(3)]
    assert [sorted(each) for each in runs] != runs
    assert [sorted(each, reverse=True) for each in runs] != runs


async def test_what_can_be_revoked_apart_shares_no_block(book: StatusBook, store: Store) -> None:
    """Certificate, path, that there is neither, and the grant: each of them can be revoked by itself."""
    await open_grant(store, "g")
    registered = StatusOwner("a", LEAF)
    owners = [owner(), owner(OTHER), owner(LEAF, OTHER, CA), registered, owner(grant_id="g"), StatusOwner("a", None)]
    for each in owners * 2:
        await place(book, each)
    found = await blocks(store)
    assert len(found) == len(owners)
    assert {each.grant_id: each.count for each in found} == {"": FIRST, "g": FIRST_OF_FEW}
    origins = [await store.revocations.origin(each.index) for each in found]
    for origin in origins * 2:
        await place(book, from_token(origin))
    obtained = [each for each in await blocks(store) if each.sources]
    assert {(each.sources, each.count) for each in obtained} == {
        (each.sources, FIRST_OF_FEW) for each in origins if each
    }
    assert len(obtained) == len(owners)


async def test_what_a_revoked_token_gave_has_no_status(book: StatusBook, store: Store) -> None:
    """Although the client itself may go on: nobody has the place that it would have got."""
    subject = StatusOwner("a", OTHER)
    origin = await store.revocations.origin(await place(book, subject))
    obtained = from_token(origin)
    await place(book, obtained)
    await revoke(store, RevokedKind.CERTIFICATE, OTHER.thumbprint)
    await store.revocations.remove(RevokedKind.CERTIFICATE, OTHER.thumbprint)
    book.forget()
    with pytest.raises(InvalidClient):
        await place(book, obtained)
    assert await store.revocations.origin(await place(book, subject)) is not None


def test_whose_a_status_is() -> None:
    """The certificate that tokens are bound to, or else that of the authentication; a path only if it proved it."""
    bound, unbound, secret = (
        StatusOwner.of(authenticated(), LEAF, "g"), StatusOwner.of(authenticated(), None),
        StatusOwner.of(by_secret(), OTHER),
    )  # fmt: skip
    assert bound == StatusOwner("a", LEAF, (CA.key_thumbprint,), "g")
    assert unbound == StatusOwner("a", LEAF, (CA.key_thumbprint,))
    assert secret == StatusOwner("a", OTHER)
    assert StatusOwner.of(by_secret(), None) == StatusOwner("a", None)


async def test_a_busy_client_asks_seldom(book: StatusBook, store: Store) -> None:
    """Its blocks double until 1024, and the next one is there before the last place is given."""
    counted = Counted(store)
    given = []
    for number in range(5000):
        given.append(await place(book, at=NOW + number / 100))
        if number % 20 == 0:
            await asyncio.sleep(0.001)
    assert len(set(given)) == 5000
    assert counted.sizes[:7] == [FIRST, 32, 64, 128, 256, 512, MOST]
    assert set(counted.sizes[7:]) == {MOST}
    assert len(counted.sizes) <= 12


async def test_the_next_block_comes_before_it_is_needed(book: StatusBook, store: Store) -> None:
    """Of a block larger than the first, the last eighth is given while the store is asked."""
    for _ in range(FIRST + 1):
        await place(book)
    for _ in range(2 * FIRST * (AHEAD - 1) // AHEAD - 2):
        await place(book)
    counted = Counted(store)
    await place(book)
    assert counted.sizes == []
    before = book._blocks[owner().key()]
    for _ in range(3):  # without a moment in which another task could run
        assert (await place(book)) in range(before.first, before.first + before.count)
    while book._asking:
        await asyncio.sleep(0.001)
    assert counted.sizes == [4 * FIRST]
    await store.close()
    assert await place(book) not in range(before.first, before.first + before.count)


async def test_a_client_that_is_seldom_there_has_small_blocks(book: StatusBook, store: Store) -> None:
    """Half as many where most of them were not used; a token in ten hours has four, not one more."""
    counted = Counted(store)
    for number in range(5):
        await place(book, at=NOW + number * (LEASE + 1))
    assert counted.sizes == [16, 8, FEWEST, FEWEST, FEWEST]
    await place(book, at=NOW + 4 * (LEASE + 1) + LEASE - 1)
    assert len(counted.sizes) == 5


async def test_a_steady_client_keeps_its_size(book: StatusBook, store: Store) -> None:
    """Ten tokens while a block is used: neither more places nor fewer."""
    counted = Counted(store)
    for number in range(60):
        await place(book, at=NOW + number * LEASE / 10)
    assert set(counted.sizes) == {FIRST}
    assert len(counted.sizes) <= 7


async def test_many_first_tokens_of_one_client_ask_a_few_times(book: StatusBook, store: Store) -> None:
    """They wait for the same block, and those whom it does not serve for the next."""
    counted = Counted(store)
    given = await asyncio.gather(*(place(book) for _ in range(500)))
    assert len(set(given)) == 500
    assert counted.sizes[:6] == [16, 32, 64, 128, 256, 512]
    assert len(counted.sizes) <= 7


async def test_who_goes_away_takes_nothing_from_others(book: StatusBook) -> None:
    """The first one asked for the block that all wait for, and gives up."""
    asking = [asyncio.ensure_future(place(book)) for _ in range(5)]
    await asyncio.sleep(0.0005)
    asking[0].cancel()
    given = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(given[0], asyncio.CancelledError)
    assert len(set(given[1:])) == 4


async def test_two_processes_give_no_place_twice(store: Store, clock: Clock, tmp_path: Path) -> None:
    """Over one file, each leases blocks of its own."""
    other = await open_store(f"sqlite:///{tmp_path}/test.sqlite")
    books = [StatusBook(each, ClientDirectory(each, clock), URI) for each in (store, other)]
    given = await asyncio.gather(*(place(book) for _ in range(200) for book in books))
    await other.close()
    assert len(set(given)) == 400


async def test_a_status_outlives_its_token(book: StatusBook, store: Store) -> None:
    """Nobody else has the place before it has ended, whenever in the lease it was made, however long it lives."""
    first = await place(book)
    last = await place(book, at=NOW + LEASE)
    [block] = await blocks(store)
    assert first // FIRST == last // FIRST
    assert block.ends_at == NOW + LEASE + 300 + STANDS
    longer = await book.reference(owner(), now=NOW + LEASE, lifetime=3600)
    assert longer.index // FIRST != first // FIRST
    assert await place(book, at=NOW + LEASE + 1) // FIRST == longer.index // FIRST


async def test_a_certificate_of_an_hour_takes_no_place_for_longer(book: StatusBook, store: Store) -> None:
    """When it and its last token have expired, its places are free; one accepted expired has the usual lease."""
    hour, gone = (
        read_certificate(AUTHORITY.issue(dns=["a.example"], now=datetime.fromtimestamp(at, UTC), days=1 / 24).der)
        for at in (NOW, NOW - 7200)
    )
    for certificate in (hour, gone):
        await place(book, owner(certificate))
    await place(book, owner(hour), at=NOW + 3600 - 1)
    assert {each.thumbprint: each.ends_at for each in await blocks(store)} == {
        hour.thumbprint: NOW + 3600 + 300 + STANDS,
        gone.thumbprint: NOW + LEASE + 300 + STANDS,
    }


async def test_a_large_block_is_used_for_a_shorter_time(book: StatusBook, store: Store) -> None:
    """Or a busy client would keep millions of places for hours."""
    await asyncio.gather(*(place(book) for _ in range(1500)))
    leases = {each.count: each.ends_at - NOW - 300 - STANDS for each in await blocks(store)}
    assert leases[16] == LEASE
    assert leases[64] == LEASE / 4
    assert leases[MOST] == SHORTEST


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (RevokedKind.CERTIFICATE, LEAF.thumbprint),
        (RevokedKind.AUTHORITY, CA.key_thumbprint),
        (RevokedKind.CLIENT, "a"),
    ],
)
async def test_a_revoked_block_is_given_no_more(
    book: StatusBook, store: Store, directory: ClientDirectory, kind: RevokedKind, value: str
) -> None:
    """As soon as the directory knows; a token that was signed a moment before has a place the list calls invalid."""
    await directory.refresh()
    first = await place(book)
    await revoke(store, kind, value)
    second = await place(book)
    assert await book.is_valid(second, now=NOW)  # at most `MAX_AGE` seconds
    await directory.refresh()
    with pytest.raises(InvalidClient):
        await place(book)
    said = read_list(read(await book.published(RING, lambda: NOW)), uri=URI, now=NOW)
    for index in (first, second):
        assert not said.content.is_valid(index)
        assert not await book.is_valid(index, now=NOW)


async def test_a_twin_has_no_token_left(book: StatusBook, store: Store) -> None:
    """A thief makes another certificate of the stolen one, without any key (ECDSA): what it obtained ends too."""
    twin = next(each for each in map(read_certificate, twins(LEAF.der)) if _is_signed(each))
    assert twin.thumbprint != LEAF.thumbprint
    first = await place(book, owner(twin))
    await revoke(store, RevokedKind.CERTIFICATE, LEAF.thumbprint)
    assert first in await invalid(store)


async def test_what_is_lifted_revives_nothing(book: StatusBook, store: Store, directory: ClientDirectory) -> None:
    """However the answers of the store and of the directory interleave."""
    await directory.refresh()
    ended = set()
    for n in range(10):
        some, *_ = await asyncio.gather(
            place(book),
            revoke(store, RevokedKind.CERTIFICATE, LEAF.thumbprint),
            directory.refresh(),
            return_exceptions=True,
        )
        assert isinstance(some, int) or n == 0
        if isinstance(some, int):
            ended.add(some)
        await store.revocations.remove(RevokedKind.CERTIFICATE, LEAF.thumbprint)
        await directory.refresh()
        found = await place(book)
        assert found not in await invalid(store)
        ended.add(found)
    await revoke(store, RevokedKind.CERTIFICATE, LEAF.thumbprint)
    runs = await invalid(store)
    assert [each for each in ended if each not in runs] == []


async def test_a_block_that_was_revoked_before_it_is_adopted_is_given_no_more(book: StatusBook, store: Store) -> None:
    """The book heard of it while the answer of the store that made it was under way."""
    mine = owner(grant_id="g")
    grant = GrantRecord(grant_id="g", client_id="a", content={}, seed="s", created_at=NOW, ends_at=NOW + 1e6)
    opened = await store.grants.open(grant, None, now=NOW, block=book.wish(mine, now=NOW, lifetime=300))
    assert opened.block is not None
    assert await store.grants.revoke("g", now=NOW)
    book.forget()
    assert not await book.is_valid(opened.block.index, now=NOW)
    book.adopt(mine, opened.block, now=NOW)
    with pytest.raises(InvalidClient):
        await place(book, mine)


async def test_one_token_is_revoked_alone(book: StatusBook, store: Store, directory: ClientDirectory) -> None:
    """Here at once, elsewhere when the directory hears of it; its siblings live, and their block is used on."""
    elsewhere = StatusBook(store, directory, URI)
    given = [await place(book) for _ in range(FIRST - 1)]
    assert all([await each.is_valid(index, now=NOW) for index in given for each in (book, elsewhere)])
    await book.invalidate(given[3], until=NOW + 300)
    assert [index for index in given if not await book.is_valid(index, now=NOW)] == [given[3]]
    assert await elsewhere.is_valid(given[3], now=NOW)
    await directory.refresh()
    assert not await elsewhere.is_valid(given[3], now=NOW)
    counted = Counted(store)
    await place(book)
    assert counted.sizes == []


async def test_a_revoked_place_is_invalid_for_longer_than_its_token_lives(book: StatusBook, store: Store) -> None:
    """By whatever the clocks of two servers may differ."""
    first = await place(book)
    await book.invalidate(first, until=NOW + 300)
    for at, expected in ((NOW + 300 + STANDS - 1, True), (NOW + 300 + STANDS + 1, False)):
        assert (first in Runs.of((await store.revocations.statuses(at)).invalid)) is expected


async def test_a_revoked_grant_has_no_token_left(book: StatusBook, store: Store, directory: ClientDirectory) -> None:
    """And gets none; what the client has without the grant lives."""
    await open_grant(store, "g")
    of_grant = [await place(book, owner(grant_id="g")) for _ in range(6)]
    other = await place(book)
    await store.grants.revoke("g", now=NOW)
    book.forget()
    assert [await book.is_valid(each, now=NOW) for each in (*of_grant, other)] == [*[False] * 6, True]
    with pytest.raises(InvalidClient, match="grant"):
        await place(book, owner(grant_id="g"))


async def test_validity_is_answered_from_memory(book: StatusBook, store: Store, clock: Clock) -> None:
    """One question for all, and another when something was revoked; none is answered with what may be old."""
    first = await place(book)
    await book.invalidate(first, until=NOW + 300)
    counted = Counted(store)
    answers = await asyncio.gather(*(book.is_valid(each, now=NOW) for each in range(first - 50, first + 50)))
    assert (answers.count(False), counted.asked, counted.said) == (1, [False], [1])
    await store.clients.add(ClientRecord(client_id="b", metadata=METADATA))
    clock.now += MAX_AGE + 0.001
    assert not await book.is_valid(first, now=NOW)
    assert counted.listed == 1
    await store.close()
    assert not await book.is_valid(first, now=NOW)
    clock.now += MAX_AGE + 0.001
    with pytest.raises(StoreUnavailable):
        await book.is_valid(first, now=NOW)


async def test_a_revocation_costs_no_look_at_the_others(
    book: StatusBook, store: Store, directory: ClientDirectory
) -> None:
    """Here none at all; elsewhere as many as there are news, however many were revoked before."""
    await directory.refresh()
    elsewhere = StatusBook(store, directory, URI)
    given = [await place(book) for _ in range(100)]
    for index in given[:90]:
        await book.invalidate(index, until=NOW + 300)
    await elsewhere.is_valid(given[0], now=NOW)
    counted = Counted(store)
    for index in given[90:95]:
        await book.invalidate(index, until=NOW + 300)
        assert not await book.is_valid(index, now=NOW)
    assert counted.asked == []
    await directory.refresh()
    answers = [await elsewhere.is_valid(index, now=NOW) for index in given]
    assert answers == [False] * 95 + [True] * 5
    assert (counted.asked, counted.said) == ([False], [5])


async def test_what_is_revoked_while_all_is_read_is_not_forgotten(
    book: StatusBook, store: Store, directory: ClientDirectory
) -> None:
    """Though the answer was made before."""
    given = [await place(book) for _ in range(2)]
    statuses, invalidate, revoked = store.revocations.statuses, book.invalidate, asyncio.Event()

    async def late(now: float, *, since: int | None = None) -> Any:
        said = await statuses(now, since=since)
        if since is None and not revoked.is_set():
            await invalidate(given[1], until=NOW + 300)
            revoked.set()
        return said

    store.revocations.statuses = late  # type: ignore[method-assign]
    assert not await book.is_valid(given[1], now=NOW + WHOLE + 1)
    assert revoked.is_set()
    assert await book.is_valid(given[0], now=NOW + WHOLE + 1)


@pytest.mark.parametrize("revoke_alone", [True, False])
async def test_a_place_is_forgotten_before_another_token_has_it(
    book: StatusBook, store: Store, directory: ClientDirectory, *, revoke_alone: bool
) -> None:
    """In a process that was told of it, and is asked nothing meanwhile: when its row may go, its place is valid."""
    elsewhere = StatusBook(store, directory, URI)
    first = await place(book)
    if revoke_alone:
        await book.invalidate(first, until=NOW + LEASE + 300)
    else:
        await revoke(store, RevokedKind.CERTIFICATE, LEAF.thumbprint)
    await directory.refresh()
    ends_at = NOW + LEASE + 300 + STANDS
    for each in (book, elsewhere):
        assert not await each.is_valid(first, now=ends_at - WHOLE - 1)
    while await store.tokens.purge(now=ends_at + 1):
        pass
    for each in (book, elsewhere):
        assert await each.is_valid(first, now=ends_at + 1)


async def test_all_is_read_again_after_some_minutes(book: StatusBook, store: Store) -> None:
    """What a hand changed in the database is seen then; and once for all who ask."""
    first = await place(book)
    counted = Counted(store)
    for at in (NOW, NOW + WHOLE - 1, NOW + WHOLE, NOW + WHOLE + 1, NOW):
        await asyncio.gather(*(book.is_valid(first, now=at) for _ in range(3)))
    assert counted.asked == [True, True]


async def test_an_older_database_in_the_place_of_ours(
    book: StatusBook, store: Store, directory: ClientDirectory, tmp_path: Path
) -> None:
    """A backup was restored while the server ran: what it does not know to be revoked is valid again."""
    given = [await place(book) for _ in range(3)]
    await book.invalidate(given[0], until=NOW + 300)
    with (
        closing(sqlite3.connect(f"{tmp_path}/test.sqlite")) as ours,
        closing(sqlite3.connect(f"{tmp_path}/backup.sqlite")) as backup,
    ):
        ours.backup(backup)
        await book.invalidate(given[1], until=NOW + 300)
        await directory.refresh()
        assert [await book.is_valid(each, now=NOW) for each in given] == [False, False, True]
        backup.backup(ours)
    await directory.refresh()
    assert [await book.is_valid(each, now=NOW) for each in given] == [False, True, True]


@pytest.mark.parametrize("index", [-1, 1 << 30, 1 << 62, 1 << 70])
async def test_where_no_status_can_be(book: StatusBook, index: int) -> None:
    """Outside the list, the store itself is asked, and says no."""
    assert not await book.is_valid(index, now=NOW)


async def test_a_change_of_something_else_forgets_nothing(
    book: StatusBook, store: Store, directory: ClientDirectory
) -> None:
    """When a client changes, nothing is asked; when a token was revoked, one question for all."""
    first = await place(book)
    await store.clients.add(ClientRecord(client_id="b", metadata=METADATA))
    await directory.refresh()
    await place(book)
    counted = Counted(store)
    await asyncio.gather(*(place(book) for _ in range(6)))
    assert (counted.sizes, counted.listed) == ([], 0)
    await store.revocations.invalidate(first, until=NOW + 300)
    await directory.refresh()
    await asyncio.gather(*(place(book) for _ in range(6)))
    assert (counted.sizes, counted.listed) == ([], 1)


async def test_memory_is_bounded(book: StatusBook, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is forgotten gets other places the next time."""
    monkeypatch.setattr("certbound.server.statuses.CAPACITY", 1)
    given = [await place(book, each) for each in (owner(), owner(OTHER)) * 3]
    assert len(set(given)) == 6
    assert len(book._blocks) == 1


async def test_the_list_is_made_when_something_changed(
    book: StatusBook, store: Store, directory: ClientDirectory, clock: Clock
) -> None:
    """Not for a request; when the directory hears of a change, and before the list ends."""
    first = await book.published(RING, lambda: NOW)
    assert first is await book.published(RING, lambda: NOW + REMADE - 1)
    assert first is not (later := await book.published(RING, lambda: NOW + REMADE))
    assert REMADE < LIFETIME / 2
    await revoke(store, RevokedKind.CERTIFICATE, LEAF.thumbprint)
    assert later is await book.published(RING, lambda: NOW + REMADE)
    clock.now += MAX_AGE + 0.001
    assert later is not await book.published(RING, lambda: NOW + REMADE)


async def test_many_questions_make_one_list(book: StatusBook, store: Store) -> None:
    """Whoever comes while it is made waits for it."""
    counted = Counted(store)
    lists = await asyncio.gather(*(book.published(RING, lambda: NOW) for _ in range(50)))
    assert (len(set(lists)), counted.listed) == (1, 1)


async def test_an_old_list_is_not_published(book: StatusBook, store: Store, clock: Clock) -> None:
    """Closed by default: what the store does not confirm is not said."""
    await book.published(RING, lambda: NOW)
    await store.close()
    clock.now += MAX_AGE + 0.001
    with pytest.raises(StoreUnavailable):
        await book.published(RING, lambda: NOW)


async def test_a_clock_that_goes_back(book: StatusBook) -> None:
    """A list from a time that is not yet is made again."""
    late = await book.published(RING, lambda: NOW + 1000)
    assert late is not await book.published(RING, lambda: NOW)
