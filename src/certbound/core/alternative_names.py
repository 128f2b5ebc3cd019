"""Subject alternative names (RFC 5280 sections 4.2.1.6 and 7, RFC 9598): what is registered, what a certificate has.

Rule 1: each kind is read from its own kind of GeneralName, as bytes; a text in another kind is another name.
Rule 2: the registered and the presented form of a kind are read by the same function.
Rule 3: no wildcard on either side, and nothing that a resolver or a library would have to guess.
"""

import ipaddress
import re
import unicodedata
from collections.abc import Callable, Hashable, Iterator
from typing import TypeVar

import idna

from certbound.core import _der
from certbound.core.certificate import Certificate
from certbound.core.errors import BadCertificate

_Name = TypeVar("_Name")


def read_dns(text: str) -> str:
    """A DNS name in small letters and A-labels."""
    if len(text) > _LONGEST_DNS_NAME:
        raise ValueError(f"{text[:80]!r} is longer than any DNS name")
    name = text.lower() if text.isascii() else idna.encode(text, uts46=True).decode("ascii")
    if "*" in name:
        raise ValueError("a wildcard matches nothing; register the name itself")
    if name.endswith("."):
        raise ValueError("a DNS name in a certificate has no dot at its end; leave it out")
    labels = name.split(".")
    if "_" in name:
        raise ValueError(f"{text[:80]!r} has an underscore, which no host name has: every path with it is refused")
    if len(name) > _LONGEST_DNS_NAME or not all(map(_LABEL.fullmatch, labels)):
        raise ValueError(f"{text[:80]!r} is no DNS name")
    if labels[-1].isdigit():
        raise ValueError(f"{text[:80]!r} is no DNS name but an address, which is a name of another kind")
    return name


def read_uri(text: str) -> tuple[str, str | None, str]:
    """Scheme and host fold case (RFC 3986 section 6.2.2.1); the rest is exact."""
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(
            f"{text[:80]!r} is no URI: it has characters that must be percent-encoded, or be an A-label in a host"
        )
    found = _URI.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:40]!r} is no absolute URI")
    scheme, userinfo, host, rest = found.group("scheme", "userinfo", "host", "rest")
    if host is None:  # no authority is not an empty one: `a:/b` is not `a:///b`
        if not rest or rest.startswith("//"):
            raise ValueError(f"{text[:40]!r} is no absolute URI")
        return scheme.lower(), None, rest
    return scheme.lower(), userinfo + host.lower(), rest


def read_spiffe_id(text: str) -> str:
    """The SPIFFE ID of a workload, exact."""
    if len(text) > _LONGEST_SPIFFE_ID or not (found := _SPIFFE_ID.fullmatch(text)):
        raise ValueError(f"{text[:80]!r} is no SPIFFE ID")
    if not found["path"]:
        raise ValueError(f"{text[:80]!r} names a trust domain, not a workload in one")
    return text


def read_ip(text: str) -> bytes:
    """The octets (RFC 5952 section 8); IPv4 and IPv4-mapped IPv6 are different octets."""
    if "%" in text:
        raise ValueError("a zone id has no place in a certificate")
    try:
        return ipaddress.ip_address(text).packed
    except ValueError:
        raise ValueError(
            f"{text[:40]!r} is no address: four numbers up to 255, none with a zero before it, or IPv6"
        ) from None


def read_email(text: str) -> tuple[str, str]:
    """The local part is exact, the domain folds case (RFC 5280 section 7.5, RFC 9598 section 5)."""
    local, _, domain = text.rpartition("@")
    if not local or "@" in local or any(unicodedata.category(each) in _NOT_IN_MAILBOXES for each in local):
        raise ValueError(f"{text[:80]!r} is no mailbox")
    return local, read_dns(domain)


def presented_dns(certificate: Certificate) -> Iterator[str]:
    """Every dNSName that could be registered."""
    return _presented(certificate, DNS_NAME, lambda value: read_dns(value.decode("ascii")))


def presented_uri(certificate: Certificate) -> Iterator[Hashable]:
    """Every uniformResourceIdentifier that could be registered."""
    return _presented(certificate, URI, lambda value: read_uri(value.decode("ascii")))


def presented_ip(certificate: Certificate) -> Iterator[bytes]:
    """Every iPAddress of 4 or 16 octets."""
    return _presented(certificate, IP_ADDRESS, _octets)


def presented_email(certificate: Certificate) -> Iterator[tuple[str, str]]:
    """Every rfc822Name and SmtpUTF8Mailbox that could be registered."""
    yield from _presented(certificate, RFC822_NAME, lambda value: read_email(value.decode("ascii")))
    yield from _presented(certificate, OTHER_NAME, _smtp_utf8_mailbox)


def dns_is_within(name: str, suffix: str) -> bool:
    """Whether `name` is `suffix` or lies below it (RFC 5280 section 4.2.1.10).  `ValueError` if `suffix` is no name."""
    within = read_dns(suffix)
    try:
        return f".{read_dns(name)}".endswith(f".{within}")
    except ValueError:
        return False


def spiffe_id(certificate: Certificate) -> str:
    """The SPIFFE ID of an X.509-SVID leaf.  `BadCertificate` unless its one URI is one, of a workload."""
    uris = [name.value for name in certificate.alternative_names if name.tag == URI]
    if len(uris) != 1:
        raise BadCertificate(f"an X.509-SVID has exactly one URI among its alternative names, not {len(uris)}")
    try:
        return read_spiffe_id(uris[0].decode("ascii", errors="replace"))
    except ValueError as error:
        raise BadCertificate(str(error)) from error


def trust_domain(spiffe: str) -> str:
    """The trust domain of a SPIFFE ID as `spiffe_id` gives it."""
    return spiffe.split("/", 3)[2]


def _presented(certificate: Certificate, tag: int, read: Callable[[bytes], _Name]) -> Iterator[_Name]:
    for name in certificate.alternative_names:
        if name.tag == tag:
            try:
                yield read(name.value)
            except ValueError:
                continue  # a name that nobody could register matches nothing


def _octets(value: bytes) -> bytes:
    if len(value) not in (4, 16):
        raise ValueError("an address has 4 or 16 octets")
    return value


def _smtp_utf8_mailbox(value: bytes) -> tuple[str, str]:
    kind, wrapped = _der.read_all(value, 2)
    if kind.encoded != _SMTP_UTF8_MAILBOX:
        raise ValueError("another kind of name")
    text = _der.expect(_der.read(_der.expect(wrapped, _EXPLICIT_0)), _UTF8_STRING).decode()
    local, _, domain = text.rpartition("@")
    if local.isascii() or not domain.isascii():  # RFC 9598 section 3: such mailboxes are written otherwise
        raise ValueError("no mailbox of RFC 9598")
    return read_email(text)


# Context tags of a GeneralName: RFC 5280 section 4.2.1.6.
OTHER_NAME, RFC822_NAME, DNS_NAME, URI, IP_ADDRESS = 0xA0, 0x81, 0x82, 0x86, 0x87

_EXPLICIT_0, _UTF8_STRING = 0xA0, 0x0C
_SMTP_UTF8_MAILBOX = bytes.fromhex("06082b06010505070809")  # 1.3.6.1.5.5.7.8.9
_NOT_IN_MAILBOXES = frozenset({"Cc", "Cf", "Cs", "Zs", "Zl", "Zp"})
_LONGEST_DNS_NAME = 253
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)", re.ASCII)
_URI = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):"
    r"(?://(?P<userinfo>(?:[^/?#@]*@)?)(?P<host>[^/?#@\[\]]*|\[[^/?#@\[\]]*\](?::[0-9]*)?)(?=[/?#]|\Z))?(?P<rest>.*)",
    re.ASCII,
)
_LONGEST_SPIFFE_ID = 2048
_SPIFFE_ID = re.compile(r"spiffe://[a-z0-9._-]{1,255}(?P<path>(?:/(?!\.\.?(?:/|\Z))[A-Za-z0-9._-]+)*)", re.ASCII)
