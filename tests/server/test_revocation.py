"""certbound.server.revocation: one use case behind the command, with one audit line."""

import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from certbound.core.certificate import KeyThumbprint, Thumbprint
from certbound.core.errors import ConfigurationError
from certbound.core.ports import ClientRecord, RevokedKind, StatusRecord, Store
from certbound.core.revoked import NOTHING_REVOKED, Revoked
from certbound.server.directory import ClientDirectory
from certbound.server.revocation import Impact, Revoker
from certbound.stores import open_store

NOW = 1_700_000_000.0


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_store(f"sqlite:///{tmp_path}/test.sqlite")
    await opened.clients.add(ClientRecord(client_id="a", metadata={}))
    yield opened
    await opened.close()


@pytest.fixture
def revoker(store: Store) -> Revoker:
    return Revoker(store, "alice", lambda: NOW)


async def test_the_directory_hears_of_it(store: Store, revoker: Revoker, caplog: pytest.LogCaptureFixture) -> None:
    """What authentication refuses is what was revoked, by kind; and one line says so when it changes."""
    directory = ClientDirectory(store, lambda: 0)
    await directory.refresh()
    assert directory.revoked is not None
    assert directory.revoked == NOTHING_REVOKED
    with caplog.at_level(logging.INFO, "certbound.server"):
        await revoker.revoke(RevokedKind.CERTIFICATE, "c")
        await revoker.revoke(RevokedKind.AUTHORITY, "k")
        await revoker.revoke(RevokedKind.CLIENT, "a")
        await directory.refresh()
        await directory.refresh()
    assert directory.revoked == Revoked(frozenset({Thumbprint("c")}), frozenset({KeyThumbprint("k")}))
    told = [each.getMessage() for each in caplog.records if each.name == "certbound.server"]
    assert told.count("revoked here are 1 certificates and 1 authorities") == 1


async def test_impact_is_what_revoke_does(store: Store, revoker: Revoker) -> None:
    """And asking for it changes nothing."""
    record = StatusRecord(client_id="a", thumbprint="c", authorities=("k",), created_at=NOW, ends_at=NOW + 9)
    await store.revocations.allot(record, now=NOW)
    for later in (NOW + 1, NOW + 2):  # of other processes, or when the first was used up
        await store.revocations.allot(replace(record, created_at=later), now=NOW)
    revision = await store.revision()
    expected = await revoker.impact(RevokedKind.AUTHORITY, "k")
    assert (expected.clients, expected.since, await store.revision()) == (["a"], None, revision)
    assert [each.created_at for each in expected.statuses] == [NOW]
    assert expected == await revoker.revoke(RevokedKind.AUTHORITY, "k")
    assert Impact(statuses=[], since=NOW) == await revoker.impact(RevokedKind.AUTHORITY, "k")


async def test_one_audit_line_each(revoker: Revoker, caplog: pytest.LogCaptureFixture) -> None:
    """Who, what, and how much; what was asked in vain has none."""
    await revoker.revoke(RevokedKind.CLIENT, "a")
    await revoker.revoke(RevokedKind.CLIENT, "a")
    await revoker.lift(RevokedKind.CLIENT, "a")
    with pytest.raises(ConfigurationError, match="is not revoked"):
        await revoker.lift(RevokedKind.CLIENT, "a")
    with pytest.raises(ConfigurationError, match="there is no client"):
        await revoker.revoke(RevokedKind.CLIENT, "nobody")
    assert [each.getMessage() for each in caplog.records if each.name == "certbound.audit"] == [
        "alice revoked the client 'a': 0 clients, tokens of 0 certificates",
        "alice revoked the client 'a': 0 clients, tokens of 0 certificates (it was already)",
        "alice lifted the revocation of the client 'a'; tokens it ended stay so",
    ]
