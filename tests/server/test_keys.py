"""certbound.server.keys and key_keeper: keys take turns at their moments, once, whoever looks after them."""

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from certbound.core.errors import ConfigurationError, StoreUnavailable
from certbound.core.ports import KeyRecord, Store
from certbound.core.signing import EDDSA, ES256, PS256, SigningKey, is_encrypted
from certbound.core.succession import DAY, LEAD, SWITCH, Schedule, State
from certbound.server.key_keeper import INTERVAL, KeyKeeper, warn_of_open_keys
from certbound.server.keys import KeyRing
from certbound.stores import open_store

NOW = 1_700_000_000.0
SCHEDULE = Schedule(period=90 * DAY)
PASSWORD = "a long one"


@dataclass
class Clock:
    """Moved by hand."""

    now: float = NOW

    def __call__(self) -> float:
        return self.now


@dataclass
class Servers:
    """Processes on one store and with one clock; each opens the store for itself."""

    url: str
    clock: Clock = field(default_factory=Clock)

    @asynccontextmanager
    async def keeper(self, **changes: Any) -> AsyncIterator[KeyKeeper]:
        facts = {"alg": ES256, "schedule": SCHEDULE, "password": PASSWORD, "clock": self.clock, **changes}
        async with self.store() as store:
            yield KeyKeeper(store, **facts)

    @asynccontextmanager
    async def store(self) -> AsyncIterator[Store]:
        store = await open_store(self.url)
        try:
            yield store
        finally:
            await store.close()


@pytest.fixture
def servers(tmp_path: Path) -> Servers:
    return Servers(f"sqlite:///{tmp_path}/store.db")


def ring(clock: Callable[[], float], *records: KeyRecord) -> KeyRing:
    """A ring of keys that exist."""
    return KeyRing(
        ES256, records, {each.kid: SigningKey.load(each.private_key, alg=each.alg) for each in records}, clock
    )


def record(alg: str = ES256, **facts: Any) -> KeyRecord:
    key = SigningKey.generate(alg)
    return KeyRecord(kid=key.kid, alg=alg, private_key=key.as_pem(), **facts)


def kids(keys: Any) -> list[str]:
    return [each.kid for each in keys]


# The ring


def test_one_key_for_ever() -> None:
    """A configured key signs, is published, and is the only one."""
    key = SigningKey.generate(EDDSA)
    held = KeyRing.of(key)
    assert (held.signing, held.published, held.algorithms) == (key, (key,), (EDDSA,))
    assert held.signing_with(None) == held.signing_with(ES256) == held.signing_with(EDDSA) == key
    assert [each.kid for each in held.key_set] == [key.kid]


def test_turns_are_taken_at_their_moment() -> None:
    """The ring needs nobody to tell it that a key's time has come or gone; and it goes back with the clock."""
    clock = Clock()
    old = record(signs_until=NOW + 10, published_until=NOW + 20)
    new = record(created_at=NOW, signs_from=NOW + 10)
    held = ring(clock, old, new)
    for now, signs, published in [
        (NOW, old, {old.kid, new.kid}),
        (NOW + 9.999, old, {old.kid, new.kid}),
        (NOW + 10, new, {old.kid, new.kid}),
        (NOW + 19.999, new, {old.kid, new.kid}),
        (NOW + 20, new, {new.kid}),
        (NOW + 5, old, {old.kid, new.kid}),
        (NOW - 5, old, {old.kid}),
    ]:
        clock.now = now
        assert held.signing.kid == signs.kid
        assert set(kids(held.published)) == {each.kid for each in held.key_set} == published
        assert held.published[0] is held.signing


def test_algorithms_beside_each_other() -> None:
    """That which is set signs, another one for whom asks; one that is only announced or retired signs for nobody."""
    clock = Clock()
    es256, eddsa = record(), record(EDDSA)
    held = ring(clock, es256, eddsa)
    assert held.signing.kid == held.signing_with(None).kid == held.signing_with(PS256).kid == es256.kid
    assert held.signing_with(EDDSA).kid == eddsa.kid
    assert held.algorithms == (ES256, EDDSA)
    announced = ring(clock, es256, replace(eddsa, signs_from=NOW + 1))
    assert announced.signing_with(EDDSA).kid == es256.kid
    assert announced.algorithms == (ES256, EDDSA)


def test_what_signs_is_published() -> None:
    """Even if the clock or the table says that its time is over: nobody must get a token that cannot be verified."""
    only = record(signs_until=NOW - 10, published_until=NOW - 5)
    held = ring(Clock(), only)
    assert held.signing.kid == only.kid
    assert kids(held.published) == [only.kid]


def test_nothing_is_no_ring() -> None:
    """There is always a key; what held some keeps them where there are none any more."""
    with pytest.raises(ValueError, match="without keys"):
        KeyRing(ES256, [], {})
    held = KeyRing.of(SigningKey.generate())
    before = held.signing
    held.hold([], {})
    assert held.signing is before


# The keeper


async def test_a_store_gets_its_first_key(servers: Servers) -> None:
    """Encrypted, signing at once; the next start finds it."""
    async with servers.keeper() as keeper:
        held = await keeper.open()
        [(only, state)] = await keeper.list()
        assert (only.kid, state) == (held.signing.kid, State.SIGNS)
        assert is_encrypted(only.private_key)
    async with servers.keeper() as keeper:
        assert (await keeper.open()).signing == held.signing


async def test_a_rotation_by_the_schedule(servers: Servers) -> None:
    """Announced, signing, verifying, removed: each at its time, and at each time one key signs."""
    clock = servers.clock
    async with servers.keeper() as keeper:
        held = await keeper.open()
        first = held.signing
        clock.now = NOW + 90 * DAY - LEAD - 1
        await keeper.step()
        assert kids(held.published) == [first.kid]

        clock.now += 1
        await keeper.step()
        assert held.signing == first
        [second] = [each for each in held.published if each != first]

        clock.now = NOW + 90 * DAY
        assert held.signing == second
        assert set(kids(held.published)) == {first.kid, second.kid}

        clock.now += SCHEDULE.kept
        assert kids(held.published) == [second.kid]
        await keeper.step()
        assert [each.kid for each, _ in await keeper.list()] == [second.kid]


async def test_two_servers_rotate_once(servers: Servers) -> None:
    """They come at the same moment, again and again, and always agree on one successor."""
    clock = servers.clock
    async with servers.keeper() as one, servers.keeper() as two:
        rings = await asyncio.gather(one.open(), two.open())
        for turn in range(1, 6):
            clock.now = NOW + turn * 90 * DAY - LEAD
            await asyncio.gather(one.step(), two.step())
            await asyncio.gather(one.step(), two.step())
            assert len(await one.list()) == 2
            clock.now += LEAD
            assert rings[0].signing == rings[1].signing
            assert set(kids(rings[0].published)) == set(kids(rings[1].published))


async def test_a_server_hears_of_a_rotation_by_hand(servers: Servers) -> None:
    """One process announces, the other publishes it with its next look; asked again, it is the same key."""
    async with servers.keeper() as server, servers.keeper(actor="alice") as alice:
        held = await server.open()
        successor = await alice.rotate()
        assert successor.signs_from == NOW + LEAD
        assert (await alice.rotate()).kid == successor.kid
        await server.step()
        assert set(kids(held.published)) == {held.signing.kid, successor.kid}
        servers.clock.now += LEAD
        assert held.signing.kid == successor.kid


async def test_a_replacement(servers: Servers) -> None:
    """All keys end at one moment that every server hears of before; the announced one too."""
    async with servers.keeper() as server, servers.keeper(actor="alice") as alice:
        held = await server.open()
        stolen = held.signing
        await alice.rotate()
        new = await alice.replace()
        await server.step()
        assert held.signing == stolen
        assert kids(held.published) == [stolen.kid]
        servers.clock.now += SWITCH
        assert kids(held.published) == [new.kid] == [held.signing.kid]
        await server.step()
        assert [each.kid for each, _ in await alice.list()] == [new.kid]


async def test_a_change_of_algorithm(servers: Servers) -> None:
    """The old key signs until the new one was published long enough; a server with the old settings goes on with it."""
    async with servers.keeper() as old, servers.keeper(alg=EDDSA) as new:
        before, after = await old.open(), await new.open()
        assert before.signing == after.signing
        assert set(after.algorithms) == {ES256, EDDSA}
        await old.step()
        servers.clock.now += LEAD
        assert (before.signing.alg, after.signing.alg) == (ES256, EDDSA)
        assert set(kids(before.published)) == set(kids(after.published))
        stands_by = before.signing.kid
        assert {each.kid: state for each, state in await new.list()}[stands_by] is State.STANDS_BY
        retired = await new.retire(stands_by)
        assert retired is not None
        assert retired.published_until == servers.clock.now + SCHEDULE.kept
        await old.step()
        assert before.signing.alg == EDDSA, "there is no other that may sign"


async def test_the_key_that_signs_is_not_retired(servers: Servers) -> None:
    """Nor one that is not there; the sentence says what to do instead."""
    async with servers.keeper() as keeper:
        held = await keeper.open()
        with pytest.raises(ConfigurationError, match=r"signs now; certbound key rotate makes its successor"):
            await keeper.retire(held.signing.kid, at_once=True)
        with pytest.raises(ConfigurationError, match="there is no signing key 'nobody'"):
            await keeper.retire("nobody")


async def test_retiring_at_once(servers: Servers) -> None:
    """A key that verified is gone, and its record too."""
    async with servers.keeper() as keeper:
        held = await keeper.open()
        first = held.signing
        await keeper.rotate()
        servers.clock.now += LEAD
        await keeper.step()
        assert set(kids(held.published)) > {held.signing.kid}
        assert await keeper.retire(first.kid, at_once=True) is None
        await keeper.step()
        assert kids(held.published) == [held.signing.kid]


@pytest.mark.parametrize(
    ("password", "said"),
    [
        (None, "and there is no password for it; set keys.password, best by CERTBOUND_KEYS__PASSWORD_FILE"),
        ("wrong", r"its password is another than keys.password \(CERTBOUND_KEYS__PASSWORD_FILE\)"),
    ],
    ids=["missing", "wrong"],
)  # fmt: skip
async def test_another_password(servers: Servers, password: str | None, said: str) -> None:
    """It stops the start, and every change, before anything is written; and names the key and the setting."""
    async with servers.keeper() as keeper:
        kid = (await keeper.open()).signing.kid
    servers.clock.now += 365 * DAY
    async with servers.keeper(password=password) as keeper:
        for call in (keeper.open, keeper.rotate, keeper.replace):
            with pytest.raises(ConfigurationError, match=f"the key '{kid}' in the store: .*{said}"):
                await call()
        assert len(await keeper.list()) == 1


async def test_a_running_server_survives_a_key_it_cannot_open(
    servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    """It says so, and goes on with the keys that it has; also if nothing is left."""
    async with servers.keeper() as keeper, servers.store() as store:
        held = await keeper.open()
        before = held.signing
        there = await store.keys.list()
        foreign = SigningKey.generate().as_pem(password="another")
        for alg in (ES256, "ES1024"):
            odd = KeyRecord(kid=f"odd {alg}", alg=alg, private_key=foreign, created_at=NOW, signs_from=NOW)
            await store.keys.add(odd)
        await keeper.step()
        assert held.signing == before
        assert "the key 'odd ES256' in the store: the signing key cannot be read" in caplog.text
        assert "the key 'odd ES1024' in the store is for 'ES1024', which this version does not know" in caplog.text
        await store.keys.exchange(await store.keys.list(), there)
        await keeper.step()
        assert kids(held.published) == [before.kid]


async def test_encryption(servers: Servers, caplog: pytest.LogCaptureFixture) -> None:
    """A store that began without a password gets one, and then another; its keys stay the same."""
    async with servers.keeper(password=None) as keeper, servers.store() as store:
        kid = (await keeper.open()).signing.kid
        warn_of_open_keys(await store.keys.list(), None)
        assert "signing keys in the store that are not encrypted: 1; set keys.password, then:" in caplog.text
        with pytest.raises(ConfigurationError, match=r"keys\.password is not set"):
            await keeper.encrypt(None)
    async with servers.keeper() as keeper, servers.store() as store:
        assert (await keeper.open()).signing.kid == kid, "an open key is read all the same"
        assert list(await keeper.encrypt(None)) == [kid]
        assert list(await keeper.encrypt(None)) == []
        caplog.clear()
        warn_of_open_keys(await store.keys.list(), PASSWORD)
        assert caplog.text == ""
    async with servers.keeper(password="new") as keeper:
        for wrong in (None, "wrong"):
            with pytest.raises(ConfigurationError, match="its password is another"):
                await keeper.encrypt(wrong)
        assert list(await keeper.encrypt(PASSWORD)) == [kid]
        assert (await keeper.open()).signing.kid == kid


async def test_each_change_is_audited(servers: Servers, caplog: pytest.LogCaptureFixture) -> None:
    """What people do is a warning with their name, what the schedule does is not; no line has a private key."""
    caplog.set_level(logging.INFO, "certbound.audit")
    async with servers.keeper(actor="alice") as alice, servers.keeper() as server:
        first = (await server.open()).signing.kid
        second = (await alice.rotate()).kid
        servers.clock.now += LEAD + SCHEDULE.kept
        await server.step()
        third = (await alice.replace()).kid
    lines = [(each.levelname, each.getMessage()) for each in caplog.records if each.name == "certbound.audit"]
    assert lines == [
        ("INFO", f"the schedule made the signing key {first!r} (ES256), which signs in 0 seconds"),
        ("WARNING", f"alice announced the signing key {second!r} (ES256)"),
        ("INFO", f"the schedule removed the signing key {first!r}, which has ended"),
        ("WARNING", f"alice replaced the signing keys {second!r} by {third!r}"),
    ]
    assert "PRIVATE" not in caplog.text


async def test_the_keeper_runs(servers: Servers, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """By itself it hears of what others did, and outlives a store that does not answer, which costs no line each."""
    async with servers.keeper() as server, servers.keeper() as other:
        held = await server.open()
        running = asyncio.create_task(server.run())
        try:
            await publishes(held, await other.rotate())
            before = kids(held.published)
            by_hand = partial(by_hand_in, tmp_path / "store.db")
            by_hand("ALTER TABLE revision RENAME TO away")
            for _ in range(2):
                with pytest.raises(StoreUnavailable):
                    await other.step()
                await asyncio.sleep(INTERVAL + 0.1)
            assert not running.done()
            assert kids(held.published) == before, "what it held it holds"
            by_hand("ALTER TABLE away RENAME TO revision")
            replacement = await other.replace()
            servers.clock.now += SWITCH
            await publishes(held, replacement)
            assert kids(held.published) == [replacement.kid]
        finally:
            running.cancel()
    assert not [each for each in caplog.records if each.exc_info], "it is no fault of ours"


async def publishes(held: KeyRing, successor: KeyRecord) -> None:
    """Within five seconds, by itself."""
    async with asyncio.timeout(5):
        while successor.kid not in kids(held.published):
            await asyncio.sleep(0.05)


def by_hand_in(path: Path, statement: str) -> None:
    """As somebody changes a database with the sqlite3 command."""
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute(statement)
