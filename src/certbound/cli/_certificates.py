"""What a certificate can be registered as, said as options of `certbound client add`.

Rule: an option is offered only after the match that the token endpoint will make has been made with it.
"""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from certbound.core.certificate import Certificate, GeneralName, read_certificate, read_pem_certificates
from certbound.core.errors import BadCertificate, ConfigurationError, InvalidClient, InvalidClientMetadata
from certbound.core.keys import require_strong_key
from certbound.core.subject import Subject, SubjectKind, match_subject

OPTIONS: Mapping[str, str] = {
    SubjectKind.DN: "--subject-dn",
    SubjectKind.DNS: "--san-dns",
    SubjectKind.URI: "--san-uri",
    SubjectKind.IP: "--san-ip",
    SubjectKind.EMAIL: "--san-email",
}


@dataclass(frozen=True, slots=True)
class Proposal:
    """A name in a certificate; `problem` says why it cannot be registered, where it cannot."""

    kind: SubjectKind
    text: str
    problem: str = ""

    @property
    def option(self) -> str:
        """What to write on a command line."""
        return f"{OPTIONS[self.kind]} {shlex.quote(self.text)}"


def read_file(file: Path) -> Certificate:
    """The first certificate in `file`, PEM or DER.  `ConfigurationError` if there is none."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from error
    try:
        return read_certificate(content) if content[:1] == b"\x30" else read_pem_certificates(content)[0]
    except BadCertificate as error:
        raise ConfigurationError(f"{file} holds no usable certificate: {error}") from error


def proposals(certificate: Certificate) -> list[Proposal]:
    """Every name in `certificate` that has a kind in RFC 8705 section 2.1.2, the subject first."""
    return [_proposal(certificate, kind, text) for kind, text in _names(certificate)]


def remarks(certificate: Certificate, now: float) -> Iterator[str]:
    """What keeps the certificate from authenticating a client at `now`."""
    if now > certificate.not_after:
        yield "it has expired"
    if now < certificate.not_before:
        yield "it is not valid yet"
    try:
        require_strong_key(certificate)
    except BadCertificate as error:
        yield f"its key is not accepted: {error}"
    if not _is_for_clients(certificate):
        yield "its extended key usage lacks clientAuth, so no CA's word will be taken for it"


def key_kind(certificate: Certificate) -> str:
    """The kind of its key, for people."""
    try:
        return require_strong_key(certificate).kind
    except BadCertificate as error:
        return f"unaccepted key ({error})"


def _is_for_clients(certificate: Certificate) -> bool:
    try:
        purposes = certificate.parsed.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (x509.ExtensionNotFound, ValueError, x509.DuplicateExtension):
        return True
    return ExtendedKeyUsageOID.CLIENT_AUTH in purposes


def _proposal(certificate: Certificate, kind: SubjectKind, text: str) -> Proposal:
    try:
        match_subject(certificate, Subject.registered(kind, text))
    except InvalidClientMetadata as error:
        return Proposal(kind, text, error.reason.removeprefix(f"{error.field}: "))
    except InvalidClient as error:
        return Proposal(kind, text, error.reason)
    return Proposal(kind, text)


def _names(certificate: Certificate) -> Iterator[tuple[SubjectKind, str]]:
    if text := _subject(certificate):
        yield SubjectKind.DN, text
    try:
        found = certificate.alternative_names
    except BadCertificate:
        return
    for name in found:
        if name.tag in _TAGS:
            yield _TAGS[name.tag], _text(name)


def _subject(certificate: Certificate) -> str:
    """RFC 4514; characters that a terminal would run are written as escaped UTF-8 (section 2.4)."""
    try:
        text = certificate.parsed.subject.rfc4514_string()
    except ValueError:
        return ""
    return "".join(
        character if character.isprintable() else "".join(f"\\{octet:02X}" for octet in character.encode())
        for character in text
    )


def _text(name: GeneralName) -> str:
    if _TAGS[name.tag] is SubjectKind.IP and len(name.value) in (4, 16):
        return str(ip_address(name.value))
    return name.value.decode("ascii", "backslashreplace")


# Context tags of a GeneralName: RFC 5280 section 4.2.1.6.
_TAGS = {0x82: SubjectKind.DNS, 0x86: SubjectKind.URI, 0x87: SubjectKind.IP, 0x81: SubjectKind.EMAIL}
