"""What only Envoy does."""

import socket
from pathlib import Path

import pytest
from OpenSSL import SSL

from certbound.core.certificate import read_certificate
from certbound.trust.authority import self_signed
from proxies.asked import guarded, require_that_it_asks
from proxies.frame import HOST, Kinds, Observer, behind, printed, served, wrapped
from proxies.programs import ENVOY

pytestmark = pytest.mark.proxies


def test_a_certificate_cannot_bring_an_element_of_its_own(kinds: Kinds, tmp_path: Path) -> None:
    """Its names are never written: Envoy would not quote them."""
    element = f"a,Hash={'0' * 64};Cert=x"
    hostile = self_signed("CN=mallory", dns=[element], uris=[element])
    observer = Observer("envoy")
    with served(wrapped(observer, "envoy")) as port, behind(ENVOY, f"127.0.0.1:{port}", tmp_path, kinds) as proxy:
        assert 200 == proxy.ask(hostile).status
        assert read_certificate(hostile.der).thumbprint == observer.seen[-1]["thumbprint"]


def test_clients_are_told_no_authorities(kinds: Kinds, tmp_path: Path) -> None:
    """Else those that choose a certificate by its issuer, as Go and Java do, would send none."""
    with behind(ENVOY, "127.0.0.1:9", tmp_path, kinds) as proxy:
        stream = socket.create_connection(("127.0.0.1", proxy.port))
        connection = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), stream)
        connection.set_tlsext_host_name(HOST.encode())
        connection.set_connect_state()
        connection.do_handshake()
        assert [] == connection.get_client_ca_list()
        connection.close()


def test_it_reaches_an_application_on_a_socket() -> None:
    """The words for it stand there."""
    assert 'pipe: {path: "/run/app.sock"}' in printed("envoy", "--upstream", "unix:/run/app.sock")


def test_the_guard_decides(kinds: Kinds, tmp_path: Path) -> None:
    """And says who calls."""
    with guarded(ENVOY, tmp_path, kinds) as guard:
        require_that_it_asks(guard)


def test_no_answer_from_the_guard_is_a_refusal(kinds: Kinds, tmp_path: Path) -> None:
    """503, and the application is not called."""
    observer = Observer("envoy")
    with (
        served(observer) as port,
        behind(
            ENVOY, f"127.0.0.1:{port}", tmp_path, kinds, purpose="guard", options=["--guard", "127.0.0.1:9"]
        ) as proxy,
    ):
        assert 503 == proxy.ask(kinds["CA-signed"]).status
        assert [] == observer.seen
