"""How a source of revocation information is doing: told to the log when it changes, and to whoever asks for numbers."""

import logging
from dataclasses import dataclass
from enum import StrEnum

_log = logging.getLogger("certbound.trust.revocation")


class SourceKind(StrEnum):
    """What is read there."""

    CRL_FILE = "CRL file"
    CRL_URL = "CRL"
    OCSP = "OCSP responder"


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """One source at one moment.  Times are seconds since the epoch."""

    kind: SourceKind
    where: str
    last_success: float | None
    """When it was last read."""
    ends_at: float | None
    """When what was read counts no more; None where nothing was, and for responders."""
    entries: int
    """Revoked certificates in its lists; 0 for responders."""
    failures: int
    """In a row, since the last success."""
    problem: str
    """Of the last failure; empty if the last attempt succeeded."""

    def age(self, now: float) -> float | None:
        """Seconds since the last success."""
        return None if self.last_success is None else now - self.last_success


class Source:
    """The state of one source, and a line in the log for each change of it."""

    def __init__(self, kind: SourceKind, where: str) -> None:
        self.kind = kind
        self.where = where
        self.last_success: float | None = None
        self.ends_at: float | None = None
        self.entries = 0
        self.failures = 0
        self.problem = ""
        self._is_told_stale = False
        self._remark = ""

    def succeeded(self, now: float, *, entries: int = 0, ends_at: float | None = None) -> None:
        """It was read at `now`."""
        if self.failures:
            _log.warning("%s %s is available again after %d failures", self.kind, self.where, self.failures)
        elif self.last_success is None:
            _log.info("%s %s is available", self.kind, self.where)
        self.failures, self.problem = 0, ""
        self.last_success, self.entries, self.ends_at = now, entries, ends_at
        if ends_at is None or ends_at > now:
            self._is_told_stale = False

    def failed(self, problem: str) -> None:
        """It could not be read; what was read before stays."""
        if not self.failures:
            _log.error("%s %s is unavailable, what is known of it stays: %s", self.kind, self.where, problem)
        self.failures += 1
        self.problem = problem

    def remark(self, text: str, about: str = "") -> None:
        """Something is odd about what was read; said once, and of the first certificate that it is about."""
        if text != self._remark:
            _log.warning("%s %s: %s", self.kind, self.where, f"{text} ({about})" if about else text)
        self._remark = text

    def look(self, now: float) -> None:
        """Says, once, that what was read is out of date."""
        if self.ends_at is not None and self.ends_at <= now and not self._is_told_stale:
            self._is_told_stale = True
            _log.error("%s %s is out of date: whom it does not revoke is unknown from now on", self.kind, self.where)

    def status(self) -> SourceStatus:
        return SourceStatus(
            kind=self.kind,
            where=self.where,
            last_success=self.last_success,
            ends_at=self.ends_at,
            entries=self.entries,
            failures=self.failures,
            problem=self.problem,
        )


def retry_after(failures: int, most: float) -> float:
    """Seconds to the next attempt after so many failures in a row: 5, 10, 20 … 300, and never more than `most`."""
    return min(5.0 * 2.0 ** min(failures - 1, 6), 300.0, most)
