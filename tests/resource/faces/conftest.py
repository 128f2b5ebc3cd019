"""One real issuer for all faces, and the tokens that they are asked with."""

import time
from collections.abc import Iterator

import pytest

from certbound.core.signing import SigningKey, sign_jwt
from e2e.world import self_signed, world
from faces.suite import OPAQUE, Cast, claims_of


@pytest.fixture(scope="session")
def cast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cast]:
    """The deployment; the token that is revoked was so before any face looked."""
    directory = tmp_path_factory.mktemp("faces")
    key = SigningKey.generate()
    (directory / "signing.pem").write_bytes(key.as_pem())
    with world(directory, keys__file="signing.pem", tokens__opaque=[OPAQUE]) as running:
        running.register("owner", token_endpoint_auth_method="tls_client_auth", tls_client_auth_san_dns="owner.example")
        owner = running.authority.issue("CN=owner", dns=["owner.example"])
        thief = running.authority.issue("CN=thief", dns=["thief.example"])
        api = running.authority.issue("CN=api", dns=["api.example"])
        running.register(
            "api", token_endpoint_auth_method="tls_client_auth", tls_client_auth_san_dns="api.example",
            protected_resources=[OPAQUE],
        )  # fmt: skip
        (directory / "introspecting.pem").write_bytes(api.certificate_pem)
        (directory / "introspecting.key").write_bytes(api.key_pem)
        own = self_signed("CN=self")
        running.register_self_signed("self", own)
        good = running.token("owner", owner)
        revoked = running.token("owner", owner)
        assert 200 == running.revoke(revoked, "owner", owner).status
        claims, now = claims_of(good), int(time.time())
        unbound = {name: value for name, value in claims.items() if name != "cnf"}
        tokens = {
            "good": good,
            "reading": running.token("owner", owner, scope="read"),
            "writing": running.token("owner", owner, scope="write"),
            "revoked": revoked,
            "expired": sign_jwt({**claims, "iat": now - 400, "exp": now - 100}, key, "at+jwt"),
            "opaque": running.token("owner", owner, resource=OPAQUE),
            "self_signed": running.token("self", own),
            "unbound": sign_jwt(unbound, key, "at+jwt"),
        }
        yield Cast(running, owner, thief, own, tokens)
