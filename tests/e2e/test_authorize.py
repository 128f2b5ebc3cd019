"""The authorization endpoint and its pages over real TLS, with a browser without scripts."""

import asyncio
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from certbound.app import check
from certbound.core.errors import ConfigurationError
from certbound.server.sessions import SESSION, VISIT
from e2e.acting import PASSWORD, App, logged_in, make_app, people_world
from e2e.people import Browser, request_url
from e2e.world import World


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with people_world(tmp_path_factory.mktemp("authorize")) as running:
        yield running


@pytest.fixture(scope="module")
def app(deployment: World) -> App:
    return make_app(deployment, "app", client_name="The App")


@pytest.fixture
def anna(deployment: World, app: App) -> Browser:
    """Somebody who is logged in."""
    browser = logged_in(deployment)
    app.code(browser=browser)
    return browser


def test_a_person_logs_in_and_agrees_and_the_client_redeems_its_code_once_for_a_bound_token(
    deployment: World, app: App
) -> None:
    browser = Browser(deployment)
    page = browser.visit(request_url(deployment, app.request(prompt="consent")))
    assert "The App" in page.html
    page = browser.log_in(page, "anna", PASSWORD)
    assert {VISIT, SESSION} == set(browser.cookies)
    page = browser.send(page, "allow")
    assert (page.status, page.members["state"], page.members["iss"]) == (303, "s", deployment.issuer)
    answer = app.redeem(page.members["code"])
    assert answer.status == 200
    assert deployment.call_api(answer.json["access_token"], app.identity).status == 200
    assert app.redeem(page.members["code"]).json["error"] == "invalid_grant"


def test_every_page_forbids_frames_scripts_and_keeping(deployment: World, app: App) -> None:
    login = Browser(deployment).visit(request_url(deployment, app.request()))
    browser = logged_in(deployment)
    consent = browser.visit(request_url(deployment, app.request(prompt="consent")))
    refusal = browser.visit("/authorize?client_id=nobody")
    form_post = Browser(deployment, dict(browser.cookies)).visit(
        request_url(deployment, app.request(response_mode="form_post", prompt="none", scope="openid read write"))
    )
    for page in (login, consent, refusal, form_post):
        headers = page.answer.headers
        assert headers["content-type"] == "text/html; charset=utf-8"
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert (headers["x-frame-options"], headers["cache-control"]) == ("DENY", "no-store")
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers


def test_what_is_wrong_before_the_client_is_known_is_a_page_that_names_the_request(deployment: World) -> None:
    for query, status in (
        ("", 400),
        ("client_id=nobody", 400),
        ("client_id=app&redirect_uri=https://evil.example/cb", 400),
        ("client_id=app&client_id=app", 400),
        ("client_id", 400),
        ("client_id=%ff", 400),
        ("&".join(f"a{number}=b" for number in range(65)), 400),
    ):
        page = Browser(deployment).visit(f"/authorize?{query}")
        assert page.status == status, query
        assert not page.location
        assert page.answer.headers["x-request-id"] in page.html
        assert "evil" not in page.html


def test_a_state_of_ten_kilobytes_is_refused_with_a_page(deployment: World, app: App) -> None:
    page = Browser(deployment).visit(request_url(deployment, app.request(state="s" * 10_000)))
    assert (page.status, page.location) == (400, "")


def test_a_method_that_a_page_does_not_take_is_refused_with_a_page(deployment: World) -> None:
    answer = deployment.ask(f"{deployment.issuer}/authorize", method="DELETE")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, POST")
    assert answer.headers["content-type"].startswith("text/html")
    preflight = deployment.ask(
        f"{deployment.issuer}/authorize", method="OPTIONS", headers={"origin": "https://x.example"}
    )
    assert preflight.status == 405
    assert not [name for name in preflight.headers if name.startswith("access-control")]


def test_no_page_stands_on_the_host_that_asks_for_certificates(deployment: World, app: App) -> None:
    for path in ("/authorize", "/interaction/x", "/account", "/logout", "/device"):
        assert deployment.ask(deployment.mtls + path, method="GET").status == 404
        assert deployment.ask(deployment.mtls + path, app.identity, method="GET").status == 404


def test_the_metadata_says_where_people_are_sent_and_gives_it_no_alias(deployment: World) -> None:
    for name in ("oauth-authorization-server", "openid-configuration"):
        found = deployment.ask(f"{deployment.issuer}/.well-known/{name}", method="GET").json
        assert found["authorization_endpoint"] == deployment.issuer + "/authorize"
        assert "authorization_code" in found["grant_types_supported"]
        assert found["authorization_response_iss_parameter_supported"] is True
        assert found["ui_locales_supported"] == ["cs", "en"]
        assert "authorization_endpoint" not in found["mtls_endpoint_aliases"]
        assert found["mtls_endpoint_aliases"]["pushed_authorization_request_endpoint"] == deployment.mtls + "/par"


def test_a_form_that_another_site_posts_to_the_endpoint_finds_whoever_is_logged_in(
    deployment: World, app: App, anna: Browser
) -> None:
    """Such a form brings no cookies (SameSite=Lax), so the browser comes back for it with them."""
    without = Browser(deployment)
    first = deployment.ask(
        f"{deployment.issuer}/authorize", form=app.request(), headers={"origin": "https://app.example"}
    )  # fmt: skip
    assert first.status == 303
    assert "set-cookie" not in first.headers
    assert "code" in anna.visit(first.headers["location"]).members
    assert "password" in without.visit(request_url(deployment, app.request())).html


def test_a_login_or_a_consent_that_another_site_posts_does_nothing(deployment: World, app: App) -> None:
    browser = Browser(deployment)
    login = browser.visit(request_url(deployment, app.request(prompt="consent")))
    stolen = {"username": "anna", "password": PASSWORD, "action": "login"}
    for form, headers in (
        (stolen, {}),
        ({**stolen, "form_token": "A" * 43}, {}),
        ({**login.form.fields, **stolen}, {"origin": "https://evil.example"}),
        ({**login.form.fields, **stolen}, {"sec_fetch_site": "cross-site"}),
    ):
        refused = browser.post(login.url, form, **headers)
        assert (refused.status, SESSION in browser.cookies) == (403, False)
        assert refused.answer.headers["content-type"].startswith("text/html")
    browser = logged_in(deployment)
    consent = browser.visit(request_url(deployment, app.request(prompt="consent")))
    refused = browser.post(consent.url, {**consent.form.fields, "action": "allow"}, origin="https://evil.example")
    assert (refused.status, refused.location) == (403, "")


def test_a_request_that_waits_is_nothing_to_another_browser(deployment: World, app: App, anna: Browser) -> None:
    browser = Browser(deployment)
    page = browser.visit(request_url(deployment, app.request()))
    assert anna.visit(page.url).status == 403
    assert Browser(deployment).visit(page.url).status == 403
    assert browser.visit(page.url).status == 200


def test_a_session_cookie_that_somebody_planted_or_sent_twice_logs_nobody_in(
    deployment: World, app: App, anna: Browser
) -> None:
    url = request_url(deployment, app.request(prompt="none"))
    own = anna.cookies[SESSION]
    assert "code" in anna.visit(url).members
    for cookies in ({SESSION: "A" * 43}, {SESSION: f"{own}; {SESSION}={'A' * 43}"}, {SESSION[7:]: own}):
        assert Browser(deployment, cookies).visit(url).members["error"] == "login_required"
    planted = Browser(deployment, {SESSION: "A" * 43})
    app.code(browser=planted, prompt="login")
    assert planted.cookies[SESSION] != "A" * 43


def test_an_answer_names_the_issuer_and_a_code_is_nothing_to_another_client(deployment: World, app: App) -> None:
    """Mix-up (RFC 9207): whoever got an answer can tell from whom, and whoever took a code cannot use it."""
    other = make_app(deployment, "other")
    told = logged_in(deployment).visit(request_url(deployment, app.request(client_id="other", prompt="none"))).members
    assert (told["error"], told["iss"]) == ("consent_required", deployment.issuer)
    code = app.code()
    assert other.redeem(code, code_verifier=app.verifier).json["error"] == "invalid_grant"
    assert app.redeem(code).status == 200


def test_the_audit_says_who_let_which_client_do_what_and_nothing_secret(
    deployment: World, app: App, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "certbound.audit"):
        browser = Browser(deployment)
        code = app.code(browser=browser, prompt="consent")
        Browser(deployment).visit(request_url(deployment, app.request(prompt="none")))
        Browser(deployment).visit("/authorize?client_id=nobody")
    lines = [record.getMessage() for record in caplog.records if record.name == "certbound.audit"]
    assert any(re.search("interaction done: .*client app.*grant .*scope openid read", line) for line in lines), lines
    assert any("authorization refused" in line and "login_required" in line for line in lines), lines
    assert any("authorization refused" in line and "client nobody" in line for line in lines), lines
    assert len(lines) == 5, lines  # two of the login and these three; a page that asks something decides nothing
    for secret in (code, PASSWORD, *browser.cookies.values(), app.verifier):
        assert not [line for line in lines if secret in line]


def test_where_nobody_logs_in_there_is_no_page_and_no_client_that_could_need_one(tmp_path: Path) -> None:
    with people_world(tmp_path, login__accounts=False) as running:
        for path in ("/authorize", "/interaction/x", "/account", "/logout", "/device", "/par", "/userinfo"):
            assert running.ask(running.issuer + path, form={}).status == 404
        metadata = running.ask(f"{running.issuer}/.well-known/oauth-authorization-server", method="GET").json
        assert "authorization_code" not in metadata["grant_types_supported"]
        with pytest.raises(Exception, match="authorization_code"):
            make_app(running, "app")


def test_a_translation_that_cannot_be_read_stops_the_start_and_names_itself(deployment: World, tmp_path: Path) -> None:
    (tmp_path / "de.toml").write_text('[login]\nnonsense = "Unsinn"\n')
    login = msgspec.structs.replace(deployment.settings.login, locales=tmp_path)
    with pytest.raises(ConfigurationError, match=r"login\.locales: .*de\.toml.*nonsense"):
        asyncio.run(check(msgspec.structs.replace(deployment.settings, login=login)))


def test_head_asks_for_no_page_and_changes_nothing(deployment: World, app: App, anna: Browser) -> None:
    """A HEAD of a page would give a code that nobody reads, or log out."""
    for path in (request_url(deployment, app.request()), f"{deployment.issuer}/logout", f"{deployment.issuer}/account"):
        answer = deployment.ask(path, method="HEAD", headers={"Cookie": cookies_of(anna)})
        assert answer.status == 405, path
    assert "code" in anna.visit(request_url(deployment, app.request())).members


def cookies_of(browser: Browser) -> str:
    return "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
