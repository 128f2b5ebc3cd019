"""`certbound key`: what the keys do, in words, and what becomes of them."""

import json
import re
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from certbound.core.signing import EDDSA, PS256, RS256, SigningKey, is_encrypted
from certbound.core.succession import LEAD, LONGEST_TOKEN

from .conftest import Certbound


@pytest.fixture
def first(deployment: Path, certbound: Certbound) -> str:
    """The key that the first start made."""
    del deployment
    assert certbound("config", "check").status == 0
    [only] = keys(certbound)
    return str(only["kid"])


def keys(certbound: Certbound) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(certbound("key", "list", "--json").out)
    return found


def states(certbound: Certbound) -> dict[str, str]:
    return {each["kid"]: each["state"] for each in keys(certbound)}


def stored(deployment: Path) -> list[bytes]:
    """The private keys as they lie in the database."""
    with closing(sqlite3.connect(deployment / "certbound.sqlite")) as database, database:
        return [row[0] for row in database.execute("SELECT private_key FROM signing_keys")]


@pytest.mark.usefixtures("deployment")
def test_a_store_that_was_never_used(certbound: Certbound) -> None:
    """It has no key, and the command says when it gets one."""
    assert certbound("key", "list").out == "there is no signing key; the first start makes one\n"


def test_the_first_key_signs(certbound: Certbound, first: str) -> None:
    """Since when, by which algorithm, and that it is not encrypted."""
    done = certbound("key", "list")
    assert re.search(rf"^{first}  ES256      signs  since \d{{4}}-.* UTC  open$", done.out, re.MULTILINE), done.out
    assert "an open key is not encrypted" in done.err


def test_a_key_that_begins_with_a_dash_is_named_behind_two(certbound: Certbound, first: str) -> None:
    """One of keys.file, or of an older store; those that are made here never do."""
    del first
    done = certbound("key", "retire", "--", "-x")
    assert (done.status, done.err) == (
        1, "certbound: there is no signing key '-x'; certbound key list shows those there are\n",
    )  # fmt: skip


def test_rotation(certbound: Certbound, first: str) -> None:
    """The command says when the new key begins to sign; asked again, it is the same key."""
    done = certbound("key", "rotate")
    found = re.fullmatch(r"the key (\S+) begins to sign (.+ UTC), in 24 hours\n", done.out)
    assert found, done
    assert done.err.endswith(f"announced the signing key {found[1]!r} (ES256)\n")
    assert states(certbound) == {first: "signs", found[1]: "next"}
    assert f"signs from {found[2]}" in certbound("key", "list").out
    again = json.loads(certbound("key", "rotate", "--json").out)
    assert again["kid"] == found[1]
    assert abs(again["signs_from"] - time.time() - LEAD) < 30
    [old, _] = keys(certbound)
    assert old["signs_until"] == again["signs_from"]
    assert old["published_until"] >= old["signs_until"] + LONGEST_TOKEN


def test_the_next_key_is_dropped(certbound: Certbound, first: str) -> None:
    """And the one that signs goes on."""
    successor = json.loads(certbound("key", "rotate", "--json").out)["kid"]
    assert certbound("key", "retire", successor).out == f"the key {successor} is gone\n"
    assert keys(certbound)[0]["signs_until"] is None
    assert states(certbound) == {first: "signs"}


def test_a_stolen_key(certbound: Certbound, first: str) -> None:
    """It ends in two seconds, with all others; only the new one is left when somebody looks."""
    certbound("key", "rotate")
    done = certbound("key", "rotate", "--now")
    assert done.status == 0
    assert "signs in two seconds; all others end then, and so do their tokens" in done.out
    old, new = keys(certbound)
    assert old["kid"] == first
    assert old["published_until"] == old["signs_until"] == new["signs_from"] == new["created_at"]
    assert 0 < new["signs_from"] - time.time() <= 2


def test_a_change_of_algorithm(certbound: Certbound, deployment: Path, first: str) -> None:
    """The next start announces a key of the new one; when it signs, the old key is retired by its name."""
    settings = deployment / "certbound.toml"
    settings.write_text(settings.read_text() + f'[keys]\nalgorithm = "{EDDSA}"\n')
    assert certbound("config", "check").status == 0
    assert [(each["alg"], each["state"]) for each in keys(certbound)] == [("ES256", "signs"), ("EdDSA", "next")]
    with closing(sqlite3.connect(deployment / "certbound.sqlite")) as database, database:
        database.execute("UPDATE signing_keys SET signs_from = created_at")
    assert [(each["alg"], each["state"]) for each in keys(certbound)] == [("ES256", "stands by"), ("EdDSA", "signs")]
    done = certbound("key", "retire", first)
    assert done.out.startswith(f"the key {first} signs no more; it is published until 20")
    assert states(certbound)[first] == "verifies"
    assert certbound("key", "retire", first, "--now").out == f"the key {first} is gone\n"


def test_encryption(certbound: Certbound, deployment: Path, first: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that began open gets a password, and another one; each time the keys stay what they are."""
    assert "not encrypted: 1; set keys.password, then: certbound key encrypt" in certbound("config", "check").err
    for name in ("one.txt", "two.txt"):
        (deployment / name).write_text(f"password {name}\n")
    monkeypatch.setenv("CERTBOUND_KEYS__PASSWORD_FILE", "one.txt")
    assert "not encrypted: 1; certbound key encrypt" in certbound("config", "check").err
    assert certbound("key", "encrypt").out == "encrypted with keys.password: 1 keys\n"
    assert all(map(is_encrypted, stored(deployment)))
    assert certbound("config", "check").err == ""
    assert certbound("key", "encrypt").out == "all keys are encrypted with keys.password\n"

    monkeypatch.setenv("CERTBOUND_KEYS__PASSWORD_FILE", "two.txt")
    for command in (("config", "check"), ("key", "rotate"), ("key", "encrypt")):
        done = certbound(*command)
        assert done.status == 1
        assert f"the key '{first}' in the store: the signing key cannot be read: its password is another" in done.err
    done = certbound("key", "encrypt", "--old-password-file", "one.txt", "--json")
    assert json.loads(done.out) == {"encrypted": [first]}
    assert SigningKey.load(stored(deployment)[0], password="password two.txt").kid == first
    assert certbound("config", "check").status == 0
    monkeypatch.delenv("CERTBOUND_KEYS__PASSWORD_FILE")
    assert "set keys.password, best by CERTBOUND_KEYS__PASSWORD_FILE" in certbound("config", "check").err


@pytest.mark.usefixtures("first")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("retire", "nobody"), "there is no signing key 'nobody'; certbound key list shows those there are"),
        (("encrypt",), "keys.password is not set"),
        (("encrypt", "--old-password-file", "missing"), "missing cannot be read"),
    ],
)
def test_what_is_wrong_is_one_sentence(certbound: Certbound, arguments: tuple[str, ...], said: str) -> None:
    """And nothing changes."""
    before = keys(certbound)
    done = certbound("key", *arguments)
    assert done.status == 1
    assert said in done.err
    assert keys(certbound) == before


def test_the_key_that_signs_is_not_retired(certbound: Certbound, first: str) -> None:
    """The sentence says what does that."""
    done = certbound("key", "retire", first)
    assert done.status == 1
    assert "certbound key rotate makes its successor, certbound key rotate --now replaces it at once" in done.err


@pytest.mark.parametrize("alg", [PS256, RS256, EDDSA])
def test_a_configured_key_of_each_algorithm(certbound: Certbound, deployment: Path, alg: str) -> None:
    """A file is enough, if `algorithm` says what it is for; the keys in the store then are nobody's business."""
    pem = SigningKey.generate(alg).as_pem()
    (deployment / "own.key").write_bytes(pem)
    settings = deployment / "certbound.toml"
    text = settings.read_text()
    settings.write_text(f'{text}[keys]\nfile = "own.key"\nalgorithm = "{alg}"\n')
    done = certbound("config", "check")
    assert (done.status, done.err) == (0, "")
    assert "keys.file names the key that signs, own.key" in certbound("key", "list").err

    settings.write_text(f'{text}[keys]\nfile = "own.key"\n')
    done = certbound("config", "check")
    assert done.status == 1
    assert "keys.file: own.key: the signing key must be a P-256 private key for ES256, not " in done.err


@pytest.mark.usefixtures("deployment")
@pytest.mark.parametrize(
    ("password", "said"),
    [("", "there is no password for it; set keys.password"), ("wrong", "its password is another than keys.password")],
)
def test_a_configured_key_with_another_password(
    certbound: Certbound, deployment: Path, password: str, said: str
) -> None:
    """The sentence names the setting, the file and the variable."""
    (deployment / "own.key").write_bytes(SigningKey.generate().as_pem(password="right"))
    settings = deployment / "certbound.toml"
    given = f'password = "{password}"\n' if password else ""
    settings.write_text(f'{settings.read_text()}[keys]\nfile = "own.key"\n{given}')
    done = certbound("config", "check")
    assert done.status == 1
    assert "keys.file: own.key: the signing key cannot be read" in done.err
    assert said in done.err
    assert "CERTBOUND_KEYS__PASSWORD_FILE" in done.err


@pytest.mark.usefixtures("deployment")
def test_a_schedule_beside_a_file(certbound: Certbound, deployment: Path) -> None:
    """Nobody would keep it."""
    settings = deployment / "certbound.toml"
    settings.write_text(f'{settings.read_text()}[keys]\nfile = "own.key"\nrotate_days = 30\n')
    assert "keys.rotate_days is set, but the key in keys.file is yours to rotate" in certbound("config", "check").err


def test_keys_published_beside_a_file(certbound: Certbound, deployment: Path) -> None:
    """The check names those it tried, and the setting of one that cannot be read; without a file there are none."""
    for name in ("own.key", "next.key"):
        (deployment / name).write_bytes(SigningKey.generate().as_pem())
    settings = deployment / "certbound.toml"
    text = settings.read_text()
    settings.write_text(f'{text}[keys]\nfile = "own.key"\npublished = ["next.key"]\n')
    assert "published    next.key" in certbound("config", "check").out
    settings.write_text(f'{text}[keys]\nfile = "own.key"\npublished = ["ca.pem"]\n')
    assert "keys.published: ca.pem: " in certbound("config", "check").err
    settings.write_text(f'{text}[keys]\nfile = "own.key"\npublished = ["gone.key"]\n')
    assert "keys.published: gone.key cannot be read: No such file" in certbound("config", "check").err
    settings.write_text(f'{text}[keys]\npublished = ["next.key"]\n')
    assert "keys.published is set, but keys.file is not" in certbound("config", "check").err
