"""certbound.resource.introspection: what an issuer says counts for a short time, what it does not say for nobody."""

import asyncio
import contextlib
import json
import logging
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from certbound.core.certificate import read_certificate
from certbound.core.confirmation import confirm
from certbound.core.errors import (
    ConfigurationError,
    InsufficientScope,
    IntrospectionUnavailable,
    InvalidToken,
    ProtectedResourceError,
)
from certbound.resource import Asked, FixedKeys, Introspection, Principal, ProtectedResource, TrustedIssuer
from certbound.resource import introspection as module
from certbound.resource.refusal import refuse
from certbound.trust.authority import Authority, Issued, self_signed
from certificates import NOW, peer, read
from e2e.world import RESOURCE, World, free_port, world
from issuing import KEYS, OWN, PEER, THIEF, claims, signed, token

ANSWER = {"active": True, "token_type": "Bearer"}


@dataclass
class Asking:
    """An issuer of our own: what it answers about tokens, what it was asked, and by whom."""

    folder: Path
    root: Authority
    url: str = ""
    answer: Callable[[BaseHTTPRequestHandler, str], None] = lambda handler, token: None
    metadata: dict[str, Any] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    certificates: list[bytes | None] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    now: float = NOW

    def says(self, code: int = 200, **said: Any) -> None:
        """The answer to whatever comes next."""
        self.answer = says(code, json.dumps(said).encode())

    def says_active(self, **changes: Any) -> None:
        """The token of `OWN`, good; changed as `claims` has it."""
        self.says(**{**ANSWER, **claims(**{"iss": self.url, **changes})})

    def api(self, **changes: Any) -> ProtectedResource:
        """An API that asks this issuer."""
        asked = {name: changes.pop(name) for name in list(changes) if name in Introspection.__annotations__}
        return ProtectedResource(
            "https://api.example",
            issuer=self.url,
            issuer_ca=str(self.folder / "root.pem"),
            introspection=self.introspection(**asked),
            clock=lambda: self.now,
            **changes,
        )

    def introspection(self, **changes: Any) -> Introspection:
        given = {"client_id": "api", "certificate": self.folder / "api.pem", "key": self.folder / "api.key"}
        return Introspection(**{**given, **changes})


def write(handler: BaseHTTPRequestHandler, status: int, body: bytes, kind: str | None, **headers: str) -> None:
    """One answer."""
    handler.send_response(status)
    if kind is not None:
        handler.send_header("content-type", kind)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("content-length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asking]:
    """The server, on a port of its own; it asks for a certificate and takes any that its root issued."""
    folder = tmp_path_factory.mktemp("asking")
    root = Authority.create("Asking Root")
    issued = root.issue("CN=localhost", dns=["localhost"], usage="server")
    (folder / "root.pem").write_bytes(root.certificate_pem)
    (folder / "chain.pem").write_bytes(issued.certificate_pem)
    (folder / "key.pem").write_bytes(issued.key_pem)
    put(folder, root.issue("CN=api"))
    asking = Asking(folder, root)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = dict(parse_qsl(self.rfile.read(int(self.headers["content-length"])).decode()))
            asking.asked.append(form)
            asking.headers.append({name.lower(): value for name, value in self.headers.items()})
            asking.paths.append(self.path)
            asking.certificates.append(self.connection.getpeercert(binary_form=True))
            with contextlib.suppress(OSError):  # who stopped reading is no news
                asking.answer(self, form["token"])

        def do_GET(self) -> None:
            write(self, 200, json.dumps({"issuer": asking.url, **asking.metadata}).encode(), "application/json")

        def log_message(self, *_: Any) -> None:
            """Nothing to standard error."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            """A client that leaves is no news."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "chain.pem", folder / "key.pem")
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(folder / "root.pem")
    server = Server(("localhost", 0), Handler)
    # The handshake is the handler's: whoever is gone before it would hold up everybody, and the end as well.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    asking.url = f"https://localhost:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield asking
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def issuer(serving: Asking) -> Asking:
    """The issuer as if it had just begun; it says that the token of `OWN` is good."""
    for each in (serving.asked, serving.headers, serving.certificates, serving.paths):
        each.clear()
    serving.now = NOW
    serving.metadata = {"introspection_endpoint": serving.url + "/introspect"}
    put(serving.folder, serving.root.issue("CN=api"))
    serving.says_active()
    return serving


def put(folder: Path, issued: Issued) -> None:
    (folder / "api.pem").write_bytes(issued.certificate_pem)
    (folder / "api.key").write_bytes(issued.key_pem)


async def admit(api: ProtectedResource, token: str = "opaque", peer: Any = PEER, **facts: Any) -> Principal:
    return await api.admit(Asked(authorization=[f"Bearer {token}".encode()], peer=peer, **facts))


async def refused(api: ProtectedResource, token: str = "opaque", peer: Any = PEER) -> ProtectedResourceError:
    with pytest.raises(ProtectedResourceError) as caught:
        await admit(api, token, peer)
    return caught.value


async def test_an_api_asks_with_its_own_certificate_and_says_who_it_is(issuer: Asking) -> None:
    principal = await admit(issuer.api())
    assert (principal.client_id, principal.subject, set(principal.scope)) == ("a", "a", {"read", "write"})
    assert principal.thumbprint == read(OWN).thumbprint
    assert issuer.asked == [{"token": "opaque", "client_id": "api"}]
    presented = issuer.certificates[0]
    assert presented is not None
    assert presented == ssl.PEM_cert_to_DER_cert((issuer.folder / "api.pem").read_text())
    assert (issuer.headers[0]["accept"], issuer.headers[0]["accept-encoding"]) == ("application/json", "identity")


async def test_the_alias_for_mutual_tls_goes_before_the_plain_endpoint(issuer: Asking) -> None:
    issuer.metadata["mtls_endpoint_aliases"] = {"introspection_endpoint": issuer.url + "/alias"}
    await admit(issuer.api())
    await admit(issuer.api(endpoint=issuer.url + "/set"))
    issuer.metadata["mtls_endpoint_aliases"] = {"token_endpoint": issuer.url + "/other"}
    await admit(issuer.api())
    assert issuer.paths == ["/alias", "/set", "/introspect"]


@pytest.mark.parametrize("url", ["http://localhost/i", "https://", "https://a@b/i", 7, None], ids=range(5))
async def test_no_token_is_sent_where_there_is_no_https_endpoint(issuer: Asking, url: Any) -> None:
    issuer.metadata["mtls_endpoint_aliases"] = {"introspection_endpoint": url}
    assert isinstance(await refused(issuer.api()), IntrospectionUnavailable)
    assert issuer.asked == []


async def test_a_stolen_token_is_good_for_its_owner_only_on_each_request(issuer: Asking) -> None:
    api = issuer.api()
    await admit(api)
    assert isinstance(await refused(api, peer=THIEF), InvalidToken)
    assert isinstance(await refused(api, peer=None), InvalidToken)
    await admit(api)
    assert len(issuer.asked) == 1


async def test_what_an_application_does_to_the_claims_changes_no_answer(issuer: Asking) -> None:
    api = issuer.api(require_bound=False)
    claims: Any = (await admit(api)).claims
    del claims["cnf"]
    assert isinstance(await refused(api, peer=THIEF), InvalidToken)
    await admit(api)


async def test_a_thief_who_comes_first_keeps_no_owner_out(issuer: Asking) -> None:
    api = issuer.api()
    assert isinstance(await refused(api, peer=THIEF), InvalidToken)
    await admit(api)


async def test_an_answer_counts_for_its_time_and_then_it_is_asked_anew(issuer: Asking) -> None:
    api = issuer.api()
    await admit(api)
    issuer.says(active=False)
    issuer.now += 29.9
    await admit(api)
    issuer.now += 0.2
    assert isinstance(await refused(api), InvalidToken)
    assert len(issuer.asked) == 2


async def test_an_answer_never_counts_beyond_the_end_of_the_token(issuer: Asking) -> None:
    issuer.says_active(exp=int(NOW) + 10)
    api = issuer.api()
    await admit(api)
    issuer.now += 10
    assert isinstance(await refused(api), InvalidToken)
    assert len(issuer.asked) == 2


async def test_a_clock_that_was_set_back_makes_no_answer_young(issuer: Asking) -> None:
    api = issuer.api()
    await admit(api)
    issuer.now -= 3
    await admit(api)
    assert len(issuer.asked) == 2


async def test_not_active_is_remembered_as_long(issuer: Asking) -> None:
    issuer.says(active=False)
    api = issuer.api()
    for _ in range(3):
        assert isinstance(await refused(api), InvalidToken)
    assert len(issuer.asked) == 1
    issuer.says_active()
    issuer.now += 30
    await admit(api)


async def test_with_no_time_to_count_each_request_is_a_question(issuer: Asking) -> None:
    api = issuer.api(cache_seconds=0)
    await admit(api)
    issuer.says(active=False)
    assert isinstance(await refused(api), InvalidToken)
    assert len(issuer.asked) == 2


async def test_many_who_wait_are_one_question_and_it_goes_on_without_them(issuer: Asking) -> None:
    issuer_answers = issuer.answer

    def slowly(handler: BaseHTTPRequestHandler, token: str) -> None:
        time.sleep(0.2)
        issuer_answers(handler, token)

    issuer.answer = slowly
    api = issuer.api()
    waiting = [asyncio.create_task(admit(api)) for _ in range(20)]
    await asyncio.sleep(0.05)
    for each in waiting[:19]:
        each.cancel()
    assert (await waiting[19]).client_id == "a"
    assert len(issuer.asked) == 1


async def test_bad_tokens_push_no_good_one_out_and_neither_memory_grows(
    issuer: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CAPACITY", 3)
    api = issuer.api()
    await admit(api, "good")
    issuer.says(active=False)
    for number in range(6):
        await refused(api, f"bad{number}")
    introspector = api.issuers[0].introspector
    assert introspector is not None
    assert len(introspector._other) == 3
    await admit(api, "good")
    issuer.says_active()
    for number in range(6):
        await admit(api, f"good{number}")
    assert len(introspector._active) == 3
    assert introspector.known("good5") is not None


async def test_no_more_than_so_many_questions_are_under_way(issuer: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_QUESTIONS", 2)
    api = issuer.api()
    said = await asyncio.gather(*(admit(api, f"t{number}") for number in range(4)), return_exceptions=True)
    assert [type(each) for each in said] == [Principal, Principal, IntrospectionUnavailable, IntrospectionUnavailable]
    await admit(api, "t3")


@pytest.mark.parametrize("status", [401, 429, 503])
async def test_an_issuer_that_answers_nobody_is_left_alone_for_a_second(
    issuer: Asking, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    issuer.says(status)
    api = issuer.api()
    for number in range(5):
        refusal = await refused(api, f"t{number}")
        assert (type(refusal), refusal.status) == (IntrospectionUnavailable, 503)
    assert len(issuer.asked) == 1
    assert (status == 401) is ("is this API registered there" in caplog.text)
    issuer.says_active()
    issuer.now += 1
    await admit(api, "t1")


async def test_an_issuer_that_is_gone_is_a_503_and_comes_back(issuer: Asking) -> None:
    api = issuer.api(endpoint=f"https://localhost:{free_port()}/i")
    refusal = await refused(api)
    assert isinstance(refusal, IntrospectionUnavailable)
    answer = refuse(refusal)
    assert answer.status == 503
    assert "localhost" not in answer.body.decode()
    assert "www-authenticate" not in dict(answer.headers)


def huge(handler: BaseHTTPRequestHandler, _: str) -> None:
    handler.send_response(200)
    handler.send_header("content-type", "application/json")
    handler.send_header("content-length", str(100 * 2**20))
    handler.end_headers()
    for _each in range(100):
        handler.wfile.write(b" " * 2**20)


def encoded(handler: BaseHTTPRequestHandler, _: str) -> None:
    write(handler, 200, b"\x1f\x8b", "application/json", content_encoding="gzip")


def redirecting(handler: BaseHTTPRequestHandler, _: str) -> None:
    write(handler, 307, b"", None, location="/introspect2")


def says(status: int = 200, body: bytes = b"{}", kind: str | None = "application/json") -> Any:
    return lambda handler, _: write(handler, status, body, kind)


GOOD = json.dumps({**ANSWER, **claims(iss=...)}).encode()
BAD: dict[str, Callable[[BaseHTTPRequestHandler, str], None]] = {
    "100 MB": huge, "gzip": encoded, "redirect": redirecting, "status 500": says(500, GOOD), "400": says(400, GOOD),
    "201": says(201, GOOD), "no content-type": says(200, GOOD, None), "html": says(200, GOOD, "text/html"),
    "a JWT": says(200, GOOD, "application/token-introspection+jwt"), "not JSON": says(200, b"active"),
    "a list": says(200, b"[true]"), "deep": says(200, b"[" * 100_000), "not UTF-8": says(200, b'{"active":"\xff"}'),
    "no active": says(200, b"{}"), "active as text": says(200, GOOD.replace(b'"active": true', b'"active": "true"')),
    "active as a number": says(200, GOOD.replace(b'"active": true', b'"active": 1')), "empty": says(200, b""),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
async def test_what_is_no_answer_admits_nobody_and_stands_in_nobody_elses_way(issuer: Asking, name: str) -> None:
    good = issuer.answer
    issuer.answer = BAD[name]
    api = issuer.api()
    assert isinstance(await refused(api), IntrospectionUnavailable)
    issuer.answer = good
    await admit(api, "another")  # what one token brought about is not held against the issuer
    assert isinstance(await refused(api), IntrospectionUnavailable)  # and nobody asks about that one at once
    assert issuer.paths == ["/introspect"] * 2
    issuer.now += 1
    await admit(api)


async def test_an_answer_that_drips_is_waited_for_no_longer_than_that(
    issuer: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "QUESTION_TIMEOUT", 0.4)

    def drip(handler: BaseHTTPRequestHandler, _: str) -> None:
        handler.send_response(200)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", "1000")
        handler.end_headers()
        for _each in range(15):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.1)

    issuer.answer = drip
    begun = time.monotonic()
    assert isinstance(await refused(issuer.api()), IntrospectionUnavailable)
    assert time.monotonic() - begun < 1.2


REFUSED: dict[str, dict[str, Any]] = {
    "another issuer": {"iss": "https://evil.example"}, "no audience": {"aud": ...}, "another audience": {"aud": "https://b"},
    "expired": {"exp": int(NOW)}, "exp as text": {"exp": "tomorrow"}, "not yet": {"nbf": int(NOW) + 60},
    "no subject": {"sub": ...}, "no client": {"client_id": ...}, "unbound": {"cnf": ...},
    "another key": {"cnf": confirm(read(self_signed("CN=else")))}, "DPoP": {"token_type": "DPoP"},
    "a DPoP key": {"cnf": {"jkt": "x"}}, "both": {"cnf": {**confirm(read(OWN)), "jkt": "x"}},
    "a refresh token": {"token_type": "Refresh"}, "type as a list": {"token_type": ["Bearer"]},
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
async def test_active_is_not_enough(issuer: Asking, name: str) -> None:
    issuer.says_active(**REFUSED[name])
    assert isinstance(await refused(issuer.api()), InvalidToken)


async def test_scopes_are_asked_of_what_the_issuer_says(issuer: Asking) -> None:
    issuer.says_active(scope="read")
    api = issuer.api(scopes={"read"})
    await admit(api)
    with pytest.raises(InsufficientScope):
        await admit(api, scopes=frozenset({"write"}))


async def test_what_may_be_missing_is_what_was_asked(issuer: Asking) -> None:
    issuer.says_active(iss=..., exp=..., token_type=...)
    api = issuer.api()
    assert (await admit(api)).expires_at == NOW + 30
    issuer.now += 30
    issuer.says(active=False)
    assert isinstance(await refused(api), InvalidToken)


async def test_an_audience_may_be_missing_where_that_was_said_and_the_token_is_for_access(issuer: Asking) -> None:
    issuer.says_active(aud=...)
    await admit(issuer.api(require_audience=False))
    issuer.says(**{"active": True, **claims(aud=..., iss=...)})
    assert isinstance(await refused(issuer.api(require_audience=False)), InvalidToken)
    issuer.says_active(aud="https://other.example")
    assert isinstance(await refused(issuer.api(require_audience=False)), InvalidToken)


async def test_the_answer_is_the_status(issuer: Asking) -> None:
    await admit(issuer.api(require_status=True))
    issuer.says_active(status={"status_list": {"idx": 1, "uri": "https://nowhere.example"}})
    assert (await admit(issuer.api(require_status=True))).status is None


async def test_a_token_that_is_longer_than_any_is_not_asked_about(issuer: Asking) -> None:
    assert isinstance(await refused(issuer.api(), "a" * 8193), InvalidToken)
    assert issuer.asked == []


async def test_a_jwt_is_asked_about_only_where_that_was_said(issuer: Asking) -> None:
    jwt = token(iss=issuer.url)
    await admit(issuer.api(keys=FixedKeys(KEYS)), jwt)
    assert issuer.asked == []
    issuer.says(active=False)
    assert isinstance(await refused(issuer.api(keys=FixedKeys(KEYS), also_jwt=True), jwt), InvalidToken)
    assert [each["token"] for each in issuer.asked] == [jwt]
    assert isinstance(await refused(issuer.api(also_jwt=True), signed(b'{"iss":"https://evil.example"}')), InvalidToken)
    assert len(issuer.asked) == 1


async def test_a_renewed_certificate_is_presented_without_a_restart(issuer: Asking) -> None:
    api = issuer.api(cache_seconds=0)
    await admit(api)
    renewed = issuer.root.issue("CN=api")
    (issuer.folder / "api.pem").write_bytes(renewed.certificate_pem)  # and the key is still the old one
    await admit(api)
    (issuer.folder / "api.key").write_bytes(renewed.key_pem)
    await admit(api)
    (issuer.folder / "api.key").unlink()
    await admit(api)
    first, second, third, fourth = issuer.certificates
    assert first == second != third == fourth
    assert third == read_certificate(renewed.der).der


def test_a_certificate_and_a_key_that_do_not_fit_stop_the_start(issuer: Asking) -> None:
    (issuer.folder / "other.key").write_bytes(self_signed("CN=b").key_pem)
    for wrong in ({"key": issuer.folder / "other.key"}, {"certificate": issuer.folder / "none.pem"}):
        with pytest.raises(ConfigurationError) as caught:
            issuer.api(**wrong)
        assert str(next(iter(wrong.values()))) in str(caught.value)
        assert "introspection" in str(caught.value)


def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_a_password(issuer: Asking) -> None:
    key = load_pem_private_key((issuer.folder / "api.key").read_bytes(), None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    (issuer.folder / "locked.key").write_bytes(locked)
    with pytest.raises(ConfigurationError, match="encrypted"):
        issuer.api(key=issuer.folder / "locked.key")


async def test_a_context_of_others_says_whom_to_believe_and_gets_no_certificate(issuer: Asking) -> None:
    context = ssl.create_default_context(cafile=str(issuer.folder / "root.pem"))
    api = ProtectedResource(
        "https://api.example", clock=lambda: NOW,
        issuer=TrustedIssuer(issuer.url, ca=context, introspection=issuer.introspection(), clock=lambda: NOW),
    )  # fmt: skip
    await admit(api)
    assert issuer.certificates[0] is not None
    with pytest.raises(ConfigurationError, match="no CA"):
        TrustedIssuer(issuer.url, ca=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), introspection=issuer.introspection())


async def test_an_issuer_whom_nobody_vouches_for_is_sent_no_token(issuer: Asking) -> None:
    (issuer.folder / "else.pem").write_bytes(Authority.create("Else").certificate_pem)
    api = ProtectedResource(
        "https://api.example", issuer=issuer.url, issuer_ca=str(issuer.folder / "else.pem"), clock=lambda: NOW,
        introspection=issuer.introspection(endpoint=issuer.url + "/introspect"),
    )  # fmt: skip
    assert isinstance(await refused(api), IntrospectionUnavailable)
    assert issuer.asked == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"client_id": ""}, {"cache_seconds": -1}, {"cache_seconds": float("nan")}, {"cache_seconds": 86400},
        {"endpoint": "http://as.example/introspect"},
    ],
    ids=range(5),
)  # fmt: skip
def test_what_can_never_be_asked_stops_the_start(issuer: Asking, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        issuer.introspection(**wrong)


def test_a_token_is_in_no_line_of_the_log(issuer: Asking, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "certbound")
    issuer.answer = BAD["status 500"]
    refusal = asyncio.run(refused(issuer.api(), "s3cr3t"))
    refuse(refusal)
    assert "s3cr3t" not in caplog.text
    assert "500" in caplog.text


def test_another_loop_asks_anew_when_one_ended_while_it_waited(issuer: Asking) -> None:
    api = issuer.api()
    good, issuer.answer = issuer.answer, lambda *_: time.sleep(0.3)
    loop = asyncio.new_event_loop()
    with contextlib.suppress(TimeoutError):
        loop.run_until_complete(asyncio.wait_for(admit(api), 0.1))
    introspector = api.issuers[0].introspector
    assert introspector is not None
    for each in introspector._questions.values():
        each.cancel()
    loop.run_until_complete(asyncio.sleep(0.01))
    loop.close()
    issuer.answer = good
    assert asyncio.run(admit(api)).client_id == "a"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    methods = ["tls_client_auth", "self_signed_tls_client_auth"]
    with world(tmp_path_factory.mktemp("asked"), tokens__opaque=[RESOURCE], authentication__methods=methods) as made:
        yield made


def test_our_own_server_is_asked_about_opaque_tokens_and_about_nothing_that_is_not_for_this_api(built: World) -> None:
    client, api = self_signed("CN=client"), self_signed("CN=api")
    built.register_self_signed("client", client, grant_types=["client_credentials", "refresh_token"])
    built.register_self_signed("api", api, protected_resources=[RESOURCE])
    put(built.directory, api)
    asked = Introspection(
        client_id="api", certificate=built.directory / "api.pem", key=built.directory / "api.key", cache_seconds=0
    )
    protected = ProtectedResource(
        RESOURCE, issuer=built.issuer, issuer_ca=str(built.directory / "ca.pem"), introspection=asked,
        require_status=True, scopes={"read"},
    )  # fmt: skip
    given = built.token("client", client, resource=RESOURCE)
    assert given.startswith("cbat_")
    owner, thief = (peer(each) for each in (client, self_signed("CN=thief")))
    assert asyncio.run(admit(protected, given, owner)).client_id == "client"
    assert isinstance(asyncio.run(refused(protected, given, thief)), InvalidToken)
    assert isinstance(asyncio.run(refused(protected, given + "x", owner)), InvalidToken)
    assert built.revoke(given, "client", client).status == 200
    assert isinstance(asyncio.run(refused(protected, given, owner)), InvalidToken)


def test_our_own_server_answers_no_api_that_it_does_not_know(built: World) -> None:
    put(built.directory, self_signed("CN=nobody"))
    asked = Introspection(client_id="nobody", certificate=built.directory / "api.pem", key=built.directory / "api.key")
    protected = ProtectedResource(
        RESOURCE, issuer=built.issuer, issuer_ca=str(built.directory / "ca.pem"), introspection=asked
    )
    assert isinstance(asyncio.run(refused(protected, "cbat_x")), IntrospectionUnavailable)
