"""Draws the pages for the guides, into docs/pictures: python tests/browser/pictures.py"""

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve()
sys.path.insert(0, str(HERE.parents[1]))

from browser.views import PRINTER  # noqa: E402
from browser.watched import chromium  # noqa: E402
from certbound.server.call import Call  # noqa: E402
from certbound.server.pages import Pages, View  # noqa: E402
from certbound.server.pages.views import (  # noqa: E402
    AccountView,
    App,
    Asking,
    ConsentView,
    DeviceView,
    DoneView,
    FormPostView,
    LoginView,
    LogoutView,
    RefusalView,
)

FOLDER = HERE.parents[2] / "docs" / "pictures"
WORDS = '[site]\nname = "Example Bank"\n[scopes]\n"photos.read" = "see your photos"\n'
ASKED: dict[str, Any] = {"scope": ["openid", "photos.read"], "resources": ["https://photos.example"]}
TERMINAL = Asking(client_id="cli", name="Terminal", host="127.0.0.1", is_proven=False)
TELEVISION = Asking(client_id="tv", name="Living room TV")
SEPTEMBER = 1_789_000_000.0

DRAWN: dict[str, tuple[View, dict[str, Any]]] = {
    "login": (LoginView(form_token="t", asking=PRINTER), {}),
    "login-wrong": (LoginView(form_token="t", asking=PRINTER, username="anna", failed="wrong"), {}),
    "consent": (ConsentView(form_token="t", asking=PRINTER, username="anna", keeps_access=True, **ASKED), {}),
    "consent-native-cs-dark": (
        ConsentView(
            form_token="t", asking=TERMINAL, username="anna", scope=["openid"], resources=[], keeps_access=False
        ),
        {"color_scheme": "dark", "locale": "cs-CZ"},
    ),
    "device": (DeviceView(form_token="t"), {}),
    "consent-device": (
        ConsentView(
            form_token="t", asking=TELEVISION, username="anna", keeps_access=True, user_code="WDJB-MJHT", **ASKED
        ),
        {},
    ),
    "done": (DoneView(what="device_approved"), {}),
    "logout": (LogoutView(form_token="t", username="anna", asking=PRINTER), {}),
    "form-post": (
        FormPostView(redirect_uri="https://print.example/cb", members=[("code", "c")], asking=PRINTER),
        {"java_script_enabled": False},
    ),
    "refusal": (
        RefusalView(
            status=400,
            error="invalid_request",
            description="redirect_uri is none that the client registered",
            request_id="5e1d00f4c2a94b17",
        ),
        {},
    ),
    "account": (
        AccountView(
            form_token="t",
            username="anna",
            apps=[
                App(
                    asking=PRINTER,
                    created_at=SEPTEMBER,
                    used_at=SEPTEMBER + 5e6,
                    certificate="CN=printer,O=Print Shop",
                    **ASKED,
                ),
                App(asking=TERMINAL, scope=["openid"], resources=[], created_at=SEPTEMBER),
            ],
        ),
        {},
    ),
}


async def draw(folder: Path) -> None:
    """A small PNG of each."""
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as words:
        (Path(words) / "en.toml").write_text(WORDS)
        pages = Pages(Path(words))
    async with chromium() as browser:
        for name, (view, options) in DRAWN.items():
            languages = options.get("locale", "en-GB")
            reply = pages.show(Call(now=0), view, ui_locales=(languages,))
            context = await browser.new_context(viewport={"width": 520, "height": 400}, **options)
            page = await context.new_page()
            await page.set_content(reply.body.decode())
            await page.screenshot(path=folder / f"{name}.png", full_page=True)
            await context.close()


if __name__ == "__main__":
    asyncio.run(draw(FOLDER))
