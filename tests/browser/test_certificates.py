"""Whether a browser is asked for a certificate: never where people go, and always where it is a client's business.

Looked at where it happens, in the handshake: by OpenSSL's state machine, and by what Chromium logs of its own.
"""

import asyncio
import json
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from OpenSSL import SSL

from browser.watched import chromium, site, tab
from e2e.acting import PASSWORD, make_app
from e2e.world import World

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

CERTIFICATE_REQUEST = 13
"""The type of that handshake message (RFC 8446 section 4.3.2, RFC 5246 section 7.4.4)."""


@dataclass(frozen=True)
class Log:
    """What Chromium wrote down of its network (--log-net-log)."""

    text: str

    @property
    def events(self) -> Sequence[Mapping[str, Any]]:
        found: Sequence[Mapping[str, Any]] = json.loads(self.text)["events"]
        return found

    def of(self, name: str) -> list[Mapping[str, Any]]:
        """The events of a type."""
        number = json.loads(self.text)["constants"]["logEventTypes"][name]
        return [each for each in self.events if each["type"] == number]

    @property
    def requests_for_certificates(self) -> int:
        """In handshakes, whoever was asked."""
        received = self.of("SSL_HANDSHAKE_MESSAGE_RECEIVED")
        assert received, "the log has no handshake at all"
        asked = [each for each in received if each.get("params", {}).get("type") == CERTIFICATE_REQUEST]
        return max(len(asked), len(self.of("SSL_CLIENT_CERT_REQUESTED")))


async def visited(people: World, folder: Path, *urls: str, as_anna: bool = False) -> tuple[Log, list[str]]:
    """What a new browser logged that went there, and what its pages said."""
    file = folder / "net.json"
    said = []
    switches = [f"--log-net-log={file}"]
    async with chromium(trusting=people.directory / "server.pem", switches=switches) as browser, tab(browser) as page:
        for url in urls:
            await page.goto(url)
            if as_anna:
                await page.get_by_label("Username").fill("anna")
                await page.get_by_label("Password").fill(PASSWORD)
                await page.get_by_role("button", name="Log in").click()
                await page.get_by_role("button", name="Allow").click()
                await page.wait_for_url("**/cb?code=*")
            said.append(await page.inner_text("body"))
    return Log(await asyncio.to_thread(file.read_text)), said


async def test_a_browser_that_logs_in_and_allows_is_never_asked_for_a_certificate(
    people: World, tmp_path: Path
) -> None:
    """And never comes near the host that asks."""
    with site() as callback:
        app = await asyncio.to_thread(make_app, people, "asked", redirect_uris=[f"{callback.url}/cb"])
        link = f"{people.issuer}/authorize?{urlencode(app.request())}"
        log, _ = await visited(people, tmp_path, link, as_anna=True)
    assert 0 == log.requests_for_certificates
    assert urlsplit(people.mtls).netloc not in log.text


async def test_the_host_for_clients_asks_and_goes_on_without_one(people: World, tmp_path: Path) -> None:
    """A person who strays there sees no dialog: nothing is asked of the store of a browser that has nothing to show."""
    log, said = await visited(people, tmp_path, f"{people.mtls}/healthz", f"{people.mtls}/authorize")
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
