"""Which names an authority may speak for (RFC 8705 section 7.4, R32): what it says of any other name counts nothing.

Rule 1: what is not listed is not permitted: an authority limited to one kind of name speaks for no other kind, and for
addresses and mailboxes, which no list has, not at all.
Rule 2: a distinguished name lies within a subtree as the certificate encodes it, a DNS name at the border of a label,
a trust domain is the whole host.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from certbound.core.alternative_names import dns_is_within, read_dns, read_uri
from certbound.core.certificate import Certificate
from certbound.core.names import DistinguishedName, is_within, parse_name
from certbound.core.subject import Subject, SubjectKind

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class NameLimit:
    """What one authority may speak for; nothing else."""

    subject_dn: tuple[DistinguishedName, ...] = ()
    """Subtrees, by their most general RDNs."""
    dns: tuple[str, ...] = ()
    """Hosts, each with what stands below it."""
    trust_domain: frozenset[str] = frozenset()
    """Hosts of URIs."""
    text: str = ""
    """What was written, for the log."""

    def __str__(self) -> str:
        return self.text

    def permits(self, subject: Subject, certificate: Certificate) -> bool:
        """Whether the authority may say that `certificate`, which carries `subject`, is that subject's."""
        row = _PERMITS.get(subject.kind)
        return row is not None and row(self, subject, certificate)


def read_limit(
    *, subject_dn: Iterable[str] = (), dns: Iterable[str] = (), trust_domain: Iterable[str] = ()
) -> NameLimit:
    """The limit that these texts write.  `ValueError` names the text that is wrong, or says that there is none."""
    written = {"subject_dn": tuple(subject_dn), "dns": tuple(dns), "trust_domain": tuple(trust_domain)}
    if not any(written.values()):
        raise ValueError(f"permits no name at all; list some under {' or '.join(written)}, or remove the anchor")
    return NameLimit(
        subject_dn=_read("subject_dn", written["subject_dn"], _read_subtree),
        dns=_read("dns", written["dns"], _read_host),
        trust_domain=frozenset(_read("trust_domain", written["trust_domain"], _read_host)),
        text="; ".join(f"{kind} {', '.join(map(repr, texts))}" for kind, texts in written.items() if texts),
    )


def _read(kind: str, texts: Iterable[str], read: Callable[[str], _T]) -> tuple[_T, ...]:
    found = []
    for text in texts:
        try:
            found.append(read(text))
        except (ValueError, UnicodeError) as error:
            raise ValueError(f"{kind} has {text!r:.120}: {error}") from error
    return tuple(found)


def _read_subtree(text: str) -> DistinguishedName:
    name = parse_name(text)
    if not name:
        raise ValueError("the name is empty; every name would be within it")
    return name


def _read_host(text: str) -> str:
    if text.startswith("."):
        raise ValueError("leave the dot at the beginning out; what stands below the host is permitted with it")
    return read_dns(text)


_PERMITS: Mapping[SubjectKind, Callable[[NameLimit, Subject, Certificate], bool]] = {
    SubjectKind.DN: lambda limit, _, certificate: any(
        is_within(certificate.subject, each) for each in limit.subject_dn
    ),
    SubjectKind.DNS: lambda limit, subject, _: any(dns_is_within(subject.text, each) for each in limit.dns),
    SubjectKind.URI: lambda limit, subject, _: read_uri(subject.text)[1] in limit.trust_domain,
}
