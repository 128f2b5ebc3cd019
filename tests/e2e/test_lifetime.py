"""One kept-alive connection: what was true when it began is asked again on every request."""

import contextlib
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.client import HTTPSConnection
from pathlib import Path

import pytest

from certbound.core.certificate import read_certificate
from certbound.core.jwks import make_jwks
from certbound.trust.authority import Authority, Issued, self_signed
from e2e.world import World, world


@pytest.fixture
def own_world(tmp_path: Path) -> Iterator[World]:
    """A deployment that a test may change."""
    with world(tmp_path) as running:
        running.register("pki", token_endpoint_auth_method="tls_client_auth", tls_client_auth_san_dns="pki.example")
        yield running


def statuses(running: World, identity: Issued, connection: HTTPSConnection, client_id: str = "pki") -> int:
    form = {"grant_type": "client_credentials", "client_id": client_id}
    return running.ask(f"{running.mtls}/token", identity, form=form, connection=connection).status


def until_refused(ask: Callable[[], int], seconds: float) -> float:
    """How long it took; the connection stays the same."""
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        if ask() == 401:
            return time.monotonic() - started
        time.sleep(0.05)
    raise AssertionError(f"still accepted after {seconds} s")


def test_a_certificate_that_expires_is_refused_on_the_same_connection(own_world: World) -> None:
    """A remembered verdict and an open connection do not outlive `notAfter`."""
    days = timedelta(seconds=3) / timedelta(days=1)
    brief = own_world.authority.issue(dns=["pki.example"], days=days)
    brief_self_signed = self_signed("CN=own", days=days)
    own_world.register_self_signed("own", brief_self_signed)
    ends = max(each.certificate.not_valid_after_utc.timestamp() for each in (brief, brief_self_signed))
    with (
        contextlib.closing(own_world.connect(own_world.mtls, brief)) as pki,
        contextlib.closing(own_world.connect(own_world.mtls, brief_self_signed)) as own,
    ):
        assert 200 == statuses(own_world, brief, pki)
        assert 200 == statuses(own_world, brief_self_signed, own, "own")
        time.sleep(max(0, ends - time.time()) + 1.1)
        assert 401 == statuses(own_world, brief, pki)
        assert 401 == statuses(own_world, brief_self_signed, own, "own")


def test_a_disabled_client_is_refused_within_a_second(own_world: World) -> None:
    """A change by another process reaches an open connection within a second."""
    identity = own_world.authority.issue(dns=["pki.example"])
    with contextlib.closing(own_world.connect(own_world.mtls, identity)) as connection:
        assert 200 == statuses(own_world, identity, connection)
        own_world.update("pki", enabled=False)
        assert until_refused(lambda: statuses(own_world, identity, connection), 5) <= 1.0


def test_a_client_that_gets_another_subject_is_refused_within_a_second(own_world: World) -> None:
    """A remembered verdict does not outlive the registration it was given for."""
    identity = own_world.authority.issue(dns=["pki.example"])
    with contextlib.closing(own_world.connect(own_world.mtls, identity)) as connection:
        assert 200 == statuses(own_world, identity, connection)
        own_world.update("pki", tls_client_auth_san_dns="other.example")
        assert until_refused(lambda: statuses(own_world, identity, connection), 5) <= 1.0


def test_a_removed_anchor_ends_trust_within_two_seconds(own_world: World) -> None:
    """The anchor file is watched; an emptied one means nobody."""
    identity = own_world.authority.issue(dns=["pki.example"])
    with contextlib.closing(own_world.connect(own_world.mtls, identity)) as connection:
        assert 200 == statuses(own_world, identity, connection)
        own_world.anchors.write_bytes(Authority.create("Another CA").certificate_pem)
        assert until_refused(lambda: statuses(own_world, identity, connection), 5) <= 2.0


def test_an_emptied_anchor_file_means_nobody(own_world: World) -> None:
    """A readable empty file is an answer: no anchors."""
    identity = own_world.authority.issue(dns=["pki.example"])
    assert 200 == own_world.token_request("pki", identity).status
    own_world.anchors.write_bytes(b"")

    until_refused(lambda: own_world.token_request("pki", identity).status, 5)


def test_an_unreadable_anchor_file_keeps_the_last_good_set(own_world: World) -> None:
    """A half-written or missing file neither opens nor closes anything."""
    identity = own_world.authority.issue(dns=["pki.example"])
    own_world.anchors.write_bytes(b"-----BEGIN CERTIFICATE-----\nMIIB")
    time.sleep(1.2)
    assert 200 == own_world.token_request("pki", identity).status
    own_world.anchors.unlink()
    time.sleep(1.2)
    assert 200 == own_world.token_request("pki", identity).status


def test_a_removed_client_is_unknown_within_a_second(own_world: World) -> None:
    """Removing the certificate from a self-signed client's registration ends it too."""
    first, second = self_signed("CN=first"), self_signed("CN=second")
    own_world.register_self_signed("own", first, second)
    assert 200 == own_world.token_request("own", first).status
    own_world.update("own", jwks=make_jwks([read_certificate(second.der)]))

    until_refused(lambda: own_world.token_request("own", first).status, 1.0)
    assert 200 == own_world.token_request("own", second).status
