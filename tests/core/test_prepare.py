"""certbound.core._prepare: RFC 4518 step by step, the same under every Python."""

import runpy
import stringprep
import sys
import unicodedata
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certbound.core import _der
from certbound.core._prepare import Exact, NotText, prepare, transcode
from certbound.core._repertoire import RUNS, is_in_repertoire
from certbound.core.attributes import Rule
from certificates import tlv

IGNORE = Rule.CASE_IGNORE


@pytest.mark.parametrize("code", [0x00AD, 0x034F, 0x1806, 0x180B, 0x180C, 0x180D, 0x200B, 0xFE00, 0xFE0F, 0xFFFC])
def test_map_to_nothing(code: int) -> None:
    """What RFC 4518 section 2.2 maps to nothing and is no control function disappears."""
    assert prepare(f"a{chr(code)}b", IGNORE) == "ab"


@pytest.mark.parametrize("code", [0x20, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000])
def test_map_to_space(code: int) -> None:
    """Every separator is a space (RFC 4518 section 2.2)."""
    assert prepare(f" a {chr(code)}{chr(code)} b{chr(code)}", IGNORE) == "a b"
    assert unicodedata.category(chr(code)) in {"Zs", "Zl", "Zp"}


def test_every_separator_is_among_them() -> None:
    """No separator of Unicode is left as it is."""
    for code in range(sys.maxunicode + 1):
        if unicodedata.category(chr(code)) in {"Zs", "Zl", "Zp"}:
            assert prepare(f"a{chr(code)}b", IGNORE) == "a b"


@pytest.mark.parametrize(
    "code",
    [*range(0x01, 0x20), *range(0x7F, 0xA0), 0x06DD, 0x070F, 0x180E, *range(0x200C, 0x2010), *range(0x202A, 0x202F),
     *range(0x2060, 0x2064), *range(0x206A, 0x2070), 0xFEFF, *range(0xFFF9, 0xFFFC), *range(0x1D173, 0x1D17B), 0xE0001,
     *range(0xE0020, 0xE0080)],
)  # fmt: skip
def test_control_functions_stay(code: int) -> None:
    """What RFC 4518 section 2.2 would drop, or make a space, of controls makes the text exact: our one deviation."""
    assert prepare(f"A{chr(code)}b", IGNORE) == Exact(f"A{chr(code)}b")


@pytest.mark.parametrize(
    "text", ["a\ue000", "a\ufffd", "a\uffff", "a\U0010ffff", "a\u0378", "a\U0001fae8", "a\u1c89", "a\U000e0100"]
)
def test_what_unicode_14_does_not_have_stays(text: str) -> None:
    """Private, unassigned and newer characters, noncharacters and U+FFFD make the text exact, under every Python."""
    assert prepare(text.upper(), IGNORE) == Exact(text.upper())
    assert prepare(text, IGNORE) != prepare(text.upper(), IGNORE)


NOTHING = {0xAD, 0x034F, 0x1806, 0x180B, 0x180C, 0x180D, 0x200B, *range(0xFE00, 0xFE10), 0xFFFC}
CORRECTED = {0x2F868, 0x2F874, 0x2F91F, 0x2F95F, 0x2F9BF}
"""Ideographs whose decomposition in Unicode 3.2 was a mistake (Corrigendum #4)."""
CHEROKEE = range(0x13A0, 0x13F6)
"""`stringprep` folds them to small letters, of which Unicode 3.2 and RFC 3454 knew nothing."""


def test_every_character_of_unicode_3_2() -> None:
    """All 95,024 that are no controls are prepared as RFC 4518 and RFC 3454 say, but for five mistakes."""
    old = unicodedata.ucd_3_2_0
    deviations = set()
    asked = 0
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        category = old.category(character)
        if (category in {"Cc", "Cf", "Cn", "Co", "Cs"} and code not in NOTHING) or code == 0xFFFD:
            continue
        asked += 1
        separator = category in {"Zs", "Zl", "Zp"}
        mapped = "" if code in NOTHING else " " if separator else stringprep.map_table_b2(character)
        expected = old.normalize("NFKC", f"x{mapped}x")
        if str(prepare(f"X{character}X", IGNORE)).replace("\u00a0", " ") != expected:
            deviations.add(code)
    assert asked == 95_024
    assert deviations - set(CHEROKEE) == CORRECTED


def test_exact_text_never_equals_prepared_text() -> None:
    """The two forms are different values, whatever is in them."""
    assert Exact("a") != "a"
    assert Exact("a") == Exact("a")
    assert hash(Exact("a")) == hash(Exact("a"))


def test_a_nul_is_no_text() -> None:
    """A NUL is refused under every rule, wherever it stands."""
    for rule, text in product(Rule, ("\0", "a\0", "\0a", "a\0é", "\U0001fae8\0")):
        with pytest.raises(NotText, match=r"U\+0000"):
            prepare(text, rule)


@pytest.mark.parametrize(
    ("rule", "given", "prepared"),
    [
        (Rule.CASE_IGNORE, "  A  B ", "a b"),
        (Rule.CASE_IGNORE, "", ""),
        (Rule.CASE_IGNORE, "   ", ""),
        (Rule.CASE_IGNORE, "Straße", "strasse"),
        (Rule.CASE_IGNORE, "\u00a8", "\u00a0\u0308"),
        (Rule.CASE_IGNORE, "a  \u0301b  c", "a \u00a0\u0301b c"),
        (Rule.CASE_IGNORE, "a \u0903", "a\u00a0\u0903"),
        (Rule.CASE_IGNORE_IA5, "  A  B ", "a b"),
        (Rule.CASE_IGNORE_IA5, "Ｋ", Exact("Ｋ")),
        (Rule.CASE_EXACT, "  A  B ", "A B"),
        (Rule.CASE_EXACT, "Ａ  Ｂ", "A B"),
        (Rule.CASE_EXACT, "ß", "ß"),
        (Rule.NUMERIC, " 12 3 4 ", "1234"),
        (Rule.NUMERIC, " ", ""),
        (Rule.NUMERIC, "１２ ３", "123"),
        (Rule.TELEPHONE, "+420 123-456", "+420123456"),
        (Rule.TELEPHONE, "-\u058a\u2010\u2011\u2212\ufe63\uff0d1", "1"),
        (Rule.TELEPHONE, "TEL-1", "tel1"),
        (Rule.TELEPHONE, "1-\u0301- \u03012 ", "1-\u0301 \u03012"),
        (Rule.NUMERIC, "1 \u03012 3", "1 \u030123"),
    ],
)
def test_rules(rule: Rule, given: str, prepared: str | Exact) -> None:
    """Case, spaces and hyphens mean what the matching rule says (RFC 4518 section 2.6)."""
    assert prepare(given, rule) == prepared


@pytest.mark.parametrize(
    ("tag", "content", "text"),
    [
        (0x0C, b"\xc3\xa9", "é"), (0x12, b"1 2", "1 2"), (0x12, b"1a", None), (0x13, b"a@*", "a@*"),
        (0x13, b"\xe9", None),
        (0x14, b"\xe9", "é"), (0x16, b"a", "a"), (0x16, b"\x80", None), (0x1A, b"a", "a"), (0x1C, b"\0\0\0a", "a"),
        (0x1C, b"\0\0a", None), (0x1C, b"\0\0\xd8\0", None), (0x1E, b"\0a", "a"), (0x1E, b"a", None),
        (0x1E, b"\xd8\0", None), (0x1E, b"\xd8\x35\xdd\x20", "\U0001d520"), (0x1E, b"\xfe\xff\0a", "\ufeffa"),
        (0x0C, b"\xef\xbb\xbfa", "\ufeffa"), (0x0C, b"\xc0\x80", None), (0x0C, b"\xed\xa0\x80", None),
        (0x04, b"a", None), (0x2C, b"a", None), (0x8C, b"a", None),
    ],
)  # fmt: skip
def test_transcode(tag: int, content: bytes, text: str | None) -> None:
    """A value of a string type is the text it encodes; any other value, and any bad encoding, is none."""
    assert transcode(_der.read(tlv(tag, content))) == text


def test_the_repertoire_is_unicode_14() -> None:
    """The table holds every character of Unicode 14 that is compared as text, and no other."""
    script = runpy.run_path(str(Path(__file__).parent.parent / "vectors" / "make_repertoire.py"))
    if unicodedata.unidata_version == "14.0.0":
        assert script["table"]().split() == RUNS.split()
    members = [code for code in range(sys.maxunicode + 1) if is_in_repertoire(chr(code))]
    assert len(members) == 144_295
    assert all(script["is_comparable"](code) for code in members)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), st.sampled_from(Rule))
def test_preparing_again_changes_nothing(text: str, rule: Rule) -> None:
    """A prepared text is its own prepared form, so registering what was compared means the same."""
    try:
        once = prepare(text, rule)
    except NotText:
        return
    if isinstance(once, str):
        assert prepare(once.replace("\u00a0", " "), rule) == once


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]))
def test_normal_forms_are_one(text: str, form: str) -> None:
    """A text and its normal forms are prepared alike, where they are prepared."""
    try:
        first, second = prepare(text, IGNORE), prepare(unicodedata.normalize(form, text), IGNORE)
    except NotText:
        return
    if isinstance(first, str):
        assert first == second
