"""`certbound.client.identity`: a certificate and the key that belongs to it."""

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates

from certbound.client import Identity, IdentityUnusable
from certbound.core.certificate import thumbprint
from certbound.trust.authority import Authority, private_key_pem, self_signed


@pytest.mark.parametrize("key", ["P-256", "RSA-2048", "Ed25519", "Ed448", "ML-DSA-44", "ML-DSA-65", "ML-DSA-87"])
def test_an_identity_is_its_leaf(key: str) -> None:
    """The first certificate of the chain counts, of every kind of key."""
    issued = Authority.create("ca", key=key).issue("CN=a", key=key)
    assert Identity(issued.chain_pem, issued.key_pem).thumbprint == thumbprint(issued.der)


def test_from_files(tmp_path: Path) -> None:
    """Two files, or one that holds both."""
    issued = self_signed("CN=a")
    both = tmp_path / "both.pem"
    both.write_bytes(issued.key_pem + issued.chain_pem)
    assert Identity.load(both, both).thumbprint == thumbprint(issued.der)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The sentence says which of the two."""
    issued = self_signed("CN=a")
    (tmp_path / "a.pem").write_bytes(issued.chain_pem)
    with pytest.raises(IdentityUnusable, match=r"client key .*a\.key cannot be read: No such file"):
        Identity.load(tmp_path / "a.pem", tmp_path / "a.key")
    with pytest.raises(IdentityUnusable, match=r"client certificate .*b\.pem cannot be read"):
        Identity.load(tmp_path / "b.pem", tmp_path / "a.key")


def test_files_that_are_no_identity_are_named(tmp_path: Path) -> None:
    """Also where it is their content that is wrong, and the content is not."""
    certificate, key, archive = (tmp_path / name for name in ("a.pem", "b.key", "c.p12"))
    certificate.write_bytes(self_signed("CN=a").chain_pem)
    key.write_bytes(self_signed("CN=b").key_pem)
    archive.write_bytes(b"none")
    with pytest.raises(IdentityUnusable, match=r"a\.pem, .*b\.key: the private key does not belong"):
        Identity.load(certificate, key)
    with pytest.raises(IdentityUnusable, match=r"c\.p12: the PKCS #12 file cannot be read"):
        Identity.load(archive)
    with pytest.raises(IdentityUnusable, match=r"a\.pem: a certificate is there, and no private key; give the key too"):
        Identity.load(certificate)


def test_the_key_belongs_to_the_certificate() -> None:
    """Another's key is refused here, not in a handshake."""
    with pytest.raises(IdentityUnusable, match="does not belong"):
        Identity(self_signed("CN=a").chain_pem, self_signed("CN=a").key_pem)


@pytest.mark.parametrize("key", [b"", b"secret", b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"])
def test_what_is_no_key_is_not_quoted(key: bytes) -> None:
    """Neither the message nor what led to it holds what was in the file."""
    with pytest.raises(IdentityUnusable, match="private key is not PEM") as refused:
        Identity(self_signed("CN=a").chain_pem, key)
    assert "c2Vj" not in str(refused.value)
    assert refused.value.__suppress_context__


def test_a_certificate_without_its_key_asks_for_it(tmp_path: Path) -> None:
    """One file was named, and it has but half of what is needed; or the certificate was named twice."""
    (tmp_path / "a.pem").write_bytes(self_signed("CN=a").chain_pem)
    for key in (None, tmp_path / "a.pem"):
        with pytest.raises(IdentityUnusable, match="no private key; give the key too: key="):
            Identity.load(tmp_path / "a.pem", key)


def test_an_encrypted_key_is_told_apart() -> None:
    """The sentence says what to do."""
    key = ec.generate_private_key(ec.SECP256R1())
    issued = self_signed("CN=a", key=key)
    encrypted = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    with pytest.raises(IdentityUnusable, match="encrypted"):
        Identity(issued.chain_pem, encrypted)
    assert Identity(issued.chain_pem, private_key_pem(key)).certificate.der == issued.der


@pytest.mark.parametrize("pem", [b"", b"x"])
def test_no_certificate(pem: bytes) -> None:
    """A chain without a certificate is no identity."""
    with pytest.raises(IdentityUnusable, match="client certificate cannot be used"):
        Identity(pem, self_signed("CN=a").key_pem)


class TestKinds:
    KEY = ec.generate_private_key(ec.SECP256R1())
    ISSUED = Authority.create("ca").issue("CN=a", key=KEY)
    ENCRYPTED = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"sesame"))

    def pkcs12(self, password: bytes | None = b"sesame") -> bytes:
        leaf, *issuers = x509.load_pem_x509_certificates(self.ISSUED.chain_pem)
        how = NoEncryption() if password is None else BestAvailableEncryption(password)
        return serialize_key_and_certificates(b"a", self.KEY, leaf, issuers, how)

    def test_an_encrypted_key(self, tmp_path: Path) -> None:
        """In memory and in a file; a password that is not needed is not used."""
        (tmp_path / "a.pem").write_bytes(self.ISSUED.chain_pem)
        (tmp_path / "a.key").write_bytes(self.ENCRYPTED)
        for found in (
            Identity.read(self.ISSUED.chain_pem, self.ENCRYPTED, "sesame"),
            Identity.load(tmp_path / "a.pem", tmp_path / "a.key", "sesame"),
            Identity.read(self.ISSUED.chain_pem, private_key_pem(self.KEY), "other"),
        ):
            assert found.thumbprint == thumbprint(self.ISSUED.der)

    def test_pkcs12(self, tmp_path: Path) -> None:
        """With its chain; with a password and without; as one file."""
        for password in (None, "sesame"):
            data = self.pkcs12(None if password is None else password.encode())
            (tmp_path / "a.p12").write_bytes(data)
            for found in (Identity.read_pkcs12(data, password), Identity.load(tmp_path / "a.p12", None, password)):
                assert found.thumbprint == thumbprint(self.ISSUED.der)
                assert len(found.certificates()) == len(x509.load_pem_x509_certificates(self.ISSUED.chain_pem))

    @pytest.mark.parametrize("password", [None, "", "wrong-password"])
    def test_a_wrong_password_is_not_repeated(self, password: str | None) -> None:
        """Neither in the message nor behind it."""
        for attempt in (
            lambda: Identity.read_pkcs12(self.pkcs12(), password),
            lambda: Identity.read(self.ISSUED.chain_pem, self.ENCRYPTED, password),
        ):
            with pytest.raises(IdentityUnusable) as refused:
                attempt()
            assert "wrong-password" not in str(refused.value)
            assert refused.value.__cause__ is None or "password" in str(refused.value)

    def test_one_pem_file_for_both(self, tmp_path: Path) -> None:
        """It is read once."""
        (tmp_path / "both.pem").write_bytes(self.ISSUED.chain_pem + self.ENCRYPTED)
        assert Identity.load(tmp_path / "both.pem", None, "sesame").thumbprint == thumbprint(self.ISSUED.der)

    def test_pkcs12_without_a_key(self) -> None:
        """It is no identity."""
        data = serialize_key_and_certificates(
            None, None, None, x509.load_pem_x509_certificates(self.ISSUED.chain_pem), NoEncryption()
        )
        with pytest.raises(IdentityUnusable, match="holds no private key"):
            Identity.read_pkcs12(data)
