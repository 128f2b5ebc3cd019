"""An app on the person's own machine (RFC 8252), with a certificate that it made itself (RFC 8705 section 5).

It listens on a port of the loopback address that nobody registered, opens the browser of the system, and redeems the
code that comes there over mutual TLS: the app shows the certificate, the browser never does.
"""

import asyncio
from pathlib import Path

import pytest

from browser.network import Doors, visitor
from browser.walking import arrived, heading, link, log_in, press
from browser.watched import site
from certbound.core.jws import unverified_claims
from certbound.trust.authority import self_signed
from e2e.acting import CODE_GRANT, App
from e2e.world import World, free_port, thumbprint

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_it_gets_a_code_at_a_port_of_its_own_and_tokens_of_its_own(people: World, tmp_path: Path) -> None:
    """Each installation asks anew, on whatever port it gets: anybody could have its name, and the page says so."""
    await asyncio.to_thread(
        people.register, "terminal", client_name="Terminal", token_endpoint_auth_method="none", grant_types=CODE_GRANT,
        redirect_uris=["http://127.0.0.1/cb"], tls_client_certificate_bound_access_tokens=True, scope="openid read",
    )  # fmt: skip
    mine, other = self_signed("CN=Terminal of anna"), self_signed("CN=Terminal of anna")
    async with visitor(people, tmp_path, certificate=mine, java_script_enabled=False) as (context, log):
        page = await context.new_page()
        for round_ in range(2):
            port = free_port()
            with site(port=port) as listening:
                assert f"http://127.0.0.1:{port}" == listening.url
                app = App(people, "terminal", mine, redirect_uri=f"{listening.url}/cb")
                doors = Doors(people)
                await page.goto(link(app))
                if round_ == 0:
                    await log_in(page)
                assert "Terminal asks for access" == (await heading(page)).replace("\n", " ")
                assert "Anybody could use this name" in await page.inner_text("main")
                await press(page, "Allow")
                told = await arrived(page, listening)
                assert 0 == doors.taken(people.mtls)
            assert (people.issuer, "s") == (told["iss"], told["state"])
            tokens = await asyncio.to_thread(app.redeem, told["code"])
            assert 200 == tokens.status, tokens
            bound = {"x5t#S256": thumbprint(mine)}
            assert bound == unverified_claims(tokens.json["access_token"])["cnf"]
            refresh = {"grant_type": "refresh_token", "refresh_token": tokens.json["refresh_token"]}
            stolen = await asyncio.to_thread(people.post, "token", "terminal", other, **refresh)
            assert "invalid_grant" == stolen.json["error"]
            again = await asyncio.to_thread(people.post, "token", "terminal", mine, **refresh)
            assert bound == unverified_claims(again.json["access_token"])["cnf"]
            assert 200 == (await asyncio.to_thread(app.userinfo, again.json["access_token"])).status
    assert 0 == log.requests_for_certificates
    assert not log.knows(people.mtls)


async def test_a_port_is_free_only_at_an_address_of_the_machine(people: World, tmp_path: Path) -> None:
    """Not by name, which may lead elsewhere (RFC 8252 section 8.3), nor below another path."""
    await asyncio.to_thread(
        people.register, "strict", token_endpoint_auth_method="none", grant_types=CODE_GRANT,
        redirect_uris=["http://127.0.0.1/cb", "http://localhost:3000/cb"], scope="openid read",
    )  # fmt: skip
    async with visitor(people, tmp_path, java_script_enabled=False) as (context, _):
        page = await context.new_page()
        with site() as listening:
            at_name = listening.url.replace("127.0.0.1", "localhost")
            for uri in (f"{at_name}/cb", f"{listening.url}/other", f"{listening.url}/cb?x=y"):
                answer = await page.goto(link(App(people, "strict", self_signed("CN=x"), redirect_uri=uri)))
                assert answer is not None
                assert 400 == answer.status, uri
            assert [] == listening.calls
