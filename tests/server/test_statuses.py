"""certbound.server.statuses: nothing is written for a token, and no token gets a status that was revoked."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.exceptions import InvalidSignature
from joserfc import jws
from joserfc.jwk import ECKey

from certbound.core._twins import twins
from certbound.core.authentication import AuthenticatedClient, TrustedChain
from certbound.core.certificate import Certificate, read_certificate, read_pem_certificates
from certbound.core.clients import read_client
from certbound.core.errors import InvalidClient, StoreUnavailable
from certbound.core.jwks import RegisteredCertificate
from certbound.core.keys import require_strong_key
from certbound.core.ports import ClientRecord, RevocationRecord, RevokedKind, Store
from certbound.core.status import LIFETIME, read_list
from certbound.core.tokens import SigningKey
from certbound.server.directory import MAX_AGE, ClientDirectory
from certbound.server.statuses import LEASE, MARGIN, REMADE, StatusBook
from certbound.stores import open_store
from certbound.trust.authority import Authority

NOW = 1_700_000_000.0
METADATA: dict[str, Any] = {"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "a.example"}
URI = "https://as.example/status"
KEY = SigningKey.generate()
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
    """The store's revocations, and how often the two questions of the hot path were asked."""

    def __init__(self, store: Store) -> None:
        self.allotted = self.listed = 0
        self._allot, self._statuses = store.revocations.allot, store.revocations.statuses
        store.revocations.allot = self.allot  # type: ignore[method-assign]
        store.revocations.statuses = self.statuses  # type: ignore[method-assign]

    async def allot(self, *facts: Any, **more: Any) -> Any:
        self.allotted += 1
        return await self._allot(*facts, **more)

    async def statuses(self, now: float) -> Any:
        self.listed += 1
        return await self._statuses(now)


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


async def test_a_second_token_costs_no_question(book: StatusBook, store: Store) -> None:
    """The status is remembered; with the database gone, it is still there."""
    first = await book.reference(authenticated(), now=NOW, lifetime=300)
    await store.close()
    assert first == await book.reference(authenticated(), now=NOW + 60, lifetime=300)
    assert first.uri == URI


async def test_what_differs_has_another_status(book: StatusBook) -> None:
    """Certificate, path, or that there is no path: each of them can be revoked by itself."""
    registered = replace(authenticated(), proof=RegisteredCertificate(LEAF))
    found = [
        await book.reference(each, now=NOW, lifetime=300)
        for each in (authenticated(), authenticated(OTHER), authenticated(LEAF, OTHER, CA), registered)
    ]
    assert len({each.index for each in found}) == 4


async def test_a_status_outlives_its_tokens(book: StatusBook, store: Store) -> None:
    """It is written anew before a token could live longer, and not before that."""
    counted = Counted(store)
    first = await book.reference(authenticated(), now=NOW, lifetime=300)
    last = NOW + LEASE - MARGIN - 300
    assert first == await book.reference(authenticated(), now=last, lifetime=300)
    assert counted.allotted == 1
    assert first == await book.reference(authenticated(), now=last + 1, lifetime=300)
    assert first == await book.reference(authenticated(), now=last + 2, lifetime=300)
    assert counted.allotted == 2


async def test_a_certificate_of_an_hour_takes_no_place_for_a_week(book: StatusBook, store: Store) -> None:
    """When it and its last token have expired, its place is free; one that is accepted expired stays for the week."""
    hour, gone = (
        read_certificate(AUTHORITY.issue(dns=["a.example"], now=datetime.fromtimestamp(at, UTC), days=1 / 24).der)
        for at in (NOW, NOW - 7200)
    )
    for certificate in (hour, gone):
        await book.reference(authenticated(certificate), now=NOW, lifetime=300)
    await book.reference(authenticated(hour), now=NOW + 3600 - 1, lifetime=300)
    found = await store.revocations.affected(RevokedKind.CLIENT, "a", now=NOW)
    assert {each.thumbprint: each.ends_at for each in found} == {
        hour.thumbprint: NOW + 3600 + 300 + MARGIN,
        gone.thumbprint: NOW + LEASE,
    }


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (RevokedKind.CERTIFICATE, LEAF.thumbprint),
        (RevokedKind.AUTHORITY, CA.key_thumbprint),
        (RevokedKind.CLIENT, "a"),
    ],
)
async def test_a_revoked_status_is_given_no_more(
    book: StatusBook, store: Store, directory: ClientDirectory, kind: RevokedKind, value: str
) -> None:
    """As soon as the directory knows; a token that was signed a moment before has one that the list calls invalid."""
    await directory.refresh()
    first = await book.reference(authenticated(), now=NOW, lifetime=300)
    await revoke(store, kind, value)
    assert first == await book.reference(authenticated(), now=NOW, lifetime=300)
    await directory.refresh()
    with pytest.raises(InvalidClient):
        await book.reference(authenticated(), now=NOW, lifetime=300)
    said = read_list(read(await book.published([KEY], lambda: NOW)), uri=URI, now=NOW)
    assert not said.content.is_valid(first.index)


async def test_a_twin_has_no_token_left(book: StatusBook, store: Store) -> None:
    """A thief makes another certificate of the stolen one, without any key (ECDSA): what it obtained ends too."""
    twin = next(each for each in map(read_certificate, twins(LEAF.der)) if _is_signed(each))
    assert twin.thumbprint != LEAF.thumbprint
    first = await book.reference(authenticated(twin), now=NOW, lifetime=300)
    await revoke(store, RevokedKind.CERTIFICATE, LEAF.thumbprint)
    assert (await store.revocations.statuses(NOW)).invalid == {first.index}


async def test_a_status_that_was_found_before_a_revocation_is_not_remembered(
    book: StatusBook, store: Store, directory: ClientDirectory
) -> None:
    """However the answers of the store and of the directory interleave."""
    await directory.refresh()
    for n in range(10):
        first, *_ = await asyncio.gather(
            book.reference(authenticated(), now=NOW, lifetime=300),
            revoke(store, RevokedKind.CERTIFICATE, LEAF.thumbprint),
            return_exceptions=True,
        )
        assert not isinstance(first, InvalidClient) or n == 0
        await store.revocations.remove(RevokedKind.CERTIFICATE, LEAF.thumbprint)
        await directory.refresh()
        found = await book.reference(authenticated(), now=NOW, lifetime=300)
        assert found.index not in (await store.revocations.statuses(NOW)).invalid


async def test_a_change_of_something_else_forgets_nothing(
    book: StatusBook, store: Store, directory: ClientDirectory
) -> None:
    """When any client changes, one question says which statuses are invalid; the others stay remembered."""
    first = await book.reference(authenticated(), now=NOW, lifetime=300)
    await store.clients.add(ClientRecord(client_id="b", metadata=METADATA))
    await directory.refresh()
    counted = Counted(store)
    again = await asyncio.gather(*(book.reference(authenticated(), now=NOW, lifetime=300) for _ in range(50)))
    assert {first} == set(again)
    assert (counted.allotted, counted.listed) == (0, 1)


async def test_memory_is_bounded(book: StatusBook, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is forgotten has the same status the next time."""
    monkeypatch.setattr("certbound.server.statuses.CAPACITY", 1)
    for _ in range(2):
        first = await book.reference(authenticated(), now=NOW, lifetime=300)
        second = await book.reference(authenticated(OTHER), now=NOW, lifetime=300)
    assert first == await book.reference(authenticated(), now=NOW, lifetime=300)
    assert second != first
    assert len(book._remembered) == 1


async def test_the_list_is_made_when_something_changed(
    book: StatusBook, store: Store, directory: ClientDirectory, clock: Clock
) -> None:
    """Not for a request; when the directory hears of a change, and before the list ends."""
    first = await book.published([KEY], lambda: NOW)
    assert first is await book.published([KEY], lambda: NOW + REMADE - 1)
    assert first is not (later := await book.published([KEY], lambda: NOW + REMADE))
    assert REMADE < LIFETIME / 2
    await revoke(store, RevokedKind.CERTIFICATE, LEAF.thumbprint)
    assert later is await book.published([KEY], lambda: NOW + REMADE)
    clock.now += MAX_AGE + 0.001
    assert later is not await book.published([KEY], lambda: NOW + REMADE)


async def test_many_questions_make_one_list(book: StatusBook, store: Store) -> None:
    """Whoever comes while it is made waits for it."""
    counted = Counted(store)
    lists = await asyncio.gather(*(book.published([KEY], lambda: NOW) for _ in range(50)))
    assert (len(set(lists)), counted.listed) == (1, 1)


async def test_an_old_list_is_not_published(book: StatusBook, store: Store, clock: Clock) -> None:
    """Closed by default: what the store does not confirm is not said."""
    await book.published([KEY], lambda: NOW)
    await store.close()
    clock.now += MAX_AGE + 0.001
    with pytest.raises(StoreUnavailable):
        await book.published([KEY], lambda: NOW)


async def test_a_clock_that_goes_back(book: StatusBook) -> None:
    """A list from a time that is not yet is made again."""
    late = await book.published([KEY], lambda: NOW + 1000)
    assert late is not await book.published([KEY], lambda: NOW)
