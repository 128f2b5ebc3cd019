"""Every page in Chromium: nothing runs, nothing is out of place, and everybody can use it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from browser.axe import RIGHTMOST, axe_finds
from browser.views import views
from browser.watched import tab
from certbound.server.call import Call
from certbound.server.pages import Pages, View
from certbound.server.pages.views import Asking

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

HOSTILE = Asking(
    client_id="evil",
    name="<img src=x onerror=alert(1)>\u202eknaB\u200b \x1b[31m" + "W" * 500,
    host="accounts.bank.example." + "a" * 200 + ".evil.example",
)
KINDS = views()


@dataclass
class Gallery:
    """Pages on loopback, by name."""

    url: str
    shown: dict[str, View]
    posted: list[bytes]


@pytest.fixture(scope="module")
def gallery() -> Iterator[Gallery]:
    pages = Pages()
    hung = Gallery(
        "", {**KINDS, **{f"hostile {name}": view for name, view in views(HOSTILE, HOSTILE.name).items()}}, []
    )

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            view = hung.shown.get(self.path[1:].replace("%20", " "))
            reply = pages.show(Call(now=0), view or KINDS["refusal 404"])
            self.send_response(200 if view else 404)
            for name, value in reply.headers:
                self.send_header(name.decode(), value.decode())
            self.send_header("content-length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

        def do_POST(self) -> None:
            hung.posted.append(self.rfile.read(int(self.headers["content-length"])))
            self.do_GET()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    hung.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield hung
    server.shutdown()
    server.server_close()
    thread.join(10)


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser) -> AsyncIterator[Page]:
    async with tab(browser, viewport={"width": 900, "height": 760}) as opened:
        yield opened


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_no_fault_in_any_page(browser: Browser, gallery: Gallery, scheme: Any) -> None:
    """Not even what it cannot decide.  It runs in the page, so scripts are on; the page that sends itself is held."""
    async with tab(browser, java_script_enabled=True, color_scheme=scheme) as page:
        await page.add_init_script("HTMLFormElement.prototype.submit = () => {}")
        for name in (*KINDS, "hostile consent", "hostile account"):
            await page.goto(f"{gallery.url}/{name}")
            assert {} == await axe_finds(page), name


async def test_no_page_is_wider_than_the_window_whatever_strangers_call_themselves(
    page: Page, gallery: Gallery
) -> None:
    """320 pixels are 1280 at 400 %, and text can be twice as large (WCAG 2.2, 1.4.10 and 1.4.4)."""
    for name in KINDS:
        await page.goto(f"{gallery.url}/hostile {name}")
        for width, size in ((1280, "100%"), (320, "100%"), (640, "200%")):
            await page.set_viewport_size({"width": width, "height": 800})
            await page.evaluate(f"document.documentElement.style.fontSize = '{size}'")
            assert await page.evaluate(RIGHTMOST) <= width, (name, width, size)
    assert "32px" == await page.evaluate("getComputedStyle(document.querySelector('main')).fontSize")


async def test_what_strangers_call_themselves_runs_nothing_and_turns_nothing(
    browser: Browser, gallery: Gallery
) -> None:
    async with tab(browser, java_script_enabled=True) as page:
        await page.add_init_script("HTMLFormElement.prototype.submit = () => {}")
        for name in KINDS:
            await page.goto(f"{gallery.url}/hostile {name}")
            assert 0 == await page.locator("img, script:not(body > script)").count(), name
        await page.goto(f"{gallery.url}/hostile consent")
        assert (await page.locator("h1").inner_text()).endswith("asks for access")


async def test_the_keyboard_is_enough_and_shows_where_it_is(page: Page, gallery: Gallery) -> None:
    """From field to field in the order in which they are read; each has a ring around it while it has the focus."""
    await page.goto(f"{gallery.url}/login")
    assert "username" == await page.evaluate("document.activeElement.name")
    seen = []
    for _ in range(3):
        seen.append(await page.evaluate("document.activeElement.name"))
        outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert "solid" == outline, seen
        await page.keyboard.press("Tab")
    assert ["username", "password", "action"] == seen


async def test_no_single_key_decides_about_a_consent(page: Page, gallery: Gallery) -> None:
    """Nothing has the focus, so nothing happens; who goes to a button chose it, and meets the refusal first."""
    await page.goto(f"{gallery.url}/consent")
    for key in ("Enter", "Space", "a", "y", "Escape"):
        await page.keyboard.press(key)
    assert [] == gallery.posted
    await page.keyboard.press("Tab")
    assert "deny" == await page.evaluate("document.activeElement.value")
    await page.keyboard.press("Tab")
    async with page.expect_response(lambda response: response.request.method == "POST"):
        await page.keyboard.press("Enter")
    assert b"form_token=t&action=allow" == gallery.posted.pop()


async def test_the_end_of_a_double_click_that_began_elsewhere_decides_nothing(page: Page, gallery: Gallery) -> None:
    """Another site can put its window over ours, and close it at the first of two clicks."""
    await page.goto(f"{gallery.url}/denied")  # a page before, with the pointer where the button will be
    await page.goto(f"{gallery.url}/consent")
    box = await page.get_by_role("button", name="Allow").bounding_box()
    assert box
    await page.mouse.move(5, 5)
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    await page.mouse.move(x, y)
    await page.mouse.click(x, y)
    await asyncio.sleep(0.2)
    assert [] == gallery.posted
    await asyncio.sleep(0.5)
    async with page.expect_response(lambda response: response.request.method == "POST"):
        await page.mouse.click(x, y)
    assert b"form_token=t&action=allow" == gallery.posted.pop()


async def test_a_button_says_of_which_app_it_is(page: Page, gallery: Gallery) -> None:
    """For those who hear the page, and jump from button to button."""
    await page.goto(f"{gallery.url}/account")
    assert 2 == await page.get_by_role("button", name="Withdraw Photo Printer").count()


async def test_the_error_is_read_with_the_field_it_is_about(page: Page, gallery: Gallery) -> None:
    await page.goto(f"{gallery.url}/wrong password")
    for field in ("Username", "Password"):
        described = page.get_by_label(field).and_(page.locator("[aria-describedby=failed][aria-invalid=true]"))
        assert 1 == await described.count()
    assert "The username or the password is wrong." == await page.get_by_role("alert").inner_text()


async def test_no_page_can_be_framed(browser: Browser, gallery: Gallery) -> None:
    context = await browser.new_context()  # not watched: here the policy is to be violated
    page = await context.new_page()
    await page.set_content(f"<iframe src='{gallery.url}/consent'></iframe>", wait_until="load")
    assert page.frames[1].url.startswith("chrome-error:")
    await context.close()
