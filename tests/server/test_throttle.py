"""certbound.server.throttle: limits on failed authentication that lock nobody out."""

import logging

import pytest

from certbound.core.clients import Method
from certbound.core.errors import AuthorizationPending, InvalidClient, InvalidGrant, Refusal, TemporarilyUnavailable
from certbound.server.audit import LOGGER
from certbound.server.call import Call
from certbound.server.throttle import NEIGHBOURS, Throttle, network_of
from certbound.server.watch import Watch


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def fails(throttle: Throttle, times: int = 1, **whose: str) -> int:
    """Retry-After of the last of so many failures."""
    wait = 0
    for _ in range(times):
        wait = throttle.failed(**{"thumbprint": "", "remote": "192.0.2.7", "client_id": "x", **whose}).retry_after
    return wait


def test_beyond_the_limit_one_is_told_to_wait() -> None:
    """Ten a minute are ten at once and then one every six seconds."""
    clock = Clock()
    throttle = Throttle(10, clock)
    assert fails(throttle, 10) == 0
    assert fails(throttle) == 6
    clock.now = 6.0
    assert fails(throttle) == 0
    assert fails(throttle) == 6
    clock.now = 120.0
    assert fails(throttle, 10) == 0


def test_who_goes_on_failing_waits_no_longer() -> None:
    """What is too many fills nothing."""
    clock = Clock()
    throttle = Throttle(10, clock)
    fails(throttle, 10_000)
    clock.now = 6.0
    assert fails(throttle) == 0


@pytest.mark.parametrize(
    "other",
    [
        {"thumbprint": "own"},
        {"thumbprint": "own", "remote": "198.51.100.1"},
        {"remote": "198.51.100.1"},
        {"remote": "2001:db8::1"},
        {"client_id": "y"},
    ],
)
def test_failures_of_one_are_not_those_of_another(other: dict[str, str]) -> None:
    """Another certificate, another network, another client id has all its attempts."""
    throttle = Throttle(10, Clock())
    fails(throttle, 50)
    assert fails(throttle) > 0
    assert fails(throttle, **other) == 0


def test_a_certificate_has_one_limit_wherever_it_is_and_whoever_it_claims_to_be() -> None:
    """It is proven; addresses and names are not."""
    throttle = Throttle(10, Clock())
    fails(throttle, 10, thumbprint="t")
    assert fails(throttle, thumbprint="t", remote="198.51.100.1", client_id="y") > 0


def test_one_network_has_a_limit_whatever_it_makes_up() -> None:
    """New certificates and new names cost nothing; after so many they are all told to wait."""
    throttle = Throttle(10, Clock())
    made_up = [fails(throttle, thumbprint=f"t{number}", remote="2001:db8::1") for number in range(10 * NEIGHBOURS + 1)]
    assert made_up[:-1] == [0] * (10 * NEIGHBOURS)
    assert made_up[-1] > 0
    assert fails(throttle, remote="2001:db8::ffff", client_id="z") > 0
    assert fails(throttle, remote="2001:db8:0:1::1", client_id="z") == 0


def test_a_flood_is_written_down_by_its_number() -> None:
    """Each up to the limit, the first beyond, and then how many there were."""
    clock = Clock()
    throttle = Throttle(10, clock)
    whose = {"thumbprint": "", "remote": "192.0.2.7", "client_id": "x"}
    written = [throttle.failed(**whose).is_written for _ in range(1000)]
    assert written == [True] * 11 + [False] * 989
    clock.now = 6.0
    verdict = throttle.failed(**whose)
    assert (verdict.is_written, verdict.unwritten) == (True, 989)


def test_memory_is_bounded_and_what_is_forgotten_is_forgiven() -> None:
    """A million senders are no more than the capacity."""
    throttle = Throttle(10, Clock(), capacity=100)
    fails(throttle, 11)
    for number in range(1000):
        fails(throttle, remote=f"198.51.{number // 250}.{number % 250}", client_id="a" * 100_000)
    assert throttle.remembered <= 100
    assert fails(throttle) == 0


@pytest.mark.parametrize(
    ("remote", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", ""),
        ("not:an:address", "not:an:address"),
    ],
)
def test_a_network_is_what_one_subscriber_has(remote: str, network: str) -> None:
    """An IPv4 address, 64 bits of an IPv6 one."""
    assert network_of(remote) == network


def test_while_the_store_is_away_nobody_fails(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever fails after it came back is told so, not to wait; and it is written."""
    caplog.set_level(logging.INFO, LOGGER)
    watch = Watch(throttle=Throttle(3, Clock()))
    call = Call(now=0.0, address="192.0.2.7")
    for _ in range(10):
        assert watch.refused("token", call, 0.0, TemporarilyUnavailable("away"), "away") == 0
    watch.refused("token", call, 0.0, InvalidGrant("wrong"), "wrong")
    assert written(caplog) == 11
    for _ in range(3):
        assert watch.refused("token", call, 0.0, InvalidClient("wrong"), "wrong") == 0
    assert watch.refused("token", call, 0.0, InvalidClient("wrong"), "wrong") > 0


def test_what_fails_by_our_fault_is_written_each_time_though_the_browser_is_sent_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A redirect that says so to the client is no refusal, whoever is refused after it is written."""
    caplog.set_level(logging.INFO, LOGGER)
    watch = Watch(throttle=Throttle(3, Clock()))
    for _ in range(10):
        call = Call(now=0.0, address="192.0.2.7")
        call.notes.fail("server_error")
        watch.answered("authorization", call, 0.0)
    watch.answered("authorization", asked_by(error="invalid_scope"), 0.0)
    assert written(caplog) == 11


def asked_by(method: str = "", error: str = "") -> Call:
    """A request of a client, which answered with a refusal if there is an `error`."""
    call = Call(now=0.0, address="192.0.2.7")
    call.notes.client_id, call.notes.method = "x", method
    if error:
        call.notes.refuse(error)
    return call


def written(caplog: pytest.LogCaptureFixture) -> int:
    return sum(record.name == LOGGER for record in caplog.records)


def test_what_is_no_failed_authentication_counts_apart() -> None:
    """Neither fills the other, for one client or for a network."""
    throttle = Throttle(10, Clock())
    for number in range(1000):
        throttle.failed(thumbprint="", remote="192.0.2.7", client_id=f"x{number}", is_authentication=False)
        throttle.failed(thumbprint="t", remote="192.0.2.7", client_id="", is_authentication=False)
    assert fails(throttle, 10) == 0
    assert fails(throttle, 10, thumbprint="t") == 0
    assert fails(throttle) > 0
    verdict = throttle.failed(thumbprint="", remote="192.0.2.8", client_id="x", is_authentication=False)
    assert verdict.is_written


@pytest.mark.parametrize("refusal", [InvalidGrant("wrong"), None], ids=["an error", "a page"])
@pytest.mark.parametrize("method", ["", Method.NONE])
def test_refusals_to_whoever_proved_nothing_are_written_up_to_the_limit(
    refusal: Refusal | None, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    """And the first authentication that fails after them is no failure too many."""
    caplog.set_level(logging.INFO, LOGGER)
    watch = Watch(throttle=Throttle(3, Clock()))
    for _ in range(100):
        if refusal:
            assert watch.refused("token", asked_by(method), 0.0, refusal, "wrong") == 0
        else:
            watch.answered("authorization", asked_by(method, "invalid_scope"), 0.0)
    assert written(caplog) == 4
    assert watch.refused("token", asked_by(), 0.0, InvalidClient("wrong"), "wrong") == 0


def test_a_client_that_proved_who_it_is_is_written_each_time(caplog: pytest.LogCaptureFixture) -> None:
    """It is known whose failures they are."""
    caplog.set_level(logging.INFO, LOGGER)
    watch = Watch(throttle=Throttle(3, Clock()))
    for _ in range(10):
        watch.refused("token", asked_by(Method.SELF_SIGNED_TLS_CLIENT_AUTH), 0.0, InvalidGrant("wrong"), "wrong")
        watch.answered("authorization", asked_by(Method.SELF_SIGNED_TLS_CLIENT_AUTH, "invalid_scope"), 0.0)
    assert written(caplog) == 20


def test_a_device_that_waits_hides_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """It is told to ask again, which is no refusal to count."""
    caplog.set_level(logging.INFO, LOGGER)
    watch = Watch(throttle=Throttle(3, Clock()))
    for _ in range(100):
        watch.refused("token", asked_by(Method.NONE), 0.0, AuthorizationPending("not yet"), "not yet")
    assert written(caplog) == 0
    watch.refused("token", asked_by(Method.NONE), 0.0, InvalidGrant("wrong"), "wrong")
    assert written(caplog) == 1
