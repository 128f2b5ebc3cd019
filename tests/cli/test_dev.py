"""`certbound dev`: ready in seconds, as it says, and the same again the next time."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from certbound.cli import main
from certbound.cli._development import Development, Place, make_folder, now_utc
from certbound.cli._servers import in_background, open_ports, place_of, serving
from certbound.cli.token import decode
from certbound.client import Identity, TokenRefused, fetch_metadata, open_client, request_token
from certbound.settings import load
from certbound.tls.hosts import is_loopback
from certbound.trust.authority import Authority, self_signed
from e2e.acting import App
from e2e.people import Browser, authorize
from e2e.world import World

from .at_home import LINK, Terminal, come_back
from .conftest import Certbound

FREE = ["--port", "0", "--mtls-port", "0", "--api-port", "0"]
PLACE = Place(host="127.0.0.1", name="localhost", port=1, mtls_port=2, api_port=3)


@dataclass
class Dev:
    folder: Path
    process: subprocess.Popen[str]
    seconds: float
    """From its start until dev.json was there."""

    @property
    def summary(self) -> Any:
        return json.loads((self.folder / "dev.json").read_text())

    @cached_property
    def lines(self) -> list[str]:
        """What it printed when it was ready."""
        assert self.process.stdout is not None
        printed = iter(self.process.stdout.readline, "")
        return [line.rstrip("\n") for line in takewhile(lambda line: not line.startswith("Ctrl-C"), printed)]

    def browser(self) -> Browser:
        """One that has not been here yet."""
        authority = Authority.load((self.folder / "ca.pem").read_bytes(), (self.folder / "ca.key").read_bytes())
        found, issuer = load(self.folder / "certbound.toml", {}), self.summary["issuer"]
        world = World(self.folder, authority, found, issuer=issuer, mtls=found.server.mtls_url or "")
        world.loop.close()
        return Browser(world)


@contextmanager
def dev(folder: Path) -> Iterator[Dev]:
    """It runs in the block and is ready; afterwards it is stopped as by Ctrl-C."""
    begun = time.monotonic()
    (folder / "dev.json").unlink(missing_ok=True)
    with subprocess.Popen(
        [sys.executable, "-m", "certbound.cli", "dev", "--dir", str(folder), *FREE],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            while not (folder / "dev.json").exists():
                assert process.poll() is None, process.communicate()
                assert time.monotonic() - begun < 60
                time.sleep(0.02)
            yield Dev(folder, process, time.monotonic() - begun)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    with dev(tmp_path_factory.mktemp("run") / "a folder") as ready:
        yield ready


def call_api(summary: Any, number: int, token: str) -> Any:
    client = summary["clients"][number]
    with open_client(Identity.load(Path(client["cert"]), Path(client["key"])), ca=Path(summary["ca"])) as http:
        return http.get(summary["resource_url"], headers={"authorization": f"Bearer {token}"})


def obtain(summary: Any, number: int) -> str:
    client = summary["clients"][number]
    with open_client(Identity.load(Path(client["cert"]), Path(client["key"])), ca=Path(summary["ca"])) as http:
        return request_token(http, fetch_metadata(http, summary["issuer"]), client["client_id"]).access_token


def thumbprints(development: Development) -> list[str]:
    return [member.identity.thumbprint for member in development.members]


class TestRunning:
    def test_it_is_ready_in_seconds(self, running: Dev) -> None:
        """Under five, on a machine that is not busy; twice that is a defect anywhere."""
        assert running.seconds < 10

    def test_dev_json_says_where_everything_is(self, running: Dev) -> None:
        """Issuer, API, CA, and the clients, the one with a certificate of the CA first; every path is absolute."""
        summary = running.summary
        assert set(summary) == {"issuer", "resource_url", "ca", "clients", "apps", "people"}
        assert [client["method"] for client in summary["clients"]] == ["tls_client_auth", "self_signed_tls_client_auth"]
        for path in (summary["ca"], *(client[name] for client in summary["clients"] for name in ("cert", "key"))):
            assert Path(path).is_absolute()
            assert Path(path).is_file()

    def test_its_clients_are_served(self, running: Dev) -> None:
        """Each gets a token, and the API says who called; with the other's certificate it says 401."""
        for number, client in enumerate(running.summary["clients"]):
            token = obtain(running.summary, number)
            assert call_api(running.summary, number, token).json()["client_id"] == client["client_id"]
            assert call_api(running.summary, 1 - number, token).status_code == 401

    def test_keys_are_the_owners_only(self, running: Dev) -> None:
        """No private key can be read by others, nor can the folder, and git is told to leave it alone."""
        keys = [*running.folder.glob("*.key"), running.folder / "certbound.sqlite", *running.folder.glob("*.password")]
        assert len(keys) == 7
        assert all(key.stat().st_mode & 0o077 == 0 for key in (*keys, running.folder))
        assert (running.folder / ".gitignore").read_text() == "*\n"

    def test_the_commands_work_on_it(self, running: Dev, capsys: pytest.CaptureFixture[str]) -> None:
        """Its certbound.toml is one that `client` and `config` accept, and shows its clients."""
        assert main(["client", "list", "--config", str(running.folder / "certbound.toml")]) == 0
        out = capsys.readouterr().out
        assert "billing" in out
        assert "warehouse" in out

    def test_a_person_lets_an_app_act_for_them(self, running: Dev) -> None:
        """The account that is printed at the start logs in, and the app learns who it is."""
        folder, [person] = running.folder, running.summary["people"]
        identity = self_signed("CN=app")
        (folder / "app.pem").write_bytes(identity.certificate_pem)
        options = ["--redirect-uri", "http://127.0.0.1/cb", "--scope", "openid profile read"]
        added = ["client", "add", "--config", str(folder / "certbound.toml"), "--id", "app", "--self-signed"]
        assert main([*added, str(folder / "app.pem"), *options]) == 0
        browser, issuer = running.browser(), running.summary["issuer"]
        world = browser.world
        deadline = time.monotonic() + 10  # another process registered it; the server hears of it within a second
        while b"no such app" in world.ask(f"{issuer}/authorize?client_id=app", method="GET").body:
            assert time.monotonic() < deadline, "the server never heard of the app"
            time.sleep(0.1)
        app = App(world, "app", identity, redirect_uri="http://127.0.0.1:4711/cb")
        password = Path(person["password_file"]).read_text().strip()
        asked = app.request(scope="openid profile")
        code = authorize(world, "app", asked, person["username"], password, browser=browser)
        token = app.redeem(code).json["access_token"]
        assert app.userinfo(token).json["name"] == "Anna Nová"

    def test_the_printed_login_works_when_pasted(
        self, running: Dev, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, certbound: Certbound
    ) -> None:
        """Line by line: Anna logs in with the password that is printed, the API hears of it, and it ends."""
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
        pasted = [shlex.split(line)[1:] for line in running.lines if line.startswith("certbound ")]
        [login, curl, logout] = [each for each in pasted if each[0] in {"login", "curl", "logout"}]
        [said] = [
            found for line in running.lines if (found := re.match(r"# (\w+) logs in with the password (\S+);", line))
        ]
        terminal, browser = Terminal(*login, "--no-browser"), running.browser()
        page = browser.decide(browser.visit(terminal.read(LINK)), *said.groups())
        assert come_back(page.location).status == 200, page
        told = terminal.end()
        assert (told.status, told.err) == (0, ""), told
        assert "Anna Nová" in told.out
        assert [login[login.index("--client-id") + 1]] == [each["client_id"] for each in running.summary["apps"]]
        assert json.loads(certbound(*curl).out)["client_id"] == "tool"
        assert certbound(*logout).status == 0
        assert not list((tmp_path / "certbound" / "logins").iterdir())

    def test_only_the_api_root_is_there(self, running: Dev) -> None:
        """What is not `GET /` is answered in JSON, once the guard has let it pass."""
        token, summary = obtain(running.summary, 0), running.summary
        elsewhere = {**summary, "resource_url": summary["resource_url"] + "/other"}
        assert call_api(elsewhere, 0, token).status_code == 404
        assert call_api(elsewhere, 0, "x").status_code == 401


@pytest.mark.peers
def test_the_printed_lines_work_when_pasted(tmp_path: Path) -> None:
    """Run by bash and curl one after the other, from a folder with a space: token, 200, two refusals, another token."""
    if shutil.which("curl") is None:
        pytest.fail("curl is needed; apt-get install curl")
    with dev(tmp_path / "a folder") as ready:
        lines = []
        assert ready.process.stdout is not None
        for line in ready.process.stdout:
            if line.startswith("Ctrl-C"):
                break
            if line.startswith(("curl ", "TOKEN=")):
                lines.append(line.rstrip("\n"))
        assert len(lines) == 5
        script = "set -euo pipefail\n" + "\necho\n".join(lines)
        done = subprocess.run(
            ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
    assert (done.returncode, done.stderr) == (0, "")
    answers = [json.loads(line) for line in done.stdout.splitlines() if line]
    assert [answer.get("client_id") or answer.get("error") or answer["token_type"] for answer in answers] == [
        "billing", "invalid_token", "invalid_token", "Bearer",
    ]  # fmt: skip


def test_more_resources(tmp_path: Path) -> None:
    """Tokens can be for an API of one's own; without that, for the sample API only."""
    sockets = open_ports("127.0.0.1", (0, 0, 0))
    own = "https://api.example/orders"
    ready = make_folder(tmp_path, place_of("127.0.0.1", sockets), now=now_utc(), more_resources=[own])
    with in_background(lambda: serving(ready, sockets)), open_client(ready.members[0].identity, ca=ready.ca) as http:
        server = fetch_metadata(http, ready.place.issuer)
        for resource, expected in ((own, own), (None, ready.place.resource_url)):
            token = request_token(http, server, "billing", resources=[resource] if resource else [])
            assert (decode(token.access_token) or ({}, {}))[1]["aud"] == expected


def test_ctrl_c_ends_it_in_order(tmp_path: Path) -> None:
    """Exit status 0, the lines on standard output, and no traceback."""
    with dev(tmp_path / "dev") as ready:
        ready.process.send_signal(signal.SIGINT)
        out, err = ready.process.communicate(timeout=30)
    assert ready.process.returncode == 0
    assert not (tmp_path / "dev" / "dev.json").exists()
    assert "FOR DEVELOPMENT ONLY" in out
    assert "Traceback" not in err


class TestAgain:
    def test_the_same_folder_is_used_again(self, tmp_path: Path) -> None:
        """Nothing is made anew, and tokens are signed with the same key; only the ports are others."""
        with dev(tmp_path / "dev") as first:
            token, before = obtain(first.summary, 0), first.summary
        files = {each.name: each.read_bytes() for each in (tmp_path / "dev").glob("*.[pk]e[my]")}
        with dev(tmp_path / "dev") as second:
            obtain(second.summary, 0)
            assert second.summary["clients"] == before["clients"]
            # Of the issuer as it was called before, so it is refused, for that reason alone.
            assert call_api(second.summary, 0, token).status_code == 401
        assert len(files) == 10
        assert {each.name: each.read_bytes() for each in (tmp_path / "dev").glob("*.[pk]e[my]")} == files

    def test_what_ends_within_a_day_is_renewed(self, tmp_path: Path) -> None:
        """Not sooner; the authorities, which last longer, stay."""
        now = now_utc()
        first = make_folder(tmp_path, PLACE, now=now)
        billing, warehouse = thumbprints(first)
        assert thumbprints(make_folder(tmp_path, PLACE, now=now + timedelta(days=88))) == [billing, warehouse]
        later = make_folder(tmp_path, PLACE, now=now + timedelta(days=89.5))
        assert thumbprints(later)[0] != billing
        assert thumbprints(later)[1] == warehouse
        assert later.client_authority.certificate == first.client_authority.certificate
        again = make_folder(tmp_path, PLACE, now=now + timedelta(days=364.5))
        assert thumbprints(again)[1] != warehouse

    def test_a_renewed_self_signed_certificate_is_registered(self, tmp_path: Path) -> None:
        """The server knows it at the next start, and the old one no more."""
        sockets = open_ports("127.0.0.1", (0, 0, 0))
        place = place_of("127.0.0.1", sockets)
        first = make_folder(tmp_path, place, now=now_utc())
        old = first.members[1].identity
        with in_background(lambda: serving(first, sockets)):
            pass
        (tmp_path / "warehouse.key").unlink()
        sockets = open_ports("127.0.0.1", (0, 0, 0))
        second = make_folder(tmp_path, place_of("127.0.0.1", sockets), now=now_utc())
        with in_background(lambda: serving(second, sockets)):
            for identity, works in ((second.members[1].identity, True), (old, False)):
                with open_client(identity, ca=second.ca) as http:
                    server = fetch_metadata(http, second.place.issuer)
                    if works:
                        assert request_token(http, server, "warehouse").expires_in == 300
                    else:
                        with pytest.raises(TokenRefused, match="invalid_client"):
                            request_token(http, server, "warehouse")

    def test_another_authority_takes_its_certificates_along(self, tmp_path: Path) -> None:
        """A client's certificate of an authority that is gone is renewed, and so is the server's."""
        billing, warehouse = thumbprints(make_folder(tmp_path, PLACE, now=now_utc()))
        server = (tmp_path / "server.pem").read_bytes()
        for name in ("ca.key", "client-ca.pem"):
            (tmp_path / name).unlink()
        second = make_folder(tmp_path, PLACE, now=now_utc())
        assert thumbprints(second)[0] != billing
        assert thumbprints(second)[1] == warehouse
        assert (tmp_path / "server.pem").read_bytes() != server

    def test_another_name_needs_another_server_certificate(self, tmp_path: Path) -> None:
        """It is renewed when it does not name the host, and not when it does."""
        make_folder(tmp_path, PLACE, now=now_utc())
        server = (tmp_path / "server.pem").read_bytes()
        other = Place(host="192.0.2.1", name="192.0.2.1", port=1, mtls_port=2, api_port=3)
        make_folder(tmp_path, other, now=now_utc())
        renewed = (tmp_path / "server.pem").read_bytes()
        assert renewed != server
        make_folder(tmp_path, PLACE, now=now_utc())
        assert (tmp_path / "server.pem").read_bytes() == renewed


class TestRefused:
    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])
    def test_other_machines_are_kept_out(self, tmp_path: Path, host: str, capsys: pytest.CaptureFixture[str]) -> None:
        """An address that is not loopback is refused before anything is made, unless told."""
        assert main(["dev", "--dir", str(tmp_path / "dev"), "--host", host, *FREE]) == 1
        assert "--allow-remote" in capsys.readouterr().err
        assert not (tmp_path / "dev").exists()

    def test_a_port_in_use(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """One sentence names it, and a folder that another one serves from is not touched."""
        taken = open_ports("127.0.0.1", (0,))
        port = taken[0].getsockname()[1]
        try:
            more = ["--port", "0", "--mtls-port", "0", "--api-port", str(port)]
            assert main(["dev", "--dir", str(tmp_path / "dev"), *more]) == 1
        finally:
            taken[0].close()
        assert f"cannot listen on 127.0.0.1:{port}" in capsys.readouterr().err
        assert not (tmp_path / "dev").exists()

    def test_a_folder_that_cannot_be_made(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """One sentence names it."""
        (tmp_path / "file").write_text("")
        assert main(["dev", "--dir", str(tmp_path / "file" / "dev"), *FREE]) == 1
        assert str(tmp_path / "file") in capsys.readouterr().err


def test_loopback_is_told_from_the_rest() -> None:
    """By number, not by what a name may resolve to."""
    assert all(map(is_loopback, ("127.0.0.1", "127.0.0.2", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "localhost.example", "")))


@pytest.mark.skipif(not os.path.exists("/proc/net/if_inet6"), reason="no IPv6 here")  # noqa: PTH110
def test_ipv6_loopback(tmp_path: Path) -> None:
    """`--host ::1` serves the same under its number."""
    sockets = open_ports("::1", (0, 0, 0))
    ready = make_folder(tmp_path, place_of("::1", sockets), now=now_utc())
    with in_background(lambda: serving(ready, sockets)), open_client(ca=ready.ca) as http:
        assert fetch_metadata(http, ready.place.issuer).issuer == ready.place.issuer
