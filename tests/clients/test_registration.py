"""openid-client and oauth4webapi register themselves (RFC 7591) over mutual TLS, and are clients from then on."""

from collections.abc import Iterator
from typing import Any

import pytest

from certbound.core.certificate import read_certificate
from certbound.core.jwks import make_jwks
from certbound.trust.authority import self_signed
from clients.programs import PROGRAMS, Program, is_bound_to
from e2e.world import World, world

pytestmark = pytest.mark.clients

REGISTERING = pytest.mark.parametrize(
    "program", [program for program in PROGRAMS if program.registers], ids=lambda program: program.name
)
WAYS: list[dict[str, Any]] = [
    {"name": "certified", "needs": ["mutual_tls"], "methods": ["tls_client_auth"], "scopes": ["read"]},
    {"name": "anybody", "needs": [], "methods": ["self_signed_tls_client_auth"], "scopes": ["read"]},
]


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Whoever has a certificate of its authority may register its name; others, their certificate."""
    directory = tmp_path_factory.mktemp("registering")
    with world(directory, registration__ways=WAYS, registration__anchors=["anchors.pem"]) as running:
        yield running


@REGISTERING
def test_a_client_registers_its_name_and_gets_a_token(run: Any, deployment: World, program: Program) -> None:
    """It is told `use_mtls_endpoint_aliases` again, without which the library would not find the alias of the token."""
    name = f"{program.name}.example"
    identity = deployment.authority.issue(f"CN={name}", dns=[name])
    asked = {"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": name}
    told = run(program, "", identity, registration=asked)
    assert told["client_id"]
    assert is_bound_to(identity, told["token"])
    assert told["client_id"] == told["api"].get("client_id", told["client_id"])
    assert 200 == told["api"]["status"]


@REGISTERING
def test_a_client_registers_its_certificate(run: Any, deployment: World, program: Program) -> None:
    """Self-signed, by value."""
    identity = self_signed("CN=own")
    jwks = make_jwks([read_certificate(identity.der)])
    asked = {"token_endpoint_auth_method": "self_signed_tls_client_auth", "jwks": jwks}
    told = run(program, "", identity, registration=asked, introspect=True, revoke=True)
    assert is_bound_to(identity, told["token"])
    assert (200, True) == (told["api"]["status"], told["introspection"]["active"])
    assert told["introspection_after"]["active"] is False


@REGISTERING
def test_a_refused_registration_reaches_the_program(run: Any, deployment: World, program: Program) -> None:
    """Another's name is refused."""
    identity = deployment.authority.issue("CN=other", dns=["other.example"])
    asked = {"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "victim.example"}
    told = run(program, "", identity, registration=asked)
    assert "invalid_client_metadata" == told["registration"]["error"]
