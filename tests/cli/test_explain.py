"""`certbound explain`: the server's own verdict, step by step, and what to change."""

import asyncio
import json
import shlex
import sqlite3
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from asserting import jwks, key
from certbound import app, settings
from certbound.cli import _advice
from certbound.cli._responder import make_responder
from certbound.core.authentication import Step
from certbound.core.certificate import thumbprint
from certbound.core.clients import Method
from certbound.core.errors import InvalidClient
from certbound.server.call import Call, read_form
from certbound.server.token import token
from certbound.trust.authority import Authority, Issued, self_signed
from certbound.trust.ledger import Ledger, sign_crl
from certificates import ISSUER, name, peer, with_field

from .conftest import Certbound


@dataclass(frozen=True)
class Explained:
    """What `explain --json` says."""

    status: int
    failed: str
    reason: str
    advice: str
    answer: dict[str, Any]


@pytest.fixture
def explain(certbound: Certbound, deployment: Path) -> Any:
    """Explains a certificate, which is written into a file first."""

    def ask(client_id: str, *chain: Issued | Authority, more: tuple[str, ...] = ()) -> Explained:
        (deployment / "c.pem").write_bytes(b"".join(each.certificate_pem for each in chain))
        done = certbound("explain", "--client", client_id, "--cert", "c.pem", "--json", *more)
        answer = json.loads(done.out)
        failed = [each["step"] for each in answer["steps"] if each["result"] == "FAILED"]
        return Explained(done.status, *(failed or [""]), answer["reason"] or "", "\n".join(answer["advice"]), answer)

    return ask


@pytest.fixture
def add(certbound: Certbound) -> Any:
    """Registers a client `a`."""

    def register(*options: str) -> None:
        done = certbound("client", "add", "--id", "a", "--scope", "", *options)
        assert done.status == 0, done.err

    return register


def configure(directory: Path, text: str) -> None:
    """More settings."""
    file = directory / "certbound.toml"
    file.write_text(f"{file.read_text()}\n{text}\n")


def test_who_would_be_accepted(explain: Any, add: Any, authority: Authority) -> None:
    """Every step passes, the exit status is 0, and what the token would be bound to is said."""
    add("--san-dns", "a.example")
    issued = authority.issue("CN=a", dns=["a.example"])
    found = explain("a", issued)
    assert (found.status, found.failed) == (0, "")
    assert {each["result"] for each in found.answer["steps"]} == {"passed"}
    assert [each["step"] for each in found.answer["steps"]][-4:] == ["SUBJECT", "PATH", "AUTHORITIES", "REVOCATION"]
    assert found.answer["bound_to"] == thumbprint(issued.der)


def test_an_unbound_token_is_said(
    explain: Any, add: Any, certbound: Certbound, authority: Authority, deployment: Path
) -> None:
    """Where tokens are bound on request, a client that did not ask is told to get an unbound one."""
    file = deployment / "certbound.toml"
    file.write_text(file.read_text().replace("[tokens]", '[tokens]\nbind = "requested"'))
    add("--san-dns", "a.example")
    assert explain("a", authority.issue("CN=a", dns=["a.example"])).answer["bound_to"] is None
    told = certbound("explain", "--client", "a", "--cert", "c.pem")
    assert (told.status, "its token would be not bound" in told.out) == (0, True)


def test_people_see_each_step(certbound: Certbound, explain: Any, add: Any, authority: Authority) -> None:
    """Passed, FAILED, not reached: one line per question, then the reason and what to change."""
    add("--san-dns", "b.example")
    explain("a", authority.issue("CN=a", dns=["a.example"]))
    told = certbound("explain", "--client", "a", "--cert", "c.pem")
    lines = told.out.splitlines()
    assert told.status == 1
    assert [line.split("  ")[1] for line in lines[1:11]] == ["passed"] * 6 + ["FAILED"] + ["not reached"] * 3
    assert lines[7].endswith(Step.SUBJECT.value)
    assert lines[12].startswith("refused: the certificate does not carry the registered tls_client_auth_san_dns")


def test_an_unknown_client(explain: Any, add: Any, certbound: Certbound, authority: Authority) -> None:
    """A name that is nearly right is suggested; a client that cannot be read is said to be there."""
    certbound("client", "add", "--id", "billing", "--san-dns", "a.example", "--scope", "")
    found = explain("biling", authority.issue("CN=a"))
    assert (found.status, found.failed, "did you mean billing?" in found.advice) == (1, "CLIENT", True)
    assert [each["step"] for each in found.answer["steps"]] == ["CLIENT"]
    del add


def test_a_client_that_cannot_be_read(
    explain: Any, add: Any, certbound: Certbound, deployment: Path, authority: Authority
) -> None:
    """It is there, so the command that shows what is stored is named."""
    add("--san-dns", "a.example")
    with closing(sqlite3.connect(deployment / "certbound.sqlite")) as database, database:
        database.execute("UPDATE clients SET metadata = '{}'")
    found = explain("a", authority.issue("CN=a"))
    assert (found.failed, "it is stored and cannot be read" in found.advice) == ("CLIENT", True)
    assert certbound("client", "show", "a").status == 0


def test_a_disabled_client(explain: Any, add: Any, certbound: Certbound, authority: Authority) -> None:
    """The command that switches it on works as printed."""
    add("--san-dns", "a.example")
    certbound("client", "update", "a", "--disable")
    issued = authority.issue("CN=a", dns=["a.example"])
    found = explain("a", issued)
    assert (found.failed, found.reason) == ("CLIENT", "the client is disabled")
    command = found.advice.partition(": ")[2].splitlines()[0]
    assert certbound(*shlex.split(command)[1:]).status == 0
    assert explain("a", issued).status == 0


def test_dates(explain: Any, add: Any, certbound: Certbound, authority: Authority) -> None:
    """Too early and too late, now or at a stated time, with the dates that count."""
    add("--san-dns", "a.example")
    issued = authority.issue("CN=a", dns=["a.example"], days=10)
    assert explain("a", authority.issue("CN=a", dns=["a.example"], days=-0.02)).failed == "VALIDITY"
    tomorrow, later = (datetime.now(UTC) + timedelta(days=days) for days in (1, 20))
    assert explain("a", issued, more=("--at", tomorrow.isoformat())).status == 0
    found = explain("a", issued, more=("--at", later.strftime("%Y-%m-%d")))
    assert (found.failed, "renew it" in found.advice) == ("VALIDITY", True)
    found = explain("a", issued, more=("--at", "2001-01-01"))
    assert (found.failed, "look at the clocks" in found.advice) == ("VALIDITY", True)
    wrong = certbound("explain", "--client", "a", "--cert", "c.pem", "--at", "soon")
    assert (wrong.status, "'soon' is no time" in " ".join(wrong.err.split())) == (2, True)


def test_a_weak_key(explain: Any, add: Any, authority: Authority) -> None:
    """The kinds of keys that count are named."""
    add("--san-dns", "a.example")
    weak = rsa.generate_private_key(65537, 1024)
    found = explain("a", authority.issue("CN=a", dns=["a.example"], key=weak))
    assert (found.failed, "RSA key of 1024 bits" in found.reason, "P-256" in found.advice) == ("KEY", True, True)


def test_revoked_here(explain: Any, add: Any, certbound: Certbound, authority: Authority) -> None:
    """A certificate that was revoked here, and the command that lifts it, which works as printed."""
    add("--san-dns", "a.example")
    issued = authority.issue("CN=a", dns=["a.example"])
    assert explain("a", issued).status == 0
    assert certbound("revoke", "--thumbprint", "c.pem").status == 0
    found = explain("a", issued)
    assert found.failed == "REVOKED_HERE"
    command = found.advice.splitlines()[-1].partition(": ")[2]
    assert certbound(*shlex.split(command)[1:]).status == 0
    assert explain("a", issued).status == 0


def test_another_certificate_than_registered(explain: Any, add: Any, certbound: Certbound, deployment: Path) -> None:
    """Presented and registered stand side by side; the same key under another certificate is said."""
    old = self_signed("CN=a")
    (deployment / "old.pem").write_bytes(old.certificate_pem)
    add("--self-signed", "old.pem")
    assert explain("a", old).status == 0
    new = self_signed("CN=a", key=old.private_key)
    found = explain("a", new)
    assert found.failed == "REGISTERED"
    assert f"presented   {thumbprint(new.der)}" in found.advice
    assert f"registered  {thumbprint(old.der)}" in found.advice
    assert "with the same key" in found.advice
    command = found.advice.splitlines()[-1].partition(": ")[2].replace("FILE", "c.pem")
    assert certbound(*shlex.split(command)[1:]).status == 0
    assert explain("a", new).status == 0


def test_another_name(explain: Any, add: Any, certbound: Certbound, authority: Authority) -> None:
    """Registered and presented are said in the same form, and an option that is printed cures it."""
    add("--san-dns", "b.example")
    issued = authority.issue("CN=a", dns=["a.example"])
    found = explain("a", issued)
    assert found.failed == "SUBJECT"
    assert "registered  san_dns b.example\npresented   san_dns a.example" in found.advice
    command = found.advice.splitlines()[-1].strip()
    assert certbound(*shlex.split(command)[1:]).status == 0
    assert explain("a", issued).status == 0


def test_a_name_of_another_kind(explain: Any, add: Any, authority: Authority) -> None:
    """The text in another kind of name is recognized as that."""
    add("--san-dns", "a.example")
    found = explain("a", authority.issue("CN=a.example", uris=["spiffe://x/y"], emails=["a@a.example"]))
    assert "presented   nothing of that kind (san_dns)" in found.advice
    found = explain("a", authority.issue(x509.Name([]), dns=["b.example"]))
    assert "the text is in the certificate" not in found.advice


def test_a_name_that_differs_a_little(explain: Any, add: Any, authority: Authority) -> None:
    """Of two long names only what differs is pointed out, in the form it is compared in."""
    add("--subject-dn", "CN=billing,OU=Finance,O=Example,C=CZ")
    found = explain("a", authority.issue("C=CZ,O=example,OU=Sales,CN=Billing"))
    assert "only the order" not in found.advice
    sales = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "CZ"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "EXAMPLE"),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "Sales"),
            x509.NameAttribute(NameOID.COMMON_NAME, "Billing"),
        ]
    )
    found = explain("a", authority.issue(sales))
    assert "registered only  OU=" in found.advice
    assert "finance" in found.advice
    assert "sales" in found.advice
    assert "example" not in "".join(line for line in found.advice.splitlines() if "only" in line).lower()


@pytest.mark.parametrize(
    ("registered", "order"), [("C=CZ,O=Example,CN=billing", "reversed"), ("O=Example,CN=billing,C=CZ", "any")]
)
def test_order_alone(
    explain: Any, add: Any, certbound: Certbound, authority: Authority, registered: str, order: str
) -> None:
    """A name whose RDNs stand in another order is recognized as that, and the command that allows it works."""
    add("--subject-dn", registered)
    issued = authority.issue("CN=billing,O=Example,C=CZ")
    found = explain("a", issued)
    assert found.failed == "SUBJECT"
    [command] = [line.strip() for line in found.advice.splitlines() if "--dn-order" in line]
    assert command.endswith(f"--dn-order {order}")
    assert certbound(*shlex.split(command)[1:]).status == 0
    assert explain("a", issued).status == 0


def test_a_narrowed_client(
    explain: Any, certbound: Certbound, add: Any, authority: Authority, deployment: Path
) -> None:
    """A client that named an anchor which is gone is told so, with the command that widens it again."""
    (deployment / "ca.pem").write_bytes(authority.certificate_pem + Authority.create("Other CA").certificate_pem)
    other = inspected_key(certbound, deployment / "ca.pem", 1)
    add("--san-dns", "a.example", "--anchor-key", other)
    issued = authority.issue("CN=a", dns=["a.example"])
    assert explain("a", issued).failed == "PATH"
    (deployment / "ca.pem").write_bytes(authority.certificate_pem)
    found = explain("a", issued)
    command = found.advice.splitlines()[0].partition(" count: ")[2]
    assert certbound(*shlex.split(command)[1:]).status == 0
    assert explain("a", issued).status == 0


def inspected_key(certbound: Certbound, file: Path, position: int) -> str:
    """The SHA-256 of a key, as `cert inspect` shows it."""
    found = json.loads(certbound("cert", "inspect", str(file), "--json").out)
    return str(found["certificates"][position]["spki_sha256"])


def test_a_missing_intermediate(explain: Any, add: Any, authority: Authority) -> None:
    """Who is missing is named; with the chain behind the leaf the same certificate is accepted."""
    add("--san-dns", "a.example")
    middle = authority.subordinate("Middle CA")
    issued = middle.issue("CN=a", dns=["a.example"])
    found = explain("a", issued)
    assert found.failed == "PATH"
    assert "missing: the certificate of CN=Middle CA, which issued CN=a" in found.advice
    assert "trust.intermediates" in found.advice
    assert explain("a", issued, middle).status == 0


def test_an_authority_nobody_trusts(explain: Any, add: Any) -> None:
    """Where the chain ends, and who is trusted instead."""
    add("--san-dns", "a.example")
    other = Authority.create("Other CA")
    issued = other.issue("CN=a", dns=["a.example"])
    found = explain("a", issued, other)
    assert found.failed == "PATH"
    assert "the chain ends at CN=Other CA, which is no trust anchor here" in found.advice
    assert "trusted are: CN=Test CA" in found.advice
    assert "missing: the certificate of CN=Other CA" in explain("a", issued).advice


def test_an_authority_of_the_same_name(explain: Any, add: Any) -> None:
    """Another key under a trusted name is said to be that."""
    add("--san-dns", "a.example")
    other = Authority.create("Test CA")
    found = explain("a", other.issue("CN=a", dns=["a.example"]), other)
    assert "a trust anchor is named CN=Test CA, but its key" in found.advice


def test_a_clients_own_anchors(explain: Any, add: Any, deployment: Path, authority: Authority) -> None:
    """For a client with anchors of its own those are trusted, and named, and no other."""
    own = Authority.create("Own CA")
    (deployment / "own.pem").write_bytes(own.certificate_pem)
    file = deployment / "certbound.toml"
    file.write_text(file.read_text().replace("[trust]", "[trust]\nclient_anchors = true"))
    add("--san-dns", "a.example", "--anchor", "own.pem")
    assert explain("a", own.issue("CN=a", dns=["a.example"])).status == 0
    found = explain("a", authority.issue("CN=a", dns=["a.example"]), authority)
    assert found.failed == "PATH"
    assert found.advice.endswith("trusted are: CN=Own CA")


def test_other_string_types_are_no_other_name(explain: Any, add: Any, authority: Authority) -> None:
    """An issuer written as PrintableString is the anchor whose name is UTF8String: it is not said to be missing."""
    add("--san-dns", "a.example")
    issued = authority.issue("CN=a", dns=["a.example"], usage="server")
    printable = name([("2.5.4.3", 0x13, b"Test CA")])
    other = x509.load_der_x509_certificate(with_field(issued, ISSUER, printable, authority.private_key))
    found = explain("a", Issued(other, issued.private_key))
    assert found.failed == "PATH"
    assert "missing: " not in found.advice
    assert "a client needs clientAuth" in found.advice


def test_what_else_stops_a_path(explain: Any, add: Any, authority: Authority) -> None:
    """A certificate for servers, and an intermediate that ended, where the names do lead to an anchor."""
    add("--san-dns", "a.example")
    found = explain("a", authority.issue("CN=a", dns=["a.example"], usage="server"))
    assert (found.failed, "serverAuth; a client needs clientAuth" in found.advice) == ("PATH", True)
    middle = authority.subordinate("Middle CA", days=-0.02)
    found = explain("a", middle.issue("CN=a", dns=["a.example"]), middle)
    assert "CN=Middle CA is valid from" in found.advice


def test_nobody_is_trusted(explain: Any, add: Any, deployment: Path, authority: Authority) -> None:
    """An empty anchor file means nobody, and that is said."""
    add("--san-dns", "a.example")
    (deployment / "ca.pem").write_text("")
    found = explain("a", authority.issue("CN=a", dns=["a.example"]))
    assert (found.failed, "there is nobody to trust" in found.advice) == ("PATH", True)


def test_an_authority_that_was_revoked_here(explain: Any, add: Any, certbound: Certbound, authority: Authority) -> None:
    """Revoked by its key, whatever the certificates below it say."""
    add("--san-dns", "a.example")
    certbound("revoke", "--anchor", "ca.pem")
    found = explain("a", authority.issue("CN=a", dns=["a.example"]))
    assert (found.status, found.failed) == (1, "AUTHORITIES")


def test_revoked_by_its_issuer(explain: Any, add: Any, deployment: Path, authority: Authority) -> None:
    """Which list was asked, and until when it is good; a fresh list changes the verdict."""
    add("--san-dns", "a.example")
    issued = authority.issue("CN=a", dns=["a.example"])
    revoked = Ledger().revoke(issued.certificate.serial_number, "keyCompromise", datetime.now(UTC))
    configure(deployment, '[revocation]\nmode = "hard"\ncrls = ["ca.crl"]')
    for ledger, failed in ((Ledger(), ""), (revoked, "REVOCATION")):
        crl, _ = sign_crl(authority, ledger, datetime.now(UTC), 7)
        (deployment / "ca.crl").write_bytes(crl.public_bytes(Encoding.DER))
        found = explain("a", issued)
        assert found.failed == failed
    assert "revoked" in found.reason
    assert "CRL file ca.crl: read, 1 revoked, good until" in found.advice


def test_a_responder_is_asked_as_the_server_asks_it(
    explain: Any, add: Any, deployment: Path, authority: Authority
) -> None:
    """A real responder says good, then revoked, and explain has it from there; in the text is who was asked."""
    ledgers = [Ledger()]
    responder = make_responder(authority, lambda: ledgers[-1], deployment / "ca.crl")
    thread = threading.Thread(target=responder.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        url = f"http://127.0.0.1:{responder.server_address[1]}"
        configure(deployment, f'[revocation]\nmode = "hard"\nocsp = ["{url}"]\n[fetch]\nprivate_addresses = true')
        add("--san-dns", "a.example")
        issued = authority.issue("CN=a", dns=["a.example"])
        good = explain("a", issued)
        ledgers.append(Ledger().revoke(issued.certificate.serial_number, "superseded", datetime.now(UTC)))
        bad = explain("a", issued)
    finally:
        responder.shutdown()
        thread.join()
        responder.server_close()
    assert (good.status, good.answer["revocation"]) == (0, [f"OCSP responder {url}: read"])
    assert (bad.status, bad.failed, bad.reason.startswith("revoked")) == (1, "REVOCATION", True)


def test_nobody_knows_of_a_revocation(explain: Any, add: Any, deployment: Path, authority: Authority) -> None:
    """In hard mode without anybody to ask, where to name somebody is said; offline nobody is asked."""
    add("--san-dns", "a.example")
    issued = authority.issue("CN=a", dns=["a.example"])
    configure(deployment, '[revocation]\nmode = "hard"\nocsp = ["http://127.0.0.1:9"]')
    found = explain("a", issued, more=("--offline",))
    assert found.failed == "REVOCATION"
    assert "OCSP responder http://127.0.0.1:9: FAILED" in found.advice
    assert "offline" in found.advice
    file = deployment / "certbound.toml"
    file.write_text(file.read_text().replace('"hard"', '"soft"'))
    soft = explain("a", issued, more=("--offline",))
    assert (soft.status, "what nobody knows passes" in soft.answer["revocation"][-1]) == (0, True)


def test_offline_nothing_is_published(explain: Any, authority: Authority, deployment: Path) -> None:
    """A client with a jwks_uri cannot be judged without a fetch; what to publish is said."""
    uri = {"token_endpoint_auth_method": "self_signed_tls_client_auth", "jwks_uri": "https://a.example/jwks"}

    async def publish() -> None:
        async with app.open_registry(settings.load(deployment / "certbound.toml")) as registry:
            await registry.register(uri, client_id="a")

    asyncio.run(publish())
    found = explain("a", authority.issue("CN=a"), more=("--offline",))
    assert (found.failed, "https://a.example/jwks cannot be had" in found.reason) == ("REGISTERED", True)
    assert "certbound jwks OLD.pem NEW.pem" in found.advice


@pytest.fixture
def register(deployment: Path) -> Any:
    """Registers clients of any method."""

    def go(client_id: str, method: str, **metadata: Any) -> None:
        async def write() -> None:
            given = {"token_endpoint_auth_method": method, **metadata}
            async with app.open_registry(settings.load(deployment / "certbound.toml")) as registry:
                await registry.register(given, client_id=client_id)

        asyncio.run(write())

    configure(deployment, "[authentication]\nmethods = " + json.dumps([*Method]))
    return go


def without_certificate(certbound: Certbound, client_id: str) -> Explained:
    done = certbound("explain", "--client", client_id, "--json")
    answer = json.loads(done.out)
    failed = [each["step"] for each in answer["steps"] if each["result"] == "FAILED"]
    return Explained(done.status, *(failed or [""]), answer["reason"] or "", "\n".join(answer["advice"]), answer)


@pytest.mark.usefixtures("deployment")
def test_no_certificate_at_all(certbound: Certbound, add: Any) -> None:
    """A client of mutual TLS is told to send one; nothing is said of a thumbprint."""
    add("--san-dns", "a.example")
    found = without_certificate(certbound, "a")
    assert (found.status, found.failed, found.answer["x5t#S256"]) == (1, "CERTIFICATE", None)
    assert "has to send its certificate" in found.advice
    told = certbound("explain", "--client", "a")
    assert (told.status, told.out.startswith("client a, no certificate, ")) == (1, True)


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", "private_key_jwt"])
def test_what_others_must_send(
    certbound: Certbound, explain: Any, register: Any, authority: Authority, method: str
) -> None:
    """A client that authenticates by a secret or an assertion is told what it must show, certificate or not."""
    register("an app", method, **({"jwks": jwks()} if method == "private_key_jwt" else {}))
    for found in (without_certificate(certbound, "an app"), explain("an app", authority.issue("CN=a"))):
        assert (found.status, found.failed) == (1, "METHOD")
        assert f"a certificate does not authenticate a client of {method}" in found.advice
        expected = {
            "client_secret_basic": ["Authorization: Basic, of an+app, a colon", "no secret yet"],
            "client_secret_post": ["client_id=an+app&client_secret=", "no secret yet"],
            "private_key_jwt": ["ES256 or PS256 or EdDSA", str(key().kid), "https://as.example, as a string"],
        }[method]
        assert all(each in found.advice for each in expected), found.advice


def test_where_the_keys_are_published(certbound: Certbound, register: Any) -> None:
    """A client with a jwks_uri is told where its key must be."""
    register("a", "private_key_jwt", jwks_uri="https://a.example/jwks")
    assert "that of a key at https://a.example/jwks" in without_certificate(certbound, "a").advice


def test_a_public_client(certbound: Certbound, explain: Any, register: Any, authority: Authority) -> None:
    """Is accepted with any certificate, to which its token is bound; without one, or with one that is not fit, it gets
    none, and that is said."""
    register("a", "none", grant_types=["refresh_token"])
    issued = authority.issue("CN=a")
    found = explain("a", issued)
    assert (found.status, found.answer["bound_to"]) == (0, thumbprint(issued.der))
    bare = without_certificate(certbound, "a")
    assert (bare.status, bare.failed, "over mutual TLS" in bare.reason) == (1, "", True)
    told = certbound("explain", "--client", "a")
    assert (told.status, "accepted, and gets no token: this client's tokens are bound" in told.out) == (1, True)
    weak = explain("a", authority.issue("CN=a", key=rsa.generate_private_key(65537, 1024)))
    assert (weak.status, weak.failed, "cannot be bound to" in weak.reason) == (1, "", True)


def test_a_method_that_is_off(explain: Any, register: Any, deployment: Path, authority: Authority) -> None:
    """The setting that switches it on is said, and does."""
    register("a", "client_secret_post")
    file = deployment / "certbound.toml"
    others = [each for each in Method if each is not Method.CLIENT_SECRET_POST]
    before = file.read_text()
    file.write_text(before.replace(json.dumps([*Method]), json.dumps(others)))
    found = explain("a", authority.issue("CN=a"))
    assert (found.failed, "is not accepted here" in found.reason) == ("METHOD", True)
    setting = found.advice.rpartition("authentication.methods = ")[2]
    file.write_text(before.replace(json.dumps([*Method]), setting))
    assert "must send" in explain("a", authority.issue("CN=a")).advice


def test_names_are_shown_not_run(explain: Any, add: Any, certbound: Certbound, authority: Authority) -> None:
    """Escape codes, line ends and bidi marks in a certificate and in a client's name reach no terminal."""
    add("--subject-dn", "CN=a\\E2\\80\\AEb", "--name", "a\x1b[2J")
    evil = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a\x1b[2J\r\n  passed  everything\u202e")])
    other = Authority.create("Evil\x1b[31m CA\r\n")
    for issued in (authority.issue(evil), other.issue(evil), other.issue("CN=a\u202eb")):
        explain("a", issued)
        for more in ([], ["--json"]):
            told = certbound("explain", "--client", "a", "--cert", "c.pem", *more)
            printed = told.out + told.err
            assert told.status == 1
            assert all(each.isprintable() or each == "\n" for each in printed), repr(printed)
            assert "\n  passed  everything" not in printed


def test_the_token_endpoint_says_the_same(explain: Any, add: Any, deployment: Path, authority: Authority) -> None:
    """For certificates that end at different steps, the endpoint's step and reason are those that are explained."""
    add("--subject-dn", "CN=a")
    other = Authority.create("Other CA")
    weak = rsa.generate_private_key(65537, 1024)
    chains: list[tuple[Issued | Authority, ...]] = [
        (authority.issue("CN=a"),),
        (authority.issue("CN=b"),),
        (authority.issue("CN=a", days=-0.02),),
        (authority.issue("CN=a", key=weak),),
        (other.issue("CN=a"), other),
    ]

    async def answers() -> list[tuple[str, str]]:
        found = []
        async with app.open_service(settings.load(deployment / "certbound.toml")) as service:
            for leaf, *behind in chains:
                form = read_form(b"client_id=a&grant_type=client_credentials")
                try:
                    await token(Call(now=time.time(), peer=peer(leaf, *behind), form=form), service)
                    found.append(("", ""))
                except InvalidClient as refusal:
                    found.append((Step(refusal.step).name, refusal.reason))
        return found

    explained = [explain("a", *chain) for chain in chains]
    assert asyncio.run(answers()) == [(each.failed, each.reason) for each in explained]
    assert [each.failed for each in explained] == ["", "SUBJECT", "VALIDITY", "KEY", "PATH"]


@pytest.mark.usefixtures("deployment")
def test_files_that_hold_no_certificate(certbound: Certbound, deployment: Path) -> None:
    """One sentence that names the file."""
    (deployment / "c.pem").write_bytes(self_signed("CN=a").key_pem)
    refused = certbound("explain", "--client", "a", "--cert", "c.pem")
    assert (refused.status, refused.err.startswith("certbound: c.pem holds a private key")) == (1, True)


def test_every_step_has_advice() -> None:
    """No step without a word on what to change."""
    assert set(_advice._ADVICE) == set(Step)
