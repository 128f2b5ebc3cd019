"""`certbound jwks`: certificates as the JWK Set to register."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from certbound.core.certificate import thumbprint
from certbound.core.jwks import read_jwks
from certbound.trust.authority import Issued, self_signed

from .conftest import Certbound


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def made(name: str, **facts: object) -> Issued:
    """`name`.pem, self-signed."""
    issued = self_signed(f"CN={name}", **facts)  # type: ignore[arg-type]
    Path(f"{name}.pem").write_bytes(issued.certificate_pem)
    return issued


def test_what_is_printed_registers_the_certificates(certbound: Certbound) -> None:
    """The certificates of all files, PEM or DER, in their order; one line, or indented."""
    old, new = made("old"), made("new")
    Path("new.der").write_bytes(new.der)
    done = certbound("jwks", "old.pem", "new.der")
    assert (done.status, done.err, done.out.count("\n")) == (0, "", 1)
    assert [each.thumbprint for each in read_jwks(json.loads(done.out))] == [thumbprint(old.der), thumbprint(new.der)]
    pretty = certbound("jwks", "old.pem", "new.der", "--pretty")
    assert json.loads(pretty.out) == json.loads(done.out)
    assert pretty.out.count("\n") > 10


def test_one_certificate_stands_once(certbound: Certbound) -> None:
    """A certificate that is given twice is printed once, and that is said."""
    issued = made("a")
    Path("b.der").write_bytes(issued.der)
    done = certbound("jwks", "a.pem", "b.der")
    assert len(json.loads(done.out)["keys"]) == 1
    assert "b.der holds a certificate that stands there already" in done.err


def test_a_key_that_would_be_refused(certbound: Certbound) -> None:
    """What a server would refuse is refused, and nothing is printed."""
    made("weak", key=rsa.generate_private_key(65537, 1024))
    made("good")
    refused = certbound("jwks", "good.pem", "weak.pem")
    assert (refused.status, refused.out) == (1, "")
    assert "weak.pem: its key is not accepted: RSA key of 1024 bits" in refused.err


def test_what_is_worth_a_remark(certbound: Certbound) -> None:
    """An end that has passed, and a private key in the file, are said; the key is not printed."""
    issued = made("a", days=-0.02)
    Path("a.pem").write_bytes(issued.certificate_pem + issued.key_pem)
    done = certbound("jwks", "a.pem")
    assert done.status == 0
    assert "a.pem expired" in done.err
    assert "a.pem HOLDS A PRIVATE KEY" in done.err
    assert issued.key_pem.splitlines()[1].decode() not in done.out + done.err
    assert '"d"' not in done.out


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "x.pem holds no usable certificate: it is neither PEM"),
        (b"\x30\x03\x02\x01\x01", "x.pem holds no usable certificate"),
        (b"-----BEGIN CERTIFICATE REQUEST-----\nAA==\n-----END CERTIFICATE REQUEST-----\n", "a certificate request"),
        (b"-----BEGIN PKCS7-----\nAA==\n-----END PKCS7-----\n", "openssl pkcs7"),
        (b"-----BEGIN X509 CRL-----\nAA==\n-----END X509 CRL-----\n", "a CRL"),
        (b"-----BEGIN TRUSTED CERTIFICATE-----\nAA==\n-----END TRUSTED CERTIFICATE-----\n", "openssl x509"),
        (b"-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n", "a public key and no certificate"),
        (b"-----BEGIN EC PRIVATE KEY-----\nAA==\n-----END EC PRIVATE KEY-----\n", "a private key and no certificate"),
        (b"-----BEGIN CERTIFICATE-----\nA\x1b[2J\n-----END CERTIFICATE-----\n", "a broken PEM block"),
        (b"x" * (1 << 20) + b"x", "is larger than"),
    ],
    ids=["empty", "der", "csr", "pkcs7", "crl", "trusted", "public", "private", "broken", "large"],
)
def test_a_file_that_holds_something_else(certbound: Certbound, content: bytes, said: str) -> None:
    """What is there instead is named, with the command that makes a certificate of it, in one sentence."""
    Path("x.pem").write_bytes(content)
    refused = certbound("jwks", "x.pem")
    assert (refused.status, refused.out, refused.err.count("\n")) == (1, "", 1)
    assert refused.err.startswith("certbound: x.pem ")
    assert said in refused.err
    assert "\x1b" not in refused.err


def test_binary_containers(certbound: Certbound) -> None:
    """PKCS #12, PKCS #7 and private keys in DER are recognized."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        NoEncryption,
        PrivateFormat,
        pkcs7,
        pkcs12,
    )

    issued = made("a")
    key = issued.private_key
    contents = {
        "openssl pkcs12": pkcs12.serialize_key_and_certificates(b"a", key, issued.certificate, None, NoEncryption()),
        "openssl pkcs7": pkcs7.serialize_certificates([issued.certificate], Encoding.DER),
        "a private key": key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        "a private key ": key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")),
    }
    assert isinstance(issued.certificate, x509.Certificate)
    for said, content in contents.items():
        Path("x").write_bytes(content)
        assert said.strip() in certbound("jwks", "x").err
