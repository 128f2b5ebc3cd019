"""Forms as OAuth reads them (RFC 6749 section 3.2)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certbound.core.errors import InvalidRequest
from certbound.server.call import read_form


def test_a_parameter_without_value_is_absent() -> None:
    """RFC 6749 section 3.2: sent without a value is as if omitted."""
    assert read_form(b"a=&b=1").one("a") is None


def test_nothing_is_repeated() -> None:
    """Which of two would be meant?  Also of what nobody here knows, and with the same value."""
    for body in (b"a=1&a=2", b"a=1&b=1&a=1", b"%61=1&a=1"):
        with pytest.raises(InvalidRequest, match="a is repeated"):
            read_form(body)


def test_resources_and_audiences_may_be_several() -> None:
    """RFC 8707 section 2, RFC 8693 section 2.1; and one without a value is none."""
    form = read_form(b"resource=1&resource=2&audience=3&audience=4&a=&a=5")

    assert ("1", "2") == tuple(form.all("resource"))
    assert ("3", "4") == tuple(form.all("audience"))
    assert "5" == form.one("a")


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
