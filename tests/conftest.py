"""What every test shares: one authority, and how hypothesis looks for counterexamples."""

import asyncio
import os
import time
import zlib
from pathlib import Path

import hypothesis
import pytest

from certbound.trust.authority import Authority
from certificates import TODAY

# A slow or busy machine is no defect; what was found once is found again.
hypothesis.settings.register_profile("certbound", deadline=None, max_examples=60, derandomize=True, database=None)
hypothesis.settings.load_profile("certbound")


WIDE_EVERY = int(os.environ.get("WIDE_EVERY", "1"))
"""Of the wide tests one in so many is run, others each day; 1 is all of them."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Which wide tests are today's is a matter of their names, so all processes agree."""
    today = int(time.time()) // 86400
    left_out = [
        each
        for each in items
        if each.get_closest_marker("wide") and (zlib.crc32(each.nodeid.encode()) + today) % WIDE_EVERY
    ]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        gone = set(left_out)
        items[:] = [each for each in items if each not in gone]


@pytest.fixture(scope="session")
def authority() -> Authority:
    """A root that unit tests trust."""
    return Authority.create("Unit Test Root", now=TODAY)


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of today's schema, closed, in which there is nothing: to be copied, which is sooner than made."""
    from certbound.stores import migrate  # half a second that most tests need not spend

    path = tmp_path_factory.mktemp("migrated") / "store.db"
    asyncio.run(migrate(f"sqlite:///{path}"))
    return path


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """A long value is named by its parameter: keys and tokens differ between the processes that run tests at once."""
    return argname if isinstance(val, str | bytes) and len(val) > 40 else None
