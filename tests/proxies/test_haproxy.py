"""What HAProxy alone does."""

import subprocess
from pathlib import Path

import pytest

from certbound.tls import PlainPort
from proxies.asked import guarded, require_that_it_asks
from proxies.frame import HOST, Kinds, Observer, behind, served, serving, wrapped
from proxies.programs import HAPROXY

pytestmark = pytest.mark.proxies


def test_a_length_beyond_its_numbers_is_refused(kinds: Kinds, tmp_path: Path) -> None:
    """HAProxy 2.6 takes 2 to the 64 for none and hands it on: a worker behind would wait for a body of that size."""
    observer = Observer("haproxy")
    app = wrapped(observer, "haproxy")
    with served(app) as port, behind(HAPROXY, f"127.0.0.1:{port}", tmp_path, kinds) as proxy:
        for length in ("18446744073709551616", "36893488147419103232", "1" * 40):
            head = f"POST / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
            assert proxy.ask(raw=head.encode()).status in {400, 413}, length
        assert [] == observer.seen
        body = b"x" * 1000
        assert 200 == proxy.ask(method="POST", body=body).status


def test_clients_are_told_no_authorities(kinds: Kinds, tmp_path: Path) -> None:
    """So programs that choose a certificate by its issuer offer any."""
    with (
        served(wrapped(Observer("haproxy"), "haproxy")) as port,
        behind(HAPROXY, f"127.0.0.1:{port}", tmp_path, kinds) as proxy,
    ):
        asked = ["openssl", "s_client", "-connect", f"127.0.0.1:{proxy.port}", "-servername", HOST]
        said = subprocess.run(asked, input=b"", capture_output=True, timeout=20, check=False).stdout
    assert b"No client certificate CA names sent" in said
    assert b"Requested Signature Algorithms" in said


def test_an_application_can_listen_on_a_socket(kinds: Kinds, tmp_path: Path) -> None:
    """And the secret still proves the request."""
    observer, path = Observer("haproxy"), tmp_path / "app.sock"
    app = wrapped(observer, "haproxy", networks=[], unix_socket=True)
    with serving([PlainPort(path=path, app=app)]), behind(HAPROXY, f"unix:{path}", tmp_path, kinds) as proxy:
        assert proxy.ask(kinds["self-signed"]).json["thumbprint"] is not None, proxy.log


def test_the_guard_decides(kinds: Kinds, tmp_path: Path) -> None:
    """And says who calls; what a client says of the path is not what the guard is asked about."""
    with guarded(HAPROXY, tmp_path, kinds) as guard:
        require_that_it_asks(guard)
