"""certbound.resource.guard: nothing passes without a token bound to the certificate on its connection (R15, R26)."""

import json
import logging
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import KeySet

from certbound.core.bearer import challenge, read_bearer
from certbound.core.certificate import PeerCertificate
from certbound.core.errors import ConfigurationError, KeysUnavailable, ProtectedResourceError, StatusUnavailable
from certbound.core.signing import SigningKey
from certbound.core.status import StatusList, StatusReference, make_list
from certbound.resource import PRINCIPAL, FixedKeys, Guard, ProtectedResource
from certbound.tls.facts import EXTENSION, ConnectionFacts
from certificates import NOW, read
from issuing import AUDIENCE, ISSUER, KEY, KEYS, OWN, PEER, THIEF, signed, token

METADATA = 'resource_metadata="https://api.example/.well-known/oauth-protected-resource"'
INVALID = (
    f'Bearer error="invalid_token", error_description="the access token is not valid for this request", {METADATA}'
)
TWO = f'Bearer error="invalid_request", error_description="the request carries more than one access token", {METADATA}'


@dataclass
class Application:
    """An application that counts who got through to it."""

    scopes: list[dict[str, Any]] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"secret"})


@dataclass
class CountingKeys:
    """Keys that are known beforehand, and who asked for which."""

    asked: list[str | None] = field(default_factory=list)
    available: bool = True

    def known(self, kid: str | None) -> KeySet | None:
        return None

    async def keys(self, kid: str | None) -> KeySet:
        self.asked.append(kid)
        if not self.available:
            raise KeysUnavailable("gone")
        return KEYS


@dataclass
class Answer:
    """What the peer got, and what the application saw."""

    sent: list[dict[str, Any]]
    application: Application
    keys: CountingKeys

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[bytes, bytes]:
        assert len(self.sent[0]["headers"]) == len(dict(self.sent[0]["headers"]))
        return dict(self.sent[0]["headers"])

    @property
    def challenge(self) -> str:
        return self.headers[b"www-authenticate"].decode()

    @property
    def document(self) -> dict[str, str]:
        return dict(json.loads(self.sent[1]["body"]))


def facts(peer: PeerCertificate | None) -> ConnectionFacts:
    """What our listener says of a connection."""
    return ConnectionFacts(
        peer_certificate=peer, tls_version="TLSv1.3", cipher="TLS_AES_128_GCM_SHA256", group="x25519",
        asks_for_certificate=True,
    )  # fmt: skip


def protected(**settings: Any) -> ProtectedResource:
    """The API of these tests."""
    return ProtectedResource(settings.pop("audience", AUDIENCE), **{"issuer": ISSUER, **settings})


async def call(
    *authorization: str | bytes,
    peer: PeerCertificate | None = PEER,
    keys: CountingKeys | None = None,
    scope: dict[str, Any] | None = None,
    headers: tuple[tuple[bytes, bytes], ...] = (),
    **settings: Any,
) -> Answer:
    """One request through the guard, with these Authorization headers."""
    keys = keys or CountingKeys()
    application = Application()
    guard = Guard(application, protected(**{"keys": keys, "clock": lambda: NOW, **settings}))
    encoded = [value if isinstance(value, bytes) else value.encode("latin-1") for value in authorization]
    full: dict[str, Any] = {
        "type": "http", "method": "GET", "path": "/", "query_string": b"", "extensions": {EXTENSION: facts(peer)},
        **(scope or {}),
        "headers": [(b"host", b"api.example"), *((b"authorization", each) for each in encoded), *headers],
    }  # fmt: skip
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"} if full["type"] == "websocket" else {"type": "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    await guard(full, receive, send)
    return Answer(sent, application, keys)


def bearer(**changes: Any) -> str:
    """An Authorization header with a token."""
    return f"Bearer {token(**changes)}"


async def test_a_good_request() -> None:
    """A request with a good token passes, and the application finds who calls."""
    answer = await call(bearer())
    assert answer.status == 200
    [scope] = answer.application.scopes
    assert scope["state"][PRINCIPAL].client_id == "a"
    assert scope["state"][PRINCIPAL].thumbprint == read(OWN).thumbprint


URI = f"{ISSUER}/status"


@dataclass
class Listed:
    """A status list that is known beforehand, and how often it was asked for."""

    invalid: tuple[int, ...] = ()
    available: bool = True
    asked: list[StatusReference] = field(default_factory=list)

    def known(self, reference: StatusReference) -> StatusList | None:
        return None

    async def list_of(self, reference: StatusReference) -> StatusList:
        self.asked.append(reference)
        if not self.available:
            raise StatusUnavailable("gone")
        return make_list([(each, 1) for each in self.invalid], 64)


def standing(index: int = 1, **changes: Any) -> str:
    """An Authorization header with a token whose status stands at `index`."""
    return bearer(status={"status_list": {"idx": index, "uri": URI}}, **changes)


async def test_a_revoked_token() -> None:
    """A token that its issuer's list calls invalid is refused like any other bad one; its neighbours pass."""
    listed = Listed(invalid=(1,))
    answer = await call(standing(1), statuses=listed)
    assert (answer.status, answer.challenge, answer.application.scopes) == (401, INVALID, [])
    assert (await call(standing(0), statuses=listed)).status == 200
    assert (await call(standing(2), statuses=listed)).status == 200
    assert listed.asked == [StatusReference(index, URI) for index in (1, 0, 2)]


async def test_a_status_outside_the_list() -> None:
    """Nothing is known of it, so it does not pass."""
    assert (await call(standing(64), statuses=Listed())).status == 401


async def test_without_the_list_nobody_passes() -> None:
    """503, not 401: the client's token is perhaps good, and a new one would not help."""
    answer = await call(standing(), statuses=Listed(available=False))
    assert (answer.status, answer.document["error"], answer.application.scopes) == (503, "temporarily_unavailable", [])
    assert b"www-authenticate" not in answer.headers


async def test_only_a_good_token_causes_a_look_at_its_status() -> None:
    """Forged, stolen, expired, without the scope: whatever is refused for itself causes no fetch."""
    listed = Listed()
    for header, peer in (
        (standing(key=SigningKey.generate()), PEER),
        (standing(), THIEF),
        (standing(), None),
        (standing(exp=int(NOW)), PEER),
        (standing(scope="write"), PEER),
    ):
        assert (await call(header, peer=peer, statuses=listed, scopes={"read"})).status in {401, 403}
    assert listed.asked == []


async def test_a_token_without_a_status() -> None:
    """Passes, for not every issuer has lists; unless the API asks for one."""
    listed = Listed()
    assert (await call(bearer(), statuses=listed)).status == 200
    assert (await call(bearer(), statuses=listed, require_status=True)).status == 401
    assert (await call(standing(), statuses=listed, require_status=True)).status == 200


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEARER"])
async def test_the_scheme_in_any_case(scheme: str) -> None:
    """The scheme is compared without regard to case (RFC 9110 section 11.1); more than one space may follow."""
    assert (await call(f"{scheme} {token()}")).status == 200
    assert (await call(f"{scheme}   {token()} ")).status == 200


async def test_state_of_the_server_is_kept() -> None:
    """What the server put into the state stays there for the application, and nothing is written back into it."""
    state = {"pool": 1}
    answer = await call(bearer(), scope={"state": state})
    assert answer.application.scopes[0]["state"]["pool"] == 1
    assert state == {"pool": 1}


@pytest.mark.parametrize(
    "authorization", [(), ("Basic YTpi",), ("DPoP abc",), ("",), ("Bearerabc",), (b"\xff\xfe",), ("x",)]
)
async def test_no_token(authorization: tuple[str, ...]) -> None:
    """A request without a bearer token is 401 with a bare challenge and no error code (RFC 6750 section 3.1)."""
    answer = await call(*authorization)
    assert answer.status == 401
    assert answer.challenge == f"Bearer {METADATA}"
    assert answer.document.keys() == {"request_id"}
    assert answer.keys.asked == []
    assert answer.application.scopes == []


BAD: dict[str, tuple[str, PeerCertificate | None]] = {
    "other certificate": (bearer(), THIEF),
    "no certificate": (bearer(), None),
    "expired": (bearer(exp=int(NOW) - 1), PEER),
    "of the future": (bearer(nbf=int(NOW) + 60), PEER),
    "another issuer": (bearer(iss="https://evil.example"), PEER),
    "no issuer": (bearer(iss=...), PEER),
    "another audience": (bearer(aud="https://other.example"), PEER),
    "alg none": (bearer(header={"alg": "none"}), PEER),
    "alg HS256": (bearer(header={"alg": "HS256"}), PEER),
    "own jwk": (bearer(header={"jwk": KEY.public_jwk(), "kid": "unknown"}), PEER),
    "typ JWT": (bearer(header={"typ": "JWT"}), PEER),
    "cnf missing": (bearer(cnf=...), PEER),
    "cnf of another kind": (bearer(cnf={"jkt": read(OWN).thumbprint}), PEER),
    "cnf with two members": (bearer(cnf={"x5t#S256": read(OWN).thumbprint, "jkt": "x"}), PEER),
    "exp without a float": (bearer(exp=10**400), PEER),
    "huge": ("Bearer " + "a" * 100_000, PEER),
    "huge and dotted": ("Bearer a." + "a" * 100_000 + ".a", PEER),
    "no UTF-8": ("Bearer " + signed(b'{"iss":"\xff"}'), PEER),
    "deep": ("Bearer " + signed(b"[" * 3000), PEER),
    "empty": ("Bearer ", PEER),
    "scheme alone": ("Bearer", PEER),
    "two words": (f"Bearer a {token()}", PEER),
    "no token characters": ('Bearer "abc"', PEER),
    "not ASCII": ("Bearer é.é.é", PEER),
    "nothing but dots": ("Bearer ..", PEER),
}


@pytest.mark.parametrize("case", BAD)
async def test_every_bad_token_is_the_same_refusal(case: str) -> None:
    """Whatever is wrong with a token: 401, `invalid_token`, one sentence, no cache, and the application unasked."""
    authorization, peer = BAD[case]
    answer = await call(authorization, peer=peer)
    assert answer.status == 401
    assert answer.challenge == INVALID
    request_id = answer.document["request_id"]
    assert answer.document == {
        "error": "invalid_token",
        "error_description": "the access token is not valid for this request",
        "request_id": request_id,
    }
    assert answer.headers[b"cache-control"] == b"no-store"
    assert int(answer.headers[b"content-length"]) == len(answer.sent[1]["body"])
    assert answer.application.scopes == []


@pytest.mark.parametrize(
    ("authorization", "query"),
    [
        ((bearer(), bearer()), b""),
        ((bearer(), "Basic YTpi"), b""),
        (("Basic YTpi", bearer()), b""),
        ((f"{bearer()}, {bearer()}",), b""),
        ((f"Bearer {token()},{token()}",), b""),
        ((bearer(),), b"access_token=x"),
        ((bearer(),), b"a=b&access_token="),
        ((bearer(),), b"access_token"),
    ],
)
async def test_two_tokens(authorization: tuple[str, ...], query: bytes) -> None:
    """Two tokens, in two headers, in one, or one in the query, are 400 `invalid_request` (RFC 6750 section 3.1)."""
    answer = await call(*authorization, scope={"query_string": query})
    assert (answer.status, answer.challenge) == (400, TWO)
    assert answer.application.scopes == []


async def test_a_token_in_the_query_is_none() -> None:
    """A token in the query alone is not looked at (RFC 9700 section 4.3.2)."""
    answer = await call(scope={"query_string": b"access_token=" + token().encode()})
    assert (answer.status, answer.challenge) == (401, f"Bearer {METADATA}")


async def test_scopes() -> None:
    """A token without the scope is 403, and the challenge names what is needed (RFC 6750 section 3)."""
    answer = await call(bearer(), scopes={"write", "admin"})
    assert answer.status == 403
    assert answer.challenge == (
        'Bearer error="insufficient_scope", error_description="the access token lacks a scope", scope="admin write", '
        + METADATA
    )
    assert answer.application.scopes == []
    assert (await call(bearer(), scopes={"write"})).status == 200


async def test_keys_that_cannot_be_had() -> None:
    """When the issuer's keys cannot be had the answer is 503 without a challenge, and the application is unasked."""
    answer = await call(bearer(), keys=CountingKeys(available=False))
    assert answer.status == 503
    assert b"www-authenticate" not in answer.headers
    assert answer.application.scopes == []


@pytest.mark.parametrize(
    "case", ["another issuer", "no issuer", "alg none", "alg HS256", "typ JWT", "huge", "deep", "no UTF-8", "empty"]
)
async def test_nothing_is_fetched_for_a_bad_token(case: str) -> None:
    """A foreign issuer, another algorithm, another type, or no JWT at all causes no fetch."""
    assert (await call(BAD[case][0])).keys.asked == []


async def test_keys_are_asked_for_by_kid() -> None:
    """The key that the header names is asked for, and nothing else of the header."""
    assert (await call(bearer(header={"jku": "https://evil.example"}))).keys.asked == [KEY.kid]


@pytest.mark.parametrize("name", [b"client-cert", b"x-forwarded-client-cert", b"x-ssl-client-cert", b"ssl-client-cert"])
async def test_no_header_is_a_certificate(name: bytes) -> None:
    """A certificate or thumbprint in a header of the request is not believed (Tyk PR 7671)."""
    for value in (OWN.certificate_pem.replace(b"\n", b""), read(OWN).thumbprint.encode()):
        assert (await call(bearer(), peer=None, headers=((name, value),))).status == 401


@pytest.mark.parametrize(
    "extensions",
    [
        {}, {"tls": {"client_cert_chain": [OWN.certificate_pem.decode()]}}, {EXTENSION: PEER},
        {EXTENSION: {"peer_certificate": PEER}}, None,
    ],
)  # fmt: skip
async def test_only_our_listener_says_who_the_peer_is(extensions: Any) -> None:
    """Without the facts of our own TLS layer there is no certificate, so a bound token is refused."""
    assert (await call(bearer(), scope={"extensions": extensions})).status == 401


async def test_unbound_tokens() -> None:
    """Where unbound tokens are asked for they pass; a bound one needs its certificate all the same."""
    assert (await call(bearer(cnf=...), peer=None, require_bound=False)).status == 200
    assert (await call(bearer(), peer=None, require_bound=False)).status == 401
    assert (await call(bearer(), peer=THIEF, require_bound=False)).status == 401


async def test_lifespan_passes() -> None:
    """The application's startup and shutdown are none of the guard's business."""
    application = Application()
    guard = Guard(application, protected(keys=FixedKeys(KEYS)))
    await guard({"type": "lifespan"}, None, None)  # type: ignore[arg-type]
    assert application.scopes == [{"type": "lifespan"}]


async def test_a_scope_of_another_type_does_not_pass() -> None:
    """A kind of connection that the guard does not know does not reach the application."""
    with pytest.raises(ValueError, match="webtransport"):
        await call(bearer(), scope={"type": "webtransport"})


async def test_a_websocket() -> None:
    """A websocket with a good token passes."""
    assert len((await call(bearer(), scope={"type": "websocket"})).application.scopes) == 1


@pytest.mark.parametrize(
    ("authorization", "peer", "status"), [((), PEER, 401), ((bearer(),), THIEF, 401), ((bearer(),) * 2, PEER, 400)]
)
async def test_a_websocket_is_refused_before_it_is_accepted(
    authorization: tuple[str, ...], peer: PeerCertificate, status: int
) -> None:
    """A websocket with a bad token is closed before it is accepted, with the status where the server can say it."""
    answer = await call(*authorization, peer=peer, scope={"type": "websocket"})
    assert answer.sent == [{"type": "websocket.close", "code": 1008}]
    assert answer.application.scopes == []
    extensions = {"websocket.http.response": {}, EXTENSION: facts(peer)}
    answer = await call(*authorization, peer=peer, scope={"type": "websocket", "extensions": extensions})
    assert [each["type"] for each in answer.sent] == ["websocket.http.response.start", "websocket.http.response.body"]
    assert answer.status == status
    assert answer.application.scopes == []


async def test_the_reason_is_in_the_log_under_the_id(caplog: pytest.LogCaptureFixture) -> None:
    """What the peer does not learn is in the log, under the request id it was given; the token is not."""
    with caplog.at_level(logging.WARNING):
        answer = await call(bearer(exp=1))
    assert answer.document["request_id"] in caplog.text
    assert "expired" in caplog.text
    assert token(exp=1)[:40] not in caplog.text
    assert "expired" not in answer.sent[1]["body"].decode()


@pytest.mark.parametrize(
    "settings",
    [
        {"algorithms": ("HS256",)}, {"algorithms": ()}, {"scopes": {'a"b'}}, {"scopes": "read"}, {"audience": ""},
        {"issuer": "http://as.example"}, {"issuer": "as.example"}, {"issuer": "https://as.example?a"},
    ],
)  # fmt: skip
def test_contradictions_stop_the_start(settings: dict[str, Any]) -> None:
    """A guard with a policy that cannot be is not made, wherever its keys come from."""
    for keys in (FixedKeys(KEYS), None):
        with pytest.raises(ConfigurationError):
            protected(keys=keys, **settings)


def test_the_guard_makes_its_own_key_source() -> None:
    """Without keys given, they are those behind the issuer's metadata, and nothing is fetched until a token comes."""
    assert Guard(Application(), protected())


@given(
    st.lists(st.binary(max_size=60) | st.binary(max_size=60).map(b"Bearer ".__add__), max_size=2),
    st.binary(max_size=30),
)
def test_any_header_and_query_is_a_token_or_refused(values: list[bytes], query: bytes) -> None:
    """Arbitrary bytes in the header and the query give a token's characters or a refusal with a sound challenge."""
    try:
        found = read_bearer(values, query)
    except ProtectedResourceError as refusal:
        written = challenge(refusal)
    else:
        written = found
    assert written
    assert written.isascii()
    assert written.isprintable()
