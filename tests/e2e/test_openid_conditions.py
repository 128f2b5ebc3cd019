"""The conditions of the OpenID Foundation's suite for authorization servers with mutual TLS, as black-box tests.

Re-created from what they demand.  O12, the TLS of every endpoint, is that of
the listener they share and of each port, asked here by Python's TLS; `test_openssl` asks by OpenSSL's program.
"""

import json
import math
import re
import socket
import ssl
import time
from collections import Counter
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

import jsonschema
import pytest

import asserting
from certbound.core.certificate import read_certificate
from certbound.trust.authority import Authority, Issued
from e2e.acting import App, make_app, people_world
from e2e.forging import forged
from e2e.world import Answer, World, self_signed

ENDPOINTS = ["token", "introspect", "revoke", "par", "device_authorization"]
"""Where clients authenticate; /userinfo and /register take certificates for other ends, and have tests of their own."""
METHODS = ["tls_client_auth", "self_signed_tls_client_auth", "private_key_jwt"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory: Path = tmp_path_factory.mktemp("openid")
    registration = {
        "registration__ways": [{"name": "vouched", "needs": ["mutual_tls"], "methods": METHODS, "scopes": ["read"]}],
        "registration__anchors": ["anchors.pem"],
    }
    with people_world(directory, login__device=True, authentication__methods=METHODS, **registration) as made:
        yield made


@pytest.fixture(scope="module")
def one(built: World) -> Issued:
    built.register("one", token_endpoint_auth_method="tls_client_auth", tls_client_auth_subject_dn="CN=one,O=Example")
    return built.authority.issue("CN=one,O=Example")


@pytest.fixture(scope="module")
def two(built: World) -> Issued:
    issued = self_signed("CN=two")
    built.register_self_signed("two", issued, grant_types=["client_credentials", "refresh_token"])
    return issued


@pytest.fixture(scope="module")
def metadata(built: World) -> dict[str, object]:
    answer = built.ask(f"{built.issuer}/.well-known/oauth-authorization-server", method="GET")
    found: dict[str, object] = answer.json
    return found


def test_o1_the_metadata_names_mutual_tls(metadata: dict[str, object]) -> None:
    for endpoint in ("token", "introspection", "revocation"):
        methods = metadata[f"{endpoint}_endpoint_auth_methods_supported"]
        assert isinstance(methods, list)
        assert {"tls_client_auth", "self_signed_tls_client_auth"} <= set(methods)


def test_o2_bound_tokens_are_a_boolean_true(metadata: dict[str, object]) -> None:
    assert metadata["tls_client_certificate_bound_access_tokens"] is True


def test_o3_aliases_are_of_endpoints_at_top_level(metadata: dict[str, object]) -> None:
    aliases = metadata["mtls_endpoint_aliases"]
    assert isinstance(aliases, dict)
    assert "authorization_endpoint" not in aliases
    assert all(name.endswith("_endpoint") and name in metadata for name in aliases)
    assert {"token_endpoint", "introspection_endpoint", "revocation_endpoint"} <= aliases.keys()
    assert all(aliases[name] != metadata[name] for name in aliases)


def test_o4_every_member_is_registered_and_well_formed(metadata: dict[str, object]) -> None:
    """The registry's members that we can have, each of its type (the rest is an invention, and a warning there)."""
    found = [f"{error.json_path}: {error.message}" for error in _judge(metadata)]
    assert found == []
    assert set(metadata["mtls_endpoint_aliases"]) <= _URLS  # type: ignore[call-overload]
    assert "?" not in str(metadata["issuer"])
    assert "#" not in str(metadata["issuer"])


@pytest.mark.parametrize(
    "wrong",
    [{"foo_supported": ["x"]}, {"issuer": "http://as.example"}, {"token_endpoint": "/token"}, {"issuer": None},
     {"grant_types_supported": "code"}, {"scopes_supported": [1]}, {"response_types_supported": ["code", "code"]},
     {"tls_client_certificate_bound_access_tokens": "true"}, {"mtls_endpoint_aliases": {"token_endpoint": 1}}],
    ids=json.dumps,
)  # fmt: skip
def test_o4_would_find_what_is_wrong(metadata: dict[str, object], wrong: dict[str, object]) -> None:
    assert list(_judge({**metadata, **wrong}))


def test_o4_would_miss_what_is_required(metadata: dict[str, object]) -> None:
    for name in ("issuer", "response_types_supported", "token_endpoint", "authorization_endpoint"):
        assert list(_judge({each: value for each, value in metadata.items() if each != name})), name


def test_o5_a_client_needs_its_name_and_its_certificate_and_nothing_else(built: World, one: Issued) -> None:
    assert built.token_request("one", one).status == 200


def test_o6_the_happy_flow_of_two_clients(built: World, one: Issued, two: Issued) -> None:
    for name, issued in (("one", one), ("two", two)):
        answer = built.token_request(name, issued)
        assert answer.status == 200
        token = answer.json["access_token"]
        assert type(answer.json["expires_in"]) is int
        assert answer.json["expires_in"] > 0
        assert "refresh_token" not in answer.json
        assert re.fullmatch(r"[\x20-\x7E]+", token)
        assert _entropy(token) >= 96
        reached = built.call_api(token, issued)
        assert reached.status == 200
        for each in (answer, reached):  # RFC 9110 section 6.6.1
            assert abs(parsedate_to_datetime(each.headers["date"]).timestamp() - time.time()) < 5


def test_o7_a_token_of_one_with_the_certificate_of_the_other(built: World, one: Issued, two: Issued) -> None:
    answer = built.call_api(built.token("two", two), one)
    assert answer.status == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


def test_o8_the_scheme_is_any_case(built: World, one: Issued) -> None:
    token = built.token("one", one)
    answer = built.ask(f"{built.api}/", one, method="GET", headers={"authorization": f"bEARER {token}"})
    assert answer.status == 200


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_o9_the_name_of_the_other(built: World, one: Issued, two: Issued, endpoint: str) -> None:
    for name, issued in (("two", one), ("one", two)):
        answer = built.post(endpoint, name, issued, grant_type="client_credentials", token="x")
        assert (answer.status, answer.json["error"]) == (401, "invalid_client")
        _require_error_form(answer.body, answer.headers)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_o10_without_a_certificate(built: World, one: Issued, endpoint: str) -> None:
    answer = built.post(endpoint, "one", None, grant_type="client_credentials", token="x")
    assert (answer.status, answer.json["error"]) == (401, "invalid_client")
    _require_error_form(answer.body, answer.headers)


def test_o10_an_assertion_without_the_certificate_that_binds(built: World) -> None:
    """`private_key_jwt` and bound tokens: nothing to bind to is no token."""
    built.register("signs", **asserting.metadata(), tls_client_certificate_bound_access_tokens=True)

    def asked(identity: Issued | None) -> Answer:
        form = asserting.form(asserting.assertion("signs", audience=built.issuer))
        return built.post("token", None, identity, grant_type="client_credentials", **form)

    answer = asked(None)
    assert (answer.status, answer.json["error"]) == (400, "invalid_request")
    _require_error_form(answer.body, answer.headers)
    assert asked(self_signed("CN=signs")).status == 200


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize(
    "form", [{}, {"grant_type": "x\n\ty"}, {"scope": '"\\\x7f', "grant_type": "client_credentials"}]
)
def test_o11_every_error_is_well_formed(built: World, one: Issued, endpoint: str, form: dict[str, str]) -> None:
    for named in ("one", None, 'o"n\\e\r\n'):
        answer = built.post(endpoint, named, one, **form)
        assert answer.status in {400, 401}
        _require_error_form(answer.body, answer.headers)


@pytest.mark.parametrize("host", ["issuer", "mtls"])
def test_o12_tls_1_2_with_forward_secrecy_and_1_3_first(built: World, one: Issued, host: str) -> None:
    for maximum, version in ((None, "TLSv1.3"), (ssl.TLSVersion.TLSv1_2, "TLSv1.2")):
        connection = built.connect(getattr(built, host), one, maximum=maximum)
        connection.connect()
        assert connection.sock.version() == version
        assert "DHE" not in connection.sock.cipher()[0].replace("ECDHE", "")
        connection.close()


@pytest.mark.parametrize("host", ["issuer", "mtls"])
@pytest.mark.parametrize("minor", [1, 2], ids=["TLS 1.0", "TLS 1.1"])
def test_o12_older_protocols_are_refused(built: World, host: str, minor: int) -> None:
    """By the alert that says so: a ClientHello written out, since no library here offers them any more."""
    suites = bytes.fromhex("c009c00ac013c014002f0035")  # with AES in CBC, as they had them
    hello = bytes([3, minor]) + bytes(32) + b"\0" + len(suites).to_bytes(2) + suites + b"\1\0"
    message = b"\1" + len(hello).to_bytes(3) + hello
    place = urlsplit(getattr(built, host))
    with socket.create_connection((place.hostname, place.port), timeout=5) as connection:
        connection.sendall(b"\x16\3\1" + len(message).to_bytes(2) + message)
        answer = connection.recv(64)
    assert (answer[0], answer[5:7]) == (21, b"\x02\x46"), "fatal, protocol_version (RFC 5246 section 7.2.2)"


@pytest.fixture(scope="module")
def app(built: World) -> App:
    """A client that people let act for them, self-signed."""
    return make_app(built, "app")


@pytest.fixture(scope="module")
def rival(built: World) -> App:
    """Another one, with the same redirect URI."""
    return make_app(built, "rival")


def test_o13_a_refresh_without_the_certificate_or_by_another_client(app: App, rival: App) -> None:
    """The token of a person's grant: refreshed twice by its client, by nobody else, and alive afterwards."""
    form = {"grant_type": "refresh_token", "refresh_token": app.tokens()["refresh_token"]}
    assert app.world.post("token", "app", app.identity, **form).status == 200
    for identity in (None, rival.identity, self_signed("CN=app")):
        answer = app.world.post("token", "app", identity, **form)
        assert (answer.status, answer.json["error"]) == (401, "invalid_client")
    answer = app.world.post("token", "rival", rival.identity, **form)
    assert (answer.status, answer.json["error"]) == (400, "invalid_grant")
    _require_error_form(answer.body, answer.headers)
    again = app.world.post("token", "app", app.identity, **form)
    assert (again.status, app.world.call_api(again.json["access_token"], app.identity).status) == (200, 200)


def test_o14_a_code_redeemed_by_another_client(app: App, rival: App) -> None:
    """Its own name and certificate, and the verifier and redirect URI besides: nothing; the code is good still."""
    code = app.code()
    answer = app.redeem(code, rival.identity, client_id="rival")
    assert (answer.status, answer.json["error"]) == (400, "invalid_grant")
    _require_error_form(answer.body, answer.headers)
    assert app.redeem(code, rival.identity).json["error"] == "invalid_client"
    assert app.redeem(code).status == 200


@pytest.fixture(scope="module")
def copies(built: World, one: Issued) -> dict[str, Issued]:
    """What looks like the certificate of `one`, and is of another key or another issuer."""
    authority = Authority.create("Test CA")
    return {
        "all but the key": forged(one),
        "all but the key, signed by a CA of the same name": forged(
            one, by=Issued(authority.certificate, authority.private_key)
        ),
        "the names": authority.issue("CN=one,O=Example"),
        "self-signed": self_signed("CN=one,O=Example"),
    }


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_o15_the_same_names_from_a_ca_of_ones_own(
    built: World, one: Issued, copies: dict[str, Issued], endpoint: str
) -> None:
    """Subject, issuer, serial number and extensions are copied; the key is not."""
    for what, copy in copies.items():
        assert read_certificate(copy.der).subject == read_certificate(one.der).subject
        answer = built.post(endpoint, "one", copy, grant_type="client_credentials", token="x")
        assert (answer.status, answer.json["error"]) == (401, "invalid_client"), what
        _require_error_form(answer.body, answer.headers)


def test_o15_a_self_signed_certificate_copied_with_another_key(built: World, two: Issued) -> None:
    """Its thumbprint is not the registered one, whatever it says."""
    for endpoint in ENDPOINTS:
        answer = built.post(endpoint, "two", forged(two), grant_type="client_credentials", token="x")
        assert (answer.status, answer.json["error"]) == (401, "invalid_client")


def test_o9_o10_o15_at_userinfo(built: World, app: App, rival: App) -> None:
    """A protected resource: no certificate, the other's, and a copy with another key are refused as RFC 6750 has it."""
    token = app.tokens()["access_token"]
    assert app.userinfo(token).status == 200
    for identity in (None, rival.identity, forged(app.identity)):
        for method in ("GET", "POST"):
            header = {"authorization": f"Bearer {token}"}
            answer = built.ask(f"{built.mtls}/userinfo", identity, method=method, headers=header)
            assert (answer.status, answer.json["error"]) == (401, "invalid_token")
            assert 'error="invalid_token"' in answer.headers["www-authenticate"]
            _require_error_form(answer.body, answer.headers)
    assert app.userinfo(token).status == 200


def test_o9_o10_o15_at_registration_and_management(built: World) -> None:
    """Without the certificate of who registers, with another's of the same CA, and with copies of it: nothing."""
    member = built.authority.issue("CN=member", dns=["member.example"])
    sibling = built.authority.issue("CN=sibling", dns=["sibling.example"])
    metadata = {"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "member.example"}
    bad = [None, forged(member), Authority.create("Test CA").issue("CN=member", dns=["member.example"])]

    def asked(url: str, method: str, identity: Issued | None, token: str = "") -> Answer:
        body = json.dumps(metadata).encode() if method in {"POST", "PUT"} else b""
        headers = {"content-type": "application/json", **({"authorization": f"Bearer {token}"} if token else {})}
        return built.ask(url, identity, method=method, body=body, headers=headers)

    for identity in bad:
        answer = asked(f"{built.mtls}/register", "POST", identity)
        assert (answer.status, answer.json["error"]) == (401, "invalid_token")
        _require_error_form(answer.body, answer.headers)
    made = asked(f"{built.mtls}/register", "POST", member)
    assert made.status == 201, made
    uri, token = made.json["registration_client_uri"], made.json["registration_access_token"]
    metadata["client_id"] = made.json["client_id"]
    for method in ("GET", "PUT", "DELETE"):
        for identity in (*bad, sibling):
            answer = asked(uri, method, identity, token)
            assert (answer.status, answer.json["error"]) == (401, "invalid_token"), method
            _require_error_form(answer.body, answer.headers)
    assert [asked(uri, method, member, token).status for method in ("GET", "PUT", "DELETE")] == [200, 200, 204]


def _entropy(token: str) -> float:
    counts = Counter(token)
    return -sum(count * math.log2(count / len(token)) for count in counts.values())


def _require_error_form(body: bytes, headers: dict[str, str]) -> None:
    """RFC 6749 section 5.2."""
    assert headers["content-type"] == "application/json"
    assert headers["cache-control"] == "no-store"
    document = json.loads(body)
    for member in ("error", "error_description"):
        assert re.fullmatch(r"[\x20-\x21\x23-\x5B\x5D-\x7E]+", document[member])
    assert "error_uri" not in document


def _judge(metadata: dict[str, object]) -> Iterator[jsonschema.ValidationError]:
    return iter(jsonschema.Draft202012Validator(_SCHEMA).iter_errors(metadata))


_URL = {"type": "string", "pattern": r"^https://[^\s#]+$"}
_LIST = {"type": "array", "items": {"type": "string"}, "uniqueItems": True}
_BOOLEAN = {"type": "boolean"}
_URLS = {
    "authorization_endpoint", "token_endpoint", "introspection_endpoint", "revocation_endpoint",
    "registration_endpoint", "device_authorization_endpoint", "pushed_authorization_request_endpoint",
    "userinfo_endpoint", "end_session_endpoint", "status_list_aggregation_endpoint",
}  # fmt: skip
_LISTS = {
    "scopes", "response_types", "response_modes", "grant_types", "code_challenge_methods", "subject_types",
    "ui_locales", "prompt_values", "claims", "claim_types", "acr_values",
    *(f"{each}_endpoint_auth_{what}" for each in ("token", "introspection", "revocation")
      for what in ("methods", "signing_alg_values")),
    *(f"{each}_signing_alg_values" for each in ("id_token", "introspection", "userinfo", "request_object")),
}  # fmt: skip
_BOOLEANS = {
    "tls_client_certificate_bound_access_tokens", "require_pushed_authorization_requests",
    "authorization_response_iss_parameter_supported", "request_parameter_supported",
    "request_uri_parameter_supported", "claims_parameter_supported", "backchannel_logout_supported",
    "backchannel_logout_session_supported", "frontchannel_logout_supported",
}  # fmt: skip
_SCHEMA = {
    "type": "object",
    "properties": {
        **dict.fromkeys({"issuer", "jwks_uri", *_URLS}, _URL),
        **dict.fromkeys((f"{each}_supported" for each in _LISTS), _LIST),
        **dict.fromkeys(_BOOLEANS, _BOOLEAN),
        "mtls_endpoint_aliases": {"type": "object", "additionalProperties": _URL},
    },
    "additionalProperties": False,
    "required": ["issuer", "response_types_supported", "token_endpoint", "authorization_endpoint"],
}
"""The registry "OAuth Authorization Server Metadata" as far as a server like this can be: RFC 8414 section 2, RFC 8628,
RFC 8705, RFC 9126, RFC 9207, RFC 9701, OpenID Connect Discovery, RP-Initiated Logout, and Token Status List."""
