"""certbound.server.guesses: whoever guesses too often is not looked at, and nobody else waits for it."""

import pytest

from certbound.server.guesses import Guess, Guesses, TooManyGuesses
from certbound.server.throttle import NEIGHBOURS


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def guess(guesses: Guesses, times: int = 1, *, remote: str = "192.0.2.7", what: str = "anna") -> Guess:
    """The last of so many that were wrong."""
    for _ in range(times):
        last = guesses.begin(remote, what)
    return last


def test_beyond_the_limit_one_waits() -> None:
    """Ten a minute are ten at once and then one every six seconds; to go on trying makes it no longer."""
    clock = Clock()
    guesses = Guesses(10, clock)
    guess(guesses, 10)
    for _ in range(100):
        with pytest.raises(TooManyGuesses) as refused:
            guess(guesses)
        assert refused.value.retry_after == 6
    clock.now = 6.0
    guess(guesses)
    with pytest.raises(TooManyGuesses):
        guess(guesses)


def test_a_right_guess_does_not_count() -> None:
    """However often one logs in."""
    guesses = Guesses(10, Clock())
    for _ in range(1000):
        guess(guesses).was_right()
    guess(guesses, 10)
    with pytest.raises(TooManyGuesses):
        guess(guesses)


def test_a_place_is_given_back_once() -> None:
    """Whoever says twice that a guess was right makes no room for another."""
    guesses = Guesses(2, Clock())
    guess(guesses)
    last = guess(guesses)
    last.was_right()
    last.was_right()
    guess(guesses)
    with pytest.raises(TooManyGuesses):
        guess(guesses)


def test_guesses_that_are_under_way_count() -> None:
    """So that a thousand at once are not a thousand."""
    guesses = Guesses(10, Clock())
    under_way = [guesses.begin("192.0.2.7", "anna") for _ in range(10)]
    with pytest.raises(TooManyGuesses):
        guess(guesses)
    under_way[0].was_right()
    guess(guesses)


@pytest.mark.parametrize(("remote", "what"), [("198.51.100.1", "anna"), ("2001:db8::1", "anna"), ("192.0.2.7", "bert")])
def test_nobody_else_waits(remote: str, what: str) -> None:
    """The person comes in from another network, and others from this one."""
    guesses = Guesses(10, Clock())
    guess(guesses, 10)
    with pytest.raises(TooManyGuesses):
        guess(guesses)
    guess(guesses, remote=remote, what=what)


def test_one_network_has_a_limit_for_all_names() -> None:
    """Whoever tries one password with every name."""
    guesses = Guesses(10, Clock())
    for number in range(10 * NEIGHBOURS):
        guess(guesses, remote=f"2001:db8::{number:x}", what=f"name {number}")
    with pytest.raises(TooManyGuesses):
        guess(guesses, remote="2001:db8::ffff", what="another")


def test_only_the_first_beyond_the_limit_is_written() -> None:
    """And the next that is looked at says how many were not."""
    clock = Clock()
    guesses = Guesses(10, clock)
    guess(guesses, 10)
    written = []
    for _ in range(5):
        with pytest.raises(TooManyGuesses) as refused:
            guess(guesses)
        written.append(refused.value.is_written)
    assert written == [True, False, False, False, False]
    clock.now = 6.0
    assert guess(guesses).unwritten == 4


def test_memory_is_bounded() -> None:
    """What is forgotten is forgiven."""
    guesses = Guesses(10, Clock(), capacity=100)
    guess(guesses, 10)
    for number in range(1000):
        guess(guesses, remote=f"198.51.{number // 256}.{number % 256}")
    assert guesses.remembered <= 100
    guess(guesses)
