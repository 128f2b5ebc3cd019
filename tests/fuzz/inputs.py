"""One input: what is made of its number, what is done with it, what it costs, and what a finding says of it.

Rule 1: an input is known by its target and its number, on every machine and in every order.
Rule 2: whatever is raised that is no refusal of `core.errors` is a finding; so is what costs more CPU than it may.
"""

import time
from base64 import b64encode
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any, Protocol

from speed import cpu


class Target(Protocol):
    """Something that takes a stranger's bytes."""

    name: str
    at_least: Mapping[str, float]
    """Which share of the inputs must get how far, or they are no test of what lies behind."""
    most_cpu: float
    """Seconds of CPU that one input may cost."""

    def make(self, rng: Random) -> Any:
        """An input."""

    def feed(self, made: Any) -> Any:
        """What is made of it in production: timed.  Only refusals are caught."""

    def check(self, made: Any, fed: Any, rng: Random) -> set[str]:
        """How far it got; `AssertionError` if what was made of it is wrong."""

    def show(self, made: Any) -> tuple[bytes, ...]:
        """Its bytes."""


class Finding(AssertionError):
    """An input that is not refused as it should be."""


def try_input(target: Target, number: int, folder: Path) -> set[str]:
    """How far the input got.  `Finding` if something is wrong; then its bytes lie in `folder`."""
    rng = Random(f"{target.name}/{number}")
    made = target.make(rng)
    try:
        start = time.perf_counter()
        fed = target.feed(made)
        if time.perf_counter() - start > target.most_cpu:
            # CPU is no more than time, and dearer to ask for.  The machine is shared: slow once may be an accident.
            cost = min(_cost(target, made) for _ in range(3))
            assert cost <= cpu(target.most_cpu), f"{cost * 1000:.1f} ms of CPU"
        return target.check(made, fed, rng)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        raise Finding(_described(target, number, made, error, folder)) from error


def _cost(target: Target, made: Any) -> float:
    start = time.thread_time()
    target.feed(made)
    return time.thread_time() - start


def _described(target: Target, number: int, made: Any, error: BaseException, folder: Path) -> str:
    encoded = [b64encode(each).decode("ascii") for each in target.show(made)]
    file = folder / f"{target.name}-{number}.base64"
    file.write_text("\n".join(encoded) + "\n")
    shown = " ".join(encoded)
    return (
        f"{target.name} {number}: {type(error).__name__}: {error}\n"
        f"again:  python tests/fuzz/run.py {target.name} --only {number}\n"
        f"bytes, of {len(encoded)} parts, in {file}:\n{shown[:_SHOWN]}{' and more' if len(shown) > _SHOWN else ''}"
    )


def try_inputs(target: Target, first: int, count: int, folder: Path) -> Counter[str]:
    """How many inputs got how far.  `Finding` if something is wrong with one."""
    reached: Counter[str] = Counter()
    for number in range(first, first + count):
        reached.update(try_input(target, number, folder))
    return reached


def too_few(target: Target, reached: Mapping[str, int], count: int) -> dict[str, str]:
    """Where fewer inputs came than must."""
    return {
        stage: f"{reached.get(stage, 0)} of {count}, {share:.0%} must"
        for stage, share in target.at_least.items()
        if reached.get(stage, 0) < share * count
    }


_SHOWN = 3000
"""Characters of a finding's bytes that stand in its message."""
