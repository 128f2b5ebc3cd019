"""Fixtures of pytest for services that take bound tokens, without a network: everything runs on loopback TLS.

    def test_the_owner_of_a_token_is_let_in(authorization_server, protected_api, client_certificate):
        api = protected_api(app, scopes={"read"})
        client = authorization_server.register(client_certificate, scope="read")
        assert api.get("/", token=client.token(api), certificate=client_certificate).status_code == 200

Rule 1: pytest imports this module in every project that certbound is installed for; it imports nothing before a fixture
        of it is used.
Rule 2: what these fixtures start is stopped by them, and what they write is in a temporary folder of pytest.

`certbound_scope` in the configuration of pytest says how long a server lives: `session`, `module` or `function`.
"""

import gc
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from certbound.testing.deployment import AuthorizationServer, ClientCertificate, ProtectedApi


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option that `_scope` reads."""
    parser.addini(
        "certbound_scope", "how long authorization_server lives: session, module, function", default="session"
    )


def _scope(fixture_name: str, config: pytest.Config) -> Any:
    return config.getini("certbound_scope")


@pytest.fixture(scope=_scope)
def authorization_server_settings() -> Mapping[str, Any]:
    """Settings of the server, by section; a conftest.py overrides this, in the same scope."""
    return {}


@pytest.fixture(scope=_scope)
def authorization_server(
    authorization_server_settings: Mapping[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> "Iterator[AuthorizationServer]":
    """A running authorization server, which registers clients and issues bound tokens."""
    try:
        running_server = imported()
    except ModuleNotFoundError as error:
        pytest.fail(f"authorization_server needs certbound[server] to be installed: {error}", pytrace=False)
    with running_server(tmp_path_factory.mktemp("certbound"), authorization_server_settings) as server:
        yield server


def imported() -> "Callable[[Path, Mapping[str, Any]], AbstractContextManager[AuthorizationServer]]":
    """`running_server`, with all that it needs: a thousand modules, three quarters of what the first use takes.

    Nothing of them is garbage, and to look for some all the while takes a sixth longer.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        from certbound.testing.deployment import running_server  # noqa: PLC0415
    finally:
        if collects:
            gc.enable()
    return running_server


@pytest.fixture
def protected_api(authorization_server: "AuthorizationServer") -> "Iterator[Callable[..., ProtectedApi]]":
    """Serves an ASGI or WSGI application behind the guard until the test ends: `api = protected_api(app)`."""
    with authorization_server.serving() as serve:
        yield serve


@pytest.fixture
def client_certificate(authorization_server: "AuthorizationServer") -> "ClientCertificate":
    """A self-signed certificate that no test had before; `authorization_server.certificate()` makes more."""
    return authorization_server.certificate()
