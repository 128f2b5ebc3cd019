"""The authorization server on a Unix socket behind a real nginx: tokens are bound through it, and to nobody else."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from certbound.app import make_ports
from certbound.core.certificate import read_certificate
from e2e.test_guard import claims_of
from e2e.world import World, _settings, free_port
from proxies.frame import HOST, ISSUER_HOST, SECRET, Kinds, Proxied, Seen, behind, serving
from proxies.programs import NGINX

pytestmark = pytest.mark.proxies


@pytest.fixture(scope="module")
def proxied(kinds: Kinds, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    """The server is reached by its socket alone."""
    folder, data = tmp_path_factory.mktemp("nginx-unix"), tmp_path_factory.mktemp("server-unix")
    (data / "proxy.secret").write_text(SECRET)
    public, socket = free_port(), data / "certbound.sock"
    given: dict[str, Any] = {
        "server__issuer": f"https://{ISSUER_HOST}:{public}", "server__mtls_url": f"https://{HOST}:{public}",
        "server__mtls_port": None, "server__certificate": None, "server__key": None,
        "proxy__contract": "nginx", "proxy__socket": str(socket), "proxy__secret_files": ["proxy.secret"],
        "proxy__client_address_header": "x-forwarded-for",
    }  # fmt: skip
    settings = _settings(data, kinds.authority, given)
    deployment = World(data, kinds.authority, settings)
    deployment.loop.close()  # it runs nothing itself
    deployment.register("owner", token_endpoint_auth_method="tls_client_auth", tls_client_auth_san_dns="client.example")
    with (
        serving(make_ports(settings)),
        behind(NGINX, f"unix:{socket}", folder, kinds, purpose="server", port=public) as found,
    ):
        yield found
    assert not socket.exists()


def token_request(proxied: Proxied, kinds: Kinds, kind: str, *headers: tuple[str, str], host: str = HOST) -> Seen:
    body = urlencode({"grant_type": "client_credentials", "client_id": "owner"}).encode()
    form = ("Content-Type", "application/x-www-form-urlencoded")
    return proxied.ask(kinds[kind], form, *headers, method="POST", path="/token", body=body, name=host, host=host)


def test_the_token_is_bound_to_what_nginx_saw(proxied: Proxied, kinds: Kinds) -> None:
    """Through the socket as on a port of its own."""
    owner = kinds["CA-signed"]
    assert owner is not None
    answer = token_request(proxied, kinds, "CA-signed")
    assert 200 == answer.status, (answer, proxied.log)
    thumbprint = read_certificate(owner.der).thumbprint
    assert {"x5t#S256": thumbprint} == claims_of(answer.json["access_token"])["cnf"]


@pytest.mark.parametrize("kind", ["none", "self-signed", "unknown CA"])
def test_nobody_else_gets_one(proxied: Proxied, kinds: Kinds, kind: str) -> None:
    assert 401 == token_request(proxied, kinds, kind).status


def test_the_conventional_host_and_early_data(proxied: Proxied, kinds: Kinds) -> None:
    """No certificate at the one; 425 for the other (RFC 8470)."""
    assert 401 == token_request(proxied, kinds, "CA-signed", host=ISSUER_HOST).status
    assert 425 == token_request(proxied, kinds, "CA-signed", ("Early-Data", "1")).status
