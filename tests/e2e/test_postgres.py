"""`certbound serve` with two workers, twice, on one PostgreSQL: four processes that are one authorization server."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

import asserting
from certbound.core.authentication import digest_of
from certbound.core.ports import InitialTokenRecord
from certbound.core.succession import DAY, LEAD
from certbound.server.key_keeper import INTERVAL
from certbound.settings.tables import ROTATE_DAYS
from certbound.trust.authority import Authority, Issued
from e2e.codes import BACK, CODE, PEOPLE, VERIFIER, agreed, in_store
from e2e.world import RESOURCE, Answer, World, _settings, free_port, self_signed
from postgres_server import PostgresServer
from speed import wall

pytestmark = pytest.mark.postgres

OPAQUE = "https://other.example"
WEB = self_signed("CN=web")
POOL = 4
"""Connections that a process has to the database."""
SETTINGS: dict[str, Any] = {
    **PEOPLE,
    "server__workers": 2,
    "tokens__opaque": [OPAQUE],
    "tokens__bind": "requested",
    "authentication__methods": ["tls_client_auth", "self_signed_tls_client_auth", "private_key_jwt"],
    "registration__ways": [
        {"name": "invited", "needs": ["initial_token"], "methods": ["private_key_jwt"], "scopes": ["read"]}
    ],
}
FORM = {"content-type": "application/x-www-form-urlencoded"}


@dataclass
class Cluster:
    """Two servers on one database, and connections that are spread over all their workers."""

    server: PostgresServer
    database: str
    world: World
    issuers: list[str]
    """Where each server is reached without mutual TLS."""
    bases: list[str]
    """Where over mutual TLS."""
    connections: list[HTTPSConnection]
    client: Issued

    def on(self, number: int, endpoint: str, **form: Any) -> Answer:
        """The answer on this connection."""
        return self.world.ask(f"{self.world.mtls}/{endpoint}", form=form, connection=self.connections[number])

    def everywhere(self, endpoint: str, **form: Any) -> list[Answer]:
        """The answers on all of them."""
        return [self.on(number, endpoint, **form) for number in range(len(self.connections))]

    def token(self, number: int, **form: Any) -> str:
        """A token for the client, which is the certificate of every connection."""
        answer = self.on(number, "token", grant_type="client_credentials", client_id="own", **form)
        assert answer.status == 200, answer
        return str(answer.json["access_token"])

    def sql(self, statement: str) -> str:
        """What an administrator is answered."""
        return self.server.sql(statement, database=self.database)

    def contested(self, what: str, endpoint: str, body: str, identity: Issued | None = None, *, least: int,
                  **headers: str) -> list[Answer]:  # fmt: skip
        """What fifty connections to both servers are answered, who have all asked the same before any of them is.

        Nobody gets at `what` until at least so many connections to the database wait for it.
        """
        with ExitStack() as stack:
            asked = []
            for number in range(50):
                base = self.bases[number % 2]
                asked.append(stack.enter_context(contextlib.closing(self.world.connect(base, identity))))
                asked[-1].connect()
            with self.server.holding(what, database=self.database) as waiting:
                for each in asked:
                    each.request("POST", f"/{endpoint}", body=body, headers=headers)
                wait_for(lambda: waiting() >= least)
            answers = [each.getresponse() for each in asked]
            return [Answer(each.status, dict(each.getheaders()), each.read()) for each in answers]

    def until_inactive(self, token: str) -> float:
        """Seconds until no worker calls it active."""
        begun = time.monotonic()
        while any(each.json["active"] for each in self.everywhere("introspect", client_id="own", token=token)):
            assert time.monotonic() - begun < 5
        return time.monotonic() - begun


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Both started at once, on an empty database."""
    directory: Path = tmp_path_factory.mktemp("cluster")
    authority = Authority.create("Test CA")
    with PostgresServer.running() as server, ExitStack() as stack:
        database = server.database()
        settings = _settings(
            directory, authority,
            {**SETTINGS, "store__url": server.url(database, pool=POOL)},
        )  # fmt: skip
        world = World(directory, authority, settings, settings.server.issuer, str(settings.server.mtls_url))
        world.loop.close()  # the servers run in processes of their own
        ports = [(settings.server.port, settings.server.mtls_port), (free_port(), free_port())]
        for plain, mtls in ports:
            stack.enter_context(_serving(directory, plain=plain, mtls=mtls))
        client = authority.issue("CN=own", dns=["own.example"])
        world.register(
            "own",
            token_endpoint_auth_method="tls_client_auth",
            tls_client_auth_san_dns="own.example",
            protected_resources=[RESOURCE, OPAQUE],
            grant_types=["client_credentials", "refresh_token"],
        )
        world.register("signer", **asserting.metadata())
        world.register_self_signed("web", WEB, redirect_uris=[BACK], grant_types=[CODE])
        connections = [
            stack.enter_context(contextlib.closing(world.connect(f"https://localhost:{mtls}", client)))
            for _, mtls in ports for _ in range(8)
        ]  # fmt: skip
        yield Cluster(server, database, world, [f"https://localhost:{plain}" for plain, _ in ports],
                      [f"https://localhost:{mtls}" for _, mtls in ports], connections, client)  # fmt: skip


@contextlib.contextmanager
def _serving(directory: Path, **ports: int | None) -> Iterator[None]:
    variables = {"CERTBOUND_SERVER__PORT": f"{ports['plain']}", "CERTBOUND_SERVER__MTLS_PORT": f"{ports['mtls']}"}
    with (directory / f"{ports['plain']}.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "certbound.cli", "serve"],
            cwd=directory, env={**os.environ, **variables}, stdout=subprocess.PIPE, stderr=log,
        )  # fmt: skip
        try:
            assert server.stdout is not None
            assert server.stdout.readline(), (directory / f"{ports['plain']}.log").read_text()
            yield
        finally:
            server.terminate()
            server.communicate()
    assert b"Traceback" not in (directory / f"{ports['plain']}.log").read_bytes()


def test_all_publish_one_key(cluster: Cluster) -> None:
    """However many processes found an empty database."""
    answers = [cluster.world.ask(f"{each}/jwks", method="GET") for each in cluster.issuers * 8]
    assert {each.status for each in answers} == {200}
    assert len({each.body for each in answers}) == 1
    assert len(answers[0].json["keys"]) == 1


@pytest.mark.parametrize("resource", [RESOURCE, OPAQUE], ids=["jwt", "opaque"])
def test_a_token_of_one_is_known_to_all(cluster: Cluster, resource: str) -> None:
    """At once, and after its revocation at any of them no worker calls it active for longer than a second."""
    for number in range(0, len(cluster.connections), 5):
        token = cluster.token(number, resource=resource)
        answers = cluster.everywhere("introspect", client_id="own", token=token)
        assert [each.json.get("active") for each in answers] == [True] * len(answers)
        assert cluster.on(-1 - number, "revoke", client_id="own", token=token).status == 200
        assert cluster.until_inactive(token) < wall(1)


def test_a_refresh_token_makes_one_line(cluster: Cluster) -> None:
    """Whichever workers it is presented to: the same successor."""
    token = cluster.world.open_grant("own", cluster.client, rotates=True)
    answers = cluster.everywhere("token", grant_type="refresh_token", client_id="own", refresh_token=token)
    assert {each.status for each in answers} == {200}
    [successor] = {each.json["refresh_token"] for each in answers}
    assert successor != token


def test_a_client_that_is_disabled_is_refused_by_all(cluster: Cluster) -> None:
    """Soon: they hear of it."""
    form = {"grant_type": "client_credentials", "client_id": "own"}
    cluster.world.update("own", enabled=False)
    begun = time.monotonic()
    while {each.status for each in cluster.everywhere("token", **form)} != {401}:
        assert time.monotonic() - begun < wall(1)
    cluster.world.update("own", enabled=True)
    begun = time.monotonic()
    while {each.status for each in cluster.everywhere("token", **form)} != {200}:
        assert time.monotonic() - begun < wall(1)


# What counts once.  A server has two processes, each with `POOL` connections to the database: of what more than twice
# `POOL` of them wait for both servers were asked.  Assertions, and those who redeem one code, go one at a time from a
# process, so that three do.


def test_an_assertion_counts_once(cluster: Cluster) -> None:
    """Its `jti` is used by one of fifty, at whichever server; and later by nobody."""
    value = asserting.assertion("signer", audience=cluster.world.issuer)
    body = urlencode({"grant_type": "client_credentials", **asserting.form(value)})
    for least, answered in ((3, [200] + [401] * 49), (0, [401] * 50)):
        answers = cluster.contested("LOCK TABLE used IN EXCLUSIVE MODE", "token", body, least=least, **FORM)
        assert sorted(each.status for each in answers) == answered


@pytest.mark.parametrize("uses", [1, 7])
def test_an_initial_access_token_counts_as_often_as_it_says(cluster: Cluster, uses: int) -> None:
    """So many of fifty register a client with it, and no client more is there."""
    token, now = f"cbia_{uses}", time.time()
    record = InitialTokenRecord(digest=digest_of(token), uses=uses, created_at=now, ends_at=now + 60)
    in_store(cluster.world, lambda store: store.initial_tokens.add(record))
    before = int(cluster.sql("SELECT count(*) FROM clients"))
    body = json.dumps(asserting.metadata(scope="read"))
    headers = {"content-type": "application/json", "authorization": f"Bearer {token}"}
    hold = "LOCK TABLE initial_tokens IN EXCLUSIVE MODE"
    answers = cluster.contested(hold, "register", body, least=2 * POOL + 1, **headers)
    assert sorted(each.status for each in answers) == [201] * uses + [401] * (50 - uses)
    assert int(cluster.sql("SELECT count(*) FROM clients")) == before + uses


def test_a_code_opens_one_grant(cluster: Cluster) -> None:
    """Whoever of fifty redeems it, and whatever the others then end of that: one grant was ever opened for it."""
    code = agreed(cluster.world, "web", grant_id="contested")
    redeemed = {"grant_type": CODE, "client_id": "web", "code": code, "redirect_uri": BACK, "code_verifier": VERIFIER}
    opened = int(cluster.sql("SELECT count(*) FROM grants"))
    body = urlencode(redeemed)
    answers = cluster.contested("LOCK TABLE tickets IN EXCLUSIVE MODE", "token", body, WEB, least=3, **FORM)
    won = [each for each in answers if each.status == 200]
    assert len(won) <= 1
    assert {each.json["error"] for each in answers if each not in won} == {"invalid_grant"}
    assert int(cluster.sql("SELECT count(*) FROM grants")) == opened + 1
    assert cluster.sql("SELECT valid FROM grants WHERE grant_id = 'contested'") == "f"


def test_keys_take_turns_once(cluster: Cluster) -> None:
    """When a turn is due all four processes make a successor and come with it at one moment: one of them is it."""
    for turn in range(1, 4):
        begins = f"extract(epoch FROM now()) - {ROTATE_DAYS * DAY - LEAD} + 2"
        cluster.sql(f"UPDATE signing_keys SET created_at = {begins}, signs_from = {begins} WHERE signs_until IS NULL")
        cluster.sql("UPDATE revision SET number = number + 1")
        with cluster.server.holding("SELECT FROM revision FOR UPDATE", database=cluster.database) as waiting:
            wait_for(lambda: waiting() == 4)
            assert int(cluster.sql("SELECT count(*) FROM signing_keys")) == turn
        wait_for(lambda at=turn: int(cluster.sql("SELECT count(*) FROM signing_keys")) > at)
        time.sleep(2 * INTERVAL)  # everybody has looked again
        assert int(cluster.sql("SELECT count(*) FROM signing_keys")) == turn + 1
        assert int(cluster.sql("SELECT count(*) FROM signing_keys WHERE signs_until IS NULL")) == 1
        published = [cluster.world.ask(f"{each}/jwks", method="GET") for each in cluster.issuers * 8]
        assert {frozenset(key["kid"] for key in each.json["keys"]) for each in published} == {
            frozenset(cluster.sql("SELECT kid FROM signing_keys").split())
        }
        made = "".join(log.read_text() for log in cluster.world.directory.glob("*.log")).count("made the signing key")
        assert made == turn + 1, "one audit line for each, and for the first one"


def wait_for(condition: Callable[[], object]) -> None:
    """It is so within four seconds, which is less than the servers wait for a lock."""
    end = time.monotonic() + 4
    while not condition():
        assert time.monotonic() < end, condition()
        time.sleep(0.02)


def test_they_go_on_after_the_database_was_killed(cluster: Cluster) -> None:
    """`kill -9` of PostgreSQL, twice: tokens are given as soon as it is back, and nothing else is restarted."""
    opaque = cluster.token(0, resource=OPAQUE)
    for _ in range(2):
        cluster.server.kill()
        form = {"grant_type": "client_credentials", "client_id": "own", "resource": OPAQUE}
        told = {each.status for each in cluster.everywhere("token", **form)}
        assert told <= {200, 503}
        cluster.server.start()
        time.sleep(0.1)
        begun = time.monotonic()
        while {each.status for each in cluster.everywhere("token", **form)} != {200}:
            assert time.monotonic() - begun < 3
        assert all(each.json["active"] for each in cluster.everywhere("introspect", client_id="own", token=opaque))
