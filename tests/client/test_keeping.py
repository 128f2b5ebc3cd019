"""`certbound.client.keeping`: how long a token is used, whatever the clocks do."""

import dataclasses
from typing import Any

import pytest

from certbound.client.flow import Token
from certbound.client.keeping import Clocks, Kept, Name, Shelf
from certbound.core.well_known import AccessToken

NAME = Name("https://as.example", "me", "thumbprint", "https://api.example", "read")


@dataclasses.dataclass
class Time:
    """Two clocks that a test sets."""

    now: float = 1000.0
    wall: float = 2_000_000_000.0

    def passes(self, seconds: float) -> None:
        self.now += seconds
        self.wall += seconds


def shelf_at(time: Time) -> Shelf:
    return Shelf(Clocks(monotonic=lambda: time.now, wall=lambda: time.wall))


def put(shelf: Shelf, expires_in: float | None = 600, name: Name = NAME, text: str = "secret") -> Kept:
    token = Token(access_token=AccessToken(text), expires_in=expires_in, scope=None)
    return shelf.keep(name, token, shelf.begin())


@pytest.mark.parametrize(
    ("life", "used"), [(600, 570), (301, 271), (100, 90), (10, 9), (1e9, 1e9 - 30), (None, 270), (0, 0), (-5, 0)]
)
def test_how_long_it_is_used(life: float | None, used: float) -> None:
    """Until half a minute before its end, or a tenth of its life if that is shorter."""
    time = Time()
    shelf = shelf_at(time)
    kept = put(shelf, life)
    time.passes(max(used - 0.5, 0))
    assert shelf.find(NAME) is (kept if used else None)
    time.passes(0.6)
    assert shelf.find(NAME) is None


def test_its_life_begins_before_it_was_asked_for() -> None:
    """However long the answer took."""
    time = Time()
    shelf = shelf_at(time)
    begun = shelf.begin()
    time.passes(571)
    shelf.keep(NAME, Token(access_token=AccessToken("t"), expires_in=600, scope=None), begun)
    assert shelf.find(NAME) is None


def test_a_wall_clock_that_is_set_back_prolongs_nothing() -> None:
    """The other clock goes on."""
    time = Time()
    shelf = shelf_at(time)
    put(shelf)
    time.wall -= 86400
    assert shelf.find(NAME) is not None
    time.now += 571
    assert shelf.find(NAME) is None


def test_a_machine_that_slept_wakes_up_without_a_token() -> None:
    """Its own clock stood still, the one on the wall did not; the next token is used as long as any."""
    time = Time()
    shelf = shelf_at(time)
    put(shelf)
    time.wall += 3600
    assert shelf.find(NAME) is None
    kept = put(shelf)
    time.passes(500)
    assert shelf.find(NAME) is kept


@pytest.mark.parametrize("part", ["issuer", "client_id", "thumbprint", "resource", "scope"])
def test_a_token_is_found_by_all_five(part: str) -> None:
    """R37: with another certificate, or anything else other, there is none."""
    shelf = shelf_at(Time())
    put(shelf)
    assert shelf.find(NAME._replace(**{part: "other"})) is None


def test_a_renewed_certificate_leaves_no_token_behind() -> None:
    """The old one is forgotten as soon as there is one for the new; those of others stay."""
    shelf = shelf_at(Time())
    put(shelf)
    put(shelf, name=NAME._replace(scope="write"))
    put(shelf, name=NAME._replace(thumbprint="new"))
    assert shelf.find(NAME) is None
    assert shelf.find(NAME._replace(scope="write")) is not None


def test_a_refused_token_is_replaced_once() -> None:
    """A replacement that is refused within seconds is not; a later one is, and so is one that was fetched anew."""
    time = Time()
    shelf = shelf_at(time)
    first = put(shelf)
    assert shelf.refused(NAME, first)
    assert shelf.find(NAME) is None
    second = put(shelf, text="second")
    assert shelf.refused(NAME, first)  # another request that still had the first
    assert shelf.find(NAME) is second
    assert not shelf.refused(NAME, second)
    assert shelf.find(NAME) is second
    time.passes(5)
    assert shelf.refused(NAME, second)
    assert shelf.find(NAME) is None


def test_nothing_shows_a_token() -> None:
    """Not what is kept, not what keeps it."""
    shelf: Any = shelf_at(Time())
    kept = put(shelf)
    assert "secret" in kept.header
    assert "secret" not in repr(kept) + repr(shelf) + str(shelf)
