"""The page in docs/how-to/act-for-people.md logs a person in, as it stands there."""

import asyncio
import re
from pathlib import Path

import pytest
from playwright.async_api import Browser

from browser.pictures import DRAWN
from browser.watched import site, tab
from e2e.acting import CODE_GRANT, PASSWORD
from e2e.world import World

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

DOCS = Path(__file__).parents[2] / "docs"
GUIDE = DOCS / "how-to" / "act-for-people.md"
ISSUER = "https://localhost:19143"


async def test_the_single_page_app_of_the_guide_says_hello(browser: Browser, people: World) -> None:
    """What came back with the address is gone from it before anything is asked."""
    [shown] = re.findall(r'^```html title="spa.html"\n(.*?)^```$', GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    with site(certificate=(people.directory / "server.pem", people.directory / "server.key")) as app:
        app.pages["/spa.html"] = shown.replace(ISSUER, people.issuer)
        await asyncio.to_thread(
            people.register, "page", token_endpoint_auth_method="none", grant_types=CODE_GRANT,
            redirect_uris=[f"{app.url}/spa.html"], scope="openid profile read",
        )  # fmt: skip
        async with tab(browser, java_script_enabled=True) as page:
            await page.goto(f"{app.url}/spa.html")
            await page.get_by_role("button", name="Log in").click()
            await page.get_by_label("Username").fill("anna")
            await page.get_by_label("Password").fill(PASSWORD)
            await page.get_by_role("button", name="Log in").click()
            await page.get_by_role("button", name="Allow").click()
            await page.wait_for_selector("#said:not(:empty)")
            assert "Hello, Anna Nová" == await page.inner_text("#said")
            assert f"{app.url}/spa.html" == page.url


async def test_every_picture_that_is_drawn_is_shown_in_a_guide_and_the_other_way_round() -> None:
    """With words for those who do not see it."""
    shown = [
        (text, name)
        for guide in DOCS.rglob("*.md")
        for text, name in re.findall(r"!\[(.*?)\]\([./]*pictures/([^)]+)\.png\)", guide.read_text())
    ]
    assert DRAWN.keys() == {name for _, name in shown} == {file.stem for file in (DOCS / "pictures").iterdir()}
    assert all(len(text) > 20 for text, _ in shown)
