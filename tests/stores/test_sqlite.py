"""SQLite passes the conformance suite, in a file and in memory."""

import shutil
from pathlib import Path

import pytest

from certbound.core.ports import Store
from certbound.stores import open_store
from certbound.testing.store_grants import GrantConformance
from certbound.testing.store_place import StorePlace
from certbound.testing.store_redemption import RedemptionConformance
from certbound.testing.store_tickets import TicketConformance
from certbound.testing.stores import StoreConformance


class TestFile(StoreConformance):
    """A store in a file."""

    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path, migrated: Path) -> None:
        """Each test has a file of its own, its schema made already."""
        self.url = f"sqlite:///{shutil.copy(migrated, tmp_path)}"

    async def open(self) -> Store:
        """The file, opened once more."""
        return await open_store(self.url)


class InMemory(StorePlace):
    """A place in memory, as tests use it; all that is done there at once has one connection."""

    reopens = False

    async def open(self) -> Store:
        """Another, empty store."""
        return await open_store("sqlite://")


class TestMemoryAtOnce(InMemory, GrantConformance, TicketConformance, RedemptionConformance):
    """The parts of the suite in which most is done at once."""


@pytest.mark.wide
class TestMemory(InMemory, StoreConformance):
    """All of it."""
