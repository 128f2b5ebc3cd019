"""`certbound curl`: which token goes where, what is printed, and what is never sent."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from certbound.cli._kept_identity import kept_at
from certbound.core.certificate import read_certificate
from certbound.trust.authority import self_signed
from client.served import Served, served

from .at_home import SECRET, Home, at_home, log_in
from .conftest import Certbound

TOKEN = "cbat_" + "a" * 43


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with at_home(tmp_path_factory.mktemp("home")) as running:
        yield running


@pytest.fixture(autouse=True)
def _data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    """An issuer and an API in one, which say what a test lets them say."""
    with served(tmp_path) as made:
        made.answer(
            "/.well-known/oauth-authorization-server", {"issuer": made.url, "token_endpoint": f"{made.url}/token"}
        )
        made.answer("/token", {"access_token": TOKEN, "token_type": "Bearer", "expires_in": 300})
        describe(made)
        yield made


@pytest.fixture
def client(tmp_path: Path) -> tuple[str, ...]:
    """The options of a client with a certificate."""
    issued = self_signed("CN=client")
    (tmp_path / "client.pem").write_bytes(issued.key_pem + issued.certificate_pem)
    return ("--client-id", "client", "--cert", str(tmp_path / "client.pem"), "--ca", str(tmp_path / "ca.pem"))


def describe(server: Served, path: str = "", **changes: Any) -> None:
    """What the API says of itself."""
    document = {
        "resource": server.url + path, "authorization_servers": [server.url],
        "tls_client_certificate_bound_access_tokens": True, **changes,
    }  # fmt: skip
    server.answer(f"/.well-known/oauth-protected-resource{path}", document)


def asked(server: Served, path: str) -> list[bytes]:
    return [body for where, body, _ in server.asked if where == path]


def billing(home: Home) -> list[str]:
    member = home.development.members[0]
    return ["--client-id", "billing", "--cert", str(member.certificate), "--key", str(member.key), "--ca", home.ca]


class TestAtOurOwn:
    def test_the_api_says_whose_tokens_it_takes(self, home: Home, certbound: Certbound) -> None:
        """No issuer and no resource has to be given; the certificate of the connection is the token's."""
        told = certbound("curl", home.api, *billing(home))
        assert (told.status, told.err) == (0, "")
        said = json.loads(told.out)
        assert said["client_id"] == "billing"
        assert said["certificate"] == home.development.members[0].identity.thumbprint

    def test_what_goes_and_comes(self, home: Home, certbound: Certbound, tmp_path: Path) -> None:
        """-i and -v print what curl would, but for the token; -o writes a file, and -I asks for the headers alone."""
        file = tmp_path / "answer"
        told = certbound("curl", home.api, "-i", "-v", "-o", str(file), "-H", "X-Mine: 1", *billing(home))
        assert (told.status, told.out) == (0, "")
        head, _, body = file.read_bytes().partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert json.loads(body)["client_id"] == "billing"
        assert "\n> GET / HTTP/1.1\n" in told.err
        assert "\n> X-Mine: 1\n" in told.err
        assert "\n> authorization: Bearer ...\n" in told.err
        assert "\n< HTTP/1.1 200 OK\n" in told.err
        assert told.err.startswith("* TLSv1.")
        assert not SECRET.search(told.err)
        assert certbound("curl", "-I", home.api, *billing(home)).out.startswith("HTTP/1.1 405 ")

    def test_errors_of_the_api(self, home: Home, certbound: Certbound) -> None:
        """They are printed, and count as done; with --fail nothing is printed, and the status is that of curl."""
        told = certbound("curl", f"{home.api}nothing", *billing(home))
        assert (told.status, json.loads(told.out)["error"]) == (0, "not_found")
        told = certbound("curl", f"{home.api}nothing", "--fail", *billing(home))
        assert (told.status, told.out) == (22, "")
        assert "404" in told.err

    def test_a_login_is_used(self, home: Home, certbound: Certbound) -> None:
        """Over TLS 1.3; nothing has to be said but the URL, and a kept token that was revoked is replaced once."""
        refused = certbound("curl", home.api, "--ca", home.ca)
        assert refused.status == 1
        assert f"certbound login {home.issuer}" in refused.err
        log_in(home)
        told = certbound("curl", "-v", home.api)
        assert told.status == 0, told
        assert told.err.startswith("* TLSv1.3 ")
        said = json.loads(told.out)
        kept = kept_at(home.issuer)
        assert said["certificate"] == read_certificate_of(kept.certificate)
        login = kept.find_login()
        assert login is not None
        (mine,) = (each for each in login.tokens if each.asked_resources)
        assert home.development.place.resource_url in mine.asked_resources
        # The same token again; and another one, once that is refused.
        assert certbound("curl", home.api).status == 0
        file = kept.folder / "login.json"
        file.write_text(file.read_text().replace(mine.access_token, mine.access_token[:-8] + "AAAAAAAA"))
        assert json.loads(certbound("curl", "--fail", home.api).out)["client_id"] == "app"

    def test_a_token_is_for_the_api_that_was_named(self, home: Home, certbound: Certbound, server: Served) -> None:
        """A host that says nothing gets none of a login, and one that names the issuer none that is for another API."""
        log_in(home)
        both = Path(home.ca).read_bytes() + server.ca.read_bytes()
        server.ca.write_bytes(both)
        ca = ("--ca", str(server.ca))
        describe(server, authorization_servers=["https://other.example", home.issuer])
        told = certbound("curl", server.url, *ca)
        assert told.status == 1
        assert "invalid_target" in told.err.splitlines()[-1]
        assert "--resource" in told.err.splitlines()[-1]
        server.answers.clear()
        told = certbound("curl", server.url, *ca)
        assert "does not say whose tokens it takes; give --issuer" in told.err
        assert asked(server, "/") == asked(server, "") == []
        assert all(who is None for _, _, who in server.asked)


class TestWhatIsNotSent:
    def test_an_api_that_does_not_enforce_binding(
        self, server: Served, client: tuple[str, ...], certbound: Certbound
    ) -> None:
        """By saying so or by leaving it out; it gets neither token nor request, unless the person says so."""
        for said in (False, None):
            describe(server, tls_client_certificate_bound_access_tokens=said)
            told = certbound("curl", f"{server.url}/x", *client)
            assert told.status == 1
            assert "--allow-unbound-api" in told.err
        assert asked(server, "/x") == asked(server, "/token") == []
        server.answer("/x", {"fine": True})
        assert certbound("curl", f"{server.url}/x", "--allow-unbound-api", *client).out == '{"fine":true}'

    def test_an_api_that_says_nothing(self, server: Served, client: tuple[str, ...], certbound: Certbound) -> None:
        """Its issuer has to be given."""
        del server.answers["/.well-known/oauth-protected-resource"]
        server.answer("/x", {"fine": True})
        told = certbound("curl", f"{server.url}/x", *client)
        assert told.status == 1
        assert "give --issuer" in told.err
        assert certbound("curl", f"{server.url}/x", "--issuer", server.url, *client).status == 0

    def test_an_api_that_describes_another(self, server: Served, client: tuple[str, ...], certbound: Certbound) -> None:
        """RFC 9728 section 3.3: what it says is not used, and without it nothing is sent unless the person says so."""
        describe(server, resource="https://other.example")
        given = (f"{server.url}/x", "--issuer", server.url, *client)
        told = certbound("curl", *given)
        assert told.status == 1
        assert "describes the resource 'https://other.example'" in told.err
        assert asked(server, "/x") == asked(server, "/token") == []
        server.answer("/x", {"fine": True})
        assert certbound("curl", *given, "--allow-unbound-api").out == '{"fine":true}'

    def test_a_name_elsewhere_is_asked_for_here(
        self, server: Served, client: tuple[str, ...], certbound: Certbound
    ) -> None:
        """What an API is, its own host says; the host in its name is sent nothing."""
        elsewhere = "https://localhost:1/v1"
        describe(server)
        server.answers["/.well-known/oauth-protected-resource/v1"] = server.answers[
            "/.well-known/oauth-protected-resource"
        ]
        told = certbound("curl", f"{server.url}/x", "--resource", elsewhere, *client)
        assert told.status == 1
        assert f"describes the resource '{server.url}'" in told.err
        assert server.paths() == ["/.well-known/oauth-protected-resource/v1"]

    def test_an_api_of_an_issuer_in_the_clear(
        self, server: Served, client: tuple[str, ...], certbound: Certbound
    ) -> None:
        """It is none; one beside it counts."""
        describe(server, authorization_servers=["http://localhost", 7, "https://"])
        told = certbound("curl", f"{server.url}/x", *client)
        assert "does not say whose tokens it takes; give --issuer" in told.err
        describe(server, authorization_servers=["http://localhost", server.url])
        server.answer("/x", {})
        assert certbound("curl", f"{server.url}/x", *client).status == 0

    def test_an_api_of_another_issuer(self, server: Served, client: tuple[str, ...], certbound: Certbound) -> None:
        """It is not sent a token that it does not take; of several issuers one has to be named."""
        describe(server, authorization_servers=["https://other.example"])
        told = certbound("curl", f"{server.url}/x", "--issuer", server.url, *client)
        assert told.status == 1
        assert "https://other.example" in told.err
        describe(server, authorization_servers=["https://other.example", server.url])
        assert "say with --issuer which" in certbound("curl", f"{server.url}/x", *client).err
        assert asked(server, "/x") == asked(server, "/token") == []

    def test_an_api_below_a_path(self, server: Served, client: tuple[str, ...], certbound: Certbound) -> None:
        """Its name is found by the beginning of the path, and the token is for that."""
        del server.answers["/.well-known/oauth-protected-resource"]
        describe(server, "/v1", tls_client_certificate_bound_access_tokens=False)
        assert "--allow-unbound-api" in certbound("curl", f"{server.url}/v1/things", *client).err
        describe(server, "/v1")
        server.answer("/v1/things", {})
        assert certbound("curl", f"{server.url}/v1/things", *client).status == 0
        (form,) = asked(server, "/token")
        assert f"resource={server.url}/v1".replace(":", "%3A").replace("/", "%2F").encode() in form

    def test_a_redirect_is_not_followed(self, server: Served, client: tuple[str, ...], certbound: Certbound) -> None:
        """It is printed, as curl does."""
        server.answer("/x", {}, status=302, location=f"{server.url}/y")
        told = certbound("curl", "-i", f"{server.url}/x", *client)
        assert told.out.startswith("HTTP/1.1 302 ")
        assert asked(server, "/y") == []

    def test_a_token_that_is_anybodys(self, server: Served, client: tuple[str, ...], certbound: Certbound) -> None:
        """A token that says that it is not bound goes nowhere."""
        server.answer("/token", {"access_token": "e30.e30.c2ln", "token_type": "Bearer"})
        told = certbound("curl", f"{server.url}/x", *client)
        assert told.status == 1
        assert "not bound to the certificate" in told.err
        assert asked(server, "/x") == []

    def test_one_refusal_is_one(self, server: Served, client: tuple[str, ...], certbound: Certbound) -> None:
        """A token that was just obtained is not replaced when it is refused."""
        challenge = {"www-authenticate": 'Bearer error="invalid_token"'}
        server.answer("/x", {}, status=401, **challenge)
        assert certbound("curl", "-f", f"{server.url}/x", *client).status == 22
        assert len(asked(server, "/x")) == len(asked(server, "/token")) == 1


class TestWhatIsSent:
    @pytest.mark.parametrize(
        ("given", "method", "body"),
        [
            ((), "GET", b""),
            (("-d", "a=1", "-d", "b=2"), "POST", b"a=1&b=2"),
            (("-d", "@FILE", "-X", "PUT"), "PUT", b"from a file"),
            (("--json", '{"a": 1}'), "POST", b'{"a": 1}'),
            (("-X", "DELETE"), "DELETE", b""),
        ],
    )
    def test_data(
        self, server: Served, client: tuple[str, ...], certbound: Certbound, tmp_path: Path,
        given: tuple[str, ...], method: str, body: bytes,
    ) -> None:  # fmt: skip
        """As curl has it."""
        (tmp_path / "file").write_bytes(b"from a file")
        server.answer("/x", {})
        given = tuple(each.replace("FILE", str(tmp_path / "file")) for each in given)
        told = certbound("curl", "-v", f"{server.url}/x#here", *given, *client)
        assert told.status == 0
        assert f"\n> {method} /x HTTP/1.1\n" in told.err
        assert asked(server, "/x") == [body]

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            (("http://localhost/",), "is not an https URL"),
            (("localhost",), "is not an https URL"),
            (("https://user@localhost/",), "is not an https URL"),
            (("URL", "-H", "Authorization: Bearer x"), "this is where the token goes"),
            (("URL", "-H", "Host: other"), "the token is for the host in the URL"),
            (("URL", "-H", "A: b\r\nC: d"), "is no header"),
            (("URL", "-H", "nothing"), "is no header"),
            (("URL", "-X", "GET /"), "is no method"),
            (("URL", "-d", "a", "--json", "{}"), "not both"),
            (("URL", "--client-id", "a"), "go with --cert"),
        ],
    )
    def test_what_makes_no_sense(self, certbound: Certbound, given: tuple[str, ...], said: str) -> None:
        """Wrongly called, before anything is sent."""
        told = certbound("curl", *(each.replace("URL", "https://localhost:1/") for each in given))
        assert told.status == 2
        assert said in " ".join(told.err.split())

    def test_nothing_runs_in_a_terminal(
        self, server: Served, client: tuple[str, ...], certbound: Certbound, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """On a terminal escape codes are shown; into a pipe the answer goes as it came."""
        server.answer("/x", "\x1b[2J")
        server.answers["/x"].body = b"a\x1b[2J\tb\xff\r\n"
        assert certbound("curl", f"{server.url}/x", *client).out == "a\x1b[2J\tb\ufffd\r\n"
        import os
        import pty

        held, terminal = pty.openpty()
        with open(terminal, "w") as out:  # noqa: PTH123
            monkeypatch.setattr(sys, "stdout", out)
            status = certbound("curl", f"{server.url}/x", *client).status
            out.flush()
            shown = os.read(held, 1000)
        os.close(held)
        assert status == 0
        assert shown == b"a\\x1b[2J\tb\\xff\r\n"


def read_certificate_of(file: Path) -> str:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    return read_certificate(x509.load_pem_x509_certificate(file.read_bytes()).public_bytes(Encoding.DER)).thumbprint


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("-k", "--ca FILE names whom to believe"),
        ("--insecure", "--ca FILE names whom to believe"),
        ("-L", "no redirect is followed"),
        ("-sS", "leave it out"),
        ("--cacert", "--ca FILE"),
        ("-u", "bound to your certificate"),
        ("--nonsense", "No such option: --nonsense"),
    ],
)
def test_an_option_of_curl_that_there_is_not_is_answered(option: str, said: str, certbound: Certbound) -> None:
    """With why, or with what to write in its place; before anything is sent."""
    told = certbound("curl", "https://api.example/", option)
    assert told.status == 2
    assert said in " ".join(told.err.split())
