"""The admin listener of a real server with two workers: numbers add up, readiness is true, no secret is told."""

import asyncio
import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from certbound.app import opened_store
from certbound.core.authentication import digest_of
from certbound.core.ports import ClientRecord, SecretRecord
from certbound.trust.authority import Authority, self_signed
from e2e.world import RESOURCE, World, _settings, free_port

SECRET = "cbcs_tHoEXq9r7Tqv2sXyPpBQxyzzyKLMnopQRsT0123456"
ODD = "xyzzy-canary\x1b[31m\nrefused"
METHODS = ["tls_client_auth", "self_signed_tls_client_auth", "private_key_jwt", "client_secret_basic", "none"]


class Served:
    """`certbound serve` with what it said."""

    def __init__(self, directory: Path, **overrides: Any) -> None:
        authority = Authority.create("Test CA")
        self.admin = free_port()
        settings = _settings(directory, authority, {
            "server__workers": 2, "admin__port": self.admin, "authentication__methods": METHODS, **overrides,
        })  # fmt: skip
        self.world = World(directory, authority, settings, settings.server.issuer, settings.server.mtls_url or "")
        self.log = directory / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "error", "-m", "certbound.cli", "serve", "--config", "certbound.toml"],
                cwd=directory, stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        assert self.process.stdout is not None
        self.said = [self.process.stdout.readline() for _ in range(4)]

    def ask(self, path: str) -> tuple[int, str]:
        try:
            with urlopen(f"http://127.0.0.1:{self.admin}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def value(self, sample: str) -> float:
        found = re.search(rf"^{re.escape(sample)} (\S+)$", self.ask("/metrics")[1], re.MULTILINE)
        assert found, (sample, self.ask("/metrics")[1])
        return float(found[1])

    @property
    def events(self) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [line for line in lines if line["logger"] == "certbound.audit"]

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=30)
        self.world.loop.close()


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """It is so within `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not become so"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    made = Served(tmp_path_factory.mktemp("admin"))
    yield made
    made.end()
    assert made.process.returncode == 0


DONE = 'certbound_requests_total{endpoint="token",error="",outcome="done"}'
REFUSED = 'certbound_requests_total{endpoint="token",error="invalid_client",outcome="refused"}'


def test_numbers_are_the_sum_of_all_workers_and_outlive_one(served: Served) -> None:
    """Whoever answers; a worker that is killed takes nothing with it."""
    built, own = served.world, self_signed("CN=counted")
    built.register_self_signed("counted", own)
    done, refused = served.value(DONE), served.value(REFUSED)
    for _ in range(20):  # a connection each, so that both workers get some
        built.token("counted", own)
        assert built.token_request("nobody", own).status == 401
    assert {served.value(DONE) for _ in range(10)} == {done + 20}
    assert served.value(REFUSED) == refused + 20
    assert served.value('certbound_request_seconds_count{endpoint="token"}') >= 40
    assert served.value('certbound_authentication_refusals_total{step="client"}') >= 20
    until(lambda: served.value("certbound_workers") == 2)
    workers = Path(f"/proc/{served.process.pid}/task/{served.process.pid}/children").read_text().split()
    assert len(workers) == 2
    os.kill(int(workers[0]), signal.SIGKILL)
    until(lambda: "died and is replaced" in served.log.read_text())
    time.sleep(0.5)
    for _ in range(20):
        with contextlib.suppress(OSError):  # what the dead worker had accepted
            built.token_request("counted", own)
    until(lambda: served.value("certbound_workers") == 2)
    assert done + 30 <= served.value(DONE) <= done + 40


def test_what_is_true_now_is_among_the_numbers(served: Served) -> None:
    """Clients, keys, anchors, the store."""
    served.world.register_self_signed("another", self_signed("CN=another"))
    until(lambda: served.value("certbound_clients") >= 1)
    assert served.value("certbound_store_up") == 1
    assert served.value("certbound_trust_anchors") == 1
    assert served.value("certbound_signing_keys") >= 1
    assert 0 <= served.value("certbound_signing_key_age_seconds") < 600
    assert served.value('certbound_revocation_sources{state="good"}') == 0


def test_ready_is_not_ready_while_the_database_is_away(served: Served) -> None:
    """And ready again when it is back; the process lives all the time."""
    assert served.ask("/readyz") == (200, '{"ready":true,"reasons":[]}')
    database = sqlite3.connect(served.world.directory / "certbound.sqlite")
    database.execute("ALTER TABLE revision RENAME TO away")
    try:
        until(lambda: served.ask("/readyz") == (503, '{"ready":false,"reasons":["the store does not answer"]}'))
        until(lambda: served.value("certbound_store_up") == 0)
        assert served.ask("/healthz")[0] == 200
    finally:
        database.execute("ALTER TABLE away RENAME TO revision")
        database.close()
    until(lambda: served.ask("/readyz")[0] == 200)
    until(lambda: served.value("certbound_store_up") == 1)


def test_the_server_says_where_it_is_asked(served: Served) -> None:
    """The last of its lines."""
    assert f"http://127.0.0.1:{served.admin}/metrics" in served.said[3]
    assert served.said[1].startswith("mutual TLS")
    assert str(served.admin) not in served.said[1]


def test_the_id_of_a_request_is_on_its_answer_and_its_event(served: Served) -> None:
    """On each answer, in the body of a refusal; a sender's own is not believed."""
    built, own = served.world, self_signed("CN=traced")
    built.register_self_signed("traced", own)
    form = {"grant_type": "client_credentials", "client_id": "traced"}
    good = built.ask(f"{built.mtls}/token", own, form=form, headers={"x-request-id": "mine"})
    bad = built.ask(f"{built.mtls}/token", form=form, headers={"x-request-id": "mine"})
    nothing = built.ask(f"{built.mtls}/nothing", own, form={})
    ids = [each.headers["x-request-id"] for each in (good, bad, nothing)]
    assert len(set(ids)) == 3
    assert all(re.fullmatch(r"[0-9a-f]{16}", each) for each in ids)
    assert bad.json["request_id"] == ids[1]
    assert nothing.json["request_id"] == ids[2]
    events = {each["request_id"]: each for each in served.events if "request_id" in each}
    thumbprint = events[ids[0]]["x5t#S256"]
    assert events[ids[0]] == events[ids[0]] | {
        "what": "token", "outcome": "done", "client_id": "traced", "method": "self_signed_tls_client_auth",
        "remote": "127.0.0.1", "scope": "read write", "audience": RESOURCE, "level": "info",
    }  # fmt: skip
    assert len(thumbprint) == 43
    assert len(events[ids[0]]["jti"]) == 22
    assert events[ids[1]] == events[ids[1]] | {
        "what": "token", "outcome": "refused", "client_id": "traced", "error": "invalid_client", "level": "warning",
        "step": "a certificate was presented, its key proven in the handshake",
    }  # fmt: skip
    assert "mine" not in served.log.read_text()


def test_no_endpoint_writes_a_secret(served: Served) -> None:
    """Everything secret that a client can send, at every endpoint, in every place; none of it in any line."""
    built, own = served.world, self_signed("CN=careful")
    built.register_self_signed("careful", own)

    async def add() -> None:
        async with opened_store(built.settings) as store:
            metadata = {"token_endpoint_auth_method": "client_secret_basic", "scope": "read"}
            await store.clients.add(
                ClientRecord(client_id="old", metadata=metadata, secrets=(SecretRecord(digest=digest_of(SECRET)),))
            )

    asyncio.run(add())
    token = built.token("careful", own)
    canaries = [
        token,
        SECRET,
        "cbrt_" + SECRET[5:],
        "cbat_" + SECRET[5:],
        own.certificate_pem.decode(),
        own.key_pem.decode(),
    ]
    import base64

    basic = base64.b64encode(f"old:{SECRET}".encode()).decode()
    kept = built.connect(built.mtls, own)
    ask = partial(built.ask, connection=kept)
    for path in ("token", "introspect", "revoke", "register", "jwks", "nothing"):
        url = f"{built.mtls}/{path}"
        ask(url, form={"grant_type": "client_credentials"}, headers={"authorization": f"Basic {basic}"})
        for canary in canaries:
            for name in (
                "client_id", "client_secret", "grant_type", "scope", "resource", "token", "refresh_token",
                "subject_token", "subject_token_type", "client_assertion", "client_assertion_type", "token_type_hint",
            ):  # fmt: skip
                for base in ({}, {"client_id": "careful", "grant_type": "client_credentials"}):
                    ask(url, form={**base, name: canary})
            ask(url, form={}, headers={"authorization": "Bearer " + canary.replace("\n", "")})
        ask(url, form={"client_id": ODD, "grant_type": ODD})
        ask(f"{url}/{token}", method="GET")
    kept.close()
    time.sleep(0.2)
    written = served.log.read_text()
    assert "xyzzy-canary" in written  # the log is the one that would have them
    for secret in (basic, SECRET[5:], *token.split(".")):
        assert secret not in written
        assert secret[:20] not in written.replace("eyJ…", "")
    for pem in (own.certificate_pem, own.key_pem):
        for line in pem.decode().splitlines()[1:-1]:
            assert line not in written
    assert "\x1b" not in written
    for line in written.splitlines():
        assert len(line) < 4000
        json.loads(line)


@pytest.mark.parametrize("tls", [True, False])
def test_who_others_can_reach_needs_tls_or_a_word(tmp_path: Path, tls: bool) -> None:
    """0.0.0.0 without either does not start; with TLS the numbers come over it."""
    with pytest.raises(Exception, match=r"admin.host '0\.0\.0\.0' is reached by others"):
        _settings(tmp_path, Authority.create("CA"), {"admin__port": 0, "admin__host": "0.0.0.0"})
    more = {"admin__tls": True} if tls else {"admin__plain_for_all": True}
    made = Served(tmp_path, admin__host="0.0.0.0", server__workers=1, **more)
    try:
        url = f"{'https' if tls else 'http'}://localhost:{made.admin}/readyz"
        with urlopen(url, context=made.world.context() if tls else None, timeout=10) as answer:
            assert answer.status == 200
    finally:
        made.end()
