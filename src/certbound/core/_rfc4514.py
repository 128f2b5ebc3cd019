r"""The text of distinguished names: RFC 4514, what RFC 2253 allowed besides, and OpenSSL's slash form to be recognised.

Rule 1: one pass, no step back: what reading costs is linear in the length, whatever the text.
Rule 2: what cannot be seen (controls, marks of direction) must be escaped, so nobody registers it by accident.
Rule 3: what is written is read back as the same text.

    name     RDN ("," or ";" RDN)*              the most specific RDN first
    RDN      type "=" value ("+" type "=" value)*
    type     a name in any case · 2.5.4.3 · OID.2.5.4.3
    value    text · "text" · #hexadecimal DER    spaces around each part mean nothing
    text     \ before any of  space " # + , ; < = > \  ·  \C3\A9 for any byte of UTF-8
"""

import re
from binascii import unhexlify
from typing import NamedTuple

from certbound.core.attributes import BadName, find_oid


class Written(NamedTuple):
    """One attribute as written: its type, and its value as text or as the DER behind a '#'."""

    oid: str
    value: str | bytes


def read(text: str, most: int) -> list[list[Written]]:
    """The RDNs in the order written.  `BadName` says what is wrong; so many attributes at most."""
    if not text.strip(" "):
        return []
    if text.lstrip(" ").startswith("/"):
        raise BadName(f"this is OpenSSL's slash form; {_advice_on_slashes(text.strip(' '))}")
    rdns: list[list[Written]] = [[]]
    position = 0
    for _ in range(most):
        oid, position = _read_type(text, position)
        value, position = _read_value(text, position)
        rdns[-1].append(Written(oid, value))
        if position == len(text):
            return rdns
        if text[position] != "+":
            rdns.append([])
        position += 1
    raise BadName(f"the name has more than {most} attributes")


def escape(text: str) -> str:
    """`text` as the value of an attribute, printable whatever it contains."""
    escaped = _SPECIAL.sub(r"\\\g<0>", text)
    if escaped.isprintable():
        return escaped
    return "".join(each if each.isprintable() else _hexadecimal(each) for each in escaped)


def _hexadecimal(character: str) -> str:
    return "".join(f"\\{byte:02X}" for byte in character.encode())


def _read_type(text: str, position: int) -> tuple[str, int]:
    found = _TYPE.match(text, position)
    if found is None:
        rest = text[position:]
        if not rest.strip(" "):
            raise BadName("the name ends in a separator, where another 'type=value' was due; it has no '='")
        part = _PART.match(rest)
        shown = part[0].strip(" ")[:40] if part else ""
        if "=" not in (part[0] if part else ""):
            raise BadName(f"{shown!r} has no '='; a comma inside a value is written '\\,'")
        raise BadName(f"{shown!r} does not begin with an attribute name")
    return find_oid(found[1]), found.end()


def _read_value(text: str, position: int) -> tuple[str | bytes, int]:
    found = _VALUE.match(text, position)
    if found is None:
        raise _bad_value(text, position)
    if found["der"] is not None:
        return _unhexlify(found["der"]), found.end()
    if found["quoted"] is not None:
        return _unescape(found["quoted"]), found.end()
    return _unescape(_without_last_spaces(found["plain"])), found.end()


def _bad_value(text: str, position: int) -> BadName:
    rest = text[position:].lstrip(" ")
    if rest.startswith("#"):
        return BadName(f"{rest[:40]!r} is not '#' and the hexadecimal DER of a value; a leading '#' is written '\\#'")
    if rest.startswith('"'):
        return BadName(f"{rest[:40]!r}: a quoted value ends in a quote, and a separator or nothing is behind it")
    end = _PLAIN.match(rest)
    at = end.end() if end else 0
    if rest[at : at + 1] == "\\":
        return BadName(f"{rest[: at + 1][-40:]!r} ends in a backslash")
    return BadName(
        f"{rest[at : at + 1]!r} behind {rest[:at][-40:]!r} must be escaped with a backslash{_how(rest[at:])}"
    )


def _how(rest: str) -> str:
    return f", as {_hexadecimal(rest[0])}, or left out: nobody sees it" if not rest[:1].isprintable() else ""


def _unhexlify(digits: str) -> bytes:
    try:
        return unhexlify(digits)
    except ValueError as error:
        raise BadName(f"'#{digits[:40]}' is not '#' and the hexadecimal DER of a value: {error}") from error


def _unescape(text: str) -> str:
    try:
        raw = text.encode()
        return (_ESCAPED.sub(_unescaped, raw) if b"\\" in raw else raw).decode()
    except UnicodeError:
        raise BadName(f"the bytes of {text[:40]!r} are not UTF-8") from None


def _unescaped(found: re.Match[bytes]) -> bytes:
    pair, special = found.groups()
    if pair:
        return unhexlify(pair)
    if special:
        return bytes(special)
    raise BadName("a backslash stands before what needs none; a backslash itself is written '\\\\'")


def _without_last_spaces(text: str) -> str:
    stripped = text.rstrip(" ")
    if stripped != text and (len(stripped) - len(stripped.rstrip("\\"))) % 2:
        return stripped + " "
    return stripped


def _advice_on_slashes(text: str) -> str:
    """How to write `text`, OpenSSL's slash form, in RFC 4514."""
    try:
        written = ",".join(map(_from_openssl, reversed(_SLASHES.split(text)[1:])))
        read(written, len(text))
    except (BadName, UnicodeError):
        written = ""
    return (
        f"write RFC 4514: {written}"
        if 0 < len(written) < _LONGEST_ADVICE
        else "write RFC 4514, for example CN=client,O=Example,C=CZ"
    )


def _from_openssl(rdn: str) -> str:
    attributes = [part.partition("=") for part in _PLUSES.split(rdn)]
    return "+".join(f"{kind}={escape(_openssl_value(value))}" for kind, _, value in attributes)


def _openssl_value(text: str) -> str:
    return _OPENSSL_ESCAPED.sub(lambda found: unhexlify(found[1]) if found[1] else found[2], text.encode()).decode()


_LONGEST_ADVICE = 1024
_UNSEEN = (
    r"\0-\x1f\x7f-\x9f\u061c\u180e\u200c-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb"
    r"\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f"
)
_TYPE = re.compile(r" *+([A-Za-z][A-Za-z0-9-]*+|(?:[Oo][Ii][Dd]\.)?[0-9][0-9.]*+) *+=", re.ASCII)
_PART = re.compile(r"[^,;+]*+")
_VALUE = re.compile(
    r" *+(?:#(?P<der>[0-9A-Fa-f]++) *+"
    rf'|"(?P<quoted>(?:[^"\\{_UNSEEN}]|\\[\x20-\x7e])*+)" *+'
    rf'|(?P<plain>(?![#"])(?:[^"+,;<>\\{_UNSEEN}]|\\[\x20-\x7e])*+))(?=[,;+]|\Z)'
)
_PLAIN = re.compile(rf'(?:[^"+,;<>\\{_UNSEEN}]|\\[\x20-\x7e])*+')
_ESCAPED = re.compile(rb'\\(?:([0-9A-Fa-f]{2})|([ "#+,;<=>\\])|)')
_SPECIAL = re.compile(r'["+,;<>\\]|\A[ #]| \Z')
_SLASHES = re.compile(r"(?<!\\)/(?=[A-Za-z0-9.-]+=)", re.ASCII)
_PLUSES = re.compile(r"(?<!\\)\+(?=[A-Za-z0-9.-]+=)", re.ASCII)
_OPENSSL_ESCAPED = re.compile(rb"\\(?:x([0-9A-Fa-f]{2})|([/+]))")
