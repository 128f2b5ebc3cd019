"""Self-signed clients that publish their certificates: rotation under load and flood, a dead source, removal."""

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from certbound.core.certificate import read_certificate
from certbound.core.jwks import make_jwks
from certbound.trust import published
from certbound.trust.authority import Issued, self_signed
from client.served import Served, served
from e2e.world import World, world

SELF_SIGNED = {"token_endpoint_auth_method": "self_signed_tls_client_auth"}
LIFE = 0.5
"""Seconds that a set lives in these tests, most of which publish with `max-age=0`."""


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """It may fetch from loopback."""
    folder = tmp_path_factory.mktemp("published")
    with world(folder, fetch__private_addresses=True, fetch__ca="ca.pem", fetch__timeout=2) as running:
        running.register("pki", token_endpoint_auth_method="tls_client_auth", tls_client_auth_san_dns="pki.example")
        yield running


@pytest.fixture(autouse=True)
def _short_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "LEAST_LIFETIME", LIFE)
    monkeypatch.setattr(published, "INTERVAL", 0.2)


@pytest.fixture
def source(deployment: World, tmp_path: Path) -> Iterator[Served]:
    with publishing(deployment, tmp_path) as running:
        yield running


@contextlib.contextmanager
def publishing(deployment: World, folder: Path) -> Iterator[Served]:
    """A client's own https server."""
    certificate = deployment.authority.issue("CN=source", dns=["localhost"], usage="server")
    with served(folder, certificate=certificate) as running:
        yield running


def publish(source: Served, path: str, *issued: Issued, max_age: int = 0) -> str:
    document = make_jwks(read_certificate(each.der) for each in issued)
    source.answer(path, document, **{"cache-control": f"max-age={max_age}"})
    return source.url + path


@dataclass
class Load:
    """Threads that obtain tokens for one client without a pause, each with the certificate of the moment."""

    deployment: World
    client_id: str
    current: Issued
    statuses: list[int] = field(default_factory=list)
    slowest: float = 0.0
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.ended.is_set():
            begun = time.monotonic()
            answer = self.deployment.token_request(self.client_id, self.current)
            self.slowest = max(self.slowest, time.monotonic() - begun)
            self.statuses.append(answer.status)

    def go_on(self, number: int = 12) -> None:
        """Returns when so many more requests were answered."""
        wanted = len(self.statuses) + number
        eventually(lambda: len(self.statuses) >= wanted)


def eventually(holds: Callable[[], Any], *, within: float = 10) -> float:
    """How long it took."""
    begun = time.monotonic()
    while not holds():
        assert time.monotonic() - begun < within
        time.sleep(0.02)
    return time.monotonic() - begun


@pytest.mark.parametrize("interval", [0.2, pytest.param(1.0, marks=[pytest.mark.wide, pytest.mark.alone])])
def test_a_client_rotates_under_load_and_flood(
    deployment: World, source: Served, monkeypatch: pytest.MonkeyPatch, interval: float
) -> None:
    """Four threads, five rotations with overlap, and 200 strangers with fresh certificates under the same client_id: no
    request of the client fails, none waits longer than the interval and two fetches, the source is not flooded."""
    monkeypatch.setattr(published, "INTERVAL", interval)
    name = f"rotating-{interval}"
    current = self_signed("CN=rotating")
    deployment.register(name, jwks_uri=publish(source, f"/{name}", current, max_age=60), **SELF_SIGNED)
    assert 200 == deployment.token_request(name, current).status
    load = Load(deployment, name, current)
    strangers = (self_signed(f"CN=stranger {number}") for number in itertools.count())
    begun = time.monotonic()
    with ThreadPoolExecutor(24) as threads:
        running = [threads.submit(load.run) for _ in range(4)]
        floods = [threads.submit(deployment.token_request, name, next(strangers)) for _ in range(200)]
        try:
            for _ in range(5):
                following = self_signed("CN=rotating")
                publish(source, f"/{name}", load.current, following, max_age=60)
                load.current = following
                load.go_on()
                publish(source, f"/{name}", following, max_age=60)
            assert 401 == floods[-1].result().status
        finally:
            load.ended.set()
        for each in running:
            each.result()
    lasted = time.monotonic() - begun
    assert {200} == set(load.statuses)
    assert {401} == {each.result().status for each in floods}
    assert len(source.asked) <= 2 + lasted / interval
    assert load.slowest < 3 * interval + 2
    print(f"{len(load.statuses)} tokens, slowest {load.slowest:.2f} s; {len(source.asked)} fetches in {lasted:.1f} s")


def test_a_removed_jwk_is_refused_on_the_same_connection(deployment: World, source: Served) -> None:
    """Within the life of the set that it stood in."""
    old, new = self_signed("CN=a"), self_signed("CN=a")
    deployment.register("removing", jwks_uri=publish(source, "/removing", old, new), **SELF_SIGNED)
    form = {"grant_type": "client_credentials", "client_id": "removing"}
    with contextlib.closing(deployment.connect(deployment.mtls, old)) as connection:

        def status() -> int:
            return deployment.ask(f"{deployment.mtls}/token", form=form, connection=connection).status

        assert 200 == status()
        publish(source, "/removing", new)
        assert eventually(lambda: 401 == status()) < LIFE + 1
        assert 200 == deployment.token_request("removing", new).status
        publish(source, "/removing")
        eventually(lambda: 401 == deployment.token_request("removing", new).status)


def test_a_source_that_is_down_leaves_its_last_good_set(deployment: World, tmp_path: Path) -> None:
    """Tokens go on, and do not wait; a certificate that was not in it is refused as ever."""
    own = self_signed("CN=a")
    with publishing(deployment, tmp_path) as source:
        deployment.register("down", jwks_uri=publish(source, "/down", own), **SELF_SIGNED)
        assert 200 == deployment.token_request("down", own).status
        assert 1 == len(source.asked)
    time.sleep(2 * LIFE)
    begun = time.monotonic()
    assert {200} == {deployment.token_request("down", own).status for _ in range(20)}
    assert time.monotonic() - begun < 2
    assert 401 == deployment.token_request("down", self_signed("CN=a")).status


def test_another_uri_counts_at_once(deployment: World, source: Served) -> None:
    """What is remembered of the old one is of no use to anybody."""
    old, new = self_signed("CN=a"), self_signed("CN=a")
    deployment.register("moving", jwks_uri=publish(source, "/old", old, max_age=600), **SELF_SIGNED)
    assert 200 == deployment.token_request("moving", old).status
    deployment.update("moving", jwks_uri=publish(source, "/new", new, max_age=600))
    eventually(lambda: 401 == deployment.token_request("moving", old).status)
    assert 200 == deployment.token_request("moving", new).status


def test_only_a_client_that_publishes_causes_a_fetch(deployment: World, source: Served) -> None:
    """A foreign certificate under the id of another client, or of none, makes nobody look anywhere; and whatever went
    wrong with a source, the answer is the one that everybody gets."""
    own, foreign = self_signed("CN=own"), self_signed("CN=foreign")
    deployment.register_self_signed("by-value", own)
    source.answer("/broken", ["no", "jwks"])
    source.answer("/redirect", {}, status=302, location=f"{source.url}/inner")
    for name in ("missing", "broken", "redirect"):
        deployment.register(name, jwks_uri=f"{source.url}/{name}", **SELF_SIGNED)
    expected = deployment.token_request("nobody", foreign).without_request_id
    for name in ("by-value", "pki"):
        assert expected == deployment.token_request(name, foreign).without_request_id
    assert not source.asked
    for name in ("missing", "broken", "redirect"):
        assert expected == deployment.token_request(name, foreign).without_request_id
    assert {"/missing", "/broken", "/redirect"} == {path for path, _, _ in source.asked}


def test_inner_addresses_are_not_fetched_unless_the_deployment_says_so(source: Served, tmp_path: Path) -> None:
    """A client's jwks_uri leads nobody to what only the server can reach."""
    own = self_signed("CN=own")
    (tmp_path / "closed").mkdir()
    with world(tmp_path / "closed", fetch__ca=str(source.ca)) as closed:
        closed.register("inner", jwks_uri=publish(source, "/inner", own), **SELF_SIGNED)
        assert 401 == closed.token_request("inner", own).status
    assert not source.asked


@pytest.mark.parametrize("registered", ["jwks", "jwks_uri"])
def test_validity_is_checked_unless_the_registration_says_otherwise(
    deployment: World, source: Served, registered: str
) -> None:
    """An expired self-signed certificate authenticates only a client that was registered so, by value or published."""
    expired = self_signed("CN=old", now=datetime.now(UTC) - timedelta(days=30), days=1)
    known: dict[str, Any] = {
        "jwks": make_jwks([read_certificate(expired.der)]),
        "jwks_uri": publish(source, "/expired", expired),
    }
    for name, ignores in (("strict", False), ("lenient", True)):
        deployment.register(
            f"{name}-{registered}",
            **{registered: known[registered]},
            self_signed_tls_client_auth_ignore_validity=ignores,
            **SELF_SIGNED,
        )
    assert 401 == deployment.token_request(f"strict-{registered}", expired).status
    assert 200 == deployment.token_request(f"lenient-{registered}", expired).status
