"""certbound.core.display: text of others is shown on one line and never run (R34)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certbound.core.display import bounded, hash_name, redacted, shown


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


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("cbat_abcDEF-_012", "cbat_…"),
        ("a cbcs_abc, b", "a cbcs_…, b"),
        ("Bearer eyJhbGciOiJFUzI1NiJ9.e30.c2ln!", "Bearer eyJ…!"),
        ("eyJhbGciOiJFUzI1NiJ9", "eyJ…"),
        ("-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----\nb", "-----BEGIN …\nb"),
        ("-----BEGIN CERTIFICATE-----\nabc", "-----BEGIN …"),
    ],
)
def test_secrets_keep_their_kind_only(text: str, left: str) -> None:
    """Tokens and secrets of this server, JWTs, PEM; whole or cut off."""
    assert redacted(text) == left


@pytest.mark.parametrize("text", ["", "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg", "cb_shop", "abcb_de", "a ----- b"])
def test_what_is_no_secret_stays(text: str) -> None:
    """Thumbprints and names among it."""
    assert redacted(text) == text


@pytest.mark.parametrize(
    ("digest", "name"), [("n4bQgYhMfWW", "n4bQgYhM"), ("-4bQgYhMfWW", "4bQgYhMf"), ("--b-gYhMfWW", "b-gYhMfW")]
)
def test_what_people_type_begins_with_no_dash(digest: str, name: str) -> None:
    """A command would take it for an option, of one hash in 64."""
    assert hash_name(digest) == name


@given(st.text(st.characters(exclude_categories=[])), st.integers(min_value=2, max_value=50))
def test_bounded_text_is_short_and_printable(text: str, most: int) -> None:
    """Whatever is given."""
    assert len(bounded(text, most)) <= most
    assert bounded(text, most).isprintable()
