"""`certbound user`: people are added, shown, changed, locked out and removed; a password is never an argument."""

import asyncio
import io
import json
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher

from certbound.app import opened_store
from certbound.cli.user import add
from certbound.core.ports import ClientRecord, ConsentRecord, GrantRecord, SessionRecord
from certbound.settings import load

from .conftest import CONFIGURATION, Certbound

PASSWORD = "correct horse"


@pytest.fixture(autouse=True)
def where_people_log_in(deployment: Path) -> None:
    configuration = CONFIGURATION.replace("[tokens]", 'mtls_url = "https://mtls.as.example"\n[tokens]')
    (deployment / "certbound.toml").write_text(configuration + "[login]\naccounts = true\n")
    (deployment / "password.txt").write_text(PASSWORD + "\n")


@pytest.fixture
def anna(certbound: Certbound) -> dict[str, Any]:
    """Her account."""
    added = certbound("user", "add", "Anna", "--password-file", "password.txt", "--claim", "name=Anna Nová", "--json")
    assert added.status == 0, added
    made: dict[str, Any] = json.loads(added.out)
    return made


def stored() -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect("certbound.sqlite")) as database, database:
        return database.execute("SELECT username, password, claims, enabled FROM accounts").fetchall()


def test_a_person_is_added_and_shown(certbound: Certbound, anna: dict[str, Any]) -> None:
    """By the name as it is compared; the hash is argon2id with the library's parameters, and nobody prints it."""
    assert (anna["username"], anna["enabled"], anna["has_password"]) == ("anna", True, True)
    assert anna["claims"]["name"] == "Anna Nová"
    [(_, password, _, _)] = stored()
    assert password.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    listed, shown = certbound("user", "list"), certbound("user", "show", "ANNA")
    assert listed.out.splitlines()[1].split() == ["anna", "enabled", anna["subject"], "Anna", "Nová"]
    rows = [line.split() for line in shown.out.splitlines()]
    assert rows[:3] == [["logs", "in", "as", "anna"], ["subject", anna["subject"]], ["state", "enabled"]]
    assert rows[-2:] == [["name", "Anna", "Nová"], ["preferred_username", "anna"]]
    assert "argon2" not in listed.out + shown.out + certbound("user", "show", "anna", "--json").out


def test_nobody_yet(certbound: Certbound) -> None:
    """The list says what to do; in JSON it is a list."""
    assert certbound("user", "list").out == "nobody yet; add somebody with: certbound user add\n"
    assert json.loads(certbound("user", "list", "--json").out) == []


def test_a_password_from_standard_input(certbound: Certbound, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last line end is no part of it; the spaces are."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("  spaces count  \n"))
    assert certbound("user", "add", "anna").status == 0
    [(_, password, _, _)] = stored()
    assert PasswordHasher().verify(password, "  spaces count  ")


def test_a_password_at_a_terminal() -> None:
    """It is asked for twice, not shown, and asked for again where the two differ."""
    command = [sys.executable, "-m", "certbound.cli", "user", "add", "anna"]
    spawn = f"import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn({command!r})))"
    seen = b""
    with subprocess.Popen([sys.executable, "-c", spawn], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as terminal:
        assert terminal.stdin is not None
        for prompt, typed in (("Password", PASSWORD), ("Again", "other"), ("Password", PASSWORD), ("Again", PASSWORD)):
            seen += _until(terminal, f"{prompt}:".encode())
            time.sleep(0.05)  # the terminal stops echoing before the prompt is answered
            terminal.stdin.write(f"{typed}\n".encode())
            terminal.stdin.flush()
        seen += _until(terminal, b"added anna")
        terminal.stdin.close()
        assert terminal.wait(20) == 0
    assert b"horse" not in seen
    assert len(stored()) == 1


def _until(terminal: "subprocess.Popen[bytes]", text: bytes) -> bytes:
    assert terminal.stdout is not None
    seen = b""
    while text not in seen:
        read = os.read(terminal.stdout.fileno(), 1000)
        assert read, seen
        seen += read
    return seen


def test_no_option_takes_a_password() -> None:
    """Arguments are seen by everybody on the machine."""
    names = {name for name in add.__annotations__ if "password" in name}
    assert names == {"password_file"}


@pytest.mark.usefixtures("anna")
def test_what_is_wrong_is_one_sentence(certbound: Certbound) -> None:
    """And nothing changes."""
    before = stored()
    for arguments, said in WRONG:
        file = ("--password-file", "password.txt") if arguments[0] in {"add", "password"} else ()
        done = certbound("user", *arguments, *file)
        assert done.status == 1, arguments
        assert said in done.err
        assert done.err.count("\n") == 1
    assert stored() == before


WRONG: list[tuple[tuple[str, ...], str]] = [
    (("add", "ANNA"), "username: 'anna' is taken; certbound user update changes that account"),
    (("add", "an na"), "username: has ' ', U+0020; a name is of letters, digits and ASCII without space"),
    (("add", "\u202eb"), "username: has U+202E"),
    (("add", "b", "--claim", "email=b"), "email: must be an address such as anna@example.com"),
    (("add", "b", "--claim", "role=admin"), "role: is no claim of an account; those are address, birthdate"),
    (("add", "b", "--claim", "email_verified=yes"), "email_verified: must be true or false"),
    (("add", "b", "--claim", "address.street=A"), "address: must be an object with one at least of country"),
    (("show", "b"), "there is no account 'b'; certbound user list shows those there are"),
    (("update", "b", "--claim", "name=B"), "there is no account 'b'"),
    (("password", "b"), "there is no account 'b'"),
    (("disable", "b"), "there is no account 'b'"),
    (("enable", "b\x1b[1m"), "there is no account 'b\\x1b[1m'"),
    (("remove", "b"), "there is no account 'b'"),
]


def test_what_is_no_password(certbound: Certbound, deployment: Path) -> None:
    """The sentence says why; the password does not stand in it."""
    for content, said in (
        ("short\n", "password: has 5 characters; 8 at least are needed"),
        ("anna-maria\n", "password: is the username"),
        ("pass\nword\n", "password: has a character that cannot be typed"),
        ("", "password.txt holds no password"),
    ):
        (deployment / "password.txt").write_text(content)
        done = certbound("user", "add", "anna-maria", "--password-file", "password.txt")
        assert (done.status, done.err.count("\n")) == (1, 1)
        assert said in done.err
    for file, said in (("gone.txt", "cannot be read: No such file"), ("binary", "holds no UTF-8 text")):
        (deployment / "binary").write_bytes(b"\xff\xfe")
        done = certbound("user", "add", "anna-maria", "--password-file", file)
        assert f"--password-file: {file} {said}" in done.err
    assert stored() == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("add", "b", "--claim", "email"), "--claim is NAME=VALUE, not 'email'"),
        (("add", "b", "--claim", "name=a", "--claim", "name=b"), "--claim name is given twice"),
        (("add", "b", "--claim", "address=a", "--claim", "address.region=b"), "--claim address is given twice"),
        (("update", "anna"), "nothing to change is given"),
    ],
)
def test_wrong_use(certbound: Certbound, arguments: tuple[str, ...], said: str) -> None:
    """Exit status 2."""
    done = certbound("user", *arguments)
    assert done.status == 2
    assert said in " ".join(done.err.replace("│", " ").split())


def test_claims_of_every_type(certbound: Certbound, anna: dict[str, Any]) -> None:
    """Texts, truths and addresses; one that is given without a value goes."""
    done = certbound(
        "user", "update", "anna", "--claim", "email=anna@example.com", "--claim", "email_verified=true",
        "--claim", "address.locality=Praha", "--claim", "address.country=CZ", "--claim", "name=", "--json",
    )  # fmt: skip
    claims = json.loads(done.out)["claims"]
    assert claims.pop("updated_at") >= anna["claims"]["updated_at"]
    assert claims == {
        "email": "anna@example.com",
        "email_verified": True,
        "address": {"locality": "Praha", "country": "CZ"},
    }
    for given, address in (
        ("address=Dlouhá 1", {"formatted": "Dlouhá 1"}),
        ('address={"region": "A"}', {"region": "A"}),
    ):
        done = certbound("user", "update", "anna", "--claim", given, "--json")
        assert json.loads(done.out)["claims"]["address"] == address


def test_another_name(certbound: Certbound, anna: dict[str, Any]) -> None:
    """Tokens call them as before."""
    assert certbound("user", "update", "anna", "--rename", "Anička").status == 0
    assert json.loads(certbound("user", "show", "anička", "--json").out)["subject"] == anna["subject"]
    assert certbound("user", "show", "anna").status == 1


def test_locked_out_and_let_in(certbound: Certbound, anna: dict[str, Any], deployment: Path) -> None:
    """What clients got ends, is told, and does not come back; what they let clients do is shown."""
    asyncio.run(_act(deployment, str(anna["subject"])))
    shown = certbound("user", "show", "anna").out.splitlines()
    assert [line.split() for line in shown[-3:]] == [
        ["clients", "that", "act", "for", "them:"],
        ["CLIENT", "SCOPE", "LAST", "USED", "CERTIFICATE"],
        ["app", "read", "mail", "2023-11-14", "22:13", "UTC", "CN=app"],
    ]
    done = certbound("user", "disable", "Anna")
    assert done.out == "anna is locked out; sessions, refresh tokens and access tokens ended\n"
    assert asyncio.run(_left(deployment)) == (False, False)
    assert "disabled" in certbound("user", "list").out
    assert certbound("user", "enable", "anna").out == "anna may log in again\n"
    assert asyncio.run(_left(deployment)) == (False, False)
    assert json.loads(certbound("user", "show", "anna", "--json").out)["clients"][0]["client_id"] == "app"


def test_put_out(certbound: Certbound, deployment: Path) -> None:
    """Whom a login application knows: session, consent and grant end, and nobody else's; again there is nothing."""
    settings = (deployment / "certbound.toml").read_text()
    login = 'url = "https://login.example/"\nclients = ["login"]'
    (deployment / "certbound.toml").write_text(settings.replace("accounts = true", login))
    asyncio.run(_act(deployment, "person-4711"))
    for other in ("person-471", "person-4711 ", "PERSON-4711", "app", "", "\x1b[1m\udc80"):
        done = certbound("user", "put-out", other)
        assert (done.status, done.out) == (0, f"nothing was here of a person with the subject {other!r}\n")
    assert asyncio.run(_left(deployment)) == (True, True)
    done = certbound("user", "put-out", "person-4711")
    assert done.out.splitlines() == ["'person-4711' is out; sessions: 1, clients that acted for them: 1", "  app"]
    assert "login.accounts is not set" not in done.err
    assert asyncio.run(_left(deployment)) == (False, False)
    done = certbound("user", "put-out", "person-4711", "--json")
    assert json.loads(done.out) == {"subject": "person-4711", "sessions": 0, "clients": []}


def test_put_out_what_nobody_remembers(certbound: Certbound, anna: dict[str, Any], deployment: Path) -> None:
    """A grant whose consent is gone ends too; the account stays as it is."""
    asyncio.run(_act(deployment, str(anna["subject"])))
    with closing(sqlite3.connect("certbound.sqlite")) as database, database:
        database.execute("DELETE FROM consents")
    assert certbound("user", "put-out", anna["subject"]).status == 0
    assert asyncio.run(_left(deployment)) == (False, False)
    assert json.loads(certbound("user", "show", "anna", "--json").out) == {**anna, "clients": []}


def test_another_password(certbound: Certbound, anna: dict[str, Any], deployment: Path) -> None:
    """Sessions end, and what clients have lives on."""
    asyncio.run(_act(deployment, str(anna["subject"])))
    [(_, before, _, _)] = stored()
    (deployment / "new.txt").write_text("another horse")
    done = certbound("user", "password", "anna", "--password-file", "new.txt")
    assert done.out == "anna has a new password, and is logged out everywhere\n"
    assert stored()[0][1] != before
    assert asyncio.run(_left(deployment)) == (False, True)


def test_removed(certbound: Certbound, anna: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Who says no, or nothing, removes nobody."""
    for answer in ("n\n", ""):
        monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
        done = certbound("user", "remove", "anna")
        assert done.status == 1
        assert "nobody was removed; --yes removes without asking" in done.err
    assert certbound("user", "show", anna["username"]).status == 0
    assert certbound("user", "remove", "ANNA", "--yes").out == "removed anna\n"
    assert stored() == []


def test_without_accounts_there_is_a_remark(certbound: Certbound, deployment: Path) -> None:
    """The command works, and says that nobody logs in by it."""
    (deployment / "certbound.toml").write_text(CONFIGURATION)
    done = certbound("user", "list")
    assert done.status == 0
    assert done.err == "certbound: login.accounts is not set, so nobody logs in with an account\n"


async def _act(deployment: Path, subject: str) -> None:
    """A client acts for the person, who is logged in."""
    now = 1_700_000_000.0
    async with opened_store(load(deployment / "certbound.toml", {})) as store:
        await store.clients.add(ClientRecord(client_id="app", metadata={}))
        session = SessionRecord(
            digest="s", subject=subject, sid="sid", auth_time=now, created_at=now, ends_at=now + 9e9
        )
        await store.sessions.add(session)
        consent = ConsentRecord(
            subject=subject, client_id="app", scope=("read", "mail"), created_at=now, used_at=now, certificate="CN=app"
        )
        await store.consents.put(consent)
        grant = GrantRecord(
            grant_id="g", client_id="app", content={}, seed="x", subject=subject, created_at=now, ends_at=now + 9e9
        )
        await store.grants.open(grant, "refresh", now=now)


async def _left(deployment: Path) -> tuple[bool, bool]:
    """Whether the session and the grant are there."""
    async with opened_store(load(deployment / "certbound.toml", {})) as store:
        grant = await store.grants.find("refresh", now=1_700_000_001.0)
        session = await store.sessions.find("s", now=1_700_000_001.0)
        return session is not None, grant is not None and grant.grant.valid
