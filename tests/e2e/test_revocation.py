"""Revocation by the issuer, end to end: what a client notices, and who is asked (R7)."""

import contextlib
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import pytest

from certbound.core.errors import ConfigurationError
from certbound.trust.authority import Authority, Issued, published_at
from certbound.trust.ledger import Ledger, answer_ocsp
from e2e.test_lifetime import statuses, until_refused
from e2e.world import World, world
from revoking import Published, crl, published

REFRESH = 1
"""Seconds of `revocation.max_age` here."""


@pytest.fixture
def there() -> Iterator[Published]:
    with published() as running:
        yield running


@contextlib.contextmanager
def deployment(directory: Path, mode: str, **revocation: Any) -> Iterator[World]:
    settings = {f"revocation__{key}": value for key, value in revocation.items()}
    with world(
        directory, revocation__mode=mode, revocation__max_age=REFRESH, fetch__private_addresses=True, **settings
    ) as running:
        running.register("pki", token_endpoint_auth_method="tls_client_auth", tls_client_auth_san_dns="pki.example")
        yield running


def list_of(running: World, *revoked: Issued, number: int = 1, **options: Any) -> bytes:
    return crl(running.authority, *revoked, at=datetime.now(UTC) - timedelta(seconds=1), number=number, **options)


def responding(running: World, ledger: list[Ledger]) -> Any:
    return lambda question: answer_ocsp(running.authority, ledger[-1], question, datetime.now(UTC))


def until(status: int, running: World, identity: Issued, connection: HTTPSConnection, seconds: float) -> float:
    began = time.monotonic()
    while (found := statuses(running, identity, connection)) != status:
        assert time.monotonic() - began < seconds, found
        time.sleep(0.05)
    return time.monotonic() - began


@pytest.mark.parametrize("mode", ["soft", pytest.param("hard", marks=pytest.mark.wide)])
def test_a_list_in_a_file_ends_an_open_connection(tmp_path: Path, mode: str) -> None:
    """A private CA, a file, no distribution point: revoked is refused within a second and a half."""
    file = tmp_path / "ca.crl"
    file.write_bytes(crl(Authority.create("Somebody else"), at=datetime.now(UTC)))
    with deployment(tmp_path, mode, crls=["ca.crl"]) as running:
        leaf, other = (running.authority.issue("CN=pki", dns=["pki.example"]) for _ in range(2))
        with (
            contextlib.closing(running.connect(running.mtls, leaf)) as connection,
            contextlib.closing(running.connect(running.mtls, other)) as beside,
        ):
            assert statuses(running, leaf, connection) == (200 if mode == "soft" else 401)
            file.write_bytes(list_of(running))
            until(200, running, leaf, connection, 3)
            file.write_bytes(list_of(running, leaf, number=2))
            assert until_refused(lambda: statuses(running, leaf, connection), 3) < 1.5
            assert 200 == statuses(running, other, beside)


@pytest.mark.parametrize("mode", ["soft", pytest.param("hard", marks=pytest.mark.wide)])
def test_a_list_behind_a_url_ends_an_open_connection(tmp_path: Path, there: Published, mode: str) -> None:
    """Within the refresh time, and the look that finds it due."""
    with deployment(tmp_path, mode, crls=[f"{there.url}/ca.crl"]) as running:
        leaf = running.authority.issue("CN=pki", dns=["pki.example"])
        there.at["/ca.crl"] = list_of(running)
        with contextlib.closing(running.connect(running.mtls, leaf)) as connection:
            until(200, running, leaf, connection, 7)
            there.at["/ca.crl"] = list_of(running, leaf, number=2)
            assert until_refused(lambda: statuses(running, leaf, connection), 5) < REFRESH + 1.5


def test_a_responder_ends_an_open_connection(tmp_path: Path, there: Published) -> None:
    """Within the refresh time, though its last answer said that it holds for ten minutes."""
    ledger = [Ledger()]
    with deployment(tmp_path, "hard", ocsp=[f"{there.url}/ocsp"]) as running:
        there.at["/ocsp"] = responding(running, ledger)
        leaf = running.authority.issue("CN=pki", dns=["pki.example"])
        with contextlib.closing(running.connect(running.mtls, leaf)) as connection:
            assert 200 == statuses(running, leaf, connection)
            ledger.append(ledger[-1].revoke(leaf.certificate.serial_number, "keyCompromise", datetime.now(UTC)))
            assert until_refused(lambda: statuses(running, leaf, connection), 5) < REFRESH + 1


def test_when_nobody_answers_soft_passes_and_hard_refuses(tmp_path: Path, there: Published) -> None:
    """And every refusal looks like any other."""
    for mode, expected in (("soft", 200), ("hard", 401)):
        (tmp_path / mode).mkdir()
        with deployment(tmp_path / mode, mode, ocsp=[f"{there.url}/dead"], crls=[f"{there.url}/dead"]) as running:
            leaf = running.authority.issue("CN=pki", dns=["pki.example"])
            answer = running.token_request("pki", leaf)
            assert expected == answer.status
            if mode == "hard":
                stranger = running.token_request("pki", running.authority.issue("CN=x", dns=["x.example"]))
                assert stranger.without_request_id[2] == answer.without_request_id[2]


def test_only_trusted_certificates_of_the_right_name_cause_a_fetch(tmp_path: Path, there: Published) -> None:
    """Not one without a path, nor one with another name, nor one for a client that does not exist or signs itself."""
    places = published_at(crls=[f"{there.url}/crl"], ocsp=[f"{there.url}/ocsp"])
    with deployment(tmp_path, "soft", from_certificates=True) as running:
        there.at["/ocsp"] = responding(running, [Ledger()])
        foreign = Authority.create("Test CA").issue("CN=pki", dns=["pki.example"], extensions=places)
        misnamed = running.authority.issue("CN=other", dns=["other.example"], extensions=places)
        right = running.authority.issue("CN=pki", dns=["pki.example"], extensions=places)
        assert 401 == running.token_request("pki", foreign).status
        assert 401 == running.token_request("pki", misnamed).status
        assert 401 == running.token_request("nobody", right).status
        assert there.asked == []
        assert 200 == running.token_request("pki", right).status
        assert there.asked == ["/ocsp"]


def test_a_list_that_cannot_be_read_stops_the_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The log names the key and the file."""
    (tmp_path / "ca.crl").write_bytes(b"garbage")
    with (
        pytest.raises(ConfigurationError, match="refused to start"),
        deployment(tmp_path, "soft", crls=["ca.crl"]) as running,
    ):
        running.token_request("pki", None)
    assert f"revocation.crls: {tmp_path / 'ca.crl'} cannot be read" in caplog.text
