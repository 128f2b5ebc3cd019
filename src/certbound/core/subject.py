"""The one subject a `tls_client_auth` client is known by (RFC 8705 section 2.1.2).

Rule 1: what is registered and what is presented pass through the same row of one table, so they cannot drift.
Rule 2: a name matches in its own kind only; a common name is no host name, and no name matches by a wildcard.
Rule 3: a value that could never match is refused when it is registered.
Rule 4: a certificate's names are read once, all kinds together, so no time tells which kind a client registered.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from certbound.core.alternative_names import (
    dns_is_within,
    presented_dns,
    presented_email,
    presented_ip,
    presented_uri,
    read_dns,
    read_email,
    read_ip,
    read_spiffe_id,
    read_uri,
    spiffe_id,
    trust_domain,
)
from certbound.core.certificate import CarriedNames, Certificate
from certbound.core.errors import BadCertificate, InvalidClient, InvalidClientMetadata
from certbound.core.names import (
    BadName,
    DistinguishedName,
    RdnOrder,
    format_name,
    in_any_order,
    in_reverse,
    parse_name,
)

__all__ = [
    "MAX_TEXT", "RdnOrder", "Subject", "SubjectKind", "SubjectMatch",
    "dns_is_within", "match_subject", "spiffe_id", "trust_domain",
]  # fmt: skip

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
    order: RdnOrder = RdnOrder.EXACT
    """Of a distinguished name; the other kinds have none."""
    unordered: Hashable = field(default=None, repr=False, compare=False)
    """What a certificate carries whose subject differs in the order of its RDNs alone."""

    @classmethod
    def registered(cls, kind: SubjectKind, text: str, *, order: RdnOrder = RdnOrder.EXACT) -> "Subject":
        """`InvalidClientMetadata`, naming the field, if `text` is no name of this kind."""
        if order != RdnOrder.EXACT and kind != SubjectKind.DN:
            raise InvalidClientMetadata(
                "tls_client_auth_subject_dn_order", f"belongs to {SubjectKind.DN}, not to {kind}"
            )
        if len(text) > MAX_TEXT:
            raise InvalidClientMetadata(kind, f"longer than {MAX_TEXT} characters")
        try:
            if kind == SubjectKind.DN:
                return _registered_name(text, order)
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
    read_carried(certificate)
    carried = certificate.carried[subject.kind]
    if subject.value in carried.names:
        return SubjectMatch(certificate, subject)
    if subject.unordered in carried.names:
        raise InvalidClient(_refused_for_order(certificate, subject))
    raise InvalidClient(
        carried.refusal or f"the certificate does not carry the registered {subject.kind} {subject.text!r}"
    )


def read_carried(certificate: Certificate) -> None:
    """All names in `certificate` have been read; a second time costs nothing."""
    if not certificate.carried:
        certificate.carried.update({kind: _carried(certificate, row) for kind, row in _KINDS.items()})


def _registered_name(text: str, order: RdnOrder) -> Subject:
    name = parse_name(text)
    if not name:
        raise BadName("the name is empty; it would be that of every certificate without a subject")
    unordered = in_any_order(name)
    values: Mapping[RdnOrder, Hashable] = {
        RdnOrder.EXACT: name, RdnOrder.REVERSED: in_reverse(name), RdnOrder.ANY: unordered,
    }  # fmt: skip
    return Subject(SubjectKind.DN, values[order], text, order, unordered)


def _registered_uri(text: str) -> Hashable:
    scheme, authority, rest = uri = read_uri(text)
    if scheme == "spiffe" and authority is not None:
        read_spiffe_id(f"spiffe://{authority}{rest}")  # whoever has another one has no X.509-SVID
    return uri


def _refused_for_order(certificate: Certificate, subject: Subject) -> str:
    """Only the order of the RDNs differs: what to register so that it does not."""
    name = certificate.subject
    order = RdnOrder.REVERSED if in_reverse(name) == parse_name(subject.text) else RdnOrder.ANY
    if subject.order is RdnOrder.REVERSED and name == parse_name(subject.text):
        order = RdnOrder.EXACT
    return (
        f"the certificate carries the RDNs of the registered {subject.kind} {subject.text!r} in another order; "
        f'register tls_client_auth_subject_dn_order "{order}", or the name as {format_name(certificate.subject_der)!r}'
    )


def _carried(certificate: Certificate, kind: "_Kind") -> CarriedNames:
    try:
        return CarriedNames(frozenset(kind.presented(certificate)))
    except BadCertificate as error:
        return CarriedNames(refusal=str(error))


def _presented_name(certificate: Certificate) -> tuple[DistinguishedName, Hashable]:
    return certificate.subject, in_any_order(certificate.subject)


class _Kind(NamedTuple):
    registered: Callable[[str], Hashable]
    presented: Callable[[Certificate], Iterable[Hashable]]


_KINDS: Mapping[SubjectKind, _Kind] = {
    SubjectKind.DN: _Kind(parse_name, _presented_name),
    SubjectKind.DNS: _Kind(read_dns, presented_dns),
    SubjectKind.URI: _Kind(_registered_uri, presented_uri),
    SubjectKind.IP: _Kind(read_ip, presented_ip),
    SubjectKind.EMAIL: _Kind(read_email, presented_email),
}
