"""Whether a browser is asked for a certificate: never where people go, and always where it is a client's business.

Looked at where it happens, in the handshake: by OpenSSL's state machine, and by what Chromium logs of its own.  The
browsers of most people have no certificate; those here have one, and would send it without a word.
"""

import asyncio
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from OpenSSL import SSL
from playwright.async_api import Page
from playwright.async_api import TimeoutError as Waited

from browser.network import Doors, visitor
from browser.walking import (
    DEVICE_GRANT,
    arrived,
    asked_by_device,
    forged,
    heading,
    link,
    log_in,
    polled,
    press,
    register_page,
)
from browser.watched import Site, site
from certbound.core.jws import unverified_claims
from e2e.acting import App, make_app
from e2e.world import World, thumbprint

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


@dataclass(frozen=True)
class Apps:
    """Of each kind one, and where they are."""

    callback: Site
    web: App
    television: App
    robot: App
    """Whose certificate the browser has: whether it came along shows in what the token endpoint says."""
    page: Site

    def show_form(self, base: str) -> None:
        """A site of theirs posts what the robot would, from the browser."""
        asked = {"grant_type": "client_credentials", "client_id": self.robot.client_id}
        self.callback.pages["/form"] = forged(f"{base}/token", **asked)


@pytest.fixture(scope="module")
def apps(people: World) -> Iterator[Apps]:
    with (
        site() as callback,
        site(certificate=(people.directory / "server.pem", people.directory / "server.key")) as page,
    ):
        register_page(people, "asked-page", page)
        yield Apps(
            callback,
            make_app(
                people, "asked", client_name="Photo Printer", redirect_uris=[f"{callback.url}/cb"],
                post_logout_redirect_uris=[f"{callback.url}/bye"],
            ),
            make_app(people, "asked-tv", grant_types=[DEVICE_GRANT], redirect_uris=[]),
            make_app(
                people, "asked-robot", grant_types=["client_credentials"], redirect_uris=[],
                tls_client_certificate_bound_access_tokens=True,
            ),
            page,
        )  # fmt: skip


async def everywhere(page: Page, people: World, apps: Apps) -> None:
    """Every page that there is, and every kind of app."""
    asked = await asyncio.to_thread(asked_by_device, apps.television)
    doors = Doors(people)
    await page.goto(link(apps.web, prompt="consent"))
    await log_in(page)
    await press(page, "Allow")
    assert "code" in await arrived(page, apps.callback)
    await page.goto(asked["verification_uri"])
    await page.get_by_label("Code").fill(asked["user_code"])
    await press(page, "Continue")
    await press(page, "Allow")
    assert "The device is connected" == await heading(page)
    await page.goto(f"{people.issuer}/account")
    await page.get_by_role("button", name="Withdraw Photo Printer").click()
    assert "may do nothing for you any more" in await page.get_by_role("status").inner_text()
    await page.goto(f"{apps.page.url}/")
    await press(page, "Allow")
    await page.wait_for_selector("#told:not(:empty)")
    assert {200} == {answer["status"] for answer in json.loads(await page.inner_text("#told"))["answers"]}
    await page.goto(f"{people.issuer}/authorize?client_id=nobody")
    assert "This did not work" == await heading(page)
    await page.goto(f"{people.issuer}/logout?client_id={apps.web.client_id}")
    await press(page, "Log out")
    assert "You are logged out" == await heading(page)
    assert 0 == doors.taken(people.mtls)
    assert 1 <= doors.taken(people.issuer)
    assert 200 == (await asyncio.to_thread(polled, apps.television, asked)).status


async def post(page: Page, apps: Apps, base: str, within: float = 20_000) -> str:
    """What the token endpoint says to a form that the browser sends."""
    apps.show_form(base)
    await page.goto(f"{apps.callback.url}/form")
    async with page.expect_navigation(timeout=within):
        await page.get_by_role("button", name="win").click(no_wait_after=True)
    return await page.inner_text("body")


async def test_a_certificate_at_hand_is_neither_asked_for_nor_sent_where_people_go(
    people: World, apps: Apps, tmp_path: Path
) -> None:
    """On no page, for no kind of app, and not to the token endpoint there; the other host is never come near."""
    async with visitor(people, tmp_path, certificate=apps.robot.identity) as (context, log):
        page = await context.new_page()
        await everywhere(page, people, apps)
        said = json.loads(await post(page, apps, people.issuer))
        assert "invalid_client" == said["error"]
    assert 0 == log.requests_for_certificates
    assert 0 == log.certificates_sent
    assert log.knows(people.issuer)
    assert not log.knows(people.mtls)


async def test_where_clients_go_it_is_asked_for_and_sent(people: World, apps: Apps, tmp_path: Path) -> None:
    """So that it was at hand shows: the token is bound to it."""
    async with visitor(people, tmp_path, certificate=apps.robot.identity) as (context, log):
        doors = Doors(people)
        said = json.loads(await post(await context.new_page(), apps, people.mtls))
        assert 1 <= doors.taken(people.mtls)
    claims = unverified_claims(said["access_token"])
    assert {"x5t#S256": thumbprint(apps.robot.identity)} == claims["cnf"]
    assert 1 <= log.requests_for_certificates
    assert 1 == log.certificates_sent


async def test_a_person_who_has_one_would_have_to_choose_there_and_nowhere_else(
    people: World, apps: Apps, tmp_path: Path
) -> None:
    """The dialog is what RFC 8705 section 5 keeps from people: the page does not come until they answer it."""
    async with visitor(people, tmp_path, certificate=apps.robot.identity, asks=True) as (context, log):
        page = await context.new_page()
        assert "invalid_client" in await post(page, apps, people.issuer)
        with pytest.raises(Waited):
            await post(page, apps, people.mtls, within=3_000)
    assert 1 <= log.requests_for_certificates
    assert 0 == log.certificates_sent


async def test_the_host_for_clients_asks_and_goes_on_without_one(people: World, tmp_path: Path) -> None:
    """A person who strays there sees no dialog: nothing is asked of the store of a browser that has nothing to show."""
    said = []
    async with visitor(people, tmp_path, asks=True) as (context, log):
        page = await context.new_page()
        for path in ("/healthz", "/authorize"):
            await page.goto(people.mtls + path)
            said.append(await page.inner_text("body"))
    assert 1 <= log.requests_for_certificates
    assert "ok" in said[0]
    assert "no such endpoint" in said[1]


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION], ids=["1.2", "1.3"])
async def test_openssl_sees_the_same(people: World, version: int) -> None:
    assert not asks(people.issuer, version)
    assert asks(people.mtls, version)


def asks(url: str, version: int) -> bool:
    """Whether the server there asks for a certificate, as OpenSSL goes through the handshake."""
    parts = urlsplit(url)
    states: set[bytes] = set()
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(version)
    context.set_max_proto_version(version)
    context.set_info_callback(lambda connection, _where, _result: states.add(connection.get_state_string()))
    with socket.create_connection(("127.0.0.1", parts.port or 443), 20) as opened:
        opened.setblocking(True)
        connection = SSL.Connection(context, opened)
        connection.set_tlsext_host_name((parts.hostname or "").encode())
        connection.set_connect_state()
        connection.do_handshake()
        connection.shutdown()
    assert b"SSLv3/TLS read server certificate" in states
    return b"SSLv3/TLS read server certificate request" in states
