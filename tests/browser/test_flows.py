"""People in Chromium, against a whole deployment over TLS: they log in, decide, and the app has what they allowed."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Response

from browser.walking import (
    DEVICE_GRANT,
    HOSTS,
    arrived,
    asked_by_device,
    evil,
    forged,
    heading,
    link,
    log_in,
    polled,
    press,
)
from browser.watched import Site, site, tab
from e2e.acting import PASSWORD, App, make_app
from e2e.world import Answer, World

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


@pytest.fixture(scope="module")
def callback() -> Iterator[Site]:
    """Where the app is sent its answers, without certificates or TLS: a loopback address."""
    with site() as running:
        yield running


@pytest.fixture(scope="module")
def app(people: World, callback: Site) -> App:
    return make_app(
        people,
        "printer",
        client_name="Photo Printer",
        tls_client_certificate_bound_access_tokens=True,
        redirect_uris=[f"{callback.url}/cb"],
        post_logout_redirect_uris=[f"{callback.url}/bye"],
    )


@pytest.fixture(scope="module")
def television(people: World) -> App:
    grants = [DEVICE_GRANT, "refresh_token"]
    return make_app(people, "tv", client_name="Living room TV", grant_types=grants, redirect_uris=[])


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """One of a browser that nobody used before; it runs no scripts."""
    async with tab(browser) as opened:
        yield opened


def redeemed(app: App, told: Mapping[str, str]) -> Mapping[str, Any]:
    answer = app.redeem(told["code"])
    assert 200 == answer.status, answer
    found: Mapping[str, Any] = answer.json
    return found


def refreshed(app: App, token: str) -> Answer:
    return app.world.post("token", app.client_id, app.identity, grant_type="refresh_token", refresh_token=token)


async def test_a_person_logs_in_and_allows_and_the_app_has_tokens(page: Page, people: World, callback: Site) -> None:
    """The first time by two pages; then by none, since the person is known and agreed."""
    uris = [f"{callback.url}/cb"]
    app = await asyncio.to_thread(make_app, people, "first", client_name="Camera", redirect_uris=uris)
    await page.goto(link(app))
    assert "Log in" == await heading(page)
    assert "to go on to Camera" in await page.inner_text("main")
    await log_in(page)
    assert "Camera asks for access" == (await heading(page)).replace("\n", " ")
    assert "127.0.0.1" in await page.inner_text("main")
    await press(page, "Allow")
    told = await arrived(page, callback)
    assert {"code", "state", "iss"} == told.keys()
    assert ("s", app.world.issuer) == (told["state"], told["iss"])
    tokens = redeemed(app, told)
    assert 200 == app.userinfo(tokens["access_token"]).status
    assert 200 == refreshed(app, tokens["refresh_token"]).status
    await page.goto(link(app, state="again"))
    assert "again" == (await arrived(page, callback))["state"]


async def test_the_app_is_told_nothing_of_our_pages_but_the_answer(page: Page, app: App, callback: Site) -> None:
    await page.goto(link(app, state="secret", prompt="consent"))
    await log_in(page)
    await press(page, "Allow")
    await arrived(page, callback)
    _, _, _, headers = next(call for call in reversed(callback.calls) if call[1] == "/cb")
    assert not {"referer", "cookie", "origin"} & headers.keys()


async def test_a_wrong_password_says_so_and_the_next_may_be_right(page: Page, app: App, callback: Site) -> None:
    await page.goto(link(app, prompt="consent"))
    await log_in(page, "not the password")
    assert "The username or the password is wrong." == await page.get_by_role("alert").inner_text()
    assert (await page.title()).startswith("Error: ")
    assert "anna" == await page.get_by_label("Username").input_value()
    assert "password" == await page.evaluate("document.activeElement.name")
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press("Enter")
    await press(page, "Allow")
    assert "code" in await arrived(page, callback)


async def test_a_person_who_says_no_is_believed(page: Page, app: App, callback: Site) -> None:
    await page.goto(link(app, prompt="consent"))
    await log_in(page)
    await press(page, "Deny")
    told = await arrived(page, callback)
    assert "access_denied" == told["error"]
    assert "code" not in told


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
async def test_an_answer_is_posted_with_a_script_or_by_a_button(
    browser: Browser, app: App, callback: Site, scripts: bool
) -> None:
    """And the app learns from whom it comes."""
    async with tab(browser, java_script_enabled=scripts) as page:
        await page.goto(link(app, response_mode="form_post", prompt="consent", state='"><b>'))
        await log_in(page)
        await press(page, "Allow")
        if not scripts:
            assert "Back to Photo Printer" == await heading(page)
            await press(page, "Continue")
        told = await arrived(page, callback)
        assert '"><b>' == told["state"]
        assert "access_token" in redeemed(app, told)
        method, _, _, headers = next(call for call in reversed(callback.calls) if call[1] == "/cb")
        assert "POST" == method
        assert "cookie" not in headers
        assert headers.get("origin") in {"null", app.world.issuer}  # to http nothing is told


async def test_an_answer_in_the_fragment_reaches_the_page_and_not_its_server(
    page: Page, app: App, callback: Site
) -> None:
    await page.goto(link(app, response_mode="fragment", prompt="consent"))
    await log_in(page)
    await press(page, "Allow")
    await page.wait_for_url(f"{callback.url}/cb#code=*")
    assert {} == callback.called("/cb")


async def test_an_app_may_send_the_person_on_to_wherever_it_likes(
    page: Page, people: World, callback: Site, app: App
) -> None:
    """A broker does.  Chromium holds `form-action` against the whole way that begins with a form."""
    with site("localhost") as beyond:
        callback.redirects["/cb"] = f"{beyond.url}/end"
        try:
            await page.goto(link(app, prompt="consent"))
            await log_in(page)
            await press(page, "Allow")
            await page.wait_for_url(f"{beyond.url}/end")
        finally:
            del callback.redirects["/cb"]


async def test_an_app_with_a_scheme_of_its_own_is_called_by_it(page: Page, people: World) -> None:
    own = await asyncio.to_thread(make_app, people, "native", redirect_uris=["com.example.app:/cb"])
    await page.goto(link(own))
    await log_in(page)
    assert "com.example.app" in await page.inner_text("main")
    async with page.expect_response(lambda each: each.request.method == "POST") as decided:
        await press(page, "Allow")
    scheme, _, query = (await (await decided.value).header_value("location") or "").partition("?")
    told = dict(parse_qsl(query))
    assert ("com.example.app:/cb", "s", people.issuer) == (scheme, told["state"], told["iss"])
    assert "access_token" in redeemed(own, told)


async def test_a_request_that_cannot_be_answered_is_shown_in_the_language_of_the_browser(
    browser: Browser, app: App, callback: Site
) -> None:
    async with tab(browser, locale="cs-CZ") as page:
        response = await page.goto(link(app, redirect_uri="https://evil.example/cb"))
        assert response
        assert 400 == response.status
        assert "Tohle se nepodařilo" == await heading(page)
        assert "redirect_uri" in await page.inner_text("main")
        await page.goto(link(app, ui_locales="en"))
        assert "Log in" == await heading(page)


async def test_going_back_after_the_answer_gives_no_second_one(page: Page, app: App, callback: Site) -> None:
    await page.goto(link(app, prompt="consent"))
    await log_in(page)
    await press(page, "Allow")
    await arrived(page, callback)
    told = [path for _, path, _, _ in callback.calls].count("/cb")
    await page.go_back()
    assert "This did not work" == await heading(page)
    assert told == [path for _, path, _, _ in callback.calls].count("/cb")


async def test_cookies_are_for_this_host_alone_and_no_script_reads_them(browser: Browser, app: App) -> None:
    async with tab(browser, java_script_enabled=True) as page:
        await page.goto(link(app, prompt="consent"))
        await log_in(page)
        cookies = await page.context.cookies()
        assert {"__Host-certbound-visit", "__Host-certbound-session"} == {each["name"] for each in cookies}
        for each in cookies:
            assert each["secure"]
            assert each["httpOnly"]
            assert ("Lax", "/", "localhost") == (each["sameSite"], each["path"], each["domain"])
        assert "" == await page.evaluate("document.cookie")


class TestForgedForms:
    """Of an attacker who knows the address of the page, from another site and from one of the same."""

    @HOSTS
    async def test_no_form_of_others_decides_anything(
        self, page: Page, people: World, app: App, callback: Site, host: str
    ) -> None:
        await page.goto(link(app, prompt="consent"))
        await log_in(page)
        target = page.url
        with evil(people, host) as attacker:
            for action in ("allow", "deny"):
                attacker.pages["/"] = forged(target, form_token="x", action=action)
                refused = await sent(page, attacker, target)
                assert 403 == refused.status
            attacker.pages["/"] = forged(target, form_token="x", action="login", username="mallory", password=PASSWORD)
            assert 403 == (await sent(page, attacker, target)).status
        await page.goto(target)
        await press(page, "Deny")  # it waits still, for the person
        assert "access_denied" == (await arrived(page, callback))["error"]

    @HOSTS
    async def test_no_form_of_others_withdraws_or_logs_out(
        self, page: Page, people: World, app: App, callback: Site, host: str
    ) -> None:
        await page.goto(link(app, prompt="consent"))
        await log_in(page)
        await press(page, "Allow")
        tokens = redeemed(app, await arrived(page, callback))
        account = f"{people.issuer}/account"
        with evil(people, host) as attacker:
            for said in ({"action": "withdraw", "client_id": app.client_id}, {"action": "log_out"}):
                attacker.pages["/"] = forged(account, form_token="x", **said)
                answer = await sent(page, attacker, account)
                assert answer.status == 403 or "/interaction/" in answer.headers["location"]  # nobody, or not ours
        await page.goto(account)
        assert "Apps that act for you" == await heading(page)  # logged in still
        assert 1 == await page.locator("section.app").filter(has_text="Photo Printer").count()
        assert 200 == refreshed(app, tokens["refresh_token"]).status

    @HOSTS
    async def test_no_form_of_others_ends_a_login(self, page: Page, people: World, app: App, host: str) -> None:
        """At the page where an app may ask for it: the person is asked, or the form is refused."""
        logout = f"{people.issuer}/logout"
        await page.goto(f"{people.issuer}/account")
        await log_in(page)
        with evil(people, host) as attacker:
            for said in ({"form_token": "x", "action": "log_out"}, {"action": "log_out"}, {"client_id": app.client_id}):
                attacker.pages["/"] = forged(logout, **said)
                answer = await sent(page, attacker, logout)
                assert answer.status == 403 or answer.headers["location"].startswith(f"{logout}?"), said
                await page.wait_for_load_state()
                assert await heading(page) in {"Log out?", "This did not work"}
        await page.goto(f"{people.issuer}/account")
        assert "Apps that act for you" == await heading(page)

    @HOSTS
    async def test_no_form_of_others_connects_a_device(
        self, page: Page, people: World, television: App, host: str
    ) -> None:
        """An attacker's own, whose code they know; it waits still, for the person."""
        asked = asked_by_device(television)
        device = asked["verification_uri"]
        await page.goto(device)
        await log_in(page)
        code = {"form_token": "x", "user_code": asked["user_code"]}
        with evil(people, host) as attacker:
            for said in (code, {**code, "action": "allow"}, {**code, "action": "deny"}):
                attacker.pages["/"] = forged(device, **said)
                answer = await sent(page, attacker, device)
                assert answer.status == 403 or "/interaction/" in answer.headers["location"]  # nobody, or not ours
        assert "authorization_pending" == polled(television, asked).json["error"]
        await page.goto(asked["verification_uri_complete"])
        await press(page, "Continue")
        assert asked["user_code"] in await page.inner_text("main")


async def sent(page: Page, attacker: Site, target: str) -> Response:
    await page.goto(f"{attacker.url}/")
    async with page.expect_response(lambda each: each.request.method == "POST" and each.url == target) as found:
        await press(page, "win")
    return await found.value


class TestDevices:
    async def test_a_person_types_its_code_and_allows(self, page: Page, television: App) -> None:
        asked = asked_by_device(television)
        await page.goto(asked["verification_uri"])
        await log_in(page)
        assert "Connect a device" == await heading(page)
        await page.get_by_label("Code").fill("bbbb-bbbb")
        await press(page, "Continue")
        assert "No device waits with this code." in await page.get_by_role("alert").inner_text()
        await page.get_by_label("Code").fill(asked["user_code"].lower().replace("-", " "))
        await press(page, "Continue")
        assert asked["user_code"] in await page.inner_text("main")
        await press(page, "Allow")
        assert "The device is connected" == await heading(page)
        assert 200 == polled(television, asked).status

    async def test_or_denies(self, page: Page, television: App) -> None:
        asked = asked_by_device(television)
        await page.goto(asked["verification_uri_complete"])
        await log_in(page)
        if await page.get_by_role("button", name="Continue").count():
            await press(page, "Continue")
        await press(page, "Deny")
        assert "Nothing was allowed" == await heading(page)
        assert "access_denied" == polled(television, asked).json["error"]


class TestAccount:
    async def test_a_person_sees_what_an_app_may_and_withdraws_it(
        self, page: Page, people: World, app: App, callback: Site
    ) -> None:
        await page.goto(link(app, prompt="consent"))
        await log_in(page)
        await press(page, "Allow")
        tokens = redeemed(app, await arrived(page, callback))
        await page.goto(f"{people.issuer}/account")
        card = page.locator("section.app").filter(has_text="Photo Printer")
        assert "CN=printer" in await card.inner_text()
        await card.get_by_role("button", name="Withdraw").click()
        assert "may do nothing for you any more" in await page.get_by_role("status").inner_text()
        assert 0 == await card.count()
        assert "invalid_grant" == refreshed(app, tokens["refresh_token"]).json["error"]

    async def test_a_person_logs_out_there(self, page: Page, people: World) -> None:
        await page.goto(f"{people.issuer}/account")
        await log_in(page)
        await press(page, "Log out")
        await page.goto(f"{people.issuer}/account")
        assert "Log in" == await heading(page)


async def test_an_app_asks_to_log_out_and_the_person_is_asked(
    page: Page, people: World, app: App, callback: Site
) -> None:
    await page.goto(f"{people.issuer}/account")
    await log_in(page)
    said = {"client_id": app.client_id, "post_logout_redirect_uri": f"{callback.url}/bye", "state": "s"}
    await page.goto(f"{people.issuer}/logout?{urlencode(said)}")
    assert "Log out?" == await heading(page)
    assert "Photo Printer asks to end your login here." in await page.inner_text("main")
    await press(page, "Log out")
    assert {"state": "s"} == await arrived(page, callback, "/bye")
    await page.goto(f"{people.issuer}/account")
    assert "Log in" == await heading(page)
    await page.goto(f"{people.issuer}/logout")
    assert "You are logged out" == await heading(page)
