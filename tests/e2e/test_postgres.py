"""`certbound serve` with two workers, twice, on one PostgreSQL: four processes that are one authorization server."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import pytest

from certbound.trust.authority import Authority, Issued
from e2e.world import RESOURCE, Answer, World, _settings, free_port
from postgres_server import PostgresServer
from speed import wall

pytestmark = pytest.mark.postgres

OPAQUE = "https://other.example"


@dataclass
class Cluster:
    """Two servers on one database, and connections that are spread over all their workers."""

    server: PostgresServer
    world: World
    issuers: list[str]
    """Where each server is reached without mutual TLS."""
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
        settings = _settings(
            directory, authority,
            {"server__workers": 2, "tokens__opaque": [OPAQUE], "store__url": server.url(server.database(), pool=4)},
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
        connections = [
            stack.enter_context(contextlib.closing(world.connect(f"https://localhost:{mtls}", client)))
            for _, mtls in ports for _ in range(8)
        ]  # fmt: skip
        yield Cluster(server, world, [f"https://localhost:{plain}" for plain, _ in ports], connections, client)


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
