"""certbound.tls.events: strangers do not fill the log, and none of them goes unheard."""

import logging
import threading
from dataclasses import dataclass

import pytest

from certbound.tls.events import SENDERS, Events
from certbound.tls.forwarded.asgi import Strangers
from certbound.tls.forwarded.reading import Reading

LOG = logging.getLogger("certbound.tests.events")


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return found


def test_the_first_is_told_at_once_and_the_rest_counted(caplog: pytest.LogCaptureFixture) -> None:
    """The second says that more are counted; a minute later one line has the number left out."""
    clock = Clock()
    events = Events(LOG, logging.WARNING, clock=clock)
    for _ in range(1000):
        events.tell("203.0.113.1", "forged %s", "a header")
    assert ["forged a header", "forged a header (those that follow are counted for a minute)"] == lines(caplog)
    clock.now += 61
    events.tell("203.0.113.1", "forged %s", "a header")
    assert ["forged a header (and 998 more since the line before)"] == lines(caplog)
    clock.now += 3600
    events.tell("203.0.113.1", "forged %s", "a header")
    assert ["forged a header"] == lines(caplog)


def test_whoever_floods_hides_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    """Another address is told at once; the addresses of one IPv6 subscriber are one."""
    events = Events(LOG, logging.WARNING, clock=Clock())
    for at in range(1000):
        events.tell(f"2001:db8::{at:x}", "%s", "flood")
    assert 2 == len(lines(caplog))
    events.tell("198.51.100.7", "%s", "another")
    assert ["another"] == lines(caplog)


def test_many_addresses_do_not_fill_the_log_either(caplog: pytest.LogCaptureFixture) -> None:
    """Nor memory."""
    clock = Clock()
    events = Events(LOG, logging.WARNING, clock=clock)
    for at in range(SENDERS * 3):
        clock.now += 0.001
        events.tell(f"10.1.{at >> 8}.{at & 255}", "%s", "flood")
    assert len(lines(caplog)) <= 20
    assert SENDERS >= events._limit.remembered


def test_threads_share_one_count(caplog: pytest.LogCaptureFixture) -> None:
    """WSGI has many; no event is lost and none told twice."""
    clock = Clock()
    events = Events(LOG, logging.WARNING, clock=clock)
    threads = [
        threading.Thread(target=lambda: [events.tell(f"10.0.0.{at % 3}", "x") for at in range(300)]) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 6 == len(lines(caplog))
    clock.now += 3600
    events.tell("10.0.0.1", "x")
    assert ["x (and 798 more since the line before)"] == lines(caplog)


def test_what_strangers_wrote_is_not_read_as_a_format(caplog: pytest.LogCaptureFixture) -> None:
    """A path with percent signs is a path, in every kind of line."""
    strangers = Strangers()
    reading = Reading([], None, is_believed=False, stripped=("x-%s",), why="%d")
    for _ in range(2):
        strangers.tell(reading, None, "203.0.113.1", "/%s%d")
    assert all("x-%s" in line and "/%s%d: %d" in line for line in lines(caplog))
