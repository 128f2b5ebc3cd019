"""certbound.trust.authority: a small certificate authority, every fact an argument."""

from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from certbound.core.errors import Untrusted
from certbound.trust.authority import Authority, private_key_pem, self_signed
from certbound.trust.chains import verify_chain
from certificates import NOW, TODAY, anchors, peer, read


def test_a_leaf(authority: Authority) -> None:
    """A leaf has the names, the use and the time it was asked for, and is signed by the authority."""
    issued = authority.issue(
        "CN=a,O=Example", dns=["a.example"], uris=["urn:a:b"], ips=["192.0.2.1"], emails=["a@b.example"], now=TODAY,
        days=10,
    )  # fmt: skip
    certificate = issued.certificate
    certificate.verify_directly_issued_by(authority.certificate)
    assert certificate.subject.rfc4514_string() == "CN=a,O=Example"
    assert certificate.not_valid_before_utc == TODAY - timedelta(hours=1)
    assert certificate.not_valid_after_utc == TODAY + timedelta(days=10)
    assert [name.value for name in certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value][
        :2
    ] == ["a.example", "urn:a:b"]
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_nothing_is_there_that_was_not_asked_for(authority: Authority) -> None:
    """A leaf without names has no alternative names, one of no use no extended key usage (R34)."""
    certificate = authority.issue(usage="none", now=TODAY).certificate
    assert len(certificate.subject) == 0
    for extension in (x509.SubjectAlternativeName, x509.ExtendedKeyUsage):
        with pytest.raises(x509.ExtensionNotFound):
            certificate.extensions.get_extension_for_class(extension)


def test_self_signed() -> None:
    """A self-signed certificate is issued by itself, signed by its own key, and no authority (R11)."""
    issued = self_signed("CN=own", now=TODAY)
    issued.certificate.verify_directly_issued_by(issued.certificate)
    with pytest.raises(Untrusted):
        verify_chain(peer(issued), anchors(Authority.create("R", now=TODAY)), NOW)


def test_no_two_are_alike(authority: Authority) -> None:
    """Each certificate has a key and a serial number of its own."""
    first, second = authority.issue("CN=a", now=TODAY), authority.issue("CN=a", now=TODAY)
    assert first.certificate.serial_number != second.certificate.serial_number
    assert read(first).spki_der != read(second).spki_der


def test_a_key_that_is_given_is_used(authority: Authority) -> None:
    """A certificate can be renewed for the same key."""
    first = authority.issue("CN=a", now=TODAY)
    second = authority.issue("CN=a", key=first.private_key, now=TODAY)
    assert read(first).spki_der == read(second).spki_der
    assert read(first).thumbprint != read(second).thumbprint


@pytest.mark.parametrize("kind", ["P-384", "RSA-2048", "Ed25519", "ML-DSA-65"])
def test_an_authority_survives_pem(kind: Any) -> None:
    """An authority written to PEM and loaded again issues under the same anchor; a password keeps its key."""
    root = Authority.create("R", key=kind, now=TODAY)
    loaded = Authority.load(root.certificate_pem, private_key_pem(root.private_key, b"secret"), password=b"secret")
    loaded.issue("CN=a", now=TODAY).certificate.verify_directly_issued_by(root.certificate)
    with pytest.raises(TypeError):
        Authority.load(root.certificate_pem, private_key_pem(root.private_key, b"secret"))


def test_a_foreign_key_is_refused() -> None:
    """A certificate and a key that do not belong together make no authority."""
    with pytest.raises(ValueError, match="belong"):
        Authority.load(Authority.create("A").certificate_pem, Authority.create("B").key_pem)


def test_a_subordinate() -> None:
    """A subordinate issues leaves that are trusted through it, and its chain is sent leaf first."""
    root = Authority.create("R", now=TODAY)
    middle = root.subordinate("M", now=TODAY)
    issued = middle.issue("CN=a", now=TODAY)
    assert verify_chain(peer(issued, middle), anchors(root), NOW)
    sent = x509.load_pem_x509_certificates(issued.chain_pem)
    assert sent == [issued.certificate, middle.certificate, root.certificate]
    assert x509.load_pem_x509_certificate(issued.certificate_pem) == issued.certificate
    assert load_pem_private_key(issued.key_pem, None).public_key() == issued.private_key.public_key()  # type: ignore[union-attr]


def test_private_keys_are_not_shown(authority: Authority) -> None:
    """What a log line shows of an authority or of what it issued has no key in it."""
    assert "private_key" not in repr(authority) + repr(authority.issue("CN=a", now=TODAY))
