"""`certbound client`: the same use cases as the endpoints, said in options."""

import asyncio
import json
import shlex
import sqlite3
from base64 import b64encode
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from joserfc.jwk import ECKey

from certbound.app import open_registry
from certbound.cli._client_options import MEMBERS
from certbound.core.anchors import CERTIFICATES, KEYS
from certbound.core.authentication import digest_of
from certbound.core.certificate import thumbprint
from certbound.core.clients import DN_ORDER, IGNORE_VALIDITY
from certbound.core.ports import RegistrationRecord
from certbound.settings import load
from certbound.trust.authority import Authority, Issued, self_signed
from certificates import der, read
from wrong_metadata import TABLE, Wrong, ids_of

from .conftest import Certbound

SUBJECTS = [
    ("--subject-dn", "CN=billing,O=Example,C=CZ", "tls_client_auth_subject_dn"),
    ("--san-dns", "billing.example", "tls_client_auth_san_dns"),
    ("--san-uri", "spiffe://example/billing", "tls_client_auth_san_uri"),
    ("--san-ip", "192.0.2.7", "tls_client_auth_san_ip"),
    ("--san-email", "billing@example.com", "tls_client_auth_san_email"),
]


@pytest.fixture
def billing(authority: Authority, deployment: Path) -> Issued:
    """billing.pem: a certificate with a name of each kind."""
    issued = authority.issue(
        "CN=billing,O=Example,C=CZ",
        dns=["billing.example"],
        uris=["spiffe://example/billing"],
        ips=["192.0.2.7"],
        emails=["billing@example.com"],
    )
    (deployment / "billing.pem").write_bytes(issued.certificate_pem)
    return issued


def certificate_file(directory: Path, name: str) -> Issued:
    """`name`.pem: a self-signed certificate."""
    issued = self_signed(f"CN={name}")
    (directory / f"{name}.pem").write_bytes(issued.certificate_pem)
    return issued


def spoil(directory: Path, client_id: str, metadata: str) -> None:
    """What is stored of the client is `metadata`, whatever that is."""
    with closing(sqlite3.connect(directory / "certbound.sqlite")) as database, database:
        database.execute("UPDATE clients SET metadata = ? WHERE client_id = ?", (metadata, client_id))


@pytest.mark.parametrize(("option", "value", "field"), SUBJECTS)
@pytest.mark.usefixtures("deployment")
def test_a_client_is_registered_by_each_kind_of_name(certbound: Certbound, option: str, value: str, field: str) -> None:
    """Each of the five options registers the metadata of its kind, and `show --json` has it."""
    done = certbound("client", "add", "--id", "billing", option, value, "--scope", "read", "--json")
    assert done.status == 0
    assert json.loads(done.out)[field] == value
    assert json.loads(certbound("client", "show", "billing", "--json").out) == json.loads(done.out)


@pytest.mark.usefixtures("deployment")
def test_the_next_step_is_named(certbound: Certbound) -> None:
    """Who registered a client is told how to obtain a token with it."""
    told = certbound("client", "add", "--id", "a b", "--san-dns", "a.example", "--scope", "").out.splitlines()[-1]
    assert told.endswith("certbound token --issuer https://as.example --client-id 'a b' --cert CERT --key KEY")


ON_A_DEVICE = (
    "next: it asks https://mtls.as.example/device_authorization for a code, shows it to the person, who types it at "
    "https://as.example/device, and polls https://mtls.as.example/token"
)
FOR_PEOPLE = "next: it sends people to https://as.example/authorize"
FOR_ITSELF = (
    "next, with its certificate: certbound token --issuer https://as.example --client-id a --cert CERT --key KEY"
)
NEXT: dict[str, tuple[list[str], list[str]]] = {
    "code": (["--san-dns", "a.example", "--redirect-uri", "https://a.example/cb"], [FOR_PEOPLE]),
    "device": (["--san-dns", "a.example", "--grant-type", "device"], [ON_A_DEVICE]),
    "key": (
        ["--jwks-uri", "https://a.example/jwks", "--method", "private_key_jwt"],
        ["next: it asks https://mtls.as.example/token for a token, by private_key_jwt"],
    ),
    "two": (
        ["--san-dns", "a.example", "--redirect-uri", "http://127.0.0.1/", "--grant-type", "code", "--grant-type",
         "client_credentials"],
        [FOR_PEOPLE, FOR_ITSELF],
    ),
    "none": (["--san-dns", "a.example", "--grant-type", "exchange"], []),
}  # fmt: skip


@pytest.mark.parametrize("kind", NEXT)
@pytest.mark.usefixtures("for_people")
def test_each_kind_of_client_has_a_next_step(certbound: Certbound, kind: str) -> None:
    """The one that acts for people, a device, one without a certificate; who may do two things is told both."""
    options, steps = NEXT[kind]
    done = certbound("client", "add", "--id", "a", "--scope", "", *options)
    assert done.status == 0, done
    assert [line for line in done.out.splitlines() if line.startswith("next")] == steps


def test_a_login_application_is_told_where_people_come(certbound: Certbound, for_people: Path) -> None:
    """And where it answers; another client of that server is not."""
    file = for_people / "certbound.toml"
    ours, others = "accounts = true", 'url = "https://login.example/"\nclients = ["login"]'
    file.write_text(file.read_text().replace(ours, others))
    people, answers = "https://login.example/?interaction=ID", "https://mtls.as.example/interactions/ID"
    expected = f"next: people come to {people}, and it answers at {answers}"
    for client_id in ("login", "other"):
        done = certbound("client", "add", "--id", client_id, "--san-dns", "l.example", "--scope", "")
        assert (expected in done.out) is (client_id == "login"), done


@pytest.mark.usefixtures("deployment")
def test_the_client_id_is_made_if_none_is_given(certbound: Certbound) -> None:
    """Without --id the server makes one that cannot be guessed."""
    ids = {
        json.loads(certbound("client", "add", "--san-dns", "a.example", "--scope", "", "--json").out)["client_id"]
        for _ in range(2)
    }
    assert len(ids) == 2
    assert all(len(each) >= 22 for each in ids)


def test_self_signed_certificates_overlap(certbound: Certbound, deployment: Path) -> None:
    """--self-signed registers the certificates themselves; --add-self-signed adds one, --self-signed replaces all."""
    old, new = certificate_file(deployment, "old"), certificate_file(deployment, "new")
    certbound("client", "add", "--id", "s", "--self-signed", "old.pem", "--scope", "read")
    both = json.loads(certbound("client", "update", "s", "--add-self-signed", "new.pem", "--json").out)
    assert both["x5t#S256"] == [thumbprint(old.der), thumbprint(new.der)]
    again = json.loads(certbound("client", "update", "s", "--add-self-signed", "new.pem", "--json").out)
    assert again["x5t#S256"] == both["x5t#S256"]
    only = json.loads(certbound("client", "update", "s", "--self-signed", "new.pem", "--json").out)
    assert only["x5t#S256"] == [thumbprint(new.der)]


def test_certificates_are_published_instead(certbound: Certbound, deployment: Path) -> None:
    """--jwks-uri takes the place of registered certificates and they take its; --ignore-validity is kept beside."""
    certificate_file(deployment, "old")
    uri = "https://partner.example/jwks.json"
    options = ["--jwks-uri", uri, "--ignore-validity", "--scope", "read"]
    published = json.loads(certbound("client", "add", "--id", "p", *options, "--json").out)
    assert published["jwks_uri"] == uri
    assert published[IGNORE_VALIDITY] is True
    registered = json.loads(certbound("client", "update", "p", "--self-signed", "old.pem", "--json").out)
    assert "jwks_uri" not in registered
    assert registered[IGNORE_VALIDITY] is True
    again = json.loads(certbound("client", "update", "p", "--jwks-uri", uri, "--check-validity", "--json").out)
    assert "jwks" not in again
    assert IGNORE_VALIDITY not in again
    assert uri in certbound("client", "show", "p").out
    wrong = certbound("client", "update", "p", "--jwks-uri", "http://partner.example/jwks.json")
    assert wrong.status == 1
    assert "--jwks-uri: jwks_uri: must be an https URL" in wrong.err


@pytest.mark.usefixtures("billing")
def test_from_cert_proposes_what_then_registers(certbound: Certbound, deployment: Path) -> None:
    """Every option that --from-cert prints is accepted by `add` as printed; by itself it registers nothing."""
    proposed = certbound("client", "add", "--from-cert", "billing.pem")
    options = [shlex.split(line) for line in proposed.out.splitlines() if line.startswith("  --")]
    assert [option[0] for option in options] == [*(option for option, _, _ in SUBJECTS), "--self-signed"]
    assert not (deployment / "certbound.sqlite").exists()
    for option in options:
        assert certbound("client", "add", *option, "--scope", "read").status == 0


def test_from_cert_says_what_a_certificate_is(certbound: Certbound, billing: Issued) -> None:
    """Thumbprint, key and validity are said; as JSON the names are metadata."""
    told = certbound("client", "add", "--from-cert", "billing.pem").out
    assert thumbprint(billing.der) in told
    assert "P-256" in told
    found = json.loads(certbound("client", "add", "--from-cert", "billing.pem", "--json").out)
    assert found["x5t#S256"] == thumbprint(billing.der)
    assert {field: found[field] for _, _, field in SUBJECTS} == {field: value for _, value, field in SUBJECTS}


def test_from_cert_says_what_cannot_authenticate(certbound: Certbound, deployment: Path, authority: Authority) -> None:
    """What is expired, weak or for servers is said to be, and a wildcard is shown as what cannot be registered."""
    weak = rsa.generate_private_key(65537, 1024)
    issued = authority.issue("CN=x", dns=["*.example"], days=-0.02, usage="server", key=weak)
    (deployment / "x.pem").write_bytes(issued.certificate_pem)
    told = certbound("client", "add", "--from-cert", "x.pem")
    assert "it has expired" in told.err
    assert "its key is not accepted: RSA key of 1024 bits" in told.err
    assert "its extended key usage lacks clientAuth" in told.err
    assert "(not --san-dns '*.example': a wildcard matches nothing" in told.out


def test_escape_codes_in_certificates_are_shown_not_run(certbound: Certbound, deployment: Path) -> None:
    """Names with escape codes and bidi marks never reach the terminal, and what is proposed still matches."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bill\u202eing")])
    evil = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a\x1b[31mb")])
    (deployment / "bidi.pem").write_bytes(self_signed(name).certificate_pem)
    (deployment / "evil.pem").write_bytes(self_signed(evil).certificate_pem)
    told = certbound("client", "add", "--from-cert", "bidi.pem").out
    assert "\u202e" not in told
    option = next(shlex.split(line) for line in told.splitlines() if "--subject-dn" in line)
    assert certbound("client", "add", "--id", "bidi", *option, "--scope", "read").status == 0
    told = certbound("client", "add", "--from-cert", "evil.pem")
    assert "\x1b" not in told.out + told.err


@pytest.mark.usefixtures("deployment")
def test_escape_codes_in_the_store_are_shown_not_run(certbound: Certbound) -> None:
    """A stored name with escape codes is printed escaped by every command that prints it."""
    added = certbound("client", "add", "--id", "x", "--name", "a\x1b[2Jb\u202e", "--san-dns", "a.b", "--scope", "read")
    for told in (added, certbound("client", "show", "x"), certbound("client", "show", "x", "--json")):
        assert told.status == 0
        assert not {"\x1b", "\u202e"} & set(told.out + told.err)
    assert r"a\x1b[2Jb\u202e" in certbound("client", "show", "x").out


@pytest.mark.usefixtures("deployment")
def test_a_refusal_names_the_option(certbound: Certbound) -> None:
    """What the use case refuses is one sentence with the option and the field, and nothing is stored."""
    refused = certbound("client", "add", "--san-dns", "*.example", "--scope", "read")
    assert refused.status == 1
    assert refused.err == (
        "certbound: --san-dns: tls_client_auth_san_dns: a wildcard matches nothing; register the name itself\n"
    )
    assert "--scope: scope: " in certbound("client", "add", "--san-dns", "a.b", "--scope", "read fly").err
    assert "--grant-type: " in certbound("client", "add", "--san-dns", "a.b", "--scope", "", "--grant-type", "x").err
    assert "no clients yet" in certbound("client", "list").out


def test_a_database_that_does_not_answer_is_told_with_its_setting(certbound: Certbound, deployment: Path) -> None:
    """The sentence leads to the key that says where it is."""
    pytest.importorskip("asyncpg")
    settings = deployment / "certbound.toml"
    settings.write_text(f'{settings.read_text()}[store]\nurl = "postgresql://a@127.0.0.1:1/a?sslmode=disable"\n')
    done = certbound("client", "list")
    assert done.status == 1
    assert "the store did not answer: " in done.err
    assert "; store.url says where it is" in done.err


@pytest.mark.usefixtures("deployment")
def test_a_client_id_is_given_once(certbound: Certbound) -> None:
    """A second client of the same id is refused and the first one stays."""
    certbound("client", "add", "--id", "a", "--san-dns", "one.example", "--scope", "")
    refused = certbound("client", "add", "--id", "a", "--san-dns", "two.example", "--scope", "")
    said = "certbound: --id: client_id: 'a' is taken; certbound client update changes that client\n"
    assert (refused.status, refused.err) == (1, said)
    assert "one.example" in certbound("client", "show", "a").out


@pytest.mark.parametrize(
    ("arguments", "say"),
    [
        (["add", "--scope", "read"], "say how the client is known"),
        (["add", "--san-dns", "a.b", "--san-ip", "::1"], "one of these only: --san-dns, --san-ip"),
        (["add", "--san-dns", "a.b"], "--scope is missing; this server offers read, write"),
        (["update", "a", "--anchor-key", "x", "--every-anchor"], "not two of them"),
        (["update", "a"], "nothing to change is given"),
        (["update", "a", "--self-signed", "x", "--add-self-signed", "y"], "not both"),
        (["show"], "Missing argument"),
    ],
)
@pytest.mark.usefixtures("deployment")
def test_wrong_use_exits_with_2(certbound: Certbound, arguments: list[str], say: str) -> None:
    """Options that do not make sense together exit with 2 and say what would."""
    outcome = certbound("client", *arguments)
    assert outcome.status == 2
    assert say in " ".join(outcome.err.split())


@pytest.mark.usefixtures("deployment")
def test_without_an_anchor_there_is_no_pki_client(certbound: Certbound, deployment: Path) -> None:
    """Where no anchor is configured, tls_client_auth is refused with what to do."""
    file = deployment / "certbound.toml"
    file.write_text(file.read_text().replace('anchors = ["ca.pem"]', ""))
    refused = certbound("client", "add", "--san-dns", "a.b", "--scope", "")
    assert refused.status == 1
    assert "set trust.anchors" in refused.err


def said_of(certbound: Certbound, *arguments: str) -> dict[str, Any]:
    """What a command that has to work answers as JSON."""
    done = certbound("client", *arguments, "--json")
    assert done.status == 0
    answer: dict[str, Any] = json.loads(done.out)
    return answer


def test_who_may_certify_a_client(certbound: Certbound, deployment: Path, authority: Authority) -> None:
    """--anchor-key narrows the server's anchors, --anchor brings others, --every-anchor takes either back; another name
    or scope leaves them, and another method takes them away."""
    file = deployment / "certbound.toml"
    file.write_text(file.read_text().replace("[trust]", "[trust]\nclient_anchors = true"))
    partner = Authority.create("Partner CA")
    (deployment / "partner.pem").write_bytes(partner.certificate_pem)
    key, own = read(authority).key_thumbprint, b64encode(der(partner)).decode()
    narrow = said_of(certbound, "add", "--id", "p", "--san-dns", "p.example", "--scope", "read", "--anchor-key", key)
    assert narrow[KEYS] == [key]
    assert f"only anchor  {key}" in certbound("client", "show", "p").out
    assert said_of(certbound, "update", "p", "--san-dns", "q.example", "--scope", "")[KEYS] == [key]
    brought = said_of(certbound, "update", "p", "--anchor", "partner.pem")
    assert (brought.get(KEYS), brought[CERTIFICATES]) == (None, [own])
    assert f"own anchor  {read(partner).key_thumbprint} until" in certbound("client", "show", "p").out
    again = said_of(certbound, "update", "p", "--anchor-key", key)
    assert (again[KEYS], again.get(CERTIFICATES)) == ([key], None)
    assert not {KEYS, CERTIFICATES} & said_of(certbound, "update", "p", "--every-anchor").keys()
    said_of(certbound, "update", "p", "--anchor", "partner.pem")
    certificate_file(deployment, "self")
    assert not {KEYS, CERTIFICATES} & said_of(certbound, "update", "p", "--self-signed", "self.pem").keys()


@pytest.mark.usefixtures("deployment")
def test_the_order_of_rdns(certbound: Certbound) -> None:
    """--dn-order belongs to a subject; another subject has its own."""
    name = ["--subject-dn", "CN=b,O=E,C=CZ"]
    added = said_of(certbound, "add", "--id", "d", *name, "--dn-order", "reversed", "--scope", "")
    assert added[DN_ORDER] == "reversed"
    assert "RDN order   reversed" in certbound("client", "show", "d").out
    assert said_of(certbound, "update", "d", "--dn-order", "any")[DN_ORDER] == "any"
    assert DN_ORDER not in said_of(certbound, "update", "d", *name)
    assert DN_ORDER not in said_of(certbound, "update", "d", "--dn-order", "exact")
    assert DN_ORDER not in said_of(certbound, "update", "d", "--san-dns", "d.example")
    refused = certbound("client", "update", "d", "--dn-order", "any")
    assert (refused.status, refused.err.startswith("certbound: --dn-order: ")) == (1, True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--anchor", "ca.pem"], "--anchor: tls_client_auth_trust_anchors: clients may not bring trust anchors here"),
        (["--anchor-key", "x"], "--anchor-key: tls_client_auth_trust_anchor_keys[0]: must be the SHA-256"),
        (["--anchor-key", "A" * 43], f"no trust anchor of this server has the key {'A' * 43}; it has "),
        (["--anchor", "nowhere.pem"], "nowhere.pem"),
        (["--anchor", "as.key"], "as.key"),
    ],
)
@pytest.mark.usefixtures("deployment")
def test_anchors_that_cannot_be(certbound: Certbound, options: list[str], said: str) -> None:
    """What cannot be an anchor of the client is refused by the option that gave it."""
    refused = certbound("client", "add", "--san-dns", "a.example", "--scope", "", *options)
    assert refused.status == 1
    assert said in refused.err
    assert refused.err.count("\n") == 1


@pytest.mark.parametrize(
    "content", [b"", b"no pem", b"\x30\x03\x02\x01\x01", None], ids=["empty", "text", "der", "absent"]
)
def test_a_file_that_is_no_certificate(certbound: Certbound, deployment: Path, content: bytes | None) -> None:
    """A certificate file that cannot be used is one sentence that names it."""
    if content is not None:
        (deployment / "x.pem").write_bytes(content)
    for arguments in (["--from-cert", "x.pem"], ["--self-signed", "x.pem"]):
        refused = certbound("client", "add", *arguments)
        assert refused.status == 1
        assert refused.err.startswith("certbound: x.pem ")
        assert refused.err.count("\n") == 1


@pytest.mark.usefixtures("billing")
def test_a_client_changes_how_it_is_known(certbound: Certbound) -> None:
    """An update to another kind of name, or to a certificate and back, leaves nothing of the old way."""
    certbound("client", "add", "--id", "a", "--san-dns", "a.example", "--scope", "read")
    changed = json.loads(certbound("client", "update", "a", "--san-ip", "::1", "--json").out)
    assert changed["tls_client_auth_san_ip"] == "::1"
    assert "tls_client_auth_san_dns" not in changed
    changed = json.loads(certbound("client", "update", "a", "--self-signed", "billing.pem", "--json").out)
    assert changed["token_endpoint_auth_method"] == "self_signed_tls_client_auth"
    changed = json.loads(certbound("client", "update", "a", "--subject-dn", "CN=a", "--json").out)
    assert (changed["token_endpoint_auth_method"], changed.get("jwks")) == ("tls_client_auth", None)
    assert changed["scope"] == "read"


@pytest.mark.usefixtures("deployment")
def test_a_client_is_switched_off_and_on(certbound: Certbound) -> None:
    """--disable and --enable change the state and nothing else."""
    certbound("client", "add", "--id", "a", "--san-dns", "a.example", "--scope", "read", "--name", "A")
    off = json.loads(certbound("client", "update", "a", "--disable", "--json").out)
    assert (off["enabled"], off["client_name"]) == (False, "A")
    assert "disabled" in certbound("client", "list").out
    assert json.loads(certbound("client", "update", "a", "--enable", "--json").out)["enabled"] is True


def test_bound_is_what_is_in_effect(certbound: Certbound, deployment: Path) -> None:
    """What is shown of bound tokens is what the server does, whatever the client asked for."""
    arguments = ["client", "add", "--san-dns", "a.example", "--scope", "", "--no-bound"]
    assert "tokens   bound" in certbound(*arguments).out
    file = deployment / "certbound.toml"
    file.write_text(file.read_text().replace("[tokens]", '[tokens]\nbind = "requested"'))
    assert "tokens   not bound" in certbound(*arguments).out
    assert "tokens   bound" in certbound(*arguments[:-1], "--bound").out


@pytest.mark.usefixtures("deployment")
def test_a_client_is_removed_only_if_somebody_says_so(certbound: Certbound, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an answer nothing is removed and --yes is named; with --yes the client is gone."""
    certbound("client", "add", "--id", "a", "--san-dns", "a.example", "--scope", "")
    with Path("/dev/null").open() as nobody:
        monkeypatch.setattr("sys.stdin", nobody)
        refused = certbound("client", "remove", "a")
    assert refused.status == 1
    assert "nothing was removed; --yes removes without asking" in refused.err
    assert certbound("client", "remove", "a", "--yes").out == "removed client a\n"
    for command in ("show", "update", "remove"):
        missing = certbound("client", command, "a", *(["--disable"] if command == "update" else []))
        assert missing.status == 1
        assert missing.err == "certbound: there is no client 'a'; certbound client list shows those there are\n"


@pytest.mark.parametrize("stored", ['{"token_endpoint_auth_method": "x\\u001b[2J"}', "{}", "[]", "no json"])
def test_an_unreadable_client_is_listed_shown_and_removed(certbound: Certbound, deployment: Path, stored: str) -> None:
    """What cannot be read is said to be unreadable, beside the others, and can be removed."""
    for client in ("good", "bad"):
        certbound("client", "add", "--id", client, "--san-dns", "a.example", "--scope", "")
    spoil(deployment, "bad", stored)
    listed = certbound("client", "list")
    assert listed.status == 0
    assert [line.split()[:2] for line in listed.out.splitlines()[1:]] == [["bad", "unreadable"], ["good", "enabled"]]
    assert "problem" in json.loads(certbound("client", "list", "--json").out)[0]
    shown = certbound("client", "show", "bad")
    assert (shown.status, "unreadable" in shown.out, "\x1b" in shown.out) == (0, True, False)
    assert certbound("client", "update", "bad", "--disable").status == 0
    assert certbound("client", "remove", "bad", "--yes").status == 0


JWKS_OF_KEYS = {"keys": [ECKey.generate_key("P-256").as_dict(private=False)]}
METHODS: dict[str, tuple[str, ...]] = {
    "tls_client_auth": ("--san-dns", "a.example"),
    "self_signed_tls_client_auth": ("--self-signed", "a.pem"),
    "private_key_jwt": ("--jwks", "keys.json", "--assertion-alg", "ES256"),
    "client_secret_basic": ("--method", "client_secret_basic"),
    "client_secret_post": ("--method", "client_secret_post"),
    "none": ("--method", "none"),
}


@pytest.fixture
def every_method(deployment: Path) -> Path:
    """A deployment that takes every method, and what they are registered with."""
    certificate_file(deployment, "a")
    (deployment / "keys.json").write_text(json.dumps(JWKS_OF_KEYS))
    settings = deployment / "certbound.toml"
    settings.write_text(f"{settings.read_text()}\n[authentication]\nmethods = {json.dumps(list(METHODS))}\n")
    return deployment


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.usefixtures("every_method")
def test_a_client_is_registered_by_each_method(certbound: Certbound, method: str) -> None:
    """The method follows from the options; who has a secret is shown it once, and it is not in the store."""
    done = certbound("client", "add", "--id", "a", *METHODS[method], "--scope", "read", "--json")
    assert done.status == 0, done.err
    made = json.loads(done.out)
    assert made["token_endpoint_auth_method"] == method
    assert ("client_secret" in made) is method.startswith("client_secret")
    assert made.get("client_secret", "?") not in certbound("client", "show", "a").out
    assert "register client done: asked by" in done.err


@pytest.mark.usefixtures("every_method")
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--method", "private_key_jwt"), "say by what: --jwks, --jwks-uri"),
        (("--method", "tls_client_auth"), "say by what: --san-dns"),
        (("--method", "none", "--jwks", "keys.json"), "--jwks does not go with it"),
        (("--jwks", "keys.json", "--jwks-uri", "https://a.example/"), "a client is known by one of these only"),
        (("--san-dns", "a.example", "--method", "client_secret_post"), "--san-dns does not go with it"),
    ],
)
def test_a_method_and_what_it_is_known_by_go_together(
    certbound: Certbound, options: tuple[str, ...], said: str
) -> None:
    """What contradicts itself is wrong use, and says what would do."""
    done = certbound("client", "add", *options, "--scope", "")
    assert done.status == 2
    assert said in done.err


@pytest.mark.usefixtures("every_method")
def test_secrets_are_replaced_with_overlap(certbound: Certbound) -> None:
    """The new one is shown once, the old one ends after --overlap; one is removed at once by its name."""
    certbound("client", "add", "--id", "a", "--method", "client_secret_basic", "--scope", "")
    [first] = json.loads(certbound("client", "secret", "list", "a", "--json").out)
    assert first["ends_at"] is None
    second = json.loads(certbound("client", "secret", "add", "a", "--overlap", "60", "--json").out)["client_secret"]
    old, new = json.loads(certbound("client", "secret", "list", "a", "--json").out)
    assert (old["name"], new["ends_at"]) == (first["name"], None)
    assert 0 < old["ends_at"] - new["created_at"] <= 61
    listed = certbound("client", "secret", "list", "a").out
    assert second not in listed
    assert "counts" in listed
    assert certbound("client", "secret", "remove", "a", old["name"]).status == 0
    assert "has no secret" in certbound("client", "secret", "remove", "a", old["name"]).err
    assert [new] == json.loads(certbound("client", "secret", "list", "a", "--json").out)
    for _ in range(2):
        assert certbound("client", "secret", "add", "a").status == 0
    assert "3 count already" in certbound("client", "secret", "add", "a").err
    assert certbound("client", "secret", "add", "a", "--overlap", "0").status == 0
    assert 1 == len(json.loads(certbound("client", "secret", "list", "a", "--json").out))


@pytest.mark.usefixtures("every_method")
def test_secrets_belong_to_a_method(certbound: Certbound) -> None:
    """Another method has none; a change to one makes it, a change away ends it."""
    certbound("client", "add", "--id", "a", "--san-dns", "a.example", "--scope", "")
    assert "has no secret" in certbound("client", "secret", "add", "a").err
    assert "there is no client" in certbound("client", "secret", "add", "b").err
    changed = certbound("client", "update", "a", "--method", "client_secret_post", "--json")
    assert json.loads(changed.out)["client_secret"].startswith("cbcs_")
    certbound("client", "update", "a", "--san-dns", "a.example")
    assert "no secrets" in certbound("client", "secret", "list", "a").out


@pytest.mark.usefixtures("deployment")
def test_initial_access_tokens_are_made_listed_and_removed(certbound: Certbound) -> None:
    """A token is shown once; the list says for what it is and how long; who opened no way for it is told."""
    made = certbound("registration", "token", "--uses", "3", "--hours", "1", "--label", "partner", "--json")
    token = json.loads(made.out)["initial_access_token"]
    assert token.startswith("cbia_")
    assert "lets nobody in" in made.err
    [listed] = json.loads(certbound("registration", "list", "--json").out)
    assert ("partner", 3) == (listed["label"], listed["uses"])
    assert token not in certbound("registration", "list").out
    assert certbound("registration", "remove", listed["name"]).status == 0
    assert "no tokens" in certbound("registration", "list").out
    assert "there is no token" in certbound("registration", "remove", listed["name"]).err


def test_a_registration_token_is_made_anew(certbound: Certbound, deployment: Path) -> None:
    """Shown once; who did not register itself has none."""

    async def register() -> None:
        settings = load(deployment / "certbound.toml", {})
        registration = RegistrationRecord(digest=digest_of("cbrg_old"), way="open")
        async with open_registry(settings) as registry:
            metadata = {"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "a.example"}
            await registry.register(metadata, client_id="a", registration=registration)

    asyncio.run(register())
    said = certbound("client", "management-token", "a").out
    assert "shown this once: cbrg_" in said
    made = json.loads(certbound("client", "management-token", "a", "--json").out)
    assert made["client_id"] == "a"
    assert made["registration_access_token"] not in said
    certificate_file(deployment, "own")
    assert "in no certificate" in certbound("client", "management-token", "a", "--certificate", "own.pem").err
    certbound("client", "add", "--id", "b", "--san-dns", "b.example", "--scope", "")
    assert "did not register itself" in certbound("client", "management-token", "b").err
    assert "there is no client" in certbound("client", "management-token", "c").err


APP = ["client", "add", "--id", "app", "--san-dns", "app.example", "--scope", "read"]
WEB = ["--redirect-uri", "https://app.example/cb"]


@pytest.fixture
def for_people(deployment: Path) -> Path:
    """A deployment where people log in, and devices may ask."""
    file = deployment / "certbound.toml"
    two_hosts = file.read_text().replace("port = 0", 'port = 0\nmtls_url = "https://mtls.as.example"')
    file.write_text(two_hosts + "\n[login]\naccounts = true\ndevice = true\nopenid = false\n")
    return deployment


@pytest.mark.usefixtures("for_people")
def test_a_client_that_acts_for_people(certbound: Certbound) -> None:
    """Every option of it ends in the metadata and on the screen; who is sent where is said at the end."""
    options = [
        *WEB, "--redirect-uri", "http://127.0.0.1/cb", "--post-logout-redirect-uri", "https://app.example/",
        "--require-par", "--id-token-alg", "ES256",
    ]  # fmt: skip
    done = certbound(*APP, *options)
    assert done.status == 0, done.err
    assert done.out.splitlines()[-1] == (
        "next: it pushes its request to https://mtls.as.example/par, and sends people to https://as.example/authorize"
    )
    told = [line.strip() for line in done.out.splitlines()]
    assert {
        "redirect URI  https://app.example/cb", "redirect URI  http://127.0.0.1/cb",
        "after logout  https://app.example/", "requests      must be pushed", "ID tokens     ES256",
    } <= {*told}  # fmt: skip
    kept = json.loads(certbound("client", "show", "app", "--json").out)
    assert kept["grant_types"] == ["authorization_code", "refresh_token"]
    assert kept["redirect_uris"] == ["https://app.example/cb", "http://127.0.0.1/cb"]
    assert kept["post_logout_redirect_uris"] == ["https://app.example/"]
    assert kept["require_pushed_authorization_requests"] is True
    assert kept["id_token_signed_response_alg"] == "ES256"


@pytest.mark.usefixtures("for_people")
def test_what_is_changed_replaces_what_was_there(certbound: Certbound) -> None:
    """Redirect URIs are given anew, all of them; the grants stay; a choice can be taken back."""
    certbound(*APP, *WEB, "--pairwise", "--require-par")
    assert "a sub of its own, at app.example" in certbound("client", "show", "app").out
    other = ["--redirect-uri", "https://other.example/cb", "--public-subjects", "--allow-unpushed"]
    changed = json.loads(certbound("client", "update", "app", *other, "--json").out)
    assert changed["redirect_uris"] == ["https://other.example/cb"]
    assert changed["grant_types"] == ["authorization_code", "refresh_token"]
    assert not {"subject_type", "require_pushed_authorization_requests"} & changed.keys()


@pytest.mark.usefixtures("for_people")
def test_grants_have_short_names(certbound: Certbound) -> None:
    """And the long ones work."""
    exchange, device = (f"urn:ietf:params:oauth:grant-type:{each}" for each in ("token-exchange", "device_code"))
    for given in (["code", "device", "refresh", "exchange", "client_credentials"],
                  ["authorization_code", device, "refresh_token", exchange, "client_credentials"]):  # fmt: skip
        options = [word for each in given for word in ("--grant-type", each)]
        done = certbound(*APP, *WEB, *options, "--json")
        expected = sorted(["authorization_code", "client_credentials", "refresh_token", device, exchange])
        assert json.loads(done.out)["grant_types"] == expected
        certbound("client", "remove", "app", "--yes")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--grant-type", "code"], "--redirect-uri: redirect_uris: is missing; authorization_code needs one at least"),
        (["--redirect-uri", "http://app.example/"], "--redirect-uri: redirect_uris[0]: must be an https URI"),
        ([*WEB, "--redirect-uri", "javascript:x"], "--redirect-uri: redirect_uris[1]: must be"),
        (
            [*WEB, "--post-logout-redirect-uri", "/"],
            "--post-logout-redirect-uri: post_logout_redirect_uris[0]: must be",
        ),
        (["--redirect-uri", "http://127.0.0.1/", "--pairwise"], "--pairwise: subject_type: pairwise needs"),
        ([*WEB, "--id-token-alg", "PS256"], "--id-token-alg: id_token_signed_response_alg: PS256 not offered here"),
        ([*WEB, "--grant-type", "implicit"], "--grant-type: grant_types: implicit not offered here; offered: "),
    ],
    ids=["no uri", "http", "script", "logout", "pairwise", "alg", "grant"],
)
@pytest.mark.usefixtures("for_people")
def test_what_is_wrong_is_said_of_the_option(certbound: Certbound, options: list[str], said: str) -> None:
    """By its name and that of the member; nothing is registered."""
    done = certbound(*APP, *options)
    assert done.status != 0
    assert said in done.err
    assert json.loads(certbound("client", "list", "--json").out) == []


@pytest.mark.usefixtures("deployment")
def test_where_nobody_logs_in_nobody_is_asked(certbound: Certbound) -> None:
    """A client cannot have the grant while it is off."""
    done = certbound(*APP, *WEB)
    assert done.status != 0
    assert "--grant-type: grant_types: authorization_code not offered here; offered: client_credentials, " in done.err


LISTS = {"grant_types", "redirect_uris", "post_logout_redirect_uris", "protected_resources", KEYS}


def options_of(metadata: dict[str, Any], directory: Path) -> list[str] | None:
    """As a person would say it to `client add`; None for what no option can say."""
    words: list[str] = []
    for name, value in metadata.items():
        values = value if name in LISTS else [value]
        if value is None:
            continue
        if name == "jwks":
            (directory / "given.json").write_text(json.dumps(value))
            words += ["--jwks", str(directory / "given.json")]
        elif isinstance(values, list) and values and all(isinstance(each, str) for each in values):
            words += [f"{MEMBERS[name]}={each}" for each in values]
        else:
            return None
    return words


SAID = [
    pytest.param(row, id=name)
    for row, name in zip(TABLE, ids_of(TABLE), strict=True)
    if row.name in MEMBERS and row.name not in {CERTIFICATES, "subject_type"}
]
"""All but those that the option cannot say wrong: it takes a file, or is one of two."""


@pytest.mark.parametrize("row", SAID)
@pytest.mark.usefixtures("for_people")
def test_every_field_wrong_in_turn_is_refused_by_name(certbound: Certbound, deployment: Path, row: Wrong) -> None:
    """What registration refuses over the network is refused here, by the name of the option."""
    scope = [] if row.name == "scope" else ["--scope=read"]
    # A command takes its time: of the values one is tried here, and all of them by what it calls.
    tried = [said for value in row.values if (said := options_of({**row.beside, row.name: value}, deployment))][:1]
    for said in tried:
        done = certbound("client", "add", "--id", "a", *scope, *said)
        assert done.status in (1, 2), (said, done)
        assert row.name in done.err or MEMBERS[row.name] in done.err, (said, done)
    flags = {IGNORE_VALIDITY, "require_pushed_authorization_requests", "tls_client_certificate_bound_access_tokens"}
    assert tried or row.name in flags, "a flag cannot be said wrong"
    assert "no clients yet" in certbound("client", "list").out
