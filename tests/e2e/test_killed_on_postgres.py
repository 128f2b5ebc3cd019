"""`kill -9` of the server that keeps everything in PostgreSQL: at every step, what `test_killed.py` says of SQLite."""

from collections.abc import Iterator

import pytest

from e2e import test_killed as on_sqlite
from e2e.mortal import mortal
from e2e.test_killed import METHODS, Place
from postgres_server import PostgresServer

pytestmark = [pytest.mark.postgres, pytest.mark.wide, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """As there, on a database server, which outlives whoever is killed."""
    options = {"authentication__methods": METHODS, "tokens__bind": "requested", "tokens__refresh_grace": 60}
    people = {"login__accounts": True, "login__device": True}
    with PostgresServer.running() as server:
        options["store__url"] = server.url(server.database())
        with mortal(Place, tmp_path_factory.mktemp("mortal"), **options, **people) as made:
            made.prepare()
            yield made


class TestRefresh:
    """A refresh token whose answer was lost is presented again."""

    test_a_replaced_token_has_one_successor = on_sqlite.TestRefresh.test_a_replaced_token_has_one_successor
    test_a_reused_token_ends_its_family = on_sqlite.TestRefresh.test_a_reused_token_ends_its_family


class TestCodes(on_sqlite.TestCodes):
    """A client that got no answer redeems its code again, or a device polls; a person decides or withdraws."""


class TestExchange(on_sqlite.TestExchange):
    """A service that got no answer exchanges again."""
