"""An authorization server that means ill, over real TLS: a clear error in bounded time, and nothing said twice."""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from certbound.client import (
    AnswerUnusable,
    ClientError,
    Credential,
    MetadataUnusable,
    ServerUnreachable,
    TokenRefused,
    drive,
    drive_async,
    driving,
    flow,
    open_async_client,
    open_client,
)
from certbound.client.flow import Answer as Came
from certbound.client.flow import Registered, Started, read_answer, read_metadata
from certbound.client.keeping import Clocks, Name, Shelf
from client.raw import Line, Raw, raw
from client.served import Answer, Served, served
from client.stepping import answer, metadata, step

ME = Credential("me")
STARTED = Started(url="https://a", redirect_uri="https://app.example/cb", state="s" * 43, verifier="v" * 43)
DEVICE = flow.Device(
    user_code="U", verification_uri="https://a", verification_uri_complete=None, expires_in=60, interval=1,
    device_code="one-device-code",
)  # fmt: skip
ENDPOINTS = (
    "token_endpoint", "introspection_endpoint", "revocation_endpoint", "pushed_authorization_request_endpoint",
    "device_authorization_endpoint", "registration_endpoint",
)  # fmt: skip

Begin = Callable[[flow.ServerMetadata], flow.Flow[Any]]
ASKED: dict[str, Begin] = {
    "client_credentials": lambda server: flow.client_credentials(server, ME),
    "redeem": lambda server: flow.redeem(server, ME, STARTED, "one-code"),
    "refresh": lambda server: flow.refresh(server, ME, "one-refresh-token"),
    "exchange": lambda server: flow.exchange(server, ME, "one-subject-token"),
    "poll_device": lambda server: flow.poll_device(server, ME, DEVICE),
    "start_device": lambda server: flow.start_device(server, ME),
    "authorize": lambda server: flow.authorize(
        server, ME, redirect_uri="https://app.example/cb", state="s" * 43, verifier="v" * 43
    ),
    "introspect": lambda server: flow.introspect(server, ME, "one-token"),
    "revoke": lambda server: flow.revoke(server, ME, "one-token"),
    "register": lambda server: flow.register(server, {}, initial_access_token="one-initial-token"),
    "read_registration": lambda server: flow.read_registration(registered(server)),
    "replace_registration": lambda server: flow.replace_registration(registered(server), {}),
    "delete_registration": lambda server: flow.delete_registration(registered(server)),
}  # fmt: skip
"""Every request that a client has for a server but discovery; most hold a value that is good once."""


def registered(server: flow.ServerMetadata) -> Registered:
    return Registered(client_id="c", client_uri=f"{server.issuer}/x", document={}, access_token="one-registration")


def everything_at(url: str) -> flow.ServerMetadata:
    """Metadata whose every endpoint is the same place."""
    document = dict.fromkeys(ENDPOINTS, f"{url}/x")
    return read_metadata({"issuer": url, "authorization_endpoint": f"{url}/authorize", **document}, url)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("hostile")) as server:
        yield server


@pytest.fixture
def server(running: Served) -> Served:
    """As new."""
    running.answers, running.asked, running.headers, running.sent = {}, [], [], 0
    return running


@pytest.fixture(scope="module")
def client(running: Served) -> Iterator[httpx.Client]:
    with open_client(ca=running.ca) as opened:
        yield opened


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Raw]:
    with raw(tmp_path) as running:
        yield running


@pytest.mark.parametrize("name", ASKED)
def test_no_endpoint_redirects_anybody(server: Served, client: httpx.Client, name: str) -> None:
    """Neither here nor elsewhere: what is asked is asked once, and the error says what came."""
    for status in (301, 302, 303, 307, 308):
        server.answer("/x", {"access_token": "t", "token_type": "Bearer"}, status=status, location=f"{server.url}/away")
        with pytest.raises(AnswerUnusable, match=f"{status}, a redirect"):
            drive(client, ASKED[name](everything_at(server.url)))
    assert server.paths() == ["/x"] * 5


@pytest.mark.parametrize("name", ASKED)
async def test_what_is_good_once_is_not_sent_again(server: Served, client: httpx.Client, name: str) -> None:
    """After an answer that ends in the middle nobody knows whether the value was used; it is not used again."""
    server.answers["/x"] = Answer(200, b'{"a', cut=True)
    with pytest.raises(ServerUnreachable, match="/x"):
        await asyncio.to_thread(drive, client, ASKED[name](everything_at(server.url)))
    async with open_async_client(ca=server.ca) as calls:
        with pytest.raises(ServerUnreachable, match="/x"):
            await drive_async(calls, ASKED[name](everything_at(server.url)))
    assert server.paths() == ["/x"] * 2


@pytest.mark.parametrize("name", ["client_credentials", "introspect", "revoke", "register", "delete_registration"])
@pytest.mark.parametrize("length", [True, False], ids=["announced", "in-chunks"])
def test_no_endpoint_answers_without_end(line: Raw, name: str, length: bool) -> None:
    """A hundred megabytes, announced or not: it is left at once."""
    sent = [0]

    def talk(to: Line) -> None:
        to.say(b"HTTP/1.1 200 OK\r\n" + (b"content-length: 104857600" if length else b"transfer-encoding: chunked"))
        to.say(b"\r\n\r\n")
        for _ in range(6400):
            to.say(b" " * 16384 if length else b"4000\r\n" + b" " * 16384 + b"\r\n")
            sent[0] += 16384

    line.talk = talk
    with open_client(ca=line.ca) as asking, pytest.raises(AnswerUnusable, match="answers more than"):
        drive(asking, ASKED[name](everything_at(line.url)))
    assert sent[0] < 20_000_000  # what the system's buffers took


@pytest.mark.parametrize(
    "url",
    ["http://as.example/x", "https://user:password@as.example/x", "https://as.example:0/x", "https://as.example/x#y",
     "https:/as.example/x", "//as.example/x", "javascript:alert(1)", "", None, 7, ["https://as.example/x"]],
)  # fmt: skip
@pytest.mark.parametrize("name", [each for each in ASKED if "_registration" not in each])
def test_an_alias_that_is_none_is_not_followed_by_anything(name: str, url: Any) -> None:
    """In the clear, with a password, of no host: nothing goes there, nor to the plain endpoint in its place."""
    aliases = dict.fromkeys(ENDPOINTS, url)
    begun = ASKED[name](metadata(mtls_endpoint_aliases=aliases))
    with pytest.raises(MetadataUnusable, match=r"nothing is sent there|has no"):
        next(begun)


DRIPS: dict[str, tuple[bytes, float]] = {
    "headers": (b"HTTP/1.1 200 OK\r\nx-long: " + b"x" * 60_000, 0.02),
    "a body": (b"HTTP/1.1 200 OK\r\ncontent-length: 60000\r\n\r\n" + b" " * 60_000, 0.02),
    "chunks": (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 9_000, 0.02),
}


@pytest.mark.parametrize("what", DRIPS)
@pytest.mark.parametrize("whole", [False, True], ids=["bytes-of-a-record", "records"])
async def test_bytes_that_come_one_by_one(line: Raw, what: str, whole: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever they are part of, status, headers, body, or the record that TLS waits for: it ends in time."""
    monkeypatch.setattr(driving, "LONGEST", 0.25)
    data, pause = DRIPS[what]

    def talk(to: Line) -> None:
        if not whole:
            to.drip(to.record(data[:16_000]), pause)
            return
        for each in data:
            if to.left.wait(pause):
                return
            to.say(bytes([each]))

    line.talk = talk
    begun = time.monotonic()
    with open_client(ca=line.ca) as client, pytest.raises(AnswerUnusable, match=r"more than 0\.25 seconds"):
        await asyncio.to_thread(drive, client, flow.discover(line.url))
    async with open_async_client(ca=line.ca) as calls:
        with pytest.raises(AnswerUnusable, match=r"more than 0\.25 seconds"):
            await drive_async(calls, flow.discover(line.url))
    assert time.monotonic() - begun < 5
    assert len(line.requests) == 2


async def test_early_hints_for_ever(line: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers that are not the last one do not keep anybody waiting for it."""
    monkeypatch.setattr(driving, "LONGEST", 0.25)

    def talk(to: Line) -> None:
        while not to.left.wait(0.01):
            to.say(b"HTTP/1.1 103 Early Hints\r\n\r\n")

    line.talk = talk
    with open_client(ca=line.ca) as client, pytest.raises(AnswerUnusable, match=r"more than 0\.25 seconds"):
        await asyncio.to_thread(drive, client, flow.discover(line.url))
    async with open_async_client(ca=line.ca) as calls:
        with pytest.raises(AnswerUnusable, match=r"more than 0\.25 seconds"):
            await drive_async(calls, flow.discover(line.url))


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\nx: " + b"x" * 1_000_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 200_000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffffffff\r\n",
        b"HTTP/1.1 200 OK\r\n : no\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"",
    ],
    ids=["a-long-header", "many-headers", "two-lengths", "no-length", "a-long-chunk", "no-header", "ssh", "nothing"],
)
def test_what_is_no_http(line: Raw, said: bytes) -> None:
    """It is an answer that did not come."""
    line.talk = lambda to: to.say(said) if said else None
    with open_client(ca=line.ca) as client, pytest.raises(ServerUnreachable, match="cannot be reached"):
        drive(client, flow.discover(line.url))


GOOD: dict[str, Any] = {"access_token": "the-token", "token_type": "Bearer"}


NO_TOKENS: list[dict[str, Any]] = [
    *(
        {"token_type": kind}
        for kind in ("bearer ", " Bearer", "Bearer\n", "DPoP", "mac", "N_A", "", None, 7, ["Bearer"])
    ),
    *({"access_token": token} for token in ("a\nb", "a\r\nx: y", "a b", "a\x00", "\u00e4", "a\x7f", "", None, 7, {})),
]


@pytest.mark.parametrize("change", NO_TOKENS, ids=repr)
def test_what_is_no_bearer_token(change: dict[str, Any]) -> None:
    """Of another kind, or what no header could carry; the message does not repeat the token."""
    with pytest.raises(AnswerUnusable) as refused:
        step(flow.client_credentials(metadata(), ME), answer({**GOOD, **change}))
    assert "the-token" not in str(refused.value)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    "body",
    [
        b'{"access_token": "t", "token_type": "Bearer", "expires_in": NaN}',
        b'{"access_token": "t", "token_type": "Bearer", "expires_in": 1e999}',
        b'{"access_token": "t", "token_type": "Bearer", "expires_in": -Infinity}',
        b'{"access_token": "t", "token_type": "Bearer", "expires_in": ' + b"9" * 5000 + b"}",
        b'{"access_token": "t", "token_type": "Bearer"} {"access_token": "u"}',
        b'\xef\xbb\xbf{"access_token": "t", "token_type": "Bearer"}',
        b'{"access_token": "\xff", "token_type": "Bearer"}',
        b'{"access_token": "t", "token_type": "Bearer", "more": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b"access_token=t&token_type=Bearer",
    ],
    ids=["nan", "infinite", "less-than-that", "a-long-number", "two", "bom", "no-utf-8", "deep", "a-form"],
)
def test_what_is_no_json(body: bytes) -> None:
    """It is no token."""
    with pytest.raises(AnswerUnusable, match="without an access token"):
        read_answer("https://as.example/token", Came(200, {}, body))


@pytest.mark.parametrize(
    ("told", "used"),
    [
        (b"600", 570), (b"600.0", 570), (b'"600"', 270), (b"true", 270), (b"null", 270), (b"[]", 270), (b"0", 0),
        (b"-1", 0), (b"-1e308", 0), (b"-" + b"9" * 400, 0), (b"1e-300", 0), (b"1e308", 9e8), (b"9" * 400, 9e8),
    ],
)  # fmt: skip
def test_how_long_a_token_is_said_to_live(told: bytes, used: float) -> None:
    """What is a number counts, and none of them breaks a clock; what is none means that nothing was said."""
    body = b'{"access_token": "t", "token_type": "Bearer", "expires_in": ' + told + b"}"
    token = read_answer("https://as.example/token", Came(200, {}, body))
    now = 0.0
    shelf = Shelf(Clocks(monotonic=lambda: now, wall=lambda: 2e9 + now))
    name = Name("i", "c", "t", None, None)
    kept = shelf.keep(name, token, shelf.begin())
    now = max(used - 0.5, 0)
    assert shelf.find(name) is (kept if used else None)
    if used < 9e8:
        now = used + 0.5
        assert shelf.find(name) is None


def test_a_member_that_is_there_twice() -> None:
    """The last one counts, for whoever reads it here: a second reading, which could differ, does not exist."""
    body = b'{"access_token": "a", "token_type": "mac", "access_token": "b", "token_type": "Bearer"}'
    assert read_answer("https://as.example/token", Came(200, {}, body)).access_token == "b"
    with pytest.raises(MetadataUnusable, match="names the issuer"):
        step(flow.discover("https://as.example"), Came(
            200, {}, b'{"issuer": "https://as.example", "issuer": "https://evil.example"}'
        ))  # fmt: skip


@pytest.mark.parametrize("interval", [b"9" * 400, b"1e308", b"-" + b"9" * 400, b"true", b'"5"', b"0"])
@pytest.mark.parametrize("lives", [b"9" * 400, b"-" + b"9" * 400, b"1e308"])
def test_a_device_that_is_to_wait_for_ages(interval: bytes, lives: bytes) -> None:
    """It can be computed with, and is never less than a second."""
    body = (
        b'{"device_code": "d", "user_code": "U", "verification_uri": "https://as.example/d", "interval": '
        + interval + b', "expires_in": ' + lives + b"}"
    )  # fmt: skip
    device, _ = step(flow.start_device(metadata(), ME), Came(200, {}, body))
    assert 1 <= device.interval <= 1e9
    assert float(device.expires_in) <= 1e9


@pytest.mark.parametrize(
    "name", ["redeem", "refresh", "exchange", "poll_device", "introspect", "revoke", "register", "read_registration"]
)
def test_a_refusal_does_not_repeat_what_was_sent(name: str) -> None:
    """A server that quotes the code or the token does not bring it into our message, nor a signed one of its own."""
    begun = ASKED[name](metadata())
    request = next(begun)
    sent = dict(request.form or ()) | dict(request.headers)
    [value] = {each.removeprefix("Bearer ") for each in sent.values() if "one-" in each}
    signed = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln"
    refusal = {"error": f"no {value}", "error_description": f"what is {value}? not {signed}", "request_id": value}
    with pytest.raises(ClientError) as refused:
        begun.send(answer(refusal, 400))
    shown = str(refused.value) + repr(refused.value) + repr(vars(refused.value)["description"])
    assert value not in shown
    assert signed not in shown
    assert "what is" in shown


def test_a_refusal_is_short(server: Served, client: httpx.Client) -> None:
    """However much the server has to say, and however it would like to say it."""
    server.answer("/x", {"error": "e" * 50_000, "error_description": "\x1b[2J\u202e" * 10_000}, status=400)
    with pytest.raises(TokenRefused) as refused:
        drive(client, flow.client_credentials(everything_at(server.url), ME))
    assert len(str(refused.value)) < 1_500
    assert str(refused.value).isprintable()
