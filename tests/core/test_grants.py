"""certbound.core.grants: what a grant gives, never more than client and deployment have."""

import asyncio
from typing import Any

import pytest

from certbound.core.authentication import AuthenticatedClient, Sources, authenticate
from certbound.core.clients import read_client
from certbound.core.errors import InvalidScope, InvalidTarget
from certbound.core.grants import GRANTS, Policy, TokenRequest
from certbound.core.jwks import make_jwks
from certbound.core.revoked import NOTHING_REVOKED
from certbound.core.scope import Scope
from certbound.core.tokens import Grant
from certbound.trust.anchors import Anchors
from certbound.trust.authority import self_signed
from certbound.trust.published import PublishedNowhere
from certbound.trust.verifier import Trust
from certificates import NOW, TODAY, peer, read

OWN = self_signed("CN=own", now=TODAY)
POLICY = Policy(scope=Scope(frozenset({"read", "write"})), resources=["https://api.example", "https://other.example"])


def authenticated(**metadata: Any) -> AuthenticatedClient:
    """A client that is authenticated by its self-signed certificate."""
    given = {"token_endpoint_auth_method": "self_signed_tls_client_auth", "jwks": make_jwks([read(OWN)])}
    client = read_client("own", {**given, "scope": "read admin", **metadata})
    sources = Sources(chains=Trust(Anchors()), published=PublishedNowhere())
    return asyncio.run(authenticate(client, peer(OWN), sources=sources, revoked=NOTHING_REVOKED, now=NOW))


def granted(scope: str | None = None, resources: tuple[str, ...] = ()) -> Grant:
    """What client credentials give it."""
    request = TokenRequest(scope=scope, resources=resources)
    return GRANTS["client_credentials"](authenticated(), request, POLICY, read(OWN))


def test_the_grants_there_are() -> None:
    """Client credentials is the one grant; the implicit grant does not exist here (R29)."""
    assert set(GRANTS) == {"client_credentials"}


def test_client_credentials() -> None:
    """The client asks for itself: it is the subject, at the default resource, with all scope it and we have."""
    grant = granted()
    assert (grant.client_id, grant.subject) == ("own", "own")
    assert list(grant.audience) == ["https://api.example"]
    assert grant.scope == {"read"}
    assert grant.certificate == read(OWN)


def test_the_scope_is_the_smaller_of_the_clients_and_ours() -> None:
    """A scope that only the client has, or only the deployment, is not granted."""
    for scope in ("admin", "write", "read write"):
        with pytest.raises(InvalidScope):
            granted(scope)


def test_resources() -> None:
    """A token is for the resources that were named, and one that is unknown is `invalid_target` (RFC 8707)."""
    assert list(granted(resources=("https://other.example",)).audience) == ["https://other.example"]
    both = ("https://other.example", "https://api.example")
    assert tuple(granted(resources=both).audience) == both
    for unknown in ("https://evil.example", "https://api.example/", "", "https://API.example"):
        with pytest.raises(InvalidTarget):
            granted(resources=("https://api.example", unknown))
