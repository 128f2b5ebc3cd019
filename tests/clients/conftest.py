"""One deployment for the clients of others."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from certbound.core.clients import Method
from certbound.trust.authority import Issued, self_signed
from clients.programs import INSTALLED, Runner, needs
from e2e.world import World, world


@pytest.fixture(scope="package")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("clients")
    with world(directory, authentication__methods=list(Method), tokens__opaque=["https://other.example"]) as running:
        yield running


@pytest.fixture(scope="package")
def pki(deployment: World) -> Issued:
    """The certificate of client `pki`."""
    deployment.register("pki", token_endpoint_auth_method="tls_client_auth", tls_client_auth_san_dns="pki.example")
    return deployment.authority.issue("CN=pki", dns=["pki.example"])


@pytest.fixture(scope="package")
def own(deployment: World) -> Issued:
    """The certificate of client `own`, self-signed and registered."""
    certificate = self_signed("CN=own")
    deployment.register_self_signed("own", certificate)
    return certificate


@pytest.fixture(scope="session")
def stranger() -> Issued:
    """A certificate that nobody knows, with the names of another."""
    return self_signed("CN=pki", dns=["pki.example"])


@pytest.fixture
def run(deployment: World, tmp_path: Path) -> Runner:
    needs(INSTALLED / "venv", INSTALLED / "node" / "node_modules", INSTALLED / "go-client", "node", "curl", "jq")
    return Runner(deployment, tmp_path)
