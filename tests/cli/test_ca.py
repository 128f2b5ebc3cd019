"""`certbound ca`: a small private certificate authority in a directory."""

import base64
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import get_args

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID

from certbound.cli import ca
from certbound.core.certificate import PeerCertificate, read_pem_certificates
from certbound.core.keys import require_strong_key
from certbound.trust import authority
from certbound.trust.anchors import Anchors
from certbound.trust.chains import verify_chain

from .conftest import Certbound


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def leaf(file: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(Path(file).read_bytes())


def test_what_it_issues_is_trusted(certbound: Certbound) -> None:
    """A client certificate of the authority has a path to it, and a key of its own beside it."""
    assert certbound("ca", "init").status == 0
    assert certbound("ca", "issue", "billing", "--dns", "billing.example").status == 0
    [anchor] = read_pem_certificates(Path("ca/ca.pem").read_bytes())
    [billing] = read_pem_certificates(Path("ca/billing.pem").read_bytes())
    now = billing.not_before + 3700
    assert verify_chain(PeerCertificate(billing), Anchors((anchor,)), now).valid_until == billing.not_after
    key = load_pem_private_key(Path("ca/billing.key").read_bytes(), None)
    assert key.public_key() == billing.public_key


def test_private_keys_are_their_owners(certbound: Certbound) -> None:
    """Key files have mode 0600, those that replace others too."""
    for force in ([], ["--force"]):
        assert certbound("ca", "init", *force).status == 0
        assert certbound("ca", "issue", "a", *force).status == 0
        for file in ("ca/ca.key", "ca/a.key"):
            assert stat.S_IMODE(Path(file).stat().st_mode) == 0o600
    assert sorted(file.name for file in Path("ca").iterdir()) == ["a.key", "a.pem", "ca.key", "ca.pem"]


def test_nothing_is_replaced_unasked(certbound: Certbound) -> None:
    """A file that is there stops both commands before anything is written, unless --force is given."""
    certbound("ca", "init")
    before = Path("ca/ca.key").read_bytes()
    refused = certbound("ca", "init")
    assert (refused.status, refused.err) == (1, "certbound: ca/ca.pem is there already; --force replaces it\n")
    Path("ca/a.key").write_text("mine")
    assert certbound("ca", "issue", "a").status == 1
    assert not Path("ca/a.pem").exists()
    assert (Path("ca/ca.key").read_bytes(), Path("ca/a.key").read_text()) == (before, "mine")
    assert certbound("ca", "init", "--force").status == 0
    assert Path("ca/ca.key").read_bytes() != before


def test_every_kind_of_name_is_issued(certbound: Certbound) -> None:
    """Subject, DNS names (as A-labels), URIs, addresses and mailboxes are in the certificate, in any number."""
    certbound("ca", "init", "--dir", "my/ca", "--name", "My CA")
    issued = certbound(
        "ca", "issue", "all", "--dir", "my/ca", "--out", "certificates", "--subject", "CN=a\\, b,O=Example",
        "--dns", "a.example", "--dns", "žluť.example", "--uri", "spiffe://x/y", "--ip", "::1", "--email", "a@b.example",
    )  # fmt: skip
    assert issued.status == 0, issued.err
    found = leaf("certificates/all.pem")
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert found.subject.rfc4514_string() == "CN=a\\, b,O=Example"
    assert found.issuer.rfc4514_string() == "CN=My CA"
    assert names.get_values_for_type(x509.DNSName) == ["a.example", "žluť.example".encode("idna").decode()]
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["spiffe://x/y"]
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["::1"]
    assert names.get_values_for_type(x509.RFC822Name) == ["a@b.example"]


@pytest.mark.parametrize(
    ("usage", "purposes"),
    [("client", ["clientAuth"]), ("server", ["serverAuth"]), ("both", ["clientAuth", "serverAuth"])],
)
def test_a_certificate_is_for_what_was_said(certbound: Certbound, usage: str, purposes: list[str]) -> None:
    """--usage decides the extended key usage, and which next step is named."""
    certbound("ca", "init")
    told = certbound("ca", "issue", "a", "--usage", usage).out
    found = leaf("ca/a.pem").extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [purpose._name for purpose in found] == purposes
    assert ("[server] certificate" in told) == (usage == "server")


@pytest.mark.parametrize("key", ["P-384", "RSA-2048", "Ed25519", "ML-DSA-44"])
def test_kinds_of_keys(certbound: Certbound, key: str) -> None:
    """--key makes a key of that kind, for the authority and for what it issues."""
    assert certbound("ca", "init", "--key", key).status == 0
    assert certbound("ca", "issue", "a", "--key", key).status == 0
    for file in ("ca/ca.pem", "ca/a.pem"):
        [found] = read_pem_certificates(Path(file).read_bytes())
        assert require_strong_key(found).kind == key


def test_the_kinds_offered_are_those_there_are() -> None:
    """The command line knows the kinds of keys that the authority knows."""
    assert get_args(ca.KeyKind) == get_args(authority.KeyKind)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["a", "--subject", "nonsense"], 1, "'nonsense' cannot be a subject; write RFC 4514"),
        (["a", "--ip", "1.2"], 1, "no certificate can say that: '1.2' does not appear to be"),
        (["a", "--dns", "-ž"], 1, "no certificate can say that"),
        (["a" * 70], 1, "cannot be a subject"),
        (["a", "--days", "4000"], 1, "the authority is valid until"),
        (["a", "--key", "DSA"], 2, "DSA"),
        (["../a"], 2, "'../a' cannot be the name of the files"),
        (["ca"], 2, "'ca' cannot be the name of the files"),
        (["a", "--dir", "no"], 1, "there is no no/ca.pem; make an authority with: certbound ca init --dir no"),
    ],
)
def test_what_cannot_be_issued(certbound: Certbound, arguments: list[str], status: int, said: str) -> None:
    """What cannot be issued is said in a sentence, and nothing is written."""
    certbound("ca", "init")
    refused = certbound("ca", "issue", *arguments)
    assert refused.status == status
    assert said in refused.err
    assert sorted(file.name for file in Path("ca").iterdir()) == ["ca.key", "ca.pem"]


def test_files_that_are_no_authority(certbound: Certbound) -> None:
    """A key that does not belong to the certificate is one sentence, and so is a directory that cannot be made."""
    certbound("ca", "init")
    certbound("ca", "init", "--dir", "other")
    Path("other/ca.pem").rename("ca/ca.pem")
    refused = certbound("ca", "issue", "a")
    assert (refused.status, "are no authority: the key does not belong" in refused.err) == (1, True)
    Path("file").touch()
    refused = certbound("ca", "init", "--dir", "file/x")
    assert (refused.status, refused.err) == (1, "certbound: file/x: Not a directory\n")


def serials(file: str = "ca/ca.crl") -> list[int]:
    return [each.serial_number for each in x509.load_der_x509_crl(Path(file).read_bytes())]


def test_what_was_revoked_is_in_the_crl(certbound: Certbound) -> None:
    """`revoke` takes a file or a serial number, `crl` lists all of them under a new number, with the reason."""
    certbound("ca", "init")
    for name in "abc":
        certbound("ca", "issue", name)
    a, b = leaf("ca/a.pem").serial_number, leaf("ca/b.pem").serial_number
    assert certbound("ca", "revoke", "ca/a.pem", "--reason", "keyCompromise").err == ""
    by_number = certbound("ca", "revoke", f"{b:X}")
    assert (by_number.status, "nobody here can tell whether" in by_number.err) == (0, True)
    wrote = certbound("ca", "crl", "--days", "2")
    assert "wrote ca/ca.crl: number 1, 2 certificates" in wrote.out
    assert sorted(serials()) == sorted([a, b])
    assert "number 2, 2 certificates" in certbound("ca", "crl", "--pem").out
    assert Path("ca/ca.crl").read_bytes().startswith(b"-----BEGIN X509 CRL")


def test_a_revocation_is_for_ever(certbound: Certbound) -> None:
    """To revoke again says when it was, and changes nothing."""
    certbound("ca", "init")
    certbound("ca", "issue", "a")
    certbound("ca", "revoke", "ca/a.pem", "--reason", "superseded")
    before = Path("ca/revoked.json").read_bytes()
    again = certbound("ca", "revoke", "ca/a.pem", "--reason", "keyCompromise")
    assert (again.status, "was revoked already" in again.out, "superseded" in again.out) == (0, True, True)
    assert Path("ca/revoked.json").read_bytes() == before


def test_revocations_at_once_are_all_kept(certbound: Certbound) -> None:
    """Processes that revoke at the same time lose nothing of each other's."""
    certbound("ca", "init")
    command = [sys.executable, "-m", "certbound.cli", "ca", "revoke"]
    with ThreadPoolExecutor() as pool:
        done = pool.map(lambda n: subprocess.run([*command, f"{n:02X}"], check=False, capture_output=True), range(1, 5))
        assert [each.returncode for each in done] == [0] * 4
    certbound("ca", "crl")
    assert sorted(serials()) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("given", "status", "said"),
    [
        ("ca/other.pem", 1, "ca/other.pem was not issued by ca/ca.pem; nothing was revoked"),
        ("nothing.pem", 2, "there is no file 'nothing.pem', and 'nothing.pem' is no serial number"),
        ("ca/ca.key", 1, "ca/ca.key holds a private key and no certificate"),
    ],
)
def test_what_cannot_be_revoked(certbound: Certbound, given: str, status: int, said: str) -> None:
    """Another authority's certificate, and what is none, are refused in a sentence."""
    certbound("ca", "init", "--dir", "others")
    certbound("ca", "issue", "other", "--dir", "others", "--out", "ca")
    certbound("ca", "init")
    refused = certbound("ca", "revoke", given)
    assert refused.status == status
    assert said in " ".join(refused.err.split())
    assert not Path("ca/revoked.json").exists()


def test_a_broken_record_is_not_an_empty_one(certbound: Certbound) -> None:
    """A record that cannot be read stops every command, so that no CRL takes a revocation back."""
    certbound("ca", "init")
    Path("ca/revoked.json").write_text("{")
    for command in (["revoke", "01"], ["crl"], ["ocsp"]):
        refused = certbound("ca", *command)
        assert refused.status == 1
        assert "ca/revoked.json is no record of revocations" in refused.err
    assert not Path("ca/ca.crl").exists()


def test_a_certificate_can_say_where_to_ask(certbound: Certbound) -> None:
    """--crl-url and --ocsp-url are in the certificate."""
    certbound("ca", "init")
    certbound("ca", "issue", "a", "--crl-url", "http://127.0.0.1:1/ca.crl", "--ocsp-url", "http://127.0.0.1:1")
    extensions = leaf("ca/a.pem").extensions
    [point] = extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    [access] = extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    assert [each.value for each in point.full_name or ()] == ["http://127.0.0.1:1/ca.crl"]
    assert access.access_method == AuthorityInformationAccessOID.OCSP
    assert access.access_location.value == "http://127.0.0.1:1"


@pytest.fixture
def responder(certbound: Certbound) -> Iterator[str]:
    """`certbound ca ocsp` in a process of its own, over an authority that issued a.pem and b.pem; its URL."""
    certbound("ca", "init")
    for name in "ab":
        certbound("ca", "issue", name)
    running = subprocess.Popen(
        [sys.executable, "-W", "error", "-u", "-m", "certbound.cli", "ca", "ocsp", "--port", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert running.stdout
    told = running.stdout.readline()
    yield told.partition("OCSP at ")[2].split()[0]
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=30)
    assert (running.returncode, err) == (130, "")


def test_the_responder(certbound: Certbound, responder: str) -> None:
    """It answers POST and GET, sees a revocation at once, gives the CRL, and refuses the rest."""
    issuer = leaf("ca/ca.pem")
    question = (
        ocsp.OCSPRequestBuilder()
        .add_certificate(leaf("ca/a.pem"), issuer, hashes.SHA1())
        .build()
        .public_bytes(Encoding.DER)
    )
    path = "/" + base64.b64encode(question).decode().replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")

    def status() -> set[str]:
        answers = [httpx.post(responder, content=question), httpx.get(responder + path)]
        assert {each.headers["content-type"] for each in answers} == {"application/ocsp-response"}
        return {ocsp.load_der_ocsp_response(each.content).certificate_status.name for each in answers}

    assert status() == {"GOOD"}
    certbound("ca", "revoke", "ca/a.pem")
    assert status() == {"REVOKED"}
    assert httpx.get(f"{responder}/ca.crl").status_code == 404
    certbound("ca", "crl", "--pem")
    assert len(list(x509.load_der_x509_crl(httpx.get(f"{responder}/ca.crl").content))) == 1
    assert httpx.post(responder, content=b"x" * 5000).status_code == 413
    assert httpx.get(f"{responder}/no.such").status_code == 404
    os.truncate("ca/revoked.json", 0)
    assert httpx.post(responder, content=question).status_code == 500


def test_a_port_that_is_taken(certbound: Certbound, responder: str) -> None:
    """A second responder on the same port is one sentence."""
    port = responder.rpartition(":")[2]
    refused = certbound("ca", "ocsp", "--port", port)
    assert (refused.status, refused.err.startswith(f"certbound: --port: 127.0.0.1:{port} cannot be")) == (1, True)


@pytest.mark.peers
def test_openssl_reads_the_crl_and_asks_the_responder(certbound: Certbound, responder: str) -> None:
    """`openssl crl` verifies the list, `openssl verify` refuses by it, `openssl ocsp` believes the answers."""
    if shutil.which("openssl") is None:
        pytest.fail("openssl is needed; apt-get install openssl")

    def openssl(*arguments: str) -> tuple[int, str]:
        done = subprocess.run(["openssl", *arguments], check=False, capture_output=True, text=True, timeout=30)
        return done.returncode, done.stdout + done.stderr

    certbound("ca", "revoke", "ca/a.pem", "--reason", "keyCompromise")
    for form in ([], ["--pem"]):
        certbound("ca", "crl", *form)
        status, told = openssl("crl", "-in", "ca/ca.crl", "-CAfile", "ca/ca.pem", "-noout", "-text")
        assert status == 0, told
        assert "verify OK" in told
        assert "Key Compromise" in told
        for name, refused in (("a", True), ("b", False)):
            status, told = openssl(
                "verify", "-crl_check", "-CAfile", "ca/ca.pem", "-CRLfile", "ca/ca.crl", f"ca/{name}.pem"
            )
            assert ("certificate revoked" in told, status != 0) == (refused, refused), told
    for name, said in (("a", "revoked"), ("b", "good")):
        status, told = openssl(
            "ocsp", "-issuer", "ca/ca.pem", "-cert", f"ca/{name}.pem", "-url", responder, "-CAfile", "ca/ca.pem"
        )
        assert (status, "Response verify OK" in told, f"{name}.pem: {said}" in told) == (0, True, True), told
        assert "WARNING" not in told  # no nonce in response
