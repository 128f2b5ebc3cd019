"""String preparation (RFC 4518): the form in which two attribute values are compared (RFC 4517).

Rule 1: the steps of RFC 4518 in their order: transcode, map, normalize, prohibit, insignificant characters.
Rule 2: text with a character that cannot be prepared (a control, a format character, one that Unicode 14 does not
have) is compared exactly, code point by code point; it never equals text that was prepared.
Rule 3: a NUL, a bad encoding or a value beyond the bounds is no text; it is compared as tag and bytes.
Rule 4: what it costs is linear in the length, and the length is bounded.
"""

import re
import unicodedata
from collections.abc import Mapping
from typing import NamedTuple

from certbound.core import _der
from certbound.core._repertoire import is_in_repertoire
from certbound.core.attributes import Rule


class NotText(ValueError):
    """The value is compared as tag and bytes."""


class Exact(NamedTuple):
    """Text that is compared code point by code point."""

    text: str


def transcode(value: _der.Value) -> str | None:
    """The text that a value of a string type encodes; None if it is of no such type, or not encoded as it says."""
    encoding = _STRING_ENCODINGS.get(value.tag)
    if encoding is None or (value.tag == _NUMERIC_STRING and not _DIGITS.fullmatch(value.content)):
        return None
    try:
        return value.content.decode(encoding)
    except UnicodeDecodeError:
        return None


def prepare(text: str, rule: Rule) -> str | Exact:
    """The form of `text` that is compared under `rule`.  `NotText` if it has none."""
    if len(text) > _LONGEST:
        raise NotText(f"more than {_LONGEST} characters")
    if "\0" in text:
        raise NotText("the character U+0000")
    if text.isascii():
        if not text.isprintable():
            return Exact(text)
        return _finish(text if rule is Rule.CASE_EXACT else text.lower(), rule)
    if len(text) > _LONGEST_NOT_ASCII:
        raise NotText(f"more than {_LONGEST_NOT_ASCII} characters that are not all ASCII")
    if rule is Rule.CASE_IGNORE_IA5 or not is_in_repertoire(text):
        return Exact(text)
    return _finish(_normalize(_map(text), folds=rule is not Rule.CASE_EXACT), rule)


def _map(text: str) -> str:
    """RFC 4518 section 2.2, but for controls: what NFKC leaves of separators is a space; what means nothing goes."""
    return _NOTHING.sub("", _SEPARATOR.sub(" ", text))


def _normalize(text: str, *, folds: bool) -> str:
    # Normalization sorts marks, in CPython in quadratic time, and one character can become 18.  So one character is
    # decomposed at a time, which sorts little, and what comes out is counted before the whole is normalized.
    decomposed = "".join([unicodedata.normalize("NFKD", character) for character in text])
    if len(decomposed) > _LONGEST_NOT_ASCII:
        raise NotText(f"more than {_LONGEST_NOT_ASCII} characters when decomposed")
    if _TOO_MANY_MARKS.search(bytes(map(unicodedata.combining, decomposed))):
        raise NotText("more than 30 combining marks in a row")
    normalized = unicodedata.normalize("NFKC", text)
    folded = normalized.casefold() if folds else normalized
    return folded if folded == normalized else unicodedata.normalize("NFKC", folded)


def _finish(text: str, rule: Rule) -> str:
    """RFC 4518 section 2.6: what means nothing under `rule`."""
    if rule is Rule.NUMERIC:
        return _without(_SPACE, text)
    if rule is Rule.TELEPHONE:
        return _without(_HYPHEN, text)
    return _squeeze(text)


def _squeeze(text: str) -> str:
    """RFC 4518 section 2.6.1: outer spaces mean nothing, inner ones are one; a space that carries a mark is none."""
    if not text.isascii():
        for mark in filter(_is_mark, set(_BEHIND_SPACE.findall(text))):
            text = text.replace(" " + mark, "\xa0" + mark)  # NFKC has left no other U+00A0
    return (_SPACES.sub(" ", text) if "  " in text else text).strip(" ")


def _is_mark(character: str) -> bool:
    return character != "" and unicodedata.category(character).startswith("M")


def _without(insignificant: re.Pattern[str], text: str) -> str:
    """RFC 4518 sections 2.6.2 and 2.6.3.  NFKC has made the other hyphens and spaces one of these."""
    return insignificant.sub(lambda found: found[0] if _is_mark(text[found.end() : found.end() + 1]) else "", text)


_LONGEST = 512  # characters; most upper bounds of X.520 are 64
_LONGEST_NOT_ASCII = 256  # characters of text that is not ASCII: 85 of Hangul, 128 with an accent each
_TOO_MANY_MARKS = re.compile(rb"[^\0]{31}")  # in combining classes; 30 is the Stream-Safe Text Format of UAX #15
_SPACES = re.compile(" {2,}")
_BEHIND_SPACE = re.compile(r"(?<= )[^\0-\x7f]")
_SPACE = re.compile(" ")
_HYPHEN = re.compile("[ \\-\u058a\u2010\u2212]")

_NUMERIC_STRING = 0x12
_DIGITS = re.compile(rb"[0-9 ]*")
_STRING_ENCODINGS: Mapping[int, str] = {
    0x0C: "utf-8",  # UTF8String
    _NUMERIC_STRING: "ascii",
    0x13: "ascii",  # PrintableString; many CAs write characters in it that it does not have, such as '@' and '*'
    0x14: "latin-1",  # TeletexString, as everybody writes it
    0x16: "ascii",  # IA5String
    0x1A: "ascii",  # VisibleString
    0x1C: "utf-32-be",  # UniversalString
    0x1E: "utf-16-be",  # BMPString
}

_SEPARATOR = re.compile("[\u1680\u2028\u2029]")
_NOTHING = re.compile("[\xad\u034f\u1806\u180b-\u180d\u200b\ufe00-\ufe0f\ufffc]")
