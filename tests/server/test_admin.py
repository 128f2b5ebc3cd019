"""certbound.server.admin and vitals: what those who run a server ask it."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from certbound.core.ports import Store
from certbound.server import vitals as module
from certbound.server.admin import Admin
from certbound.server.metrics import Numbers
from certbound.server.vitals import Vitals, hindrances, keep_sampling, sample
from certbound.stores import open_store
from certbound.trust.sources import SourceKind, SourceStatus

NOW = 1_700_000_000.0


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_store(f"sqlite:///{tmp_path}/test.sqlite")
    yield opened
    await opened.close()


@pytest.fixture
def vitals(store: Store) -> Vitals:
    return Vitals(
        store=store, anchors=lambda: 1, needs_anchors=True, keys=lambda: 1, key_age=lambda: 5.0, clients=lambda: 3,
        ending=lambda: 2, sources=tuple, now=lambda: NOW,
    )  # fmt: skip


async def ask(admin: Admin, path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nothing of a body is read")

    await admin({"type": "http", "method": method, "path": path, "headers": []}, receive, send)
    start, end = sent
    return start["status"], {k.decode(): v.decode() for k, v in start["headers"]}, end["body"]


async def test_ready_is_who_can_do_its_work(vitals: Vitals) -> None:
    """The store answers, a key signs, an anchor vouches."""
    status, headers, body = await ask(Admin(lambda: vitals, Numbers(())), "/readyz")
    assert (status, json.loads(body)) == (200, {"ready": True, "reasons": []})
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"keys": lambda: 0}, "there is no key to sign with"),
        ({"anchors": lambda: 0}, "no trust anchor is loaded"),
    ],
)
async def test_what_is_missing_is_told(vitals: Vitals, changes: dict[str, Any], reason: str) -> None:
    """By a sentence that names nothing of the deployment."""
    status, _, body = await ask(Admin(lambda: replace(vitals, **changes), Numbers(())), "/readyz")
    assert (status, json.loads(body)) == (503, {"ready": False, "reasons": [reason]})


async def test_where_nobody_needs_an_anchor_none_is_missed(vitals: Vitals) -> None:
    """Self-signed clients do not."""
    assert await hindrances(replace(vitals, anchors=lambda: 0, needs_anchors=False)) == []


async def test_a_store_that_is_down_is_told_without_its_address(tmp_path: Path, vitals: Vitals) -> None:
    """All reasons at once."""
    closed = await open_store(f"sqlite:///{tmp_path}/other.sqlite")
    await closed.close()
    found = await hindrances(replace(vitals, store=closed, keys=lambda: 0))
    assert found == ["the store does not answer", "there is no key to sign with"]


async def test_a_store_that_hangs_is_down(vitals: Vitals, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking has an end."""

    class Hanging:
        async def revision(self) -> None:
            await asyncio.sleep(60)

    monkeypatch.setattr(module, "PATIENCE", 0.05)
    found = await hindrances(replace(vitals, store=Hanging()))  # type: ignore[arg-type]
    assert found == ["the store does not answer"]


async def test_before_and_after_it_serves_it_is_not_ready() -> None:
    """But it lives."""
    admin = Admin(lambda: None, Numbers(()))
    assert (await ask(admin, "/readyz"))[0] == 503
    assert (await ask(admin, "/healthz"))[::2] == (200, b'{"status":"ok"}')


async def test_it_is_only_read(vitals: Vitals) -> None:
    """405 for what changes, 404 for what is not there, HEAD without a body."""
    admin = Admin(lambda: vitals, Numbers(()))
    status, headers, _ = await ask(admin, "/metrics", "POST")
    assert (status, headers["allow"]) == (405, "GET")
    assert (await ask(admin, "/"))[0] == 404
    status, headers, body = await ask(admin, "/metrics", "HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["content-length"]) > 100


async def test_the_numbers_of_now_are_sampled(vitals: Vitals) -> None:
    """Until the server stops."""
    numbers = Numbers(("token",))
    numbers.open()
    task = asyncio.create_task(keep_sampling(vitals, numbers))
    admin = Admin(lambda: vitals, numbers)
    async with asyncio.timeout(5):
        while b"certbound_workers 1.0" not in (text := (await ask(admin, "/metrics"))[2]):
            await asyncio.sleep(0.01)
    task.cancel()
    for line in (
        b"certbound_store_up 1.0", b"certbound_clients 3.0", b"certbound_signing_key_age_seconds 5.0",
        b"certbound_certificates_ending 2.0", b"certbound_trust_anchors 1.0",
    ):  # fmt: skip
        assert line in text


async def test_sources_of_revocation_are_counted_by_their_state(vitals: Vitals) -> None:
    """Where they are is for the log; here is how many do how."""

    def source(**changes: Any) -> SourceStatus:
        facts: dict[str, Any] = {
            "kind": SourceKind.CRL_URL, "where": "http://crl.example", "last_success": NOW - 9, "ends_at": NOW + 9,
            "entries": 0, "failures": 0, "problem": "",
        }  # fmt: skip
        return SourceStatus(**{**facts, **changes})

    states = [
        source(),
        source(failures=2, problem="down"),
        source(ends_at=NOW - 1),
        source(last_success=None, failures=1),
        source(last_success=None),
    ]
    found = await sample(replace(vitals, sources=lambda: states))
    counted = {
        state: found["certbound_revocation_sources", state] for state in ("good", "failing", "outdated", "unread")
    }
    assert counted == {"good": 1, "failing": 1, "outdated": 1, "unread": 2}
