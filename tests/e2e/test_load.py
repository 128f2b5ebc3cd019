"""The token endpoint among ten thousand idle connections, and under a flood of hostile handshakes."""

import contextlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from certbound.trust.authority import self_signed
from e2e.world import World, world
from loading import FLOOR, best, client, compared, resident
from tls.test_load import linked_chain

pytestmark = [pytest.mark.wide, pytest.mark.alone, pytest.mark.timeout(300)]


@dataclass
class Served:
    """`certbound serve` in a process of its own, on the first processor."""

    pid: int
    port: int
    folder: Path


@pytest.fixture(autouse=True)
def _many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    identity = self_signed("CN=client")
    (tmp_path / "client.crt").write_bytes(identity.certificate_pem)
    (tmp_path / "client.key").write_bytes(identity.key_pem)
    with world(tmp_path) as configured:
        configured.register_self_signed("client", identity)
    with serving(configured) as served:
        yield served


@contextlib.contextmanager
def serving(configured: World) -> Iterator[Served]:
    command = [sys.executable, "-m", "certbound.cli", "serve", "--config", str(configured.directory / "certbound.toml")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            if (os.cpu_count() or 1) > 1:
                os.sched_setaffinity(process.pid, {0})
            assert process.stdout is not None
            assert process.stdout.readline()
            yield Served(process.pid, configured.settings.server.mtls_port or 0, configured.directory)
        finally:
            process.terminate()


def test_ten_thousand_idle_connections(served: Served) -> None:
    """10,000 idle mutual-TLS connections: at most 80 KiB each, and token requests at most twice as slow at p99."""
    with client("ask", served, served.folder, 1000) as asking:
        quiet = best(asking)
        before = resident(served)
        with client("hold", served, served.folder, 10_000):
            each = (resident(served) - before) / 10_000
            busy = best(asking)
    print(f"{each:.1f} KiB each; {compared(quiet, busy)}")
    assert each <= 80
    assert busy["p99"] <= 2 * max(quiet["p99"], FLOOR)


def test_a_flood_of_handshakes(served: Served) -> None:
    """1,000 hostile handshakes a second and 1,000 garbage connections: tokens at most five times as slow at p99."""
    leaf, behind = linked_chain(40)
    chain = [leaf.der, *(each.public_bytes(Encoding.DER) for each in behind)]
    (served.folder / "hostile.json").write_text(json.dumps([der.hex() for der in chain]))
    flood: Any
    with client("ask", served, served.folder, 1000) as asking:
        quiet = best(asking)
        with client("junk", served, served.folder, 1000) as junk, client("flood", served, served.folder, 1000) as flood:
            time.sleep(2)
            busy = best(asking)
    print(f"{sum(map(len, chain))} bytes of chain; {flood.report}, {junk.report}; {compared(quiet, busy)}")
    assert flood.report["offered"] / flood.report["seconds"] > 900
    assert busy["p99"] <= 5 * max(quiet["p99"], FLOOR)
