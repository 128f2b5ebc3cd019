"""Every page as the server gives it, in Chromium: for everybody, by the keyboard alone, and never in a frame."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from browser.axe import RIGHTMOST, axe_finds
from browser.walking import DEVICE_GRANT, HOSTS, asked_by_device, evil, heading, link, log_in, polled, press
from browser.watched import Site, site, tab
from e2e.acting import CODE_GRANT, PASSWORD, App, make_app
from e2e.world import World, self_signed

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

SIZES = ((900, "100%"), (320, "100%"), (640, "200%"))
"""A window as people have it; one of 1280 at 400 %; and text that is twice as large (WCAG 2.2, 1.4.10 and 1.4.4)."""


@dataclass(frozen=True)
class Apps:
    callback: Site
    web: App
    native: App
    """Which proves nothing of who it is."""
    television: App


@pytest.fixture(scope="module")
def apps(people: World) -> Iterator[Apps]:
    with site() as callback:
        people.register(
            "served-native",
            client_name="Terminal",
            token_endpoint_auth_method="none",
            grant_types=CODE_GRANT,
            redirect_uris=["http://127.0.0.1/cb"],
            scope="openid read",
        )
        yield Apps(
            callback,
            make_app(
                people,
                "served",
                client_name="Photo Printer",
                redirect_uris=[f"{callback.url}/cb"],
                post_logout_redirect_uris=[f"{callback.url}/bye"],
            ),
            App(people, "served-native", self_signed("CN=x"), redirect_uri=f"{callback.url}/cb"),
            make_app(
                people,
                "served-tv",
                client_name="Living room TV",
                grant_types=[DEVICE_GRANT, "refresh_token"],
                redirect_uris=[],
            ),
        )


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser) -> AsyncIterator[Page]:
    async with tab(browser, viewport={"width": 900, "height": 760}) as opened:
        yield opened


async def choose(page: Page, value: str) -> None:
    """A button, by what it means, whatever the language."""
    await page.locator(f"button[value={value}]").first.click()


async def each_page(page: Page, people: World, apps: Apps) -> AsyncIterator[str]:
    """All there are, by name, one after another, as one person meets them."""
    await page.goto(link(apps.web, prompt="consent", response_mode="form_post"))
    yield "login"
    await page.fill("#username", "anna")
    await page.fill("#password", "not the password")
    await choose(page, "login")
    yield "login, wrong"
    await page.fill("#password", PASSWORD)
    await choose(page, "login")
    yield "consent"
    await choose(page, "allow")
    yield "form_post"
    await page.goto(link(apps.native))
    yield "consent, unproven"
    await page.goto(f"{people.issuer}/device")
    yield "device"
    await page.fill("#user_code", "bbbb-bbbb")
    await page.locator("button").click()
    yield "device, wrong"
    for action in ("allow", "deny"):
        asked = await asyncio.to_thread(asked_by_device, apps.television)
        await page.goto(asked["verification_uri_complete"])
        await page.locator("button").click()
        yield f"device, confirm before {action}"
        await choose(page, action)
        yield f"device, done after {action}"
    await page.goto(f"{people.issuer}/account")
    yield "account"
    await choose(page, "withdraw")
    yield "account, withdrawn"
    await page.goto(link(apps.web, redirect_uri="https://evil.example/cb"))
    yield "error"
    await page.goto(f"{people.issuer}/logout?client_id=served")
    yield "logout"
    await page.locator("input[name=form_token]").evaluate("each => { each.value = 'x' }")
    await choose(page, "log_out")
    yield "forbidden"
    await page.goto(f"{people.issuer}/logout")
    await choose(page, "log_out")
    yield "logged out"


@pytest.mark.parametrize(("locale", "scheme"), [*itertools.product(["en-GB", "cs-CZ"], ["light", "dark"])])
async def test_no_page_has_a_fault_for_anybody(
    browser: Browser, people: World, apps: Apps, locale: str, scheme: Any
) -> None:
    """axe finds none and nothing is cut off: in both languages, light and dark, small, and with large letters."""
    seen = []
    async with tab(browser, java_script_enabled=True, color_scheme=scheme, locale=locale) as page:
        await page.add_init_script("HTMLFormElement.prototype.submit = () => {}")  # the page that sends itself is held
        async for name in each_page(page, people, apps):
            seen.append(name)
            assert locale[:2] == await page.get_attribute("html", "lang"), name
            for width, size in SIZES:
                await page.set_viewport_size({"width": width, "height": 760})
                await page.evaluate(f"document.documentElement.style.fontSize = '{size}'")
                assert {} == await axe_finds(page), (name, width, size)
                assert await page.evaluate(RIGHTMOST) <= width, (name, width, size)
    assert 17 == len(seen) == len(set(seen))


async def go_to(page: Page, wanted: str, key: str = "Tab") -> list[str]:
    """By one key to where `wanted` stands as value or name, over what is on the way; each stop shows that it is one."""
    way = []
    for _ in range(20):
        await page.keyboard.press(key)
        way.append(await focused(page))
        if way[-1] == wanted:
            return way
    raise AssertionError(f"{wanted} is not on the way: {way}")


async def focused(page: Page) -> str:
    """What has the focus: a ring around it, which is seen to its edge."""
    there = await page.evaluate("""() => {
        const each = document.activeElement, style = getComputedStyle(each), box = each.getBoundingClientRect()
        const ring = parseFloat(style.outlineWidth) + parseFloat(style.outlineOffset)
        return {name: each.value && each.tagName === "BUTTON" ? each.value : each.name || each.tagName,
          ring: style.outlineStyle === "solid" ? parseFloat(style.outlineWidth) : 0,
          colours: [style.outlineColor, getComputedStyle(document.querySelector("main")).backgroundColor],
          inside: box.top >= 0 && box.left - ring >= 0 && box.bottom <= innerHeight && box.right + ring <= innerWidth}
    }""")
    assert there["ring"] >= 2, there
    assert there["inside"], there
    assert there["colours"][0] != there["colours"][1]
    return str(there["name"])


class TestKeyboardAlone:
    """No pointer, no scripts: Tab, letters, Enter and the space bar."""

    async def test_a_device_is_connected(self, page: Page, people: World, apps: Apps) -> None:
        asked = await asyncio.to_thread(asked_by_device, apps.television)
        await page.goto(asked["verification_uri"])
        assert "username" == await focused(page)
        await page.keyboard.type("anna")
        assert ["password"] == await go_to(page, "password")
        await page.keyboard.type(PASSWORD)
        await page.keyboard.press("Enter")
        await page.wait_for_selector("#user_code")
        assert "user_code" == await focused(page)
        await page.keyboard.type("bbbbbbbb")
        await page.keyboard.press("Enter")
        await page.wait_for_selector("[role=alert]")
        assert "user_code" == await focused(page)
        await page.keyboard.press("Control+A")
        await page.keyboard.type(asked["user_code"])
        assert ["BUTTON"] == await go_to(page, "BUTTON")
        await page.keyboard.press("Enter")
        await page.wait_for_selector("button[value=allow]")
        assert ["deny", "allow"] == await go_to(page, "allow")
        await page.keyboard.press("Space")
        await page.wait_for_selector("h1:has-text('The device is connected')")
        assert 200 == (await asyncio.to_thread(polled, apps.television, asked)).status

    async def test_what_an_app_may_is_withdrawn_and_the_person_leaves(
        self, page: Page, people: World, apps: Apps
    ) -> None:
        await page.goto(link(apps.web, prompt="consent"))
        await log_in(page)
        await press(page, "Allow")
        await page.goto(f"{people.issuer}/account")
        card = page.locator("section.app").filter(has_text="Photo Printer")
        above = await page.locator("button[value=withdraw]").evaluate_all(
            "all => all.findIndex(each => each.closest('section').innerText.includes('Photo Printer'))"
        )
        for _ in range(above + 1):
            assert ["withdraw"] == await go_to(page, "withdraw")
        assert await card.locator("button").evaluate("each => each === document.activeElement")
        await page.keyboard.press("Enter")
        await page.wait_for_selector("[role=status]")
        assert 0 == await card.count()
        await go_to(page, "log_out")
        await page.keyboard.press("Space")
        await page.wait_for_selector("h1:has-text('You are logged out')")

    async def test_a_person_leaves_because_an_app_asks(self, page: Page, people: World, apps: Apps) -> None:
        await page.goto(f"{people.issuer}/account")
        await log_in(page)
        await page.goto(f"{people.issuer}/logout?client_id=served")
        await page.keyboard.press("Enter")  # nothing has the focus, so nobody is logged out by a stray key
        assert "Log out?" == await heading(page)
        assert ["log_out"] == await go_to(page, "log_out")
        await page.keyboard.press("Enter")
        await page.wait_for_selector("h1:has-text('You are logged out')")


@HOSTS
async def test_no_page_is_shown_in_a_frame_of_others(browser: Browser, people: World, apps: Apps, host: str) -> None:
    """Whoever is logged in, and from another port of the same site too, where cookies come along."""
    context = await browser.new_context(locale="en-GB")  # not watched: here the policy is to be violated
    page = await context.new_page()
    await page.goto(link(apps.web, prompt="consent"))
    login = page.url
    await log_in(page)
    consent = page.url
    assert login == consent
    asked = await asyncio.to_thread(asked_by_device, apps.television)
    pages = [
        link(apps.web, prompt="login"),
        consent,
        asked["verification_uri"],
        asked["verification_uri_complete"],
        f"{people.issuer}/account",
        f"{people.issuer}/logout",
        f"{people.issuer}/authorize?client_id=nobody",
    ]
    with evil(people, host) as attacker:
        for url in pages:
            attacker.pages["/"] = f"<!doctype html><title>x</title><iframe src='{url.replace('&', '&amp;')}'></iframe>"
            async with page.expect_console_message(lambda said: "frame-ancestors" in said.text, timeout=10_000):
                await page.goto(f"{attacker.url}/")
            while not page.frames[1].url:  # of another process
                await asyncio.sleep(0.05)
            assert page.frames[1].url.startswith("chrome-error:"), url
    await context.close()
