"""Certificates are renewed while requests go on (R8, R28): nobody has to be told."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from certbound.trust.authority import Issued
from e2e.world import World, world


@pytest.fixture
def own_world(tmp_path: Path) -> Iterator[World]:
    """A deployment of its own, whose client is known by its subject."""
    with world(tmp_path) as running:
        running.register("pki", token_endpoint_auth_method="tls_client_auth", tls_client_auth_subject_dn="CN=pki")
        yield running


def test_a_pki_client_renews_under_load(own_world: World) -> None:
    """Four threads ask for tokens and call the API while the certificate is renewed five times: each request succeeds,
    but those that bring an old token and the new certificate; they are 401.
    """
    current = [own_world.authority.issue("CN=pki")]
    counts: Counter[tuple[str, int]] = Counter()
    done = threading.Event()

    def work() -> None:
        identity = current[-1]
        token = own_world.token("pki", identity)
        while not done.is_set():
            if identity is not (newest := current[-1]):
                counts["old token, new certificate", own_world.call_api(token, newest).status] += 1
                counts["old token, old certificate", own_world.call_api(token, identity).status] += 1
                identity = newest
            answer = own_world.token_request("pki", identity)
            counts["token", answer.status] += 1
            if answer.status == 200:
                token = answer.json["access_token"]
            counts["API", own_world.call_api(token, identity).status] += 1

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for key in ("P-256", "RSA-2048", "P-384", "Ed25519", "P-256"):
        time.sleep(0.3)
        current.append(own_world.authority.issue("CN=pki", key=key))
    time.sleep(0.5)
    done.set()
    for worker in workers:
        worker.join(30)
    assert set(counts) == {
        ("token", 200), ("API", 200), ("old token, new certificate", 401), ("old token, old certificate", 200),
    }  # fmt: skip
    assert counts["old token, new certificate", 401] >= 4


@pytest.mark.parametrize("reissued", [False, True], ids=["new key", "same key"])
def test_a_token_belongs_to_the_certificate_and_not_to_the_name(own_world: World, *, reissued: bool) -> None:
    """A renewed certificate needs a new token, even if it certifies the same key: the thumbprint is another (R28)."""
    first = own_world.authority.issue("CN=pki")
    second = own_world.authority.issue("CN=pki", key=first.private_key if reissued else "P-256")
    token = own_world.token("pki", first)
    assert 200 == own_world.call_api(token, first).status
    assert 401 == own_world.call_api(token, second).status
    assert 200 == own_world.call_api(renewed_token(own_world, second), second).status


def renewed_token(deployment: World, identity: Issued) -> str:
    return deployment.token("pki", identity)
