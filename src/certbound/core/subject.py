"""The one subject a `tls_client_auth` client is known by (RFC 8705 section 2.1.2).

Rule 1: what is registered and what is presented pass through the same row of one table, so they cannot drift.
Rule 2: a name matches in its own kind only; a common name is no host name, and no name matches by a wildcard.
Rule 3: a value that could never match is refused when it is registered.
Rule 4: a certificate's names are read once, all kinds together, so no time tells which kind a client registered.
"""

import ipaddress
import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple
from urllib.parse import urlsplit

import idna

from certbound.core.certificate import CarriedNames, Certificate
from certbound.core.errors import BadCertificate, InvalidClient, InvalidClientMetadata
from certbound.core.names import parse_name

MAX_TEXT = 4096
"""Characters of a registered name."""


class SubjectKind(StrEnum):
    """The five metadata names of RFC 8705 section 2.1.2."""

    DN = "tls_client_auth_subject_dn"
    DNS = "tls_client_auth_san_dns"
    URI = "tls_client_auth_san_uri"
    IP = "tls_client_auth_san_ip"
    EMAIL = "tls_client_auth_san_email"


@dataclass(frozen=True, slots=True)
class Subject:
    """One subject in the form it is compared in; `text` is what was registered."""

    kind: SubjectKind
    value: Hashable
    text: str

    @classmethod
    def registered(cls, kind: SubjectKind, text: str) -> "Subject":
        """`InvalidClientMetadata`, naming the field, if `text` is no name of this kind."""
        if len(text) > MAX_TEXT:
            raise InvalidClientMetadata(kind, f"longer than {MAX_TEXT} characters")
        try:
            return cls(kind, _KINDS[kind].registered(text), text)
        except (ValueError, UnicodeError) as error:
            raise InvalidClientMetadata(kind, str(error)) from error


@dataclass(frozen=True, slots=True)
class SubjectMatch:
    """Proof that the certificate carries the registered subject."""

    certificate: Certificate
    subject: Subject


def match_subject(certificate: Certificate, subject: Subject) -> SubjectMatch:
    """`InvalidClient` (401) if the certificate does not carry `subject` in its own kind."""
    if not certificate.carried:
        certificate.carried.update({kind: _carried(certificate, row) for kind, row in _KINDS.items()})
    carried = certificate.carried[subject.kind]
    if subject.value in carried.names:
        return SubjectMatch(certificate, subject)
    raise InvalidClient(
        carried.refusal or f"the certificate does not carry the registered {subject.kind} {subject.text!r}"
    )


def _carried(certificate: Certificate, kind: "_Kind") -> CarriedNames:
    try:
        return CarriedNames(frozenset(kind.presented(certificate)))
    except BadCertificate as error:
        return CarriedNames(refusal=str(error))


def _alternative(tag: int, read: Callable[[bytes], Hashable]) -> Callable[[Certificate], Iterator[Hashable]]:
    def presented(certificate: Certificate) -> Iterator[Hashable]:
        for name in certificate.alternative_names:
            if name.tag == tag:
                try:
                    yield read(name.value)
                except ValueError:
                    continue  # a name that nobody could register matches nothing

    return presented


def _dns(text: str) -> str:
    name = text.lower() if text.isascii() else idna.encode(text, uts46=True).decode("ascii")
    if "*" in name:
        raise ValueError("a wildcard matches nothing; register the name itself")
    if len(name) > 253 or not all(map(_LABEL.fullmatch, name.split("."))):
        raise ValueError(f"{text!r} is no DNS name")
    return name


def _dns_presented(value: bytes) -> str:
    return _dns(value.decode("ascii"))


def _uri(text: str) -> tuple[str, str | None, str]:
    """Scheme and authority fold case (RFC 3986 section 6.2.2.1); the rest is exact."""
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(f"{text!r} is no URI: it has characters that must be percent-encoded")
    parts = urlsplit(text)
    if not parts.scheme or not text[len(parts.scheme) + 1 :]:
        raise ValueError(f"{text!r} is no absolute URI")
    rest = text[len(parts.scheme) + 1 :]
    if not rest.startswith("//"):
        return parts.scheme.lower(), None, rest  # no authority is not an empty one: `a:/b` is not `a:///b`
    userinfo, at, host = parts.netloc.rpartition("@")
    return parts.scheme.lower(), userinfo + at + host.lower(), rest[2 + len(parts.netloc) :]


def _uri_presented(value: bytes) -> tuple[str, str | None, str]:
    return _uri(value.decode("ascii"))


def _ip(text: str) -> bytes:
    """The octets (RFC 5952 section 8); IPv4 and IPv4-mapped IPv6 are different octets."""
    if "%" in text:
        raise ValueError("a zone id has no place in a certificate")
    return ipaddress.ip_address(text).packed


def _ip_presented(value: bytes) -> bytes:
    if len(value) not in (4, 16):
        raise ValueError("an address has 4 or 16 octets")
    return value


def _email(text: str) -> tuple[str, str]:
    """The local part is exact, the domain folds case (RFC 5280 section 7.5)."""
    local, _, domain = text.rpartition("@")
    if not local or not text.isascii() or not local.isprintable() or " " in local or "@" in local:
        raise ValueError(f"{text!r} is no mailbox")
    return local, _dns(domain)


def _email_presented(value: bytes) -> tuple[str, str]:
    return _email(value.decode("ascii"))


class _Kind(NamedTuple):
    registered: Callable[[str], Hashable]
    presented: Callable[[Certificate], Iterable[Hashable]]


_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.ASCII)

# Context tags of a GeneralName: RFC 5280 section 4.2.1.6.
_KINDS: Mapping[SubjectKind, _Kind] = {
    SubjectKind.DN: _Kind(parse_name, lambda certificate: (certificate.subject,)),
    SubjectKind.DNS: _Kind(_dns, _alternative(0x82, _dns_presented)),
    SubjectKind.URI: _Kind(_uri, _alternative(0x86, _uri_presented)),
    SubjectKind.IP: _Kind(_ip, _alternative(0x87, _ip_presented)),
    SubjectKind.EMAIL: _Kind(_email, _alternative(0x81, _email_presented)),
}
