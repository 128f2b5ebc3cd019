"""`kill -9` of the server that keeps everything in PostgreSQL, at every step.

It is as `test_killed.py` and `test_killed_people.py` say of SQLite, in the same words.
"""

from collections.abc import Iterator

import pytest

from e2e import test_killed as on_sqlite
from e2e import test_killed_people as acting_on_sqlite
from e2e.mortal import mortal
from e2e.test_killed import METHODS
from e2e.test_killed_people import Acting
from postgres_server import PostgresServer

pytestmark = [pytest.mark.postgres, pytest.mark.wide, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Acting]:
    """As there, on a database server, which outlives whoever is killed."""
    options = {
        "authentication__methods": METHODS,
        "tokens__bind": "requested",
        "tokens__refresh_grace": 60,
        "tokens__scopes": ["read", "write", "openid"],
        "login__accounts": True,
        "login__device": True,
    }
    with PostgresServer.running() as server:
        options["store__url"] = server.url(server.database())
        with mortal(Acting, tmp_path_factory.mktemp("mortal"), **options) as made:
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


def test_a_code_with_an_id_token_gives_one_live_token(place: Acting) -> None:
    """Of the client for which the store is asked the most."""
    acting_on_sqlite.test_a_code_with_an_id_token_gives_one_live_token(place, "person-pairwise", wide=True)


def test_a_persons_refresh_token_survives(place: Acting) -> None:
    """Of the client whose tokens are replaced."""
    acting_on_sqlite.test_a_persons_refresh_token_survives(place, "person-spa", wide=True)


test_a_push_whose_answer_was_lost_is_made_again = acting_on_sqlite.test_a_push_whose_answer_was_lost_is_made_again
test_an_assertion_counts_once = on_sqlite.test_an_assertion_counts_once
