"""certbound.resource.memory: a token that was seen before is asked everything that can have changed since."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from joserfc.jwk import KeySet

from certbound.core.errors import InsufficientScope, InvalidToken, ProtectedResourceError, StatusUnavailable
from certbound.core.signing import SigningKey
from certbound.core.status import StatusList, StatusReference, make_list
from certbound.resource import Asked, Principal, ProtectedResource
from certbound.resource import memory as module
from certbound.resource.memory import TokenMemory, digest
from certificates import NOW
from issuing import AUDIENCE, ISSUER, KEY, KEYS, PEER, THIEF, token


@dataclass
class Keys:
    """The issuer's keys, which a test takes away."""

    key_set: KeySet | None = field(default_factory=lambda: KEYS)

    def known(self, kid: str | None) -> KeySet | None:
        return self.key_set

    async def keys(self, kid: str | None) -> KeySet:
        assert self.key_set is not None
        return self.key_set


@dataclass
class Statuses:
    """A status list, which a test changes; None where it cannot be had."""

    content: StatusList | None

    def known(self, reference: StatusReference) -> StatusList | None:
        return self.content

    async def list_of(self, reference: StatusReference) -> StatusList:
        raise StatusUnavailable("gone")


@dataclass
class Seen:
    """An API that has seen one token, and a clock."""

    api: ProtectedResource
    keys: Keys
    token: str
    now: float = NOW

    async def admit(self, peer: Any = PEER, **facts: Any) -> Principal:
        return await self.api.admit(Asked(authorization=[f"Bearer {self.token}".encode()], peer=peer, **facts))

    async def refused(self, kind: type[ProtectedResourceError] = InvalidToken, peer: Any = PEER, **facts: Any) -> None:
        with pytest.raises(ProtectedResourceError) as caught:
            await self.admit(peer, **facts)
        assert type(caught.value) is kind


async def seen(changes: dict[str, Any] | None = None, **settings: Any) -> Seen:
    """A token that was admitted once."""
    keys = Keys()
    api = ProtectedResource(AUDIENCE, issuer=ISSUER, keys=keys, clock=lambda: built.now, **settings)
    built = Seen(api, keys, token(**(changes or {})))
    await built.admit()
    assert len(api._seen) == 1
    return built


async def test_a_key_that_was_taken_away_ends_what_it_signed() -> None:
    built = await seen()
    built.keys.key_set = KeySet.import_key_set({"keys": [SigningKey.generate().public_jwk()]})
    await built.refused()


async def test_keys_fetched_anew_with_the_same_key_in_them_verify_once_more_and_it_is_known_again() -> None:
    built = await seen()
    built.keys.key_set = anew = KeySet.import_key_set({"keys": [KEY.public_jwk()]})
    assert built.api._seen.find(digest(built.token)) is None
    await built.admit()
    found = built.api._seen.find(digest(built.token))
    assert found is not None
    assert found.keys is anew


async def test_it_ends_when_it_ends() -> None:
    built = await seen()
    built.now += 299.9
    await built.admit()
    built.now += 0.1
    await built.refused()


@pytest.mark.parametrize("other", [THIEF, None], ids=["another", "none"])
async def test_a_certificate_that_is_not_its_own_is_refused_each_time(other: Any) -> None:
    for settings in ({}, {"require_bound": False}):
        built = await seen(**settings)
        await built.refused(peer=other)
        await built.admit()


@pytest.mark.parametrize("settings", [{}, {"require_bound": False}])
async def test_what_an_application_does_to_the_claims_changes_no_decision(settings: dict[str, Any]) -> None:
    """They are a dict, and the next request of that token gets the same one."""
    built = await seen(**settings)
    claims: Any = (await built.admit()).claims
    claims["cnf"]["x5t#S256"] = THIEF.leaf.thumbprint
    claims["exp"] = NOW + 10**9
    await built.refused(peer=THIEF)
    del claims["cnf"]
    await built.refused(peer=THIEF)
    await built.refused(peer=None)
    await built.admit()
    built.now = NOW + 10**8
    await built.refused()


async def test_a_token_seen_with_the_certificate_of_a_thief_is_not_known() -> None:
    built = await seen()
    built.token = token(jti="2")
    await built.refused(peer=THIEF)
    assert len(built.api._seen) == 1


async def test_scopes_of_the_route_are_asked_each_time() -> None:
    built = await seen(scopes={"read"})
    await built.refused(InsufficientScope, scopes=frozenset({"admin"}))
    await built.admit(scopes=frozenset({"write"}))


async def test_it_was_revoked_since() -> None:
    reference = {"status_list": {"idx": 3, "uri": "https://as.example/status/1"}}
    statuses = Statuses(make_list([], 64))
    built = await seen({"status": reference}, statuses=statuses)
    statuses.content = make_list([(3, 1)], 64)
    await built.refused()
    statuses.content = None
    await built.refused(StatusUnavailable)


async def test_one_character_more_is_another_token() -> None:
    built = await seen()
    built.token += "A"
    await built.refused()


async def test_what_is_kept_is_bounded_and_holds_no_token() -> None:
    assert module.CAPACITY == 4096
    built = await seen()
    found = built.api._seen.find(digest(built.token))
    assert found is not None
    memory = TokenMemory(3)
    for each in ("a", "b", "c", "d"):
        memory.keep(digest(each), found)
    assert len(memory) == 3
    assert memory.find(digest("a")) is None
    assert memory.find(digest("d")) is found
    assert all(len(each) == 32 for each in built.api._seen._kept)
