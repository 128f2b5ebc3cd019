"""Distinguished names: when a text (RFC 4514) and the DER of X.501 are one name (RFC 4517, RFC 5280 section 7.1).

Rule 1: both sides become the same value before they are compared; text is never compared with text.
Rule 2: within an RDN order does not matter, between RDNs it does.
Rule 3: the string type of a value does not matter; a value that is no text equals only its own tag and bytes.
Rule 4: what reading costs is bounded: attributes are counted, and a string too long or too marked is no text.
Rule 5: what is written in RFC 4514 is read back as the same name, or not written as text.
"""

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple, NewType

import idna

from certbound.core import _der, _rfc4514
from certbound.core._prepare import Exact, NotText, prepare, transcode
from certbound.core.attributes import DOMAIN_COMPONENT, TYPES, BadName, Rule

__all__ = [
    "Attribute", "BadName", "DistinguishedName", "NameStyle", "RdnOrder",
    "format_name", "in_any_order", "in_reverse", "is_within", "parse_name", "read_name",
]  # fmt: skip


class Attribute(NamedTuple):
    """One attribute in the form it is compared in: prepared text, exact text, or tag and bytes."""

    oid: str
    value: str | Exact | bytes


DistinguishedName = NewType("DistinguishedName", tuple[frozenset[Attribute], ...])
"""RDNs as encoded: the most general (`C`, `DC`) first, the reverse of how RFC 4514 writes them."""


class RdnOrder(StrEnum):
    """How the order of a registered name's RDNs is understood; `tls_client_auth_subject_dn_order`."""

    EXACT = "exact"
    """As RFC 4514 writes it, the last RDN of the certificate first."""
    REVERSED = "reversed"
    """As encoded, the first RDN of the certificate first."""
    ANY = "any"


class NameStyle(StrEnum):
    """How a name is written."""

    RFC4514 = "rfc4514"
    """What can be registered: `serialNumber=1,CN=client,O=Example,C=CZ`."""
    OPENSSL = "openssl"
    """What OpenSSL prints on one line, for people to recognise: `/C=CZ/O=Example/CN=client/serialNumber=1`."""
    BRAZIL = "brazil"
    """Open Finance Brasil: RFC 4514 with names of its section 3 only: `2.5.4.5=#130131,CN=client,O=Example,C=CZ`."""


def read_name(der: bytes) -> DistinguishedName:
    """The Name that `der` encodes.  `BadName` if it encodes none."""
    return DistinguishedName(
        tuple(_rdn([Attribute(oid, _comparable(oid, value)) for oid, value in rdn]) for rdn in _read_rdns(der))
    )


def parse_name(text: str) -> DistinguishedName:
    """The name that RFC 4514 `text` writes.  `BadName` says what is wrong and where."""
    written = _rfc4514.read(text, _MOST_ATTRIBUTES)
    return DistinguishedName(tuple(_rdn(list(map(_parsed, rdn))) for rdn in reversed(written)))


def in_reverse(name: DistinguishedName) -> DistinguishedName:
    """The name whose RDNs stand the other way round."""
    return DistinguishedName(name[::-1])


def in_any_order(name: DistinguishedName) -> Hashable:
    """What names of the same RDNs have in common, whatever their order."""
    return frozenset(Counter(name).items())


def is_within(name: DistinguishedName, subtree: DistinguishedName) -> bool:
    """Whether `name` begins, as encoded, with the RDNs of `subtree` (RFC 5280 section 7.1); all are within `()`."""
    return name[: len(subtree)] == subtree


def format_name(der: bytes, style: NameStyle = NameStyle.RFC4514) -> str:
    """The Name that `der` encodes, printable on any terminal.  `BadName` if it encodes none."""
    rdns = [[_written(oid, value, style) for oid, value in rdn] for rdn in _read_rdns(der)]
    if style is NameStyle.OPENSSL:
        return "".join(f"/{'+'.join(rdn)}" for rdn in rdns)
    return ",".join(map("+".join, reversed(rdns)))


def _read_rdns(der: bytes) -> Iterator[list[tuple[str, _der.Value]]]:
    room = _MOST_ATTRIBUTES
    try:
        for rdn in _der.read_all(_der.expect(_der.read(der), _der.SEQUENCE), _MOST_ATTRIBUTES):
            attributes = list(map(_attribute, _der.read_all(_der.expect(rdn, _der.SET), room)))
            room -= len(attributes)
            yield attributes
    except _der.DERError as error:
        raise BadName(f"not a DER name: {error}") from error


def _attribute(value: _der.Value) -> tuple[str, _der.Value]:
    parts = list(_der.read_all(_der.expect(value, _der.SEQUENCE), 2))
    if len(parts) != 2:
        raise _der.DERError("an attribute is a type and a value")
    oid, content = parts
    return _der.read_oid(_der.expect(oid, _der.OBJECT_IDENTIFIER)), content


def _rdn(attributes: Sequence[Attribute]) -> frozenset[Attribute]:
    if not attributes:
        raise BadName("an RDN has no attribute")
    rdn = frozenset(attributes)
    if len(rdn) != len(attributes):  # X.501 forbids it; as a set it would equal a name that says it once
        raise BadName("an RDN has the same attribute twice")
    return rdn


def _comparable(oid: str, value: _der.Value) -> str | Exact | bytes:
    text = transcode(value)
    if text is None:
        return value.encoded
    try:
        return prepare(text, _rule(oid))
    except NotText:
        return value.encoded


def _parsed(written: _rfc4514.Written) -> Attribute:
    oid, value = written
    if isinstance(value, bytes):
        try:
            return Attribute(oid, _comparable(oid, _der.read(value)))
        except _der.DERError as error:
            raise BadName(f"'#{value.hex()[:40]}' is not '#' and the hexadecimal DER of a value: {error}") from error
    if oid == DOMAIN_COMPONENT and not value.isascii():
        value = _to_ascii(value)
    try:
        return Attribute(oid, prepare(value, _rule(oid)))
    except NotText as error:
        raise BadName(
            f"{value[:40]!r} has {error}; if the certificate has it, write the value as '#' and its DER"
        ) from error


def _to_ascii(label: str) -> str:
    """RFC 5280 section 7.3: what a certificate carries for a domain component in another script."""
    try:
        if len(label) > _LONGEST_LABEL:
            raise idna.IDNAError(f"more than {_LONGEST_LABEL} characters")
        return idna.encode(label, uts46=True).decode("ascii")
    except UnicodeError as error:
        raise BadName(f"{label[:40]!r} is no label of a domain name: {error}") from error


def _rule(oid: str) -> Rule:
    kind = TYPES.get(oid)
    return kind.rule if kind else Rule.CASE_IGNORE


def _written(oid: str, value: _der.Value, style: NameStyle) -> str:
    if style is NameStyle.OPENSSL:
        return f"{_openssl_name(oid)}={_openssl_value(value)}"
    if oid in TYPES and (style is NameStyle.RFC4514 or oid in _RFC_4514_SECTION_3):
        text = _written_value(oid, value)
        return f"{TYPES[oid].names[0]}={text}"
    return f"{oid}=#{value.encoded.hex()}"


def _written_value(oid: str, value: _der.Value) -> str:
    text = transcode(value)
    if text is not None:
        try:
            if _parsed(_rfc4514.Written(oid, text)).value == _comparable(oid, value):
                return _rfc4514.escape(text)
        except BadName:
            pass
    return "#" + value.encoded.hex()


def _openssl_name(oid: str) -> str:
    kind = TYPES.get(oid)
    return (kind.openssl or kind.names[0]) if kind else oid


def _openssl_value(value: _der.Value) -> str:
    text = transcode(value)
    raw = value.content if text is None else text.encode()
    return "".join(_OPENSSL_ESCAPES.get(byte) or chr(byte) for byte in raw)


_MOST_ATTRIBUTES = 64
_LONGEST_LABEL = 63
_OPENSSL_ESCAPES = {ord("/"): "\\/", ord("+"): "\\+"} | {
    byte: f"\\x{byte:02X}" for byte in range(256) if not 0x20 <= byte <= 0x7E
}
_RFC_4514_SECTION_3 = frozenset(
    {
        "2.5.4.3", "2.5.4.7", "2.5.4.8", "2.5.4.10", "2.5.4.11", "2.5.4.6", "2.5.4.9",
        "0.9.2342.19200300.100.1.25", "0.9.2342.19200300.100.1.1",
    }
)  # fmt: skip
