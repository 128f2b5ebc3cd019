"""Lines of a log that strangers can cause as often as they like: told at once, then counted.

Rule 1: the first of a sender is a line at once, and the second one that says that more are counted; then one a minute,
with the number of those left out.
Rule 2: of all senders together `NEIGHBOURS` times as many, whatever addresses they have.
Rule 3: what is told is for the caller to make safe; who counts as one sender is an address, or the first half of one.
"""

import logging
import threading
import time
from collections.abc import Callable

from certbound.core.rates import Limit, network_of

PER_MINUTE = 1
"""Lines of one sender."""
SENDERS = 1024
"""How many are told apart."""


class Events:
    """One kind of event of this process."""

    def __init__(self, log: logging.Logger, level: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` counts seconds and never goes back."""
        self._log = log
        self._level = level
        self._limit = Limit(PER_MINUTE, clock, capacity=SENDERS)
        self._lock = threading.Lock()

    def tell(self, sender: str, text: str, *values: object) -> None:
        """`text` with its `values`, as `logging` has them, if it is time for a line."""
        with self._lock:
            verdict = self._limit.one_more((network_of(sender),), "all")
        if not verdict.is_written:
            return
        if verdict.retry_after:
            text += " (those that follow are counted for a minute)"
        elif verdict.unwritten:
            text, values = text + " (and %d more since the line before)", (*values, verdict.unwritten)
        self._log.log(self._level, text, *values)
