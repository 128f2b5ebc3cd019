"""What the FAPI 2.0 Security Profile asks of an authorization server that acts for people, seen from outside.

The settings below are those that a deployment of it has; numbers in parentheses are sections of the profile.
"""

import contextlib
import math
import socket
import ssl
import string
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from asserting import assertion
from asserting import form as form_of
from asserting import metadata as metadata_of_keys
from certbound.cli import main
from certbound.core.errors import ConfigurationError, InvalidClientMetadata, InvalidRedirectUri
from certbound.core.jws import unverified_claims
from certbound.settings import load
from certbound.trust.authority import self_signed
from e2e.acting import App, make_app, people_world
from e2e.people import Browser
from e2e.world import World
from issuing import encode

CERTIFICATE = self_signed("CN=any")
METHODS = ["tls_client_auth", "self_signed_tls_client_auth", "private_key_jwt"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory: Path = tmp_path_factory.mktemp("fapi")
    with people_world(directory, login__require_pushed=True, authentication__methods=METHODS) as made:
        yield made


@pytest.fixture(scope="module")
def app(built: World) -> App:
    return make_app(built, "app")


@pytest.fixture(scope="module")
def other(built: World) -> App:
    return make_app(built, "other")


@pytest.fixture(scope="module")
def metadata(built: World) -> dict[str, Any]:
    found: dict[str, Any] = built.ask(f"{built.issuer}/.well-known/openid-configuration", method="GET").json
    return found


def pushed(app: App, **parameters: Any) -> str:
    """The `request_uri` of a request."""
    answer = app.push(**parameters)
    assert answer.status == 201, answer
    return str(answer.json["request_uri"])


def code_of(app: App, browser: Browser | None = None, **parameters: Any) -> str:
    """What the person agrees to, for a request that was pushed."""
    return app.agree_to_pushed(pushed(app, **parameters), browser)["code"]


class TestMetadata:
    """5.3.2.1: what it is may be read, and is so."""

    def test_it_authenticates_by_mutual_tls_or_signed_assertions_alone(self, metadata: dict[str, Any]) -> None:
        for name in ("token", "introspection", "revocation"):
            assert set(metadata[f"{name}_endpoint_auth_methods_supported"]) == set(METHODS)

    def test_it_pushes_and_binds_and_says_who_it_is(self, metadata: dict[str, Any]) -> None:
        for member in (
            "require_pushed_authorization_requests",
            "authorization_response_iss_parameter_supported",
            "tls_client_certificate_bound_access_tokens",
        ):
            assert metadata[member] is True, member

    def test_it_has_one_response_type_one_challenge_and_no_password_grant(self, metadata: dict[str, Any]) -> None:
        assert (metadata["response_types_supported"], metadata["code_challenge_methods_supported"]) == (
            ["code"],
            ["S256"],
        )
        assert {"password", "implicit"}.isdisjoint(metadata["grant_types_supported"])

    def test_it_signs_by_what_the_profile_lists(self, metadata: dict[str, Any]) -> None:
        """5.4.1: PS256, ES256 or EdDSA, and never none."""
        for name, value in metadata.items():
            if name.endswith("_alg_values_supported"):
                assert set(value) <= {"PS256", "ES256", "EdDSA"}, name

    def test_what_is_called_directly_has_an_alias_and_what_a_browser_visits_has_none(
        self, metadata: dict[str, Any]
    ) -> None:
        expected = {
            "token_endpoint",
            "userinfo_endpoint",
            "pushed_authorization_request_endpoint",
            "introspection_endpoint",
            "revocation_endpoint",
        }
        assert expected <= metadata["mtls_endpoint_aliases"].keys()
        assert {"authorization_endpoint", "end_session_endpoint"}.isdisjoint(metadata["mtls_endpoint_aliases"])


class TestPushedRequests:
    """5.3.2.2, 2 to 13: requests come over the back channel, from clients that prove who they are."""

    def test_a_request_that_was_not_pushed_is_refused(self, app: App) -> None:
        assert app.visit().members["error"] == "invalid_request"

    def test_a_request_uri_is_for_minutes_and_cannot_be_guessed(self, app: App) -> None:
        answer = app.push()
        assert answer.status == 201
        assert 0 < answer.json["expires_in"] < 600
        assert len(answer.json["request_uri"].rpartition(":")[2]) >= 22  # 128 bits, base64url
        assert answer.headers["cache-control"] == "no-store"

    def test_who_pushes_proves_who_it_is(self, app: App, other: App) -> None:
        """No certificate, that of another, or nobody's."""
        for identity in (None, other.identity, self_signed("CN=app")):
            answer = app.world.post("par", "app", identity, **app.request(client_id=None))
            assert (answer.status, answer.json["error"]) == (401, "invalid_client")

    def test_the_request_uri_of_another_client_is_nothing(self, app: App, other: App) -> None:
        page = other.visit_pushed(pushed(app))
        assert (page.status, page.location) == (400, "")

    @pytest.mark.parametrize(
        ("changed", "error"),
        [
            ({"code_challenge": None}, "invalid_request"),
            ({"code_challenge_method": "plain"}, "invalid_request"),
            ({"code_challenge_method": None}, "invalid_request"),
            ({"redirect_uri": None}, "invalid_request"),
            ({"redirect_uri": "https://app.example/other"}, "invalid_request"),
            ({"redirect_uri": "https://app.example/cb/"}, "invalid_request"),
            ({"response_type": "token"}, "unsupported_response_type"),
            ({"response_type": "code id_token"}, "unsupported_response_type"),
            ({"scope": "openid admin"}, "invalid_scope"),
            ({"request": "eyJhbGciOiJub25lIn0.e30."}, "request_not_supported"),
            ({"request_uri": "urn:ietf:params:oauth:request_uri:x"}, "request_uri_not_supported"),
        ],
    )
    def test_a_request_that_the_profile_forbids_is_refused_when_it_is_pushed(
        self, app: App, changed: dict[str, Any], error: str
    ) -> None:
        answer = app.push(**changed)
        assert (answer.status, answer.json["error"]) == (400, error)

    def test_what_stands_beside_the_request_uri_counts_for_nothing(self, app: App) -> None:
        """RFC 9126 section 4, RFC 9101 section 6.3."""
        beside: dict[str, Any] = {
            "redirect_uri": "https://evil.example/",
            "scope": "admin",
            "state": "x",
            "response_mode": "fragment",
        }
        answer = app.agree_to_pushed(pushed(app), **beside)
        assert (answer["state"], answer["iss"]) == ("s", app.world.issuer)
        assert app.redeem(answer["code"]).json["scope"] == "openid read"

    def test_a_page_may_be_loaded_again_and_a_request_answered_once(self, app: App) -> None:
        """5.3.2.2 note 3: used up by the answer."""
        request_uri, browser = pushed(app), Browser(app.world)
        for _ in range(2):
            assert app.visit_pushed(request_uri, browser).status == 200
        assert "code" in app.agree_to_pushed(request_uri, browser)
        again = app.visit_pushed(request_uri, browser)
        assert (again.status, again.location) == (400, "")

    def test_no_setting_lets_a_request_uri_wait_for_ten_minutes(
        self, built: World, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """The server does not start, and says which key of which file."""
        file = built.directory / "slow.toml"
        file.write_text((built.directory / "certbound.toml").read_text() + "pushed_lifetime = 600\n")
        assert main(["serve", "--config", str(file)]) == 1
        said = capfd.readouterr().err
        assert f"{file}: login.pushed_lifetime" in said
        assert "599" in said

    def test_a_nonce_of_64_characters_comes_back_whole(self, app: App) -> None:
        """5.3.2.2: at least those; of every kind that a nonce may be made of."""
        nonce = (string.ascii_letters + string.digits + "-._~")[:64]
        code = app.agree_to_pushed(pushed(app, nonce=nonce, state="s" * 200))["code"]
        assert unverified_claims(app.redeem(code).json["id_token"])["nonce"] == nonce


class TestAnswers:
    """5.3.2.2: how the answer comes back."""

    def test_the_browser_is_sent_by_303_and_told_who_answers(self, app: App) -> None:
        browser = Browser(app.world)
        app.agree_to_pushed(pushed(app), browser)
        page = app.visit_pushed(pushed(app), browser)
        assert (page.status, page.members["iss"], page.members["state"]) == (303, app.world.issuer, "s")

    def test_no_page_of_another_origin_may_read_the_authorization_endpoint(self, app: App) -> None:
        """5.3.2.2: no CORS there."""
        answer = app.world.ask(
            f"{app.world.issuer}/authorize?client_id=app", method="GET", headers={"origin": "https://evil.example"}
        )
        assert not [name for name in answer.headers if name.startswith("access-control")]
        preflight = app.world.ask(
            f"{app.world.issuer}/authorize",
            method="OPTIONS",
            headers={"origin": "https://evil.example", "access-control-request-method": "GET"},
        )
        assert not [name for name in preflight.headers if name.startswith("access-control")]

    @pytest.mark.parametrize("uri", ["http://app.example/cb", "http://10.0.0.1/cb", "javascript:alert(1)"])
    def test_answers_go_to_https_alone(self, built: World, uri: str) -> None:
        """5.3.2.2: but for a native app's own loopback address."""
        with pytest.raises(InvalidRedirectUri):
            make_app(built, "insecure", redirect_uris=[uri])

    def test_a_native_app_has_any_port_of_its_loopback_address(self, built: World) -> None:
        """RFC 8252 section 7.3."""
        native = make_app(built, "native", redirect_uris=["http://127.0.0.1/cb"])
        assert native.push(redirect_uri="http://127.0.0.1:53211/cb").status == 201
        assert native.push(redirect_uri="http://localhost:53211/cb").status == 400


class TestCodes:
    """5.3.2.1, 5 to 11."""

    def test_a_code_lives_a_minute_at_most(self, built: World, tmp_path: Path) -> None:
        """No setting makes it live longer."""
        assert built.settings.login.code_lifetime <= 60
        file = tmp_path / "long.toml"
        file.write_text((built.directory / "certbound.toml").read_text() + "code_lifetime = 61\n")
        with pytest.raises(ConfigurationError, match="code_lifetime"):
            load(file, {})

    def test_a_code_counts_once_and_a_second_time_ends_what_it_gave(self, app: App) -> None:
        """RFC 6749 section 4.1.2."""
        code = code_of(app)
        tokens = app.redeem(code).json
        assert app.redeem(code).json["error"] == "invalid_grant"
        assert app.userinfo(tokens["access_token"]).status == 401
        refreshed = app.world.post(
            "token", "app", app.identity, grant_type="refresh_token", refresh_token=tokens["refresh_token"]
        )
        assert refreshed.json["error"] == "invalid_grant"

    @pytest.mark.parametrize(
        "changed",
        [
            {"code_verifier": "x" * 43},
            {"redirect_uri": "https://app.example/other"},
            {"code": "cbac_" + "x" * 43},
        ],
    )
    def test_whoever_lacks_what_a_code_is_bound_to_gets_nothing_and_ends_nothing(
        self, app: App, changed: dict[str, Any]
    ) -> None:
        code = code_of(app)
        answer = app.redeem(**{"code": code, **changed})
        assert (answer.status, answer.json["error"]) == (400, "invalid_grant")
        assert app.redeem(code).status == 200

    def test_a_code_is_bound_to_its_client(self, app: App, other: App) -> None:
        code = code_of(app)
        answer = app.redeem(code, other.identity, client_id="other")
        assert (answer.status, answer.json["error"]) == (400, "invalid_grant")
        assert app.redeem(code).status == 200


class TestTokens:
    """5.3.2.1, 5.3.3."""

    def test_every_token_is_bound_to_the_certificate(self, app: App, other: App) -> None:
        """RFC 8705; not a thief, nor whoever comes without one, gets anywhere with it."""
        tokens = app.redeem(code_of(app)).json
        assert app.world.call_api(tokens["access_token"], app.identity).status == 200
        for identity in (other.identity, None):
            answer = app.world.call_api(tokens["access_token"], identity)
            assert (answer.status, "invalid_token" in answer.headers["www-authenticate"]) == (401, True)

    def test_refresh_tokens_are_not_rotated(self, app: App) -> None:
        """5.3.2.1: but for extraordinary circumstances."""
        token = app.redeem(code_of(app)).json["refresh_token"]
        for _ in range(2):
            answer = app.world.post("token", "app", app.identity, grant_type="refresh_token", refresh_token=token)
            assert (answer.status, answer.json.get("refresh_token", token)) == (200, token)

    def test_a_refresh_token_is_bound_to_its_client(self, app: App, other: App) -> None:
        token = app.redeem(code_of(app)).json["refresh_token"]
        form = {"grant_type": "refresh_token", "refresh_token": token}
        assert app.world.post("token", "other", other.identity, **form).json["error"] == "invalid_grant"
        assert app.world.post("token", "app", None, **form).status == 401
        assert app.world.post("token", "app", app.identity, **form).status == 200

    def test_nothing_that_is_given_can_be_guessed(self, app: App) -> None:
        """5.4.1: 128 bits; and 96 at least as the OpenID Foundation's suite estimates it."""
        code = code_of(app)
        tokens = app.redeem(code).json
        for secret in (code, tokens["refresh_token"]):
            assert len(secret.partition("_")[2]) >= 22  # base64url
        for secret in (code, tokens["refresh_token"], tokens["access_token"]):
            assert _entropy(secret) >= 96

    def test_a_token_in_the_query_is_none(self, app: App) -> None:
        """5.3.3: RFC 6750 section 2.1 alone."""
        token = app.redeem(code_of(app)).json["access_token"]
        for url in (f"{app.world.api}/?access_token={token}", f"{app.world.mtls}/userinfo?access_token={token}"):
            assert app.world.ask(url, app.identity, method="GET").status == 401


def test_a_client_that_signs_assertions_pushes_and_gets_bound_tokens(built: World) -> None:
    """5.3.2.1: `private_key_jwt` with the issuer as its one audience; the certificate on the connection binds."""
    identity = self_signed("CN=any")
    built.register(
        "signer", **metadata_of_keys(), grant_types=["authorization_code"], redirect_uris=["https://app.example/cb"],
        scope="openid read",
    )  # fmt: skip
    signer = App(built, "signer", identity)

    def assert_itself() -> dict[str, Any]:
        return {"client_id": None, **form_of(assertion("signer", audience=built.issuer))}

    refused = built.post("par", None, identity, **form_of(assertion("signer", audience=f"{built.issuer}/par")))
    assert (refused.status, refused.json["error"]) == (401, "invalid_client")
    found = built.post(
        "par",
        None,
        identity,
        **{**signer.request(client_id=None), **form_of(assertion("signer", audience=built.issuer))},
    )
    assert found.status == 201, found
    code = signer.agree_to_pushed(found.json["request_uri"])["code"]
    tokens = signer.redeem(code, **assert_itself()).json
    assert built.call_api(tokens["access_token"], identity).status == 200
    assert built.call_api(tokens["access_token"], self_signed("CN=thief")).status == 401


@pytest.fixture(scope="module")
def signer(built: World) -> str:
    """A client that signs assertions for itself."""
    built.register("clock", **metadata_of_keys(), scope="read")
    return "clock"


class TestClocks:
    """5.3.2.1: clocks differ a little; assertions are looked at as the token endpoint does."""

    @pytest.mark.parametrize("claim", ["iat", "nbf"])
    @pytest.mark.parametrize(("ahead", "status"), [(-10, 200), (10, 200), (75, 401)])
    def test_ten_seconds_ahead_are_none_and_more_than_sixty_too_many(
        self, built: World, signer: str, claim: str, ahead: int, status: int
    ) -> None:
        claims = {claim: int(time.time()) + ahead}
        assert self.asked(built, assertion(signer, audience=built.issuer, **claims)) == status

    @pytest.mark.parametrize(("left", "status"), [(10, 200), (-1, 401), (-10, 401), (7200, 401)])
    def test_what_has_ended_has_ended(self, built: World, signer: str, left: int, status: int) -> None:
        """No seconds are given back; and none lives for hours."""
        exp = int(time.time()) + left
        assert self.asked(built, assertion(signer, audience=built.issuer, exp=exp)) == status

    def asked(self, built: World, text: str) -> int:
        """The status of a token request with this assertion."""
        answer = built.post("token", None, CERTIFICATE, grant_type="client_credentials", **form_of(text))
        assert answer.status == 200 or answer.json["error"] == "invalid_client", answer
        return answer.status


class TestTransport:
    """5.2.2, 5.4.1: TLS 1.2 with the suites of BCP 195, or 1.3; keys that are long enough."""

    @pytest.mark.parametrize("host", ["issuer", "mtls"])
    def test_of_tls_1_2_there_are_the_recommended_suites_alone(self, built: World, host: str) -> None:
        """Each that OpenSSL has is offered by itself."""
        offered, accepted = 0, set()
        for each in _suites():
            context = built.context(CERTIFICATE, maximum=ssl.TLSVersion.TLSv1_2)
            context.set_ciphers(f"{each}:@SECLEVEL=0")
            parts, offered = urlsplit(getattr(built, host)), offered + 1
            with (
                contextlib.suppress(ssl.SSLError, ConnectionError),
                socket.create_connection((parts.hostname, parts.port), timeout=10) as plain,
                context.wrap_socket(plain, server_hostname=parts.hostname) as connection,
            ):
                accepted.add((connection.cipher() or ("",))[0])
        assert offered > 20
        # The certificate of this server has an elliptic key; with an RSA key it is the same two.
        assert accepted == {"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"}

    def test_keys_that_are_too_short_are_nobodys(self, built: World) -> None:
        """RSA below 2048 bits, in a certificate or a key set: 1024, and one bit less."""
        built.register("short", token_endpoint_auth_method="tls_client_auth", tls_client_auth_san_dns="short.example")
        for bits, status in ((1024, 401), (2047, 401), (2048, 200)):
            key = rsa.generate_private_key(65537, bits)
            identity = built.authority.issue("CN=short", dns=["short.example"], key=key)
            answer = built.token_request("short", identity, scope="read")
            assert answer.status == status, (bits, answer)
            n = key.public_key().public_numbers().n
            jwk = {"kty": "RSA", "e": "AQAB", "n": encode(n.to_bytes((bits + 7) // 8))}
            with pytest.raises(InvalidClientMetadata, match="jwks") if status == 401 else contextlib.nullcontext():
                built.register(f"short-{bits}", token_endpoint_auth_method="private_key_jwt", jwks={"keys": [jwk]})


def test_a_client_that_proves_nothing_is_not_registered(built: World) -> None:
    """5.3.2.1: confidential clients alone."""
    with pytest.raises(Exception, match="none is not enabled"):
        built.register("public", token_endpoint_auth_method="none", redirect_uris=["https://p.example/cb"])


def _suites() -> list[str]:
    """Those of TLS 1.2 and before that OpenSSL knows, weak ones too."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    return [str(each["name"]) for each in context.get_ciphers() if each["protocol"] != "TLSv1.3"]


def _entropy(token: str) -> float:
    counts = Counter(token)
    return -sum(count * math.log2(count / len(token)) for count in counts.values())
