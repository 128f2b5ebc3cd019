"""Certificates in files, and what they can be registered as, said as options of `certbound client add`.

Rule: whatever is wrong with a file is one sentence that names it and says what to do; a private key is never shown.
"""

import re
import shlex
from base64 import b64decode
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives.serialization import load_der_private_key

from certbound.core.candidates import Candidate
from certbound.core.certificate import Certificate, read_certificate
from certbound.core.errors import BadCertificate, ConfigurationError
from certbound.core.keys import require_strong_key
from certbound.core.subject import SubjectKind

OPTIONS: Mapping[str, str] = {
    SubjectKind.DN: "--subject-dn",
    SubjectKind.DNS: "--san-dns",
    SubjectKind.URI: "--san-uri",
    SubjectKind.IP: "--san-ip",
    SubjectKind.EMAIL: "--san-email",
}

MOST = 1 << 20
"""Bytes of one file of certificates."""


def read_file(file: Path) -> Certificate:
    """The first certificate in `file`, PEM or DER.  `ConfigurationError` if there is none that can be used."""
    return read_chain(file)[0]


def read_chain(file: Path) -> tuple[Certificate, ...]:
    """Every certificate in `file`, PEM or DER, in order.  `ConfigurationError` if there is none or one is unusable."""
    try:
        return tuple(map(read_certificate, certificates_in(read_bytes(file), str(file))))
    except BadCertificate as error:
        raise ConfigurationError(f"{file} holds no usable certificate: {error}") from error


def read_bytes(file: Path) -> bytes:
    """What `file` holds.  `ConfigurationError` if it cannot be read, or is too large to be one of certificates."""
    try:
        with file.open("rb") as stream:
            content = stream.read(MOST + 1)
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from error
    if len(content) > MOST:
        raise ConfigurationError(f"{file} is larger than {MOST} bytes; that is no file of certificates")
    return content


def certificates_in(content: bytes, where: str) -> list[bytes]:
    """The certificates in `content` as DER, unread.  `ConfigurationError` says what else is there."""
    if content[:1] == b"\x30":
        if hint := _other_der(content):
            raise ConfigurationError(f"{where} holds {hint}")
        return [content]
    blocks = _PEM.findall(content)
    found = [body for label, body in blocks if label in {b"CERTIFICATE", b"X509 CERTIFICATE"}]
    if not found:
        labels = {label.decode("ascii") for label, _ in blocks}
        raise ConfigurationError(f"{where} holds {_other_pem(labels)}")
    try:
        return [b64decode(b"".join(body.split()), validate=True) for body in found]
    except ValueError as error:
        raise ConfigurationError(f"{where} holds a broken PEM block: {error}; get the file again") from error


def has_private_key(content: bytes) -> bool:
    """Whether a private key stands in `content`, encrypted or not."""
    if content[:1] == b"\x30":
        return _is_private_key(content)
    return any(b"PRIVATE KEY" in label for label, _ in _PEM.findall(content))


def option(candidate: Candidate) -> str:
    """What to write on a command line to register it."""
    return f"{OPTIONS[candidate.kind]} {shlex.quote(candidate.text)}"


def key_kind(certificate: Certificate) -> str:
    """The kind of its key, for people."""
    try:
        return require_strong_key(certificate).kind
    except BadCertificate as error:
        return f"unaccepted key ({error})"


def _other_pem(labels: set[str]) -> str:
    for word, hint in _HINTS.items():
        if any(word in label for label in labels):
            return hint
    if labels:
        return f"no certificate, but {', '.join(sorted(labels))}"
    return "no usable certificate: it is neither PEM (-----BEGIN CERTIFICATE-----) nor DER"


def _other_der(content: bytes) -> str:
    if _PKCS7 in content[:32]:
        return _HINTS["PKCS7"]
    if content[2:7].find(b"\x02\x01\x03") >= 0 and _PKCS7_DATA in content[:64]:
        return "PKCS #12; take the certificates out: openssl pkcs12 -in FILE -nokeys -out certificates.pem"
    return _HINTS["PRIVATE KEY"] if _is_private_key(content) else ""


def _is_private_key(der: bytes) -> bool:
    try:
        load_der_private_key(der, None)
    except TypeError:  # it is encrypted
        return True
    except Exception:  # noqa: BLE001 - whatever it is, a key that can be read it is not
        return False
    return True


_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----([^-]*)-----END \1-----")
_PKCS7 = bytes.fromhex("06092a864886f70d010702")  # signedData
_PKCS7_DATA = bytes.fromhex("06092a864886f70d0107")
_HINTS: Mapping[str, str] = {
    "PRIVATE KEY": "a private key and no certificate; whoever sees that file can be the client: keep it to yourself",
    "CERTIFICATE REQUEST": "a certificate request, not a certificate; an authority makes one of it",
    "TRUSTED CERTIFICATE": "a TRUSTED CERTIFICATE of OpenSSL; convert it: openssl x509 -in FILE -out certificate.pem",
    "PKCS7": "PKCS #7; take the certificates out: openssl pkcs7 -in FILE -print_certs -out certificates.pem",
    "CRL": "a CRL, not a certificate; openssl crl -in FILE -text shows it",
    "PUBLIC KEY": "a public key and no certificate; a client needs a certificate, self-signed at least",
}
