"""Clients send people here who want to leave (OpenID Connect RP-Initiated Logout 1.0)."""

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from certbound.server.sessions import SESSION
from e2e.acting import App, logged_in, make_app, people_world
from e2e.people import Browser, Page
from e2e.world import World

BACK = "https://app.example/left?a=b"
LOOPBACK = "http://127.0.0.1/left"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with people_world(tmp_path_factory.mktemp("logout")) as made:
        yield made


@pytest.fixture(scope="module")
def app(built: World) -> App:
    return make_app(built, "app", post_logout_redirect_uris=[BACK, LOOPBACK], client_name="The App")


@pytest.fixture
def browser(built: World) -> Browser:
    """Anna is logged in there."""
    return logged_in(built)


@pytest.fixture
def hint(app: App, browser: Browser) -> str:
    """The ID token of a login in this browser."""
    return str(app.tokens(browser=browser)["id_token"])


def leave(browser: Browser, **asked: str) -> Page:
    return browser.visit(f"{browser.world.issuer}/logout?{urlencode(asked)}")


def is_logged_in(app: App, browser: Browser) -> bool:
    """Whether a client gets a code without anybody being asked."""
    members = app.visit(browser, prompt="none").members
    assert members.get("error") in {None, "login_required"}, members
    return "code" in members


def test_with_the_id_token_of_the_session_it_ends_at_once(app: App, browser: Browser, hint: str) -> None:
    """And the browser goes where the client registered, with its state and whatever stood in the query."""
    assert is_logged_in(app, browser)
    page = leave(browser, id_token_hint=hint, post_logout_redirect_uri=BACK, state="x&y")
    assert (page.status, page.location) == (303, "https://app.example/left?a=b&state=x%26y")
    assert not is_logged_in(app, browser)
    assert SESSION not in browser.cookies


def test_without_state_the_address_is_as_registered(browser: Browser, hint: str) -> None:
    assert leave(browser, id_token_hint=hint, post_logout_redirect_uri=BACK).location == BACK


def test_the_cookie_is_worth_nothing_afterwards(app: App, browser: Browser, hint: str) -> None:
    """The session is gone, not only the browser's memory of it."""
    cookies = dict(browser.cookies)
    leave(browser, id_token_hint=hint)
    assert not is_logged_in(app, Browser(app.world, cookies))


def test_without_a_hint_the_person_is_asked(app: App, browser: Browser, hint: str) -> None:
    """By a page that names the client; nothing happens until they say so."""
    page = leave(browser, client_id="app", post_logout_redirect_uri=BACK, state="s")
    assert (page.status, page.location) == (200, "")
    assert "The App" in page.html
    assert is_logged_in(app, browser)
    gone = browser.send(page)
    assert gone.location == f"{BACK}&state=s"
    assert not is_logged_in(app, browser)


def test_a_person_may_come_alone(app: App, browser: Browser, hint: str) -> None:
    """Without any parameter: asked, then told."""
    gone = browser.send(leave(browser))
    assert (gone.status, gone.location) == (200, "")
    assert not is_logged_in(app, browser)


@pytest.mark.parametrize("which", ["of an older session", "of another person's browser", "access token", "garbage"])
def test_any_other_hint_is_as_none(app: App, browser: Browser, hint: str, which: str) -> None:
    """Nobody is logged out by an ID token of long ago, and nobody by somebody else's."""
    if which == "of an older session":
        browser.cookies.update(logged_in(app.world).cookies)
    else:
        hint = {
            "of another person's browser": lambda: str(app.tokens()["id_token"]),
            "access token": lambda: str(app.tokens(browser=browser)["access_token"]),
            "garbage": lambda: "x.y.z",
        }[which]()
    page = leave(browser, id_token_hint=hint)
    assert (page.status, page.location) == (200, "")
    assert is_logged_in(app, browser)
    browser.send(page)
    assert not is_logged_in(app, browser)


def test_nobody_is_there_to_log_out(built: World, app: App) -> None:
    """The way back is the same; without one there is a page."""
    browser = Browser(built)
    assert leave(browser, client_id="app", post_logout_redirect_uri=BACK, state="s").location == f"{BACK}&state=s"
    assert (leave(browser).status, leave(browser).location) == (200, "")


@pytest.mark.parametrize(
    "asked",
    [
        {"post_logout_redirect_uri": "https://evil.example/"},
        {"post_logout_redirect_uri": BACK},
        {"client_id": "app", "post_logout_redirect_uri": "https://evil.example/"},
        {"client_id": "app", "post_logout_redirect_uri": f"{BACK}#x"},
        {"client_id": "app", "post_logout_redirect_uri": "https://app.example/left"},
        {"client_id": "app", "post_logout_redirect_uri": "https://app.example/cb"},
        {"client_id": "app", "post_logout_redirect_uri": "http://127.0.0.1:8080/left"},
        {"client_id": "nobody", "post_logout_redirect_uri": BACK},
        {"client_id": "nobody"},
        {"client_id": "app", "post_logout_redirect_uri": BACK, "state": "s" * 2049},
        {"post_logout_redirect_uri": BACK, "id_token_hint": "x.y.z"},
    ],
)
def test_nobody_is_sent_where_the_client_did_not_register(
    app: App, browser: Browser, hint: str, asked: dict[str, str]
) -> None:
    """No open redirect; what is wrong is shown, and the session stays."""
    page = leave(browser, **asked)
    assert (page.status, page.location) == (400, "")
    assert "evil" not in page.html
    assert is_logged_in(app, browser)


def test_a_hint_of_one_client_does_not_go_with_the_name_of_another(built: World, browser: Browser, hint: str) -> None:
    make_app(built, "elsewhere", post_logout_redirect_uris=["https://elsewhere.example/"])
    asked = {"client_id": "elsewhere", "post_logout_redirect_uri": "https://elsewhere.example/"}
    assert leave(browser, id_token_hint=hint, **asked).status == 400


def test_a_client_that_is_disabled_sends_nobody_anywhere(built: World) -> None:
    """Neither by its name nor by an ID token that it got before; the person may leave all the same."""
    gone = make_app(built, "gone", post_logout_redirect_uris=[BACK])
    browser = logged_in(built)
    hint = gone.tokens(browser=browser)["id_token"]
    built.update("gone", enabled=False)
    time.sleep(1)
    for asked in ({"client_id": "gone"}, {"id_token_hint": hint, "post_logout_redirect_uri": BACK}):
        assert leave(browser, **asked).status == 400
    page = leave(browser, id_token_hint=hint)
    assert (page.status, browser.send(page).status, browser.cookies.keys() & {SESSION}) == (200, 200, set())


def test_another_site_logs_nobody_out(app: App, browser: Browser, hint: str) -> None:
    """A form of another site, with or without a token it made up; a form that was shown to the session before."""
    url = f"{app.world.issuer}/logout"
    shown = leave(browser).form.fields["form_token"]
    for headers in (
        {"origin": "https://evil.example", "sec_fetch_site": "cross-site"},
        {"origin": "null", "sec_fetch_site": "cross-site"},
        {"origin": app.world.issuer, "sec_fetch_site": "same-site"},
    ):
        assert browser.post(url, {"form_token": shown, "action": "log_out"}, **headers).status == 403
    assert browser.post(url, {"form_token": "made-up", "action": "log_out"}).status == 403
    browser.cookies.update(logged_in(app.world).cookies)
    assert browser.post(url, {"form_token": shown, "action": "log_out"}).status == 403
    assert is_logged_in(app, browser)


def test_a_client_may_post(app: App, browser: Browser, hint: str) -> None:
    """Browsers keep our cookies from a form of another site, so the browser comes again with them (section 2)."""
    asked = {"id_token_hint": hint, "post_logout_redirect_uri": BACK, "state": "s"}
    foreign = {"origin": "https://app.example", "sec-fetch-site": "cross-site"}
    first = app.world.ask(f"{app.world.issuer}/logout", form=asked, headers=foreign)
    assert first.status == 303
    assert browser.visit(first.headers["location"]).location == f"{BACK}&state=s"
    assert not is_logged_in(app, browser)


@pytest.mark.parametrize("form", [{"form_token": "x", "action": "log_out"}, {}], ids=["with a token", "empty"])
def test_what_another_site_posts_logs_nobody_out_and_says_nothing_else(
    app: App, browser: Browser, hint: str, form: dict[str, str]
) -> None:
    """Without cookies nobody is known, whatever stands in the form: the browser comes again and the person is asked."""
    foreign = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
    first = app.world.ask(f"{app.world.issuer}/logout?client_id=app", form=form, method="POST", headers=foreign)
    assert first.status == 303
    page = browser.visit(first.headers["location"])
    assert "The App" in page.html
    assert is_logged_in(app, browser)
    browser.send(page)
    assert not is_logged_in(app, browser)


def test_a_hint_counts_when_it_has_ended_and_a_pairwise_one_is_understood(built: World, browser: Browser) -> None:
    """Section 2: also when its time has passed; here of a client that knows the person by another name."""
    pairs = make_app(
        built, "pairs", subject_type="pairwise", redirect_uris=["https://pairs.example/cb"],
        post_logout_redirect_uris=["https://pairs.example/left"],
    )  # fmt: skip
    hint: Any = pairs.tokens(browser=browser)["id_token"]
    page = leave(browser, id_token_hint=hint, post_logout_redirect_uri="https://pairs.example/left")
    assert page.location == "https://pairs.example/left"


def test_tokens_outlive_the_session(app: App, browser: Browser) -> None:
    """A person who wants to end those withdraws the consent."""
    tokens = app.tokens(browser=browser)
    leave(browser, id_token_hint=tokens["id_token"])
    assert app.userinfo(tokens["access_token"]).status == 200
