"""certbound.core._der: tag, length, value, and no guess."""

import contextlib

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from certbound.core import _der
from certificates import tlv

TAGS = st.integers(0, 255).filter(lambda tag: tag & 0x1F != 0x1F)


@given(TAGS, st.binary(max_size=400))
def test_a_value_reads_as_it_was_written(tag: int, content: bytes) -> None:
    """What was encoded comes back as its tag and its bytes, whatever they are."""
    encoded = tlv(tag, content)
    assert _der.read(encoded) == (tag, content, encoded)


@given(st.lists(st.tuples(TAGS, st.binary(max_size=140)), max_size=6))
def test_values_one_behind_the_other(values: list[tuple[int, bytes]]) -> None:
    """Values that stand one behind the other come back in order, all of them."""
    content = b"".join(tlv(*value) for value in values)
    assert [(each.tag, each.content) for each in _der.read_all(content)] == values


@given(st.binary(max_size=80))
def test_any_bytes_are_values_or_refused(data: bytes) -> None:
    """Arbitrary bytes give values that encode back to the same bytes, or `DERError`, and nothing else."""
    try:
        values = list(_der.read_all(data))
    except _der.DERError:
        return
    assert b"".join(tlv(each.tag, each.content) for each in values) == data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x04",
        b"\x04\x02a",
        b"\x04\x01ab",
        b"\x04\x80a\x00\x00",
        b"\x04\x81\x01a",
        b"\x04\x82\x00\x80" + b"a" * 128,
        b"\x04\x85\x00\x00\x00\x00\x01a",
        b"\x04\x84\xff\xff\xff\xff",
        b"\x1f\x81\x01\x00",
    ],
    ids=[
        "nothing", "tag alone", "cut off", "byte behind", "indefinite", "long form for 1", "leading zero",
        "five octets of length", "four gigabytes", "tag of two bytes",
    ],
)  # fmt: skip
def test_what_is_not_one_value_is_refused(data: bytes) -> None:
    """A length that is not minimal, indefinite or past the end, and a byte behind, are `DERError`."""
    with pytest.raises(_der.DERError):
        _der.read(data)


def test_expect_refuses_another_tag() -> None:
    """A value of another tag than the one that was due is `DERError`."""
    value = _der.read(tlv(0x04, b"a"))
    assert _der.expect(value, _der.OCTET_STRING) == b"a"
    with pytest.raises(_der.DERError):
        _der.expect(value, _der.SEQUENCE)


@pytest.mark.parametrize(
    "dotted", ["2.5.4.3", "0.9.2342.19200300.100.1.25", "1.2.840.113549.1.9.1", "2.999.3", "1.39.1"]
)
def test_object_identifiers(dotted: str) -> None:
    """An object identifier reads as the dotted decimal that `cryptography` writes it from."""
    name = x509.Name([x509.NameAttribute(x509.ObjectIdentifier(dotted), "AA")]).public_bytes()
    attribute = _der.read(_der.read(_der.read(name).content).content)
    kind = next(_der.read_all(attribute.content))
    assert _der.read_oid(_der.expect(kind, _der.OBJECT_IDENTIFIER)) == dotted


@pytest.mark.parametrize("content", [b"", b"\x80\x01", b"\x55\x84", b"\x55\x80\x04", b"\x55" + b"\xff" * 100 + b"\x7f"])
def test_bad_object_identifiers_are_refused(content: bytes) -> None:
    """One that is empty, not minimal, cut off, or absurdly long is `DERError`."""
    with pytest.raises(_der.DERError):
        _der.read_oid(content)


@given(st.binary(max_size=20_000))
def test_any_bytes_are_an_object_identifier_or_refused(content: bytes) -> None:
    """Arbitrary bytes give dotted decimal or `DERError`, and nothing else."""
    with contextlib.suppress(_der.DERError):
        assert set(_der.read_oid(content)) <= set("0123456789.")


def test_a_long_object_identifier_is_refused_before_it_costs() -> None:
    """An arc of thousands of octets is `DERError`, not the `ValueError` of a number too long to print."""
    with pytest.raises(_der.DERError):
        _der.read_oid(b"\xff" * 60_000 + b"\x7f")
