"""An API that means ill, and arguments that would help it: token and certificate go nowhere else, and nobody waits."""

import asyncio
import gzip
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

import certbound.client
import certbound.client.aiohttp
import certbound.client.requests
from certbound.client import (
    AnswerUnusable,
    ApiUnsafe,
    ClientError,
    Credential,
    Identity,
    IdentityUnusable,
    auth,
    drive,
    drive_async,
    flow,
    open_async_client,
    open_client,
    read_metadata,
)
from certbound.client.flow import Flow, Probed
from certbound.client.flow.api import says_invalid_token
from certbound.trust.authority import self_signed
from client.raw import Line, Raw, raw
from client.served import Answer, Served, served
from client.test_auth import OWN, Place

INVALID = (b"www-authenticate", b'Bearer error="invalid_token"')


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with served(tmp_path) as running:
        yield Place(running)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Served]:
    """Another server, which the client believes as much as the first."""
    (tmp_path / "elsewhere").mkdir()
    with served(tmp_path / "elsewhere") as running:
        both = (tmp_path / "ca.pem").read_bytes() + running.ca.read_bytes()
        (tmp_path / "ca.pem").write_bytes(both)
        running.answer("/there", {"stolen": True})
        yield running


@pytest.fixture
def line(tmp_path: Path, place: Place) -> Iterator[Raw]:
    """An API below HTTP; the server is the other one, and both are believed."""
    with raw(tmp_path) as running:
        (tmp_path / "ca.pem").write_bytes((tmp_path / "ca.pem").read_bytes() + running.ca.read_bytes())
        yield running


class TestElsewhere:
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    async def test_a_redirect_takes_nothing_along(self, place: Place, elsewhere: Served, status: int) -> None:
        """Neither token nor certificate nor body, even if httpx was told to follow."""
        place.server.answer("/api", status=status, location=f"{elsewhere.url}/there")
        with place.open(follow_redirects=True) as api, pytest.raises(ApiUnsafe, match=r"redirects to .*nothing was"):
            await asyncio.to_thread(api.post, "/api", content=b"secret")
        async with place.open_async(follow_redirects=True) as calls:
            with pytest.raises(ApiUnsafe, match="redirects to"):
                await calls.post("/api", content=b"secret")
        assert elsewhere.asked == []

    def test_a_redirect_to_http(self, place: Place) -> None:
        """Not a byte goes out in the clear."""
        place.server.answer("/api", status=302, location=place.server.url.replace("https:", "http:") + "/api")
        with place.open(follow_redirects=True) as api, pytest.raises(httpx.UnsupportedProtocol):
            api.get("/api")

    def test_a_redirect_within_the_api(self, place: Place) -> None:
        """It is followed by whoever wants that, with the token."""
        place.server.answer("/old", status=307, location="/api")
        with place.open(follow_redirects=True) as api:
            assert api.get("/old").json()["token"] == "secret-1"

    def test_a_challenge_that_names_another_place(self, place: Place, elsewhere: Served) -> None:
        """`resource_metadata` of RFC 9728 is not looked at: what the API is was asked where it is."""
        challenge = f'Bearer error="invalid_token", resource_metadata="{elsewhere.url}/there"'.encode()
        place.server.answers["/api"] = Answer(401, b"{}", ((b"www-authenticate", challenge),))
        with place.open() as api:
            assert api.get("/api").status_code == 401
        assert elsewhere.asked == []
        assert place.given == 2

    def test_a_url_of_another_host_with_ours_in_it(self, place: Place) -> None:
        """What looks like the API and is not."""
        host = place.server.url.removeprefix("https://")
        with place.open() as api:
            for url in (f"https://{host}@evil.example/", f"https://{host}.evil.example/"):
                with pytest.raises((ApiUnsafe, httpx.InvalidURL)):
                    api.get(url)
        assert place.server.asked == []


class TestRefusals:
    @pytest.mark.parametrize(
        "challenge",
        ["bearer " * 14_000, "bearer " + "error " * 16_000, f"bearer error{' ' * 98_000}", "bearer error= " * 7_000],
        ids=["bearer", "error", "spaces", "both"],
    )
    def test_a_long_challenge_takes_no_time(self, challenge: str) -> None:
        """As long as a header may be; its length counts, not the square of it."""
        begun = time.process_time()
        assert not says_invalid_token([challenge])
        assert says_invalid_token([f'{challenge}, Bearer error="invalid_token"'])
        assert time.process_time() - begun < 0.5  # it was eight seconds

    def test_a_challenge_of_a_megabyte(self, line: Raw, place: Place) -> None:
        """It is no answer of HTTP."""
        line.talk = lambda to: to.say(
            b"HTTP/1.1 401 No\r\ncontent-length: 0\r\nwww-authenticate: " + b"bearer " * 150_000 + b"\r\n\r\n"
        )
        with place.open(resource=line.url, binding="any") as api, pytest.raises(httpx.RemoteProtocolError):
            api.get("/api")

    @pytest.mark.parametrize("how", ["long", "for-ever", "packed"])
    async def test_a_refusal_is_not_read_to_its_end(
        self, line: Raw, place: Place, how: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Of a 401 that leads to a retry httpx reads all before it; a hundred megabytes, or a drip, are left."""
        monkeypatch.setattr(auth, "WAITED_FOR_REFUSAL", 0.2)
        sent = [0]

        def talk(to: Line) -> None:
            if b"secret-1" not in to.request and b"secret-3" not in to.request:
                to.say(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
                return
            kind = b"content-encoding: gzip\r\n" if how == "packed" else b""
            to.say(b'HTTP/1.1 401 No\r\nwww-authenticate: Bearer error="invalid_token"\r\n' + kind)
            to.say(b"content-length: 104857600\r\n\r\n")
            bomb = {"long": b" " * 16384, "for-ever": b" ", "packed": gzip.compress(bytes(10_000_000))}[how]
            while sent[0] < 100_000_000 and not (how == "for-ever" and to.left.wait(0.05)):
                to.say(bomb)
                sent[0] += len(bomb)

        line.talk = talk
        begun = time.monotonic()
        with place.open(resource=line.url, binding="any") as api:
            assert (await asyncio.to_thread(api.get, "/api")).status_code == 200
        async with place.open_async(resource=line.url, binding="any") as calls:
            assert (await calls.get("/api")).status_code == 200
        assert time.monotonic() - begun < 10
        assert sent[0] < 20_000_000
        assert place.given == 4

    async def test_tasks_at_an_api_that_refuses_for_ever(self, place: Place) -> None:
        """A hundred at once, and again: each sees its 401; there are two tokens and no third."""
        place.taken = lambda _: False
        async with place.open_async() as api:
            for _ in range(2):
                answers = await asyncio.gather(*(api.get("/api") for _ in range(100)))
                assert {each.status_code for each in answers} == {401}
        assert place.given == 2
        assert place.asked("/api") <= 400


def token_of(**claims: Any) -> str:
    parts = (msgspec.json.encode(each) for each in ({"alg": "ES256"}, claims))
    return ".".join([*(urlsafe_b64encode(each).rstrip(b"=").decode() for each in parts), "c2ln"])


MINE = {"x5t#S256": Identity(OWN.chain_pem, OWN.key_pem).thumbprint}


class TestBound:
    @pytest.mark.parametrize(
        ("claims", "bindings"),
        [
            ({"cnf": MINE}, {"not denied", "any"}),
            ({}, {"any"}),
            ({"cnf": {"x5t#S256": "A" * 43}}, set()),
            ({"cnf": {}}, set()),
            ({"cnf": None}, set()),
            ({"cnf": {**MINE, "jkt": "x"}}, set()),
            ({"cnf": "x"}, set()),
        ],
    )
    def test_a_token_that_is_not_ours_is_not_used(
        self, place: Place, claims: dict[str, Any], bindings: set[str]
    ) -> None:
        """One that says it is anybody's, or bound to another certificate, never reaches the API."""
        token = token_of(**claims)
        place.server.answer("/token", {"access_token": token, "token_type": "Bearer"})
        for binding in ("not denied", "any"):
            place.server.asked.clear()
            with place.open(binding=binding) as api:
                if binding in bindings:
                    assert api.get("/api").json()["token"] == token
                    continue
                with pytest.raises(AnswerUnusable, match="not bound to the certificate") as refused:
                    api.get("/api")
            assert token not in str(refused.value)
            assert "/api" not in place.server.paths()

    @pytest.mark.parametrize("token", ["opaque", "a.b.c", "e30.e30", "e30.W10.x", "..", "e30.\u00e4.x"[:4] + "!.x"])
    def test_a_token_that_only_the_server_can_read(self, place: Place, token: str) -> None:
        """It is used as it is."""
        place.server.answer("/token", {"access_token": token, "token_type": "Bearer"})
        with place.open() as api:
            assert api.get("/api").json()["token"] == token


class TestArguments:
    @pytest.mark.parametrize(
        "argument",
        [{"verify": False}, {"verify": True}, {"cert": "a.pem"}, {"proxy": "http://localhost:1"}, {"mounts": {}},
         {"http2": True}, {"limits": httpx.Limits()}],
        ids="".join,
    )  # fmt: skip
    def test_what_would_go_around_our_tls_is_refused(self, place: Place, argument: dict[str, Any]) -> None:
        """Neither obeyed, as a proxy was, nor ignored, as `cert` and `verify` were (encode/httpx#3718)."""
        for opening in (place.open, place.open_async):
            with pytest.raises(ClientError, match=f"{next(iter(argument))}= is not used here"):
                opening(**argument)

    @pytest.mark.parametrize(
        "argument", [{"minimum_tls": 1.3}, {"minimum_tls": "TLSv1.3"}, {"minimum_tls": "1.1"}, {"binding": "Stated"}],
        ids=repr,
    )  # fmt: skip
    def test_a_word_that_is_none_is_not_taken_for_the_weaker_one(self, place: Place, argument: dict[str, Any]) -> None:
        """It is refused at once."""
        for opening in (place.open, place.open_async):
            with pytest.raises(ClientError, match=f"{next(iter(argument))} is "):
                opening(**argument)

    def test_proxies_of_the_environment(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        """They are not used, even by a client that reads the environment."""
        for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:1")
        with place.open(trust_env=True) as api:
            assert api.get("/api").status_code == 200

    def test_a_password_in_a_url_takes_no_tokens_place(self, place: Place) -> None:
        """The Authorization header is ours."""
        with place.open() as api:
            url = place.server.url.replace("https://", "https://user:password@") + "/api"
            assert api.get(url, headers={"Authorization": "Basic eDp5"}).json()["token"] == "secret-1"

    async def test_a_client_has_an_api(self) -> None:
        """Whichever face it has: without one, tokens would go wherever somebody's URL leads."""
        given: dict[str, Any] = {"certificate": OWN.chain_pem, "key": OWN.key_pem}
        for opening in (certbound.client.open, certbound.client.open_async, certbound.client.requests.open):
            for where in ({}, {"resource": "urn:api"}, {"resource": "http://api.example"}):
                with pytest.raises(ClientError, match="which API"):
                    opening("https://as.example", "me", **given, **where)
        with pytest.raises(ClientError, match="which API"):
            async with certbound.client.aiohttp.open("https://as.example", "me", **given):
                pass

    def test_a_file_that_is_missing_beside_bytes(self, place: Place, tmp_path: Path) -> None:
        """It is named, by an error of ours."""
        for given in ({"key": tmp_path / "missing"}, {"certificate": str(tmp_path / "missing")}):
            with pytest.raises(IdentityUnusable, match="missing cannot be read: No such file"):
                place.open(**given)


@pytest.mark.parametrize("enforces", [True, False])
async def test_a_probe_finds_out_what_an_api_does_with_stolen_tokens(place: Place, enforces: bool) -> None:
    """Over two certificates, ours and one that nobody knows; the token is given back in either case."""
    own, throwaway = (Identity.read(each.chain_pem, each.key_pem) for each in (OWN, self_signed("CN=nobody")))
    url = place.server.url

    def api(headers: dict[str, str], _: bytes) -> Answer:
        who = place.server.asked[-1][2]
        return Answer(200 if who == own.thumbprint or not enforces else 401)

    place.server.answers["/api"] = api
    place.server.answer("/revoke")
    server = read_metadata(
        {"issuer": url, "token_endpoint": f"{url}/token", "revocation_endpoint": f"{url}/revoke"}, url
    )
    wanted = Probed.ENFORCES if enforces else Probed.ACCEPTS_STOLEN

    def probe() -> Flow[Probed]:
        return flow.probe(server, Credential("me"), f"{url}/api")

    def blocking() -> Probed:
        with open_client(own, ca=place.server.ca) as us, open_client(throwaway, ca=place.server.ca) as them:
            return drive(us, probe(), strangers=them)

    assert await asyncio.to_thread(blocking) is wanted
    async with (
        open_async_client(own, ca=place.server.ca) as us,
        open_async_client(throwaway, ca=place.server.ca) as them,
    ):
        assert await drive_async(us, probe(), strangers=them) is wanted
    shown = [("/token", own), ("/api", own), ("/api", throwaway), ("/revoke", own)] * 2
    assert [(path, who) for path, _, who in place.server.asked] == [(path, who.thumbprint) for path, who in shown]
    assert b"secret-2" in place.server.asked[-1][1]


def test_a_certificate_is_shown_to_no_server_of_another_name(place: Place, elsewhere: Served, tmp_path: Path) -> None:
    """A server that cannot prove to be the one named learns nothing of the client."""
    with open_client(Identity.read(OWN.chain_pem, OWN.key_pem), ca=place.server.ca) as client:
        client.get(f"{elsewhere.url}/there")  # which is believed
    (tmp_path / "none.pem").write_bytes(self_signed("CN=nobody").certificate_pem)
    with (
        open_client(Identity.read(OWN.chain_pem, OWN.key_pem), ca=tmp_path / "none.pem") as client,
        pytest.raises(httpx.ConnectError),
    ):
        client.get(f"{elsewhere.url}/there")
    assert len(elsewhere.asked) == 1
