"""`certbound login` and `certbound logout`: what a person lets a machine do, where it is kept, and how it ends."""

import json
import os
import socket
import ssl
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, time
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from certbound.cli._kept_identity import KeptToken, Login, data_folder, kept_at
from certbound.cli._loopback import Judge, Loopback, listening
from certbound.client import RedirectUnusable
from certbound.core.errors import ConfigurationError
from certbound.trust.authority import Authority, Issued, self_signed

from .at_home import LINK, SECRET, Home, Terminal, at_home, come_back, log_in, register_machine
from .conftest import Certbound


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with at_home(tmp_path_factory.mktemp("home")) as running:
        yield running


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this person's programs keep things."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path / "data"


def files(folder: Path) -> dict[str, int]:
    return {
        path.relative_to(folder).as_posix(): stat.S_IMODE(path.stat().st_mode)
        for path in [folder, *folder.rglob("*")]
    }  # fmt: skip


class TestLoggingIn:
    def test_a_login_is_used_by_everything_else(self, home: Home, data: Path, certbound: Certbound) -> None:
        """The person is told who they are; tokens are theirs and bound to the certificate made here; and it ends."""
        told = log_in(home, "--scope", "openid profile read")
        assert told.status == 0, told
        assert "Anna Nová" in told.out
        assert not SECRET.search(told.out + told.err)
        # Private to the person, and named after nobody.
        folder = kept_at(home.issuer).folder
        assert folder.is_relative_to(data)
        assert {0o700} == {stat.S_IMODE(each.stat().st_mode) for each in (folder, folder.parent, folder.parent.parent)}
        assert files(folder) == {
            ".": 0o700, "identity.pem": 0o600, "certificate.pem": 0o600, "login.json": 0o600,
        }  # fmt: skip
        certificate = x509.load_pem_x509_certificate((folder / "certificate.pem").read_bytes())
        assert certificate.subject.rfc4514_string() == certificate.issuer.rfc4514_string() == "CN=certbound"
        assert not any(isinstance(each.value, x509.SubjectAlternativeName) for each in certificate.extensions)
        assert certificate.not_valid_before_utc.time() == time(23)  # an hour before midnight, whenever it was
        # It is used.
        assert "to the certificate just used" in certbound("token").out
        called = certbound("curl", home.api)
        assert (called.status, json.loads(called.out)["client_id"]) == (0, "app"), called
        # It ends, here and there.
        kept, identity = json.loads((folder / "login.json").read_text()), identity_of(home.issuer)
        assert certbound("logout").out == f"Logged out at {home.issuer}\n"
        assert not folder.exists()
        assert refresh(home, kept["refresh_token"], identity) == "invalid_grant"
        assert "nobody is logged in" in certbound("token").err

    def test_the_link_is_as_the_rfcs_want_it(self, home: Home) -> None:
        """Pushed beforehand, so that neither state nor scope is in the link; whoever says no is told so."""
        terminal = Terminal("login", home.issuer, "--client-id", "app", "--ca", home.ca, "--no-browser")
        link = terminal.read(LINK)
        assert set(parse_qs(urlsplit(link).query)) == {"client_id", "request_uri"}
        page = home.visit(link, "deny")
        assert urlsplit(page.location).netloc.startswith("127.0.0.1:")
        answer = come_back(page.location)
        assert answer.status == 200
        assert b"close this page" in answer.body
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        told = terminal.end()
        assert told.status == 1
        assert "refused with access_denied" in told.err.splitlines()[-1]
        assert kept_at(home.issuer).find_login() is None

    def test_only_the_answer_counts(self, home: Home) -> None:
        """Not one with another state, of another issuer, at another path, under another name, or a second one."""
        terminal = Terminal("login", home.issuer, "--client-id", "app", "--ca", home.ca, "--no-browser")
        back = home.visit(terminal.read(LINK)).location

        def changed(**members: str) -> str:
            parts = urlsplit(back)
            said = {name: values[0] for name, values in parse_qs(parts.query).items()}
            return urlunsplit(parts._replace(query=urlencode({**said, **members})))

        assert come_back(changed(state="A" * 43)).status == 400
        assert come_back(changed(iss="https://other.example")).status == 400
        assert come_back(changed(error="access_denied", state="x")).status == 400
        assert come_back(f"{back}&code=other").status == 400
        assert come_back(back.replace("/?", "/elsewhere?")).status == 404
        assert come_back(back, Host="evil.example").status == 421
        # A browser opens connections that it does not use.
        with socket.create_connection(("127.0.0.1", urlsplit(back).port or 0)):
            assert come_back(back).status == 200
            assert terminal.end().status == 0
        with pytest.raises(OSError):
            come_back(back)

    def test_another_login_ends_the_one_before(self, home: Home, certbound: Certbound) -> None:
        """One certificate for the issuer, whoever logs in; the refresh token of before is worth nothing."""
        kept = kept_at(home.issuer)
        log_in(home)
        first, certificate = kept.find_login(), kept.certificate.read_bytes()
        log_in(home)
        assert kept.certificate.read_bytes() == certificate
        assert first is not None
        assert first.refresh_token is not None
        assert refresh(home, first.refresh_token, identity_of(home.issuer)) == "invalid_grant"
        assert certbound("token", "--scope", "read").status == 0
        # Who vouches for the servers was kept with the first.
        terminal = Terminal("login", home.issuer, "--client-id", "app", "--no-browser")
        assert come_back(home.visit(terminal.read(LINK)).location).status == 200
        assert terminal.end().status == 0
        assert certbound("whoami").status == 0

    def test_a_registered_certificate(self, home: Home, certbound: Certbound) -> None:
        """What --prepare says registers it; until then the login is refused with that same line."""
        told = certbound("login", home.issuer, "--client-id", "mine", "--prepare")
        line = next(each for each in told.out.splitlines() if each.startswith("certbound client add"))
        refused = certbound("login", home.issuer, "--client-id", "mine", "--ca", home.ca, "--no-browser")
        assert (refused.status, refused.out) == (1, "")
        assert "invalid_client" in refused.err.splitlines()[-1]
        assert line in refused.err.splitlines()[-1]
        register_machine(home, certbound, "mine")
        assert log_in(home, client_id="mine").status == 0
        assert certbound("logout", "--keep-certificate").status == 0
        assert log_in(home, client_id="mine").status == 0

    @pytest.mark.wide  # the issuer wants five seconds between two polls
    def test_without_a_browser_here(self, home: Home, certbound: Certbound) -> None:
        """The code is typed elsewhere."""
        terminal = Terminal("login", home.issuer, "--client-id", "app", "--ca", home.ca, "--device")
        code = terminal.read(r"\b[A-Z]{4}-[A-Z]{4}\b")
        page = home.browser.send(home.browser.visit("/device"), user_code=code)
        home.browser.send(page, "allow")
        told = terminal.end()
        assert told.status == 0, told
        assert not SECRET.search(told.out + told.err)
        assert certbound("curl", home.api).status == 0

    def test_the_browser_is_opened(self, home: Home, data: Path, tmp_path: Path) -> None:
        """By the platform's way; the link is for the browser and not for the terminal."""
        found = tmp_path / "link"
        browser = tmp_path / "browser"
        browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {found}.new && mv {found}.new {found}\n')
        browser.chmod(0o700)
        command = [sys.executable, "-m", "certbound.cli", "login", home.issuer, "--client-id", "app", "--ca", home.ca]
        environment = {**os.environ, "BROWSER": str(browser)}
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as running:
            for _ in range(1500):
                if found.exists() or running.poll() is not None:
                    break
                running_wait(running)
            come_back(home.visit(found.read_text()).location)
            out, _ = running.communicate(timeout=30)
        assert running.returncode == 0, out
        assert b"request_uri" not in out

    def test_the_certificate_goes_over_tls_1_3_alone(self, certbound: Certbound, tmp_path: Path) -> None:
        """It stands for one person, and TLS 1.2 would show it to the network (RFC 8705 section 8)."""
        authority = Authority.create("servers")
        server = authority.issue("CN=localhost", dns=["localhost"], usage="server")
        (tmp_path / "ca.pem").write_bytes(authority.certificate_pem)
        (tmp_path / "server.pem").write_bytes(server.key_pem + server.certificate_pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "server.pem")
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        refused = []

        def serve(listening: socket.socket) -> None:
            with listening.accept()[0] as stream:
                try:
                    context.wrap_socket(stream, server_side=True).close()
                except ssl.SSLError as error:
                    refused.append(error.reason)

        with socket.create_server(("127.0.0.1", 0)) as listening:
            thread = threading.Thread(target=serve, args=(listening,))
            thread.start()
            issuer = f"https://localhost:{listening.getsockname()[1]}"
            told = certbound("login", issuer, "--client-id", "app", "--ca", str(tmp_path / "ca.pem"), "--no-browser")
            thread.join(20)
        assert told.status == 1
        assert "cannot be reached: TLS failed" in told.err
        assert refused == ["UNSUPPORTED_PROTOCOL"]

    @pytest.mark.parametrize("issuer", ["localhost:8443", "http://localhost", "https://", "https://u:p@localhost"])
    def test_an_issuer_is_https(self, issuer: str, data: Path, certbound: Certbound) -> None:
        """It is said before anything is made for it."""
        for more in ((), ("--prepare",)):
            told = certbound("login", issuer, "--client-id", "app", *more)
            assert told.status == 2
            assert "is not an https URL; write the issuer as it does" in " ".join(told.err.split())
        assert not data.exists()

    @pytest.mark.parametrize(
        ("more", "status", "said"),
        [
            (("--redirect-path", "back"), 2, "begins with /"),
            (("--scope", "everything"), 1, "invalid_scope"),
            (("--resource", "https://nowhere.example"), 1, "invalid_target"),
            (("--scope", "openid,read"), 1, "one space between them"),
            (
                ("--redirect-path", "/other"),
                1,
                "http://127.0.0.1/other has to be registered for app, or say with --red",
            ),
            (("--wait", "1"), 1, "nobody came back from the browser within 1 s; try again"),
        ],
    )
    def test_a_failure_is_one_sentence(
        self, home: Home, certbound: Certbound, more: tuple[str, ...], status: int, said: str
    ) -> None:
        """And nobody is logged in."""
        told = certbound("login", home.issuer, "--client-id", "app", "--ca", home.ca, "--no-browser", *more)
        assert told.status == status
        # The server's own log is on standard error too; what the command says comes last.
        assert said in (told.err.splitlines()[-1] if status == 1 else told.err)
        assert kept_at(home.issuer).find_login() is None


class TestKeeping:
    def test_two_processes_use_one_refresh_token_after_the_other(self, home: Home, certbound: Certbound) -> None:
        """Who holds the lock is waited for; what one process obtained, the next one uses."""
        log_in(home)
        with kept_at(home.issuer).locked():
            waiting = Terminal("token", "--raw")
            assert waiting.is_running()
            _expire(home.issuer)
        assert waiting.end().out == certbound("token", "--raw").out

    def test_what_others_can_read_is_not_used(self, home: Home, certbound: Certbound) -> None:
        """The file is named, and nothing of it is shown."""
        log_in(home)
        for name in ("login.json", "identity.pem", "."):
            file = kept_at(home.issuer).folder / name
            before = file.stat().st_mode
            file.chmod(0o744)
            told = certbound("token")
            assert told.status == 1
            assert "can be read by others" in told.err
            file.chmod(before)
        assert certbound("token").status == 0

    def test_a_broken_file_is_a_sentence(self, home: Home, certbound: Certbound) -> None:
        """Nothing of what is in it is shown."""
        log_in(home)
        file = kept_at(home.issuer).folder / "login.json"
        file.write_bytes(file.read_bytes()[:-20])
        told = certbound("token", "--issuer", home.issuer)
        assert told.status == 1
        assert "holds no login" in told.err
        assert not SECRET.search(told.err)

    def test_a_login_that_is_over_says_how_to_begin_anew(self, home: Home, certbound: Certbound) -> None:
        """The issuer took it back; or the certificate is another one."""
        log_in(home)
        login = kept_at(home.issuer).find_login()
        assert login is not None
        assert home.world.post("revoke", "app", identity_of(home.issuer), token=login.refresh_token).status == 200
        _expire(home.issuer)
        told = certbound("token")
        assert told.status == 1
        assert f"certbound login {home.issuer} --client-id app" in told.err
        (kept_at(home.issuer).folder / "identity.pem").unlink()
        assert f"certbound login {home.issuer} --client-id app" in certbound("token").err

    def test_logout_without_the_server(self, home: Home, certbound: Certbound, tmp_path: Path) -> None:
        """Nothing is removed unless that was said."""
        log_in(home)
        kept = kept_at(home.issuer)
        file = kept.folder / "login.json"
        file.write_text(file.read_text().replace(home.ca, str(tmp_path / "missing.pem")))
        told = certbound("logout")
        assert told.status == 1
        assert "--forget" in told.err
        assert file.exists()
        assert certbound("logout", "--forget").status == 0
        assert not kept.folder.exists()

    def test_a_certificate_in_its_last_week_is_not_begun_with(self) -> None:
        """The next login has another one; one that lasts stays."""
        kept, now = kept_at("https://as.example"), datetime.now(UTC)
        with kept.locked():
            first = kept.lasting_identity()
            assert kept.lasting_identity().thumbprint == first.thumbprint
            for days, stays in ((8, True), (6, False)):
                issued = self_signed("CN=certbound", now=now, days=days)
                (kept.folder / "identity.pem").write_bytes(issued.key_pem + issued.certificate_pem)
                assert (kept.lasting_identity().certificate.der == issued.der) is stays

    def test_what_another_account_has_is_not_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """However private: whoever put it there knows it."""
        kept = kept_at("https://as.example")
        with kept.locked():
            kept.lasting_identity()
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
        with pytest.raises(ConfigurationError, match="log in again"):
            kept.find_identity()

    def test_whoever_waited_for_a_folder_that_is_gone_makes_another(self) -> None:
        """A logout removes it while somebody else waits; that one keeps what it has, and holds the lock of all."""
        kept = kept_at("https://as.example")
        login = Login(issuer=kept.issuer, client_id="app", thumbprint="none")

        def keep() -> bool:
            with kept.locked():
                kept.keep(login)
                return kept.find_login() == login

        with ThreadPoolExecutor(1) as threads:
            with kept.locked():
                waiting = threads.submit(keep)
                with pytest.raises(TimeoutError):
                    waiting.result(0.2)
                kept.remove(certificate=True)
            assert waiting.result(20)

    def test_a_kept_token_is_used_for_what_it_was_asked_for(self) -> None:
        """The same scope and the same APIs, until half a minute before it ends."""
        made = KeptToken(access_token="secret", ends_at=1000, asked_scope="read", asked_resources=("https://api",))
        assert made.is_for("read", ("https://api",), 969)
        assert not made.is_for("read", ("https://api",), 971)
        assert not made.is_for(None, ("https://api",), 0)
        assert not made.is_for("read", (), 0)
        assert "secret" not in repr(made)

    @pytest.mark.parametrize(("given", "below"), [("", ".local/share"), ("relative", ".local/share"), ("/x", "/x")])
    def test_the_platforms_folder(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: str, below: str
    ) -> None:
        """As the XDG Base Directory Specification has it."""
        monkeypatch.setattr(sys, "platform", "linux")
        monkeypatch.setenv("XDG_DATA_HOME", given)
        assert data_folder() == tmp_path / below / "certbound" / "logins"


@contextmanager
def coming_back(judge: Judge) -> Iterator[tuple[Loopback, "Future[str]"]]:
    """Somebody waits at /back for what `judge` takes."""
    with listening("/back") as loopback, ThreadPoolExecutor(1) as threads:
        yield loopback, threads.submit(loopback.wait, judge, 20)


def say(loopback: Loopback, target: str, *hosts: str) -> int:
    """What is answered to a request that no browser would write."""
    place = urlsplit(loopback.redirect_uri).netloc
    lines = [f"GET {target} HTTP/1.1", *(f"Host: {host or place}" for host in hosts or ("",)), "", ""]
    with socket.create_connection(("127.0.0.1", int(place.rpartition(":")[2])), timeout=20) as connection:
        connection.sendall("\r\n".join(lines).encode())
        return int(connection.recv(4096).split()[1])


class TestComingBack:
    def test_it_came_by_the_one_name_and_path(self) -> None:
        """Two names are none, and what only looks like a path is none."""
        with coming_back(lambda url: url) as (loopback, came):
            assert say(loopback, "/back?code=a", "", "evil.example") == 421
            assert say(loopback, "/back?code=a", "evil.example") == 421
            assert say(loopback, "@evil.example/back?code=a") == 404
            assert say(loopback, f"{loopback.redirect_uri}?code=a") == 404
            assert not came.done()
            assert say(loopback, "/back?code=b") == 200
            assert came.result(20) == f"{loopback.redirect_uri}?code=b"

    def test_of_two_answers_at_once_the_first_counts(self) -> None:
        """Whoever is second is told so, even if both were judged before either was taken."""
        both = threading.Barrier(2)

        def judge(url: str) -> str:
            both.wait(20)
            return url

        with coming_back(judge) as (loopback, came), ThreadPoolExecutor(2) as threads:
            answers = list(threads.map(lambda code: (say(loopback, f"/back?code={code}"), code), "ab"))
            [taken] = [code for status, code in answers if status == 200]
            assert {status for status, _ in answers} == {200, 400}
            assert came.result(20).endswith(f"code={taken}")


def test_nobody_waits_for_ever() -> None:
    """The port is closed when the time is over."""

    def judge(_: str) -> str:
        raise RedirectUnusable("no")

    with listening("/back") as loopback:
        assert loopback.redirect_uri.startswith("http://127.0.0.1:")
        with pytest.raises(ConfigurationError, match="nobody came back"):
            loopback.wait(judge, 0.1)
    with pytest.raises(OSError):
        come_back(loopback.redirect_uri)


def identity_of(issuer: str) -> Issued:
    """The certificate of the login."""
    pem = (kept_at(issuer).folder / "identity.pem").read_bytes()
    return Issued(x509.load_pem_x509_certificate(pem), load_pem_private_key(pem, None))


def refresh(home: Home, refresh_token: str, identity: Issued) -> str:
    """What the server says to whoever has the refresh token and the certificate."""
    answer = home.world.post("token", "app", identity, grant_type="refresh_token", refresh_token=refresh_token)
    return str(answer.json.get("error", "fine"))


def running_wait(running: subprocess.Popen[bytes]) -> None:
    """A moment, or its end."""
    try:
        running.wait(0.02)
    except subprocess.TimeoutExpired:
        return


def _expire(issuer: str) -> None:
    """The access tokens that are kept have ended."""
    file = kept_at(issuer).folder / "login.json"
    login = json.loads(file.read_text())
    login["tokens"] = [{**each, "ends_at": 1.0} for each in login["tokens"]]
    file.write_text(json.dumps(login))
