"""Clients of others at the other endpoints, and by the other methods; a certificate beside binds the token."""

import time
from typing import Any

import pytest
from joserfc.jwk import ECKey

from certbound.trust.authority import Issued, self_signed
from clients.programs import PROGRAMS, Program, Runner, is_bound_to, register_with_secret
from e2e.world import World, thumbprint

pytestmark = pytest.mark.clients


def each(programs: Any) -> Any:
    return pytest.mark.parametrize("program", list(programs), ids=lambda program: program.name)


ASKING = each(program for program in PROGRAMS if program.introspects)
SIGNED = each(program for program in PROGRAMS if program.registers)
REFRESHING = each(program for program in PROGRAMS if program.refreshes)
BY_METHOD = [
    pytest.param(program, method, id=f"{program.name}-{method}")
    for program in PROGRAMS
    for method in sorted(program.methods)
]


@ASKING
def test_introspection_says_what_the_token_is_bound_to(run: Runner, pki: Issued, program: Program) -> None:
    """Asked by the client itself, about its own token."""
    told = run(program, "pki", pki, introspect=True)["introspection"]
    assert (True, "pki", {"x5t#S256": thumbprint(pki)}) == (told["active"], told["client_id"], told["cnf"])


@ASKING
def test_a_revoked_token_is_inactive(run: Runner, pki: Issued, program: Program) -> None:
    """At once."""
    told = run(program, "pki", pki, introspect=True, revoke=True)
    assert (True, 200) == (told["introspection"]["active"], told["revocation"]["status"])
    assert told["introspection_after"]["active"] is False


@SIGNED
def test_signed_introspection_is_verified(run: Runner, deployment: World, program: Program) -> None:
    """RFC 9701: the library checks type, issuer, audience and signature."""
    identity, name = self_signed("CN=signed"), f"signed-{program.name}"
    deployment.register_self_signed(name, identity, introspection_signed_response_alg="ES256")
    told = run(program, name, identity, introspect=True, introspection_alg="ES256")
    assert {"x5t#S256": thumbprint(identity)} == told["introspection"]["cnf"]


@pytest.mark.parametrize(("program", "method"), BY_METHOD)
def test_another_method_beside_mutual_tls(run: Runner, deployment: World, program: Program, method: str) -> None:
    """The secret or the assertion authenticates, the certificate binds; without the former there is no token."""
    identity, name = self_signed("CN=beside"), f"{program.name}-{method}"
    facts = register(run, deployment, name, method)
    told = run(program, name, identity, method=method, **facts)
    assert is_bound_to(identity, told["token"])
    assert 200 == told["api"]["status"]
    wrong = {"client_secret": "cbcs_wrong"} if "client_secret" in facts else new_key(run)[0]
    refusal = run(program, name, identity, method=method, **wrong)["token"]
    # Where there is a challenge (Basic), openid-client and oauth4webapi hand over that, and not the body.
    assert "invalid_client" == refusal.get("error") or (401, "client_secret_basic") == (refusal["status"], method)


@REFRESHING
def test_a_refresh_token_gives_a_bound_token(run: Runner, deployment: World, program: Program) -> None:
    """By mutual TLS, with what each library has for it."""
    identity, name = self_signed("CN=refreshing"), f"refreshing-{program.name}"
    grants = ["client_credentials", "refresh_token"]
    deployment.register_self_signed(name, identity, grant_types=grants)
    told = run(program, name, identity, refresh_token=deployment.open_grant(name, identity))
    assert is_bound_to(identity, told["refreshed"])


def register(run: Runner, deployment: World, client_id: str, method: str) -> dict[str, str]:
    """The client is there; what its program must be told."""
    if method == "private_key_jwt":
        facts, key = new_key(run)
        deployment.register(
            client_id, token_endpoint_auth_method=method, jwks={"keys": [key.as_dict(private=False, kid="1")]}
        )
        return facts
    return {"client_secret": register_with_secret(deployment, client_id, method)}


def new_key(run: Runner) -> tuple[dict[str, str], ECKey]:
    key = ECKey.generate_key("P-256")
    file = run.folder / f"{time.monotonic_ns()}.key"
    file.write_bytes(key.as_pem(private=True))
    return {"signing_key": str(file)}, key
