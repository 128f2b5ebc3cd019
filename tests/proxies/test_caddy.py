"""What only Caddy does."""

from pathlib import Path

import pytest

from proxies.asked import guarded, require_that_it_asks
from proxies.frame import ISSUER_HOST, Kinds, Observer, behind, printed, served, wrapped
from proxies.programs import CADDY

pytestmark = pytest.mark.proxies


def test_it_reaches_an_application_on_a_socket() -> None:
    """The words for it stand there."""
    assert "reverse_proxy unix//run/app.sock {" in printed("caddy", "--upstream", "unix:/run/app.sock")


def test_a_host_that_is_not_there_has_no_answer(kinds: Kinds, tmp_path: Path) -> None:
    """Caddy by itself answers 200 with nothing, which clients take for success."""
    observer = Observer("caddy")
    with served(wrapped(observer, "caddy")) as port, behind(CADDY, f"127.0.0.1:{port}", tmp_path, kinds) as proxy:
        assert 0 == proxy.ask(kinds["CA-signed"], name=ISSUER_HOST, host=ISSUER_HOST).status
        assert [] == observer.seen


def test_the_guard_decides(kinds: Kinds, tmp_path: Path) -> None:
    """And says who calls; what a client says of the path is not what the guard is asked about."""
    with guarded(CADDY, tmp_path, kinds) as guard:
        require_that_it_asks(guard)
