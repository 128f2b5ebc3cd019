"""One structured event for each decision: who asked for what, with which certificate, and why it was refused.

Rule 1: no token, secret, key or certificate is in an event: tokens are told by `jti`, grants by their id, certificates
by their thumbprint, and what others wrote passes `core.display.bounded`.
Rule 2: every value that others can choose has a bound and is one printable line.
Rule 3: an event is written before the answer is sent, and what is not written costs next to nothing.
"""

import logging
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec
from msgspec.structs import astuple

from certbound.core.display import bounded

LOGGER = "certbound.audit"
"""Refusals and what people change are warnings there, all else is info; `log` decides what is written."""


class Outcome(StrEnum):
    """How a decision ended."""

    DONE = "done"
    REFUSED = "refused"
    THROTTLED = "throttled"
    """Refused, as were so many before it that its sender is told to wait."""
    FAILED = "failed"
    """Not decided: something that is needed did not answer, or there is a defect."""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """One event; what is empty is left out."""

    time: float
    """Seconds since the epoch."""
    what: str
    """The endpoint, or what was changed."""
    outcome: Outcome = Outcome.DONE
    request_id: str = ""
    actor: str = ""
    """Who asked, where it was no client: the person at the command line."""
    client_id: str = ""
    """As claimed; proven where the outcome is `done`."""
    method: str = ""
    """How the client proved who it is."""
    thumbprint: str = ""
    """`x5t#S256` of the certificate on the connection."""
    remote: str = ""
    """The address the request came from."""
    error: str = ""
    """What the sender was told."""
    step: str = ""
    """Which question had the wrong answer."""
    reason: str = ""
    """Why; nobody but this event says so."""
    jti: str = ""
    """The token that was given, or that the decision is about."""
    grant_id: str = ""
    scope: str = ""
    audience: str = ""
    subject: str = ""
    """What the decision is about, where it is no token."""
    unwritten: int = 0
    """How many like it were decided before without an event, because there were too many."""
    told: str = ""
    """The whole in a sentence for people, where what `sentence` makes of the rest would be none."""

    def sentence(self) -> str:
        """What is said, on one line for people."""
        if self.told:
            return bounded(self.told, 700)
        said = self.fields()
        parts = [f"{word} {said[name]}" for name, word in _WORDS if name in said]
        step = f"it is not so that {self.step}" if self.step else ""
        why = ": ".join(filter(None, (self.error, step, said.get("reason"))))
        return ": ".join(filter(None, (f"{self.what} {self.outcome}", ", ".join(parts), why)))

    def fields(self) -> dict[str, Any]:
        """What is said, by the names under which it is written."""
        said: dict[str, Any] = {"what": self.what, "outcome": self.outcome}
        for value, (name, most) in zip(astuple(self)[_FIRST_TEXT:], _TEXTS, strict=False):
            if value:
                said[name] = bounded(value, most) if most else value
        if self.unwritten:
            said["unwritten"] = self.unwritten
        return said


class Notes:
    """What an endpoint tells of its decision while it makes it; `audit` reads it afterwards."""

    __slots__ = (
        "audience", "client_id", "error", "grant_id", "is_decision", "jti", "method", "outcome", "reason", "scope",
        "subject",
    )  # fmt: skip

    def __init__(self) -> None:
        self.client_id = self.method = self.jti = self.grant_id = self.scope = self.audience = self.subject = ""
        self.reason = ""  # of an answer that is no refusal, and yet not what was asked for
        self.is_decision = True  # False where a person was shown a page, or the way to one
        self.outcome, self.error = Outcome.DONE, ""

    def refuse(self, error: str, *, wait: int = 0) -> None:
        """The answer is a page or a redirect, and a refusal all the same; `wait`: the seconds its sender is told."""
        self.outcome, self.error = Outcome.THROTTLED if wait else Outcome.REFUSED, error

    def fail(self, error: str) -> None:
        """The same, and it is ours: what was asked for was right, and could not be done."""
        self.outcome, self.error = Outcome.FAILED, error


class DecisionHandler(logging.Handler):
    """Takes decisions as they are: with a record made for each, the line would cost three times as much."""

    def take(self, decision: Decision, level: int) -> None:
        """It is written when this returns, as far as that is possible; if not, nobody else suffers."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Audit:
    """Writes decisions."""

    _logger: logging.Logger = field(default=logging.getLogger(LOGGER))

    def wants(self, outcome: Outcome) -> bool:
        """Whether anybody reads decisions that end so; others need not be put together."""
        return self._logger.isEnabledFor(_LEVELS[outcome])

    def record(self, decision: Decision, *, level: int | None = None) -> None:
        """One event; `level` is that of the outcome unless stated."""
        level = _LEVELS[decision.outcome] if level is None else level
        if not self._logger.isEnabledFor(level):
            return
        handlers = self._logger.handlers
        if len(handlers) == 1 and isinstance(handlers[0], DecisionHandler) and not self._logger.propagate:
            handlers[0].take(decision, level)
            return
        # A record of its own: who called is no news here, and finding out takes longer than the rest.
        record = logging.LogRecord(self._logger.name, level, __file__, 0, _Sentence(decision), None, None)
        record.created, record.msecs = decision.time, decision.time % 1 * 1000
        record.fields = decision.fields()
        self._logger.handle(record)


AUDIT = Audit()


class _Sentence:
    """Put together when somebody reads it."""

    __slots__ = ("_decision",)

    def __init__(self, decision: Decision) -> None:
        self._decision = decision

    def __str__(self) -> str:
        return self._decision.sentence()


_LEVELS = {
    Outcome.DONE: logging.INFO,
    Outcome.REFUSED: logging.WARNING,
    Outcome.THROTTLED: logging.WARNING,
    Outcome.FAILED: logging.ERROR,
}
_FIRST_TEXT = Decision.__struct_fields__.index("request_id")
_TEXTS: tuple[tuple[str, int], ...] = (
    ("request_id", 0),
    ("actor", 100),
    ("client_id", 100),
    ("method", 0),
    ("x5t#S256", 0),
    ("remote", 64),
    ("error", 0),
    ("step", 0),
    ("reason", 500),
    ("jti", 64),
    ("grant_id", 64),
    ("scope", 500),
    ("audience", 500),
    ("subject", 300),
)
"""Under which name the members from `request_id` on are written, and the most characters; 0 for what nobody else
chooses."""
_WORDS = (
    ("request_id", "request"),
    ("actor", "asked by"),
    ("client_id", "client"),
    ("method", "by"),
    ("x5t#S256", "certificate"),
    ("remote", "from"),
    ("subject", "about"),
    ("jti", "token"),
    ("grant_id", "grant"),
    ("scope", "scope"),
    ("audience", "for"),
    ("unwritten", "not written before:"),
)
"""What people are told of an event, and how it is introduced."""
