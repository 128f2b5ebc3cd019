"""certbound.server.expiry: what ends soon, told before clients are refused for it."""

import asyncio
import contextlib
from typing import Any

import pytest

from certbound.core.clients import Client, read_client
from certbound.core.jwks import make_jwks
from certbound.core.ports import ClientRecord, Store
from certbound.server.expiry import MOST_LINES, SOON, Ending, ExpiryWatch, endings_of
from certbound.stores import open_store
from certbound.trust.authority import Authority, self_signed
from certificates import DAY, NOW, TODAY, read


def self_made(*days: float, **more: Any) -> dict[str, Any]:
    """Metadata of a client with a certificate for each number of days."""
    certificates = [read(self_signed("CN=a", days=each, now=TODAY)) for each in days]
    return {"token_endpoint_auth_method": "self_signed_tls_client_auth", "jwks": make_jwks(certificates), **more}


def client(metadata: dict[str, Any], *, enabled: bool = True) -> Client:
    return read_client("a", metadata, enabled=enabled)


def soon(found: Client, days: float = SOON) -> list[tuple[int, bool]]:
    """Days left and whether another outlasts it, of what ends within `days`."""
    return [(each.days_left(NOW), each.is_outlasted) for each in endings_of(found) if each.is_soon(NOW, days)]


def test_certificates_of_a_client_end() -> None:
    """What ends within the days is soon, and so is what has ended."""
    assert soon(client(self_made(5))) == [(5, False)]
    assert soon(client(self_made(31))) == []
    assert soon(client(self_made(31)), 31) == [(31, False)]
    [ended] = endings_of(client(self_made(5)))
    assert ended.is_soon(NOW + 6 * DAY, 0)
    assert ended.days_left(NOW + 6 * DAY) == -1


def test_one_that_is_outlasted_is_marked() -> None:
    """Of several certificates only the one that ends last counts."""
    assert soon(client(self_made(5, 90, 20))) == [(5, True), (20, True)]
    assert soon(client(self_made(5, 20))) == [(5, True), (20, False)]


def test_what_cannot_end_is_left_out() -> None:
    """Clients that are switched off, and those whose dates nobody asks about."""
    assert soon(client(self_made(5), enabled=False)) == []
    assert soon(client(self_made(5, self_signed_tls_client_auth_ignore_validity=True))) == []


def test_a_clients_own_anchors_end_too() -> None:
    """Inline anchors are certificates of the registration as well."""
    from base64 import b64encode

    anchor = read(Authority.create("R", days=7, now=TODAY))
    metadata = {
        "token_endpoint_auth_method": "tls_client_auth",
        "tls_client_auth_san_dns": "a.example",
        "tls_client_auth_trust_anchors": [b64encode(anchor.der).decode()],
    }
    [found] = endings_of(client(metadata))
    assert (found.title, found.thumbprint, found.days_left(NOW)) == ("client 'a': trust anchor", anchor.thumbprint, 7)


def test_a_time_to_speak() -> None:
    """What is renewed late by its nature is not soon before its own time."""
    crl = Ending(title="CRL", ends=NOW + 2 * DAY, told_from=NOW + DAY)
    assert not crl.is_soon(NOW, 30)
    assert crl.is_soon(NOW + DAY, 30)


async def filled(count: int, days: float) -> Store:
    """A store with so many clients whose certificate ends after `days`."""
    store = await open_store("sqlite://")
    metadata = self_made(days)
    for number in range(count):
        await store.clients.add(ClientRecord(client_id=f"c{number}", metadata=metadata))
    return store


async def test_the_log_says_what_ends(caplog: pytest.LogCaptureFixture) -> None:
    """A line for each certificate that counts, and the number."""
    store = await filled(2, 5)
    await store.clients.add(ClientRecord(client_id="fine", metadata=self_made(5, 300)))
    await store.clients.add(ClientRecord(client_id="pki", metadata={"token_endpoint_auth_method": "tls_client_auth"}))
    watch = ExpiryWatch(store, lambda: NOW)
    await watch.look()
    await store.close()
    assert watch.ending == 2
    lines = [each.getMessage() for each in caplog.records]
    assert [line.split(":")[0] for line in lines[:2]] == ["client 'c0'", "client 'c1'"]
    assert all(line.endswith("ends in 5 days") for line in lines[:2])
    assert lines[2:] == ["registered certificates that end within 30 days: 2"]


async def test_the_log_is_not_filled(caplog: pytest.LogCaptureFixture) -> None:
    """Many endings are so many lines at most; the number is right all the same."""
    store = await filled(MOST_LINES + 5, -0.02)
    watch = ExpiryWatch(store, lambda: NOW)
    await watch.look()
    await store.close()
    assert (watch.ending, len(caplog.records)) == (MOST_LINES + 5, MOST_LINES + 1)
    assert "has ended" in caplog.records[0].getMessage()


async def test_an_unreadable_client_stops_nothing() -> None:
    """What cannot be read is left out, and the rest is told."""
    store = await filled(1, 5)
    await store.clients.add(ClientRecord(client_id="bad", metadata={"jwks": 1}))
    watch = ExpiryWatch(store, lambda: NOW)
    await watch.look()
    await store.close()
    assert watch.ending == 1


async def test_a_store_that_does_not_answer_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The watch goes on, and says what it could not do."""
    store = await filled(1, 5)
    await store.close()
    running = asyncio.create_task(ExpiryWatch(store, lambda: NOW).run())
    for _ in range(500):
        if caplog.records:
            break
        await asyncio.sleep(0.01)
    assert not running.done()
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert "certificates that end soon" in caplog.records[0].getMessage()
