"""What is told of each request, once it is decided: to the audit, to the numbers, and to whoever fails too often.

Rule 1: a request is counted always, and written down as far as the audit wants; documents that anybody may read, and
pages that ask a person something, are no decisions, and are counted only.
Rule 2: the limit of `throttle` bounds what is written of refusals to those who proved nothing, public clients too.
Failed authentications count by themselves, and they alone are answered 429 beyond it.  Nothing counts while the store
is away: that is no fault of whoever asks.
Rule 3: a page or a redirect that is a refusal (`Notes.refuse`) is told as one.
"""

import time
from dataclasses import dataclass, field

from certbound.core.clients import Method
from certbound.core.errors import AuthorizationPending, InvalidClient, Refusal, TemporarilyUnavailable
from certbound.server.audit import AUDIT, Audit, Decision, Outcome
from certbound.server.call import Call
from certbound.server.metrics import Numbers
from certbound.server.throttle import Throttle, Verdict

ENDPOINTS = (
    "token", "introspection", "revocation", "registration", "metadata", "jwks", "status_list", "status_lists", "health",
    "authorization", "pushed_authorization_request", "device_authorization", "userinfo",
    "interaction", "device", "account", "logout", "login_application",
)  # fmt: skip
"""The values of the label `endpoint`; a request for nothing that is here is `other`."""
DOCUMENTS = frozenset({"metadata", "jwks", "status_list", "status_lists", "health", ""})
"""What is answered to anybody, so that nothing is decided."""
FAILURES_PER_MINUTE = 60


def _throttle() -> Throttle:
    return Throttle(FAILURES_PER_MINUTE, time.monotonic)


@dataclass(frozen=True, slots=True)
class Watch:
    """One for each process."""

    numbers: Numbers = field(default_factory=lambda: Numbers(ENDPOINTS))
    throttle: Throttle = field(default_factory=_throttle)
    audit: Audit = AUDIT

    def answered(self, endpoint: str, call: Call, started: float) -> None:
        """`call` was answered by its endpoint; it `started` at this count of `time.perf_counter`."""
        notes = call.notes
        self.numbers.answered(endpoint, notes.outcome, notes.error, time.perf_counter() - started)
        if notes.outcome is not Outcome.DONE:
            free = notes.outcome is Outcome.FAILED or _has_proven(call)
            verdict = _WRITTEN if free else self._count(call, is_authentication=False)
            if verdict.is_written:
                self.audit.record(
                    _decision(endpoint, call, notes.outcome, error=notes.error, unwritten=verdict.unwritten)
                )
        elif endpoint not in DOCUMENTS and notes.is_decision and self.audit.wants(Outcome.DONE):
            self.audit.record(_decision(endpoint, call, Outcome.DONE))

    def refused(self, endpoint: str, call: Call, started: float, refusal: Refusal, reason: str) -> int:
        """`call` was refused, and why; the seconds that its sender is to wait, if it is one failure too many."""
        failed, step = isinstance(refusal, InvalidClient), getattr(refusal, "step", "")
        is_ours = isinstance(refusal, TemporarilyUnavailable)
        is_open = isinstance(refusal, AuthorizationPending)  # nothing was decided
        free = is_ours or is_open or _has_proven(call)
        verdict = _WRITTEN if free else self._count(call, is_authentication=failed)
        wait = verdict.retry_after if failed else 0
        outcome = Outcome.FAILED if is_ours else Outcome.THROTTLED if wait else Outcome.REFUSED
        self.numbers.answered(endpoint, outcome, refusal.error, time.perf_counter() - started)
        if failed:
            self.numbers.refused_at(step)
        if verdict.is_written and not is_open:
            self.audit.record(
                _decision(
                    endpoint, call, outcome,
                    error=refusal.error, step=step, reason=reason, unwritten=verdict.unwritten,
                )
            )  # fmt: skip
        return wait

    def strayed(self) -> None:
        """A request for nothing that is here."""
        self.numbers.answered("", Outcome.REFUSED, "invalid_request", 0)

    def failed(self, endpoint: str, call: Call, started: float) -> None:
        """A defect of ours, which the log tells more of."""
        self.numbers.answered(endpoint, Outcome.FAILED, "server_error", time.perf_counter() - started)
        self.audit.record(_decision(endpoint, call, Outcome.FAILED, error="server_error"))

    def _count(self, call: Call, *, is_authentication: bool) -> Verdict:
        return self.throttle.failed(
            thumbprint=call.peer.leaf.thumbprint if call.peer else "",
            remote=call.address,
            client_id=call.notes.client_id,
            is_authentication=is_authentication,
        )


def _has_proven(call: Call) -> bool:
    return call.notes.method not in {"", Method.NONE}


def _decision(
    endpoint: str,
    call: Call,
    outcome: Outcome,
    *,
    error: str = "",
    step: str = "",
    reason: str = "",
    unwritten: int = 0,
) -> Decision:
    notes = call.notes
    return Decision(
        time=call.now,
        what=endpoint,
        outcome=outcome,
        request_id=call.request_id,
        client_id=notes.client_id,
        method=notes.method,
        thumbprint=call.peer.leaf.thumbprint if call.peer else "",
        remote=call.address,
        error=error,
        step=step,
        reason=reason or notes.reason,
        jti=notes.jti,
        grant_id=notes.grant_id,
        scope=notes.scope,
        audience=notes.audience,
        subject=notes.subject,
        unwritten=unwritten,
    )


_WRITTEN = Verdict(0, 0, is_written=True)
