"""SQLite passes the conformance suite, in a file and in memory."""

from pathlib import Path

import pytest

from certbound.core.ports import Store
from certbound.stores import open_store
from certbound.testing.stores import StoreConformance


class TestFile(StoreConformance):
    """A store in a file."""

    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path) -> None:
        """Each test has a file of its own."""
        self.url = f"sqlite:///{tmp_path}/store.db"

    async def open(self) -> Store:
        """The file, opened once more."""
        return await open_store(self.url)


class TestMemory(StoreConformance):
    """A store in memory, as tests use it."""

    reopens = False

    async def open(self) -> Store:
        """Another, empty store."""
        return await open_store("sqlite://")
