"""certbound.core.metadata: what the server says of itself, and nothing it does not do (R19, R22, R35)."""

from typing import Any

import pytest

from certbound.core.clients import Method
from certbound.core.errors import ConfigurationError
from certbound.core.metadata import (
    DIRECT_ENDPOINTS,
    INTROSPECTION,
    PAGES,
    REVOCATION,
    TOKEN,
    Offer,
    describe_server,
)
from certbound.core.scope import Scope
from certbound.core.well_known import Issuer, discovery_paths, well_known


def offer(**changes: Any) -> Offer:
    """A server with a mutual-TLS host of its own."""
    facts: dict[str, Any] = {
        "issuer": Issuer("https://as.example"),
        "mtls_base": "https://mtls.as.example",
        "scope": Scope(frozenset({"write", "read"})),
        "grant_types": frozenset({"client_credentials"}),
        "methods": frozenset(Method),
        "can_bind": True,
    }
    return Offer(**{**facts, **changes})


def test_document() -> None:
    """The metadata names what the server has, with the names as they are registered (R35)."""
    methods = [
        "client_secret_basic", "client_secret_post", "private_key_jwt",
        "self_signed_tls_client_auth", "tls_client_auth",
    ]  # fmt: skip
    algorithms = ["ES256", "PS256"]
    assert describe_server(offer(assertion_algorithms=("ES256", "PS256"), signing_algorithms=("EdDSA",))) == {
        "issuer": "https://as.example",
        "token_endpoint": "https://as.example/token",
        "introspection_endpoint": "https://as.example/introspect",
        "revocation_endpoint": "https://as.example/revoke",
        "jwks_uri": "https://as.example/jwks",
        "status_list_aggregation_endpoint": "https://as.example/status-lists",
        "response_types_supported": [],
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": sorted([*methods, "none"]),
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "introspection_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_signing_alg_values_supported": algorithms,
        "revocation_endpoint_auth_methods_supported": sorted([*methods, "none"]),
        "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
        "introspection_signing_alg_values_supported": ["EdDSA"],
        "tls_client_certificate_bound_access_tokens": True,
        "scopes_supported": ["read", "write"],
        "mtls_endpoint_aliases": {
            "token_endpoint": "https://mtls.as.example/token",
            "introspection_endpoint": "https://mtls.as.example/introspect",
            "revocation_endpoint": "https://mtls.as.example/revoke",
        },
    }


@pytest.mark.parametrize("can_bind", [True, False])
def test_binding_is_a_boolean_that_is_true_only_where_it_is(can_bind: bool) -> None:
    """`tls_client_certificate_bound_access_tokens` is a JSON boolean and says what the server does (R19)."""
    assert describe_server(offer(can_bind=can_bind))["tls_client_certificate_bound_access_tokens"] is can_bind


@pytest.mark.parametrize("base", ["https://mtls.as.example", "https://as.example:8443", "https://as.example/mtls"])
def test_aliases(base: str) -> None:
    """Every alias names an endpoint at top level that clients call directly, and differs from its URL (R22)."""
    document = describe_server(offer(mtls_base=base, endpoints=frozenset(DIRECT_ENDPOINTS)))
    aliases = document["mtls_endpoint_aliases"]
    assert aliases.keys() == DIRECT_ENDPOINTS.keys() <= document.keys()
    assert all(url.startswith(base) and url != document[name] for name, url in aliases.items())
    assert "authorization_endpoint" not in aliases


def test_an_alias_equal_to_the_plain_url_stops_the_start() -> None:
    """An alias that would equal the plain URL is `ConfigurationError` (R22)."""
    with pytest.raises(ConfigurationError, match="equals"):
        describe_server(offer(mtls_base="https://as.example"))


def test_one_mutual_tls_host_without_aliases() -> None:
    """Where the issuer's own host asks for certificates there are no aliases (R22)."""
    assert "mtls_endpoint_aliases" not in describe_server(offer(mtls_base=None))


def test_the_issuer_is_the_plain_one() -> None:
    """The issuer does not depend on the mutual-TLS host."""
    assert describe_server(offer())["issuer"] == describe_server(offer(mtls_base=None))["issuer"]


def test_what_is_not_offered_is_not_named() -> None:
    """Without scopes there is no list of scopes; a method that is off is not in the list."""
    document = describe_server(offer(scope=Scope(frozenset()), methods=frozenset({Method.SELF_SIGNED_TLS_CLIENT_AUTH})))
    assert "scopes_supported" not in document
    assert document["token_endpoint_auth_methods_supported"] == ["self_signed_tls_client_auth"]


@pytest.mark.parametrize(
    ("issuer", "path"),
    [
        ("https://as.example", "/.well-known/oauth-authorization-server"),
        ("https://as.example/", "/.well-known/oauth-authorization-server"),
        ("https://as.example/realm/1", "/.well-known/oauth-authorization-server/realm/1"),
        ("https://as.example/realm/", "/.well-known/oauth-authorization-server/realm"),
    ],
)
def test_where_the_metadata_is(issuer: str, path: str) -> None:
    """The well-known path stands before the issuer's own, which loses a slash at its end (RFC 8414 section 3.1)."""
    assert well_known(Issuer(issuer)) == path


@pytest.mark.parametrize("on", [[TOKEN], [TOKEN, REVOCATION], [TOKEN, INTROSPECTION], list(DIRECT_ENDPOINTS)])
@pytest.mark.parametrize("methods", [[Method.NONE, Method.TLS_CLIENT_AUTH], [Method.PRIVATE_KEY_JWT]])
def test_an_endpoint_says_who_may_come(on: list[str], methods: list[Method]) -> None:
    """Each that is on, its methods and algorithms, and its alias; one that is off is in no member.  Public clients may
    not introspect, and algorithms are named where assertions are taken."""
    document = describe_server(
        offer(endpoints=frozenset(on), methods=frozenset(methods), assertion_algorithms=("ES256",))
    )
    assert document["mtls_endpoint_aliases"].keys() == set(on)
    for name, endpoint in DIRECT_ENDPOINTS.items():
        members = {member for member in document if member.startswith(name)}
        has_methods = endpoint.authenticates and endpoint.names_methods
        suffixes = {"", "_auth_methods_supported"} if has_methods else {""}
        if methods == [Method.PRIVATE_KEY_JWT] and has_methods:
            suffixes |= {"_auth_signing_alg_values_supported"}
        assert members == ({name + suffix for suffix in suffixes} if name in on else set())
    assert ("none" in document["token_endpoint_auth_methods_supported"]) is (Method.NONE in methods)
    assert "none" not in document.get("introspection_endpoint_auth_methods_supported", [])
    assert "introspection_signing_alg_values_supported" not in document  # nothing signs here


def test_where_people_let_clients_act_the_metadata_says_how() -> None:
    """RFC 8414, RFC 9126 section 5, RFC 9207 section 3; and what we do not speak is said to be off."""
    document = describe_server(offer(authorizes=True, must_push=True, locales=("en", "cs")))
    expected = {
        "authorization_endpoint": "https://as.example/authorize",
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "fragment", "form_post"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
        "require_pushed_authorization_requests": True,
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
        "ui_locales_supported": ["en", "cs"],
    }
    assert {name: document[name] for name in expected} == expected
    assert "end_session_endpoint" not in document
    assert describe_server(offer(authorizes=True))["require_pushed_authorization_requests"] is False


def test_of_openid_connect_nothing_is_said_where_it_is_off() -> None:
    """Nor of the authorization endpoint where nobody can log in, whatever else is on."""
    ours = {"end_session_endpoint", "subject_types_supported", "claims_supported", "claims_parameter_supported"}
    ours |= {"id_token_signing_alg_values_supported"}
    on = describe_server(offer(authorizes=True, openid=True, signing_algorithms=("ES256",)))
    assert ours <= on.keys()
    assert on["id_token_signing_alg_values_supported"] == ["ES256"]
    assert on["subject_types_supported"] == ["public", "pairwise"]
    assert not ours & describe_server(offer(authorizes=True, openid=False)).keys()
    assert not (ours | {"authorization_endpoint"}) & describe_server(offer(authorizes=False, openid=True)).keys()


def test_claims_are_those_that_can_be_told() -> None:
    """Of ID tokens always; of accounts for the scopes that are on, and where accounts are kept here; the way of a login
    where an application says it.
    """
    scope = Scope(frozenset({"openid", "email"}))
    told = describe_server(offer(authorizes=True, openid=True, scope=scope))["claims_supported"]
    assert {"sub", "auth_time", "at_hash", "email", "email_verified"} <= set(told)
    assert not {"name", "address", "phone_number", "azp", "c_hash"} & set(told)
    bare = describe_server(offer(authorizes=True, openid=True, scope=scope, tells_claims=False))["claims_supported"]
    assert set(told) ^ set(bare) == {"email", "email_verified", "acr"}
    assert "acr" in bare


def test_pages_have_no_alias() -> None:
    """A browser is never sent to the host that asks for certificates (RFC 8705 section 5)."""
    document = describe_server(offer(authorizes=True, openid=True, endpoints=frozenset(DIRECT_ENDPOINTS)))
    assert not PAGES.keys() & document["mtls_endpoint_aliases"].keys()
    assert all(document[name] == f"https://as.example{path}" for name, path in PAGES.items())


@pytest.mark.parametrize(
    ("issuer", "paths"),
    [
        ("https://as.example", ("/.well-known/openid-configuration",)),
        ("https://as.example/", ("/.well-known/openid-configuration",)),
        (
            "https://as.example/realm/1",
            ("/realm/1/.well-known/openid-configuration", "/.well-known/openid-configuration/realm/1"),
        ),
    ],
)
def test_where_openid_connect_looks(issuer: str, paths: tuple[str, ...]) -> None:
    """Behind the issuer's path (Discovery section 4.1), and before it, as RFC 8414 section 5 spells it."""
    assert discovery_paths(Issuer(issuer)) == paths
