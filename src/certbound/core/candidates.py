"""What a certificate can be registered as, and which clients it would match (RFC 8705 sections 2.1.2 and 2.2.2).

Rule: a name is offered only after the match that the token endpoint will make has been made with it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from certbound.core import alternative_names as san
from certbound.core.certificate import Certificate, GeneralName
from certbound.core.clients import Client, Method
from certbound.core.errors import BadCertificate, InvalidClient, InvalidClientMetadata
from certbound.core.extensions import read_extensions
from certbound.core.jwks import match_registered
from certbound.core.keys import require_strong_key
from certbound.core.names import BadName, format_name
from certbound.core.subject import Subject, SubjectKind, match_subject


@dataclass(frozen=True, slots=True)
class Candidate:
    """A name in a certificate; `problem` says why it cannot be registered, where it cannot."""

    kind: SubjectKind
    text: str
    problem: str = ""


def candidates(certificate: Certificate) -> list[Candidate]:
    """Every name in `certificate` that has a kind in RFC 8705 section 2.1.2, the subject first."""
    return [_candidate(certificate, kind, text) for kind, text in _names(certificate)]


def matching(certificate: Certificate, clients: Iterable[Client]) -> Iterator[tuple[Client, str]]:
    """The clients whose registration `certificate` fits, and by what; its chain and dates are not asked."""
    for client in clients:
        try:
            if client.method is Method.TLS_CLIENT_AUTH and client.subject is not None:
                match_subject(certificate, client.subject)
                yield client, f"{client.subject.kind.removeprefix('tls_client_auth_')} {client.subject.text}"
            elif client.method is Method.SELF_SIGNED_TLS_CLIENT_AUTH and client.jwks_uri is None:
                match_registered(certificate, client.certificates)
                yield client, "the certificate itself"
        except InvalidClient:
            continue


def remarks(certificate: Certificate, now: float) -> Iterator[str]:
    """What keeps the certificate from authenticating a client at `now`, in seconds since the epoch."""
    if now > certificate.not_after:
        yield "it has expired"
    if now < certificate.not_before:
        yield "it is not valid yet"
    try:
        require_strong_key(certificate)
    except BadCertificate as error:
        yield f"its key is not accepted: {error}"
    purposes = read_extensions(certificate).purposes
    if purposes is not None and "clientAuth" not in purposes:
        yield "its extended key usage lacks clientAuth, so no CA's word will be taken for it"


def is_self_signed(certificate: Certificate) -> bool:
    """Whether the certificate is issued by itself and signed by its own key."""
    try:
        certificate.parsed.verify_directly_issued_by(certificate.parsed)
    except Exception:  # noqa: BLE001 - odd names, algorithms and keys raise many things; each means that it is not
        return False
    return True


def _candidate(certificate: Certificate, kind: SubjectKind, text: str) -> Candidate:
    try:
        match_subject(certificate, Subject.registered(kind, text))
    except InvalidClientMetadata as error:
        return Candidate(kind, text, error.reason.removeprefix(f"{error.field}: "))
    except InvalidClient as error:
        return Candidate(kind, text, error.reason)
    return Candidate(kind, text)


def _names(certificate: Certificate) -> Iterator[tuple[SubjectKind, str]]:
    try:
        if text := format_name(certificate.subject_der):
            yield SubjectKind.DN, text
    except BadName:
        pass
    try:
        found = certificate.alternative_names
    except BadCertificate:
        return
    for name in found:
        if name.tag in _TAGS:
            yield _TAGS[name.tag], _text(name)
    for local, domain in san.presented_email(certificate):
        if not local.isascii():  # RFC 9598, in a kind of its own
            yield SubjectKind.EMAIL, f"{local}@{domain}"


def _text(name: GeneralName) -> str:
    if name.tag == san.IP_ADDRESS and len(name.value) in (4, 16):
        return str(ip_address(name.value))
    return name.value.decode("ascii", "backslashreplace")


_TAGS: Mapping[int, SubjectKind] = {
    san.DNS_NAME: SubjectKind.DNS,
    san.URI: SubjectKind.URI,
    san.IP_ADDRESS: SubjectKind.IP,
    san.RFC822_NAME: SubjectKind.EMAIL,
}
