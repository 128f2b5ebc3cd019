"""What others can make a browser bring: cookies that a sibling host planted, and links whose parameters are no text.

Browsers refuse a cookie named `__Host-` from anybody but the host itself; here is what happens in one that does not.
"""

import re
from collections.abc import Iterator, Sequence

import pytest

from certbound.server.sessions import SESSION, VISIT
from e2e.acting import PASSWORD, App, add_account, logged_in, make_app, people_world
from e2e.people import Browser, Page, request_url
from e2e.world import World


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with people_world(tmp_path_factory.mktemp("planted")) as running:
        add_account(running, "mallory")
        yield running


@pytest.fixture(scope="module")
def app(deployment: World) -> App:
    return make_app(deployment, "app")


@pytest.fixture(scope="module")
def anna(app: App) -> Browser:
    """Somebody who is logged in and has agreed."""
    return agreed(app, "anna")


@pytest.fixture(scope="module")
def mallory(app: App) -> Browser:
    """Who would like anna to be logged in as mallory, or to know her session."""
    return agreed(app, "mallory")


def agreed(app: App, username: str) -> Browser:
    browser = logged_in(app.world, username)
    app.code(browser=browser, username=username)
    browser.visit(request_url(app.world, app.request(prompt="consent")))
    assert set(browser.cookies) == {SESSION, VISIT}
    return browser


def brings(app: App, cookies: Sequence[tuple[str, str]], **parameters: str) -> Page:
    """Where a browser with these cookies, in this order, is sent."""
    url = request_url(app.world, app.request(**parameters))
    header = "; ".join(f"{name}={value}" for name, value in cookies)
    return Page(url, app.world.ask(url, method="GET", headers={"cookie": header}))


def owner(app: App, page: Page) -> str:
    """Whose code it is."""
    answer = app.userinfo(app.redeem(page.members["code"]).json["access_token"])
    return str(answer.json["preferred_username"])


def test_a_cookie_of_a_sibling_host_changes_nothing(app: App, anna: Browser, mallory: Browser) -> None:
    """Whatever it is called, as long as browsers take it from there; before ours or after, and however many."""
    own, theirs = list(anna.cookies.items()), mallory.cookies[SESSION]
    names = (SESSION.removeprefix("__Host-"), SESSION.replace("__Host-", "__Secure-"), SESSION.upper(), f" {SESSION}x")
    asked = {"prompt": "none", "scope": "openid profile read"}
    app.code(browser=anna, scope=asked["scope"])
    for planted in (*([(name, theirs)] for name in names), [(f"n{n}", theirs) for n in range(150)]):
        for cookies in ([*planted, *own], [*own, *planted]):
            assert owner(app, brings(app, cookies, **asked)) == "anna", planted[0]
        assert brings(app, planted, **asked).members["error"] == "login_required", planted[0]


@pytest.mark.parametrize("between", [0, 150])
def test_of_two_of_the_name_that_only_we_may_use_neither_counts(
    app: App, anna: Browser, mallory: Browser, between: int
) -> None:
    """In whichever order, and however many stand between them: nobody is logged in, so nobody is as somebody else."""
    own, theirs = (SESSION, anna.cookies[SESSION]), (SESSION, mallory.cookies[SESSION])
    others = [(f"n{n}", "x") for n in range(between)]
    for cookies in ([own, *others, theirs], [theirs, *others, own]):
        assert brings(app, cookies, prompt="none").members["error"] == "login_required"


def test_who_logs_in_over_a_planted_session_has_another_one_and_the_planted_one_is_over(app: App) -> None:
    """Session fixation: what was known before opens nothing afterwards, and neither with the cookie of the visit."""
    known = agreed(app, "mallory").cookies
    victim = Browser(app.world, dict(known))
    page = victim.visit(request_url(app.world, app.request(prompt="login")))
    victim.log_in(page, "anna", PASSWORD)
    assert victim.cookies[SESSION] != known[SESSION]
    for cookies in (known, {SESSION: known[SESSION], VISIT: victim.cookies[VISIT]}):
        shown = Browser(app.world, dict(cookies)).visit("/account")
        assert "/interaction/" in shown.url, "somebody must log in"
        assert "anna" not in shown.html
    assert "anna" in victim.visit("/account").html


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("client_id=app&state=%ff", "the URL is not application/x-www-form-urlencoded: a parameter is not UTF-8"),
        ("client_id=app&%c3%28=x", "the URL is not application/x-www-form-urlencoded: a parameter is not UTF-8"),
        ("client_id=%ed%a0%80", "the URL is not application/x-www-form-urlencoded: a parameter is not UTF-8"),
        ("client_id=app&" + "&".join(f"a{n}=b" for n in range(64)), "the URL has more than 64 parameters"),
        ("client_id=app&state", "a parameter has no &#39;=&#39;"),
    ],
    ids=["value", "name", "half of a pair", "65", "no value"],
)
def test_parameters_that_cannot_be_read_are_named_on_a_page(app: App, anna: Browser, query: str, named: str) -> None:
    """To the person, in a link and in a form, with the status 400; nobody is sent anywhere."""
    answers = [anna.visit(f"/authorize?{query}").answer]
    headers = {"content-type": "application/x-www-form-urlencoded"}
    url = f"{app.world.issuer}/authorize"
    answers.append(app.world.ask(url, body=query.encode(), headers=headers))
    for answer, where in zip(answers, ("URL", "body"), strict=True):
        assert (answer.status, "location" in answer.headers) == (400, False)
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        said = re.sub(r"\s+", " ", answer.body.decode())
        assert named.replace("URL", where) in said, said[-1500:]


def test_sixty_four_parameters_are_not_too_many(app: App, anna: Browser) -> None:
    """What means nothing is ignored."""
    asked = app.request()
    more = {f"a{n}": "b" for n in range(64 - len(asked))}
    assert "code" in anna.visit(request_url(app.world, {**asked, **more})).members
