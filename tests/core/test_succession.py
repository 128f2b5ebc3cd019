"""certbound.core.succession: which key signs, which are published, and when one takes the place of another."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certbound.core.ports import KeyRecord
from certbound.core.succession import (
    DAY,
    LEAD,
    LONGEST_TOKEN,
    MARGIN,
    Schedule,
    State,
    choose,
    due,
    has_ended,
    is_published,
    moments,
    replaced,
    retired,
    state_of,
    succeeded,
    swept,
)
from certbound.settings.tables import Seconds

NOW = 1_700_000_000.0
SCHEDULE = Schedule(period=90 * DAY)
BY_HAND = Schedule(period=None)
KEPT = SCHEDULE.kept


def key(kid: str = "a", *, alg: str = "ES256", at: float = NOW, until: float | None = None) -> KeyRecord:
    """A key that signs from `at`; with `until`, one that has a successor."""
    return KeyRecord(
        kid=kid, alg=alg, private_key=b"", created_at=at, signs_from=at,
        signs_until=until, published_until=None if until is None else until + KEPT,
    )  # fmt: skip


def signing(records: Sequence[KeyRecord], now: float = NOW, alg: str = "ES256") -> str:
    chosen = choose(records, alg, now)
    assert chosen is not None
    return chosen.kid


def test_no_key_no_choice() -> None:
    """Where there is none, none is chosen; the first one signs at once, for nobody could know a better one."""
    assert choose([], "ES256", NOW) is None
    assert due([], "ES256", SCHEDULE, NOW) == due([], "ES256", BY_HAND, NOW) == NOW


def test_a_successor_is_made_before_its_time() -> None:
    """So early that it is published for `LEAD` seconds, and it begins when the period of the other one ends."""
    ends = NOW + 90 * DAY
    assert due([key()], "ES256", SCHEDULE, ends - LEAD - 1) is None
    assert due([key()], "ES256", SCHEDULE, ends - LEAD) == ends


def test_a_late_successor_is_published_as_long() -> None:
    """Servers that were off for a year begin with the old key, and announce the new one."""
    late = NOW + 365 * DAY
    assert due([key()], "ES256", SCHEDULE, late) == late + LEAD
    assert signing([key()], late) == "a"


def test_by_hand_nothing_is_due() -> None:
    """However old the key is."""
    assert due([key()], "ES256", BY_HAND, NOW + 3650 * DAY) is None


def test_a_key_of_before_there_were_turns() -> None:
    """It has no `signs_from`, and its period begins when it was made."""
    old = replace(key(), signs_from=0.0)
    assert signing([old]) == "a"
    assert due([old], "ES256", SCHEDULE, NOW) is None


def test_a_rotation() -> None:
    """The old key signs until the new one begins, is published until its last token has ended, and then removed."""
    begins = NOW + LEAD
    records = succeeded([key()], replace(key("b"), signs_from=begins), SCHEDULE)
    assert [signing(records, at) for at in (NOW, begins - 0.1, begins, begins + DAY)] == ["a", "a", "b", "b"]
    assert [each.kid for each in records if is_published(each, NOW)] == ["a", "b"]
    assert due(records, "ES256", SCHEDULE, begins) is None
    last = begins + LONGEST_TOKEN + MARGIN
    assert [each.kid for each in swept(records, "ES256", SCHEDULE, last - 1)] == ["a", "b"]
    assert [each.kid for each in swept(records, "ES256", SCHEDULE, last)] == ["b"]


def test_a_token_never_outlives_its_key() -> None:
    """What the settings allow as a token's life is what `LONGEST_TOKEN` says."""
    bounds: Any = get_args(Seconds)[1]
    assert bounds.le <= LONGEST_TOKEN


def test_a_replacement_is_one_moment() -> None:
    """Until then the old keys are published and the new one is not; from then on, the new one and no other.

    One that was yet to sign is gone at once, and nothing is due.
    """
    at = NOW + 2
    keys = [key("old", at=NOW - DAY, until=NOW), key("a"), key("b", alg="PS256"), replace(key("n"), signs_from=NOW + 9)]
    records = replaced(keys, key("new", at=at))
    assert due(records, "ES256", SCHEDULE, NOW) is None
    assert signing(records, at - 0.01) == "a"
    assert {each.kid for each in records if is_published(each, at - 0.01)} == {"old", "a", "b"}
    assert signing(records, at) == "new"
    assert {each.kid for each in records if is_published(each, at)} == {"new"}
    assert [each.kid for each in swept(records, "ES256", SCHEDULE, at)] == ["new"]


def test_another_algorithm_begins_by_a_rotation() -> None:
    """Where another is set, the key there is signs until that of the new algorithm has been published."""
    records = [key()]
    begins = due(records, "PS256", SCHEDULE, NOW)
    assert begins == NOW + LEAD
    records = [*succeeded(records, replace(key("b", alg="PS256"), signs_from=begins), SCHEDULE)]
    assert [signing(records, at, "PS256") for at in (NOW, begins)] == ["a", "b"]
    assert signing(records, begins, "ES256") == "a", "a server that has the old settings goes on"
    assert records[0] == key()


def test_servers_with_two_algorithms_leave_each_other_alone() -> None:
    """Neither finds anything to do that the other one did."""
    records = [key(), key("b", alg="PS256")]
    for alg in ("ES256", "PS256"):
        assert due(records, alg, SCHEDULE, NOW + DAY) is None
        assert list(swept(records, alg, SCHEDULE, NOW + DAY)) == records


def test_a_key_that_nobody_rotates_signs_no_more() -> None:
    """A day after a server with its algorithm would have rotated it, no such server is there: it is retired."""
    records = [key(), key("b", alg="PS256", at=NOW + 80 * DAY)]
    late = NOW + 92 * DAY
    assert list(swept(records, "PS256", SCHEDULE, NOW + 90.9 * DAY)) == records
    first = swept(records, "PS256", SCHEDULE, late)[0]
    assert (first.signs_until, first.published_until) == (late, late + KEPT)
    assert list(swept([key()], "PS256", SCHEDULE, late)) == [key()], "but the only one signs on"


def test_retiring() -> None:
    """A key signs no more and is published for its last token; at once it is not even that."""
    records = [key(), key("b", alg="PS256")]
    assert retired(records, records[1], now=NOW + 1, kept=KEPT)[1].published_until == NOW + 1 + KEPT
    gone = retired(records, records[1], now=NOW + 1, kept=0)
    assert [each.kid for each in swept(gone, "ES256", SCHEDULE, NOW + 1)] == ["a"]


def test_retiring_what_has_not_begun() -> None:
    """It is gone, and the key it would have succeeded goes on as if nothing had been."""
    successor = replace(key("b"), signs_from=NOW + LEAD)
    records = succeeded([key()], successor, SCHEDULE)
    assert list(retired(records, successor, now=NOW, kept=KEPT)) == [key()]


def test_states() -> None:
    """Each key is one of: next, signs, stands by, verifies, ended."""
    records = [
        key("ended", at=0, until=NOW - KEPT - 1),
        key("verifies", at=0, until=NOW - 1),
        key("signs", at=NOW - 1),
        key("stands by", alg="PS256", at=NOW),
        key("next", at=NOW + 1),
    ]
    assert {each.kid: state_of(each, records, "ES256", NOW).value for each in records} == {
        each.kid: each.kid for each in records
    }


def test_a_clock_that_goes_back() -> None:
    """A key whose time has not come signs where there is no other; better than no token at all."""
    assert signing([key("later", at=NOW + 20), key("sooner", at=NOW + 10)]) == "sooner"
    assert due([key(at=NOW + 10)], "ES256", SCHEDULE, NOW) is None
    assert state_of(key(at=NOW + 10), [key(at=NOW + 10)], "ES256", NOW) is State.SIGNS


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["wait", "rotate", "replace", "retire"]), st.floats(0, 100 * DAY)), max_size=30
    ),
    alg=st.sampled_from(["ES256", "PS256"]),
)
def test_whatever_happens_somebody_signs(steps: list[tuple[str, float]], alg: str) -> None:
    """After any steps there is a key that signs, it is published, and what signed in the last day is, unless replaced.

    Each key that signs by the schedule had been published for `LEAD`, where there was another one before it.
    """
    now, records = NOW, [key("0", alg="ES256")]
    signed: dict[str, float] = {}
    for made, (step, seconds) in enumerate(steps, start=1):
        now += seconds
        if step == "rotate" and not any(each.signs_from > now for each in records):
            records = [*succeeded(records, replace(key(str(made), alg=alg, at=now), signs_from=now + LEAD), SCHEDULE)]
        elif step == "replace":
            records, signed = [*replaced(records, key(str(made), alg=alg, at=now))], {}
        elif step == "retire":
            found = records[made % len(records)]
            if state_of(found, records, alg, now) is not State.SIGNS:
                records = [*retired(records, found, now=now, kept=KEPT)]
        records = [*swept(records, alg, SCHEDULE, now)]
        begins = due(records, alg, SCHEDULE, now)
        if begins is not None:
            records = [*succeeded(records, replace(key(f"{made}+", alg=alg, at=now), signs_from=begins), SCHEDULE)]
        chosen = choose(records, alg, now)
        assert chosen is not None
        assert is_published(chosen, now)
        signed[chosen.kid] = now
        published = {each.kid for each in records if is_published(each, now)}
        assert {kid for kid, at in signed.items() if now - at < LONGEST_TOKEN} <= published
        assert not any(has_ended(each, now) for each in records)
        assert all(each is not None for each in moments(records))


@pytest.mark.parametrize("alg", ["ES256", "PS256"])
def test_a_step_taken_twice_is_taken_once(alg: str) -> None:
    """What is due is not due any more when it is done, by whichever process."""
    for now in (NOW, NOW + 89.99 * DAY, NOW + 200 * DAY):
        records: Sequence[KeyRecord] = [key()]
        begins = due(records, alg, SCHEDULE, now)
        if begins is not None:
            records = succeeded(records, replace(key("b", alg=alg, at=now), signs_from=begins), SCHEDULE)
        assert due(records, alg, SCHEDULE, now) is None
        assert list(swept(records, alg, SCHEDULE, now)) == list(
            swept(swept(records, alg, SCHEDULE, now), alg, SCHEDULE, now)
        )
