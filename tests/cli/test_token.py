"""`certbound token`: what it obtains, what it shows, and what it says when it cannot."""

import asyncio
import io
import json
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

from certbound.app import open_registry
from certbound.cli import main
from certbound.cli._development import Development, make_folder, now_utc
from certbound.cli._servers import in_background, open_ports, place_of, serving
from certbound.cli.token import decode, describe
from certbound.core.certificate import read_certificate
from certbound.core.jwks import make_jwks
from certbound.trust.authority import self_signed
from client.served import served

THUMBPRINT = "A" * 43


@pytest.fixture(scope="module")
def development(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Development]:
    sockets = open_ports("127.0.0.1", (0, 0, 0))
    ready = make_folder(tmp_path_factory.mktemp("dev"), place_of("127.0.0.1", sockets), now=now_utc())
    with in_background(lambda: serving(ready, sockets)):
        yield ready


def arguments(development: Development, *more: str, member: int = 0, **changed: Any) -> list[str]:
    chosen = development.members[member]
    given = {
        "issuer": development.place.issuer, "client-id": chosen.client_id, "cert": chosen.certificate,
        "key": chosen.key, "ca": development.ca, **changed,
    }  # fmt: skip
    return ["token", *(word for name, value in given.items() for word in (f"--{name}", str(value))), *more]


def jwt(claims: dict[str, Any]) -> str:
    parts = (urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in ({"alg": "ES256"}, claims))
    return ".".join([*parts, "c2ln"])


@pytest.mark.parametrize("member", [0, 1])
def test_it_shows_what_the_token_says(
    development: Development, member: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Header, claims, times in words, and that it is bound to the certificate just used."""
    assert main(arguments(development, member=member)) == 0
    out = capsys.readouterr().out
    assert f"Token from {development.place.mtls_url}/token" in out
    assert "to the certificate just used" in out
    assert "in 5 minutes" in out
    assert '"typ": "at+jwt"' in out
    assert f'"client_id": "{development.members[member].client_id}"' in out
    assert development.members[member].identity.thumbprint in out


def test_raw_is_the_token_alone(development: Development, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, fit for a shell variable."""
    assert main(arguments(development, "--raw")) == 0
    line, end = capsys.readouterr().out.split("\n")
    assert end == ""
    assert decode(line) is not None


def test_scope_and_resource_are_asked_for(development: Development, capsys: pytest.CaptureFixture[str]) -> None:
    """The token has them and no more."""
    assert main(arguments(development, "--scope", "read", "--resource", development.place.resource_url, "--raw")) == 0
    _, claims = decode(capsys.readouterr().out.strip()) or ({}, {})
    assert (claims["scope"], claims["aud"]) == ("read", development.place.resource_url)


def test_the_server_is_asked_what_it_says(development: Development, capsys: pytest.CaptureFixture[str]) -> None:
    """With --inspect, after what the token says; it is not printed alone."""
    assert main(arguments(development, "--inspect")) == 0
    out = capsys.readouterr().out
    assert "to the certificate just used" in out
    _, _, said = out.partition("\n  what the server says\n")
    assert json.loads(said)["active"] is True
    assert main(arguments(development, "--inspect", "--raw")) == 2


INTROSPECTION = {"introspection_endpoint": "/introspect"}


@pytest.mark.parametrize(
    ("endpoints", "answer", "status", "said"),
    [
        (INTROSPECTION, (401, {"error": "invalid_client"}), 1, "/introspect says nothing about tokens to me: 401"),
        (INTROSPECTION, (403, {"error": "x\x1b", "request_id": "7"}), 1, "its log knows this as request 7"),
        (INTROSPECTION, (500, {}), 1, "/introspect answered 500 without an OAuth error"),
        (INTROSPECTION, (200, {}), 1, "does not say whether the token is active"),
        ({}, (200, {}), 1, "offers no introspection (RFC 7662), so it was not asked; the token is good"),
        (INTROSPECTION, (200, {"active": False}), 0, "so it is over, or the server tells this client nothing about it"),
    ],
)
def test_a_server_that_says_nothing_of_the_token(
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
    endpoints: dict[str, str], answer: tuple[int, Any], status: int, said: str,
) -> None:  # fmt: skip
    """What the token says is shown all the same, and one sentence tells why there is no more."""
    issued = self_signed("CN=me")
    (tmp_path / "me.pem").write_bytes(issued.key_pem + issued.certificate_pem)
    bound = jwt({"cnf": {"x5t#S256": read_certificate(issued.der).thumbprint}})
    with served(tmp_path) as server:
        named = {name: server.url + path for name, path in {"token_endpoint": "/token", **endpoints}.items()}
        server.answer("/.well-known/oauth-authorization-server", {"issuer": server.url, **named})
        server.answer("/token", {"access_token": bound, "token_type": "Bearer"})
        server.answer("/introspect", answer[1], status=answer[0])
        given = ["--issuer", server.url, "--client-id", "me", "--cert", str(tmp_path / "me.pem")]
        assert main(["token", *given, "--ca", str(server.ca), "--inspect"]) == status
    out, err = capsys.readouterr()
    assert "to the certificate just used" in out
    assert said in (err if status else out)
    assert (out + err).replace("\n", "").isprintable()


def test_a_token_is_exchanged(
    development: Development, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that somebody called an API with, from a file or standard input; the new one is the API's own."""
    issued = self_signed("CN=api")
    given = {
        "client_name": "The API", "token_endpoint_auth_method": "self_signed_tls_client_auth", "scope": "read",
        "jwks": make_jwks([read_certificate(issued.der)]), "protected_resources": [development.place.resource_url],
        "grant_types": ["urn:ietf:params:oauth:grant-type:token-exchange"],
    }  # fmt: skip

    async def register() -> None:
        async with open_registry(development.settings) as registry:
            await registry.register(given, client_id="api")

    asyncio.run(register())
    (tmp_path / "api.pem").write_bytes(issued.key_pem + issued.certificate_pem)
    (tmp_path / "empty").write_text(" ")
    assert main(arguments(development, "--raw")) == 0
    subject = capsys.readouterr().out
    monkeypatch.setattr("sys.stdin", io.StringIO(subject))
    mine = ["token", "--issuer", development.place.issuer, "--client-id", "api", "--cert", str(tmp_path / "api.pem")]
    assert main([*mine, "--ca", str(development.ca), "--exchange", "-", "--raw"]) == 0
    _, claims = decode(capsys.readouterr().out.strip()) or ({}, {})
    assert (claims["sub"], claims["client_id"], claims["act"]) == ("billing", "api", {"sub": "api"})
    assert main([*mine, "--exchange", str(tmp_path / "empty")]) == 1
    assert "there is no token" in capsys.readouterr().err


def test_a_certificate_and_its_key_in_one_file(
    development: Development, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """PEM or PKCS #12; the password is read from a file."""
    identity = development.members[0].identity
    both, password = tmp_path / "both.p12", tmp_path / "password"
    key, (leaf, *more) = identity.private_key(), identity.certificates()
    both.write_bytes(pkcs12.serialize_key_and_certificates(b"", key, leaf, more, BestAvailableEncryption(b"secret")))
    password.write_text("secret\n")
    given = arguments(development, "--raw", "--password-file", str(password), cert=both)
    at = given.index("--key")
    del given[at : at + 2]
    assert main(given) == 0
    password.write_text("wrong")
    assert main(given) == 1
    both.write_bytes(identity.key_pem + identity.certificate_chain_pem)
    assert main(given) == 0
    both.write_bytes(identity.certificate_chain_pem)
    capsys.readouterr()
    assert main(given) == 2
    assert "give it as --key" in " ".join(capsys.readouterr().err.split())


def test_what_a_key_lacks_is_said_of_its_file(
    development: Development, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An encrypted one, one under another password, one of somebody else: each by its file, with the option."""
    identity = development.members[0]
    locked, word = tmp_path / "locked.key", tmp_path / "word"
    key = serialization.load_pem_private_key(identity.key.read_bytes(), None)
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, BestAvailableEncryption(b"right")
        )
    )
    word.write_text("wrong\n")
    assert main(arguments(development, key=locked)) == 2
    assert f"{locked} is encrypted; give --password-file FILE" in " ".join(capsys.readouterr().err.split())
    assert main(arguments(development, "--password-file", str(word), key=locked)) == 1
    assert f"{locked}: the private key" in capsys.readouterr().err
    word.write_text("right\n")
    assert main(arguments(development, "--password-file", str(word), key=locked)) == 0
    other = development.members[1].key
    capsys.readouterr()
    assert main(arguments(development, key=other)) == 1
    assert f"{other}: the private key does not belong" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "status", "said"),
    [
        (["--cert", "a.pem"], 2, "give --client-id with --cert"),
        (["--cert", "a.pem", "--client-id", "a"], 2, "give --issuer with --cert"),
        (["--client-id", "a"], 2, "go with --cert"),
        (["--issuer", "https://as.example"], 1, "certbound login https://as.example --client-id ID"),
        ([], 1, "nobody is logged in anywhere; certbound login ISSUER"),
        (["https://as.example"], 2, "'https://as.example' is no option of it: an issuer is given as --issuer URL"),
        (["--password", "s3cret"], 2, "--password-file FILE"),
        (["--nonsense"], 2, "No such option: --nonsense"),
    ],
)
def test_what_is_missing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    given: list[str], status: int, said: str,
) -> None:  # fmt: skip
    """With the option, or the command, that would give it."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert main(["token", *given]) == status
    assert said in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("more", "changed", "said"),
    [
        ((), {"client-id": "warehouse"}, "refused with 401 invalid_client"),
        (("--scope", "everything"), {}, "invalid_scope"),
        (("--resource", "https://other.example"), {}, "invalid_target"),
        ((), {"issuer": "http://localhost"}, "not an https URL"),
        ((), {"issuer": "https://localhost:1"}, "cannot be reached"),
        ((), {"cert": "missing.pem"}, "client certificate missing.pem cannot be read"),
        ((), {"cert": __file__}, "test_token.py holds no "),
        ((), {"ca": "missing.pem"}, "missing.pem"),
    ],
)
def test_a_failure_is_one_sentence(
    development: Development, more: tuple[str, ...], changed: dict[str, str], said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """On standard error, with exit status 1; nothing on standard output."""
    assert main(arguments(development, *more, **changed)) == 1
    out, err = capsys.readouterr()
    assert out == ""
    line = err.splitlines()[-1]
    assert line.startswith("certbound: ")
    assert said in line


def test_a_server_that_is_not_believed(development: Development, capsys: pytest.CaptureFixture[str]) -> None:
    """With the CA of the clients the server is nobody."""
    assert main(arguments(development, ca=development.folder / "client-ca.pem")) == 1
    assert "its issuer is not among the CAs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"cnf": {"x5t#S256": THUMBPRINT}}, "to the certificate just used"),
        ({"cnf": {"x5t#S256": "B" * 43}}, "ANOTHER certificate"),
        ({"cnf": {"jkt": "x"}}, "UNKNOWN"),
        ({"cnf": 7}, "UNKNOWN"),
        ({}, "NONE"),
    ],
)
def test_the_binding_is_told(claims: dict[str, Any], said: str) -> None:
    """Bound to this certificate, to another, in another way, or not at all."""
    assert any(line.startswith("binding") and said in line for line in describe(jwt(claims), THUMBPRINT, 0))


def test_times_are_told_in_words() -> None:
    """Past and future, and nothing at all for what is no time."""
    lines = describe(jwt({"iat": 1000, "exp": 1000 + 7200}), THUMBPRINT, 1060)
    assert lines[0] == "issued      1970-01-01 00:16 UTC, 1 minute ago"
    assert lines[1] == "expires     1970-01-01 02:16 UTC, in 2 hours"
    for odd in (True, "7", -1, 1e300, None, [1]):
        assert not any(line.startswith("expires") for line in describe(jwt({"exp": odd}), THUMBPRINT, 0))


@pytest.mark.parametrize("token", ["", "opaque", "a.b.c", "e30.W10.x", "....", "e30.e30", "é.é.é"])
def test_an_opaque_token_is_no_error(token: str) -> None:
    """What is no JWT is said to be opaque."""
    assert ["the token is opaque"] == [line[:19] for line in describe(token, THUMBPRINT, 0)]


def test_a_token_cannot_run_in_a_terminal() -> None:
    """Escape codes in claims are shown."""
    assert all(line.isprintable() for line in describe(jwt({"sub": "\x1b[2J\u202e\n"}), THUMBPRINT, 0))
