"""`certbound config`: what is set, where it comes from, whether it can work."""

import json
import tomllib
from pathlib import Path

import pytest

from certbound.settings import keys, load, sections

from .conftest import Certbound


@pytest.mark.usefixtures("deployment")
def test_check_tries_everything(certbound: Certbound) -> None:
    """Where everything is there, `check` says ok and what it found; and what lies open."""
    checked = certbound("config", "check")
    assert (checked.status, checked.err.count("\n")) == (0, 1)
    assert "signing keys in the store that are not encrypted: 1; set keys.password" in checked.err
    assert checked.out.splitlines()[-1] == "ok"
    assert "https://as.example" in checked.out


def test_check_says_who_people_are(certbound: Certbound, deployment: Path) -> None:
    """None, with accounts here, or with an application, whose client may be registered later: that is a warning."""
    file = deployment / "certbound.toml"
    alone = file.read_text()
    tables = alone.replace("port = 0", 'port = 0\nmtls_url = "https://mtls.as.example"')
    assert "people       none: clients act for themselves" in certbound("config", "check").out
    file.write_text(f"{tables}\n[login]\naccounts = true\n")
    assert "people       have accounts here (certbound user)" in certbound("config", "check").out
    file.write_text(f'{tables}\n[login]\nurl = "https://login.example/"\nclients = ["login"]\n')
    checked = certbound("config", "check")
    assert checked.status == 0
    assert "people       log in at https://login.example/" in checked.out
    assert "login.clients names 'login', which is no client yet; certbound client add registers it" in checked.err


def test_check_says_that_it_is_the_certificate_of_mutual_tls(certbound: Certbound, deployment: Path) -> None:
    """A host with files of its own has keys of its own, and they are named; as is a name that the certificate lacks."""
    file = deployment / "certbound.toml"
    own = 'port = 0\nmtls_url = "https://mtls.as.example"\nmtls_certificate = "no.pem"\nmtls_key = "as.key"'
    file.write_text(file.read_text().replace("port = 0", own))
    said = "server.mtls_certificate: cannot read the certificate no.pem: No such file or directory"
    assert said in certbound("config", "check").err
    file.write_text(file.read_text().replace("no.pem", "as.pem"))
    checked = certbound("config", "check")
    assert checked.status == 0
    assert "server.mtls_certificate: as.pem does not name mtls.as.example, so clients will not trust it" in checked.err
    assert "as.pem does not name as.example" not in checked.err


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"as.pem"', '"no.pem"', "server.certificate: cannot read the certificate no.pem: No such file or directory"),
        ('"as.pem"', '"as.key"', "server.certificate: as.key holds no certificate in PEM"),
        ('"as.key"', '"ca.pem"', "server.key: ca.pem is not an unencrypted private key in PEM"),
        ('"as.pem"', '"ca.pem"', "server.key: the key as.key does not belong to the certificate ca.pem"),
        ('["ca.pem"]', '["no.pem"]', "[trust]: trust anchors cannot be taken from no.pem: No such file or directory"),
        ('["ca.pem"]', '["as.key"]', "as.key: it holds a private key"),
        (
            "[trust]",
            '[store]\nurl = "mysql://u:secret@h/x"\n[trust]',
            "store.url: store 'mysql://u:***@h/x' has no accepted form",
        ),
        ("[trust]", '[store]\nurl = "sqlite:///no/c.db"\n[trust]', "store.url: store 'no/c.db': make its directory"),
        ("[trust]", '[keys]\nfile = "no.key"\n[trust]', "keys.file: no.key cannot be read: No such file"),
        (
            "[trust]",
            '[keys]\nfile = "ca.pem"\n[trust]',
            "keys.file: ca.pem: the signing key cannot be read: it is no private key",
        ),
        (
            "[trust]",
            (
                '[registration]\nanchors = ["no.pem"]\n[[registration.ways]]\nname = "p"\nneeds = ["mutual_tls"]\n'
                'methods = ["tls_client_auth"]\n[trust]'
            ),
            "registration.anchors: trust anchors cannot be taken from no.pem: No such file",
        ),
        ("port = 0", "prt = 0", "certbound.toml: [server] has no key 'prt'; did you mean 'port'?"),
    ],
)
def test_check_says_what_cannot_work(certbound: Certbound, deployment: Path, old: str, new: str, said: str) -> None:
    """Each file or address that cannot be used is one sentence and exit status 1; `serve` says the same."""
    file = deployment / "certbound.toml"
    file.write_text(file.read_text().replace(old, new))
    checked = certbound("config", "check")
    assert (checked.status, checked.out) == (1, "")
    assert said in checked.err
    assert checked.err.count("\n") == 1
    assert "secret" not in checked.err


def test_show_is_the_settings_again(certbound: Certbound, deployment: Path) -> None:
    """What `show` prints is TOML that makes the same settings."""
    shown = certbound("config", "show")
    assert shown.status == 0
    (deployment / "again.toml").write_text(shown.out)
    assert load(Path("again.toml"), {}) == load(Path("certbound.toml"), {})


@pytest.mark.usefixtures("deployment")
def test_show_says_where_a_value_comes_from(certbound: Certbound, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --origin each line ends in the file, the variable, or `default`."""
    monkeypatch.setenv("CERTBOUND_SERVER__HOST", "::1")
    shown = certbound("config", "show", "--origin").out
    assert 'issuer = "https://as.example"  # certbound.toml' in shown
    assert 'host = "::1"  # $CERTBOUND_SERVER__HOST' in shown
    assert "workers = 1  # default" in shown


@pytest.mark.usefixtures("deployment")
def test_show_hides_secrets(certbound: Certbound, monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords, also that in a store's address, are masked; escape codes are shown, not run."""
    monkeypatch.setenv("CERTBOUND_KEYS__PASSWORD", "pass word")
    monkeypatch.setenv("CERTBOUND_STORE__URL", "postgresql://u:sesame@host/c")
    monkeypatch.setenv("CERTBOUND_SERVER__HOST", "a\x1b[2Jb")
    shown = certbound("config", "show", "--origin").out
    assert 'password = "***"' in shown
    assert "postgresql://u:***@host/c" in shown
    assert not [text for text in ("pass word", "sesame", "\x1b") if text in shown]
    assert tomllib.loads(shown)["server"]["host"] == "a\x1b[2Jb"


def test_schema_knows_every_key(certbound: Certbound) -> None:
    """The JSON Schema needs no settings, has every key with its description, and allows no other."""
    schema = json.loads(certbound("config", "schema").out)
    tables = schema["$defs"]
    for name, kind in sections().items():
        table = tables[kind.__name__]
        assert table["additionalProperties"] is False
        assert set(table["properties"]) == set(keys(name))
        assert all(each["description"] for each in table["properties"].values())


def test_init_writes_settings_that_can_be_read(certbound: Certbound, tmp_path: Path) -> None:
    """The template is valid as it is, names every key, also if all comments are taken away, and replaces nothing."""
    file = tmp_path / "new.toml"
    assert certbound("config", "init", str(file)).status == 0
    assert load(file, {}).server.issuer == "https://as.example"
    lines = file.read_text().splitlines()
    bare = [line.removeprefix("# ") if " = " in line and line[2:3].islower() else line for line in lines]
    assert {name: set(table) for name, table in tomllib.loads("\n".join(bare)).items()} == {
        name: set(keys(name)) for name in sections()
    }
    refused = certbound("config", "init", str(file))
    assert (refused.status, refused.err) == (1, f"certbound: {file} is there already; --force replaces it\n")
    assert certbound("config", "init", str(file), "--force").status == 0


def test_where_the_settings_are(certbound: Certbound, deployment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--config, else $CERTBOUND_CONFIG, else ./certbound.toml; where there is none, the next step is named."""
    empty = deployment / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    none = certbound("config", "show")
    assert (none.status, none.err) == (
        1,
        "certbound: there is no certbound.toml here; give --config FILE, or write one with: certbound config init\n",
    )
    assert certbound("config", "show", "--config", "../certbound.toml").status == 0
    monkeypatch.setenv("CERTBOUND_CONFIG", str(deployment / "certbound.toml"))
    assert certbound("config", "show").status == 0
    monkeypatch.setenv("CERTBOUND_CONFIG", "no.toml")
    assert certbound("config", "show").err == "certbound: no.toml cannot be read: No such file or directory\n"
