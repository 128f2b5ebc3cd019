"""What nginx alone does."""

from pathlib import Path

import pytest

from certbound.tls import PlainPort
from proxies.asked import guarded, require_that_it_asks
from proxies.frame import HOST, Kinds, Observer, behind, served, serving, wrapped
from proxies.programs import NGINX

pytestmark = pytest.mark.proxies


def test_the_guard_decides(kinds: Kinds, tmp_path: Path) -> None:
    """And says who calls; what a client says of the path is not what the guard is asked about."""
    with guarded(NGINX, tmp_path, kinds) as guard:
        require_that_it_asks(guard)


def test_the_guards_own_path_is_nobodys(kinds: Kinds, tmp_path: Path) -> None:
    """A client that names it reaches neither the guard nor the application."""
    with guarded(NGINX, tmp_path, kinds) as guard:
        for path in ("/.certbound-guard", "/./.certbound-guard", "/%2ecertbound-guard", "//.certbound-guard"):
            assert 404 == guard.call("CA-signed", path=path).status, path
            assert [] == guard.asked.requests
            assert [] == guard.observer.seen


def test_no_answer_from_the_guard_is_a_refusal(kinds: Kinds, tmp_path: Path) -> None:
    """A guard that is away lets nobody through."""
    observer = Observer("nginx")
    with (
        served(observer) as port,
        behind(
            NGINX, f"127.0.0.1:{port}", tmp_path, kinds, purpose="guard", options=["--guard", "127.0.0.1:9"]
        ) as proxy,
    ):
        assert 500 == proxy.ask(kinds["CA-signed"]).status
        assert [] == observer.seen


def test_a_configuration_without_the_secret_is_believed_by_nobody(kinds: Kinds, tmp_path: Path) -> None:
    """So who forgets the line sees no certificate at all, instead of a hole."""
    observer = Observer("nginx")
    app = wrapped(observer, "nginx", secrets=["6f" * 32])
    with served(app) as port, behind(NGINX, f"127.0.0.1:{port}", tmp_path, kinds) as proxy:
        assert proxy.ask(kinds["CA-signed"]).json["thumbprint"] is None
        assert observer.seen[0]["leaked"] == []


def test_an_application_can_listen_on_a_socket(kinds: Kinds, tmp_path: Path) -> None:
    """And the secret still proves the request."""
    observer, path = Observer("nginx"), tmp_path / "app.sock"
    app = wrapped(observer, "nginx", networks=[], unix_socket=True)
    with (
        serving([PlainPort(path=path, app=app)]),
        behind(NGINX, f"unix:{path}", tmp_path, kinds) as proxy,
    ):
        path.chmod(0o666)
        own = proxy.ask(kinds["self-signed"])
        assert 200 == own.status, proxy.log
        assert own.json["thumbprint"] is not None
        assert dict(map(tuple, own.json["headers"]))["host"] == HOST
