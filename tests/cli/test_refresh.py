"""The refresh token of a login at a server whose answers break off: how often it is presented, and when never again."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from certbound.cli._caller import by_login
from certbound.cli._kept_identity import KeptToken, Login, kept_at, the_login
from certbound.core.errors import ConfigurationError
from client.served import Answer, Served, served

from .conftest import Certbound


@pytest.fixture
def issuer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """Somebody is logged in there, whose access token has ended."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    with served(tmp_path) as running:
        url = running.url
        running.answer("/.well-known/oauth-authorization-server", {"issuer": url, "token_endpoint": f"{url}/token"})
        kept = kept_at(url)
        with kept.locked():
            identity = kept.lasting_identity()
            ended = KeptToken(access_token="old", ends_at=time.time() - 1)
            kept.keep(
                Login(
                    issuer=url, client_id="app", thumbprint=identity.thumbprint, ca=str(running.ca),
                    refresh_token="first", tokens=(ended,),
                )
            )  # fmt: skip
        yield running


def presented(issuer: Served) -> list[str]:
    """The refresh tokens that came, in order."""
    forms = [parse_qs(body.decode()) for path, body, _ in issuer.asked if path == "/token"]
    return [form["refresh_token"][0] for form in forms]


def kept_token(issuer: Served) -> str | None:
    login = kept_at(issuer.url).find_login()
    assert login is not None
    return login.refresh_token


@pytest.mark.parametrize(
    "answer", [Answer(cut=True), Answer(502, b"<html>"), Answer(503, b'{"error": "temporarily_unavailable"}')],
    ids=["broken-off", "no-answer-of-OAuth", "not-now"],
)  # fmt: skip
def test_what_the_server_has_not_answered_is_presented_again(
    issuer: Served, certbound: Certbound, answer: Answer
) -> None:
    """By the next command and not by the same; what comes then takes its place."""
    issuer.answers["/token"] = answer
    assert certbound("token").status == 1
    assert presented(issuer) == ["first"]
    assert kept_token(issuer) == "first"
    issuer.answer("/token", {"access_token": "new", "token_type": "Bearer", "expires_in": 1, "refresh_token": "second"})
    assert certbound("token", "--raw").out == "new\n"
    assert certbound("token", "--raw").out == "new\n"
    assert presented(issuer) == ["first", "first", "second"]


def test_what_the_server_refused_is_never_presented_again(issuer: Served, certbound: Certbound) -> None:
    """A server that replaces them and keeps no grace says this after a lost answer: the login is over."""
    issuer.answer("/token", {"error": "invalid_grant"}, status=400)
    for _ in range(2):
        told = certbound("token")
        assert told.status == 1
        assert f"certbound login {issuer.url} --client-id app" in told.err
    assert presented(issuer) == ["first"]
    assert kept_token(issuer) is None


@pytest.mark.parametrize("error", ["invalid_scope", "invalid_client"])
def test_another_refusal_is_not_one_of_the_token(issuer: Served, certbound: Certbound, error: str) -> None:
    """It is kept for a request that is right."""
    issuer.answer("/token", {"error": error}, status=400)
    assert certbound("token").status == 1
    assert kept_token(issuer) == "first"


def test_a_login_that_began_anew_meanwhile(issuer: Served) -> None:
    """The token that is kept by then belongs to another certificate; nothing is asked with it."""
    caller = by_login(the_login(issuer.url))
    kept = kept_at(issuer.url)
    login = kept.find_login()
    assert login is not None
    with kept.locked():
        kept.keep(replace(login, thumbprint="another"))
    with caller.open() as http, pytest.raises(ConfigurationError, match="ended, or begun anew"):
        caller.token(http)
    assert issuer.asked == []
