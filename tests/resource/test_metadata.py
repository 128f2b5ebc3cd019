"""certbound.resource.metadata: what an API says of itself is what its guard does (RFC 9728)."""

import json
from typing import Any

import pytest

from certbound.resource import ProtectedResource, TrustedIssuer
from certbound.resource.metadata import describe, metadata_path, metadata_url
from issuing import AUDIENCE, ISSUER


def described(resource: str = AUDIENCE, **settings: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(describe(ProtectedResource(resource, **{"issuer": ISSUER, **settings})))
    return document


def test_it_says_what_is_asked_of_a_token_and_nothing_else() -> None:
    assert described(scopes={"write", "read"}) == {
        "resource": AUDIENCE,
        "authorization_servers": [ISSUER],
        "bearer_methods_supported": ["header"],
        "tls_client_certificate_bound_access_tokens": True,
        "scopes_supported": ["read", "write"],
    }


def test_it_claims_no_binding_that_is_not_demanded_and_no_scopes_where_none_are() -> None:
    assert set(described(require_bound=False)) == {"resource", "authorization_servers", "bearer_methods_supported"}


def test_it_names_every_issuer_and_is_called_by_its_identifier_and_not_by_its_audience() -> None:
    issuers = [TrustedIssuer(ISSUER), TrustedIssuer("https://b.example/x")]
    document = described(issuer=issuers, audience="api")
    assert document["authorization_servers"] == [ISSUER, "https://b.example/x"]
    assert document["resource"] == AUDIENCE


@pytest.mark.parametrize(
    ("resource", "path", "query"),
    [
        ("https://api.example", "", ""), ("https://api.example/", "", ""), ("https://api.example/a/b", "/a/b", ""),
        ("https://api.example/a/", "/a/", ""), ("https://api.example:8443/a", "/a", ""),
        ("https://api.example/a?b=c", "/a", "?b=c"), ("https://api.example?b=c", "", "?b=c"),
    ],
    ids=range(7),
)  # fmt: skip
def test_the_well_known_name_goes_between_host_and_path(resource: str, path: str, query: str) -> None:
    api = ProtectedResource(resource, issuer=ISSUER)
    assert metadata_path(api) == "/.well-known/oauth-protected-resource" + path
    host = "https://api.example:8443" if ":8443" in resource else "https://api.example"
    assert metadata_url(api) == f"{host}/.well-known/oauth-protected-resource{path}{query}"


@pytest.mark.parametrize("resource", ["urn:api", "http://api.example", "api", "https:///a", "https://api.example/#a"])
def test_what_is_no_https_url_has_none(resource: str) -> None:
    api = ProtectedResource(resource, issuer=ISSUER)
    assert metadata_path(api) is None
    assert metadata_url(api) is None
