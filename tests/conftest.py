"""What every test shares: one authority, and how hypothesis looks for counterexamples."""

import asyncio
from pathlib import Path

import hypothesis
import pytest

from certbound.trust.authority import Authority
from certificates import TODAY

# A slow or busy machine is no defect; what was found once is found again.
hypothesis.settings.register_profile("certbound", deadline=None, max_examples=60, derandomize=True, database=None)
hypothesis.settings.load_profile("certbound")


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
