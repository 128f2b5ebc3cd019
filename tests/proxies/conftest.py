"""Certificates of every kind, made once; real proxies are slow to start, so each test module starts its own once."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxies.frame import Kinds, make_kinds
from proxies.programs import PROGRAMS


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What shares a proxy stays in one process, and what mostly waits is divided: for `--dist loadgroup`."""
    for item in items:
        if "proxies" in item.keywords:
            name = item.path.stem
            if name == "test_smuggling":
                name += "".join(each.name for each in PROGRAMS if each.name in item.name)
            item.add_marker(pytest.mark.xdist_group(name))


@pytest.fixture(scope="session")
def kinds() -> Kinds:
    return make_kinds()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every account can enter, for the sockets of proxies that drop their privileges."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
