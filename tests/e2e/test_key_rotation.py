"""Keys take turns while tokens are asked for and used: nobody notices, and what a taken-out key signed is refused."""

import asyncio
import base64
import contextlib
import json
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from certbound import tls
from certbound.app import opened_store
from certbound.core.signing import EDDSA, ES256, PS256, RS256
from certbound.core.succession import SWITCH, Schedule
from certbound.core.well_known import Issuer
from certbound.resource import Guard, ProtectedResource
from certbound.resource.issuer import IssuerKeys
from certbound.server.key_keeper import KeyKeeper
from certbound.tls import Port, VirtualHost
from certbound.trust.authority import Authority, Issued
from e2e.world import RESOURCE, World, _settings, sample_api, world
from speed import wall

SOON = Schedule(period=None, lead=2.0, kept=0.5)
"""A day and a day, in seconds: longer than the servers and the guard here need to hear of anything."""
MAX_AGE = 1.2
"""Seconds for which the guard here keeps keys; it fetches them for no other reason."""


def kid_of(token: str) -> str:
    header = json.loads(base64.urlsafe_b64decode(token.split(".", 1)[0] + "=="))
    return str(header["kid"])


@dataclass
class Place:
    """A deployment, a client, and an API whose guard knows a new key only if it was published before."""

    running: World
    identity: Issued
    api: str

    def rotate(self, *, at_once: bool = False) -> str:
        """What the command does, with other times; the `kid` of the new key, when it signs."""

        async def go() -> Any:
            async with opened_store(self.running.settings) as store:
                keeper = KeyKeeper(store, alg=ES256, schedule=SOON, actor="test")
                return await (keeper.replace() if at_once else keeper.rotate())

        successor = asyncio.run(go())
        time.sleep(max(0, successor.signs_from - time.time()))
        return str(successor.kid)

    def token(self) -> str:
        return self.running.token("pki", self.identity)

    def call(self, token: str) -> int:
        headers = {"authorization": f"Bearer {token}"}
        return self.running.ask(f"{self.api}/", self.identity, method="GET", headers=headers).status

    def published(self) -> set[str]:
        answer = self.running.ask(f"{self.running.issuer}/jwks", method="GET")
        return {each["kid"] for each in answer.json["keys"]}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with world(tmp_path_factory.mktemp("rotation")) as running:
        running.register("pki", token_endpoint_auth_method="tls_client_auth", tls_client_auth_san_dns="pki.example")
        identity = running.authority.issue("CN=pki", dns=["pki.example"])
        with guarded(running) as api:
            yield Place(running, identity, api)


@contextlib.contextmanager
def guarded(running: World, max_age: float = MAX_AGE) -> Iterator[str]:
    """The address of an API whose guard fetches keys by age alone."""
    trusted = ssl.create_default_context(cadata=running.authority.certificate_pem.decode())
    keys = IssuerKeys(
        Issuer(running.issuer), partial(httpx.AsyncClient, verify=trusted), time.monotonic,
        max_age=max_age, refetch_interval=3600,
    )  # fmt: skip
    app = Guard(sample_api, ProtectedResource(RESOURCE, issuer=running.issuer, keys=keys, issuer_ca=trusted))
    host = VirtualHost(
        certificate=running.directory / "server.pem",
        key=running.directory / "server.key",
        app=app,
        asks_for_certificate=True,
    )
    port = Port(host="127.0.0.1", port=0, virtual_hosts=(host,))
    served = asyncio.run_coroutine_threadsafe(tls.start([port]), running.loop).result(20)
    try:
        yield f"https://localhost:{served.addresses[0][1]}"
    finally:
        asyncio.run_coroutine_threadsafe(served.stop(grace=1), running.loop).result(20)


@dataclass
class Load:
    """Clients that ask for tokens and use each of them, several times, until it is over."""

    place: Place
    answers: Counter[int] = field(default_factory=Counter)
    kids: Counter[str] = field(default_factory=Counter)
    refused_at: float = float("-inf")
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        running, identity = self.place.running, self.place.identity
        form = {"grant_type": "client_credentials", "client_id": "pki"}
        with (
            contextlib.closing(running.connect(running.mtls, identity)) as server,
            contextlib.closing(running.connect(self.place.api, identity)) as api,
        ):
            while not self.stop.is_set():
                answer = running.ask(f"{running.mtls}/token", form=form, connection=server)
                self.answers[answer.status] += 1
                if answer.status != 200:
                    continue
                token = answer.json["access_token"]
                self.kids[kid_of(token)] += 1
                headers = {"authorization": f"Bearer {token}"}
                for _ in range(5):
                    used = running.ask(f"{self.place.api}/", method="GET", headers=headers, connection=api)
                    self.answers[used.status] += 1
                    if used.status != 200:
                        self.refused_at = time.monotonic()
                    time.sleep(0.01)


@contextlib.contextmanager
def load(place: Place, clients: int = 3) -> Iterator[Load]:
    found = Load(place)
    threads = [threading.Thread(target=found.run) for _ in range(clients)]
    for each in threads:
        each.start()
    try:
        time.sleep(0.3)
        yield found
        time.sleep(0.3)
    finally:
        found.stop.set()
        for each in threads:
            each.join(20)


def until(condition: Any, within: float = 5.0) -> None:
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < within
        time.sleep(0.02)


def test_a_rotation_under_load(place: Place) -> None:
    """No request fails, old tokens live on, and when the old key has ended they do not."""
    old = place.token()
    assert place.call(old) == 200
    with load(place) as seen:
        new = place.rotate()
        until(lambda: new in seen.kids)
        assert place.published() == {kid_of(old), new}
        assert place.call(old) == 200
        until(lambda: place.published() == {new})
        until(lambda: place.call(old) == 401, MAX_AGE + 1)
    assert set(seen.answers) == {200}, seen.answers
    assert seen.answers.total() > 100
    assert set(seen.kids) == {kid_of(old), new}


@pytest.mark.wide
@pytest.mark.parametrize(("alg", "status"), [(EDDSA, 200), (PS256, 200), (RS256, 401)])
def test_a_server_that_is_set_to_another_algorithm(tmp_path: Path, alg: str, status: int) -> None:
    """Its first key is of that algorithm, and the metadata says so.

    The guard takes all of them but RS256, which it wants to be asked for.
    """
    with world(tmp_path, keys__algorithm=alg) as running:
        running.register("pki", token_endpoint_auth_method="tls_client_auth", tls_client_auth_san_dns="pki.example")
        identity = running.authority.issue("CN=pki", dns=["pki.example"])
        token = running.token("pki", identity)
        header = json.loads(base64.urlsafe_b64decode(token.split(".", 1)[0] + "=="))
        assert header["alg"] == alg
        assert running.call_api(token, identity).status == status
        metadata = running.ask(f"{running.issuer}/.well-known/oauth-authorization-server", method="GET").json
        assert metadata["introspection_signing_alg_values_supported"] == [alg]


def test_a_stolen_key_is_replaced_at_once(place: Place) -> None:
    """From one moment on its tokens are refused, by whoever keeps keys no longer than our guard, and new ones pass."""
    stolen = place.token()
    assert place.call(stolen) == 200
    new = place.rotate(at_once=True)
    until(lambda: place.published() == {new}, 1.0)
    until(lambda: place.call(stolen) == 401, MAX_AGE + 1)
    fresh = place.token()
    assert kid_of(fresh) == new
    assert place.call(fresh) == 200
    listed = place.running.ask(f"{place.running.issuer}/status", method="GET").body.decode()
    assert kid_of(listed) == new


@pytest.mark.wide
@pytest.mark.alone
def test_the_command_and_four_workers(tmp_path: Path) -> None:
    """The server in processes of its own and a guard as everybody has it: they switch together.

    The new key is in the JWK Set of whichever worker is asked when the first token comes that it signed.
    """
    authority = Authority.create("Test CA")
    settings = _settings(tmp_path, authority, {"server__workers": 4})
    running = World(tmp_path, authority, settings, settings.server.issuer, str(settings.server.mtls_url))
    looping = threading.Thread(target=running.loop.run_forever)
    looping.start()
    running.register("pki", token_endpoint_auth_method="tls_client_auth", tls_client_auth_san_dns="pki.example")
    identity = authority.issue("CN=pki", dns=["pki.example"])
    certbound = [sys.executable, "-m", "certbound.cli"]
    patience = 3.0  # a fetch may take a while where eight clients keep four workers busy
    server = subprocess.Popen(
        [*certbound, "serve"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert server.stdout is not None
        server.stdout.readline()
        with guarded(running, patience) as api:
            place = Place(running, identity, api)
            stolen = place.token()
            assert place.call(stolen) == 200
            for _ in range(2):
                subprocess.run([*certbound, "key", "rotate", "--now"], cwd=tmp_path, check=True)
                announced_at = time.monotonic()
                with load(place, clients=8) as seen:
                    time.sleep(SWITCH + patience + 2)
                # What was signed before the switch dies with it, and a guard that keeps keys knows the new one later.
                assert seen.refused_at - announced_at < SWITCH + wall(patience + 0.5)
                assert set(seen.answers) <= {200, 401}
                assert 2 == len(seen.kids)
            assert place.call(stolen) == 401
            assert {len(place.published()) for _ in range(20)} == {1}
    finally:
        server.terminate()
        server.communicate()
        running.loop.call_soon_threadsafe(running.loop.stop)
        looping.join(10)
        running.loop.close()
