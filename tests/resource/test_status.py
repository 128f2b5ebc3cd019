"""certbound.resource.status: an issuer's status list over real HTTPS, believed, kept and refused."""

import asyncio
import json
import threading
import zlib
from base64 import urlsafe_b64encode
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from certbound.core.errors import InvalidToken, KeysUnavailable, StatusUnavailable
from certbound.core.signing import SigningKey
from certbound.core.status import BadStatus, StatusList, StatusReference, describe_list, encode_list, make_list
from certbound.core.well_known import Issuer
from certbound.resource import FixedKeys, IssuerStatuses
from certbound.resource import status as status_module
from certbound.resource.status import MAX_LIST, MAX_LISTS, MAX_USE
from certificates import NOW
from issuing import KEY, KEYS, signed

from .conftest import METADATA, Clock, Origin, respond

LISTS, LIST = "/status-lists", "/status"


def uri(origin: Origin) -> str:
    return origin.url + LIST


def reference(origin: Origin, index: int = 1) -> StatusReference:
    return StatusReference(index, uri(origin))


def publish(
    origin: Origin, *invalid: int, key: SigningKey = KEY, header: dict[str, Any] | None = None, **changes: Any
) -> None:
    """The issuer's metadata, and a list in which these are invalid; `...` takes a claim away."""
    origin.publish(KEY.public_jwk(), status_list_aggregation_endpoint=origin.url + LISTS)
    origin.answers[LISTS] = 200, json.dumps({"status_lists": [uri(origin)]}).encode()
    claims = {
        **describe_list(encode_list(make_list([(each, 1) for each in invalid], 64)), uri=uri(origin), now=NOW),
        **changes,
    }
    payload = json.dumps({name: value for name, value in claims.items() if value is not ...}).encode()
    origin.answers[LIST] = 200, signed(payload, {"typ": "statuslist+jwt", **(header or {})}, key=key).encode()


def statuses(origin: Origin, **facts: Any) -> IssuerStatuses:
    """What a guard has, by a clock that a test can set; its wall clock goes along."""
    clock = facts.pop("clock", Clock())
    return IssuerStatuses(
        Issuer(origin.url), FixedKeys(KEYS), origin.client, clock, lambda: NOW + clock.now - 1000, **facts
    )


async def is_valid(source: IssuerStatuses, origin: Origin, index: int = 1) -> bool:
    return (await source.list_of(reference(origin, index))).is_valid(index)


async def test_a_list_is_found_and_fetched_once(origin: Origin) -> None:
    """By the metadata, as section 9 has it; the next questions are answered from memory."""
    publish(origin, 2)
    source = statuses(origin)
    assert [True, False, True] == [await is_valid(source, origin, index) for index in (1, 2, 3)]
    assert origin.asked == [METADATA, LISTS, LIST]


async def test_many_questions_wait_for_one_fetch(origin: Origin) -> None:
    """A hundred tokens at once lead to one fetch of each document."""
    publish(origin, 2)
    source = statuses(origin)
    answers = await asyncio.gather(*(is_valid(source, origin) for _ in range(100)))
    assert {True} == set(answers)
    assert origin.asked == [METADATA, LISTS, LIST]


async def test_a_revocation_is_known_after_the_lists_time(origin: Origin) -> None:
    """After `ttl` seconds nobody uses the old list, however seldom somebody asks."""
    clock = Clock()
    publish(origin)
    source = statuses(origin, clock=clock)
    assert await is_valid(source, origin)
    publish(origin, 1)
    clock.now += 2.4
    assert await is_valid(source, origin)
    assert origin.asked.count(LIST) == 1
    clock.now += 2.6
    assert not await is_valid(source, origin)
    assert origin.asked.count(LIST) == 2


async def test_when_half_of_its_time_is_over_nobody_waits(origin: Origin) -> None:
    """Whoever comes then begins a fetch and uses what is there; so a busy guard never waits."""
    clock = Clock()
    publish(origin)
    source = statuses(origin, clock=clock)
    assert await is_valid(source, origin)
    entered, release = threading.Event(), threading.Event()
    body = origin.answers[LIST]

    def slow(handler: BaseHTTPRequestHandler) -> None:
        entered.set()
        release.wait(5)
        assert not callable(body)
        respond(handler, *body)

    origin.answers[LIST] = slow
    clock.now += 2.5
    answers = [await asyncio.wait_for(is_valid(source, origin), 1) for _ in range(3)]
    assert {True} == set(answers)
    await asyncio.to_thread(entered.wait, 5)
    release.set()
    clock.now += 2.5
    assert await is_valid(source, origin)
    assert origin.asked.count(LIST) <= 3


@pytest.mark.parametrize(("ttl", "seconds"), [(1, 1), (0.001, 1), (3, 3), (9, 9), (43200, 10), (..., 10)])
async def test_how_long_a_list_is_used(origin: Origin, ttl: Any, seconds: float) -> None:
    """Its `ttl`, but not above `max_age`, and never so short that we would flood the issuer."""
    clock = Clock()
    publish(origin, ttl=ttl, exp=...)
    source = statuses(origin, clock=clock)
    assert await is_valid(source, origin)
    clock.now += seconds / 2 - 0.01
    assert await is_valid(source, origin)
    assert origin.asked.count(LIST) == 1
    publish(origin, 1, ttl=ttl, exp=...)
    clock.now += seconds / 2 + 0.02
    assert not await is_valid(source, origin)


async def test_without_the_issuer_the_list_counts_until_it_ends(origin: Origin) -> None:
    """And then no token that names it is accepted; nobody waits for what failed a moment ago."""
    clock = Clock()
    publish(origin, 2, exp=NOW + 60)
    source = statuses(origin, clock=clock)
    assert await is_valid(source, origin)
    origin.answers[LIST] = 500, b""
    for _ in range(5):
        clock.now += 11
        assert await is_valid(source, origin)
        assert not await is_valid(source, origin, 2)
    clock.now += 5
    with pytest.raises(StatusUnavailable):
        await is_valid(source, origin)
    publish(origin, 1, exp=NOW + 120)
    clock.now += 1
    assert not await is_valid(source, origin)


async def test_a_failed_fetch_is_tried_again_in_a_second(origin: Origin) -> None:
    """Not with every token: an issuer that is down is not flooded."""
    clock = Clock()
    publish(origin)
    origin.answers[LIST] = 500, b""
    source = statuses(origin, clock=clock)
    for _ in range(20):
        with pytest.raises(StatusUnavailable):
            await is_valid(source, origin)
    assert origin.asked.count(LIST) == 1
    publish(origin)
    clock.now += 1
    assert await is_valid(source, origin)


@pytest.mark.parametrize("exp", [NOW + 1e9, ...])
async def test_a_list_for_ever_is_used_for_some_minutes(origin: Origin, exp: Any) -> None:
    """Without the issuer, no list counts longer than `MAX_USE`, whatever it says of itself."""
    clock = Clock()
    publish(origin, exp=exp)
    source = statuses(origin, clock=clock)
    assert await is_valid(source, origin)
    origin.answers[LIST] = 500, b""
    clock.now += MAX_USE - 1
    assert await is_valid(source, origin)
    clock.now += 1
    with pytest.raises(StatusUnavailable):
        await is_valid(source, origin)


def gzipped(handler: BaseHTTPRequestHandler) -> None:
    respond(handler, 200, b"\x1f\x8b", encoding="gzip")


BOMB = urlsafe_b64encode(zlib.compress(bytes(8 * 1024 * 1024), 9)).rstrip(b"=").decode()

UNUSABLE: list[tuple[str, dict[str, Any]]] = [
    ("of an access token's type", {"header": {"typ": "at+jwt"}}),
    ("of no type", {"header": {"typ": ...}}),
    ("unsigned", {"header": {"alg": "none"}}),
    ("by a shared secret", {"header": {"alg": "HS256"}}),
    ("with a critical extension", {"header": {"crit": ["x"]}}),
    ("signed by another key", {"key": SigningKey.generate()}),
    ("signed by another key under our kid", {"key": SigningKey.generate(), "header": {"kid": KEY.kid}}),
    ("of another place", {"sub": "https://localhost/other"}),
    ("of another issuer", {"iss": "https://evil.example"}),
    ("ended", {"exp": NOW}),
    ("without its time", {"iat": ...}),
    ("without statuses", {"status_list": ...}),
    ("that is a bomb", {"status_list": {"bits": 1, "lst": BOMB}}),
]


@pytest.mark.parametrize(("what", "changes"), UNUSABLE, ids=[what for what, _ in UNUSABLE])
async def test_a_list_that_is_not_believed(origin: Origin, what: str, changes: dict[str, Any]) -> None:
    """It is none, and its tokens are refused; one that is good replaces nothing either way."""
    clock = Clock()
    publish(origin, **changes)
    source = statuses(origin, clock=clock)
    with pytest.raises(StatusUnavailable):
        await is_valid(source, origin)
    publish(origin, 1)
    clock.now += 1
    assert not await is_valid(source, origin)
    publish(origin, **changes)
    clock.now += 11
    assert not await is_valid(source, origin), what


@pytest.mark.parametrize(
    "answer",
    [(404, b""), (302, b""), (200, b""), (200, b"\xff"), (200, b"a.b.c"), (200, b"x" * (MAX_LIST + 1)), gzipped],
    ids=["404", "302", "empty", "no ASCII", "no JWT", "long", "gzip"],
)
async def test_an_answer_that_is_no_list(
    origin: Origin, answer: tuple[int, bytes] | Callable[[BaseHTTPRequestHandler], None]
) -> None:
    """Whatever is there instead, its tokens are refused and nothing breaks."""
    publish(origin)
    origin.answers[LIST] = answer
    with pytest.raises(StatusUnavailable):
        await is_valid(statuses(origin), origin)
    assert "/elsewhere" not in origin.asked


async def test_a_list_that_its_issuer_does_not_publish(origin: Origin) -> None:
    """It is not fetched, however it is spelled: a token cannot send us anywhere."""
    publish(origin)
    source = statuses(origin)
    for other in (uri(origin) + "/", uri(origin) + "?x", "https://evil.example/status", "http://localhost/status", ""):
        with pytest.raises(InvalidToken, match="none that its issuer publishes"):
            await source.list_of(StatusReference(1, other))
    assert origin.asked == [METADATA, LISTS]
    assert await is_valid(source, origin)


async def test_strange_lists_are_looked_for_once_in_an_interval(origin: Origin) -> None:
    """And a list that its issuer just published is found after that interval."""
    clock = Clock()
    publish(origin)
    source = statuses(origin, clock=clock)
    assert await is_valid(source, origin)
    for n in range(50):
        with pytest.raises(InvalidToken):
            await source.list_of(StatusReference(1, f"{origin.url}/{n}"))
    assert origin.asked.count(LISTS) == 1
    origin.answers[LISTS] = 200, json.dumps({"status_lists": [uri(origin), origin.url + "/second"]}).encode()
    clock.now += 5
    with pytest.raises(StatusUnavailable):  # it is the issuer's, but nothing is there
        await source.list_of(StatusReference(1, origin.url + "/second"))
    assert origin.asked.count(LISTS) == 2


async def test_an_issuer_without_status_lists(origin: Origin) -> None:
    """Its tokens name a list that it does not publish: refused, for it cannot be asked."""
    with pytest.raises(InvalidToken):
        await is_valid(statuses(origin), origin)


@pytest.mark.parametrize("document", [b"[]", b"{}", b'{"status_lists": "x"}', b"\xff", b"nope"], ids=repr)
async def test_an_aggregation_that_cannot_be_read(origin: Origin, document: bytes) -> None:
    """What is not known is not refused as false, but for now."""
    publish(origin)
    origin.answers[LISTS] = 200, document
    with pytest.raises(StatusUnavailable):
        await is_valid(statuses(origin), origin)


@pytest.mark.parametrize("endpoint", ["http://localhost/lists", "", 7, None, "//localhost/lists"])
async def test_an_aggregation_elsewhere(origin: Origin, endpoint: Any) -> None:
    """Only https; `null` is absence."""
    publish(origin)
    origin.publish(KEY.public_jwk(), status_list_aggregation_endpoint=endpoint)
    with pytest.raises(InvalidToken if endpoint is None else StatusUnavailable):
        await is_valid(statuses(origin), origin)


async def test_an_aggregation_without_end(origin: Origin) -> None:
    """Lists that are no https URLs, and those after the first `MAX_LISTS`, are none."""
    publish(origin)
    many: list[Any] = [7, None, "http://localhost/status", *(f"https://localhost/{n}" for n in range(MAX_LISTS))]
    origin.answers[LISTS] = 200, json.dumps({"status_lists": [*many, uri(origin)]}).encode()
    source = statuses(origin)
    with pytest.raises(InvalidToken):
        await is_valid(source, origin)
    assert source._uris is not None
    assert len(source._uris) <= MAX_LISTS


async def test_the_metadata_of_another_issuer(origin: Origin) -> None:
    """Is none of ours (RFC 8414 section 3.3)."""
    publish(origin)
    origin.publish(KEY.public_jwk(), issuer="https://evil.example", status_list_aggregation_endpoint=origin.url + LISTS)
    with pytest.raises(StatusUnavailable):
        await is_valid(statuses(origin), origin)


async def test_a_list_that_drips(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who wait for it wait no longer than a fetch may take."""
    monkeypatch.setattr(status_module, "FETCH_TIMEOUT", 0.3)
    release = threading.Event()
    publish(origin)

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("content-length", "100")
        handler.end_headers()
        handler.wfile.write(b"e")
        release.wait(5)

    origin.answers[LIST] = drip
    with pytest.raises(StatusUnavailable):
        await asyncio.wait_for(is_valid(statuses(origin), origin), 3)
    release.set()


async def test_without_keys_no_list_is_believed(origin: Origin) -> None:
    """An issuer whose keys cannot be had says nothing."""

    class NoKeys:
        async def keys(self, kid: str | None) -> Any:
            raise KeysUnavailable("gone")

    publish(origin)
    clock = Clock()
    source = IssuerStatuses(Issuer(origin.url), NoKeys(), origin.client, clock, lambda: NOW)
    with pytest.raises(StatusUnavailable):
        await is_valid(source, origin)


async def test_who_asked_may_go(origin: Origin) -> None:
    """A fetch goes on when the one who asked for it is gone; the next one finds its answer."""
    publish(origin)
    source = statuses(origin)
    asking = asyncio.create_task(is_valid(source, origin))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.wait([asking])
    assert await is_valid(source, origin)
    assert origin.asked.count(LISTS) == 1


async def test_an_index_that_the_list_does_not_have(origin: Origin) -> None:
    """Nothing can be said of it."""
    publish(origin)
    listed = await statuses(origin).list_of(reference(origin))
    assert isinstance(listed, StatusList)
    with pytest.raises(BadStatus):
        listed.is_valid(64)
