"""The person's own page: which clients act for them, with what, and the way out."""

import asyncio
import html
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from argon2 import PasswordHasher
from cryptography import x509
from cryptography.x509.oid import NameOID

from certbound.app import open_registry, opened_store
from certbound.core.jws import unverified_claims
from certbound.server.accounts import AccountBook
from certbound.server.directory import NEWS
from certbound.server.passwords import Passwords
from e2e.acting import PASSWORD, App, add_account, make_app, people_world
from e2e.people import Browser, Page, request_url
from e2e.world import World, self_signed
from speed import wall


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with people_world(tmp_path_factory.mktemp("account")) as built:
        add_account(built, "bert")
        yield built


@pytest.fixture(scope="module")
def app(people: World) -> App:
    return make_app(people, "bank", client_name="Bank <b>of</b> \u202eAnna")


def own_page(browser: Browser, username: str = "anna") -> Page:
    """Logged in if need be."""
    page = browser.visit("/account")
    if "password" in page.form.fields:
        page = browser.log_in(page, username, PASSWORD)
    assert page.status == 200, page
    return page


def press(browser: Browser, page: Page, button: str, /, **changes: str) -> Page:
    """Of whichever form has it."""
    form = next(each for each in page.forms if ("action", button) in each.buttons)
    return browser.post(page.url, {**form.fields, "action": button, **changes})


def test_who_is_not_logged_in_logs_in_first(people: World) -> None:
    """And comes back to the page."""
    browser = Browser(people)
    page = browser.visit("/account")
    assert "/interaction/" in page.url
    page = browser.log_in(page, "anna", PASSWORD)
    assert page.url == people.issuer + "/account"
    assert "anna" in page.html


def test_a_client_stands_there_until_it_is_withdrawn(people: World, app: App) -> None:
    """With its name, scope, certificate and last use; then consent, refresh token and access token end at once."""
    browser = Browser(people)
    tokens = app.tokens(browser=browser)
    page = own_page(browser)
    assert html.escape("Bank <b>of</b>") in page.html
    assert "\u202e" not in page.html
    assert "CN=bank" in page.html
    today = time.strftime("%Y-%m-%d", time.gmtime())
    assert page.html.count(f'datetime="{today}"') == 2, "since when, and the last use"
    assert "withdraw" in dict(page.forms[0].buttons).values()
    assert page.forms[0].fields["client_id"] == "bank"
    token, refresh = str(tokens["access_token"]), str(tokens["refresh_token"])
    assert people.introspect(token, "bank", app.identity).json["active"] is True

    page = press(browser, page, "withdraw")
    assert page.status == 200
    assert "Bank" not in page.html
    assert people.introspect(token, "bank", app.identity).json["active"] is False
    form = {"grant_type": "refresh_token", "refresh_token": refresh}
    assert people.post("token", "bank", app.identity, **form).json["error"] == "invalid_grant"
    asked_again = browser.visit(request_url(people, app.request()))
    assert ("action", "allow") in asked_again.form.buttons


def test_the_name_in_a_certificate_is_shown_and_neither_runs_nor_turns_the_page(people: World) -> None:
    """Markup, direction, escapes of a terminal, line ends and joiners: written out, on one line, and bounded."""
    odd = "<script>x</script>\u202egnp\u2066\x1b[31m\r\n\u200d&amp;\u0301"
    names = [x509.NameAttribute(NameOID.COMMON_NAME, odd), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "W" * 9)]
    identity = self_signed(x509.Name(names))
    client = App(people, "odd", identity)
    grants = {"grant_types": ["authorization_code", "refresh_token"], "redirect_uris": [client.redirect_uri]}
    people.register_self_signed("odd", identity, **grants, scope="openid read")
    browser = Browser(people)
    client.tokens(browser=browser)
    page = own_page(browser)
    [form] = [each for each in page.forms if each.fields.get("client_id") == "odd"]
    assert form.action in ("", "/account", f"{people.issuer}/account"), "nothing before it changed the form"
    assert "<script>x" not in page.html
    assert (
        html.escape("\\<script\\>x\\</script\\>\\E2\\80\\AEgnp\\E2\\81\\A6\\1B[31m\\0D\\0A\\E2\\80\\8D&amp")
        in page.html
    )
    shown = page.html
    for ours in ("\u2068", "\u2069"):  # isolates that stand around names
        shown = shown.replace(ours, "")
    assert not re.search("[\u200b-\u200f\u202a-\u202e\u2066-\u2069\x00-\x09\x0b-\x1f\x7f]", shown)


def test_nobody_withdraws_for_another(people: World, app: App) -> None:
    """Whatever the form says; what another person's form token opens is nothing."""
    annas, berts = Browser(people), Browser(people)
    token = str(app.tokens(browser=annas)["access_token"])
    annas_page, berts_page = own_page(annas), own_page(berts, "bert")
    assert press(berts, berts_page, "log_out", action="withdraw", client_id="bank").status == 200
    stolen = annas_page.forms[0].fields
    assert berts.post(annas_page.url, {**stolen, "action": "withdraw"}).status == 403
    for headers in ({"origin": "https://evil.example"}, {"sec_fetch_site": "cross-site"}):
        assert annas.post(annas_page.url, {**stolen, "action": "withdraw"}, **headers).status == 403
    assert annas.post(annas_page.url, {"action": "withdraw", "client_id": "bank"}).status == 403
    assert people.introspect(token, "bank", app.identity).json["active"] is True


def test_log_out(people: World) -> None:
    """The session is over, also for who kept its cookie."""
    browser = Browser(people)
    page = own_page(browser)
    kept = dict(browser.cookies)
    left = press(browser, page, "log_out")
    assert left.status == 200
    assert left.answer.headers["cache-control"] == "no-store"
    browser.cookies = kept
    assert "/interaction/" in browser.visit("/account").url


def test_another_person_at_the_same_browser(people: World) -> None:
    """What stands in a page of the one before opens nothing for the next."""
    browser = Browser(people)
    before = own_page(browser)
    press(browser, before, "log_out")
    own_page(browser, "bert")
    assert press(browser, before, "log_out").status == 403


def test_what_the_form_does_not_say(people: World) -> None:
    """Is a refusal with a page, never a failure."""
    browser = Browser(people)
    page = own_page(browser)
    assert press(browser, page, "log_out", action="delete").status == 400
    assert press(browser, page, "log_out", action="withdraw").status == 400
    for odd in ("nobody", "\0", "\ud7ff" * 500, "' OR 1=1 --"):
        assert press(browser, page, "log_out", action="withdraw", client_id=odd).status == 200
    assert browser.visit("/account?action=withdraw&client_id=bank").status == 200


def test_the_page_is_on_the_issuers_host_alone(people: World) -> None:
    """The host that asks for certificates has no pages."""
    assert people.ask(f"{people.mtls}/account", method="GET").status == 404


def test_a_client_that_is_gone(people: World) -> None:
    """Stands there no more, or by its id, and what it was let do can be withdrawn."""
    gone = make_app(people, "short-lived", client_name="Short")
    browser = Browser(people)
    gone.tokens(browser=browser)

    async def remove() -> None:
        async with open_registry(people.settings) as registry:
            assert await registry.remove("short-lived")

    asyncio.run(remove())
    time.sleep(2 * NEWS)
    page = own_page(browser)
    for form in page.forms:
        if form.fields.get("client_id") == "short-lived":
            page = browser.post(page.url, {**form.fields, "action": "withdraw"})
    assert page.status == 200
    assert "short-lived" not in page.html


def test_who_is_locked_out_is_out_everywhere(people: World) -> None:
    """By the command, while the server runs: the browser, the refresh token and the access token, within a second."""
    carl, app = add_account(people, "carl"), make_app(people, "reader")
    browser = Browser(people)
    tokens = app.tokens(browser=browser, username="carl")
    token, refresh = str(tokens["access_token"]), str(tokens["refresh_token"])
    assert unverified_claims(token)["sub"] == carl.subject
    assert "withdraw" in own_page(browser).html

    change(people, lambda book: book.switch("Carl", enabled=False))
    latest = time.monotonic() + wall(1)
    while people.introspect(token, "reader", app.identity).json["active"]:
        assert time.monotonic() < latest
        time.sleep(0.05)
    form = {"grant_type": "refresh_token", "refresh_token": refresh}
    assert people.post("token", "reader", app.identity, **form).json["error"] == "invalid_grant"
    page = browser.visit("/account")
    assert "/interaction/" in page.url
    assert browser.log_in(page, "carl", PASSWORD).status == 403

    change(people, lambda book: book.switch("carl", enabled=True))
    assert people.post("token", "reader", app.identity, **form).json["error"] == "invalid_grant"
    assert "withdraw" in own_page(browser, "carl").html


def test_a_new_password_ends_sessions_and_nothing_else(people: World) -> None:
    """Also a session that somebody stole; the app goes on."""
    add_account(people, "dora")
    app, browser = make_app(people, "writer"), Browser(people)
    tokens = app.tokens(browser=browser, username="dora")
    change(people, lambda book: book.set_password("dora", "another horse"))
    page = browser.visit("/account")
    assert "/interaction/" in page.url
    page = browser.log_in(page, "dora", PASSWORD)
    assert page.status == 403
    assert browser.log_in(page, "dora", "another horse").status == 200
    form = {"grant_type": "refresh_token", "refresh_token": str(tokens["refresh_token"])}
    assert people.post("token", "writer", app.identity, **form).status == 200


def change(people: World, what: Callable[[AccountBook], Awaitable[Any]]) -> None:
    """As the command does, in another process than the server as far as that can tell."""

    async def go() -> None:
        cheap = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        async with opened_store(people.settings) as store:
            assert await what(AccountBook(store, time.time, "test", cheap)) is not None

    asyncio.run(go())
