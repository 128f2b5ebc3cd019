"""Settings: one file and the environment, read once; what cannot work stops the start in one sentence."""

import json
import math
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from certbound.core.errors import ConfigurationError
from certbound.settings import Settings, keys, load, read, rows, schema, sections, show_toml
from certbound.settings.trust import AnchorLimit

COMPLETE = """
[server]
issuer = "https://as.example"
certificate = "tls/as.pem"
key = "/etc/as.key"
[tokens]
resources = ["https://api.example"]
"""


def written(directory: Path, text: str = COMPLETE) -> Path:
    file = directory / "certbound.toml"
    file.write_text(text, encoding="utf-8")
    return file


def with_line(section: str, line: str) -> str:
    """The complete file with one more line, or with another one in place of the line that sets the same key."""
    key = line.partition(" ")[0]
    lines = [each for each in COMPLETE.splitlines() if each.partition(" ")[0] != key]
    if f"[{section}]" not in lines:
        lines.append(f"[{section}]")
    lines.insert(lines.index(f"[{section}]") + 1, line)
    return "\n".join(lines)


def refusal(directory: Path, text: str = COMPLETE, **environment: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(written(directory, text), environment)
    return str(caught.value).replace(f"{directory}/", "")


def test_a_file_with_what_is_required_is_enough(tmp_path: Path) -> None:
    """The five required keys make settings; the rest has defaults."""
    found = load(written(tmp_path), {})
    assert found.server.issuer == "https://as.example"
    assert found.tokens.lifetime == 300
    assert found.trust.anchors == ()


def test_relative_paths_start_at_the_file(tmp_path: Path) -> None:
    """Relative paths, that of the store too, start where the file is; absolute ones stay."""
    found = load(written(tmp_path), {})
    assert found.server.certificate == tmp_path / "tls/as.pem"
    assert found.server.key == Path("/etc/as.key")
    assert found.store.url == f"sqlite:///{tmp_path}/certbound.sqlite"


def test_relative_lists_start_at_the_file(tmp_path: Path) -> None:
    """Revocation lists are paths or URLs in one list."""
    line = 'mode = "soft"\ncrls = ["ca.crl", "/etc/ca.crl", "http://crl.example/ca.crl"]'
    found = load(written(tmp_path, with_line("revocation", line)), {}).revocation
    assert found.crl_files == (tmp_path / "ca.crl", Path("/etc/ca.crl"))
    assert found.crl_urls == ("http://crl.example/ca.crl",)


@pytest.mark.parametrize(
    ("url", "anchored"),
    [
        ("sqlite:///data/c.db", "sqlite:///{base}/data/c.db"),
        ("sqlite:///c.db?timeout=3", "sqlite:///{base}/c.db?timeout=3"),
        ("sqlite+aiosqlite:///c.db", "sqlite+aiosqlite:///{base}/c.db"),
        ("sqlite:////var/c.db", "sqlite:////var/c.db"),
        ("sqlite://", "sqlite://"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("postgresql://u:p@host/c", "postgresql://u:p@host/c"),
    ],
)
def test_a_store_address_starts_at_the_file(tmp_path: Path, url: str, anchored: str) -> None:
    """Only a relative SQLite path is moved."""
    found = load(written(tmp_path, with_line("store", f'url = "{url}"')), {})
    assert found.store.url == anchored.format(base=tmp_path)


def test_the_environment_wins(tmp_path: Path) -> None:
    """A variable overrides the file; numbers and lists are read as such; its paths start at the working directory."""
    found = load(
        written(tmp_path),
        {
            "CERTBOUND_SERVER__PORT": "9000",
            "CERTBOUND_TOKENS__SCOPES": "read, write",
            "CERTBOUND_TRUST__ANCHORS": "ca.pem",
            "CERTBOUND_STORE__URL": "sqlite:///c.db",
        },
    )
    assert found.server.port == 9000
    assert found.tokens.scopes == ("read", "write")
    assert found.trust.anchors == (Path("ca.pem"),)
    assert found.store.url == "sqlite:///c.db"


def test_the_environment_alone_is_enough() -> None:
    """Without a file, variables make the settings, and what is missing is named as a key."""
    environment = {
        "CERTBOUND_SERVER__ISSUER": "https://as.example",
        "CERTBOUND_SERVER__CERTIFICATE": "as.pem",
        "CERTBOUND_SERVER__KEY": "as.key",
        "CERTBOUND_TOKENS__RESOURCES": "https://api.example",
    }
    assert load(None, environment).server.certificate == Path("as.pem")
    del environment["CERTBOUND_SERVER__KEY"]
    with pytest.raises(ConfigurationError, match=r"^the environment: server\.key is missing"):
        load(None, environment)


def test_every_key_has_a_variable(tmp_path: Path) -> None:
    """Each key is described, and its variable is read: a value that is none is refused by the variable's name."""
    for section in sections():
        for key in keys(section).values():
            assert key.description.endswith(".") or ";" in key.description, key
            value = "nonsense" if key.kind.startswith(("a whole", '"')) else "" if key.is_secret else "\0"
            if key.kind == "text" or key.kind == "a list, each text":
                continue
            assert f"${key.variable} must be {key.kind}" in refusal(tmp_path, **{key.variable: value})


def test_variables_of_others_are_left_alone(tmp_path: Path) -> None:
    """What orchestrators and `--config` set, without a double underscore, is no setting."""
    others = {"CERTBOUND_CONFIG": "x", "CERTBOUND_SERVICE_PORT": "tcp://10.0.0.1:80", "PATH": "/bin"}
    assert load(written(tmp_path), others) == load(written(tmp_path), {})


def test_a_secret_comes_from_a_file(tmp_path: Path) -> None:
    """CERTBOUND_KEYS__PASSWORD_FILE names a file; its last line end is no part of the secret."""
    (tmp_path / "secret").write_text("pass word\n")
    found = load(written(tmp_path), {"CERTBOUND_KEYS__PASSWORD_FILE": str(tmp_path / "secret")})
    assert found.keys.password == "pass word"


def test_a_secret_is_never_said(tmp_path: Path) -> None:
    """A secret of the wrong type is refused without its value."""
    said = refusal(tmp_path, with_line("keys", "password = 123456"))
    assert said == "certbound.toml: keys.password must be text that is not empty"


@pytest.mark.parametrize("content", ["", "\n", "\r\n"])
def test_an_empty_secret_is_none(tmp_path: Path, content: str) -> None:
    """A secret's file with nothing in it stops the start by the variable's name, and so does an empty key."""
    (tmp_path / "secret").write_text(content, newline="")
    said = refusal(tmp_path, CERTBOUND_KEYS__PASSWORD_FILE=str(tmp_path / "secret"))
    assert said == "$CERTBOUND_KEYS__PASSWORD_FILE must be text that is not empty"
    said = refusal(tmp_path, with_line("keys", 'password = ""'))
    assert said == "certbound.toml: keys.password must be text that is not empty"


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        (
            {"CERTBOUND_SERVR__PORT": "1"},
            "$CERTBOUND_SERVR__PORT: there is no table [servr]; did you mean 'server'?",
        ),
        ({"CERTBOUND_SERVER__PROT": "1"}, "$CERTBOUND_SERVER__PROT: [server] has no key 'prot'; did you mean 'port'?"),
        ({"CERTBOUND_LOG__ISSUER": "x"}, "$CERTBOUND_LOG__ISSUER: [log] has no key 'issuer'; [server] has one"),
        ({"CERTBOUND_SERVER__ISSUER": "as"}, "$CERTBOUND_SERVER__ISSUER must be an https URL without query and"),
        ({"CERTBOUND_SERVER__MTLS_PORT": "1"}, "$CERTBOUND_SERVER__MTLS_PORT is set but server.mtls_url is not"),
        ({"CERTBOUND_SERVER__KEY_FILE": "x"}, "only secrets come from a file; set $CERTBOUND_SERVER__KEY"),
        ({"CERTBOUND_KEYS__PASSWORD_FILE": "/no"}, "$CERTBOUND_KEYS__PASSWORD_FILE: /no cannot be read: No such file"),
        (
            {"CERTBOUND_KEYS__PASSWORD": "x", "CERTBOUND_KEYS__PASSWORD_FILE": "/dev/null"},
            "$CERTBOUND_KEYS__PASSWORD and $CERTBOUND_KEYS__PASSWORD_FILE both set keys.password; remove one",
        ),
        ({"CERTBOUND_SERVER__PORT": "²"}, "$CERTBOUND_SERVER__PORT must be a whole number from 0 to 65535, not '²'"),
        ({"CERTBOUND_SERVER__PORT": "--1"}, "$CERTBOUND_SERVER__PORT must be a whole number"),
    ],
)
def test_a_wrong_variable_is_named(tmp_path: Path, environment: dict[str, str], said: str) -> None:
    """What is wrong with a variable is said of the variable, not of the file."""
    assert said in refusal(tmp_path, **environment)


@pytest.mark.parametrize(
    ("section", "line", "said"),
    [
        ("server", "prt = 1", "certbound.toml: [server] has no key 'prt'; did you mean 'port'?"),
        ("server", "scopes = []", "certbound.toml: [server] has no key 'scopes'; [tokens] has one"),
        ("servers", "port = 1", "certbound.toml: there is no table [servers]; did you mean 'server'?"),
        ("server", "port = 70000", "certbound.toml: server.port must be a whole number from 0 to 65535, not 70000"),
        ("server", "port = true", "server.port must be a whole number from 0 to 65535, not True"),
        ("server", 'certificate = ""', "server.certificate must be a path, not ''"),
        ("server", "certificate = 1", "server.certificate must be a path, not 1"),
        ("server", 'certificate = "~nobody-of-this-name/x"', "server.certificate must be a path"),
        ("server", 'minimum_tls = "1.1"', """server.minimum_tls must be "1.2" or "1.3", not '1.1'"""),
        ("tokens", "lifetime = 0", "tokens.lifetime must be a whole number from 1 to 86400, not 0"),
        ("tokens", "lifetime = 86401", "tokens.lifetime must be a whole number from 1 to 86400, not 86401"),
        ("server", "grace = 86401", "server.grace must be a whole number from 1 to 86400, not 86401"),
        ("tokens", 'bind = "never"', """tokens.bind must be "always" or "requested", not 'never'"""),
        ("tokens", 'scopes = "read"', "tokens.scopes must be a list, each text, not 'read'"),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, section: str, line: str, said: str) -> None:
    """File, key and value are in the sentence, and the nearest known key for one that nobody knows."""
    assert said in refusal(tmp_path, with_line(section, line))


@pytest.mark.parametrize("key", ["server.issuer", "server.certificate", "server.key", "tokens.resources"])
def test_what_is_missing_is_named(tmp_path: Path, key: str) -> None:
    """A required key that is missing is named with an example."""
    text = "\n".join(line for line in COMPLETE.splitlines() if not line.startswith(f"{key.partition('.')[2]} "))
    assert refusal(tmp_path, text).startswith(f"certbound.toml: {key} is missing; write under [")
    assert refusal(tmp_path, "").startswith("certbound.toml: server.issuer is missing")


@pytest.mark.parametrize(
    ("section", "line", "said"),
    [
        ("server", 'issuer = "http://as.example"', "server.issuer must be an https URL"),
        ("server", 'issuer = "https://as.example/"', "server.issuer must not end in a slash"),
        ("server", 'issuer = "https://as.example?"', "server.issuer must be an https URL"),
        ("server", 'issuer = "https://as.example:99999"', "server.issuer must be an https URL"),
        ("server", 'issuer = "https://[::1"', "server.issuer must be an https URL"),
        ("server", 'issuer = "https://as.\\nexample"', "server.issuer must be an https URL"),
        ("server", 'issuer = "https://u@as.example"', "server.issuer must be an https URL"),
        ("server", 'mtls_url = "http://m.example"', "server.mtls_url must be an https URL"),
        ("server", 'mtls_url = "https://as.example"', "server.mtls_url equals server.issuer"),
        ("server", 'mtls_url = "https://as.example:9"', "server.mtls_url has the issuer's host 'as.example'"),
        ("server", "mtls_port = 9443", "server.mtls_port is set but server.mtls_url is not; set both or neither"),
        ("server", 'mtls_key = "x"', "server.mtls_key is set but server.mtls_url is not"),
        (
            "server",
            'mtls_url = "https://m.example"\nmtls_key = "x"',
            "server.mtls_key is set but server.mtls_certificate is not",
        ),
        ("server", 'mtls_url = "https://m.example"\nmtls_port = 8443', "server.mtls_port equals server.port"),
        ("trust", 'intermediates = ["x"]', "trust.intermediates is set but trust.anchors is not"),
        ("revocation", 'crls = ["x"]', 'revocation.crls is set but revocation.mode is "off"'),
        ("revocation", "from_certificates = true", 'revocation.from_certificates is set but revocation.mode is "off"'),
        ("revocation", 'mode = "hard"', 'revocation.mode is "hard" but there is nobody to ask'),
        ("revocation", 'mode = "soft"\ncrls = ["ldap://x"]', "revocation.crls has 'ldap://x', which is no http"),
        ("revocation", 'mode = "soft"\ncrls = [""]', "revocation.crls has '', which is neither path nor URL"),
        (
            "revocation",
            'mode = "soft"\nocsp = ["ocsp.example"]',
            "revocation.ocsp has 'ocsp.example', which is no http",
        ),
        ("revocation", 'mode = "soft"\nocsp = ["http://a b"]', "revocation.ocsp has 'http://a b', which is no http"),
        ("login", "device = true", "login.device is set, but nobody can log in; set login.accounts, or login.url"),
        ("login", 'clients = ["login"]', "login.clients is set, but nobody can log in"),
        (
            "login",
            "accounts = true",
            "login.accounts is set but server.mtls_url is not, so browsers would be asked for",
        ),
        ("login", 'url = "https://l.example"', "login.url is set but server.mtls_url is not"),
        ("tokens", "resources = []", "tokens.resources is empty"),
        ("tokens", 'resources = ["api"]', "tokens.resources has 'api', which is no absolute URI without fragment"),
        ("tokens", 'resources = ["https://a#b"]', "which is no absolute URI without fragment"),
        ("tokens", 'scopes = ["a b"]', "tokens.scopes has 'a b', which is not one scope word"),
        ("tokens", 'scopes = [""]', "tokens.scopes has '', which is not one scope word"),
    ],
)
def test_contradictions_stop_the_start(tmp_path: Path, section: str, line: str, said: str) -> None:
    """What makes no sense beside another key, or by itself, is refused with the key."""
    assert said in refusal(tmp_path, with_line(section, line))


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('url = "http://l.example"\nclients = ["l"]', "login.url must be an https URL without fragment"),
        ('url = "https://l.example/#x"\nclients = ["l"]', "login.url must be an https URL without fragment"),
        ('url = "https://u@l.example/"\nclients = ["l"]', "login.url must be an https URL without fragment"),
        ('url = "https:///x"\nclients = ["l"]', "login.url must be an https URL without fragment"),
        ('url = "https://l.example/"', "login.url is set but login.clients is not; name the client that speaks for it"),
        ('accounts = true\nclients = ["l"]', "login.clients is set but login.url is not"),
        (
            'accounts = true\nurl = "https://l.example/"\nclients = ["l"]',
            "login.accounts is set and login.url is too, but one says who people are; remove one",
        ),
        (
            'url = "https://l.example/"\nclients = ["l"]\n[authentication]\nmethods = ["private_key_jwt"]',
            "login.clients authenticate by certificates, but authentication.methods has no such method",
        ),
    ],
)
def test_who_says_who_people_are(tmp_path: Path, lines: str, said: str) -> None:
    """Accounts or an application; one that is named with its address and its clients."""
    assert said in refusal(tmp_path, f"{WITH_PEOPLE}\n[login]\n{lines}\n")


@pytest.mark.parametrize("lines", ["accounts = true", 'url = "https://l.example/in?a=b"\nclients = ["l"]'])
@pytest.mark.parametrize("scopes", [["read"], ["openid", "read"]])
def test_openid_connect_is_on_where_its_scope_is(tmp_path: Path, lines: str, scopes: list[str]) -> None:
    """As all scopes it is listed; `openid = false` makes it a word as any other."""
    text = f"{WITH_PEOPLE}\n[login]\n{lines}\n".replace("[tokens]", f"[tokens]\nscopes = {json.dumps(scopes)}")
    assert load(written(tmp_path, text), {}).has_openid is ("openid" in scopes)
    assert not load(written(tmp_path, text), {"CERTBOUND_LOGIN__OPENID": "false"}).has_openid
    assert not load(written(tmp_path, text.partition("[login]")[0]), {}).has_openid


WITH_PEOPLE = COMPLETE.replace("[tokens]", 'mtls_url = "https://mtls.as.example"\n[tokens]')

KEY = "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg"
OTHER_KEY = "LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7-g-YpeiGJm564"
LIMITS = f"""
[[trust.limits]]
anchor = "{KEY}"
subject_dn = ["O=Example Bank,C=CZ", "O=Other,C=CZ"]
[[trust.limits]]
anchor = "{OTHER_KEY}"
dns = ["clients.example"]
trust_domain = ["prod.example"]
"""


def test_limits_of_anchors(tmp_path: Path) -> None:
    """A list of tables comes from the file, or as JSON from the environment."""
    found = load(written(tmp_path, COMPLETE + LIMITS), {}).trust.limits
    assert [each.anchor for each in found] == [KEY, OTHER_KEY]
    assert found[0].subject_dn == ("O=Example Bank,C=CZ", "O=Other,C=CZ")
    assert (found[1].dns, found[1].trust_domain, found[1].subject_dn) == (("clients.example",), ("prod.example",), ())
    text = json.dumps([{"anchor": KEY, "dns": ["a.example"]}])
    [limit] = load(written(tmp_path, COMPLETE + LIMITS), {"CERTBOUND_TRUST__LIMITS": text}).trust.limits
    assert (limit.anchor, limit.dns) == (KEY, ("a.example",))
    assert load(written(tmp_path, COMPLETE + LIMITS), {"CERTBOUND_TRUST__LIMITS": "[]"}).trust.limits == ()


def test_limits_are_shown_as_toml(tmp_path: Path) -> None:
    """What is shown of a list of tables is TOML that makes the same tables, whatever is in their texts."""
    limits = load(written(tmp_path, COMPLETE + LIMITS), {}).trust.limits
    odd = replace(limits[0], subject_dn=('CN="a\\\\b"\x7f\n',))
    again = tomllib.loads(f"limits = {show_toml((*limits, odd))}")["limits"]
    assert msgspec.convert(again, tuple[AnchorLimit, ...]) == (*limits, odd)


def test_the_schema_knows_what_a_limit_is() -> None:
    """The JSON Schema describes the keys of the tables in a list."""
    limit = schema()["$defs"]["AnchorLimit"]
    assert limit["required"] == ["anchor"]
    assert limit["additionalProperties"] is False
    assert set(limit["properties"]) == set(rows("trust")["limits"]) == {"anchor", "subject_dn", "dns", "trust_domain"}
    assert all(each.description for each in rows("trust")["limits"].values())
    assert {section for section in sections() if rows(section)} == {"trust", "registration"}
    for table in rows("registration").values():
        assert all(each.description for each in table.values())


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        (f'anchor = "{KEY}"', "trust.limits [0]: permits no name at all; list some under subject_dn or dns or"),
        (
            f'anchor = "{KEY[:-1]}"',
            "trust.limits [0]: anchor must be text that is not empty, not ",
        ),
        (f'anchor = "{KEY[:-1]}"', "(Expected `str` of length >= 43)"),
        (f'anchor = "{KEY[:-1]}h"', "trust.limits [0]: anchor must be the SHA-256 of a SubjectPublicKeyInfo"),
        (f'anchor = "{KEY.replace("-", "+")}"', "trust.limits [0]: anchor must be the SHA-256 of a SubjectPublicKey"),
        (f'anchor = "{KEY}"\ndns = "a.example"', "trust.limits [0]: dns must be a list, each text, not 'a.example'"),
        (
            f'anchor = "{KEY}"\nemail = ["a.example"]',
            "trust.limits [0]: there is no key 'email'; known are anchor, subject_dn, dns, trust_domain",
        ),
        ('dns = ["a.example"]', "trust.limits [0]: anchor is missing; write for example: anchor = "),
        (f'anchor = "{KEY}"\ndns = ["*.example"]', "[0]: dns has '*.example': a wildcard matches nothing"),
        (f'anchor = "{KEY}"\ndns = [".example"]', "[0]: dns has '.example': leave the dot at the beginning out"),
        (f'anchor = "{KEY}"\ndns = [""]', "[0]: dns has ''"),
        (f'anchor = "{KEY}"\ntrust_domain = ["spiffe://a.example"]', "[0]: trust_domain has 'spiffe://a.example'"),
        (f'anchor = "{KEY}"\nsubject_dn = ["Bank"]', "[0]: subject_dn has 'Bank'"),
        (f'anchor = "{KEY}"\nsubject_dn = [""]', "[0]: subject_dn has ''"),
        (
            f'anchor = "{KEY}"\ndns = ["a.example"]\n[[trust.limits]]\nanchor = "{KEY}"\ndns = ["b.example"]',
            "trust.limits [1]: the anchor has a table already",
        ),
    ],
)
def test_a_wrong_limit_is_named(tmp_path: Path, limit: str, said: str) -> None:
    """What is wrong with a limit is said with its place in the list."""
    assert said in refusal(tmp_path, f"{COMPLETE}[[trust.limits]]\n{limit}\n")


@pytest.mark.parametrize(
    ("way", "said"),
    [
        ('needs = ["initial_tokn"]', """[0]: needs must be a list, each "initial_token" or "software_statement" or"""),
        ('needs = "initial_token"', "\"mutual_tls\", not 'initial_token'"),
        ('needs = []\nmethods = ["tls_client_auht"]', ", not ['tls_client_auht']"),
        ("needs = []", "[0]: methods is missing; write for example: methods = "),
        ('needs = []\nmethods = ["none"]', "[0]: methods has 'none', which is not among authentication.methods"),
        ('nid = "a"', "[0]: there is no key 'nid'; known are name, needs, "),
    ],
)
def test_a_wrong_way_in_is_named(tmp_path: Path, way: str, said: str) -> None:
    """Which table of the list, which key, what it may be, and what it is."""
    text = refusal(tmp_path, f'{COMPLETE}[[registration.ways]]\nname = "partners"\n{way}\n')
    assert text.startswith("certbound.toml: registration.ways [0]: ")
    assert said in text


def test_one_table_is_no_list_of_them(tmp_path: Path) -> None:
    """The most usual slip of TOML is told how it is written."""
    said = refusal(tmp_path, f'{COMPLETE}[registration.ways]\nname = "partners"\n')
    assert "registration.ways must be a list, each a table of name, " in said
    assert said.endswith("write [[registration.ways]] over each, or JSON in a variable")


def test_a_secret_comes_from_a_file_by_a_variable(tmp_path: Path) -> None:
    """Who looks for it in the file is told."""
    said = refusal(tmp_path, f'{COMPLETE}[keys]\npassword_file = "a"\n')
    assert said.endswith("[keys] has no key 'password_file'; $CERTBOUND_KEYS__PASSWORD_FILE names the file of password")


def test_yes_or_no_from_the_environment(tmp_path: Path) -> None:
    """`true` and `false` are what a variable may say of a switch."""
    for text, value in (("true", True), ("false", False)):
        assert load(written(tmp_path), {"CERTBOUND_TRUST__CLIENT_ANCHORS": text}).trust.client_anchors is value
    said = refusal(tmp_path, CERTBOUND_TRUST__CLIENT_ANCHORS="yes")
    assert said == "$CERTBOUND_TRUST__CLIENT_ANCHORS must be true or false, not 'yes'"


@pytest.mark.parametrize("line", ['anchors = ["a"]', 'folder = "a"', "client_anchors = true"])
def test_intermediates_beside_any_anchors(tmp_path: Path, line: str) -> None:
    """Intermediates help where anchors come from: files, a folder, or clients."""
    assert load(written(tmp_path, with_line("trust", f'intermediates = ["x"]\n{line}')), {}).trust.intermediates


@pytest.mark.parametrize("issuer", ["https://as.example", "https://AS.example:443", "https://as.example/realm"])
@pytest.mark.parametrize("spelled", ["{}:443", "{}:0443", "{}:", "{}.", "{}.:443", "HTTPS://AS.EXAMPLE", "{}"])
def test_an_alias_in_another_spelling_is_no_alias(tmp_path: Path, issuer: str, spelled: str) -> None:
    """Capitals, a port that goes without saying, or a last dot do not make mutual TLS a place of its own (R22)."""
    path = issuer.partition(".example")[2].removeprefix(":443")
    text = with_line("server", f'issuer = "{issuer}"')
    url = spelled.format("https://as.example") + path
    text = text.replace("[server]\n", f'[server]\nmtls_url = "{url}"\nmtls_port = 9443\n')
    assert "server.mtls_url equals server.issuer" in refusal(tmp_path, text)


@pytest.mark.parametrize("url", ["https://as.example:9443", "https://mtls.as.example", "https://as.example:443/mtls"])
def test_an_alias_at_another_place(tmp_path: Path, url: str) -> None:
    """Another port, host or path is another URL."""
    found = load(written(tmp_path, with_line("server", f'mtls_url = "{url}"\nmtls_port = 9443')), {})
    assert found.server.mtls_url == url


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite+aiosqlite://"])
def test_workers_cannot_share_memory(tmp_path: Path, url: str) -> None:
    """A store in memory belongs to one process; more workers than one stop the start."""
    text = with_line("server", "workers = 2") + f'\n[store]\nurl = "{url}"\n'
    assert "store.url is in memory, where server.workers cannot share it" in refusal(tmp_path, text)
    assert load(written(tmp_path, text.replace("workers = 2", "workers = 1")), {}).store.url == url


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[server", "is not TOML"),
        (b"\xff\xfe", "is not TOML"),
        (b"a = " + b"[" * 5000, "is not TOML"),
        (b"issuer = 'x'", "'issuer' stands outside a table; the tables are server, tokens"),
        (b"[[server]]\nport = 1", "'server' stands outside a table"),
    ],
)
def test_a_file_that_is_no_settings_file(tmp_path: Path, content: bytes, said: str) -> None:
    """Bytes that are not TOML, or not tables, are refused with the file's name."""
    file = tmp_path / "certbound.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        load(file, {})
    assert str(caught.value).startswith(str(file))
    assert said in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A missing file, or a directory, is one sentence."""
    with pytest.raises(ConfigurationError, match=r"nowhere\.toml cannot be read: No such file or directory"):
        load(tmp_path / "nowhere.toml", {})
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        load(tmp_path, {})


SCALARS = st.one_of(
    st.text(max_size=20), st.integers(), st.floats(), st.booleans(), st.datetimes(), st.dates(), st.times()
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
PLAUSIBLE = st.sampled_from([
    "https://as.example", "https://[", "sqlite://", "~", "~x/y", "\0", "", "1.2", "always", "/x", 8443, 0, 10**30,
    math.nan, ["https://api.example"], [""],
    [{"anchor": "x" * 43, "dns": ["\0"]}], True, False,
    [["x"]], "https://\u202e.example", "sqlite:///x\ud800",
])  # fmt: skip
TABLES = st.fixed_dictionaries(
    {},
    optional={
        section: VALUES
        | st.fixed_dictionaries({}, optional=dict.fromkeys((*keys(section), "foreign"), PLAUSIBLE | VALUES))
        for section in (*sections(), "foreign")
    },
)


def outcome(make: Callable[[], Settings]) -> Settings | str:
    """The settings, or the sentence that says why there are none."""
    try:
        return make()
    except ConfigurationError as error:
        return str(error)


@given(TABLES | st.dictionaries(st.text(max_size=8), VALUES, max_size=3), st.booleans())
@settings(max_examples=300)
def test_anything_is_settings_or_a_refusal(tables: dict[str, Any], complete: bool) -> None:
    """Whatever TOML holds becomes settings or one `ConfigurationError`, never anything else."""
    if complete:
        server = {"issuer": "https://as.example", "certificate": "c", "key": "k"}
        tables = {"server": server, "tokens": {"resources": ["https://api.example"]}, **tables}
    found = outcome(lambda: read(tables, where="certbound.toml", base=Path("/base")))
    assert isinstance(found, Settings) or found.startswith("certbound.toml: ")


VARIABLES = st.sampled_from([key.variable for section in sections() for key in keys(section).values()])
TEXTS = st.text(st.characters(exclude_characters="\0"), max_size=20)


@given(st.dictionaries(VARIABLES | TEXTS.map("CERTBOUND_{}__X".format), TEXTS, max_size=4))
@settings(max_examples=100)
def test_any_environment_is_settings_or_a_refusal(environment: dict[str, str]) -> None:
    """Whatever the environment holds becomes settings or one `ConfigurationError`."""
    assert outcome(lambda: load(None, environment))
