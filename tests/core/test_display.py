"""certbound.core.display: text of others is shown on one line and never run (R34)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certbound.core.display import shown


@given(st.text(st.characters(exclude_categories=[])))
def test_anything_is_shown_on_one_printable_line(text: str) -> None:
    """Whatever a name holds, what is shown is printable and on one line, and can be written anywhere."""
    assert shown(text).isprintable()
    assert shown(text).encode("utf-8").decode("utf-8") == shown(text)


@pytest.mark.parametrize("text", ["", "client", "Kávě, s.r.o.", "日本", 'a "b" \\c'])
def test_printable_text_is_shown_as_it_is(text: str) -> None:
    """Text of any language is left alone."""
    assert shown(text) == text


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\nb\r", "a\\nb\\r"),
        ("a\x00", "a\\x00"),
        ("\u202eevil", "\\u202eevil"),
        ("\u200b", "\\u200b"),
        ("\ud800", "\\ud800"),
        ("\u2028", "\\u2028"),
    ],
)
def test_what_is_not_printable_is_escaped(text: str, line: str) -> None:
    """Controls, escape codes, bidi marks, invisible and half characters are shown as escapes."""
    assert shown(text) == line
