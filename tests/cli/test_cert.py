"""`certbound cert`: what certificates say, and which end soon."""

import asyncio
import contextlib
import io
import json
import shlex
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from certbound import app, settings
from certbound.core.certificate import thumbprint
from certbound.tls.listener import bind
from certbound.tls.ports import Port
from certbound.trust.authority import Authority, Issued, published_at, self_signed
from certbound.trust.ledger import Ledger, sign_crl
from certificates import general_names, psd2_statements, read

from .conftest import Certbound

BANK = x509.Name(
    [
        x509.NameAttribute(NameOID.COUNTRY_NAME, "ES"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Banco, S.A."),
        x509.NameAttribute(NameOID.ORGANIZATION_IDENTIFIER, "PSDES-BDE-3DFD21"),
        x509.NameAttribute(NameOID.COMMON_NAME, "psd2.banco.example"),
    ]
)


@pytest.fixture
def bank(authority: Authority, deployment: Path) -> Issued:
    """bank.pem: a QWAC with PSD2 roles, its authority behind it."""
    statements = x509.UnrecognizedExtension(
        x509.ObjectIdentifier("1.3.6.1.5.5.7.1.3"),
        psd2_statements({"0.4.0.19495.1.2": "PSP_PI", "0.4.0.19495.1.3": "PSP_AI"}),
    )
    asked = published_at(crls=["http://crl.example/ca.crl"], ocsp=["http://ocsp.example"])
    issued = authority.issue(
        BANK, dns=["psd2.banco.example"], usage="both", extensions=[(statements, False), *asked], days=10.5
    )
    (deployment / "bank.pem").write_bytes(issued.chain_pem)
    return issued


def inspected(certbound: Certbound, *arguments: str) -> Any:
    """What `cert inspect --json` says, and that it exits with 0."""
    done = certbound("cert", "inspect", *arguments, "--json")
    assert done.status == 0, done.err
    return json.loads(done.out)


def test_everything_is_said_of_a_bank(certbound: Certbound, bank: Issued, authority: Authority) -> None:
    """Names in three forms, thumbprints, purposes, dates, where to ask, and what PSD2 says."""
    found = inspected(certbound, "bank.pem")
    leaf, behind = found["certificates"]
    assert leaf["subject"] == {
        "rfc4514": "CN=psd2.banco.example,organizationIdentifier=PSDES-BDE-3DFD21,O=Banco\\, S.A.,C=ES",
        "openssl": "/C=ES/O=Banco, S.A./organizationIdentifier=PSDES-BDE-3DFD21/CN=psd2.banco.example",
        "brazil": f"CN=psd2.banco.example,2.5.4.97=#0c10{b'PSDES-BDE-3DFD21'.hex()},O=Banco\\, S.A.,C=ES",
    }
    assert (leaf["issuer"], leaf["self_signed"], leaf["is_authority"]) == ("CN=Test CA", False, False)
    assert leaf["names"]["dns"] == ["psd2.banco.example"]
    assert (leaf["x5t#S256"], leaf["spki_sha256"]) == (thumbprint(bank.der), read(bank).key_thumbprint)
    assert (leaf["key"], leaf["purposes"], leaf["days_left"]) == ("P-256", ["clientAuth", "serverAuth"], 10)
    assert (leaf["crls"], leaf["ocsp"]) == (["http://crl.example/ca.crl"], ["http://ocsp.example"])
    [organization] = leaf["organization_identifiers"]
    assert (organization["authority"], organization["identifier"]) == ("BDE", "3DFD21")
    assert (leaf["qualified"]["types"], leaf["qualified"]["roles"]) == (["web"], ["PSP_PI", "PSP_AI"])
    assert (leaf["problems"], leaf["unreadable"]) == ([], [])
    assert (behind["self_signed"], behind["is_authority"]) == (True, True)
    assert behind["spki_sha256"] == read(authority).key_thumbprint


@pytest.mark.usefixtures("bank")
def test_people_read_the_same(certbound: Certbound) -> None:
    """The lines for people say what the JSON says, and name what to do next."""
    told = certbound("cert", "inspect", "bank.pem")
    assert (told.status, told.err.count("\n")) == (0, 1)  # that there is no store yet
    lines = " ".join(told.out.split())
    for said in (
        "as OpenSSL /C=ES/O=Banco, S.A./",
        "as Brazil CN=psd2.banco.example,2.5.4.97=#0c10",
        "PSDES-BDE-3DFD21: PSD, country ES, authority BDE, id 3DFD21",
        "qualified yes; for web sites (QWAC)",
        "PSD2 roles PSP_PI (payment initiation), PSP_AI (account information)",
        "by Banco de España (ES-BDE)",
        "10 days left",
        "issuer itself (self-signed)",
    ):
        assert said in lines


@pytest.mark.usefixtures("bank")
def test_nothing_is_made_by_looking(certbound: Certbound, deployment: Path) -> None:
    """No store is made; that there is none is said."""
    told = certbound("cert", "inspect", "bank.pem")
    assert "registered clients were not asked: there is no store" in told.err
    assert not (deployment / "certbound.sqlite").exists()
    (deployment / "certbound.toml").unlink()
    assert "there is no certbound.toml here" in inspected(certbound, "bank.pem")["clients_unknown_because"]
    refused = certbound("cert", "inspect", "bank.pem", "--config", "missing.toml")
    assert refused.status == 1


@pytest.mark.usefixtures("bank")
def test_what_is_proposed_is_accepted_and_then_matches(certbound: Certbound) -> None:
    """Every option that is printed can be pasted; afterwards the certificate matches those clients."""
    told = certbound("cert", "inspect", "bank.pem")
    options = [shlex.split(line) for line in told.out.splitlines() if line.startswith("  --")]
    assert [option[0] for option in options] == ["--subject-dn", "--san-dns", "--self-signed"]
    for name, option in zip("abc", options, strict=True):
        assert certbound("client", "add", "--id", name, *option, "--scope", "").status == 0
    certbound("client", "add", "--id", "d", "--san-dns", "other.example", "--scope", "")
    certbound("client", "update", "b", "--disable")
    leaf = inspected(certbound, "bank.pem")["certificates"][0]
    assert [(each["client_id"], each["enabled"]) for each in leaf["clients"]] == [
        ("a", True), ("b", False), ("c", True),
    ]  # fmt: skip
    lines = certbound("cert", "inspect", "bank.pem").out
    assert "b (san_dns psd2.banco.example), disabled" in lines


@pytest.mark.usefixtures("bank")
def test_all_three_written_forms_of_a_name_register_it(certbound: Certbound) -> None:
    """RFC 4514 and Brazil's form are taken as printed; OpenSSL's is answered with the form to use."""
    subject = inspected(certbound, "bank.pem")["certificates"][0]["subject"]
    for form in ("rfc4514", "brazil"):
        assert certbound("client", "add", "--id", form, "--subject-dn", subject[form], "--scope", "").status == 0
    refused = certbound("client", "add", "--subject-dn", subject["openssl"], "--scope", "")
    assert refused.status == 1
    found = inspected(certbound, "bank.pem")["certificates"][0]["clients"]
    assert [each["client_id"] for each in found] == ["brazil", "rfc4514"]


def test_der_and_standard_input(certbound: Certbound, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DER is read as PEM is, from a file or from standard input."""
    monkeypatch.chdir(tmp_path)
    issued = self_signed("CN=a")
    Path("a.der").write_bytes(issued.der)

    class Stdin:
        buffer = io.BytesIO(issued.certificate_pem)

    monkeypatch.setattr("sys.stdin", Stdin)
    for source in ("a.der", "-"):
        [found] = inspected(certbound, source)["certificates"]
        assert (found["x5t#S256"], found["self_signed"]) == (thumbprint(issued.der), True)


def test_a_private_key_is_told_and_never_shown(
    certbound: Certbound, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key beside the certificate is said aloud; a key alone is refused; neither is printed."""
    monkeypatch.chdir(tmp_path)
    issued = self_signed("CN=a")
    Path("both.pem").write_bytes(issued.key_pem + issued.certificate_pem)
    Path("key.pem").write_bytes(issued.key_pem)
    both, alone = certbound("cert", "inspect", "both.pem"), certbound("cert", "inspect", "key.pem")
    assert (both.status, "both.pem HOLDS A PRIVATE KEY" in both.err) == (0, True)
    assert inspected(certbound, "both.pem")["has_private_key"] is True
    assert (alone.status, "a private key and no certificate" in alone.err) == (1, True)
    secret = issued.key_pem.splitlines()[1].decode()
    assert secret not in both.out + both.err + alone.out + alone.err


def test_names_are_shown_not_run(certbound: Certbound, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Escape codes, line ends and bidi marks in any name reach no terminal, in no form of the output."""
    monkeypatch.chdir(tmp_path)
    evil = "a\x1b[2J\r\nclient b\u202egnp.exe\u200b\x9b\x07"
    octets = evil.encode()
    names = general_names(*((tag, octets) for tag in (0x81, 0x82, 0x86, 0x87, 0x88)))
    hostile = [
        x509.UnrecognizedExtension(each.oid, each.public_bytes().replace(b"http://x/", b"h\x1b[2J\r\nxx"))
        for each, _ in published_at(crls=["http://x/"], ocsp=["http://x/"])
    ]
    statements = psd2_statements({"1.2.3": evil})
    qualified = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.5.5.7.1.3"), statements)
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, evil),
            x509.NameAttribute(NameOID.ORGANIZATION_IDENTIFIER, f"PSDES-BDE-{evil}"),
        ]
    )
    issued = self_signed(name, extensions=[(each, False) for each in (names, *hostile, qualified)])
    Path("evil\x1b[2J.pem").write_bytes(issued.certificate_pem)
    for arguments in ([], ["--json"]):
        told = certbound("cert", "inspect", "evil\x1b[2J.pem", *arguments)
        assert told.status == 0, told.err
        printed = told.out + told.err
        assert all(each.isprintable() or each == "\n" for each in printed), repr(printed)
        assert "\nclient b" not in printed
        assert "1b" in printed.lower()  # it is shown, and not left out


def test_what_is_wrong_is_said(certbound: Certbound, deployment: Path, authority: Authority) -> None:
    """Dates, keys, purposes and names that keep a certificate from being of use."""
    weak = rsa.generate_private_key(65537, 1024)
    unreadable = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.17"), b"\x30\x05")
    issued = authority.issue("CN=x", days=-0.02, usage="server", key=weak, extensions=[(unreadable, False)])
    (deployment / "x.pem").write_bytes(issued.certificate_pem)
    told = " ".join(certbound("cert", "inspect", "x.pem").out.split())
    assert "PROBLEM it has expired" in told
    assert "ended" in told
    assert "PROBLEM its key is not accepted: RSA key of 1024 bits" in told
    assert "PROBLEM its extended key usage lacks clientAuth" in told
    assert "UNREADABLE unreadable subject alternative name" in told


def test_one_bad_certificate_hides_no_other(
    certbound: Certbound, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A block that is no certificate is an error of its own, and exit status 1."""
    monkeypatch.chdir(tmp_path)
    bad = b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"
    Path("x.pem").write_bytes(bad + self_signed("CN=a").certificate_pem)
    told = certbound("cert", "inspect", "x.pem", "--json")
    assert told.status == 1
    first, second = json.loads(told.out)["certificates"]
    assert "not a DER certificate" in first["error"]
    assert second["subject"]["rfc4514"] == "CN=a"
    assert "cannot be used: not a DER certificate" in certbound("cert", "inspect", "x.pem").out


def expiring(certbound: Certbound, *arguments: str) -> tuple[int, list[tuple[str, bool]]]:
    """The exit status, and what ends with whether another one outlasts it."""
    done = certbound("cert", "expiring", *arguments, "--json")
    return done.status, [(each["what"], each["outlasted"]) for each in json.loads(done.out)]


def register(certbound: Certbound, directory: Path, name: str, *days: float) -> None:
    """A client with a self-signed certificate for each number of days."""
    files = []
    for position, each in enumerate(days):
        file = directory / f"{name}{position}.pem"
        file.write_bytes(self_signed(f"CN={name}", days=each).certificate_pem)
        files += ["--self-signed", str(file)]
    assert certbound("client", "add", "--id", name, *files, "--scope", "").status == 0


def test_what_ends_soon(certbound: Certbound, deployment: Path) -> None:
    """Certificates within the days are listed, the first to end first, and the exit status is 1."""
    register(certbound, deployment, "late", 300)
    assert expiring(certbound) == (0, [])
    assert certbound("cert", "expiring").out == "nothing ends within 30 days\n"
    register(certbound, deployment, "soon", 20)
    register(certbound, deployment, "gone", -0.02)
    assert expiring(certbound) == (1, [("client 'gone': certificate", False), ("client 'soon': certificate", False)])
    assert expiring(certbound, "--days", "10") == (1, [("client 'gone': certificate", False)])
    told = certbound("cert", "expiring")
    assert (told.status, told.out.splitlines()[0].split()) == (1, ["ENDS", "IN", "DAYS", "WHAT", "x5t#S256"])
    certbound("client", "update", "gone", "--disable")
    assert expiring(certbound, "--days", "10") == (0, [])


def test_a_certificate_that_is_outlasted_does_not_count(certbound: Certbound, deployment: Path) -> None:
    """During a rotation the old certificate is listed and stops no cron job."""
    register(certbound, deployment, "rotating", 5, 200)
    assert expiring(certbound) == (0, [("client 'rotating': certificate", True)])
    assert "(another one outlasts it)" in certbound("cert", "expiring").out


def test_files_end_too(certbound: Certbound, deployment: Path, authority: Authority) -> None:
    """The server's certificate and an anchor are found; a CRL counts in the last quarter of its time."""
    assert expiring(certbound, "--days", "100") == (1, [("server certificate CN=as.example in as.pem", False)])
    (deployment / "ca.pem").write_bytes(Authority.create("Old CA", days=3).certificate_pem)
    assert expiring(certbound) == (1, [("trust anchor CN=Old CA", False)])
    (deployment / "ca.pem").write_bytes(authority.certificate_pem)
    text = (deployment / "certbound.toml").read_text()
    (deployment / "certbound.toml").write_text(f'{text}\n[revocation]\nmode = "soft"\ncrls = ["ca.crl"]\n')
    for age, found in ((1, []), (6, [("CRL", False)])):
        crl, _ = sign_crl(authority, Ledger(), datetime.now(UTC) - timedelta(days=age), 7)
        (deployment / "ca.crl").write_bytes(crl.public_bytes(Encoding.DER))
        status, ends = expiring(certbound)
        assert (status, [(what.split()[0], outlasted) for what, outlasted in ends]) == (int(bool(found)), found)


def test_the_running_server_tells_it_too(
    certbound: Certbound, deployment: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """From its start the server's log says which registered certificates end soon."""
    register(certbound, deployment, "soon", 20)

    async def run() -> None:
        async with app.open_service(settings.load(deployment / "certbound.toml")):
            async with asyncio.timeout(30):
                while not any("end within 30 days: 1" in each.getMessage() for each in caplog.records):
                    await asyncio.sleep(0.01)

    asyncio.run(run())


@pytest.mark.usefixtures("deployment")
def test_what_is_not_looked_at_is_said(certbound: Certbound) -> None:
    """Clients that publish their certificates are counted."""
    uri = {"token_endpoint_auth_method": "self_signed_tls_client_auth", "jwks_uri": "https://a.example/jwks"}

    async def publish() -> None:
        async with app.open_registry(settings.load(Path("certbound.toml"))) as registry:
            await registry.register(uri, client_id="publishing")

    asyncio.run(publish())
    done = certbound("cert", "expiring")
    assert (done.status, done.err) == (0, "certbound: not looked at: 1 jwks_uri of clients\n")


@pytest.mark.usefixtures("deployment")
def test_a_server_that_does_not_answer(certbound: Certbound) -> None:
    """A URL without host, a closed port and a server without TLS are a sentence each, at once."""
    [free] = bind([Port(host="127.0.0.1", port=0, virtual_hosts=())])
    port = free.getsockname()[1]
    free.close()
    begun = time.monotonic()
    refused = certbound("cert", "inspect", f"https://127.0.0.1:{port}")
    assert refused.status == 1
    assert f"127.0.0.1:{port} does not answer as a TLS server: Connection refused" in refused.err
    for url in ("https://", "https://:443", "https://a:b"):
        assert "has no host; write https://HOST" in certbound("cert", "inspect", url).err
    assert time.monotonic() - begun < 5


@contextlib.contextmanager
def answering(answer: Callable[[socket.socket], object]) -> Iterator[str]:
    """A server that does one thing with each connection; its host and port."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                with connection, contextlib.suppress(OSError):
                    answer(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_what_a_server_sends(certbound: Certbound, deployment: Path, version: ssl.TLSVersion) -> None:
    """The chain that a server sends is shown, unverified, also by one that wants a client certificate."""
    root = Authority.create("R")
    middle = root.subordinate("M")
    served = middle.issue("CN=as.example", dns=["as.example"], usage="server")
    (deployment / "s.pem").write_bytes(served.chain_pem + served.key_pem)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile="ca.pem")
    context.load_cert_chain("s.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = context.maximum_version = version
    with answering(lambda connection: context.wrap_socket(connection, server_side=True)) as place:
        found = inspected(certbound, f"https://{place}/path")
        told = certbound("cert", "inspect", f"https://{place}")
    assert found["sent_by_server"] is True
    assert [each["subject"]["rfc4514"] for each in found["certificates"]] == ["CN=as.example", "CN=M", "CN=R"]
    assert found["certificates"][0]["x5t#S256"] == thumbprint(served.der)
    assert f"asking {place} for its certificates; nothing is verified" in told.err
    assert "PROBLEM" in told.out  # it is no client certificate


@pytest.mark.parametrize("answer", [b"HTTP/1.0 400 Bad Request\r\n\r\n", b"\x16\x03\x03\x40\x00" + bytes(16384), b""])
def test_a_server_that_speaks_something_else(certbound: Certbound, answer: bytes) -> None:
    """What is no TLS, or breaks off, is one sentence."""

    def send(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(answer)

    with answering(send) as place:
        refused = certbound("cert", "inspect", f"https://{place}")
    assert refused.status == 1
    assert f"{place} does not answer as a TLS server: " in refused.err
