"""The targets of the coverage-guided fuzzer, without it: its seeds are read, and a wrong reading would be noticed."""

from random import Random

import pytest

from certbound.tls.forwarded import _values
from fuzz.atheris_targets import TARGETS

pytestmark = pytest.mark.filterwarnings("ignore")  # as in production, where `cryptography` warns of odd certificates


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_read_as_a_strict_reader_reads_them(name: str) -> None:
    """And what becomes of them when a few bytes are others is, too."""
    target, rng = TARGETS[name], Random(name)
    seeds = target.seeds()
    assert sum(map(target.feed, seeds)) >= len(seeds) / 2
    for _ in range(60):
        seed = bytearray(rng.choice(seeds))
        for _ in range(rng.choice((1, 1, 3))):
            at = rng.randrange(len(seed) + 1)
            seed[at : at + rng.choice((0, 1))] = rng.choice((*target.words, b"\x00", b"A", b""))
        target.feed(bytes(seed[: target.most]))


def test_a_form_decoder_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a plus became a space, what is read is no longer what stands there."""
    decoded = _values.percent_decoded
    monkeypatch.setattr(
        "certbound.tls.forwarded.aws_alb.percent_decoded", lambda value: decoded(value.replace(b"+", b" "))
    )
    target = TARGETS["aws-alb"]
    [seed, *_] = [each for each in target.seeds() if b"+" in each]
    with pytest.raises(AssertionError, match="and strictly"):
        target.feed(seed)
