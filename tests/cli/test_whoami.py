"""`certbound whoami`: who it is, by which certificate, until when, and on whose word."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from certbound.cli._kept_identity import Kept, Login, kept_at

from .at_home import SECRET, Home, at_home, log_in, register_machine
from .conftest import Certbound
from .test_login import identity_of


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with at_home(tmp_path_factory.mktemp("home")) as running:
        yield running


@pytest.fixture(autouse=True)
def _data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


def test_who_it_is(home: Home, certbound: Certbound) -> None:
    """As the issuer says now; the certificate and all ends are told, and no token is."""
    log_in(home, "--scope", "openid profile")
    told = certbound("whoami")
    assert told.status == 0, told
    assert "Anna Nov\u00e1, anna, sub " in told.out
    assert "said by     userinfo" in told.out
    said = json.loads(certbound("whoami", home.issuer, "--json").out)
    assert (said["issuer"], said["client_id"], said["said_by"]) == (home.issuer, "app", "userinfo")
    assert said["person"]["name"] == "Anna Nov\u00e1"
    assert said["certificate"]["x5t#S256"] in told.out
    assert said["token_ends_at"] < said["certificate"]["not_after"]
    assert Path(said["certificate"]["file"]).exists()
    assert not SECRET.search(told.out + json.dumps(said))


def test_without_openid(home: Home, certbound: Certbound) -> None:
    """The issuer says no more than the token does."""
    log_in(home, "--scope", "read")
    told = certbound("whoami")
    assert told.status == 0, told
    assert "said by     access token" in told.out
    assert ", sub " not in told.out
    assert "sub " in told.out


def test_a_client_that_may_ask_about_the_token(home: Home, certbound: Certbound) -> None:
    """Where there is no userinfo for it, introspection says whose it is."""
    register_machine(home, certbound, "mine")
    assert log_in(home, "--scope", "read", client_id="mine").status == 0
    said = json.loads(certbound("whoami", "--json").out)
    assert (said["said_by"], said["client_id"], said["person"]["active"]) == ("introspection", "mine", True)
    assert f"sub {said['person']['sub']}" in certbound("whoami").out
    # What it says of somebody else does not count.
    kept: Kept = kept_at(home.issuer)
    login = kept.find_login()
    assert login is not None
    with kept.locked():
        kept.keep(replace(login, person={"sub": "somebody else"}))
    assert "said by     ID token" in certbound("whoami").out


def test_a_token_that_was_taken_back(home: Home, certbound: Certbound) -> None:
    """Another one is asked for; if there is none, the login is over, and that is said."""
    log_in(home, "--scope", "openid")
    revoke(home, kept_login(home).tokens[0].access_token)
    assert "said by     userinfo" in certbound("whoami").out
    revoke(home, kept_login(home).refresh_token)
    told = certbound("whoami")
    assert (told.status, told.out) == (1, "")
    assert f"log in again: certbound login {home.issuer} --client-id app" in told.err.splitlines()[-1]


def kept_login(home: Home) -> Login:
    login = kept_at(home.issuer).find_login()
    assert login is not None
    return login


def revoke(home: Home, token: str | None) -> None:
    assert home.world.post("revoke", "app", identity_of(home.issuer), token=token).status == 200


def test_somebody_else(home: Home, certbound: Certbound) -> None:
    """Userinfo that is not about whom the ID token was about is an error (OpenID Connect Core section 5.3.2)."""
    log_in(home, "--scope", "openid")
    kept: Kept = kept_at(home.issuer)
    login = kept.find_login()
    assert login is not None
    with kept.locked():
        kept.keep(replace(login, person={"sub": "somebody else"}))
    told = certbound("whoami")
    assert told.status == 1
    assert "about somebody else" in told.err


def test_nobody(certbound: Certbound, home: Home) -> None:
    """What to do is said, with the issuer if it was given."""
    assert "certbound login ISSUER" in certbound("whoami").err
    assert f"certbound login {home.issuer}" in certbound("whoami", home.issuer).err


def test_several_logins(home: Home, certbound: Certbound) -> None:
    """One has to be named; which there are is said."""
    log_in(home)
    login, other = kept_at(home.issuer).find_login(), kept_at("https://other.example")
    assert login is not None
    with other.locked():
        other.keep(replace(login, issuer=other.issuer))
    told = certbound("whoami")
    assert told.status == 1
    assert home.issuer in told.err
    assert other.issuer in told.err
    assert certbound("whoami", home.issuer).status == 0


def test_an_issuer_that_is_written_otherwise(home: Home, certbound: Certbound) -> None:
    """Where one is logged in is said, as it is written."""
    log_in(home)
    for written in (home.issuer + "/", "anna"):
        for command in ("whoami", "logout"):
            told = certbound(command, written)
            assert told.status == 1
            assert f"nobody is logged in at {written}; you are at {home.issuer}; write the issuer so" in told.err
