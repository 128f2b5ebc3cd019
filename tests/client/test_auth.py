"""`certbound.client.auth` and `.opening` over real TLS, at servers and APIs that misbehave on purpose."""

import asyncio
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, load_pem_private_key
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates

import certbound.client
from certbound.client import (
    AnswerUnusable,
    ApiUnsafe,
    CertificateBoundAuth,
    ClientError,
    Credential,
    Identity,
    IdentityUnusable,
    MetadataUnusable,
    ServerUnreachable,
    Shelf,
    TokenRefused,
    Transport,
    driving,
)
from certbound.client.flow import MAX_ANSWER
from certbound.client.keeping import Clocks
from certbound.client.transport import AsyncTransport, async_client_over, client_over
from certbound.trust.authority import Authority, Issued, self_signed
from client.served import Answer, Served, served

OWN = self_signed("CN=client")
ISSUER, API = "/.well-known/oauth-authorization-server", "/.well-known/oauth-protected-resource"


@dataclass
class Place:
    """An issuer and an API on one server; `given` counts the tokens, `taken` says which the API takes."""

    server: Served
    given: int = 0
    life: float = 600
    status: int = 200
    taken: Callable[[str], bool] = lambda _: True
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        url = self.server.url
        self.server.answer(ISSUER, {"issuer": url, "token_endpoint": f"{url}/token"})
        self.server.answer(API, {"resource": url, "tls_client_certificate_bound_access_tokens": True})
        self.server.answers["/token"] = self.token
        self.server.answers["/api"] = self.api

    def token(self, _: dict[str, str], __: bytes) -> Answer:
        with self.lock:
            self.given += 1
            document = {"access_token": f"secret-{self.given}", "token_type": "Bearer", "expires_in": self.life}
        return Answer(200, msgspec.json.encode(document))

    def api(self, headers: dict[str, str], body: bytes) -> Answer:
        token = headers.get("authorization", "").removeprefix("Bearer ")
        if self.taken(token):
            return Answer(200, msgspec.json.encode({"token": token, "body": body.decode()}))
        challenge = (b"www-authenticate", b'Bearer realm="x", error="invalid_token"')
        return Answer(401, b"{}", (challenge,))

    def open(self, **more: Any) -> httpx.Client:
        given = {"certificate": OWN.chain_pem, "key": OWN.key_pem, "resource": self.server.url, **more}
        return certbound.client.open(self.server.url, "me", ca=self.server.ca, **given)

    def open_async(self, **more: Any) -> httpx.AsyncClient:
        given = {"certificate": OWN.chain_pem, "key": OWN.key_pem, "resource": self.server.url, **more}
        return certbound.client.open_async(self.server.url, "me", ca=self.server.ca, **given)

    def asked(self, path: str) -> int:
        return self.server.paths().count(path)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with served(tmp_path) as running:
        yield Place(running)


class TestUse:
    def test_two_lines(self, place: Place) -> None:
        """What is asked, in order, the first time; later there is the request alone."""
        with place.open() as api:
            for _ in range(3):
                assert api.get("/api").json()["token"] == "secret-1"
        assert place.server.paths() == [API, ISSUER, "/token", "/api", "/api", "/api"]
        assert {thumbprint for *_, thumbprint in place.server.asked} == {
            Identity(OWN.chain_pem, OWN.key_pem).thumbprint
        }  # fmt: skip

    async def test_two_lines_with_await(self, place: Place) -> None:
        """The same."""
        async with place.open_async() as api:
            for _ in range(3):
                assert (await api.get("/api")).json()["token"] == "secret-1"
        assert place.server.paths() == [API, ISSUER, "/token", "/api", "/api", "/api"]

    def test_what_is_asked_for(self, place: Place) -> None:
        """A token for this API and this scope, as this client."""
        with place.open(scope="read") as api:
            api.get("/api")
        [form] = [dict(parse_qsl(body.decode())) for path, body, _ in place.server.asked if path == "/token"]
        assert form == {
            "grant_type": "client_credentials", "client_id": "me", "scope": "read", "resource": place.server.url,
        }  # fmt: skip

    def test_many_threads_cause_one_token_request(self, place: Place) -> None:
        """However many wait on a cold client."""
        with place.open() as api, ThreadPoolExecutor(20) as threads:
            answers = list(threads.map(lambda _: api.get("/api", timeout=60).json()["token"], range(100)))
        assert answers == ["secret-1"] * 100
        assert (place.asked("/token"), place.asked(ISSUER), place.asked(API)) == (1, 1, 1)

    async def test_a_thousand_tasks_cause_one_token_request(self, place: Place) -> None:
        """However many wait on a cold client."""
        async with place.open_async() as api:
            answers = await asyncio.gather(*(api.get("/api", timeout=60) for _ in range(1000)))
        assert {each.json()["token"] for each in answers} == {"secret-1"}
        assert (place.asked("/token"), place.asked(ISSUER), place.asked(API)) == (1, 1, 1)

    async def test_one_task_that_gives_up_leaves_it_to_the_others(self, place: Place) -> None:
        """The fetch is nobody's own."""
        async with place.open_async() as api:
            first, second = (asyncio.create_task(api.get("/api")) for _ in range(2))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            first.cancel()
            assert (await second).status_code == 200
            with pytest.raises(asyncio.CancelledError):
                await first
        assert place.asked("/token") == 1

    def test_a_token_that_ends_is_replaced_before(self, place: Place) -> None:
        """By either clock."""
        now, wall = [0.0], [1e9]
        shelf = Shelf(Clocks(monotonic=lambda: now[0], wall=lambda: wall[0]))
        transport = Transport(Identity(OWN.chain_pem, OWN.key_pem), ca=place.server.ca)
        auth = CertificateBoundAuth(transport, place.server.url, "me", resource=place.server.url, shelf=shelf)
        with client_over(transport, auth=auth, base_url=place.server.url) as api:
            for clock, step in ((now, 0), (now, 569), (now, 2), (wall, 569), (wall, 2), (wall, -1e9), (now, 571)):
                clock[0] += step
                api.get("/api")
        # The first, after 571 s by the one clock, after 571 s by the other, after 571 s by the first again.
        assert place.given == 4

    def test_certificate_and_key_in_every_form(self, place: Place, tmp_path: Path) -> None:
        """Paths as text, one file, bytes; a mixture of both."""
        (tmp_path / "a.pem").write_bytes(OWN.chain_pem)
        (tmp_path / "a.key").write_bytes(OWN.key_pem)
        (tmp_path / "both.pem").write_bytes(OWN.chain_pem + OWN.key_pem)
        both = OWN.chain_pem + OWN.key_pem
        leaf = x509.load_pem_x509_certificate(OWN.chain_pem)
        key = load_pem_private_key(OWN.key_pem, None)
        pkcs12 = serialize_key_and_certificates(None, key, leaf, None, BestAvailableEncryption(b"x"))  # type: ignore[arg-type]
        (tmp_path / "a.p12").write_bytes(pkcs12)
        for certificate in (tmp_path / "a.p12", pkcs12):
            with place.open(certificate=certificate, key=None, password="x") as api:
                assert api.get("/api").status_code == 200
        for certificate, key in (
            (str(tmp_path / "a.pem"), str(tmp_path / "a.key")), (tmp_path / "both.pem", None), (both, None),
            (OWN.chain_pem, tmp_path / "a.key"), (tmp_path / "a.pem", OWN.key_pem),
        ):  # fmt: skip
            with place.open(certificate=certificate, key=key) as api:
                assert api.get("/api").status_code == 200


class TestRefused:
    def test_a_refused_token_is_replaced_and_the_request_sent_once_more(self, place: Place) -> None:
        """R28: with its body."""
        with place.open() as api:
            api.get("/api")
            place.taken = lambda token: token != "secret-1"
            assert api.post("/api", json={"n": 1}).json() == {"token": "secret-2", "body": '{"n":1}'}
        assert (place.given, place.asked("/api")) == (2, 3)

    async def test_many_refused_at_once_cause_one_token_request(self, place: Place) -> None:
        """Each is sent once more with the same new token."""
        async with place.open_async() as api:
            await api.get("/api")
            place.taken = lambda token: token != "secret-1"
            answers = await asyncio.gather(*(api.post("/api", content=b"x") for _ in range(100)))
        assert {each.json()["token"] for each in answers} == {"secret-2"}
        assert place.given == 2

    def test_an_api_that_refuses_for_ever(self, place: Place) -> None:
        """The caller sees its 401; a hundred requests cause one more token request, not a hundred."""
        place.taken = lambda _: False
        with place.open() as api:
            assert {api.get("/api").status_code for _ in range(100)} == {401}
        assert (place.given, place.asked("/api")) == (2, 101)

    def test_a_body_that_is_used_up_is_not_sent_again(self, place: Place) -> None:
        """The caller sees the 401, and the next request has a new token."""
        with place.open() as api:
            api.get("/api")
            place.taken = lambda token: token != "secret-1"
            assert api.post("/api", content=iter([b"a", b"b"])).status_code == 401
            assert api.post("/api", content=iter([b"a", b"b"])).json() == {"token": "secret-2", "body": "ab"}
        assert place.asked("/api") == 3

    async def test_a_stream_that_is_used_up_is_not_sent_again(self, place: Place) -> None:
        """The same with await."""

        async def body() -> AsyncIterator[bytes]:
            yield b"a"

        async with place.open_async() as api:
            await api.get("/api")
            place.taken = lambda token: token != "secret-1"
            assert (await api.post("/api", content=body())).status_code == 401
        assert (place.given, place.asked("/api")) == (1, 2)

    @pytest.mark.parametrize(
        ("status", "challenge"),
        [
            (401, None), (401, "Bearer"), (401, 'Bearer error="insufficient_scope"'), (401, 'Basic realm="x"'),
            (403, 'Bearer error="invalid_token"'), (401, 'DPoP error="invalid_token"'),
            (401, 'Bearer error="invalid_token_x"'),
        ],
    )  # fmt: skip
    def test_another_refusal_is_the_callers(self, place: Place, status: int, challenge: str | None) -> None:
        """Only 401 with `invalid_token` says that another token would help."""
        headers = ((b"www-authenticate", challenge.encode()),) if challenge else ()
        place.server.answers["/api"] = Answer(status, b"{}", headers)
        with place.open() as api:
            assert api.get("/api").status_code == status
        assert (place.given, place.asked("/api")) == (1, 1)


class TestApi:
    def test_a_request_elsewhere_gets_no_token(self, place: Place) -> None:
        """Another port is another API; nothing is sent."""
        with place.open(resource="https://localhost:1", api=place.server.url) as api, pytest.raises(ApiUnsafe):
            api.get("https://localhost:1/api")
        with place.open() as api, pytest.raises(ApiUnsafe, match="nothing was sent"):
            api.get("https://127.0.0.1:" + place.server.url.rsplit(":", 1)[1] + "/api")
        with place.open() as api, pytest.raises(ApiUnsafe, match="http://"):
            api.get(place.server.url.replace("https:", "http:") + "/api")
        assert place.server.asked == []

    def test_each_host_is_asked_before_it_gets_a_token(self, place: Place) -> None:
        """Where one client calls several: the token of the first is used at the second, once that has said enough."""
        transport = Transport(as_identity(OWN), ca=place.server.ca)
        auth = CertificateBoundAuth(transport, place.server.url, "me")
        elsewhere = place.server.url.replace("localhost", "127.0.0.1")
        with client_over(transport, auth=auth) as api:
            api.get(f"{place.server.url}/api")
            with pytest.raises(MetadataUnusable, match="was asked about"):
                api.get(f"{elsewhere}/api")
            assert place.asked("/api") == 1
            place.server.answer(API, {"resource": elsewhere, "tls_client_certificate_bound_access_tokens": True})
            assert api.get(f"{elsewhere}/api").json()["token"] == "secret-1"
        assert (place.given, place.asked("/api")) == (1, 2)

    def test_an_api_that_enforces_nothing_gets_no_token(self, place: Place) -> None:
        """S2: none is even fetched, unless the caller says so."""
        place.server.answer(API, {"resource": place.server.url})
        with place.open() as api, pytest.raises(ApiUnsafe, match="does not enforce"):
            api.get("/api")
        assert place.server.paths() == [API]
        with place.open(binding="any") as api:
            assert api.get("/api").status_code == 200

    def test_an_api_that_says_nothing(self, place: Place) -> None:
        """It gets a token, unless it has to state that it enforces binding."""
        del place.server.answers[API]
        with place.open() as api:
            assert api.get("/api").status_code == 200
        with place.open(binding="stated") as api, pytest.raises(ApiUnsafe, match="does not say"):
            api.get("/api")

    def test_an_api_that_is_another(self, place: Place) -> None:
        """RFC 9728 section 3.3: what it says is of another resource."""
        place.server.answer(API, {"resource": "https://evil.example"})
        with place.open() as api, pytest.raises(MetadataUnusable, match="was asked about"):
            api.get("/api")
        assert place.given == 0


class TestServer:
    def test_metadata_of_another_issuer(self, place: Place) -> None:
        """No token is asked for, there or elsewhere."""
        place.server.answer(ISSUER, {"issuer": "https://evil.example", "token_endpoint": f"{place.server.url}/token"})
        with place.open() as api, pytest.raises(MetadataUnusable, match="names the issuer"):
            api.get("/api")
        assert place.given == 0

    def test_an_alias_in_the_clear(self, place: Place) -> None:
        """No credential goes there, and none to the plain endpoint instead."""
        url = place.server.url
        aliases = {"token_endpoint": url.replace("https:", "http:") + "/token"}
        place.server.answer(ISSUER, {"issuer": url, "token_endpoint": f"{url}/token", "mtls_endpoint_aliases": aliases})
        with place.open() as api, pytest.raises(MetadataUnusable, match="not an https URL"):
            api.get("/api")
        assert place.given == 0

    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    def test_a_redirect_of_the_token_endpoint(self, place: Place, status: int) -> None:
        """It is not followed, even if the client follows those of APIs."""
        place.server.answer("/token", {}, status=status, location="/elsewhere")
        with place.open(follow_redirects=True) as api, pytest.raises(AnswerUnusable, match="redirect"):
            api.get("/api")
        assert "/elsewhere" not in place.server.paths()

    @pytest.mark.parametrize("path", [API, ISSUER, "/token"])
    def test_an_answer_of_a_hundred_megabytes(self, place: Place, path: str) -> None:
        """It is left as soon as it is too long."""
        place.server.answers[path] = Answer(200, b" " * 65536, repeat=1600)
        with place.open() as api, pytest.raises(AnswerUnusable, match=str(MAX_ANSWER)):
            api.get("/api")
        assert place.server.sent < 20_000_000  # what the system's buffers took

    async def test_an_answer_that_never_ends(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        """Bytes that come one by one do not keep everybody waiting."""
        monkeypatch.setattr(driving, "LONGEST", 0.2)
        place.server.answers["/token"] = Answer(200, b" ", repeat=40, pause=0.05)
        with place.open() as api, pytest.raises(AnswerUnusable, match=r"more than 0\.2 seconds"):
            await asyncio.to_thread(api.get, "/api")
        async with place.open_async() as calls:
            with pytest.raises(AnswerUnusable, match=r"more than 0\.2 seconds"):
                await calls.get("/api")

    def test_an_answer_that_unpacks_to_much(self, place: Place) -> None:
        """It is not unpacked: we asked for no such thing."""
        place.server.answers["/token"] = Answer(200, b"\x1f\x8b", ((b"content-encoding", b"gzip"),))
        with place.open() as api, pytest.raises(AnswerUnusable, match="without an access token"):
            api.get("/api")
        assert place.server.headers[-1]["accept-encoding"] == "identity"

    @pytest.mark.parametrize("path", [API, ISSUER, "/token"])
    def test_a_server_that_ends_in_the_middle(self, place: Place, path: str) -> None:
        """It is an error of the connection, and nothing is asked twice."""
        place.server.answers[path] = Answer(200, b"{", cut=True)
        with place.open() as api, pytest.raises(ServerUnreachable, match=path):
            api.get("/api")
        assert place.asked(path) == 1

    async def test_a_failure_is_everybodys(self, place: Place) -> None:
        """A hundred that wait fail by one request; the next one tries again."""
        place.server.answer("/token", {"error": "invalid_client"}, status=401)
        async with place.open_async() as api:
            failed = await asyncio.gather(*(api.get("/api") for _ in range(100)), return_exceptions=True)
            assert {type(each) for each in failed} == {TokenRefused}
            assert place.asked("/token") == 1
            place.server.answers["/token"] = place.token
            assert (await api.get("/api")).status_code == 200

    def test_a_failure_is_every_threads(self, place: Place) -> None:
        """The same, with threads that all wait before the server answers."""
        waiting = threading.Barrier(11)

        def refuse(_: dict[str, str], __: bytes) -> Answer:
            waiting.wait(5)
            time.sleep(0.2)  # whoever came to the barrier is in the flight by then
            return Answer(401, b'{"error":"invalid_client"}')

        place.server.answers["/token"] = refuse
        with place.open() as api, ThreadPoolExecutor(10) as threads:

            def call(first: bool) -> type[BaseException] | None:
                if not first:
                    waiting.wait(5)
                with pytest.raises(TokenRefused) as refused:
                    api.get("/api")
                return refused.type

            begun = [threads.submit(call, first) for first in (True, *[False] * 9)]
            waiting.wait(5)
            assert {each.result() for each in begun} == {TokenRefused}
        assert place.asked("/token") == 1

    def test_endpoints_that_move(self, place: Place) -> None:
        """After a failure the metadata is read again."""
        url = place.server.url
        place.life = 0
        with place.open() as api:
            api.get("/api")
            place.server.answers["/token2"] = place.server.answers.pop("/token")
            place.server.answer(ISSUER, {"issuer": url, "token_endpoint": f"{url}/token2"})
            with pytest.raises(AnswerUnusable):
                api.get("/api")
            assert api.get("/api").status_code == 200


class TestIdentity:
    async def test_a_certificate_that_has_ended(self, place: Place, tmp_path: Path) -> None:
        """It is said before anything is sent: which, in which file, when, and what to do."""
        ended = Authority.create("ca").issue("CN=a", now=datetime.now(UTC) - timedelta(days=9), days=1)
        (tmp_path / "me.pem").write_bytes(ended.chain_pem + ended.key_pem)
        when = ended.certificate.not_valid_after_utc
        said = f"CN=a in {tmp_path}/me.pem expired at {when:%F %T} UTC: renew it, and put a renewed one there"
        with place.open(certificate=tmp_path / "me.pem", key=None) as api, pytest.raises(IdentityUnusable, match=said):
            api.get("/api")
        async with place.open_async(certificate=ended.chain_pem, key=ended.key_pem) as calls:
            with pytest.raises(IdentityUnusable, match="open the client with a renewed one, or set the clock"):
                await calls.get("/api")
        assert place.server.asked == []

    def test_a_key_that_does_not_fit(self, place: Place) -> None:
        """It is said before anything is sent."""
        with pytest.raises(IdentityUnusable, match="does not belong"):
            place.open(key=self_signed("CN=other").key_pem)

    def test_without_a_certificate_there_are_no_bound_tokens(self, place: Place) -> None:
        """It is said before anything is sent."""
        transport = Transport(ca=place.server.ca)
        auth = CertificateBoundAuth(transport, place.server.url, "me")
        with client_over(transport, auth=auth) as api, pytest.raises(IdentityUnusable, match="no certificate"):
            api.get(place.server.url)

    async def test_the_transport_is_the_clients(self, place: Place) -> None:
        """One for threads does not serve tasks, nor the other way round."""
        own = Identity(OWN.chain_pem, OWN.key_pem)
        one, other = Transport(own, ca=place.server.ca), AsyncTransport(own, ca=place.server.ca)
        auth = CertificateBoundAuth(other, place.server.url, "me")
        with client_over(one, auth=auth) as api, pytest.raises(ClientError, match="needs Transport"):
            api.get(place.server.url)
        auth = CertificateBoundAuth(one, place.server.url, "me")
        async with async_client_over(other, auth=auth) as calls:
            with pytest.raises(ClientError, match="needs AsyncTransport"):
                await calls.get(place.server.url)

    def test_a_renewed_certificate_has_its_own_token_and_connections(self, place: Place) -> None:
        """R37: the old token never goes over a connection with the new certificate."""
        files = Renewable(as_identity(OWN))
        transport = Transport(files, ca=place.server.ca)
        auth = CertificateBoundAuth(transport, place.server.url, "me", resource=place.server.url)
        with client_over(transport, auth=auth, base_url=place.server.url) as api:
            api.get("/api")
            before = files.identity.thumbprint
            with api.stream("GET", "/api") as open_still:
                files.renew()
                assert api.get("/api").json()["token"] == "secret-2"
                open_still.read()
            assert len(transport.pools._older) == 0
        tokens = [
            (headers.get("authorization"), thumbprint)
            for (path, _, thumbprint), headers in zip(place.server.asked, place.server.headers, strict=True)
            if path == "/api"
        ]
        after = files.identity.thumbprint
        assert tokens == [("Bearer secret-1", before), ("Bearer secret-1", before), ("Bearer secret-2", after)]

    @pytest.mark.parametrize("path", [API, ISSUER, "/token"])
    def test_a_renewal_in_the_middle(self, place: Place, path: str) -> None:
        """What was begun with one certificate is ended with it: the token, and the request that it is for."""
        files = Renewable(as_identity(OWN))
        before, answers = files.identity.thumbprint, place.server.answers[path]

        def renewing(headers: dict[str, str], body: bytes) -> Answer:
            files.renew()
            place.server.answers[path] = answers
            return answers if isinstance(answers, Answer) else answers(headers, body)

        place.server.answers[path] = renewing
        transport = Transport(files, ca=place.server.ca)
        auth = CertificateBoundAuth(transport, place.server.url, "me", resource=place.server.url)
        with client_over(transport, auth=auth, base_url=place.server.url) as api:
            assert api.get("/api").json()["token"] == "secret-1"
            assert api.get("/api").json()["token"] == "secret-2"
        shown = [thumbprint for path, _, thumbprint in place.server.asked if path in {"/token", "/api"}]
        assert shown == [before] * 2 + [files.identity.thumbprint] * 2

    def test_a_token_is_compared_with_the_certificate_that_asked_for_it(self, place: Place) -> None:
        """Even if there is a newer one by the time that it comes."""
        files = Renewable(as_identity(OWN))
        claims = msgspec.json.encode({"cnf": {"x5t#S256": files.identity.thumbprint}})
        token = ".".join(urlsafe_b64encode(part).decode().rstrip("=") for part in (b'{"alg":"ES256"}', claims, b"sig"))

        def renewing(_: dict[str, str], __: bytes) -> Answer:
            files.renew()
            return Answer(200, msgspec.json.encode({"access_token": token, "token_type": "Bearer"}))

        place.server.answers["/token"] = renewing
        transport = Transport(files, ca=place.server.ca)
        auth = CertificateBoundAuth(transport, place.server.url, "me", resource=place.server.url)
        with client_over(transport, auth=auth, base_url=place.server.url) as api:
            assert api.get("/api").json()["token"] == token

    @pytest.mark.parametrize("path", [API, ISSUER, "/token"])
    async def test_a_renewal_in_the_middle_with_await(self, place: Place, path: str) -> None:
        """The same."""
        files = Renewable(as_identity(OWN))
        before, answers = files.identity.thumbprint, place.server.answers[path]

        def renewing(headers: dict[str, str], body: bytes) -> Answer:
            files.renew()
            place.server.answers[path] = answers
            return answers if isinstance(answers, Answer) else answers(headers, body)

        place.server.answers[path] = renewing
        transport = AsyncTransport(files, ca=place.server.ca)
        auth = CertificateBoundAuth(transport, place.server.url, "me", resource=place.server.url)
        async with async_client_over(transport, auth=auth, base_url=place.server.url) as api:
            assert [(await api.get("/api")).json()["token"] for _ in range(2)] == ["secret-1", "secret-2"]
        shown = [thumbprint for path, _, thumbprint in place.server.asked if path in {"/token", "/api"}]
        assert shown == [before] * 2 + [files.identity.thumbprint] * 2


@dataclass
class Renewable:
    """An identity source that a test renews."""

    identity: Identity

    def current(self) -> Identity:
        return self.identity

    def renew(self) -> None:
        self.identity = as_identity(self_signed("CN=client"))


def as_identity(issued: Issued) -> Identity:
    return Identity(issued.chain_pem, issued.key_pem)


class TestSecrets:
    def test_nothing_shows_a_secret(self, place: Place) -> None:
        """No repr of anything that holds one, and no error that comes of one, with all that led to it."""
        shown: list[str] = []
        credential = Credential("me", secret="the-secret")
        place.server.answer("/token", {"access_token": "secret-0", "token_type": "mac"})
        with place.open() as api:
            with pytest.raises(AnswerUnusable) as refused:
                api.get("/api")
            error: BaseException | None = refused.value
            while error is not None:
                shown += [str(error), repr(error)]
                error = error.__cause__
            place.server.answers["/token"] = place.token
            response = api.get("/api")
            auth = api.auth
            assert isinstance(auth, CertificateBoundAuth)
            shown += map(repr, (credential, api, auth, auth._shelf, auth._server, response, response.request))
            shown += map(repr, (response.request.headers, api._transport, Identity(OWN.chain_pem, OWN.key_pem)))
            [kept] = auth._shelf._kept.values()
            shown += [repr(kept), repr(kept.token), repr(auth._client)]
        for each in shown:
            for secret in ("the-secret", "secret-0", "secret-1", "PRIVATE KEY"):
                assert secret not in each


def test_arguments_that_no_request_can_be_made_of_are_named() -> None:
    """At the beginning, by what was given."""
    pair = {"certificate": OWN.chain_pem, "key": OWN.key_pem}
    with pytest.raises(ClientError, match=r"scope is one text with a space between its words, not \['read'\]"):
        certbound.client.open("https://as.test", "a", resource="https://api.test", scope=["read"], **pair)  # type: ignore[arg-type]
    with pytest.raises(ClientError, match=r"no https URL; 'http://api\.test' is none"):
        certbound.client.open("https://as.test", "a", resource="http://api.test", **pair)
