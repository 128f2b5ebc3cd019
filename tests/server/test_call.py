"""Forms as OAuth reads them (RFC 6749 section 3.2)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certbound.core.errors import InvalidRequest
from certbound.server.call import read_form


def test_a_parameter_without_value_is_absent() -> None:
    """RFC 6749 section 3.2: sent without a value is as if omitted."""
    assert read_form(b"a=&b=1").one("a") is None


def test_a_repeated_parameter_is_refused_when_one_is_asked_for() -> None:
    """Which of two would be meant?"""
    form = read_form(b"a=1&a=2&b=3")

    with pytest.raises(InvalidRequest, match="a is repeated"):
        form.one("a")
    assert ("1", "2") == tuple(form.all("a"))
    assert "3" == form.require("b")


def test_a_missing_parameter_is_named() -> None:
    """The sender learns which one."""
    with pytest.raises(InvalidRequest, match="client_id is missing"):
        read_form(b"").require("client_id")


@pytest.mark.parametrize("body", [b"a", b"a=%zz%ff", b"\xff=1", b"&".join([b"a=1"] * 65)])
def test_what_is_no_form_is_refused(body: bytes) -> None:
    """Not guessed at."""
    with pytest.raises(InvalidRequest):
        read_form(body)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_form_or_an_invalid_request(body: bytes) -> None:
    """No other exception leaves the reader."""
    try:
        form = read_form(body)
    except InvalidRequest:
        return
    assert all(value for values in form.values.values() for value in values)
