"""One deployment for the tests that leave it as they found it."""

from collections.abc import Iterator

import pytest

from certbound.trust.authority import Issued, self_signed
from e2e.world import World, world


@pytest.fixture(scope="package")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("deployment")) as running:
        running.register("pki", token_endpoint_auth_method="tls_client_auth", tls_client_auth_san_dns="pki.example")
        yield running


@pytest.fixture(scope="package")
def pki(deployment: World) -> Issued:
    """The certificate of client `pki`."""
    return deployment.authority.issue("CN=pki", dns=["pki.example"])


@pytest.fixture(scope="package")
def own(deployment: World) -> Issued:
    """The certificate of client `own`, self-signed and registered."""
    certificate = self_signed("CN=own")
    deployment.register_self_signed("own", certificate)
    return certificate
