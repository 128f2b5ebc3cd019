"""Distinguished names: the text of RFC 4514, the DER of X.501, and when the two are one name (RFC 4517).

Rule 1: both sides become the same value before they are compared; text is never compared with text.
Rule 2: within an RDN order does not matter, between RDNs it does.
Rule 3: the string type of a value does not matter; a value that is no clean string equals only its own bytes.
Rule 4: what reading costs is bounded: attributes are counted, and a string too long or too marked is not clean.
"""

import re
import unicodedata
from binascii import unhexlify
from collections.abc import Mapping, Sequence
from typing import NamedTuple, NewType

from certbound.core import _der


class BadName(ValueError):
    """The text or the bytes are no distinguished name."""


class Attribute(NamedTuple):
    """One attribute in the form it is compared in: prepared text, or tag and bytes."""

    oid: str
    value: str | bytes


DistinguishedName = NewType("DistinguishedName", tuple[frozenset[Attribute], ...])
"""RDNs as encoded: the most general (`C`, `DC`) first, the reverse of how RFC 4514 writes them."""


def read_name(der: bytes) -> DistinguishedName:
    """The Name that `der` encodes.  `BadName` if it encodes none."""
    rdns = []
    room = _MOST_ATTRIBUTES
    try:
        for rdn in _der.read_all(_der.expect(_der.read(der), _der.SEQUENCE), _MOST_ATTRIBUTES):
            attributes = list(map(_attribute, _der.read_all(_der.expect(rdn, _der.SET), room)))
            room -= len(attributes)
            rdns.append(_rdn(attributes))
    except _der.DERError as error:
        raise BadName(f"not a DER name: {error}") from error
    return DistinguishedName(tuple(rdns))


def parse_name(text: str) -> DistinguishedName:
    """The name that RFC 4514 `text` writes.  `BadName` says what is wrong and where."""
    if not text.strip():
        raise BadName("the name is empty")
    if text.lstrip().startswith("/"):
        raise BadName("this is OpenSSL's slash form; write RFC 4514, for example CN=client,O=Example,C=CZ")
    written = [_split(rdn, "+") for rdn in _split(text, ",")]
    if sum(map(len, written)) > _MOST_ATTRIBUTES:
        raise BadName(f"the name has more than {_MOST_ATTRIBUTES} attributes")
    rdns = [_rdn(list(map(_parse_attribute, rdn))) for rdn in written]
    return DistinguishedName(tuple(reversed(rdns)))


def _rdn(attributes: Sequence[Attribute]) -> frozenset[Attribute]:
    rdn = frozenset(attributes)
    if len(rdn) != len(attributes):  # X.501 forbids it; as a set it would equal a name that says it once
        raise BadName("an RDN has the same attribute twice")
    return rdn


def _attribute(value: _der.Value) -> Attribute:
    parts = list(_der.read_all(_der.expect(value, _der.SEQUENCE), 2))
    if len(parts) != 2:
        raise _der.DERError("an attribute is a type and a value")
    oid, content = parts
    return Attribute(_der.read_oid(_der.expect(oid, _der.OBJECT_IDENTIFIER)), _comparable(content))


def _comparable(value: _der.Value) -> str | bytes:
    encoding = _STRING_ENCODINGS.get(value.tag)
    try:
        return _prepare(value.content.decode(encoding)) if encoding else value.encoded
    except (UnicodeDecodeError, _Prohibited):
        return value.encoded


def _parse_attribute(text: str) -> Attribute:
    kind, equals, value = text.partition("=")
    if not equals:
        raise BadName(f"{text.strip()!r} has no '='")
    return Attribute(_oid(kind.strip()), _parse_value(value))


def _oid(kind: str) -> str:
    name = kind.lower().removeprefix("oid.")
    if _DOTTED.fullmatch(name):
        return name
    try:
        return ATTRIBUTES[name]
    except KeyError:
        raise BadName(
            f"{kind!r} is no attribute name known here; write its object identifier in dotted decimal"
        ) from None


def _parse_value(text: str) -> str | bytes:
    text = _strip_unescaped(text)
    if text.startswith("#"):
        try:
            return _comparable(_der.read(unhexlify(text[1:])))
        except ValueError as error:
            raise BadName(f"{text!r} is not '#' and the hexadecimal DER of a value: {error}") from error
    try:
        return _prepare(_unescape(text))
    except _Prohibited as error:
        raise BadName(f"{text!r} contains {error}") from error


def _unescape(text: str) -> str:
    raw = bytearray()
    position = 0
    while position < len(text):
        character = text[position]
        if character == "\\":
            pair = text[position + 1 : position + 3]
            if _HEX_PAIR.fullmatch(pair):
                raw.append(int(pair, 16))
                position += 3
                continue
            if not pair or pair[0] not in _ESCAPABLE:
                raise BadName(f"{text!r} ends in or escapes with a backslash what needs none")
            raw += pair[0].encode()
            position += 2
            continue
        if character in _MUST_BE_ESCAPED:
            raise BadName(f"{character!r} in {text!r} must be escaped with a backslash")
        raw += character.encode(errors="surrogatepass")
        position += 1
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise BadName(f"the escaped bytes of {text!r} are not UTF-8") from None


def _split(text: str, separator: str) -> list[str]:
    parts = [""]
    escaped = False
    for character in text:
        if character == separator and not escaped:
            parts.append("")
        else:
            parts[-1] += character
        escaped = character == "\\" and not escaped
    return parts


def _strip_unescaped(text: str) -> str:
    text = text.lstrip(" ")
    stripped = text.rstrip(" ")
    if stripped != text and stripped.endswith("\\") and (len(stripped) - len(stripped.rstrip("\\"))) % 2:
        return stripped + " "
    return stripped


class _Prohibited(ValueError):
    """What no prepared string may contain: a character (RFC 4518 section 2.4), or too many of them."""


def _prepare(text: str) -> str:
    """RFC 4518: normalize, refuse what is prohibited, fold case, fold space."""
    if len(text) > _LONGEST:
        raise _Prohibited(f"more than {_LONGEST} characters")
    folded = text.lower() if text.isascii() else _fold(text)
    if not folded.isprintable():  # the quick question first: what is prohibited is never printable
        for character in folded:
            if unicodedata.category(character) in _PROHIBITED_CATEGORIES:
                raise _Prohibited(f"the character U+{ord(character):04X}")
    return _SPACES.sub(" ", folded).strip(" ")


def _fold(text: str) -> str:
    # Normalization sorts marks, in CPython in quadratic time, and one character can become 18.  So one character is
    # decomposed at a time, which sorts little, and what comes out is counted before the whole is normalized.
    decomposed = "".join([unicodedata.normalize("NFKD", character) for character in text])
    if len(decomposed) > _LONGEST_DECOMPOSED:
        raise _Prohibited(f"more than {_LONGEST_DECOMPOSED} characters when decomposed")
    if _TOO_MANY_MARKS.search(bytes(map(unicodedata.combining, decomposed))):
        raise _Prohibited("more than 30 combining marks in a row")
    normalized = unicodedata.normalize("NFKC", text)
    folded = normalized.casefold()
    return folded if folded == normalized else unicodedata.normalize("NFKC", folded)


_MOST_ATTRIBUTES = 64
_LONGEST = 512  # characters; most upper bounds of X.520 are 64
_LONGEST_DECOMPOSED = 256  # characters of text that is not ASCII: 85 of Hangul, 128 with an accent each
_TOO_MANY_MARKS = re.compile(rb"[^\0]{31}")  # in combining classes; 30 is the Stream-Safe Text Format of UAX #15
_DOTTED = re.compile(r"[0-2](\.(0|[1-9][0-9]*))+", re.ASCII)
_SPACES = re.compile(" {2,}")
_HEX_PAIR = re.compile(r"[0-9A-Fa-f]{2}", re.ASCII)
_ESCAPABLE = ' "#+,;<=>\\'
_MUST_BE_ESCAPED = '"+,;<>\x00'
_PROHIBITED_CATEGORIES = frozenset({"Cc", "Cs", "Co", "Cn"})

_STRING_ENCODINGS: Mapping[int, str] = {
    0x0C: "utf-8",  # UTF8String
    0x12: "ascii",  # NumericString
    0x13: "ascii",  # PrintableString
    0x14: "latin-1",  # TeletexString, as everybody writes it
    0x16: "ascii",  # IA5String
    0x1C: "utf-32-be",  # UniversalString
    0x1E: "utf-16-be",  # BMPString
}

ATTRIBUTES: Mapping[str, str] = {
    "cn": "2.5.4.3",
    "commonname": "2.5.4.3",
    "sn": "2.5.4.4",
    "surname": "2.5.4.4",
    "serialnumber": "2.5.4.5",
    "c": "2.5.4.6",
    "countryname": "2.5.4.6",
    "l": "2.5.4.7",
    "localityname": "2.5.4.7",
    "st": "2.5.4.8",
    "stateorprovincename": "2.5.4.8",
    "street": "2.5.4.9",
    "streetaddress": "2.5.4.9",
    "o": "2.5.4.10",
    "organizationname": "2.5.4.10",
    "ou": "2.5.4.11",
    "organizationalunitname": "2.5.4.11",
    "title": "2.5.4.12",
    "businesscategory": "2.5.4.15",
    "postalcode": "2.5.4.17",
    "givenname": "2.5.4.42",
    "gn": "2.5.4.42",
    "dnqualifier": "2.5.4.46",
    "pseudonym": "2.5.4.65",
    "organizationidentifier": "2.5.4.97",
    "uid": "0.9.2342.19200300.100.1.1",
    "userid": "0.9.2342.19200300.100.1.1",
    "dc": "0.9.2342.19200300.100.1.25",
    "domaincomponent": "0.9.2342.19200300.100.1.25",
    "emailaddress": "1.2.840.113549.1.9.1",
    "e": "1.2.840.113549.1.9.1",
    "jurisdictionlocalityname": "1.3.6.1.4.1.311.60.2.1.1",
    "jurisdictionstateorprovincename": "1.3.6.1.4.1.311.60.2.1.2",
    "jurisdictioncountryname": "1.3.6.1.4.1.311.60.2.1.3",
}
