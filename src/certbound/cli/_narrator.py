"""Tells a story in numbered steps, and knows for each how it must end.

Rule: a step that ends otherwise, or not at all, is shown and counted; nothing else decides the outcome.
"""

import logging
import os
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import msgspec
import typer

from certbound.core.display import shown
from certbound.core.errors import CertboundError


@dataclass(frozen=True, slots=True)
class Outcome:
    """What comes back: an HTTP status, and the error that a refusal names."""

    status: int
    error: str = ""

    def __str__(self) -> str:
        return f"{self.status} {self.error}".rstrip()


@dataclass(frozen=True, slots=True)
class Answer:
    """An outcome, and the id under which the log knows the reason."""

    outcome: Outcome
    request_id: str = ""
    detail: str = ""
    """What the answer holds, if that is worth a line."""
    complaint: str = ""
    """What is wrong with an answer whose status is right."""


def read_answer(response: httpx.Response) -> Answer:
    """The answer in a response of the authorization server or of the API."""
    try:
        document = msgspec.json.decode(response.content, type=dict[str, object])
    except msgspec.MsgspecError:
        document = {}
    detail = document.get("message") if response.status_code == 200 else ""
    return Answer(
        Outcome(response.status_code, str(document.get("error", ""))),
        str(document.get("request_id", "")),
        str(detail or ""),
    )


@dataclass(slots=True)
class Narrator:
    """Writes to standard output."""

    reasons: Sequence[str]
    """What the servers' log said so far."""
    colour: bool
    steps: int = 0
    wrong: int = 0

    def title(self, text: str) -> None:
        self._write(text, bold=True)

    def chapter(self, text: str) -> None:
        self._write("")
        self._write(text, bold=True)

    def say(self, text: str = "") -> None:
        """A paragraph."""
        for line in _wrapped(text) or [""]:
            self._write(line)

    def show(self, *lines: str) -> None:
        """Lines as they are."""
        for line in lines:
            self._write(f"     {shown(line)}".rstrip())

    def step(self, tried: str, expected: Outcome, act: Callable[[], Answer]) -> None:
        """`tried` is done by `act` and ends as `expected`; else the story went wrong."""
        self.steps += 1
        for line in _wrapped(f"{self.steps:3}. {tried}", 5):
            self._write(line)
        try:
            answer = act()
        except (CertboundError, httpx.HTTPError, OSError, ValueError) as error:
            self._went_wrong(f"no answer: {error}", expected)
            return
        if answer.outcome != expected:
            self._went_wrong(str(answer.outcome), expected)
        elif answer.complaint:
            self._went_wrong(f"{answer.outcome}, but {answer.complaint}", expected)
        else:
            self._write(f"     -> {answer.outcome}", colour=typer.colors.GREEN)
        for remark in (answer.detail, *(f"why, in the log: {reason}" for reason in self._reasons_of(answer))):
            for line in _wrapped(f"        {remark}", 10) if remark else ():
                self._write(line, dim=True)

    def _went_wrong(self, came: str, expected: Outcome) -> None:
        self.wrong += 1
        self._write(f"     -> {shown(came)}   WRONG: it must be {expected}", colour=typer.colors.RED, bold=True)

    def _reasons_of(self, answer: Answer) -> Iterator[str]:
        """The reason is in the log only; the peer has nothing but the request id."""
        if not answer.request_id:
            return
        for line in self.reasons:
            if answer.request_id in line:
                yield line.partition(f": {answer.outcome.error}: ")[2] or line

    def _write(self, text: str, *, colour: str | None = None, bold: bool = False, dim: bool = False) -> None:
        typer.echo(typer.style(text, fg=colour, bold=bold, dim=dim) if self.colour and text else text)


@contextmanager
def listening_to_the_log() -> Iterator[list[str]]:
    """What the servers log in the block, instead of where it goes otherwise."""
    log = logging.getLogger("certbound")
    before = log.handlers[:], log.level, log.propagate
    lines: list[str] = []
    log.handlers[:] = [_Lines(lines)]
    log.propagate = False
    log.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        log.handlers[:], log.level, log.propagate = before[0], before[1], before[2]
        log.setLevel(before[1])


class _Lines(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(record.getMessage())


def _wrapped(text: str, indent: int = 0) -> list[str]:
    return textwrap.wrap(
        shown(text), _WIDTH, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )


def wants_colour() -> bool:
    """On a terminal that can, unless the person said no (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


_WIDTH = 100
