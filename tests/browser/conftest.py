"""One browser, and one deployment where people log in, for all tests here."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from browser.watched import chromium
from e2e.acting import people_world
from e2e.world import World

METHODS = ["self_signed_tls_client_auth", "none"]


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """`anna` has an account; devices may ask, and apps that prove nothing; tokens are bound for those who want it."""
    directory: Path = tmp_path_factory.mktemp("people")
    overrides = {"login__device": True, "tokens__bind": "requested", "authentication__methods": METHODS}
    with people_world(directory, **overrides) as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(people: World) -> AsyncIterator[Browser]:
    async with chromium(trusting=people.directory / "server.pem") as running:
        yield running
