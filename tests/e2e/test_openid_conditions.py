"""The conditions of the OpenID Foundation's suite for authorization servers with mutual TLS, as black-box tests.

Re-created from what they demand.  O12, the TLS of every endpoint, is that of
the listener they share and of each port, asked here by Python's TLS; `test_openssl` asks by OpenSSL's program.
"""

import json
import math
import re
import socket
import ssl
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from certbound.core.certificate import read_certificate
from certbound.trust.authority import Authority, Issued
from e2e.acting import App, make_app, people_world
from e2e.world import World, self_signed

ENDPOINTS = ["token", "introspect", "revoke", "par"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory: Path = tmp_path_factory.mktemp("openid")
    with people_world(directory) as made:
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
    """RFC 8414 section 2, RFC 8705, RFC 9126, RFC 9207, RFC 9701, OpenID Connect, and the status list's one member."""
    for name, value in metadata.items():
        kind = next((kind for pattern, kind in _MEMBERS.items() if re.fullmatch(pattern, name)), None)
        assert kind is not None, name
        assert isinstance(value, kind), name
        if name.endswith(("_endpoint", "_uri")) or name == "issuer":
            assert str(value).startswith("https://")
        if isinstance(value, list):
            assert all(isinstance(each, str) for each in value)


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


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize(
    "form", [{}, {"grant_type": "x\n\ty"}, {"scope": '"\\\x7f', "grant_type": "client_credentials"}]
)
def test_o11_every_error_is_well_formed(built: World, one: Issued, endpoint: str, form: dict[str, str]) -> None:
    for named in ("one", None, 'o"n\\e\r\n'):
        answer = built.post(endpoint, named, one, **form)
        if answer.status != 200:
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


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_o15_the_same_names_from_a_ca_of_ones_own(built: World, one: Issued, endpoint: str) -> None:
    """Subject, issuer, serial number and extensions are copied; the key is not."""
    fake = Authority.create("Test CA").issue("CN=one,O=Example")
    assert read_certificate(fake.der).subject == read_certificate(one.der).subject
    answer = built.post(endpoint, "one", fake, grant_type="client_credentials", token="x")
    assert (answer.status, answer.json["error"]) == (401, "invalid_client")


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


_MEMBERS: dict[str, type] = {
    "issuer|jwks_uri|(token|introspection|revocation|registration|status_list_aggregation)_endpoint": str,
    "(authorization|pushed_authorization_request|device_authorization|userinfo|end_session)_endpoint": str,
    "request(_uri)?_parameter_supported|claims_parameter_supported": bool,
    "authorization_response_iss_parameter_supported|require_pushed_authorization_requests": bool,
    ".*_supported": list,
    "mtls_endpoint_aliases": dict,
    "tls_client_certificate_bound_access_tokens": bool,
}
