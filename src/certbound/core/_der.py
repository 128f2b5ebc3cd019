"""Distinguished Encoding Rules (X.690), just enough to walk a certificate's own bytes.

Rule 1: nothing is decoded into text here; a value is its tag and its bytes.
Rule 2: a length that is not minimal, indefinite, or past the end is an error, never a guess.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

BOOLEAN = 0x01
BIT_STRING = 0x03
OCTET_STRING = 0x04
OBJECT_IDENTIFIER = 0x06
SEQUENCE = 0x30
SET = 0x31


class DERError(ValueError):
    """The bytes are not DER."""


class Value(NamedTuple):
    """One tag-length-value; `encoded` is all of it, `content` what the length counts."""

    tag: int
    content: bytes
    encoded: bytes


def read(data: bytes) -> Value:
    """The one value that `data` holds; anything behind it is an error."""
    value, end = _read_at(data, 0)
    if end != len(data):
        raise DERError(f"{len(data) - end} bytes behind the value")
    return value


def read_all(content: bytes, most: int | None = None) -> Iterator[Value]:
    """The values that stand one behind the other in `content`; the one after `most` is an error."""
    position = count = 0
    while position < len(content):
        if count == most:
            raise DERError(f"more than {most} values")
        count += 1
        value, position = _read_at(content, position)
        yield value


def expect(value: Value, tag: int) -> bytes:
    """The content of `value`, which must carry `tag`."""
    if value.tag != tag:
        raise DERError(f"tag {value.tag:#04x} where {tag:#04x} was due")
    return value.content


@lru_cache(maxsize=256)
def read_oid(content: bytes) -> str:
    """An OBJECT IDENTIFIER's content in dotted decimal."""
    if not content or content[-1] & 0x80:
        raise DERError("object identifier ends in the middle of an arc")
    if len(content) > _MAX_OID:
        raise DERError("object identifier is longer than any in use")
    arcs: list[int] = []
    arc = 0
    starts = True
    for byte in content:
        if starts and byte == 0x80:
            raise DERError("object identifier arc is not minimal")
        arc = arc << 7 | byte & 0x7F
        starts = not byte & 0x80
        if starts:
            arcs.append(arc)
            arc = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))


def _read_at(data: bytes, start: int) -> tuple[Value, int]:
    try:
        tag, length = data[start], data[start + 1]
    except IndexError:
        raise DERError("ends inside a tag or length") from None
    if tag & 0x1F == 0x1F:
        raise DERError("multi-byte tag")
    position = start + 2
    if length & 0x80:
        size = length & 0x7F
        octets = data[position : position + size]
        if not 1 <= size <= 4 or len(octets) != size:
            raise DERError("length is indefinite, too long, or cut off")
        length = int.from_bytes(octets, "big")
        if octets[0] == 0 or length < 0x80:
            raise DERError("length is not minimal")
        position += size
    end = position + length
    if end > len(data):
        raise DERError("value is cut off")
    return Value(tag, data[position:end], data[start:end]), end


_MAX_OID = 63  # octets, as `cryptography` has it; the cost of reading grows with the square
