"""What tests of a store in a file share: where it lies, what it is asked, and somebody's hand."""

import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from asked import statements_seen
from certbound.core.ports import Store
from certbound.stores import open_store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database lies."""
    return tmp_path / "store.db"


@pytest.fixture
async def store(path: Path, migrated: Path) -> AsyncIterator[Store]:
    """A store in a file, empty."""
    shutil.copy(migrated, path)
    store = await open_store(f"sqlite:///{path}")
    yield store
    await store.close()


@pytest.fixture
def statements() -> Iterator[list[str]]:
    """What the databases of this process are asked."""
    with statements_seen() as seen:
        yield seen


@pytest.fixture
def by_hand(path: Path) -> Callable[..., None]:
    """What an administrator does with the sqlite3 command."""

    def execute(*statements: str) -> None:
        with closing(sqlite3.connect(path)) as database:
            for each in statements:
                database.execute(each)
            database.commit()

    return execute


@pytest.fixture
def scans(path: Path) -> Callable[[list[str]], list[str]]:
    """The steps of these statements that read a whole table, or a whole index of one."""

    def explain(statements: list[str]) -> list[str]:
        with closing(sqlite3.connect(path)) as database:
            plans = [row[3] for each in statements for row in database.execute(f"EXPLAIN QUERY PLAN {each}")]
        return [step for step in plans if step.startswith("SCAN")]

    return explain
