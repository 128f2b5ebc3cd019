"""Opaque tokens that come and go: the store does not grow, a purge is short, a look costs the same among many."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).parents[2] / "bench"


@pytest.mark.wide
@pytest.mark.timeout(300)
@pytest.mark.parametrize("store", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def test_a_constant_number_of_tokens_takes_constant_room(store: str) -> None:
    """Three lifetimes of 20,000 tokens, then looks among 100,000; at its full size this is `make bench-turnover`.

    Of a purge it is the CPU that is looked at, and the median of a look: other tests run on this machine.
    """
    options = ["--live", "20000", "--turnovers", "3", "--looks-among", "100000", "--looks", "3000", "--asked", "0"]
    run = bench("turnover.py", "--on", store, "--json", *options)
    figures: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])[store]
    assert figures["tokens purged"] >= 3 * 20_000 - 2 * 20_000 / 30
    assert figures["high-water mark, of the first full state"] <= 1.3
    assert figures["CPU of a purge statement, most"] <= 20
    assert figures["find among 100000, median"] <= 2 * figures["find among 1000, median"]


@pytest.mark.wide
@pytest.mark.postgres
@pytest.mark.timeout(300)
def test_the_benches_measure_servers_on_both_stores_and_two_on_one(tmp_path: Path) -> None:
    """Not how fast they are, since other tests run on this machine; a wrong answer ends a bench with 2.

    One test, since no two benches run at once.
    """
    turnover = bench("turnover.py", "--quick", "--out", str(tmp_path / "turnover.md"))
    assert turnover.returncode in {0, 1}
    assert "introspection, one at a time, p99 among 20000 of that among 1000" in (tmp_path / "turnover.md").read_text()
    postgres = bench("postgres.py", "--quick", "--out", str(tmp_path / "postgres.md"))
    assert postgres.returncode == 0
    assert "revocation, opaque" in (tmp_path / "postgres.md").read_text()


def bench(script: str, *options: str) -> "subprocess.CompletedProcess[str]":
    """It ended, and warned of nothing."""
    command = [sys.executable, "-W", "error", str(BENCH / script), *options]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.stderr == ""
    return run
