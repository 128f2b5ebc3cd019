"""Whether a token still counts, after it was issued: Token Status List (draft-ietf-oauth-status-list-21).

A token says where its status stands: an index into one list of the issuer, a few bits each.  The list is a JWT of its
own, small enough to be fetched every few seconds by everybody who accepts tokens.

Rule 1: what cannot be read says nothing: an index outside the list, a list for another place, or one that ended, is a
refusal and never "valid".
Rule 2: a list is bounded before it is decompressed, and while it is.
"""

import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

TYPE = "statuslist+jwt"
MEDIA_TYPE = "application/statuslist+jwt"

TTL = 5
"""Seconds after which whoever keeps one of our lists looks for a newer one."""
LIFETIME = 120
"""Seconds for which one of our lists counts where no newer one can be had."""

MAX_BYTES = 4 * 1024 * 1024
"""Bytes of a list, decompressed: 33 million tokens of one bit."""


Run = tuple[int, int]
"""Consecutive indices: the first, and how many."""


class BadStatus(ValueError):
    """What is said of a status cannot be used; the message is for the log."""


class StatusReference(msgspec.Struct, frozen=True):
    """Where the status of a token stands: at `index` of the list at `uri`."""

    index: int
    uri: str

    def claim(self) -> dict[str, Any]:
        """The `status` claim of a token (section 6.2)."""
        return {"status_list": {"idx": self.index, "uri": self.uri}}


@dataclass(frozen=True, slots=True)
class StatusList:
    """The statuses of many tokens, `bits` each; index 0 is at the low end of the first byte (section 4.1)."""

    bits: int
    statuses: bytes = field(repr=False)

    def is_valid(self, index: int) -> bool:
        """Whether the status at `index` is VALID; whatever else it is, is not.  `BadStatus` if it lies outside."""
        place = index * self.bits
        if index < 0 or place >= len(self.statuses) * 8:
            raise BadStatus(f"the status list has no index {index}")
        return not self.statuses[place >> 3] >> (place & 7) & ((1 << self.bits) - 1)


@dataclass(slots=True)
class Runs:
    """A set of indices, held as runs: in some steps it is known whether one is in it, however many there are."""

    _firsts: list[int] = field(default_factory=list)
    _ends: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, runs: Iterable[Run]) -> "Runs":
        """All indices of `runs`, which may overlap and stand in any order."""
        firsts: list[int] = []
        ends: list[int] = []
        for first, count in sorted(runs):
            if ends and first <= ends[-1]:
                ends[-1] = max(ends[-1], first + count)
            else:
                firsts.append(first)
                ends.append(first + count)
        return cls(firsts, ends)

    def add(self, run: Run) -> None:
        """Those of `run` too, whether or not some are there."""
        first, end = run[0], run[0] + run[1]
        low = bisect_left(self._ends, first)
        high = bisect_right(self._firsts, end, low)
        if low < high:  # it meets others, and they become one
            first, end = min(first, self._firsts[low]), max(end, self._ends[high - 1])
        self._firsts[low:high] = [first]
        self._ends[low:high] = [end]

    def copy(self) -> "Runs":
        """One that stays as it is."""
        return Runs(self._firsts.copy(), self._ends.copy())

    def __iter__(self) -> Iterator[Run]:
        """Runs that do not meet, in order."""
        return ((first, end - first) for first, end in zip(self._firsts, self._ends, strict=True))

    def __contains__(self, index: int) -> bool:
        place = bisect_right(self._firsts, index) - 1
        return place >= 0 and index < self._ends[place]


@dataclass(frozen=True, slots=True)
class ReadList:
    """A list as it was published: until when it counts, and after how many seconds a newer one is due."""

    content: StatusList
    expires_at: float | None
    """Seconds since the epoch; None where the issuer did not say."""
    ttl: float | None


def read_reference(status: Any) -> StatusReference:
    """The `status` claim of a token (section 6.2).  `BadStatus` if it names no place in a status list."""
    named = status.get("status_list") if isinstance(status, Mapping) else None
    if not isinstance(named, Mapping):
        raise BadStatus("the status claim names no status list")
    index, uri = named.get("idx"), named.get("uri")
    if not isinstance(index, int) or isinstance(index, bool) or index < 0 or not isinstance(uri, str):
        raise BadStatus("the status claim has no index or no URI of a status list")
    return StatusReference(index, uri)


def make_list(invalid: Iterable[Run], size: int) -> StatusList:
    """`size` statuses of one bit, those in `invalid` INVALID and all others VALID."""
    statuses = bytearray((size + 7) // 8)
    for first, count in invalid:
        low, high = first >> 3, (first + count - 1) >> 3
        if low == high:
            statuses[low] |= ((1 << count) - 1) << (first & 7)
        else:
            statuses[low] |= 0xFF << (first & 7) & 0xFF
            statuses[low + 1 : high] = b"\xff" * (high - low - 1)
            statuses[high] |= 0xFF >> (7 - (first + count - 1 & 7))
    return StatusList(1, bytes(statuses))


def encode_list(content: StatusList) -> dict[str, Any]:
    """The list as JSON has it (section 4.2); for many thousand revoked tokens it takes milliseconds."""
    compressed = zlib.compress(content.statuses, 9)  # the highest level there is: section 4.1
    return {"bits": content.bits, "lst": urlsafe_b64encode(compressed).rstrip(b"=").decode("ascii")}


def describe_list(encoded: Mapping[str, Any], *, uri: str, now: float) -> dict[str, Any]:
    """The claims of the list as its issuer publishes it at `uri` (section 5.1)."""
    issued_at = int(now)
    return {
        "sub": uri,
        "iat": issued_at,
        "exp": issued_at + LIFETIME,
        "ttl": TTL,
        "status_list": encoded,
    }


def read_list(claims: Mapping[str, Any], *, uri: str, now: float) -> ReadList:
    """What `claims`, whose signature was verified, say (section 8.3).  `BadStatus` if it is nothing for `uri`, now."""
    # The numbers are those of section 8.3.
    # (4a) It is the list that the token names.
    if claims.get("sub") != uri:
        raise BadStatus(f"the status list is that of {claims.get('sub')!r:.200}")
    # (3b) It says when it was made.
    if not _is_time(claims.get("iat")):
        raise BadStatus("the status list does not say when it was issued")
    # (4c) It has not ended.
    expires_at, ttl = claims.get("exp"), claims.get("ttl")
    if expires_at is not None and (not _is_time(expires_at) or now >= expires_at):
        raise BadStatus(f"the status list ended at {expires_at!r:.40}")
    # (4d) Its time to live is one.
    if ttl is not None and (not _is_time(ttl) or ttl <= 0):
        raise BadStatus(f"the status list has a ttl of {ttl!r:.40}")
    # (5) It can be decompressed.
    return ReadList(_decompress(claims.get("status_list")), expires_at, ttl)


def _decompress(status_list: Any) -> StatusList:
    bits, compressed = (
        (status_list.get("bits"), status_list.get("lst")) if isinstance(status_list, Mapping) else (None, None)
    )
    if isinstance(bits, bool) or bits not in (1, 2, 4, 8) or not isinstance(compressed, str):
        raise BadStatus("the status list has no lst, or not 1, 2, 4 or 8 bits")
    inflating = zlib.decompressobj()
    try:
        encoded = compressed.encode("ascii")
        if b"=" in encoded:
            raise BadStatus("the status list is padded")
        statuses = inflating.decompress(urlsafe_b64decode(encoded + b"=" * (-len(encoded) % 4)), MAX_BYTES)
    except (zlib.error, ValueError) as error:
        raise BadStatus(f"the status list cannot be read: {error}") from error
    if not inflating.eof or inflating.unused_data:
        raise BadStatus(f"the status list is cut off, continued, or longer than {MAX_BYTES} bytes")
    return StatusList(int(bits), statuses)


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15
