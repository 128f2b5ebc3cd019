"""What a person does on the pages: what tests of them share."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.async_api import Page

from browser.watched import Site, site
from e2e.acting import CODE_GRANT, PASSWORD, App
from e2e.world import Answer, World

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
PAGE_APP = (Path(__file__).parent / "single_page_app.html").read_text()


def link(app: App, **parameters: Any) -> str:
    """By which an app sends a person."""
    return f"{app.world.issuer}/authorize?{urlencode(app.request(**parameters))}"


async def log_in(page: Page, password: str = PASSWORD) -> None:
    await page.get_by_label("Username").fill("anna")
    await page.get_by_label("Password").fill(password)
    await page.get_by_role("button", name="Log in").click()


async def press(page: Page, button: str) -> None:
    await page.get_by_role("button", name=button).click()


async def heading(page: Page) -> str:
    return await page.get_by_role("heading", level=1).inner_text()


async def arrived(page: Page, callback: Site, path: str = "/cb") -> Mapping[str, str]:
    """What the app was told."""
    await page.wait_for_url(f"{callback.url}{path}*")
    return callback.called(path)


def asked_by_device(television: App) -> Any:
    """The answer to a device that wants somebody."""
    answer = television.world.post("device_authorization", television.client_id, television.identity, scope="read")
    assert 200 == answer.status, answer
    return answer.json


def polled(television: App, asked: Any) -> Answer:
    return television.world.post(
        "token",
        television.client_id,
        television.identity,
        grant_type=DEVICE_GRANT,
        device_code=asked["device_code"],
    )


@contextmanager
def evil(people: World, host: str) -> Iterator[Site]:
    """An attacker's, over TLS: `localhost` is the same site as ours but for the port, so that cookies come along."""
    with site(host, certificate=(people.directory / "server.pem", people.directory / "server.key")) as running:
        yield running


HOSTS = pytest.mark.parametrize("host", ["127.0.0.1", "localhost"], ids=["other-site", "same-site"])


def forged(target: str, **fields: str) -> str:
    """A page of another site with a form that is not its own."""
    inputs = "".join(f'<input name="{name}" value="{value}">' for name, value in fields.items())
    return f'<!doctype html><title>x</title><form method="post" action="{target}">{inputs}<button>win</button></form>'


def register_page(people: World, client_id: str, app: Site) -> None:
    """A public client, whose tokens nothing binds, since a browser has nothing to bind them to."""
    people.register(
        client_id,
        client_name="Notes",
        token_endpoint_auth_method="none",
        grant_types=CODE_GRANT,
        redirect_uris=[f"{app.url}/"],
        scope="openid read",
    )
    app.pages["/"] = PAGE_APP.replace("ISSUER", people.issuer).replace("CLIENT", client_id)
