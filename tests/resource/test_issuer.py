"""certbound.resource.issuer: an issuer's keys, fetched over real HTTPS and no more often than that."""

import asyncio
import gzip
import ssl
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

import httpx
import pytest
from joserfc.jwk import OctKey

from certbound.core.errors import KeysUnavailable
from certbound.core.signing import SigningKey
from certbound.core.well_known import Issuer
from certbound.resource import issuer as issuer_module
from certbound.resource.fetching import MAX_DOCUMENT
from certbound.resource.issuer import FixedKeys, IssuerKeys
from certbound.trust.authority import self_signed
from issuing import KEY, KEYS

from .conftest import METADATA, Clock, Origin, respond

OPENID = "/.well-known/openid-configuration"


async def test_keys_are_fetched_once(origin: Origin) -> None:
    """The first question fetches metadata and keys; the next ones are answered from memory."""
    keys = origin.keys()
    for kid in (KEY.kid, KEY.kid, None):
        assert [key.kid for key in await keys.keys(kid)] == [KEY.kid]
    assert origin.asked == [METADATA, "/jwks"]


async def test_many_questions_wait_for_one_fetch(origin: Origin) -> None:
    """A hundred questions at once lead to one fetch."""
    keys = origin.keys()
    await asyncio.gather(*(keys.keys(KEY.kid) for _ in range(100)))
    assert origin.asked == [METADATA, "/jwks"]


async def test_a_rotation_under_load(origin: Origin) -> None:
    """While new keys are fetched, whoever brings the new `kid` waits for them, and the old one needs no waiting."""
    clock = Clock()
    keys = origin.keys(clock=clock)
    await keys.keys(KEY.kid)
    new = SigningKey.generate()
    origin.publish(KEY.public_jwk(), new.public_jwk())
    clock.now += 5
    found = await asyncio.gather(*(keys.keys(new.kid) for _ in range(50)))
    assert all(new.kid in [key.kid for key in each] for each in found)
    assert origin.asked.count("/jwks") == 2


async def test_old_keys_are_replaced_under_load(origin: Origin) -> None:
    """When keys reach their `max_age` amid many questions, all of them wait for one fetch, and none is refused."""
    clock = Clock()
    keys = origin.keys(clock=clock)
    await keys.keys(KEY.kid)
    clock.now += 301
    assert all(await asyncio.gather(*(keys.keys(KEY.kid) for _ in range(50))))
    assert origin.asked.count("/jwks") == 2


async def test_those_who_wait_for_a_failure_do_not_repeat_it(origin: Origin) -> None:
    """Fifty questions that waited for a fetch which failed are `KeysUnavailable` without a fetch of their own."""
    origin.answers.clear()
    clock = Clock()

    def slow(handler: BaseHTTPRequestHandler) -> None:
        clock.now += 5
        handler.send_error(503)

    origin.answers[METADATA] = slow
    keys = origin.keys(clock=clock)
    answers = await asyncio.gather(*(keys.keys(KEY.kid) for _ in range(50)), return_exceptions=True)
    assert all(isinstance(each, KeysUnavailable) for each in answers)
    assert len(origin.asked) == 1


async def test_unknown_kids_lead_to_one_fetch_per_interval(origin: Origin) -> None:
    """A thousand tokens with random `kid`s cause one fetch per interval, and known ones none."""
    clock = Clock()
    keys = origin.keys(clock=clock)
    await keys.keys(KEY.kid)
    for round_ in range(1, 4):
        clock.now += 5
        await asyncio.gather(*(keys.keys(f"random-{round_}-{number}") for number in range(1000)))
        assert await keys.keys(KEY.kid)
        assert origin.asked.count("/jwks") == 1 + round_


async def test_unknown_kids_right_after_a_fetch(origin: Origin) -> None:
    """An unknown `kid` within the interval is answered with the keys there are, without a fetch."""
    keys = origin.keys()
    await keys.keys(KEY.kid)
    for number in range(1000):
        assert await keys.keys(f"random-{number}")
    assert origin.asked == [METADATA, "/jwks"]


async def test_a_new_key_is_found(origin: Origin) -> None:
    """A key that the issuer added is used as soon as the interval lets us look."""
    clock = Clock()
    keys = origin.keys(clock=clock)
    await keys.keys(KEY.kid)
    new = SigningKey.generate()
    origin.publish(KEY.public_jwk(), new.public_jwk())
    clock.now += 5
    assert new.kid in [key.kid for key in await keys.keys(new.kid)]


async def test_strangers_cannot_keep_a_new_key_out(origin: Origin) -> None:
    """Random `kid`s without end, eight each second, keep a new key unknown for five seconds at most."""
    clock = Clock()
    keys = origin.keys(clock=clock)
    await keys.keys(KEY.kid)
    clock.now += 60
    await keys.keys("random")
    new = SigningKey.generate()
    origin.publish(KEY.public_jwk(), new.public_jwk())
    for number in range(5 * 8):
        clock.now += 1 / 8
        known = [key.kid for key in await keys.keys(f"random-{number}")]
    assert new.kid in known
    assert origin.asked.count("/jwks") == 3


async def test_a_caller_that_leaves_takes_nothing_along(origin: Origin) -> None:
    """The fetch that a token began goes on when its request is cancelled: others get the keys it brings, at once."""
    begun, go_on = threading.Event(), threading.Event()

    def slow(handler: BaseHTTPRequestHandler) -> None:
        begun.set()
        go_on.wait(10)
        status, body = jwks
        respond(handler, status, body)

    clock = Clock()
    keys = origin.keys(clock=clock)
    await keys.keys(KEY.kid)
    new = SigningKey.generate()
    origin.publish(KEY.public_jwk(), new.public_jwk())
    jwks, origin.answers["/jwks"] = origin.answers["/jwks"], slow
    assert isinstance(jwks, tuple)
    clock.now += 5
    impatient = [asyncio.create_task(keys.keys("random")) for _ in range(3)]
    assert await asyncio.to_thread(begun.wait, 10)
    for task in impatient:
        task.cancel()
    await asyncio.gather(*impatient, return_exceptions=True)
    patient = asyncio.create_task(keys.keys(new.kid))
    await asyncio.sleep(0)
    go_on.set()
    assert new.kid in [key.kid for key in await patient]
    assert origin.asked.count("/jwks") == 2


async def test_a_fetch_that_nobody_waits_for_is_not_lost(origin: Origin) -> None:
    """When everybody has left, the keys that were fetched for them are there for the next, without another fetch."""
    keys = origin.keys()
    task = asyncio.create_task(keys.keys(KEY.kid))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [key.kid for key in await keys.keys(KEY.kid)] == [KEY.kid]
    assert origin.asked == [METADATA, "/jwks"]


async def test_a_removed_key_dies(origin: Origin) -> None:
    """A key that the issuer took away is not used longer than `max_age`, though nobody brings an unknown `kid`."""
    clock = Clock()
    keys = origin.keys(clock=clock, max_age=300)
    await keys.keys(KEY.kid)
    new = SigningKey.generate()
    origin.publish(new.public_jwk())
    clock.now += 300
    assert [key.kid for key in await keys.keys(KEY.kid)] == [KEY.kid]
    clock.now += 1
    assert [key.kid for key in await keys.keys(KEY.kid)] == [new.kid]


async def test_old_keys_are_not_used_when_the_issuer_does_not_answer(origin: Origin) -> None:
    """Beyond `max_age` no key is used, even if new ones cannot be had; until then a failed fetch does no harm."""
    clock = Clock()
    keys = origin.keys(clock=clock, max_age=300)
    await keys.keys(KEY.kid)
    origin.answers.clear()
    clock.now += 200
    assert [key.kid for key in await keys.keys("unknown")] == [KEY.kid]
    clock.now += 101
    with pytest.raises(KeysUnavailable):
        await keys.keys(KEY.kid)
    origin.publish(KEY.public_jwk())
    clock.now += 1
    assert await keys.keys(KEY.kid)


async def test_failures_are_not_repeated_at_once(origin: Origin) -> None:
    """While keys cannot be had, there is at most one try a second, and each question is `KeysUnavailable` (503)."""
    origin.answers.clear()
    clock = Clock()
    keys = origin.keys(clock=clock)
    for _ in range(50):
        with pytest.raises(KeysUnavailable) as refusal:
            await keys.keys(KEY.kid)
        assert refusal.value.status == 503
    assert origin.asked == [METADATA, OPENID]
    clock.now += 1
    with pytest.raises(KeysUnavailable):
        await keys.keys(KEY.kid)
    assert origin.asked == [METADATA, OPENID] * 2


@pytest.mark.parametrize("path", ["/realm", "/realm/", "/"])
async def test_an_issuer_with_a_path(origin: Origin, path: str) -> None:
    """The metadata of an issuer with a path, or with a slash at its end, is where RFC 8414 section 3.1 says."""
    origin.publish(KEY.public_jwk(), path=path)
    assert await origin.keys(path=path).keys(KEY.kid)
    assert origin.asked[0] == METADATA + path.rstrip("/")


@pytest.mark.parametrize("path", ["", "/realm", "/realm/", "/"])
async def test_an_issuer_that_knows_openid_only(origin: Origin, path: str) -> None:
    """Where nothing is at RFC 8414's place, the document of OpenID Connect is asked for, behind the issuer's path."""
    published_for_openid(origin, path)
    assert await origin.keys(path=path).keys(KEY.kid)
    place = path.rstrip("/")
    assert origin.asked == [METADATA + place, place + OPENID, "/jwks"]


@pytest.mark.parametrize("claimed", ["https://evil.example", None, 1])
async def test_openids_document_of_another_issuer(origin: Origin, claimed: Any) -> None:
    """It counts for no other issuer than the first one would."""
    published_for_openid(origin, "/realm", issuer=claimed)
    with pytest.raises(KeysUnavailable):
        await origin.keys(path="/realm").keys(KEY.kid)
    assert "/jwks" not in origin.asked


@pytest.mark.parametrize(
    "answer", [(302, b""), (401, b""), (410, b""), (500, b""), (503, b""), (200, b"{"), (200, b"{}")]
)
async def test_openids_document_replaces_no_other(origin: Origin, answer: tuple[int, bytes]) -> None:
    """An issuer that has trouble is not asked for something else."""
    published_for_openid(origin, "")
    origin.answers[METADATA] = answer
    with pytest.raises(KeysUnavailable):
        await origin.keys().keys(KEY.kid)
    assert origin.asked == [METADATA]


def published_for_openid(origin: Origin, path: str, **metadata: Any) -> None:
    origin.publish(KEY.public_jwk(), path=path, **metadata)
    place = path.rstrip("/")
    origin.answers[place + OPENID] = origin.answers.pop(METADATA + place)


@pytest.mark.parametrize("claimed", ["https://evil.example", None, 1, "slash", "upper"])
async def test_metadata_of_another_issuer(origin: Origin, claimed: Any) -> None:
    """Metadata that names another issuer is refused, and its keys are not asked for (RFC 8414 section 3.3)."""
    spelled = {"slash": origin.url + "/", "upper": origin.url.upper()}.get(claimed, claimed)
    origin.publish(KEY.public_jwk(), issuer=spelled)
    with pytest.raises(KeysUnavailable):
        await origin.keys().keys(KEY.kid)
    assert origin.asked == [METADATA]


@pytest.mark.parametrize(
    "uri", [None, 1, "", "http://localhost/jwks", "file:///etc/passwd", "/jwks", "https://", "https://["]
)
async def test_an_unfit_jwks_uri(origin: Origin, uri: Any) -> None:
    """A `jwks_uri` that is missing or no https URL is refused."""
    origin.publish(KEY.public_jwk(), jwks_uri=uri)
    with pytest.raises(KeysUnavailable):
        await origin.keys().keys(KEY.kid)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"null", b"[]", b"1", b"\xff", b"[" * 5000, b'{"a":' * 3000 + b"1" + b"}" * 3000, b"{}",
        b'{"keys":null}', b'{"keys":"abc"}', b'{"keys":{}}', b'{"keys":[]}', b'{"keys":[null,1,"x",[]]}',
        b'{"keys":[{"kty":"EC"}]}', b'{"keys":[{"kty":1}]}', b'{"keys":[{"kty":["EC"]}]}', b'{"keys":[{"kty":{}}]}',
        b'{"keys":[{"kty":"oct","k":"AAAA"}]}', b" " * (MAX_DOCUMENT + 1),
    ],
    ids=lambda body: repr(body[:24]),
)  # fmt: skip
@pytest.mark.parametrize("path", [METADATA, "/jwks"])
async def test_documents_that_are_none(origin: Origin, path: str, body: bytes) -> None:
    """Whatever is answered for metadata or keys, it leads to `KeysUnavailable`, and to nothing else."""
    origin.answers[path] = 200, body
    with pytest.raises(KeysUnavailable):
        await origin.keys().keys(KEY.kid)


@pytest.mark.parametrize("status", [302, 404, 500, 503])
@pytest.mark.parametrize("path", [METADATA, "/jwks"])
async def test_other_statuses(origin: Origin, path: str, status: int) -> None:
    """An error is no document, and a redirect is not followed."""
    origin.answers["/elsewhere"] = origin.answers[path]
    origin.answers[path] = status, b"{}"
    with pytest.raises(KeysUnavailable):
        await origin.keys().keys(KEY.kid)
    assert "/elsewhere" not in origin.asked


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "deflate", "br", "gzip, gzip", "identity, gzip", "x"])
@pytest.mark.parametrize("path", [METADATA, "/jwks"])
@pytest.mark.parametrize("compress", [gzip.compress, bytes])
async def test_nothing_is_decompressed(
    origin: Origin, path: str, encoding: str, compress: Callable[[bytes], bytes]
) -> None:
    """Documents are asked for as they are, and a compressed one is refused, whatever it would become."""
    _, good = origin.answers[path]  # type: ignore[misc]
    accepted: list[str | None] = []

    def encoded(handler: BaseHTTPRequestHandler) -> None:
        accepted.append(handler.headers["accept-encoding"])
        respond(handler, 200, compress(good), encoding)

    origin.answers[path] = encoded
    with pytest.raises(KeysUnavailable):
        await origin.keys().keys(KEY.kid)
    assert accepted == ["identity"]


async def test_a_document_that_says_it_is_as_it_is(origin: Origin) -> None:
    """`content-encoding: identity` says nothing, and harms nothing."""
    _, good = origin.answers["/jwks"]  # type: ignore[misc]
    origin.answers["/jwks"] = lambda handler: respond(handler, 200, good, "Identity")
    assert await origin.keys().keys(KEY.kid)


async def test_a_bad_key_does_not_hide_the_others(origin: Origin) -> None:
    """Keys that are unknown, malformed, symmetric or for encryption are passed over (RFC 7517 section 5)."""
    bad = [
        {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA"}, {"kty": "EC"}, {"kty": "RSA", "n": 1},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "EC", "crv": "unknown", "x": "AA", "y": "AA"}, {"kty": "OKP", "crv": "X", "x": "AA"},
        {"kty": "RSA", "n": "AA", "e": "AA"}, {"kty": "OKP", "crv": "Ed25519", "x": "AA"},
        {**KEY.public_jwk(), "kid": "enc", "use": "enc"}, OctKey.generate_key(256).as_dict(), None, "x", 1, [],
    ]  # fmt: skip
    origin.publish(*bad, KEY.public_jwk())  # type: ignore[arg-type]
    assert [key.kid for key in await origin.keys().keys(KEY.kid)] == [KEY.kid]


async def test_a_server_that_is_not_believed(origin: Origin) -> None:
    """An issuer whose server certificate nobody vouches for has no keys."""
    other = ssl.create_default_context(cadata=self_signed("CN=x").certificate_pem.decode())
    keys = origin.keys(new_client=lambda: httpx.AsyncClient(verify=other, trust_env=False))
    with pytest.raises(KeysUnavailable):
        await keys.keys(KEY.kid)
    assert origin.asked == []


async def test_nobody_there() -> None:
    """An issuer that cannot be reached has no keys, and that is no failure of ours."""
    keys = IssuerKeys(Issuer("https://localhost:1"), lambda: httpx.AsyncClient(trust_env=False), Clock())
    with pytest.raises(KeysUnavailable):
        await keys.keys(None)


async def test_an_issuer_that_drips(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """An issuer that answers a byte at a time holds nobody up for longer than the timeout of a fetch."""
    monkeypatch.setattr(issuer_module, "FETCH_TIMEOUT", 0.3)

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(30):
            handler.wfile.write(b" ")
            time.sleep(0.05)

    origin.answers[METADATA] = drip
    begin = time.monotonic()
    with pytest.raises(KeysUnavailable):
        await origin.keys().keys(KEY.kid)
    assert time.monotonic() - begin < 1.2


async def test_fixed_keys() -> None:
    """Keys known beforehand are those, whatever is asked for."""
    assert await FixedKeys(KEYS).keys("unknown") is KEYS
