"""The authorization server behind a proxy: which certificate it believes, at which host, and what else it hears.

The proxy's words are spoken by the test, with the headers of its contract; real proxies are in tests/proxies.
"""

import contextlib
import http.client
import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from certbound.core.certificate import read_certificate
from certbound.testing.forwarded import forwarded_headers
from certbound.trust.authority import Issued, self_signed
from e2e.test_guard import claims_of
from e2e.world import Answer, World, world

SECRET = "a secret that the proxy sends on each".replace(" ", "-")
BEHIND = {
    "server__issuer": "https://as.test", "server__mtls_url": "https://mtls.test", "server__mtls_port": None,
    "server__certificate": None, "server__key": None, "server__port": 0,
    "proxy__contract": "nginx", "proxy__secret": SECRET,
}  # fmt: skip


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


def ask(
    world: World, host: str, identity: Issued | None = None, path: str = "/token", *, secret: str = SECRET,
    more: dict[str, str] | None = None, **form: str,
) -> Answer:  # fmt: skip
    """As nginx asks for a client that holds `identity`."""
    where, port = world.running.addresses[0]
    connection = http.client.HTTPConnection(where, port, timeout=10) if port else UnixConnection(where)
    certificate = read_certificate(identity.der) if identity else None
    forwarded = forwarded_headers("nginx", certificate)
    headers = {**forwarded, "host": host, "certbound-proxy-secret": secret, **(more or {})}
    body = None
    if form:
        headers["content-type"] = "application/x-www-form-urlencoded"
        body = urlencode({"grant_type": "client_credentials", **form})
    with contextlib.suppress(BrokenPipeError):  # who is refused by a header need not be heard to the end
        connection.request("POST" if form else "GET", path, body, headers)
    response = connection.getresponse()
    answer = Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    connection.close()
    return answer


@pytest.fixture(scope="module", params=["loopback", "Unix socket"])
def proxied(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("proxied")
    by: dict[str, Any] = (
        {"proxy__networks": ["127.0.0.1"]}
        if request.param == "loopback"
        else {"proxy__socket": str(directory / "as.sock")}
    )
    with world(directory, **BEHIND, **by, proxy__client_address_header="x-forwarded-for") as running:
        running.register_self_signed("own", OWN)
        yield running


OWN = self_signed("CN=own")


def test_a_forwarded_certificate_authenticates_and_binds(proxied: World) -> None:
    """The token carries the thumbprint of what the proxy forwarded (RFC 8705 section 3.1)."""
    answer = ask(proxied, "mtls.test", OWN, client_id="own")
    assert 200 == answer.status, answer
    assert claims_of(answer.json["access_token"])["cnf"] == {"x5t#S256": read_certificate(OWN.der).thumbprint}


@pytest.mark.parametrize(
    ("host", "secret", "why"),
    [("as.test", SECRET, "the conventional host asks for none"), ("mtls.test", "x" * 40, "a stranger")],
)
def test_no_certificate_where_none_is_due(proxied: World, host: str, secret: str, why: str) -> None:
    """At the conventional host, and from a stranger, the same headers are nobody's identity."""
    answer = ask(proxied, host, OWN, client_id="own", secret=secret)
    assert (401, "invalid_client") == (answer.status, answer.json["error"]), why


def test_the_hosts_are_told_by_host(proxied: World) -> None:
    """Metadata stands on the issuer's host, with the aliases; a host of nobody is answered 421."""
    path = "/.well-known/oauth-authorization-server"
    metadata = ask(proxied, "as.test", path=path)
    assert metadata.json["mtls_endpoint_aliases"]["token_endpoint"] == "https://mtls.test/token"
    assert 404 == ask(proxied, "mtls.test", path=path).status
    assert 421 == ask(proxied, "evil.test", OWN, client_id="own").status


def test_headers_that_contradict_are_a_bad_request(proxied: World) -> None:
    """A certificate and a word that there is none: 400, whatever else the request says."""
    answer = ask(proxied, "mtls.test", OWN, client_id="own", more={"x-ssl-client-verify": "NONE"})
    assert (400, "invalid_request") == (answer.status, answer.json["error"])


@pytest.mark.parametrize("value", ["1", "0", ""])
def test_early_data_gets_no_token(proxied: World, value: str) -> None:
    """What was sent before the handshake was complete can be sent again by others (RFC 8470): 425; reading is free."""
    early = {"early-data": value}
    assert 425 == ask(proxied, "mtls.test", OWN, client_id="own", more=early).status
    assert 200 == ask(proxied, "as.test", path="/jwks", more=early).status


@pytest.mark.parametrize(
    ("said", "secret", "remote"),
    [
        ("192.0.2.7, 198.51.100.9", SECRET, "198.51.100.9"),
        ("198.51.100.9, [2001:db8::9]:4711", SECRET, "2001:db8::9"),
        ("192.0.2.7, unknown", SECRET, None),
        ("198.51.100.9", "x" * 40, None),
    ],
)
def test_the_clients_address_is_the_last_that_a_believed_proxy_says(
    proxied: World, caplog: pytest.LogCaptureFixture, said: str, secret: str, remote: str | None
) -> None:
    """What stands before it anybody can write; without a believed proxy it is the address of the connection."""
    caplog.set_level(logging.INFO, "certbound.audit")
    ask(proxied, "mtls.test", None, client_id="own", secret=secret, more={"x-forwarded-for": said})
    lines: list[Any] = [each for each in caplog.records if each.name == "certbound.audit"]
    own = "" if proxied.settings.proxy.socket else "127.0.0.1"
    assert [own if remote is None else remote] == [each.fields.get("remote", "") for each in lines], caplog.text


def test_its_own_certificate_proves_a_proxy_and_is_no_clients(tmp_path: Path) -> None:
    """Over TLS with its own certificate the proxy is believed; that certificate authenticates nobody."""
    proxy = self_signed("CN=proxy")
    (tmp_path / "proxy.pem").write_bytes(proxy.chain_pem)
    changes = {**BEHIND, "server__certificate": "server.pem", "server__key": "server.key"}
    with world(tmp_path, **changes, proxy__certificates=["proxy.pem"]) as running:
        running.register_self_signed("own", OWN)
        running.register_self_signed("proxy", proxy)
        url = f"https://localhost:{running.running.addresses[0][1]}/token"
        words = {"host": "mtls.test", "certbound-proxy-secret": SECRET}
        for by, shown, client_id, status in (
            (proxy, OWN, "own", 200), (proxy, None, "proxy", 401), (OWN, OWN, "own", 401), (None, OWN, "own", 401),
        ):  # fmt: skip
            certificate = read_certificate(shown.der) if shown else None
            headers = {**words, **forwarded_headers("nginx", certificate)}
            form = {"grant_type": "client_credentials", "client_id": client_id}
            assert status == running.ask(url, by, form=form, headers=headers).status, (client_id, status)
