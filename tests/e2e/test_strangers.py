"""What a stranger with a certificate of his own and a known `client_id` can make the server do: nothing."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from certbound.trust.authority import Authority, Issued
from e2e.world import World, free_port, world


class Counting(http.server.BaseHTTPRequestHandler):
    """Answers nothing useful, and remembers who was asked."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_error(404)

    do_POST = do_GET  # noqa: N815 - http.server spells it so

    def log_message(self, *_: object) -> None:
        """Silent."""


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """A server of the issuers' that counts: its address, and what it was asked."""
    handler = type("Handler", (Counting,), {"asked": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", free_port()), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", handler.asked  # type: ignore[attr-defined]
    server.shutdown()
    thread.join(10)
    server.server_close()


@pytest.fixture
def curious(tmp_path: Path, asked: tuple[str, list[str]]) -> Iterator[World]:
    """A deployment that asks everybody it may."""
    options = {"mode": "soft", "from_certificates": True, "ocsp": [f"{asked[0]}/configured"]}
    settings = {f"revocation__{key}": value for key, value in options.items()}
    with world(tmp_path, **settings, fetch__private_addresses=True) as running:
        running.register("pki", token_endpoint_auth_method="tls_client_auth", tls_client_auth_san_dns="pki.example")
        yield running


def naming(authority: Authority, url: str, name: str) -> Issued:
    """A certificate that wants `url` to be asked about it."""
    there = x509.UniformResourceIdentifier(f"{url}/named")
    access = x509.AuthorityInformationAccess([x509.AccessDescription(AuthorityInformationAccessOID.OCSP, there)])
    points = x509.CRLDistributionPoints([x509.DistributionPoint([there], None, None, None)])
    return authority.issue("CN=x", dns=[name], extensions=[(access, False), (points, False)])


def test_nobody_is_asked_about_a_stranger(curious: World, asked: tuple[str, list[str]]) -> None:
    """A certificate whose name or whose issuer is not the client's causes no fetch, whatever addresses it names.

    The client's own certificate does, so the places are right.
    """
    url, requests = asked
    strangers = [
        naming(curious.authority, url, "other.example"),
        naming(Authority.create("Nobody"), url, "pki.example"),
        naming(Authority.create("Test CA"), url, "pki.example"),
    ]
    for stranger in strangers:
        for client_id in ("pki", "nobody"):
            assert 401 == curious.token_request(client_id, stranger, chain=stranger.chain_pem).status
    assert requests == []
    assert 200 == curious.token_request("pki", naming(curious.authority, url, "pki.example")).status
    assert {"/configured", "/named"} <= {path.rstrip("/") for path in requests}
