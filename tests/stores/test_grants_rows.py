"""Grants and tokens in SQLite: one statement for a question, and what a hand wrote into their rows."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from asked import without_values
from certbound.core.ports import Rotation, Store
from certbound.testing.store_grants import GRACE, grant, opened_grant, rotate
from certbound.testing.store_tokens import access_token
from certbound.testing.stores import NOW, client


async def test_a_look_is_the_same_statement_whatever_it_finds(store: Store, statements: list[str]) -> None:
    """Who measures it learns nothing: a token that is there, revoked, replaced, ended, or never was."""
    await opened_grant(store)
    await rotate(store, "first", "second")
    await store.grants.open(grant("revoked"), "revoked", now=NOW)
    await store.grants.revoke("revoked", now=NOW)
    await store.tokens.add(access_token("there"))
    for find, digests in (
        (store.grants.find, ("first", "second", "revoked", "never there")),
        (store.tokens.find, ("there", "never there")),
    ):
        seen = []
        for digest in digests:
            for now in (NOW, NOW + 1_000_000):
                statements.clear()
                await find(digest, now=now)
                seen.append(without_values(statements))
        assert len(set(seen)) == 1
        assert len(seen[0]) == 1


async def test_looks_and_purges_go_by_an_index(
    store: Store, scans: Callable[..., list[str]], statements: list[str]
) -> None:
    """No statement of a request, nor of a purge, reads a whole table: at most all that was obtained by exchange."""
    await opened_grant(store)
    await store.tokens.add(access_token("there"))
    statements.clear()
    await rotate(store, "first", "second")
    await rotate(store, "first", "second")
    await store.grants.find("first", now=NOW)
    await store.grants.revoke("grant", now=NOW)
    await store.tokens.find("there", now=NOW)
    await store.tokens.use("jti", "a", until=NOW, now=NOW)
    await store.tokens.purge(now=NOW + 1_000_000)
    questions = [each for each in statements if not each.startswith("INSERT")]
    assert sum(each.startswith("DELETE") for each in questions) == 4
    assert {step for step in scans(questions) if not step.endswith("_obtained")} <= {"SCAN revision"}  # one row


@pytest.mark.parametrize(
    "change",
    ["valid = 'yes'", "valid = 2", "content = '[]'", "content = x'ff'", "content = '{'"],
)
async def test_a_grant_that_a_hand_broke_is_revoked(store: Store, by_hand: Callable[..., None], change: str) -> None:
    """It is found, as not valid, and never an exception."""
    record = await opened_grant(store)
    by_hand(f"UPDATE grants SET {change}")
    found = await store.grants.find("first", now=NOW)
    assert found is not None
    assert found.grant == replace(record, valid=False, content=found.grant.content)


@pytest.mark.parametrize("change", ["replaced_at = 'long ago'", "successor = 'other'", "successor = NULL"])
async def test_a_replaced_token_that_a_hand_broke_is_used_again(
    store: Store, by_hand: Callable[..., None], change: str
) -> None:
    """Nobody can say that it is presented in good faith."""
    await opened_grant(store)
    await rotate(store, "first", "second")
    by_hand(f"UPDATE refresh_tokens SET {change} WHERE digest = 'first'")
    found = await store.grants.find("first", now=NOW)
    assert found is not None
    assert found.replaced_at is not None
    assert await rotate(store, "first", "second", GRACE / 2) is Rotation.REUSED


@pytest.mark.parametrize("change", ["claims = '[]'", "claims = x'ff'", "claims = ''", "ends_at = 'never'"])
async def test_an_access_token_that_a_hand_broke_counts_for_nothing(
    store: Store, by_hand: Callable[..., None], change: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is not found, and a line of the log says so."""
    await store.tokens.add(access_token("there"))
    by_hand(f"UPDATE access_tokens SET {change}")
    assert await store.tokens.find("there", now=NOW) is None
    assert "the access token with the hash there cannot be read" in caplog.text


@pytest.mark.parametrize(
    "change", ["secrets = 'none'", "secrets = '[1]'", "secrets = '{}'", "registration = '{}'", "registration = ''"]
)
async def test_a_client_whose_secrets_a_hand_broke_is_disabled(
    store: Store, by_hand: Callable[..., None], change: str, caplog: pytest.LogCaptureFixture
) -> None:
    """As one whose metadata cannot be read, with a line in the log."""
    stored = await store.clients.add(client(a=1))
    by_hand(f"UPDATE clients SET {change}")
    assert await store.clients.find("client") == replace(stored, metadata={}, enabled=False)
    assert "client 'client' cannot be read; it counts as disabled" in caplog.text
