"""The bytes of a revocation list (RFC 5280 section 5.1), DER: what stands around its entries, and where each begins.

Rule 1: nothing is copied to be looked at: a list may have millions of entries.
Rule 2: what is not DER beyond doubt is `BadList`; no look at an entry later has to ask again.
"""

import re
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

MOST_BYTES = (1 << 28) - 1
"""Of one list."""


class BadList(ValueError):
    """The bytes are no revocation list that can be used."""


@dataclass(frozen=True, slots=True)
class Frame:
    """The list around its entries.  `before` and `after` are what is signed, without header and entries."""

    der: bytes
    issuer: bytes
    is_v1: bool
    before: bytes
    entries_at: tuple[int, int]
    after: bytes
    signed_at: tuple[int, int]
    algorithm: bytes
    signature: bytes
    """All that stands behind what is signed: the algorithm once more, and the signature."""

    @property
    def entries(self) -> bytes:
        return self.der[slice(*self.entries_at)]

    @property
    def signed(self) -> memoryview:
        """What the signature stands for."""
        return memoryview(self.der)[slice(*self.signed_at)]

    def around(self, entries: bytes) -> tuple[bytes, bytes]:
        """The list with these entries in place of its own, and of that what seems to be signed."""
        signed = _encode(_SEQUENCE, self.before + (_encode(_SEQUENCE, entries) if entries else b"") + self.after)
        return _encode(_SEQUENCE, signed + self.signature), signed


def read_frame(der: bytes) -> Frame:
    """The frame of a list; `BadList`, or an IndexError, if it is none."""
    tag, start, end = header(der, 0)
    if tag != _SEQUENCE or end != len(der) or end > MOST_BYTES:
        raise BadList("not one list")
    tag, first, last = header(der, start)
    fields = list(_fields(der, first, last))
    # Section 5.1: version (absent in v1), algorithm, issuer, thisUpdate, nextUpdate?, revokedCertificates?, [0]?
    is_v1 = fields[0][0] != _INTEGER
    inner, issuer = fields[0:2] if is_v1 else fields[1:3]
    _, _, algorithm_end = header(der, last)
    if der[inner[1] : inner[3]] != der[last:algorithm_end]:
        raise BadList("its two algorithms differ")
    position = 3 if is_v1 else 4
    if position < len(fields) and fields[position][0] in _TIMES:
        position += 1
    where = content_at = content_end = fields[position][1] if position < len(fields) else last
    if position < len(fields) and fields[position][0] == _SEQUENCE:
        _, where, content_at, content_end = fields[position]
    return Frame(
        der=der,
        issuer=der[issuer[1] : issuer[3]],
        is_v1=is_v1,
        before=der[first:where],
        entries_at=(content_at, content_end),
        after=der[content_end:last],
        signed_at=(start, last),
        algorithm=der[last:algorithm_end],
        signature=der[last:end],
    )


def find_entries(frame: Frame) -> "array[int]":
    """Where each entry begins; every one is a SEQUENCE that begins with a minimal INTEGER."""
    der, (position, end) = frame.der, frame.entries_at
    starts = array("I")
    while position < end:
        length = der[position + 1]
        if length < 0x80:
            content, following = position + 2, position + 2 + length
        else:
            _, content, following = header(der, position)
        octets = der[content + 1]
        if (
            der[position] != _SEQUENCE
            or der[content] != _INTEGER
            or not 0 < octets < 0x80
            or content + 2 + octets > following
            or (der[content + 2] == 0 and octets > 1 and der[content + 3] < 0x80)
        ):
            raise BadList("an entry is malformed")
        starts.append(position)
        position = following
    if position != end:
        raise BadList("the last entry is cut off")
    return starts


def is_critical_somewhere(frame: Frame, starts: "array[int]") -> bool:
    """Whether an entry carries a critical extension; what looks like one in a serial number does not count."""
    der = frame.der
    for hit in _CRITICAL.finditer(der, *frame.entries_at):
        _, content, _ = header(der, starts[bisect_right(starts, hit.start()) - 1])
        _, _, serial_end = header(der, content)
        _, _, date_end = header(der, serial_end)
        if hit.start() >= date_end:
            return True
    return False


def header(der: bytes, start: int) -> tuple[int, int, int]:
    """Tag, place of the content and end of the value that begins at `start`; without a copy, unlike `core._der`."""
    length, content = der[start + 1], start + 2
    if length & 0x80:
        size = length & 0x7F
        content += size
        length = int.from_bytes(der[start + 2 : content], "big")
        if not 1 <= size <= 4 or length < 0x80 or length >> 8 * (size - 1) == 0:
            raise BadList("a length is not DER")
    if content + length > len(der):
        raise BadList("a value is cut off")
    return der[start], content, content + length


def _fields(der: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Tag, place, place of the content, and end of each value between two places."""
    while start < end:
        tag, content, following = header(der, start)
        yield tag, start, content, following
        start = following
    if start != end:
        raise BadList("a value is cut off")


def _encode(tag: int, content: bytes) -> bytes:
    if len(content) < 0x80:
        return bytes((tag, len(content))) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


_SEQUENCE, _INTEGER, _TIMES = 0x30, 0x02, (0x17, 0x18)
_CRITICAL = re.compile(rb"\x01\x01\xff\x04|\x06\x03\x55\x1d\x1d")
"""In an extension: BOOLEAN TRUE, and the OCTET STRING behind it; or certificateIssuer, which has to be critical."""
