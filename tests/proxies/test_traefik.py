"""What only Traefik does."""

from pathlib import Path

import pytest

from certbound.cli import main
from proxies.asked import guarded, require_that_it_asks
from proxies.frame import HOST, Kinds, Observer, behind, printed, running, served, wrapped
from proxies.programs import TRAEFIK

pytestmark = pytest.mark.proxies


def test_without_the_host_rule_nobody_is_asked(kinds: Kinds, tmp_path: Path) -> None:
    """So the printed rule has one: with a path alone Traefik leaves the TLS options unused, and says so in its log."""
    observer = Observer("traefik")
    with served(wrapped(observer, "traefik")) as port:
        with behind(TRAEFIK, f"127.0.0.1:{port}", tmp_path, kinds) as proxy:
            assert proxy.ask(kinds["CA-signed"]).json["thumbprint"] is not None
        text = proxy.printed.replace(f"Host(`{HOST}`)", "PathPrefix(`/`)").replace(
            "sniStrict: true", "sniStrict: false"
        )
        with running(TRAEFIK, text, proxy.port, tmp_path, kinds) as wrong:
            assert wrong.ask(kinds["CA-signed"]).json["thumbprint"] is None


def test_it_reaches_no_application_on_a_socket(capsys: pytest.CaptureFixture[str]) -> None:
    """The command says what to do."""
    assert 1 == main(["proxy-config", "traefik", "--upstream", "unix:/run/app.sock"])
    assert "let the application listen on address:port" in capsys.readouterr().err


def test_the_options_of_the_entry_point_stand_in_the_comment() -> None:
    """They are static, so no file of the provider can hold them."""
    assert "#   --entryPoints.certbound.http.aliasHeadersStrategy=reject" in printed("traefik").splitlines()


def test_the_guard_decides(kinds: Kinds, tmp_path: Path) -> None:
    """And says who calls; what a client says of the path is not what the guard is asked about."""
    with guarded(TRAEFIK, tmp_path, kinds) as guard:
        require_that_it_asks(guard)
