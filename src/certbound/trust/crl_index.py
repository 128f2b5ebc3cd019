"""Where in a revocation list the entries of a serial number are: 8 bytes for each entry.

Each is the hash of a serial number and the place of its entry, sorted.  The hash is keyed anew in every process, so
nobody can make a list whose serial numbers meet; two that do by chance are told apart.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field

from certbound.trust.crl_frames import MOST_BYTES, header


@dataclass(frozen=True, slots=True, eq=False)
class Index:
    """The entries of a list, by serial number."""

    _der: bytes = field(repr=False)
    _places: "array[int]" = field(repr=False)

    def find(self, serial: int) -> Iterator[bytes]:
        """The entries of this serial number."""
        wanted, der, places = _integer(serial), self._der, self._places
        key = hash(wanted) & _HASH
        for position in range(bisect_left(places, key << _OFFSET), len(places)):
            if places[position] >> _OFFSET != key:
                return
            start = places[position] & MOST_BYTES
            _, content, end = header(der, start)
            _, first, last = header(der, content)
            if der[first:last] == wanted:
                yield der[start:end]


def make_index(der: bytes, starts: "array[int]") -> Index:
    """The index of a list whose entries begin at these places."""
    parts: list[list[int]] = [[] for _ in range(256)]  # sorted one by one, so that others can work in between
    for start in starts:
        content = start + 2 if der[start + 1] < 0x80 else header(der, start)[1]
        key = hash(der[content + 2 : content + 2 + der[content + 1]]) & _HASH
        parts[key >> _HASH_BITS - 8].append(key << _OFFSET | start)
    places = array("Q")
    for part in parts:
        places.extend(sorted(part))
    return Index(der, places)


def _integer(number: int) -> bytes:
    """The content of an INTEGER."""
    return number.to_bytes((number + (number < 0)).bit_length() // 8 + 1, "big", signed=True)


_OFFSET = MOST_BYTES.bit_length()
_HASH_BITS = 64 - _OFFSET
_HASH = (1 << _HASH_BITS) - 1
