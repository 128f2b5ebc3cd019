"""Authorization server metadata (RFC 8414) with mutual TLS (RFC 8705 sections 3.3 and 5).

Rule 1: what is not on is not in it; nothing is true here that the process does not do.
Rule 2: the issuer is the plain one, whichever host was asked.
Rule 3: an alias names an endpoint that stands at top level too and never equals it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from certbound.core.clients import Method
from certbound.core.errors import ConfigurationError
from certbound.core.scope import Scope
from certbound.core.tokens import Issuer

# The endpoints a client calls directly, by metadata name; browsers are sent to others, and those have no alias.
DIRECT_ENDPOINTS: Mapping[str, str] = {"token_endpoint": "/token"}

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


def describe_server(offer: Offer) -> dict[str, Any]:
    """The metadata document.  `ConfigurationError` if an alias would equal the plain URL."""
    document: dict[str, Any] = {
        "issuer": offer.issuer,
        **{name: offer.issuer + path for name, path in DIRECT_ENDPOINTS.items()},
        "jwks_uri": offer.issuer + "/jwks",
        STATUS_LISTS_MEMBER: offer.issuer + STATUS_LISTS,
        "response_types_supported": [],
        "grant_types_supported": sorted(offer.grant_types),
        "token_endpoint_auth_methods_supported": sorted(offer.methods),
        "tls_client_certificate_bound_access_tokens": offer.can_bind,
    }
    if offer.scope:
        document["scopes_supported"] = sorted(offer.scope)
    if offer.mtls_base is not None:
        document["mtls_endpoint_aliases"] = _aliases(document, offer.mtls_base)
    return document


def well_known(issuer: Issuer, name: str = "oauth-authorization-server") -> str:
    """The path of the metadata: before the issuer's own path, which loses a slash at its end (RFC 8414 section 3.1)."""
    return f"/.well-known/{name}{urlsplit(issuer).path.removesuffix('/')}"


def _aliases(document: Mapping[str, Any], base: str, names: Iterable[str] = DIRECT_ENDPOINTS) -> dict[str, str]:
    aliases = {name: base + DIRECT_ENDPOINTS[name] for name in names}
    for name, url in aliases.items():
        if url == document[name]:
            raise ConfigurationError(
                f"the mutual-TLS alias of {name} equals the plain URL {url}; set server.mtls_url to a host or port "
                "of its own, or remove it so that the issuer's own host asks for certificates"
            )
    return aliases
