"""The numbers of a server, as Prometheus reads them: the sum over its workers.

Rule 1: a label's values are ours and few; nothing that a request brings becomes one.
Rule 2: counting costs a request less than a microsecond; what is dear is done when somebody asks.
Rule 3: what is true of now is said by each worker every `SAMPLING` seconds; the worst of those heard of lately counts.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from certbound import __version__
from certbound.core import errors
from certbound.core.authentication import Step
from certbound.server.audit import Outcome
from certbound.server.tally import Tally

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

SAMPLING = 1.0
"""Seconds between two samples of what is true now."""
SILENCE = 5.0
"""Seconds after which a worker that said nothing is not asked any more."""

OTHER = "other"
BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """Something that is true now; `worst` chooses where workers differ."""

    name: str
    help: str
    worst: Callable[[Iterable[float]], float] = max
    label: tuple[str, str] | None = None


GAUGES = (
    Gauge("certbound_store_up", "1 if the store answers.", min),
    Gauge("certbound_clients", "Registered clients."),
    Gauge("certbound_trust_anchors", "Trust anchors that are loaded.", min),
    Gauge("certbound_signing_keys", "Keys that sign tokens or did, and are published.", min),
    Gauge("certbound_signing_key_age_seconds", "Age of the key that signs; absent where it is a file's."),
    Gauge("certbound_certificates_ending", "Registered certificates that end within 30 days, nothing outlasting them."),
    *(
        Gauge(
            "certbound_revocation_sources",
            "Lists and responders, by how they do: good, failing (what was read before counts), out of date, unread.",
            label=("state", state),
        )
        for state in ("good", "failing", "outdated", "unread")
    ),
)


class Numbers:
    """Counts for this process, and tells the sum of all."""

    def __init__(self, endpoints: Sequence[str], *, workers: int = 1) -> None:
        """Before the workers are forked; `endpoints` are the values of the label."""
        self._layout = layout = _Layout((*endpoints, OTHER))
        self._tally = Tally(layout.width, workers)
        self._mine: memoryview[float] | None = None
        self._requests = layout.requests
        self._seconds = layout.seconds

    def open(self) -> None:
        """This process counts from now on."""
        if self._mine is None:
            self._mine = self._tally.claim()
            for position in range(len(GAUGES)):
                self._mine[self._layout.gauges + position] = _ABSENT

    def answered(self, endpoint: str, outcome: Outcome, error: str, seconds: float) -> None:
        """One request, answered after `seconds`."""
        mine = self._mine
        if mine is None:
            return
        cell = self._requests.get((endpoint, outcome, error))
        if cell is None:
            cell = self._requests[self._layout.nearest(endpoint, outcome, error)]
        mine[cell] += 1
        start = self._seconds.get(endpoint) or self._seconds[OTHER]
        mine[start + bisect_left(BUCKETS, seconds)] += 1
        mine[start + len(BUCKETS) + 1] += seconds

    def refused_at(self, step: str) -> None:
        """An authentication was refused at this step."""
        if self._mine is not None:
            self._mine[self._layout.steps.get(step) or self._layout.steps[OTHER]] += 1

    def sample(self, values: Mapping[tuple[str, str], float | None]) -> None:
        """What is true now, by name and value of the label; None says nothing."""
        if self._mine is None:
            return
        for position, gauge in enumerate(GAUGES, self._layout.gauges):
            value = values.get((gauge.name, gauge.label[1] if gauge.label else ""))
            self._mine[position] = _ABSENT if value is None else value
        self._mine[0] = time.monotonic()  # the same clock in every process of this machine

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """All numbers and their content type, as the header field `accept` wants them."""
        from prometheus_client.exposition import choose_encoder  # noqa: PLC0415 - 60 ms that a start need not spend

        encode, content_type = choose_encoder(accept)
        return encode(self), content_type

    def collect(self) -> Iterable["Metric"]:
        """As prometheus_client asks a registry."""
        from prometheus_client.metrics_core import (  # noqa: PLC0415 - see above
            CounterMetricFamily,
            GaugeMetricFamily,
            HistogramMetricFamily,
        )

        rows = list(self._tally.rows())
        sums = [sum(column) for column in zip(*rows, strict=True)]
        layout = self._layout
        requests = CounterMetricFamily(
            "certbound_requests", "Requests answered.", labels=("endpoint", "outcome", "error")
        )
        for (endpoint, outcome, error), cell in layout.requests.items():
            if sums[cell] or (endpoint != OTHER and (outcome, error) in _FROM_THE_START):
                requests.add_metric((endpoint, outcome, error), sums[cell])
        yield requests
        seconds = HistogramMetricFamily("certbound_request_seconds", "Time to the answer.", labels=("endpoint",))
        for endpoint, start in layout.seconds.items():
            counts = accumulate(sums[start : start + len(BUCKETS) + 1])
            names = (*map(str, BUCKETS), "+Inf")
            seconds.add_metric((endpoint,), list(zip(names, counts, strict=True)), sums[start + len(BUCKETS) + 1])
        yield seconds
        steps = CounterMetricFamily(
            "certbound_authentication_refusals", "Authentications refused, by the question.", labels=("step",)
        )
        for step, cell in layout.steps.items():
            steps.add_metric((_STEPS.get(step, OTHER),), sums[cell])
        yield steps
        yield from _gauges(rows, layout, GaugeMetricFamily)


class _Layout:
    """Which cell of a row counts what; the same in every worker.  The first is when the row was last sampled."""

    def __init__(self, endpoints: Sequence[str]) -> None:
        outcomes = [(Outcome.DONE, ""), *((outcome, error) for outcome in _UNHAPPY for error in _ERRORS)]
        self.requests = {
            (endpoint, outcome, error): 1 + position
            for position, (endpoint, outcome, error) in enumerate(
                (endpoint, *each) for endpoint in endpoints for each in outcomes
            )
        }
        end = 1 + len(self.requests)
        span = len(BUCKETS) + 2  # the last bucket has no end; then the sum
        self.seconds = {endpoint: end + position * span for position, endpoint in enumerate(endpoints)}
        end += len(endpoints) * span
        self.steps = {step: end + position for position, step in enumerate((*_STEPS, OTHER))}
        self.gauges = end + len(self.steps)
        self.width = self.gauges + len(GAUGES)

    def nearest(self, endpoint: str, outcome: Outcome, error: str) -> tuple[str, Outcome, str]:
        """The key under which is counted what has none of its own."""
        endpoint = endpoint if endpoint in self.seconds else OTHER
        if outcome is Outcome.DONE:
            return endpoint, outcome, ""
        return endpoint, outcome, error if error in _ERRORS else OTHER


def _gauges(rows: Sequence["memoryview[float]"], layout: _Layout, family: Any) -> Iterable["Metric"]:
    now = time.monotonic()
    heard = [row for row in rows if row[0] and now - row[0] < SILENCE]
    families: dict[str, Any] = {}
    for position, gauge in enumerate(GAUGES, layout.gauges):
        values = [row[position] for row in heard if row[position] != _ABSENT]
        names = [gauge.label[0]] if gauge.label else []
        found = families.setdefault(gauge.name, family(gauge.name, gauge.help, labels=names))
        if values:
            found.add_metric([gauge.label[1]] if gauge.label else [], gauge.worst(values))
    yield from families.values()
    yield family("certbound_workers", "Processes that serve and said so lately.", value=len(heard))
    build = family("certbound_build_info", "1.", labels=("version",))
    build.add_metric([__version__], 1)
    yield build


def _wire_errors(root: type[errors.Refusal] = errors.Refusal) -> Iterable[str]:
    for each in root.__subclasses__():
        if getattr(each, "error", ""):
            yield each.error
        yield from _wire_errors(each)


_UNHAPPY = (Outcome.REFUSED, Outcome.THROTTLED, Outcome.FAILED)
_BY_REDIRECT = (
    "login_required", "consent_required", "interaction_required", "account_selection_required",
    "unmet_authentication_requirements", "unsupported_response_type",
)  # fmt: skip
"""What clients are told at the authorization endpoint alone."""
_ERRORS = (*dict.fromkeys(_wire_errors()), *_BY_REDIRECT, "server_error", OTHER)
_STEPS = {step.value: step.name.lower() for step in Step}
_FROM_THE_START = {(Outcome.DONE, ""), (Outcome.REFUSED, errors.InvalidClient.error)}
"""Told before there is any, so that the first is seen as a change."""
_ABSENT = -1.0
