"""A check and what it found."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "wrong", "cannot tell"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one check."""

    check: str
    """Its name, for `--skip` and JSON."""
    says: str
    """The sentence that is true where all is well."""
    verdict: Verdict
    seen: str = ""
    """What was seen instead, or why nothing can be said."""
    mend: tuple[str, ...] = ()
    """What to do: lines for the proxy that was named, or a sentence."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a check returns; the runner knows its name and its sentence."""

    verdict: Verdict
    seen: str = ""


OK = Found("ok")


def wrong(seen: str) -> Found:
    """The sentence is not true."""
    return Found("wrong", seen)


def cannot_tell(why: str) -> Found:
    """Something is missing, and `why` says what."""
    return Found("cannot tell", why)


@dataclass(frozen=True, slots=True)
class Check:
    """A row of the tables of checks."""

    name: str
    says: str
    run: Callable[..., Found]
    """Is given the target."""


Progress = Callable[[str], None]
Findings = Iterator[Finding]
