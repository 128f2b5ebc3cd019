"""The keys and certificates of one run: P-256 throughout, fresh every time.

The server's certificate has an issuer of its own: were that issuer also an anchor for clients, OpenSSL would
rebuild the server's chain at every handshake.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DNS_NAME = "client.example"
"""The name by which client `pki` is known (`tls_client_auth_san_dns`)."""

OTHER_NAME = "other.example"
"""The name of somebody else: a stranger to client `pki`, and client `api` where there is one."""

RESOURCE = "https://api.example"
"""What all tokens are for."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and its key, in memory and as PEM files."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    certificate_file: Path
    key_file: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Pki:
    """Everything that servers and clients of one run share."""

    folder: Path
    server_ca: Identity
    server: Identity
    """Its file holds the leaf and its issuer."""
    client_ca: Identity
    client_crl_file: Path
    """What `client_ca` revoked: nobody the bench knows."""
    client: Identity
    """Client `pki`: issued by `client_ca`, with `DNS_NAME`."""
    selfsigned: Identity
    """Client `self`: known by its key."""
    other_name: Identity
    """Issued by `client_ca` to somebody else."""
    impostor: Identity
    """Carries `DNS_NAME`, and signed itself."""
    signing_key: ec.EllipticCurvePrivateKey
    signing_key_file: Path


def make_pki(folder: Path) -> Pki:
    """Makes and writes all of them: `server.crt`, `server.key`, `client_ca.crt`, `sign.pem` and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    server_ca = issue(folder, "server_ca", "Bench server CA")
    client_ca = issue(folder, "client_ca", "Bench client CA")
    names: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    server = issue(folder, "server", "localhost", issuer=server_ca, names=names)
    with server.certificate_file.open("ab") as chain:
        chain.write(server_ca.certificate_file.read_bytes())
    signing_key = ec.generate_private_key(ec.SECP256R1())
    signing_key_file = folder / "sign.pem"
    write_key(signing_key, signing_key_file)
    ours: list[x509.GeneralName] = [x509.DNSName(DNS_NAME)]
    others: list[x509.GeneralName] = [x509.DNSName(OTHER_NAME)]
    return Pki(
        folder=folder,
        server_ca=server_ca,
        server=server,
        client_ca=client_ca,
        client_crl_file=publish_crl(folder, client_ca),
        client=issue(folder, "client", "client", issuer=client_ca, names=ours),
        selfsigned=issue(folder, "selfsigned", "self", names=[x509.DNSName("self.example")]),
        other_name=issue(folder, "other_name", "other", issuer=client_ca, names=others),
        impostor=issue(folder, "impostor", "client", names=ours),
        signing_key=signing_key,
        signing_key_file=signing_key_file,
    )


def issue(
    folder: Path,
    file: str,
    common_name: str,
    *,
    issuer: Identity | None = None,
    names: list[x509.GeneralName] | None = None,
) -> Identity:
    """One certificate, valid for a week: a CA if it has no `names`, self-signed if it has no `issuer`."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Bench"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )
    signer = issuer.key if issuer else key
    now = datetime.now(UTC)
    ca = names is None
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=7))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(key_usage(ca=ca), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if names is not None:
        purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        purpose = purposes[0] if file == "server" else purposes[1]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    certificate = builder.sign(signer, hashes.SHA256())
    identity = Identity(certificate, key, folder / f"{file}.crt", folder / f"{file}.key")
    identity.certificate_file.write_bytes(certificate.public_bytes(Encoding.PEM))
    write_key(key, identity.key_file)
    return identity


def publish_crl(folder: Path, ca: Identity, *, revoked: int = 100) -> Path:
    """A list of `revoked` certificates that nobody has."""
    now = datetime.now(UTC)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(ca.certificate.subject)
        .last_update(now - timedelta(hours=1))
        .next_update(now + timedelta(days=7))
        .add_extension(x509.CRLNumber(1), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.key.public_key()), critical=False)
    )
    for _ in range(revoked):
        entry = x509.RevokedCertificateBuilder(x509.random_serial_number(), now - timedelta(days=1))
        builder = builder.add_revoked_certificate(entry.build())
    file = folder / "client.crl"
    file.write_bytes(builder.sign(ca.key, hashes.SHA256()).public_bytes(Encoding.PEM))
    return file


def write_key(key: ec.EllipticCurvePrivateKey, file: Path) -> None:
    """PKCS #8, readable by its owner only."""
    file.touch(mode=0o600)
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def key_usage(*, ca: bool) -> x509.KeyUsage:
    """Signs certificates, or signs handshakes."""
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )
