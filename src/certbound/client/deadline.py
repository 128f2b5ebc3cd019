"""How long a whole exchange may take, however steadily its bytes come."""

import contextlib
import time
from collections.abc import Iterator
from contextvars import ContextVar

_ENDS: ContextVar[float | None] = ContextVar("certbound_ends", default=None)


@contextlib.contextmanager
def ending(at: float) -> Iterator[None]:
    """Whatever this thread waits for inside ends then, by `time.monotonic`."""
    token = _ENDS.set(at)
    try:
        yield
    finally:
        _ENDS.reset(token)


def deadline(timeout: float | None) -> float | None:
    """When a wait that begins now has to have ended."""
    ends = _ENDS.get()
    if timeout is None:
        return ends
    mine = time.monotonic() + timeout
    return mine if ends is None or mine < ends else ends
