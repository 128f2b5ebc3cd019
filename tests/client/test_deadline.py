"""How long a wait may take is the shorter of what it may itself and what is left of the exchange."""

import time

from certbound.client.deadline import deadline, ending


def test_the_nearer_end_counts() -> None:
    """Inside of a whole that ends, a wait without a bound of its own has that of the whole."""
    before = time.monotonic()
    assert deadline(None) is None
    with ending(before + 10):
        assert deadline(None) == before + 10
        assert deadline(3600) == before + 10
        assert (deadline(1) or 0) < before + 10
    assert deadline(None) is None
