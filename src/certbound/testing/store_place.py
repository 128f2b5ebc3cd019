"""What the parts of the conformance suite for stores share: a place to open stores over, and records to put there."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, ClassVar, TypeVar

import pytest

from certbound.core.ports import (
    ClientRecord,
    GrantRecord,
    KeyRecord,
    RevocationRecord,
    RevokedKind,
    StatusRecord,
    Store,
)

T = TypeVar("T")

ODD_IDENTIFIERS = (
    "a",
    "A",
    " ",
    "client with spaces ",
    "x" * 255,
    "ü" * 255,
    "'; DROP TABLE clients; --",
    '"quoted" and `quoted` and [quoted]',
    "per%cent %s %(name)s :name ? $1 {0}",
    "back\\slash\\",
    "new\nline\tand\rothers",
    "https://client.example/αβγ?x=1#y",
    "🔐 \u202egro.elpmaxe",
    "Å",  # one code point
    "A\u030a",  # two; not the same id
    "\U0010ffff",
)
"""Identifiers that are nothing special to a store: each is itself and no other."""

METADATA: dict[str, Any] = {
    "client_name": "Ünïcode 🔐 \u0000 \u2028 \"quoted\" 'quoted' \\",
    "redirect_uris": [],
    "tls_client_auth_subject_dn": "CN=a\\,b+OU=c, O=\\00d",
    "jwks": {"keys": [{"kty": "EC", "x5c": ["MIIB"], "use": None}]},
    "tls_client_certificate_bound_access_tokens": True,
    "default_max_age": 3600,
    "x_large": 2**53,
    "x_fraction": 0.1,
    "": {"": {}},
}
"""Every kind of value that a JSON object can have."""


def client(client_id: str = "client", **metadata: Any) -> ClientRecord:
    """A client that no store has seen yet."""
    return ClientRecord(client_id=client_id, metadata=metadata, created_at=1_700_000_000.25)


def key(kid: str = "key", *, created_at: float = 1_700_000_000.25) -> KeyRecord:
    """A signing key; to a store its bytes are bytes, so all 256 are among them."""
    return KeyRecord(kid=kid, alg="ES256", private_key=kid.encode() + bytes(range(256)), created_at=created_at)


NOW = 1_700_000_000.0
"""When the revocations of these tests happen."""


def status(client_id: str = "client", thumbprint: str = "leaf", *authorities: str, **changes: Any) -> StatusRecord:
    """A status that no store has allotted yet; it ends in a week."""
    facts = {"created_at": NOW, "ends_at": NOW + 604_800, **changes}
    return StatusRecord(client_id=client_id, thumbprint=thumbprint, authorities=authorities, **facts)


def revocation(kind: RevokedKind, value: str, at: float = NOW) -> RevocationRecord:
    """What is revoked, at this moment."""
    return RevocationRecord(kind=kind, value=value, revoked_at=at)


async def allot(store: Store, record: StatusRecord, *, now: float = NOW) -> StatusRecord:
    """As for the first token of a client."""
    return await store.revocations.allot(record, now=now)


async def invalid(store: Store, now: float = NOW) -> set[int]:
    """All indices that the list calls invalid."""
    runs = (await store.revocations.statuses(now)).invalid
    return {index for first, count in runs for index in range(first, first + count)}


def places(*records: StatusRecord) -> set[int]:
    """All indices of these."""
    return {index for each in records for index in range(each.index, each.index + each.count)}


async def open_grant(store: Store, grant_id: str, **changes: Any) -> None:
    """A grant of a day, with a refresh token of the same name."""
    grant = GrantRecord(
        grant_id=grant_id, client_id="client", content={}, seed="s", created_at=NOW, ends_at=NOW + 86_400
    )
    await store.grants.open(replace(grant, **changes), grant_id, now=NOW)


async def valid_grants(store: Store, *grant_ids: str) -> list[str]:
    """Those of them that count, by their refresh tokens of the same name."""
    found = {each: await store.grants.find(each, now=NOW) for each in grant_ids}
    return [name for name, each in found.items() if each is not None and each.grant.valid]


class StorePlace:
    """Where a test keeps its stores; `StoreConformance` is one."""

    reopens: ClassVar[bool] = True
    """Whether a second `open` of one test finds what the first one stored; False for a store in memory."""

    async def open(self) -> Store:
        """A store over this test's own place, which is empty at first; each call is another process's view of it."""
        raise NotImplementedError

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Store]:
        """An open store, closed afterwards."""
        store = await self.open()
        try:
            yield store
        finally:
            await store.close()

    @asynccontextmanager
    async def opened_twice(self) -> AsyncIterator[tuple[Store, Store]]:
        """Two views of one place; skips where there are none."""
        if not self.reopens:
            pytest.skip("each opening of this store is a place of its own")
        async with self.opened() as first, self.opened() as second:
            yield first, second


async def refused(expected: type[Exception], call: Awaitable[Any]) -> None:
    """The call raises that."""
    with pytest.raises(expected):
        await call


async def parted(expected: type[Exception], calls: Iterable[Awaitable[T]]) -> tuple[list[T], int]:
    """The answers of those that won, and how many were refused as expected."""
    answers = await asyncio.gather(*calls, return_exceptions=True)
    won: list[T] = []
    for answer in answers:
        if not isinstance(answer, BaseException):
            won.append(answer)
        elif not isinstance(answer, expected):
            raise answer
    return won, len(answers) - len(won)
