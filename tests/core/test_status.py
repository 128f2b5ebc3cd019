"""certbound.core.status: Token Status List, with the vectors of the specification (sections 4 and appendix C)."""

import contextlib
import json
import zlib
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certbound.core.status import (
    LIFETIME,
    MAX_BYTES,
    TTL,
    BadStatus,
    ReadList,
    Run,
    Runs,
    StatusList,
    StatusReference,
    describe_list,
    encode_list,
    make_list,
    read_list,
    read_reference,
)
from certificates import NOW

URI = "https://as.example/status"

# Appendix C.1: 2^20 statuses of one bit.
SET = (0, 1993, 25460, 159495, 495669, 554353, 645645, 723232, 854545, 934534, 1000345)
C1 = (
    "eNrt3AENwCAMAEGogklACtKQPg9LugC9k_ACvreiogE"
    "AAKkeCQAAAAAAAAAAAAAAAAAAAIBylgQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAAAAAAAAAAAXG9IAAAAAAAAAPwsJAAAAAAAAAAAAAAAvhsSAAAAAAAAAAA"
    "A7KpLAAAAAAAAAAAAAAAAAAAAAJsLCQAAAAAAAAAAADjelAAAAAAAAAAAKjDMAQAAA"
    "ACAZC8L2AEb"
)


def claims(**changes: Any) -> dict[str, Any]:
    """A good list of 16 statuses, as section 4.1 has it; `...` takes a claim away."""
    good = {"sub": URI, "iat": NOW, "exp": NOW + 60, "ttl": 5, "status_list": {"bits": 1, "lst": "eNrbuRgAAhcBXQ"}}
    return {name: value for name, value in {**good, **changes}.items() if value is not ...}


def read(**changes: Any) -> ReadList:
    return read_list(claims(**changes), uri=URI, now=NOW)


def lst(statuses: bytes) -> str:
    return urlsafe_b64encode(zlib.compress(statuses, 9)).rstrip(b"=").decode()


def test_the_example_of_the_specification() -> None:
    """Section 4.1: 0xB9 0xA3, bits counted from the low end."""
    listed = read().content
    assert [0, 3, 4, 5, 7, 8, 9, 13, 15] == [n for n in range(16) if not listed.is_valid(n)]
    made = describe_list(encode_list(make_list([(0, 1), (3, 3), (7, 3), (13, 1), (15, 1)], 16)), uri=URI, now=NOW)
    assert made["status_list"] == {"bits": 1, "lst": "eNrbuRgAAhcBXQ"}


def test_the_vector_of_the_appendix() -> None:
    """C.1: a million statuses, eleven of them INVALID."""
    listed = read(status_list={"bits": 1, "lst": C1}).content
    assert listed == make_list([(each, 1) for each in SET], 1 << 20)


@pytest.mark.parametrize(
    ("bits", "encoded", "statuses"), [(2, "eNo76fITAAPfAgc", [1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3])]
)
def test_a_list_of_more_bits(bits: int, encoded: str, statuses: list[int]) -> None:
    """Section 4.1's second example; every status but VALID is none that may pass."""
    listed = read(status_list={"bits": bits, "lst": encoded}).content
    assert [status == 0 for status in statuses] == [listed.is_valid(n) for n in range(len(statuses))]


def some_runs(size: int) -> st.SearchStrategy[list[Run]]:
    """Any runs of indices below `size`, overlapping as they like."""
    first = st.integers(0, size - 1)
    return st.lists(first.flatmap(lambda at: st.tuples(st.just(at), st.integers(1, size - at))), max_size=8)


def indices(runs: list[Run]) -> set[int]:
    return {index for first, count in runs for index in range(first, first + count)}


@given(some_runs(1000))
def test_what_was_made_is_what_is_read(invalid: list[Run]) -> None:
    """Any runs of indices survive the way through JSON."""
    described = json.loads(json.dumps(describe_list(encode_list(make_list(invalid, 1000)), uri=URI, now=NOW)))
    listed = read_list(described, uri=URI, now=NOW)
    assert indices(invalid) == {n for n in range(1000) if not listed.content.is_valid(n)}
    assert (listed.expires_at, listed.ttl) == (int(NOW) + LIFETIME, TTL)


@given(some_runs(60))
def test_runs_are_a_set(runs: list[Run]) -> None:
    """Whatever their order, and however they overlap."""
    there = Runs.of(runs)
    assert indices(runs) == {n for n in range(-2, 70) if n in there}


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9))))
def test_runs_that_come_one_by_one(runs: list[tuple[int, int]]) -> None:
    """Are the same set, whatever they meet; told in order, as runs apart; and a copy stays as it was."""
    there = Runs()
    for run in runs:
        before, copy = list(there), there.copy()
        there.add(run)
        assert list(copy) == before
    assert list(there) == list(Runs.of(runs))
    assert there == Runs.of(runs)
    assert indices(runs) == indices(list(there))
    ends = [first + count for first, count in there]
    assert all(end < first for end, (first, _) in zip(ends, list(there)[1:], strict=False))


def test_no_runs() -> None:
    """Nothing is in them, and a list of them is all valid."""
    assert 0 not in Runs()
    assert 0 not in Runs.of([])
    assert make_list([], 9).statuses == bytes(2)


@pytest.mark.parametrize("index", [-1, 16, 17, 1 << 70])
def test_an_index_outside_says_nothing(index: int) -> None:
    """Section 8.3, 6: no statement can be made, and no token may pass."""
    with pytest.raises(BadStatus, match="no index"):
        read().content.is_valid(index)


@pytest.mark.parametrize(
    "changes",
    [
        {"sub": ...}, {"sub": URI + "/"}, {"sub": None},
        {"iat": ...}, {"iat": "1"}, {"iat": True},
        {"exp": NOW}, {"exp": NOW - 1}, {"exp": "never"}, {"exp": True}, {"exp": 1e300},
        {"ttl": 0}, {"ttl": -1}, {"ttl": "5"}, {"ttl": True},
        {"status_list": ...}, {"status_list": "eNrbuRgAAhcBXQ"}, {"status_list": {"bits": 1}},
        {"status_list": {"lst": "eNrbuRgAAhcBXQ"}}, {"status_list": {"bits": 3, "lst": "eNrbuRgAAhcBXQ"}},
        {"status_list": {"bits": True, "lst": "eNrbuRgAAhcBXQ"}}, {"status_list": {"bits": 1, "lst": 7}},
        {"status_list": {"bits": 1, "lst": "eNrbuRgAAhcBXQ=="}}, {"status_list": {"bits": 1, "lst": "é"}},
        {"status_list": {"bits": 1, "lst": "eNrbuRgAAhcB"}}, {"status_list": {"bits": 1, "lst": ""}},
        {"status_list": {"bits": 1, "lst": "A"}}, {"status_list": {"bits": [], "lst": ""}},
    ],
    ids=lambda changes: json.dumps(changes, default=lambda _: "..."),
)  # fmt: skip
def test_a_list_that_cannot_be_used(changes: dict[str, Any]) -> None:
    """For another place, ended, or unreadable: it says nothing."""
    with pytest.raises(BadStatus):
        read(**changes)


def test_a_list_may_leave_out_until_when_it_counts() -> None:
    """`exp` and `ttl` are recommended, not required; whoever reads has bounds of his own."""
    listed = read(exp=..., ttl=...)
    assert (listed.expires_at, listed.ttl) == (None, None)


def test_a_list_that_becomes_more_than_memory_holds() -> None:
    """A kilobyte of zeros' compression is a megabyte: it is cut off, never unpacked."""
    with pytest.raises(BadStatus, match="longer than"):
        read(status_list={"bits": 1, "lst": lst(bytes(MAX_BYTES + 1))})
    assert read(status_list={"bits": 1, "lst": lst(bytes(MAX_BYTES))}).content.is_valid(MAX_BYTES * 8 - 1)


def test_a_list_with_something_behind_it() -> None:
    """What follows the compressed list is no part of it, and no reason to trust the rest."""
    continued = urlsafe_b64encode(zlib.compress(b"\0\0") + zlib.compress(b"\xff\xff")).rstrip(b"=").decode()
    with pytest.raises(BadStatus):
        read(status_list={"bits": 1, "lst": continued})


def test_a_reference_and_its_claim() -> None:
    """What a token says of its status is read as it was written; members of other mechanisms stand beside it."""
    reference = StatusReference(7, URI)
    assert reference.claim() == {"status_list": {"idx": 7, "uri": URI}}
    assert reference == read_reference({**reference.claim(), "identifier_list": {}})


@pytest.mark.parametrize(
    "status",
    [
        None, True, "valid", [], {}, {"status_list": None}, {"status_list": {}}, {"status_list": {"idx": 1}},
        {"status_list": {"uri": URI}}, {"status_list": {"idx": "1", "uri": URI}},
        {"status_list": {"idx": -1, "uri": URI}}, {"status_list": {"idx": True, "uri": URI}},
        {"status_list": {"idx": 1.0, "uri": URI}}, {"status_list": {"idx": 1, "uri": None}},
        {"identifier_list": {"id": "1"}},
    ],
    ids=json.dumps,
)  # fmt: skip
def test_a_reference_to_nothing(status: Any) -> None:
    """A status that names no place where it could be looked up is none that may be passed over."""
    with pytest.raises(BadStatus):
        read_reference(status)


@given(st.binary(max_size=64), st.sampled_from([1, 2, 4, 8]))
def test_any_bytes_are_a_list_or_refused(statuses: bytes, bits: int) -> None:
    """The arithmetic of bits is right for each of the four sizes."""
    listed = StatusList(bits, statuses)
    per_byte = 8 // bits
    values = [byte >> bits * place & (1 << bits) - 1 for byte in statuses for place in range(per_byte)]
    assert [value == 0 for value in values] == [listed.is_valid(n) for n in range(len(values))]


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: (
    st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["bits", "lst", "x"]), inner, max_size=3)
)))  # fmt: skip
def test_any_json_is_a_list_or_refused(value: Any) -> None:
    """Whatever an issuer signs, the answer is a list or `BadStatus`."""
    for name in ("status_list", "exp", "ttl", "iat", "sub"):
        with contextlib.suppress(BadStatus):
            assert isinstance(read(**{name: value}), ReadList)
