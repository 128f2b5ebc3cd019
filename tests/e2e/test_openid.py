"""ID tokens, discovery and subjects, as a client sees them (OpenID Connect Core and Discovery)."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from certbound.app import opened_store
from certbound.core.authentication import digest_of
from certbound.core.errors import InvalidClientMetadata
from certbound.core.openid import half_hash
from certbound.core.ports import SessionRecord
from certbound.server.sessions import SESSION
from e2e.acting import PASSWORD, App, add_account, logged_in, make_app, people_world, subject_logged_in
from e2e.people import Browser, request_url
from e2e.world import RESOURCE, World, free_port


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with people_world(tmp_path_factory.mktemp("openid-connect")) as made:
        yield made


@pytest.fixture(scope="module")
def app(built: World) -> App:
    return make_app(built, "app")


@pytest.fixture(scope="module")
def pairs(built: World) -> list[App]:
    """Two apps of one sector, one of another."""
    made = (("red-1", "red.example"), ("red-2", "red.example"), ("blue", "blue.example"))
    return [make_app(built, name, subject_type="pairwise", redirect_uris=[f"https://{host}/cb"]) for name, host in made]


def decoded(built: World, token: str) -> dict[str, Any]:
    """What the token says, verified by a library with the keys that the server publishes."""
    keys = KeySet.import_key_set(built.ask(f"{built.issuer}/jwks", method="GET").json)
    found = jwt.decode(token, keys, algorithms=["ES256"])
    assert found.header["typ"] == "JWT"
    return dict(found.claims)


def test_an_id_token_says_who_agreed_and_when_they_proved_it(built: World, app: App) -> None:
    """Signed by a published key; for the client, with the nonce, and with the hash of the access token beside it."""
    before = int(time.time())
    tokens = app.tokens(nonce="n-0S6_WzA2Mj", browser=Browser(built))
    claims = decoded(built, tokens["id_token"])
    assert (claims["iss"], claims["aud"], claims["nonce"]) == (built.issuer, "app", "n-0S6_WzA2Mj")
    assert before <= claims["auth_time"] <= claims["iat"] <= time.time() < claims["exp"]
    assert claims["amr"] == ["pwd"]
    assert claims["at_hash"] == half_hash(tokens["access_token"], "ES256")
    assert {"azp", "c_hash", "client_id", "scope", "email"}.isdisjoint(claims)


def test_the_person_is_called_the_same_everywhere(built: World, app: App) -> None:
    """In the ID token, the access token as introspected, and at userinfo."""
    tokens = app.tokens()
    subject = decoded(built, tokens["id_token"])["sub"]
    assert built.introspect(tokens["access_token"], "app", app.identity).json["sub"] == subject
    assert app.userinfo(tokens["access_token"]).json["sub"] == subject


def test_without_the_scope_openid_there_is_no_id_token(app: App) -> None:
    assert "id_token" not in app.tokens(scope="read", nonce="n")


def test_a_refresh_gives_no_new_one(built: World, app: App) -> None:
    """Nobody logged in (Core section 12.2)."""
    tokens = app.tokens()
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    answer = built.post("token", "app", app.identity, **form)
    assert (answer.status, "id_token" in answer.json) == (200, False)


def test_the_time_of_the_login_is_that_of_the_session(built: World, app: App) -> None:
    """Two requests of one browser have one `auth_time` and one `sid`; a login that `max_age` asks for has new ones."""
    browser = logged_in(built)
    first, second = (decoded(built, app.tokens(browser=browser)["id_token"]) for _ in range(2))
    assert (first["auth_time"], first["sid"]) == (second["auth_time"], second["sid"])
    time.sleep(1.1)
    again = decoded(built, app.tokens(browser=browser, max_age="0")["id_token"])
    assert again["auth_time"] > first["auth_time"]
    assert again["sid"] != first["sid"]


def test_an_id_token_opens_nothing(built: World, app: App) -> None:
    """Neither userinfo, nor an API behind the guard; introspection knows no such token, and none can be exchanged."""
    token = app.tokens()["id_token"]
    assert app.userinfo(token).status == 401
    assert built.call_api(token, app.identity).status == 401
    assert built.introspect(token, "app", app.identity).json == {"active": False}


def test_an_id_token_cannot_be_exchanged(built: World, app: App) -> None:
    """RFC 8693: for what was meant to be an access token."""
    exchange = "urn:ietf:params:oauth:grant-type:token-exchange"
    service = make_app(
        built, "service", grant_types=[exchange], redirect_uris=[], protected_resources=[RESOURCE], scope="openid read"
    )
    tokens = app.tokens()
    for kind in ("access_token", "jwt"):
        form = {"grant_type": exchange, "subject_token_type": f"urn:ietf:params:oauth:token-type:{kind}"}
        for name, status in (("id_token", 400), ("access_token", 200)):
            answer = built.post("token", "service", service.identity, subject_token=tokens[name], **form)
            assert answer.status == status, (kind, name, answer)


def test_a_client_may_say_which_algorithm_signs(built: World) -> None:
    """One that the server has; another is refused when it is registered (OpenID Connect Registration section 2)."""
    chosen = make_app(built, "chosen", id_token_signed_response_alg="ES256")
    assert decoded(built, chosen.tokens()["id_token"])["aud"] == "chosen"
    for alg in ("RS256", "none", "HS256"):
        with pytest.raises(InvalidClientMetadata, match="id_token_signed_response_alg"):
            make_app(built, "unsigned", id_token_signed_response_alg=alg)


def test_a_bound_access_token_is_no_hint(built: World, app: App) -> None:
    """Where an ID token is asked for, an access token is refused."""
    tokens = app.tokens()
    assert app.visit(id_token_hint=tokens["access_token"]).members["error"] == "invalid_request"


def test_a_hint_of_another_client_is_refused(built: World, app: App) -> None:
    other = make_app(built, "other-hinted")
    answer = app.visit(id_token_hint=other.tokens()["id_token"], prompt="none")
    assert answer.members["error"] == "invalid_request"


def test_a_hint_names_who_must_be_logged_in(built: World, app: App) -> None:
    """With `prompt=none`: the same person gets a code, nobody or another person is `login_required`."""
    browser = logged_in(built)
    hint = app.tokens(browser=browser)["id_token"]
    assert "code" in app.visit(browser, id_token_hint=hint, prompt="none").members
    assert app.visit(id_token_hint=hint, prompt="none").members["error"] == "login_required"


def test_somebody_else_is_told_so_and_not_whom_the_app_means(built: World, app: App) -> None:
    """The form names nobody; who logs in as another person hears that the app asks for somebody else."""
    hint = app.tokens(browser=logged_in(built))["id_token"]
    add_account(built, "somebody-else")
    other = logged_in(built, "somebody-else")
    page = other.visit(request_url(built, app.request(id_token_hint=hint)))
    assert "somebody-else" not in page.html
    assert "asks for somebody else" not in page.html
    again = other.log_in(page, "somebody-else", PASSWORD)
    assert (again.status, "asks for somebody else" in again.html) == (403, True)
    assert "code" in other.decide(again, "anna", PASSWORD).members


async def kept_of(built: World, browser: Browser) -> SessionRecord:
    """The session of who is logged in there."""
    async with opened_store(built.settings) as store:
        found = await store.sessions.find(digest_of(browser.cookies[SESSION]), now=time.time())
    assert found is not None
    return found


class TestSubjects:
    """Pairwise subjects (Core section 8)."""

    def test_two_sectors_cannot_tell_that_it_is_one_person(self, built: World, app: App, pairs: list[App]) -> None:
        """Within a sector the name is one, and stays; between sectors, and to public clients, it is another."""
        first, second, other = (decoded(built, each.tokens()["id_token"])["sub"] for each in pairs)
        public = decoded(built, app.tokens()["id_token"])["sub"]
        assert first == second
        assert len({first, other, public}) == 3
        assert decoded(built, pairs[0].tokens()["id_token"])["sub"] == first

    def test_a_session_has_another_name_for_each_sector_and_client(
        self, built: World, app: App, pairs: list[App]
    ) -> None:
        """One login of one browser: `sid` is the same within a sector, and nowhere else, nor what is kept."""
        browser = logged_in(built)
        first, second, other = (decoded(built, each.tokens(browser=browser)["id_token"])["sid"] for each in pairs)
        public = [
            decoded(built, each.tokens(browser=browser)["id_token"])["sid"]
            for each in (app, make_app(built, "red.example"))
        ]
        assert first == second
        kept = asyncio.run(kept_of(built, browser)).sid
        assert len({first, other, *public, kept}) == 5

    def test_access_tokens_and_userinfo_say_the_same_pairwise_name(self, built: World, pairs: list[App]) -> None:
        tokens = pairs[2].tokens(scope="openid email")
        subject = decoded(built, tokens["id_token"])["sub"]
        assert built.introspect(tokens["access_token"], "blue", pairs[2].identity).json["sub"] == subject
        assert pairs[2].userinfo(tokens["access_token"]).json == {
            "sub": subject, "email": "anna@example.com", "email_verified": True,
        }  # fmt: skip

    def test_a_pairwise_hint_finds_the_person_again(self, built: World, pairs: list[App]) -> None:
        browser = logged_in(built)
        hint = pairs[2].tokens(browser=browser)["id_token"]
        assert "code" in pairs[2].visit(browser, id_token_hint=hint, prompt="none").members

    def test_refreshed_tokens_keep_the_name(self, built: World, pairs: list[App]) -> None:
        tokens = pairs[0].tokens()
        subject = decoded(built, tokens["id_token"])["sub"]
        form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
        token = built.post("token", "red-1", pairs[0].identity, **form).json["access_token"]
        assert built.introspect(token, "red-1", pairs[0].identity).json["sub"] == subject


class TestDiscovery:
    """OpenID Connect Discovery sections 3 and 4."""

    def test_it_is_the_document_of_rfc_8414(self, built: World) -> None:
        found = [
            built.ask(f"{built.issuer}/.well-known/{name}", method="GET")
            for name in ("openid-configuration", "oauth-authorization-server")
        ]
        assert [each.status for each in found] == [200, 200]
        assert found[0].json == found[1].json
        assert found[0].headers["access-control-allow-origin"] == "*"

    def test_what_discovery_requires_is_there_and_true(self, built: World) -> None:
        document = built.ask(f"{built.issuer}/.well-known/openid-configuration", method="GET").json
        required = {
            "issuer", "authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri",
            "response_types_supported", "subject_types_supported", "id_token_signing_alg_values_supported",
            "scopes_supported", "claims_supported", "end_session_endpoint",
        }  # fmt: skip
        assert required <= document.keys()
        assert document["response_types_supported"] == ["code"]
        assert document["id_token_signing_alg_values_supported"] == ["ES256"]
        assert {"email", "email_verified", "name", "sub"} <= set(document["claims_supported"])
        assert "address" not in document["claims_supported"]
        assert document["mtls_endpoint_aliases"]["userinfo_endpoint"] == f"{built.mtls}/userinfo"
        assert {"end_session_endpoint", "authorization_endpoint"}.isdisjoint(document["mtls_endpoint_aliases"])

    def test_an_issuer_with_a_path_has_it_at_both_spellings(self, tmp_path: Path) -> None:
        """Discovery section 4 puts it behind the path, RFC 8414 section 5 before it; and everything works there."""
        port = free_port()
        realm = {"server__issuer": f"https://localhost:{port}/realm/1", "server__port": port}
        with people_world(tmp_path, **realm) as made:
            host = f"https://localhost:{port}"
            for path in ("/realm/1/.well-known/openid-configuration", "/.well-known/openid-configuration/realm/1"):
                assert made.ask(host + path, method="GET").json["issuer"] == made.issuer
            assert made.ask(f"{host}/.well-known/openid-configuration", method="GET").status == 404
            app = make_app(made, "app", post_logout_redirect_uris=["https://app.example/left"])
            browser = logged_in(made)
            tokens = app.tokens(browser=browser)
            assert decoded(made, tokens["id_token"])["iss"] == made.issuer
            page = browser.send(browser.visit(f"{made.issuer}/logout?client_id=app"))
            assert (page.status, SESSION in browser.cookies) == (200, False)

    def test_the_mutual_tls_host_has_no_pages(self, built: World, app: App) -> None:
        for path in ("/authorize", "/logout", "/account", "/.well-known/openid-configuration"):
            assert built.ask(built.mtls + path, app.identity, method="GET").status == 404


def test_where_openid_connect_is_off_there_is_nothing_of_it(tmp_path: Path) -> None:
    """Neither in the metadata nor behind it; clients act for people all the same."""
    with people_world(tmp_path, login__openid=False, tokens__scopes=["read"]) as made:
        plain = make_app(made, "plain", scope="read")
        document = made.ask(f"{made.issuer}/.well-known/oauth-authorization-server", method="GET").json
        assert {"userinfo_endpoint", "end_session_endpoint", "claims_supported"}.isdisjoint(document)
        for path in ("/userinfo", "/logout", "/.well-known/openid-configuration"):
            assert made.ask(made.issuer + path, method="GET").status == 404
        tokens = plain.tokens(scope="read")
        assert "id_token" not in tokens
        assert made.call_api(tokens["access_token"], plain.identity).status == 200
        assert RESOURCE in str(made.introspect(tokens["access_token"], "plain", plain.identity).json["aud"])


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """Where a login application says who people are, and may say anything."""
    overrides = {"login__accounts": False, "login__url": "https://login.example/", "login__clients": ["login"]}
    with people_world(tmp_path_factory.mktemp("names"), **overrides) as made:
        yield make_app(made, "bank")


class TestNamesOfClients:
    """A person whose subject is a client's id is confused with nobody (RFC 9700 section 4.15)."""

    def test_a_client_that_takes_a_persons_name_ends_what_they_gave(self, bank: App) -> None:
        """Neither a code that was out, nor a refresh token, nor their session gives anything any more."""
        browser, form = subject_logged_in(bank.world, "robot"), {"grant_type": "refresh_token"}
        tokens, code = bank.tokens(browser=browser, scope="openid read"), bank.code(browser=browser)
        assert bank.userinfo(tokens["access_token"]).json == {"sub": "robot"}
        make_app(bank.world, "robot", grant_types=["client_credentials"], redirect_uris=[])
        time.sleep(1)
        assert bank.redeem(code).json["error"] == "invalid_grant"
        refreshed = bank.world.post("token", "bank", bank.identity, refresh_token=tokens["refresh_token"], **form)
        assert refreshed.json["error"] == "invalid_grant"
        assert bank.visit(browser).members["error"] == "access_denied"

    def test_what_a_client_got_for_itself_is_never_a_persons(self, bank: App) -> None:
        """`sub` of its tokens is its id; userinfo knows nobody by it, though a person had that name."""
        machine = make_app(
            bank.world, "lathe", grant_types=["client_credentials"], redirect_uris=[], scope="openid read"
        )
        token = bank.world.token("lathe", machine.identity, scope="openid")
        assert machine.userinfo(token).status == 401
