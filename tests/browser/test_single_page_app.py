"""An app that is a page: it runs in the browser, has no certificate and no secret, and redeems its code with `fetch`.

What RFC 8705 section 5 is about: the host that asks for certificates is never touched, else the browser would ask.
"""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Page

from browser.network import Doors, visitor
from browser.walking import register_page
from browser.watched import Site, site, tab
from e2e.acting import PASSWORD
from e2e.world import World

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def run(page: Page, app: Site) -> Mapping[str, Any]:
    """What the app tells, after the person came back to it."""
    await page.goto(f"{app.url}/")
    await page.get_by_label("Username").fill("anna")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Log in").click()
    await page.get_by_role("button", name="Allow").click()
    await page.wait_for_url(f"{app.url}/*")
    await page.wait_for_selector("#told:not(:empty)")
    found: Mapping[str, Any] = json.loads(await page.inner_text("#told"))
    return found


async def test_it_gets_its_tokens_from_the_host_without_certificates(people: World, tmp_path: Path) -> None:
    """And uses them: it refreshes, and asks who the person is; all across origins, by CORS.

    The other host is never touched: so say the page's requests, the log of the whole browser, and the server.
    """
    with site(certificate=(people.directory / "server.pem", people.directory / "server.key")) as app:
        await asyncio.to_thread(register_page, people, "notes", app)
        async with visitor(people, tmp_path) as (context, log):
            page = await context.new_page()
            asked: list[str] = []
            context.on("request", lambda request: asked.append(request.url))
            doors = Doors(people)
            told = await run(page, app)
            assert "Bearer" == told["token"]["token_type"]
            assert told["refreshed"]["access_token"] != told["token"]["access_token"]
            assert "sub" in told["userinfo"]
            assert {200} == {answer["status"] for answer in told["answers"]}
            hosts = {urlsplit(url).netloc for url in asked}
            assert {urlsplit(people.issuer).netloc, urlsplit(app.url).netloc} == hosts
            assert 0 == doors.taken(people.mtls)
            assert 1 <= doors.taken(people.issuer)
    assert log.knows(people.issuer)
    assert not log.knows(people.mtls)
    assert 0 == log.requests_for_certificates


async def test_it_asks_in_a_window_of_its_own_and_hears_from_it(browser: Browser, people: World) -> None:
    """Libraries for such apps do it: the window that comes back still knows who opened it."""
    with site(certificate=(people.directory / "server.pem", people.directory / "server.key")) as app:
        await asyncio.to_thread(register_page, people, "notes-popup", app)
        async with tab(browser, java_script_enabled=True) as page:
            await page.goto(f"{app.url}/?popup")
            async with page.expect_popup() as opened:
                await page.get_by_role("button", name="Log in").click()
            window = await opened.value
            await window.get_by_label("Username").fill("anna")
            await window.get_by_label("Password").fill(PASSWORD)
            await window.get_by_role("button", name="Log in").click()
            await window.get_by_role("button", name="Allow").click()
            await page.wait_for_selector("#told:not(:empty)")
            assert "code" in json.loads(await page.inner_text("#told"))
