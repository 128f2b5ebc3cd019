"""certbound.trust.published: what clients publish behind their jwks_uri, remembered and looked at again (R13)."""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from certbound.core.certificate import Certificate
from certbound.core.clients import Client, read_client
from certbound.core.errors import Untrusted
from certbound.core.jwks import make_jwks
from certbound.core.keys import public_jwk
from certbound.core.signing import SigningKey
from certbound.trust import published
from certbound.trust.authority import self_signed
from certbound.trust.fetch import Failure, Fetcher
from certbound.trust.published import MAX_JWKS, PublishedByUri, PublishedNowhere, lifetime
from certbound.trust.turns import AT_ONE_SITE
from certificates import TODAY, read
from trust.origin import AUTHORITY, NAME, Origin, answer, origin, resolving

OLD, NEW, THIRD = (read(self_signed(f"CN={name}", now=TODAY)) for name in ("old", "new", "third"))
KEY, OTHER = SigningKey.generate(), SigningKey.generate("EdDSA")
INTERVAL = 0.15


@dataclass
class Publisher:
    """A client's own server, and the memory that reads it."""

    origin: Origin
    memory: PublishedByUri
    certificates: list[Certificate] = field(default_factory=lambda: [OLD])
    signing: list[SigningKey] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    slow: float = 0.0
    later: float = 0.0

    async def __call__(self, writer: asyncio.StreamWriter) -> None:
        document = make_jwks(self.certificates)  # what was published when the fetch came
        document["keys"] += [each.public_jwk() for each in self.signing]
        body = json.dumps(document).encode()
        await asyncio.sleep(self.slow)
        writer.write(answer(body, **self.headers))

    async def keys(self, kid: str | None, path: str = "/jwks") -> set[str | None]:
        """The kids that are known when an assertion names this one."""
        known = await self.memory.published_keys(self.client(path), kid, 0.0)
        return {each.kid for each in known}

    @property
    def fetches(self) -> int:
        return len(self.origin.requests)

    def client(self, path: str = "/jwks") -> Client:
        return registered(self.origin.at(NAME, path))

    async def ask(self, presented: Certificate = OLD, path: str = "/jwks") -> set[Certificate]:
        return set(await self.memory.published(self.client(path), presented, 0.0))

    async def knows(self, presented: Certificate) -> bool:
        return presented in await self.ask(presented)


def registered(uri: str) -> Client:
    """A client with this `jwks_uri`."""
    return read_client("a", {"token_endpoint_auth_method": "self_signed_tls_client_auth", "jwks_uri": uri})


def strangers(number: int) -> Iterator[Certificate]:
    """Fresh certificates of nobody."""
    for each in range(number):
        yield read(self_signed(f"CN=stranger {each}", now=TODAY))


@pytest.fixture
async def publisher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Publisher]:
    """Its set holds OLD."""
    monkeypatch.setattr(published, "INTERVAL", INTERVAL)
    (tmp_path / "ca.pem").write_bytes(AUTHORITY.certificate_pem)
    fetcher = Fetcher(private_addresses=True, ca=tmp_path / "ca.pem", timeout=0.5, resolve=resolving("127.0.0.1"))
    async with origin() as source:
        made = Publisher(source, PublishedByUri(fetcher, lambda: time.monotonic() + made.later))
        source.behaviour = made
        yield made
        await made.memory.close()
        fetcher.close()


class TestReading:
    async def test_a_set_is_fetched_once(self, publisher: Publisher) -> None:
        """For any number of requests, one after the other or at once; several certificates count at once."""
        publisher.certificates = [OLD, NEW]
        answers = await asyncio.gather(*(publisher.ask(each) for each in [OLD, NEW] * 20))
        answers += [await publisher.ask() for _ in range(5)]
        assert all(each == {OLD, NEW} for each in answers)
        assert 1 == publisher.fetches
        assert (1, 0, 0) == (
            publisher.memory.statistics().sources,
            publisher.memory.statistics().failing,
            publisher.memory.statistics().waiting,
        )
        assert 0 < publisher.memory.statistics().oldest < 5

    async def test_clients_with_the_same_uri_share_what_is_known(self, publisher: Publisher) -> None:
        """And another URI is another source: a changed registration counts at once."""
        await publisher.ask()
        await publisher.ask()
        assert 1 == publisher.fetches
        publisher.certificates = [NEW]
        assert {NEW} == await publisher.ask(NEW, "/elsewhere")
        assert 2 == publisher.fetches

    async def test_what_is_not_sound_counts_for_nothing(
        self, publisher: Publisher, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A JWK without x5c, one that does not fit its certificate, one with its private key; the others count."""
        good, misfit, leaked = make_jwks([OLD, NEW, THIRD])["keys"]
        keys = [{"kty": "EC"}, {**misfit, "x": good["x"]}, good, {**leaked, "d": "secret"}, 7, {"x5c": ["AA"]}]
        publisher.origin.behaviour = answer(json.dumps({"keys": keys}).encode())
        with caplog.at_level(logging.WARNING, "certbound.trust"):
            assert {OLD} == await publisher.ask()
            assert not await publisher.knows(THIRD)
        assert 1 == len(caplog.records)  # the second fetch says nothing new
        assert "private member" in caplog.text
        assert "secret" not in caplog.text

    @pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b'{"keys": 1}', b'{"keys": ' + b"[" * 50_000,
        json.dumps({"keys": [{}] * 33}).encode(), b'{"keys": []}' + b" " * MAX_JWKS, b'{"keys": ["\xff"]}'],
        ids=["empty", "cut", "array", "number", "no array", "deep", "many", "big", "no UTF-8"])  # fmt: skip
    async def test_an_unusable_set_keeps_the_last_good_one(self, publisher: Publisher, body: bytes) -> None:
        """Whatever it is; and without a last good one nobody is let in."""
        await publisher.ask()
        publisher.origin.behaviour = answer(body)
        assert not await publisher.knows(NEW)
        assert {OLD} == await publisher.ask()
        assert 2 == publisher.fetches
        with pytest.raises(Untrusted):
            await publisher.ask(OLD, "/another")

    async def test_what_nobody_foresaw_is_a_failure_as_well(
        self, publisher: Publisher, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Of the source: it is refused, told with its traceback once, and asked less often."""

        async def breaks(_: str, __: int) -> Any:
            raise LookupError("of a resolver that keeps to nothing")

        with contextlib.closing(Fetcher(ca=tmp_path / "ca.pem", private_addresses=True, resolve=breaks)) as fetcher:
            memory = PublishedByUri(fetcher)
            for _ in range(3):
                with pytest.raises(Untrusted):
                    await memory.published(publisher.client(), OLD, 0.0)
            assert 1 == memory.statistics().failing
            assert 1 == fetcher.statistics.attempts
            assert ["LookupError"] == [each.exc_info[0].__name__ for each in caplog.records if each.exc_info]  # type: ignore[union-attr]
            await memory.close()

    @pytest.mark.parametrize("keys", [[], [{"kty": "EC"}]])
    async def test_a_readable_set_without_certificates_means_nobody(self, publisher: Publisher, keys: Any) -> None:
        """It replaces the last good one: its client has taken everything away."""
        await publisher.ask()
        publisher.origin.behaviour = answer(json.dumps({"keys": keys}).encode())
        assert set() == await publisher.ask(NEW)
        assert set() == await publisher.ask(OLD)

    async def test_nothing_to_ask(self, publisher: Publisher) -> None:
        """A client without a jwks_uri has nothing published."""
        client = read_client(
            "a", {"token_endpoint_auth_method": "self_signed_tls_client_auth", "jwks": make_jwks([OLD])}
        )
        with pytest.raises(Untrusted):
            await publisher.memory.published(client, OLD, 0.0)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({}, 300), ({"cache-control": "max-age=600"}, 600), ({"cache-control": 'Public, MAX-AGE="600" , x=y'}, 600),
     ({"cache-control": "max-age=600", "age": "100"}, 500), ({"cache-control": "max-age=600", "age": "700"}, 10),
     ({"cache-control": "max-age=600", "age": "-5"}, 600), ({"cache-control": "max-age=600", "age": "x"}, 600),
     ({"cache-control": "max-age=0"}, 10), ({"cache-control": "max-age=1"}, 10), ({"cache-control": "max-age=-1"}, 10),
     ({"cache-control": "max-age=99999999999999999999999"}, 86400), ({"cache-control": "max-age=x"}, 10),
     ({"cache-control": "no-store"}, 10), ({"cache-control": "max-age=600, no-cache"}, 10),
     ({"cache-control": "="}, 300), ({"cache-control": "s-maxage=5"}, 300), ({"age": "100"}, 300),
     ({"cache-control": "max-age=\u0661"}, 10)],
)  # fmt: skip
def test_how_long_a_set_lives(headers: dict[str, str], seconds: float) -> None:
    """As its server says, within ten seconds and a day; five minutes if it says nothing."""
    assert seconds == lifetime(headers)


class TestAging:
    async def test_a_set_is_refreshed_before_its_end_and_nobody_waits(self, publisher: Publisher) -> None:
        """In the last quarter of its life it is fetched again, once, while requests are answered from memory."""
        publisher.headers = {"Cache-Control": "max-age=100"}
        await publisher.ask()
        publisher.later = 74
        await publisher.ask()
        assert 1 == publisher.fetches
        publisher.later, publisher.slow, publisher.certificates = 76, 0.1, [OLD, NEW]
        begun = time.monotonic()
        assert all(each == {OLD} for each in await asyncio.gather(*(publisher.ask() for _ in range(20))))
        assert time.monotonic() - begun < 0.09
        await asyncio.sleep(0.3)
        assert {OLD, NEW} == await publisher.ask()
        assert 2 == publisher.fetches

    async def test_what_was_taken_away_is_refused_when_the_set_has_lived(self, publisher: Publisher) -> None:
        """A removed JWK counts as long as the set that it stood in; the next request waits for the new one."""
        publisher.headers = {"Cache-Control": "max-age=100"}
        await publisher.ask()
        publisher.certificates = [NEW]
        publisher.later = 101
        assert not await publisher.knows(OLD)
        assert 2 == publisher.fetches

    async def test_a_source_that_is_down_keeps_its_last_good_set(
        self, publisher: Publisher, caplog: pytest.LogCaptureFixture
    ) -> None:
        """For a day; one line says that it is down and one that it is back; requests do not wait for it each time."""
        with caplog.at_level(logging.WARNING, "certbound.trust"):
            await publisher.ask()
            publisher.origin.behaviour = answer(b"secret", status=b"500 Oh")
            publisher.later = 400
            for _ in range(50):
                assert {OLD} == await publisher.ask()
            assert 2 == publisher.fetches
            assert 1 == publisher.memory.statistics().failing
            assert publisher.memory.statistics().oldest >= 400
            publisher.later = 86_300
            await settled(publisher, fetches=3)
            assert {OLD} == await publisher.ask()
            assert 1 == len(caplog.records)
            assert NAME in caplog.text
            assert "secret" not in caplog.text
            publisher.later = 86_500
            with pytest.raises(Untrusted):
                await publisher.ask()
            publisher.later = 86_600
            publisher.origin.behaviour = publisher
            await settled(publisher, fetches=4)
            assert {OLD} == await publisher.ask()
        assert 2 == len(caplog.records)
        assert 0 == publisher.memory.statistics().failing

    async def test_a_source_that_is_down_is_asked_less_and_less_often(self, publisher: Publisher) -> None:
        """The interval doubles, sixteenfold at most."""
        publisher.origin.behaviour = answer(status=b"500 Oh")
        source = publisher.memory._source(publisher.client().jwks_uri or "")
        waits = []
        for _ in range(7):
            publisher.later += 1000
            with pytest.raises(Untrusted):
                await publisher.ask()
            waits.append(source._due_at() - source._begun_at)
        assert waits == pytest.approx([INTERVAL * each for each in (2, 4, 8, 16, 16, 16, 16)])

    async def test_a_source_that_was_not_asked_is_not_down(self, publisher: Publisher) -> None:
        """Where too many fetch already, what is known goes on, nothing is held against the source."""
        await publisher.ask()
        publisher.later = 400
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(AT_ONE_SITE):
                await stack.enter_async_context(publisher.memory._fetcher._turns.turn("127.0.0.1"))
            assert {OLD} == await publisher.ask()
        assert (1, 0) == (publisher.fetches, publisher.memory.statistics().failing)
        assert publisher.memory._fetcher.statistics.failures == {Failure.BUSY: 1}
        assert {OLD} == await publisher.ask()
        assert 2 == publisher.fetches


class TestRotation:
    async def test_a_new_certificate_counts_at_once(self, publisher: Publisher) -> None:
        """It is missing in what is known, so the source is looked at again; the old one goes on meanwhile."""
        await publisher.ask()
        publisher.certificates = [OLD, NEW]
        assert await publisher.knows(NEW)
        assert await publisher.knows(OLD)
        assert 2 == publisher.fetches

    async def test_the_fetch_that_counts_began_after_the_request(self, publisher: Publisher) -> None:
        """A fetch that was under way when the certificate came proves nothing against it."""
        publisher.slow = 0.15
        early = asyncio.ensure_future(publisher.ask())
        await asyncio.sleep(0.1)
        publisher.certificates = [OLD, NEW]
        assert await publisher.knows(NEW)
        assert {OLD} == await early
        assert 2 == publisher.fetches

    async def test_a_certificate_that_was_missing_is_not_looked_for_until_the_next_interval(
        self, publisher: Publisher
    ) -> None:
        """Its holder is refused at once, a hundred times."""
        await publisher.ask()
        assert not await publisher.knows(NEW)
        begun = time.monotonic()
        assert not any([await publisher.knows(NEW) for _ in range(100)])
        assert time.monotonic() - begun < INTERVAL / 2
        assert 2 == publisher.fetches
        publisher.certificates = [NEW]
        await asyncio.sleep(INTERVAL)
        assert await publisher.knows(NEW)

    async def test_strangers_do_not_delay_a_rotation(self, publisher: Publisher) -> None:
        """Hundreds of fresh certificates under the same client_id, again and again: a certificate that is published now
        works within the interval and two fetches, and the source sees one fetch per interval."""
        publisher.slow = 0.02
        await publisher.ask()
        begun = time.monotonic()
        flood = [asyncio.ensure_future(hammer(publisher, each, begun + 1)) for each in strangers(200)]
        times = []
        for each in (NEW, THIRD):
            await asyncio.sleep(0.3)
            publisher.certificates = [OLD, each]
            asked = time.monotonic()
            assert await publisher.knows(each)
            times.append(time.monotonic() - asked)
        tries = sum(await asyncio.gather(*flood))
        lasted = time.monotonic() - begun
        assert max(times) < INTERVAL + 2 * (publisher.slow + 0.1)
        assert publisher.fetches <= 2 + lasted / INTERVAL
        assert tries > 2 * publisher.fetches

    async def test_where_too_many_wait_the_source_is_looked_at_all_the_same(
        self, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One more is refused at once, and known a moment later."""
        monkeypatch.setattr(published, "MOST_WAITING", 5)
        await publisher.ask()
        publisher.certificates = [OLD, NEW]
        waiting = [asyncio.ensure_future(publisher.ask(each)) for each in strangers(5)]
        await asyncio.sleep(0.01)
        assert 5 == publisher.memory.statistics().waiting
        assert not await publisher.knows(NEW)
        await asyncio.gather(*waiting)
        assert await publisher.knows(NEW)
        assert 2 == publisher.fetches

    async def test_nobody_waits_for_ever(self, publisher: Publisher) -> None:
        """A source that hangs costs a request the interval and two fetches at most; others are not held up."""
        await publisher.ask()

        async def hang(_: asyncio.StreamWriter) -> None:
            await asyncio.sleep(60)

        publisher.origin.behaviour = hang
        waiting = asyncio.ensure_future(publisher.ask(NEW))
        await asyncio.sleep(INTERVAL)
        late, begun = asyncio.ensure_future(publisher.ask(THIRD)), time.monotonic()
        assert {OLD} == await publisher.ask()
        assert time.monotonic() - begun < 0.1
        await asyncio.gather(waiting, late)
        assert time.monotonic() - begun < INTERVAL + 2 * 0.5 + 0.3

    async def test_a_request_that_is_given_up_leaves_the_fetch_to_others(self, publisher: Publisher) -> None:
        """And its place."""
        publisher.slow = 0.1
        first, second = (asyncio.ensure_future(publisher.ask()) for _ in range(2))
        await asyncio.sleep(0.05)
        first.cancel()
        assert {OLD} == await second
        assert (1, 0) == (publisher.fetches, publisher.memory.statistics().waiting)


class TestKeys:
    """Of clients that sign assertions: by the same rules, out of the same memory."""

    async def test_keys_and_certificates_come_with_one_fetch(self, publisher: Publisher) -> None:
        """A set is read once for both; a key that is there needs no other look, and no name of one neither."""
        publisher.signing = [KEY, OTHER]
        both = {KEY.kid, OTHER.kid}
        answers = await asyncio.gather(*(publisher.keys(kid) for kid in (KEY.kid, OTHER.kid, None) * 10))
        assert all(each > both for each in answers)  # the certificate's key is one as well
        assert {OLD} == await publisher.ask()
        assert 1 == publisher.fetches

    async def test_a_new_key_counts_at_once(self, publisher: Publisher) -> None:
        """Its kid is unknown, so the source is looked at again; the old one goes on meanwhile."""
        publisher.signing = [KEY]
        await publisher.keys(KEY.kid)
        publisher.signing = [KEY, OTHER]
        assert OTHER.kid in await publisher.keys(OTHER.kid)
        assert KEY.kid in await publisher.keys(KEY.kid)
        assert 2 == publisher.fetches

    async def test_who_names_no_key_makes_nobody_look(self, publisher: Publisher) -> None:
        """The set is looked at again when it has lived: so rotation without kid is as slow as that."""
        publisher.signing, publisher.headers = [KEY], {"Cache-Control": "max-age=100"}
        await publisher.keys(None)
        publisher.signing = [OTHER]
        assert OTHER.kid not in await publisher.keys(None)
        publisher.later = 101
        found = await publisher.keys(None)
        assert OTHER.kid in found
        assert KEY.kid not in found
        assert 2 == publisher.fetches

    async def test_invented_kids_and_fresh_certificates_share_a_fetch(self, publisher: Publisher) -> None:
        """A thousand of them cause no more than one per interval."""
        publisher.signing = [KEY]
        await publisher.keys(KEY.kid)
        begun = time.monotonic()
        waiting = [publisher.keys(f"invented {number}") for number in range(200)]
        await asyncio.gather(*waiting, *(publisher.ask(each) for each in strangers(20)))
        assert publisher.fetches <= 2 + (time.monotonic() - begun) / INTERVAL
        before = publisher.fetches
        assert KEY.kid in await publisher.keys("invented 0")  # missed a moment ago
        assert before == publisher.fetches

    async def test_a_thumbprint_is_no_kid(self, publisher: Publisher) -> None:
        """What is known under one kind of name is not under the other."""
        await publisher.ask()
        await publisher.keys(OLD.thumbprint)
        assert 2 == publisher.fetches

    async def test_a_source_that_is_down_keeps_its_last_good_keys(self, publisher: Publisher) -> None:
        """For a day."""
        publisher.signing = [KEY]
        await publisher.keys(KEY.kid)
        publisher.origin.behaviour = answer(status=b"500 Oh")
        publisher.later = 400
        assert KEY.kid in await publisher.keys(KEY.kid)
        publisher.later = 90_000
        with pytest.raises(Untrusted):
            await publisher.keys(KEY.kid)

    async def test_a_readable_set_without_keys_means_nobody(self, publisher: Publisher) -> None:
        """Its client has taken everything away."""
        publisher.signing = [KEY]
        await publisher.keys(KEY.kid)
        publisher.origin.behaviour = answer(b'{"keys": []}')
        assert set() == await publisher.keys("another")
        assert set() == await publisher.keys(KEY.kid)

    async def test_keys_that_are_not_sound_count_for_nothing(
        self, publisher: Publisher, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Weak, private, or of nonsense; those for something else are nothing to complain of."""
        weak = public_jwk(read(self_signed("CN=weak", key=rsa.generate_private_key(65537, 1024), now=TODAY)))
        mac = {"kty": "oct", "k": "c2VjcmV0"}
        keys = [weak, mac, {**KEY.public_jwk(), "x": "AA"}, {**OTHER.public_jwk(), "d": "AA"}, {"kty": ["EC"]},
                {"kty": "EC", "crv": {}}, {**KEY.public_jwk(), "use": "enc", "kid": "enc"}, KEY.public_jwk(),
                {**KEY.public_jwk(), "alg": "ES384", "kid": "es384"}]  # fmt: skip
        publisher.origin.behaviour = answer(json.dumps({"keys": keys}).encode())
        with caplog.at_level(logging.WARNING, "certbound.trust"):
            assert {KEY.kid} == await publisher.keys(KEY.kid)
        assert 1 == len(caplog.records)
        assert [f"keys[{number}]" in caplog.text for number in range(9)] == [True] * 4 + [False] * 5
        assert "c2VjcmV0" not in caplog.text

    async def test_nothing_to_ask_for_keys(self, publisher: Publisher) -> None:
        """A client without a jwks_uri has none, and none has any where nothing is fetched."""
        with pytest.raises(Untrusted):
            await PublishedNowhere().published_keys(publisher.client(), None, 0.0)


class TestMemory:
    async def test_so_many_sources_are_remembered(self, publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
        """The one that was used longest ago is forgotten first."""
        monkeypatch.setattr(published, "MOST_SOURCES", 3)
        for path in ("/1", "/2", "/3", "/1", "/4"):
            await publisher.ask(OLD, path)
        assert 4 == publisher.fetches
        assert 3 == publisher.memory.statistics().sources
        await publisher.ask(OLD, "/1")
        assert 4 == publisher.fetches
        await publisher.ask(OLD, "/2")
        assert 5 == publisher.fetches

    async def test_so_many_bytes_are_remembered(self, publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
        """Large sets leave room for fewer."""
        monkeypatch.setattr(published, "MOST_BYTES", 3 * (len(OLD.der) + published.KEY_SIZE))
        for number in range(10):
            await publisher.ask(OLD, f"/{number}")
        assert 3 == publisher.memory.statistics().sources

    async def test_nothing_goes_on_after_the_end(self, publisher: Publisher) -> None:
        """A fetch that is under way is given up."""
        publisher.slow = 60
        waiting = asyncio.ensure_future(publisher.ask())
        await asyncio.sleep(0.1)
        await publisher.memory.close()
        await asyncio.gather(waiting, return_exceptions=True)
        await asyncio.sleep(0.05)
        assert 0 == publisher.origin.open


async def hammer(publisher: Publisher, presented: Certificate, until: float) -> int:
    """A stranger who does not give up; how often he tried."""
    tries = 0
    while time.monotonic() < until:
        assert not await publisher.knows(presented)
        tries += 1
        await asyncio.sleep(0.05)
    return tries


async def settled(publisher: Publisher, *, fetches: int) -> None:
    """A request has made the source be looked at in the background, and that has ended."""
    with contextlib.suppress(Untrusted):
        await publisher.ask()
    for _ in range(100):
        if publisher.fetches >= fetches and not any(each.is_busy for each in publisher.memory._sources.values()):
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{publisher.fetches} fetches")
