"""certbound.core.scope: words, one space between (RFC 6749 section 3.3)."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certbound.core.errors import InvalidScope
from certbound.core.scope import Scope, format_scope, grant_scope, parse_scope, read_scope

WORDS = st.text([chr(c) for c in range(0x21, 0x7F) if chr(c) not in '"\\'], min_size=1, max_size=8)
ALLOWED = Scope(frozenset({"read", "write"}))


@given(st.frozensets(WORDS, min_size=1, max_size=6))
def test_a_scope_survives_text(words: frozenset[str]) -> None:
    """A scope written and read again is the same scope."""
    assert parse_scope(format_scope(Scope(words))) == words


@pytest.mark.parametrize(
    "text", ["", " ", " a", "a ", "a  b", "a\tb", "a\nb", 'a"b', "a\\b", "é", "a\x00", "a\x7f", "a\xa0b", "a\n"]
)
def test_what_is_no_scope(text: str) -> None:
    """Other characters than the RFC's, or other space than one between words, are `InvalidScope`."""
    with pytest.raises(InvalidScope):
        parse_scope(text)


@given(st.text(st.characters(exclude_categories=[]), max_size=20))
def test_any_text_is_a_scope_or_refused(text: str) -> None:
    """Arbitrary text gives a scope or `InvalidScope`, and nothing else."""
    with contextlib.suppress(InvalidScope):
        assert parse_scope(text)


def test_the_scope_of_a_token() -> None:
    """Is the words of its claim, with any space between; a claim that is no text has none."""
    for _ in range(2):  # it is known the second time
        assert read_scope("read write") == read_scope(" write\tread read ") == {"read", "write"}
        for claim in (None, "", " ", 1, ["read"], {"read": 1}, b"read"):
            assert read_scope(claim) == frozenset()


def test_what_is_granted() -> None:
    """No scope asked for is all that is allowed; a part is that part; the order and repeats do not matter."""
    assert grant_scope(None, ALLOWED) == ALLOWED
    assert grant_scope("read", ALLOWED) == {"read"}
    assert grant_scope("write read write", ALLOWED) == ALLOWED


@pytest.mark.parametrize("text", ["admin", "read admin", "READ", "", "read ", "*"])
def test_more_than_is_allowed(text: str) -> None:
    """Asking for more than is allowed, or for no scope at all in words, is `InvalidScope`, never less in silence."""
    with pytest.raises(InvalidScope):
        grant_scope(text, ALLOWED)


def test_the_answer_is_in_alphabetical_order() -> None:
    """A scope is written in one way."""
    assert format_scope(Scope(frozenset({"b", "a", "C"}))) == "C a b"
