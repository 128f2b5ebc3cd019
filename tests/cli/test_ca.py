"""`certbound ca`: a small private certificate authority in a directory."""

import stat
from pathlib import Path
from typing import get_args

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

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
