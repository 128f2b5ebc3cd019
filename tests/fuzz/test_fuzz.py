"""Certificates are attacker's bytes: whatever is done to them, each is refused as it should be, or it is what it says.

Inputs are known by their number, so what fails here fails everywhere; `make fuzz` tries a million.
"""

from collections import Counter
from pathlib import Path
from random import Random

import pytest

from fuzz.inputs import Finding, Target, too_few, try_inputs
from fuzz.targets import TARGETS

pytestmark = pytest.mark.filterwarnings("ignore")  # as in production, where `cryptography` warns of odd certificates

BATCH = 2000


def tried(name: str, first: int, count: int, folder: Path) -> Counter[str]:
    """How far they got; enough of them far enough."""
    reached = try_inputs(TARGETS[name], first, count, folder)
    assert not too_few(TARGETS[name], reached, count)
    return reached


@pytest.mark.parametrize(
    "first", [0, BATCH, *(pytest.param(first, marks=pytest.mark.wide) for first in range(2 * BATCH, 20_000, BATCH))]
)
def test_certificates_that_are_mutated_and_signed_again(first: int, tmp_path: Path) -> None:
    """20,000 of them, more than half with names and a path to judge: a refusal or the truth, in 20 ms of CPU each."""
    tried("certificates", first, BATCH, tmp_path)


@pytest.mark.parametrize(
    ("name", "count"),
    [("names", 1000), ("jwks", 300), ("pem", 300), ("crls", 300), ("answers", 300), ("forwarded", 1000)],
)
def test_other_bytes_of_strangers(name: str, count: int, tmp_path: Path) -> None:
    """Names, JWK Sets, files, revocation lists, answers of OCSP responders and headers of proxies likewise."""
    tried(name, 0, count, tmp_path)


@pytest.mark.parametrize("name", TARGETS)
def test_an_input_is_known_by_its_number(name: str) -> None:
    """The same number is the same input, whatever was made before it."""
    target = TARGETS[name]

    def bytes_of(number: int) -> tuple[bytes, ...]:
        return target.show(target.make(Random(f"{name}/{number}")))

    made = [bytes_of(number) for number in range(20)]
    assert [bytes_of(number) for number in reversed(range(20))] == made[::-1]
    assert len(set(made)) > 10


class Broken:
    """A target that fails on one input."""

    name = "broken"
    at_least = {"far": 0.5}  # noqa: RUF012 - a target is made once
    most_cpu = 0.02

    def make(self, rng: Random) -> int:
        return rng.randrange(4)

    def show(self, made: int) -> tuple[bytes, ...]:
        return (bytes([made]), b"behind")

    def feed(self, made: int) -> int:
        return 1 // made

    def check(self, made: int, fed: int, rng: Random) -> set[str]:
        return set()


def test_a_finding_says_how_to_have_it_again(tmp_path: Path) -> None:
    """Its target and number, the command, and a file with its bytes."""
    target: Target = Broken()
    with pytest.raises(
        Finding, match=r"broken \d+: ZeroDivisionError(.|\n)*run\.py broken --only \d+(.|\n)*AA== YmVoaW5k"
    ):
        try_inputs(target, 0, 100, tmp_path)
    [file] = tmp_path.iterdir()
    assert file.read_text() == "AA==\nYmVoaW5k\n"
    assert too_few(target, Counter(far=4), 10) == {"far": "4 of 10, 50% must"}
