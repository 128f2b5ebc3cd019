"""Authorization server metadata (RFC 8414) with mutual TLS (RFC 8705 sections 3.3 and 5).

Rule 1: what is not on is not in it; nothing is true here that the process does not do.
Rule 2: the issuer is the plain one, whichever host was asked.
Rule 3: an alias names an endpoint that stands at top level too and never equals it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from certbound.core.authorization import Prompt
from certbound.core.client_authorization import SubjectType
from certbound.core.clients import Method
from certbound.core.errors import ConfigurationError
from certbound.core.openid import CLAIMS_OF, ID_TOKEN_CLAIMS
from certbound.core.pkce import S256
from certbound.core.redirects import ResponseMode
from certbound.core.scope import Scope
from certbound.core.well_known import Issuer


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One that clients call directly; browsers are sent to others, and those have no alias."""

    path: str
    """Below the issuer, and below the base of the mutual-TLS host."""
    authenticates: bool = False
    """Clients authenticate here, so the metadata names their methods."""
    public_clients: bool = False
    """Those that authenticate by nothing may come here."""
    browsers: bool = False
    """Clients that run in a browser call it, at the conventional host."""
    names_methods: bool = True
    """How clients authenticate there has members of its own; else it is as at the token endpoint."""


TOKEN = "token_endpoint"  # noqa: S105
INTROSPECTION = "introspection_endpoint"
REVOCATION = "revocation_endpoint"
REGISTRATION = "registration_endpoint"
PUSHED = "pushed_authorization_request_endpoint"
DEVICE = "device_authorization_endpoint"
USERINFO = "userinfo_endpoint"

DIRECT_ENDPOINTS: Mapping[str, Endpoint] = {
    TOKEN: Endpoint("/token", authenticates=True, public_clients=True, browsers=True),
    INTROSPECTION: Endpoint("/introspect", authenticates=True),
    REVOCATION: Endpoint("/revoke", authenticates=True, public_clients=True, browsers=True),
    REGISTRATION: Endpoint("/register"),
    PUSHED: Endpoint("/par", authenticates=True, public_clients=True, browsers=True, names_methods=False),
    DEVICE: Endpoint(
        "/device_authorization", authenticates=True, public_clients=True, browsers=True, names_methods=False
    ),
    USERINFO: Endpoint("/userinfo", browsers=True),
}
"""By metadata name."""

AUTHORIZATION = "authorization_endpoint"
END_SESSION = "end_session_endpoint"
PAGES: Mapping[str, str] = {AUTHORIZATION: "/authorize", END_SESSION: "/logout"}
"""Where browsers are sent, by metadata name: on the issuer's host, which asks for no certificate, and nowhere else."""

"""The same document, for clients that know OpenID Connect."""

STATUS_LIST = "/status"
"""Below the issuer: the status list of its tokens (draft-ietf-oauth-status-list-21 section 8.1)."""
STATUS_LISTS = "/status-lists"
"""Below the issuer: the URIs of its status lists, of which there is one (section 9)."""
STATUS_LISTS_MEMBER = "status_list_aggregation_endpoint"


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What this server does.  `mtls_base` is None where the issuer's own host asks for certificates."""

    issuer: Issuer
    mtls_base: str | None
    scope: Scope
    grant_types: frozenset[str]
    methods: frozenset[Method]
    can_bind: bool
    endpoints: frozenset[str] = frozenset({TOKEN, INTROSPECTION, REVOCATION})
    """Those of `DIRECT_ENDPOINTS` that are on."""
    assertion_algorithms: tuple[str, ...] = ()
    signing_algorithms: tuple[str, ...] = ()
    """What we sign with."""
    authorizes: bool = False
    """People let clients act for them."""
    must_push: bool = False
    """They are asked only what was pushed before."""
    openid: bool = False
    """Clients learn who they are."""
    login_application: bool = False
    """Another application says who people are."""
    tells_claims: bool = True
    """Accounts are kept here, so that there is something to tell of people beside who they are."""
    locales: tuple[str, ...] = ()
    """The languages of the pages."""

    @property
    def direct(self) -> Mapping[str, Endpoint]:
        """The endpoints that are on, by name."""
        return {name: endpoint for name, endpoint in DIRECT_ENDPOINTS.items() if name in self.endpoints}

    def methods_at(self, name: str) -> frozenset[Method]:
        """How clients may authenticate at an endpoint."""
        return self.methods if DIRECT_ENDPOINTS[name].public_clients else self.methods - {Method.NONE}


def describe_server(offer: Offer) -> dict[str, Any]:
    """The metadata document.  `ConfigurationError` if an alias would equal the plain URL."""
    document: dict[str, Any] = {
        "issuer": offer.issuer,
        **{name: offer.issuer + endpoint.path for name, endpoint in offer.direct.items()},
        "jwks_uri": offer.issuer + "/jwks",
        STATUS_LISTS_MEMBER: offer.issuer + STATUS_LISTS,
        "response_types_supported": ["code"] if offer.authorizes else [],
        "grant_types_supported": sorted(offer.grant_types),
        **_methods(offer),
        "tls_client_certificate_bound_access_tokens": offer.can_bind,
        **(_authorization(offer) if offer.authorizes else {}),
        **(_openid(offer) if offer.authorizes and offer.openid else {}),
    }
    if offer.scope:
        document["scopes_supported"] = sorted(offer.scope)
    if INTROSPECTION in offer.endpoints and offer.signing_algorithms:
        document["introspection_signing_alg_values_supported"] = list(offer.signing_algorithms)
    if offer.mtls_base is not None:
        document["mtls_endpoint_aliases"] = _aliases(document, offer.direct, offer.mtls_base)
    return document


def _authorization(offer: Offer) -> dict[str, Any]:
    """RFC 8414, RFC 9126 section 5, RFC 9207 section 3."""
    return {
        AUTHORIZATION: offer.issuer + PAGES[AUTHORIZATION],
        "response_modes_supported": list(ResponseMode),
        "code_challenge_methods_supported": [S256],
        "authorization_response_iss_parameter_supported": True,
        "require_pushed_authorization_requests": offer.must_push,
        "prompt_values_supported": list(Prompt),
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
        **({"ui_locales_supported": list(offer.locales)} if offer.locales else {}),
    }


def _openid(offer: Offer) -> dict[str, Any]:
    """OpenID Connect Discovery section 3, RP-Initiated Logout section 2.1."""
    return {
        END_SESSION: offer.issuer + PAGES[END_SESSION],
        "subject_types_supported": list(SubjectType),
        "id_token_signing_alg_values_supported": list(offer.signing_algorithms),
        "claims_supported": sorted(_claims(offer)),
        "claims_parameter_supported": False,
    }


def _claims(offer: Offer) -> frozenset[str]:
    """Those of ID tokens, and those that a scope which is on asks for; a login at an account has no `acr`."""
    if not offer.tells_claims:
        return ID_TOKEN_CLAIMS
    return (ID_TOKEN_CLAIMS - {"acr"}).union(*(CLAIMS_OF[scope] for scope in CLAIMS_OF.keys() & offer.scope))


def _methods(offer: Offer) -> dict[str, Any]:
    """`..._auth_methods_supported` of each endpoint, and the algorithms of assertions where there are any."""
    members: dict[str, Any] = {}
    for name, endpoint in offer.direct.items():
        if endpoint.authenticates and endpoint.names_methods:
            members[f"{name}_auth_methods_supported"] = sorted(offer.methods_at(name))
            if Method.PRIVATE_KEY_JWT in offer.methods:
                members[f"{name}_auth_signing_alg_values_supported"] = list(offer.assertion_algorithms)
    return members


def _aliases(document: Mapping[str, Any], direct: Mapping[str, Endpoint], base: str) -> dict[str, str]:
    aliases = {name: base + endpoint.path for name, endpoint in direct.items()}
    for name, url in aliases.items():
        if url == document[name]:
            raise ConfigurationError(
                f"the mutual-TLS alias of {name} equals the plain URL {url}; set server.mtls_url to a host or port "
                "of its own, or remove it so that the issuer's own host asks for certificates"
            )
    return aliases
