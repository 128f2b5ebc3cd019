"""Certificates of every kind, made once; real proxies are slow to start, so each test module starts its own once."""

import pytest

from proxies.frame import Kinds, make_kinds


@pytest.fixture(scope="session")
def kinds() -> Kinds:
    return make_kinds()
