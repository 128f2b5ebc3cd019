"""Opaque tokens that come and go: the store does not grow, a purge is short, a look costs the same among many."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench" / "turnover.py"


@pytest.mark.wide
@pytest.mark.timeout(300)
def test_a_constant_number_of_tokens_takes_constant_room() -> None:
    """Three lifetimes of 20,000 tokens, then looks among 100,000; at its full size this is `make bench-turnover`.

    Of a purge it is the CPU that is looked at, and the median of a look: other tests run on this machine.
    """
    options = ["--live", "20000", "--turnovers", "3", "--looks-among", "100000", "--looks", "3000", "--json"]
    command = [sys.executable, "-W", "error", str(BENCH), *options]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.stderr == ""
    figures = json.loads(run.stdout)
    assert figures["tokens purged"] >= 3 * 20_000 - 2 * 20_000 / 30
    assert figures["high-water mark, of the first full state"] <= 1.3
    assert figures["CPU of a purge statement, most"] <= 20
    assert figures["find among 100000, median"] <= 2 * figures["find among 1000, median"]
