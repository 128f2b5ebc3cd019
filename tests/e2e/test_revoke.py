"""The compromise drill: one command, and on connections that stay open nobody passes any more, nor does any token."""

import asyncio
import base64
import contextlib
import json
import logging
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import pytest

from certbound.app import ANCHOR_INTERVAL, open_revoker
from certbound.core.certificate import read_certificate, read_pem_certificates
from certbound.core.ports import RevokedKind
from certbound.core.status import LIFETIME, TTL
from certbound.server.directory import MAX_AGE
from certbound.trust.authority import Authority, Issued
from e2e.world import Answer, World, _settings, world

REFUSED_WITHIN = MAX_AGE + TTL + 1.0
"""Seconds from the commit to the refusal at any guard: the server's memory, the guard's, and a fetch."""


@dataclass(frozen=True)
class Place:
    """One deployment for all drills: a client of its own for each, and a second authority that one may lose."""

    running: World
    second: Authority

    def client(self, name: str, authority: Authority | None = None) -> Issued:
        """A registered client, and a certificate it has."""
        self.running.register(
            name, token_endpoint_auth_method="tls_client_auth", tls_client_auth_san_dns=f"{name}.example"
        )
        return self.another(name, authority)

    def another(self, name: str, authority: Authority | None = None) -> Issued:
        """One more certificate of it."""
        return (authority or self.running.authority).issue(f"CN={name}", dns=[f"{name}.example"])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The deployment, with two authorities."""
    second = Authority.create("Second CA")
    with world(tmp_path_factory.mktemp("drill")) as running:
        running.anchors.write_bytes(running.authority.certificate_pem + second.certificate_pem)
        time.sleep(2 * ANCHOR_INTERVAL)
        yield Place(running, second)


def drill(running: World, kind: RevokedKind, value: str, *, lift: bool = False) -> Any:
    """What the command does, in its own process or in this one: another connection to the same store."""

    async def go() -> Any:
        async with open_revoker(running.settings, "drill") as revoker:
            return await (revoker.lift(kind, value) if lift else revoker.revoke(kind, value))

    return asyncio.run(go())


def claims(token: str) -> dict[str, Any]:
    """Unverified."""
    segment = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(segment + "=="))
    return found


class Caller:
    """A client on one connection to the server and one to the API, both kept alive."""

    def __init__(self, running: World, name: str, identity: Issued, stack: contextlib.ExitStack) -> None:
        self.running, self.name, self.identity = running, name, identity
        self.server = self._connected(running.mtls, stack)
        self.api = self._connected(running.api, stack)

    def _connected(self, url: str, stack: contextlib.ExitStack) -> HTTPSConnection:
        return stack.enter_context(contextlib.closing(self.running.connect(url, self.identity)))

    def authenticate(self) -> int:
        """The status of a token request."""
        form = {"grant_type": "client_credentials", "client_id": self.name}
        url = f"{self.running.mtls}/token"
        return self.running.ask(url, self.identity, form=form, connection=self.server).status

    def call(self, token: str) -> int:
        """The status of a request to the API."""
        return self.running.call_api(token, self.identity, connection=self.api).status


def seconds_until_401(*asks: Callable[[], int]) -> list[float]:
    """How long each took; until then its answer was 200, and nothing else."""
    started = time.monotonic()
    passed: dict[int, float] = {}
    while len(passed) < len(asks):
        for number, ask in enumerate(asks):
            if number not in passed and (status := ask()) != 200:
                assert 401 == status
                passed[number] = time.monotonic() - started
        assert time.monotonic() - started < REFUSED_WITHIN + 2, "still accepted"
        time.sleep(0.02)
    return [passed[number] for number in range(len(asks))]


def until_another(ask: Callable[[], Answer], before: bytes) -> Answer:
    """The first answer that says something else, which is there within a second."""
    started = time.monotonic()
    while (answer := ask()).body == before:
        assert time.monotonic() - started < 1.0
        time.sleep(0.02)
    return answer


@pytest.mark.parametrize("by", ["certificate", "authority"])
def test_authentication_asks_what_was_revoked(place: Place, caplog: pytest.LogCaptureFixture, by: str) -> None:
    """It refuses by itself, before anybody asks where the status of a token stands; the log says at which question."""
    name = f"asked-{by}"
    authority = Authority.create("Third CA")
    place.running.anchors.write_bytes(place.running.anchors.read_bytes() + authority.certificate_pem)
    time.sleep(2 * ANCHOR_INTERVAL)
    identity = place.client(name, authority)
    assert 200 == place.running.token_request(name, identity).status
    value, question = {
        "certificate": (read_certificate(identity.der).thumbprint, "it was not revoked here"),
        "authority": (
            read_pem_certificates(authority.certificate_pem)[0].key_thumbprint,
            "no authority on the path was revoked here",
        ),
    }[by]
    drill(place.running, RevokedKind(by), value)
    time.sleep(MAX_AGE)
    with caplog.at_level(logging.WARNING, "certbound.server"):
        assert 401 == place.running.token_request(name, identity).status
    assert f"it is not so that {question}" in caplog.text


def certificate(identity: Issued) -> str:
    return read_certificate(identity.der).thumbprint


def test_revoked_on_connections_that_stay(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """Authentication ends within a second, tokens at the guard within seven, with one audit line; others go on."""
    running = place.running
    holders = {
        "stolen": place.client("stolen"),
        "closed": place.client("closed"),
        "lost": place.client("lost", place.second),
    }
    spared = [("stolen", place.another("stolen")), ("spared", place.client("spared"))]
    tokens = {name: running.token(name, identity) for name, identity in holders.items()}
    others = [(running.token(name, identity), identity) for name, identity in spared]
    [second] = read_pem_certificates(place.second.certificate_pem)
    with contextlib.ExitStack() as stack:
        callers = [Caller(running, name, identity, stack) for name, identity in holders.items()]
        assert {(200, 200)} == {(each.authenticate(), each.call(tokens[each.name])) for each in callers}
        caplog.clear()

        drill(running, RevokedKind.CERTIFICATE, certificate(holders["stolen"]))
        drill(running, RevokedKind.CLIENT, "closed")
        drill(running, RevokedKind.AUTHORITY, second.key_thumbprint)
        committed = time.monotonic()
        at_the_server = seconds_until_401(*(each.authenticate for each in callers))
        heard = time.monotonic() - committed
        at_the_guard = seconds_until_401(*(partial(each.call, tokens[each.name]) for each in callers))

    assert max(at_the_server) <= MAX_AGE + 0.5  # the half is for a machine that is busy with other tests
    assert max(at_the_guard) + heard <= REFUSED_WITHIN
    reasons = [each.getMessage() for each in caplog.records if "refused" in each.getMessage()]
    for said in (
        f"certificate {certificate(holders['stolen'])} was revoked here",
        "disabled",  # says authentication, or the store when it is asked for another block of places
        f"the authority with the key {second.key_thumbprint} was revoked here",
        "it was revoked: index",
    ):
        assert any(said in reason for reason in reasons), said
    lines = [each.getMessage() for each in caplog.records if each.getMessage().startswith("drill ")]
    assert [f"drill revoked the {kind}" for kind in ("certificate", "client", "authority")] == [
        line.partition(" '")[0] for line in lines
    ]
    assert all(line.endswith(": 1 clients, tokens of 1 certificates") for line in lines)
    assert {200} == {running.call_api(token, identity).status for token, identity in others}
    assert {200} == {running.token_request(name, identity).status for name, identity in spared}


def test_what_was_out_stays_ended(place: Place) -> None:
    """Neither a token from the moment when not all had heard of it lives, nor does lifting revive one."""
    running, identity = place.running, place.client("typo")
    old = [running.token("typo", identity)]
    with contextlib.ExitStack() as stack:
        caller = Caller(running, "typo", identity, stack)
        assert 200 == caller.call(old[0])

        drill(running, RevokedKind.CERTIFICATE, certificate(identity))
        revoked_at = time.monotonic()
        while (answer := running.token_request("typo", identity)).status == 200:
            old.append(answer.json["access_token"])
            assert time.monotonic() - revoked_at < 2
        drill(running, RevokedKind.CERTIFICATE, certificate(identity), lift=True)
        while (answer := running.token_request("typo", identity)).status != 200:
            assert time.monotonic() - revoked_at < 4
        seconds_until_401(lambda: caller.call(old[0]))

        assert {401} == {caller.call(token) for token in old}
        assert 200 == caller.call(answer.json["access_token"])


def test_the_list_is_one_that_others_can_read(place: Place) -> None:
    """draft-ietf-oauth-status-list: found by the metadata, one bit for each token, and what the token names."""
    identity = place.client("read")
    named = claims(place.running.token("read", identity))["status"]["status_list"]
    metadata = place.running.ask(f"{place.running.issuer}/.well-known/oauth-authorization-server", method="GET").json
    listed = place.running.ask(metadata["status_list_aggregation_endpoint"], method="GET").json
    assert {"status_lists": [named["uri"]]} == listed

    before = place.running.ask(named["uri"], method="GET").body
    drill(place.running, RevokedKind.CLIENT, "read")
    answer = until_another(lambda: place.running.ask(named["uri"], method="GET"), before)

    assert (200, "application/statuslist+jwt") == (answer.status, answer.headers["content-type"])
    assert f"public, max-age={TTL}" == answer.headers["cache-control"]
    assert "*" == answer.headers["access-control-allow-origin"]
    header = json.loads(base64.urlsafe_b64decode(answer.body.split(b".")[0] + b"=="))
    assert {"alg": "ES256", "typ": "statuslist+jwt", "kid": header["kid"]} == header
    said = claims(answer.body.decode())
    assert (named["uri"], TTL, LIFETIME) == (said["sub"], said["ttl"], said["exp"] - said["iat"])
    assert 1 == said["status_list"]["bits"]
    bits = zlib.decompress(base64.urlsafe_b64decode(said["status_list"]["lst"] + "=="))
    assert named["idx"] in [n for n in range(len(bits) * 8) if bits[n // 8] >> n % 8 & 1]
    assert len(answer.body) < 1000


def test_the_list_is_no_access_token(place: Place) -> None:
    """It is signed by the same key, and its type keeps it out."""
    listed = place.running.ask(f"{place.running.issuer}/status", method="GET").body.decode()
    identity = place.client("foul")

    assert 401 == place.running.call_api(listed, identity).status


def test_the_list_is_made_when_something_changed(place: Place) -> None:
    """Two requests in a row get the same signature: nothing is compressed or signed for a request."""
    uri = f"{place.running.issuer}/status"
    assert place.running.ask(uri, method="GET").body == place.running.ask(uri, method="GET").body


def test_the_guard_looks_once_for_many_requests(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """A hundred requests within the list's time cause no second look at it."""
    identity = place.client("busy")
    token = place.running.token("busy", identity)
    with contextlib.ExitStack() as stack, caplog.at_level(logging.INFO, "httpx"):
        caller = Caller(place.running, "busy", identity, stack)
        assert {200} == {caller.call(token) for _ in range(100)}
        assert 1 >= sum(f"{place.running.issuer}/status " in each.getMessage() for each in caplog.records)


@pytest.mark.wide
@pytest.mark.alone
def test_every_worker_hears_of_it_within_a_second(tmp_path: Path) -> None:
    """The command in one process, the server in four others: whichever of them a connection is with refuses."""
    authority = Authority.create("Test CA")
    settings = _settings(tmp_path, authority, {"server__workers": 4})
    running = World(tmp_path, authority, settings, settings.server.issuer, str(settings.server.mtls_url))
    running.loop.close()  # the server runs in processes of its own
    running.register("pki", token_endpoint_auth_method="tls_client_auth", tls_client_auth_san_dns="pki.example")
    identity = authority.issue("CN=pki", dns=["pki.example"])
    (tmp_path / "pki.pem").write_bytes(identity.certificate_pem)
    certbound = [sys.executable, "-m", "certbound.cli"]
    server = subprocess.Popen([*certbound, "serve"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert server.stdout is not None
        server.stdout.readline()
        url, form = f"{running.mtls}/token", {"grant_type": "client_credentials", "client_id": "pki"}
        with contextlib.ExitStack() as stack:
            connections = [  # by turns with all four, as the kernel has it
                stack.enter_context(contextlib.closing(running.connect(running.mtls, identity))) for _ in range(24)
            ]

            def ask(connection: HTTPSConnection) -> int:
                return running.ask(url, identity, form=form, connection=connection).status

            assert {200} == set(map(ask, connections))
            subprocess.run([*certbound, "revoke", "--thumbprint", "pki.pem"], cwd=tmp_path, check=True)
            done_at = time.monotonic()
            passed = seconds_until_401(*(partial(ask, connection) for connection in connections))
            assert time.monotonic() - done_at < 2
            assert max(passed) <= 1.0
    finally:
        server.terminate()
        server.communicate()
