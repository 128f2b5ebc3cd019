"""What Apache alone does."""

from pathlib import Path

import pytest

from certbound.cli import main
from certbound.tls import PlainPort
from proxies.frame import Kinds, Observer, behind, read_response, request, served, serving, wrapped
from proxies.programs import APACHE

pytestmark = pytest.mark.proxies


def test_it_asks_no_guard(capsys: pytest.CaptureFixture[str]) -> None:
    """None of its own modules can, Lua's has no client: the command prints nothing, and says what can."""
    assert 1 == main(["proxy-config", "apache", "--for", "guard"])
    said = capsys.readouterr()
    assert "" == said.out
    assert "apache cannot be had for guard: it asks no other service about a request by itself" in said.err
    assert "let nginx, HAProxy, Envoy, Traefik or Caddy ask the guard" in said.err


def test_connection_goes_no_further(kinds: Kinds, tmp_path: Path) -> None:
    """Nothing but `close` is left of it, however a client writes that; a connection stays open if it does not."""
    observer = Observer("apache")
    with (
        served(wrapped(observer, "apache")) as port,
        behind(APACHE, f"127.0.0.1:{port}", tmp_path, kinds) as proxy,
    ):
        own = proxy.ask(kinds["CA-signed"]).json["thumbprint"]
        assert own is not None
        for value in (
            "close",
            "CLOSE , x-ssl-client-cert",
            "x-ssl-client-verify,close",
            "close, certbound-proxy-secret",
        ):
            assert own == proxy.ask(kinds["CA-signed"], ("Connection", value)).json["thumbprint"], value
        with proxy.connect(kinds["CA-signed"]) as stream:
            for _ in range(3):
                stream.sendall(request(("Connection", "keep-alive, x-ssl-client-cert, certbound-proxy-secret")))
                assert own.encode() in read_response(stream)


def test_an_application_can_listen_on_a_socket(kinds: Kinds, tmp_path: Path, open_folder: Path) -> None:
    """And the secret still proves the request."""
    observer, path = Observer("apache"), open_folder / "app.sock"
    app = wrapped(observer, "apache", networks=[], unix_socket=True)
    with serving([PlainPort(path=path, app=app)]):
        path.chmod(0o666)  # before Apache first looks: what it cannot reach it leaves alone for a minute
        with behind(APACHE, f"unix:{path}", tmp_path, kinds) as proxy:
            assert proxy.ask(kinds["self-signed"]).json["thumbprint"] is not None, proxy.log
