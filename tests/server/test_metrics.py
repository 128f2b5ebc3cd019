"""certbound.server.metrics and tally: the numbers of all workers, and no label that a request brings."""

import os
import re
import signal

import pytest

from certbound import __version__
from certbound.server.audit import Outcome
from certbound.server.login_application import REJECTIONS
from certbound.server.metrics import SILENCE, Numbers
from certbound.server.tally import Tally

ENDPOINTS = ("token", "introspection")


def text_of(numbers: Numbers) -> str:
    return numbers.exposition("")[0].decode()


def value(numbers: Numbers, sample: str) -> float | None:
    """The value of a sample, written as it is exposed."""
    found = re.search(rf"^{re.escape(sample)} (\S+)$", text_of(numbers), re.MULTILINE)
    return float(found[1]) if found else None


@pytest.fixture
def numbers() -> Numbers:
    made = Numbers(ENDPOINTS)
    made.open()
    return made


def in_a_child(run: object) -> int:
    """`run` in a process of its own, which dies as if it was killed; its wait status."""
    pid = os.fork()
    if pid == 0:
        try:
            run()  # type: ignore[operator]
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


def test_requests_are_counted_by_endpoint_outcome_and_error(numbers: Numbers) -> None:
    """And their time by endpoint."""
    numbers.answered("token", Outcome.DONE, "", 0.0004)
    numbers.answered("token", Outcome.DONE, "", 0.3)
    numbers.answered("token", Outcome.REFUSED, "invalid_client", 20.0)
    assert value(numbers, 'certbound_requests_total{endpoint="token",error="",outcome="done"}') == 2
    assert value(numbers, 'certbound_requests_total{endpoint="token",error="invalid_client",outcome="refused"}') == 1
    assert value(numbers, 'certbound_request_seconds_bucket{endpoint="token",le="0.00025"}') == 0
    assert value(numbers, 'certbound_request_seconds_bucket{endpoint="token",le="0.0005"}') == 1
    assert value(numbers, 'certbound_request_seconds_bucket{endpoint="token",le="0.5"}') == 2
    assert value(numbers, 'certbound_request_seconds_bucket{endpoint="token",le="+Inf"}') == 3
    assert value(numbers, 'certbound_request_seconds_count{endpoint="token"}') == 3
    assert value(numbers, 'certbound_request_seconds_sum{endpoint="token"}') == pytest.approx(20.3004)


def test_no_label_is_made_by_a_request(numbers: Numbers) -> None:
    """What has no place of its own is counted as other."""
    before = len(text_of(numbers).splitlines())
    for number in range(1000):
        numbers.answered(f"made up {number}", Outcome.REFUSED, f"made up {number}", 0.001)
        numbers.refused_at(f"made up {number}")
    assert len(text_of(numbers).splitlines()) <= before + 1
    assert value(numbers, 'certbound_requests_total{endpoint="other",error="other",outcome="refused"}') == 1000
    assert value(numbers, 'certbound_authentication_refusals_total{step="other"}') == 1000


@pytest.mark.parametrize("error", sorted(REJECTIONS))
def test_what_clients_are_told_by_redirect_has_a_name(numbers: Numbers, error: str) -> None:
    numbers.answered("token", Outcome.REFUSED, error, 0.001)
    assert value(numbers, f'certbound_requests_total{{endpoint="token",error="{error}",outcome="refused"}}') == 1


def test_refused_authentications_are_counted_by_the_question(numbers: Numbers) -> None:
    """By its name, which stays when its sentence is written better."""
    numbers.refused_at("the certificate is valid now")
    assert value(numbers, 'certbound_authentication_refusals_total{step="validity"}') == 1


def test_every_worker_adds_and_a_dead_one_keeps_what_it_counted() -> None:
    """Three generations of workers on two rows."""
    numbers = Numbers(ENDPOINTS, workers=2)
    numbers.open()

    def work() -> None:
        other = numbers
        other._mine = None  # a worker opens for itself; here the parent is a worker too
        other.open()
        for _ in range(100):
            other.answered("token", Outcome.DONE, "", 0.001)

    for _ in range(3):
        assert in_a_child(work) == signal.SIGKILL
    numbers.answered("token", Outcome.DONE, "", 0.001)
    assert value(numbers, 'certbound_requests_total{endpoint="token",error="",outcome="done"}') == 301


def test_a_row_belongs_to_one_living_process() -> None:
    """More processes than rows cannot count, and say so."""
    tally = Tally(4, 2)
    tally.claim()[0] = 1
    told, tell = os.pipe()

    def claim() -> None:
        tally.claim()[0] += 10
        pid = os.fork()
        if pid == 0:
            try:
                tally.claim()
            except RuntimeError:
                os.write(tell, b"refused")
            os._exit(0)
        os.waitpid(pid, 0)

    in_a_child(claim)
    assert os.read(told, 10) == b"refused"
    assert [row[0] for row in tally.rows()] == [1, 10]
    os.close(told)
    os.close(tell)


def test_the_worst_of_the_workers_counts_and_silence_does_not(
    numbers: Numbers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gauge is true now or it is not there."""
    assert value(numbers, "certbound_workers") == 0
    assert value(numbers, "certbound_store_up") is None
    numbers.sample({("certbound_store_up", ""): 1, ("certbound_clients", ""): 7, ("certbound_trust_anchors", ""): None})
    assert value(numbers, "certbound_workers") == 1
    assert value(numbers, "certbound_store_up") == 1
    assert value(numbers, "certbound_clients") == 7
    assert value(numbers, "certbound_trust_anchors") is None
    import time

    now = time.monotonic()
    monkeypatch.setattr("time.monotonic", lambda: now + SILENCE + 1)
    assert value(numbers, "certbound_workers") == 0
    assert value(numbers, "certbound_clients") is None


def test_both_formats_are_spoken(numbers: Numbers) -> None:
    """Prometheus text, and OpenMetrics for who asks for it; they can be parsed."""
    from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
    from prometheus_client.parser import text_string_to_metric_families as plain

    text, content_type = numbers.exposition("")
    assert content_type.startswith("text/plain")
    names = {each.name for each in plain(text.decode())}
    text, content_type = numbers.exposition("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert names == {each.name for each in open_metrics(text.decode())}
    assert {"certbound_requests", "certbound_request_seconds", "certbound_build_info"} <= names
    assert value(numbers, f'certbound_build_info{{version="{__version__}"}}') == 1


def test_who_did_not_open_counts_nothing() -> None:
    """The parent of workers is none."""
    numbers = Numbers(ENDPOINTS)
    numbers.answered("token", Outcome.DONE, "", 0.1)
    numbers.refused_at("")
    numbers.sample({})
    assert value(numbers, 'certbound_requests_total{endpoint="token",error="",outcome="done"}') == 0


def test_every_route_has_numbers_of_its_own() -> None:
    """A new endpoint that nobody put on the list would be counted as other."""
    from certbound.core.clients import Method
    from certbound.core.metadata import DIRECT_ENDPOINTS, Offer
    from certbound.core.scope import Scope
    from certbound.core.well_known import Issuer
    from certbound.server.routes import make_routes
    from certbound.server.watch import ENDPOINTS as ALL

    offer = Offer(
        issuer=Issuer("https://as.example"), mtls_base=None, scope=Scope(frozenset({"read"})),
        grant_types=frozenset({"client_credentials"}), methods=frozenset(Method), can_bind=True,
        endpoints=frozenset(DIRECT_ENDPOINTS),
    )  # fmt: skip
    _, routes = make_routes(offer)
    names = {route.name for route in (*routes._exact.values(), *routes._open.values())}
    assert names <= set(ALL)
    assert {"token", "introspection", "revocation", "registration", "jwks", "metadata"} <= names
