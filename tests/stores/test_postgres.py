"""PostgreSQL passes the conformance suite, and keeps the promises that are its own."""

from collections.abc import Iterator

import pytest

from certbound.core.ports import Store
from certbound.stores import open_store
from certbound.testing.stores import StoreConformance
from postgres_server import PostgresServer

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """One server for the module; each test has a database of its own."""
    with PostgresServer.running() as server:
        yield server


class TestPostgres(StoreConformance):
    """A database of PostgreSQL."""

    @pytest.fixture(autouse=True)
    def place(self, server: PostgresServer) -> None:
        """Each test has a database of its own."""
        self.url = server.url(server.database())

    async def open(self) -> Store:
        """The database, opened once more."""
        return await open_store(self.url)
