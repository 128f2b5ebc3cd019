"""Registering and changing clients: one validation, nothing stored when it fails (real SQLite underneath)."""

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from certbound.core.authentication import digest_of
from certbound.core.binding import Bind
from certbound.core.clients import Allowed, Method
from certbound.core.display import hash_name
from certbound.core.errors import InvalidClientMetadata
from certbound.core.ports import RegistrationRecord, StatusRecord
from certbound.core.registration import name_of
from certbound.core.scope import Scope
from certbound.server.audit import LOGGER
from certbound.server.clients import ClientRegistry
from certbound.stores import open_store
from certbound.trust.authority import self_signed
from certificates import read

GOOD: dict[str, Any] = {
    "token_endpoint_auth_method": "tls_client_auth",
    "tls_client_auth_san_dns": "a.example",
    "scope": "read",
}


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[ClientRegistry]:
    store = await open_store(f"sqlite:///{tmp_path}/test.sqlite")
    allowed = Allowed(
        scope=Scope(frozenset({"read", "write"})),
        grant_types=frozenset({"client_credentials"}),
        methods=frozenset(Method),
        has_anchors=True,
        signing_algorithms=frozenset({"ES256"}),
    )
    yield ClientRegistry(store, allowed, Bind.REQUESTED, time.time)
    await store.close()


async def test_a_registered_client_is_kept(registry: ClientRegistry) -> None:
    """With the id that was asked for, or one that the server makes."""
    named = await registry.register(GOOD, client_id="a")
    made = await registry.register(GOOD)

    assert "a" == named.client_id
    assert len(made.client_id) >= 22
    assert {"a", made.client_id} == {record.client_id for record in await registry.list()}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"tls_client_auth_san_dns": None}, "tls_client_auth_subject_dn"),
        ({"tls_client_auth_san_uri": "urn:x:y"}, "tls_client_auth_san_uri"),
        ({"tls_client_auth_san_dns": "*.example"}, "tls_client_auth_san_dns"),
        ({"tls_client_auth_san_dns": 7}, "tls_client_auth_san_dns"),
        ({"scope": "admin"}, "scope"),
        ({"scope": 'a"'}, "scope"),
        ({"grant_types": ["password"]}, "grant_types"),
        ({"token_endpoint_auth_method": "client_secret_jwt"}, "token_endpoint_auth_method"),
        ({"token_endpoint_auth_method": "client_secret_basic"}, "tls_client_auth_san_dns"),
        ({"tls_client_certificate_bound_access_tokens": "yes"}, "tls_client_certificate_bound_access_tokens"),
        ({"introspection_signed_response_alg": "PS256"}, "introspection_signed_response_alg"),
    ],
)
async def test_a_registration_that_cannot_stand_stores_nothing(
    registry: ClientRegistry, changes: dict[str, Any], field: str
) -> None:
    """The error names the field (RFC 7591 section 3.2.2)."""
    with pytest.raises(InvalidClientMetadata) as refused:
        await registry.register({**GOOD, **changes}, client_id="a")

    assert field == refused.value.field
    assert [] == list(await registry.list())


async def test_a_pki_client_without_anchors_is_refused(registry: ClientRegistry) -> None:
    """Nobody could vouch for it (R32)."""
    closed = ClientRegistry(
        registry.store,
        Allowed(
            scope=registry.allowed.scope,
            grant_types=registry.allowed.grant_types,
            methods=registry.allowed.methods,
            has_anchors=False,
        ),
        Bind.ALWAYS,
        time.time,
    )
    with pytest.raises(InvalidClientMetadata, match="trust anchor"):
        await closed.register(GOOD)
    assert [] == list(await registry.list())


async def test_an_id_is_taken_once(registry: ClientRegistry) -> None:
    """The second one learns that."""
    await registry.register(GOOD, client_id="a")
    with pytest.raises(InvalidClientMetadata, match="taken"):
        await registry.register(GOOD, client_id="a")


async def test_an_update_merges_and_is_validated(registry: ClientRegistry) -> None:
    """A change that cannot stand leaves the client as it was."""
    await registry.register(GOOD, client_id="a")

    with pytest.raises(InvalidClientMetadata):
        await registry.update("a", {"scope": "admin"})
    changed = await registry.update("a", {"scope": "write"})

    assert changed is not None
    assert frozenset({"write"}) == changed.scope
    assert await registry.update("b", {}) is None


async def test_any_client_can_be_switched_off_and_removed(registry: ClientRegistry) -> None:
    """Also one that this deployment would no longer register."""
    await registry.register({**GOOD, "scope": "write"}, client_id="a")
    narrowed = ClientRegistry(
        registry.store,
        Allowed(
            scope=Scope(frozenset({"read"})),
            grant_types=registry.allowed.grant_types,
            methods=registry.allowed.methods,
            has_anchors=False,
        ),
        Bind.ALWAYS,
        time.time,
    )
    disabled = await narrowed.update("a", {}, enabled=False)

    assert disabled is not None
    assert not disabled.enabled
    enabled = await narrowed.update("a", {}, enabled=True)
    assert enabled is not None
    assert enabled.enabled
    assert await narrowed.remove("a")
    assert not await narrowed.remove("a")


async def test_with_a_disabled_client_go_its_tokens(registry: ClientRegistry) -> None:
    """And they stay so when it is enabled again, which lifts the revocation; what comes then is valid."""
    await registry.register(GOOD, client_id="a")
    revocations = registry.store.revocations
    record = StatusRecord(client_id="a", thumbprint="", created_at=time.time(), ends_at=time.time() + 60)
    before = await revocations.allot(record, now=time.time())

    await registry.update("a", {"scope": "write"}, enabled=False)
    assert not await revocations.is_valid(before.index)
    assert ["a"] == [each.value for each in await revocations.list()]

    await registry.update("a", {}, enabled=True)
    assert [] == list(await revocations.list())
    assert not await revocations.is_valid(before.index)
    assert await revocations.is_valid((await revocations.allot(record, now=time.time())).index)


async def test_a_client_that_a_hand_disabled_is_enabled_again(registry: ClientRegistry) -> None:
    """There is no revocation to lift."""
    await registry.register(GOOD, client_id="a")
    stored = await registry.find("a")
    assert stored is not None
    await registry.store.clients.replace(replace(stored, enabled=False))

    enabled = await registry.update("a", {}, enabled=True)

    assert enabled is not None
    assert enabled.enabled


@pytest.mark.parametrize(
    ("policy", "asked", "effective"),
    [
        (Bind.ALWAYS, None, True),
        (Bind.ALWAYS, False, True),
        (Bind.REQUESTED, None, False),
        (Bind.REQUESTED, True, True),
    ],
)
async def test_the_answer_has_the_effective_flag(
    registry: ClientRegistry, policy: Bind, asked: bool | None, effective: bool
) -> None:
    """RFC 8705 section 3.4: what will happen, not what was asked for (R20)."""
    deployed = ClientRegistry(registry.store, registry.allowed, policy, time.time)
    client = await deployed.register({**GOOD, "tls_client_certificate_bound_access_tokens": asked})

    assert effective is deployed.describe(client)["tls_client_certificate_bound_access_tokens"]


SECRET: dict[str, Any] = {"token_endpoint_auth_method": "client_secret_basic", "scope": "read"}


async def test_secrets_overlap_and_end(registry: ClientRegistry) -> None:
    """A new one counts at once, those before it for so long; at most three count, and one can be ended by its name."""
    await registry.register(SECRET, client_id="a")
    first = await registry.add_secret("a", overlap=60)
    second = await registry.add_secret("a", overlap=60)
    record = await registry.find("a")

    assert record is not None
    assert first != second
    assert [digest_of(first or ""), digest_of(second or "")] == [each.digest for each in record.secrets]
    assert record.secrets[0].ends_at is not None
    assert record.secrets[1].ends_at is None
    assert (first or "?") not in repr(record)
    await registry.add_secret("a", overlap=60)
    with pytest.raises(InvalidClientMetadata, match="3 count already"):
        await registry.add_secret("a", overlap=60)
    assert await registry.remove_secret("a", hash_name(record.secrets[0].digest))
    assert not await registry.remove_secret("a", hash_name(record.secrets[0].digest))
    assert await registry.add_secret("nobody", overlap=0) is None


async def test_the_audit_says_what_becomes_of_other_secrets(
    registry: ClientRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    """Of the first nothing, for there are none; else when they end, or that they have."""
    told = replace(registry, actor="somebody")
    await told.register(SECRET, client_id="a")
    caplog.clear()
    for overlap in (0, 60, 0):
        await told.add_secret("a", overlap=overlap)
    said = [each.getMessage() for each in caplog.records if each.name == LOGGER]
    assert len(said) == 3
    assert "other" not in said[0]
    assert "1 others end in 60 seconds" in said[1]
    assert "2 others ended" in said[2]


async def test_a_registration_token_is_made_anew(registry: ClientRegistry, caplog: pytest.LogCaptureFixture) -> None:
    """The one before it ends, and what it is bound to stays; a client that an administrator registered has none."""
    before = RegistrationRecord(digest=digest_of("cbrg_old"), subject="MAA=", way="open")
    await registry.register(SECRET, client_id="a", registration=before)
    token = await replace(registry, actor="somebody").renew_registration_token("a")
    assert token is not None
    assert token.startswith("cbrg_")
    record = await registry.find("a")
    assert record is not None
    assert record.registration == replace(before, digest=digest_of(token))
    assert "renew registration access token" in caplog.text
    assert token not in caplog.text
    renamed = read(self_signed("CN=renamed"))
    await registry.renew_registration_token("a", renamed)
    record = await registry.find("a")
    assert record is not None
    assert record.registration is not None
    assert record.registration.subject == name_of(renamed)
    assert await registry.renew_registration_token("nobody") is None
    await registry.register(SECRET, client_id="c", registration=replace(before, subject=""))
    with pytest.raises(InvalidClientMetadata, match="no certificate"):
        await registry.renew_registration_token("c", renamed)
    await registry.register(SECRET, client_id="b")
    with pytest.raises(InvalidClientMetadata, match="did not register itself"):
        await registry.renew_registration_token("b")


async def test_secrets_go_with_their_method(registry: ClientRegistry) -> None:
    """Another method has none, and the way back brings none back."""
    await registry.register(SECRET, client_id="a")
    await registry.add_secret("a", overlap=0)
    await registry.update("a", GOOD)
    with pytest.raises(InvalidClientMetadata, match="has no secret"):
        await registry.add_secret("a", overlap=0)
    back = await registry.update("a", {**SECRET, "tls_client_auth_san_dns": None})
    assert back is not None
    assert () == back.secrets


async def test_with_a_client_go_its_tokens(registry: ClientRegistry) -> None:
    """Their statuses are not valid any more; whoever comes later under the same id is somebody else."""
    store, now = registry.store, time.time()
    await registry.register(GOOD, client_id="a")
    held = StatusRecord(client_id="a", thumbprint="t", created_at=now, ends_at=now + 300)
    place = (await store.revocations.allot(held, now=now)).index
    assert await store.revocations.is_valid(place)

    assert await registry.remove("a")
    assert not await store.revocations.is_valid(place)
    assert [] == list(await store.revocations.list())
    await registry.register(GOOD, client_id="a")
    assert await store.revocations.is_valid((await store.revocations.allot(held, now=now)).index)
    assert not await store.revocations.is_valid(place)
