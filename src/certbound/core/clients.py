"""Client metadata (RFC 7591 section 2, RFC 8705 sections 2.1.2, 2.2.2 and 3.4) as a value that cannot be wrong.

Rule 1: `read_client` is the only way in; whoever creates a client, endpoint or command, passes through it.
Rule 2: `null` is absence; a member of the wrong type is an error, never a guess.
Rule 3: what a deployment allows is asked at registration only (`require_allowed`): configuration that changes
later must not make a stored client unreadable.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NewType

from joserfc.jwk import KeySet

from certbound.core.anchors import EVERY_ANCHOR, ClientAnchors, describe_anchors, require_known
from certbound.core.certificate import Certificate, KeyThumbprint
from certbound.core.client_authorization import (
    AUTHORIZATION_MEMBERS,
    CODE_GRANT,
    describe_authorization,
    read_authorization,
    require_hosts,
)
from certbound.core.client_credentials import (
    DN_ORDER,
    IGNORE_VALIDITY,
    PKI_MEMBERS,
    SELF_SIGNED_MEMBERS,
    Method,
    read_credentials,
    read_method,
)
from certbound.core.client_information import MAX_TEXT, is_information, read_information
from certbound.core.client_unspoken import UNSPOKEN, refuse_unspoken
from certbound.core.errors import BadCertificate, InvalidClientMetadata, InvalidScope
from certbound.core.jwks import make_jwks
from certbound.core.keys import require_strong_key
from certbound.core.members import choice, given_members, listed, member, words
from certbound.core.names import RdnOrder
from certbound.core.ports import SecretRecord
from certbound.core.scope import NO_SCOPE, Scope, format_scope, parse_scope
from certbound.core.subject import Subject

__all__ = [
    "ASSERTION_ALG", "DN_ORDER", "FORMAT", "ID_TOKEN_ALG", "IGNORE_VALIDITY", "PKI_MEMBERS", "RESOURCES",
    "SELF_SIGNED_MEMBERS", "Allowed", "Client", "ClientId", "Method", "SigningAlgorithm", "TokenFormat",
    "describe_client", "is_known", "read_client", "require_allowed", "require_method",
]  # fmt: skip

ClientId = NewType("ClientId", str)


class SigningAlgorithm(StrEnum):
    """What we can sign with (RFC 7518, RFC 8037)."""

    ES256 = "ES256"
    PS256 = "PS256"
    EDDSA = "EdDSA"
    RS256 = "RS256"


class TokenFormat(StrEnum):
    """What an access token is to its holder."""

    JWT = "jwt"
    """Signed; whoever has our keys can read it (RFC 9068)."""
    OPAQUE = "opaque"
    """A reference; what it says is told by introspection (RFC 7662)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A registered client.  Which of its credentials are there follows from `method`."""

    client_id: ClientId
    method: Method
    subject: Subject | None = None
    anchors: ClientAnchors = EVERY_ANCHOR
    """The trust anchors that may certify it."""
    certificates: tuple[Certificate, ...] = field(default=(), repr=False)
    jwks_uri: str | None = None
    """Where it publishes its certificates instead of registering them."""
    ignores_validity: bool = False
    """Its self-signed certificate counts also before and after the dates that stand in it."""
    keys: KeySet | None = field(default=None, repr=False, compare=False)
    """What it signs assertions with, if it registered that."""
    assertion_alg: SigningAlgorithm | None = None
    """`token_endpoint_auth_signing_alg`: the one algorithm of its assertions, if it registered one."""
    secrets: tuple[SecretRecord, ...] = field(default=(), repr=False)
    scope: Scope = NO_SCOPE
    grant_types: frozenset[str] = frozenset({"client_credentials"})
    wants_bound_tokens: bool = False
    """`tls_client_certificate_bound_access_tokens`, RFC 8705 section 3.4."""
    token_format: TokenFormat | None = None
    """What its access tokens are; None leaves that to the resource."""
    protected_resources: frozenset[str] = frozenset()
    """The resources that it serves: it may introspect tokens for them, and exchange those it was called with."""
    introspection_alg: SigningAlgorithm | None = None
    """`introspection_signed_response_alg`, RFC 9701 section 6."""
    id_token_alg: SigningAlgorithm | None = None
    """`id_token_signed_response_alg`, OpenID Connect Registration section 2."""
    redirect_uris: tuple[str, ...] = ()
    logout_uris: tuple[str, ...] = ()
    """`post_logout_redirect_uris`, OpenID Connect RP-Initiated Logout section 3.1."""
    must_push: bool = False
    """`require_pushed_authorization_requests`, RFC 9126 section 6."""
    sector: str = ""
    """Where its subjects are pairwise, the host by which; empty where they are public."""
    default_max_age: int | None = None
    """Seconds since the person last proved who they are, where a request does not say (OpenID Connect Registration)."""
    default_acr_values: tuple[str, ...] = ()
    """The ways of login that it prefers, where a request does not say (OpenID Connect Registration section 2)."""
    uses_aliases: bool = False
    """`use_mtls_endpoint_aliases`, FAPI 2.0: what it intends; we serve it either way."""
    name: str = ""
    information: Mapping[str, Any] = field(default_factory=dict, hash=False, repr=False)
    """What else it says about itself; nothing is decided by it."""
    enabled: bool = True
    version: int = 0
    """Another number after each change of the client."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """What this deployment lets a client have."""

    scope: Scope
    grant_types: frozenset[str]
    methods: frozenset[Method]
    has_anchors: bool
    """Whether the server itself trusts anybody to certify clients."""
    anchor_keys: frozenset[KeyThumbprint] = frozenset()
    """The keys of the server's anchors, which a client may narrow."""
    own_anchors: bool = False
    """Whether a client may bring trust anchors of its own."""
    resources: frozenset[str] = frozenset()
    """The resources that a client may serve."""
    formats: frozenset[TokenFormat] = frozenset(TokenFormat)
    """What its access tokens may be, where it has a wish."""
    ignored_validity: bool = True
    """Whether the dates in its self-signed certificates may count for nothing."""
    assertion_algorithms: frozenset[str] = frozenset(SigningAlgorithm)
    signing_algorithms: frozenset[str] = frozenset(SigningAlgorithm)
    """What the server signs with, where a client has a wish."""
    redirect_hosts: frozenset[str] | None = None
    """Where its redirect URIs may lead, beside apps on people's own machines; None for anywhere."""


def read_client(
    client_id: str,
    metadata: Mapping[str, Any],
    *,
    enabled: bool = True,
    version: int = 0,
    secrets: tuple[SecretRecord, ...] = (),
) -> Client:
    """The client that `metadata` describes.  `InvalidClientMetadata` (400) names the field that is wrong."""
    if not _CLIENT_ID.fullmatch(client_id):
        raise InvalidClientMetadata("client_id", "must be 1 to 255 printable ASCII characters, no space at its ends")
    given = given_members(metadata)
    refuse_unspoken(given)
    method = read_method(given)
    grant_types = _grant_types(given)
    return Client(
        client_id=ClientId(client_id),
        method=method,
        **read_credentials(method, given),
        scope=_scope(given),
        grant_types=grant_types,
        **read_authorization(given, grant_types),
        wants_bound_tokens=member(given, BOUND, bool, default=False),
        token_format=choice(given, FORMAT, TokenFormat),
        protected_resources=words(given, RESOURCES, default=[]),
        introspection_alg=choice(given, INTROSPECTION_ALG, SigningAlgorithm),
        id_token_alg=choice(given, ID_TOKEN_ALG, SigningAlgorithm),
        uses_aliases=member(given, ALIASES, bool, default=False),
        name=member(given, "client_name", str, default=""),
        information=read_information(given),
        assertion_alg=choice(given, ASSERTION_ALG, SigningAlgorithm),
        secrets=secrets if method.has_secret else (),
        enabled=enabled,
        version=version,
    )


def require_allowed(client: Client, allowed: Allowed) -> Client:
    """`client`, if the deployment lets it have what it asks for; else `InvalidClientMetadata` (400)."""
    _require_method(client.method, allowed)
    if client.anchors.certificates and not allowed.own_anchors:
        raise InvalidClientMetadata(
            "tls_client_auth_trust_anchors", "clients may not bring trust anchors here; see trust.client_anchors"
        )
    require_known(client.anchors, allowed.anchor_keys)
    if client.method is Method.TLS_CLIENT_AUTH and not (allowed.has_anchors or client.anchors.certificates):
        raise InvalidClientMetadata(
            "token_endpoint_auth_method",
            "tls_client_auth needs a trust anchor and none is configured; set trust.anchors, or register the "
            "certificate itself (self_signed_tls_client_auth)",
        )
    for certificate in client.certificates:
        try:
            require_strong_key(certificate)
        except BadCertificate as error:
            raise InvalidClientMetadata("jwks", f"certificate {certificate.thumbprint}: {error}") from error
    _require_offered("scope", client.scope, allowed.scope)
    _require_offered("grant_types", client.grant_types, allowed.grant_types)
    _require_offered(RESOURCES, client.protected_resources, allowed.resources)
    _require_offered(FORMAT, {client.token_format} - {None}, allowed.formats)
    _require_offered(ASSERTION_ALG, {client.assertion_alg} - {None}, allowed.assertion_algorithms)
    _require_offered(INTROSPECTION_ALG, {client.introspection_alg} - {None}, allowed.signing_algorithms)
    _require_offered(ID_TOKEN_ALG, {client.id_token_alg} - {None}, allowed.signing_algorithms)
    if allowed.redirect_hosts is not None:
        # For other grants nobody is sent to it; but its host is the sector, by which people are known.
        used = client.redirect_uris if CODE_GRANT in client.grant_types or client.sector else ()
        require_hosts(used, client.logout_uris, allowed.redirect_hosts)
    if client.ignores_validity and not allowed.ignored_validity:
        raise InvalidClientMetadata(IGNORE_VALIDITY, "the dates in certificates count here")
    if len(client.name) > MAX_TEXT:
        raise InvalidClientMetadata("client_name", f"has more than {MAX_TEXT} characters")
    return client


def require_method(metadata: Mapping[str, Any], allowed: Allowed) -> None:
    """Asked before the credentials are read: who may not have the method need not hear what it lacks for it."""
    _require_method(read_method(given_members(metadata)), allowed)


def describe_client(client: Client, *, bound: bool) -> dict[str, Any]:
    """Client metadata as a registration answer has it; `bound` is the value in effect (RFC 8705 section 3.4)."""
    answer: dict[str, Any] = {
        "client_id": client.client_id,
        "client_name": client.name,
        "token_endpoint_auth_method": client.method.value,
        "grant_types": sorted(client.grant_types),
        "scope": format_scope(client.scope),
        BOUND: bound,
    }
    if client.subject is not None:
        answer[client.subject.kind.value] = client.subject.text
        if client.subject.order is not RdnOrder.EXACT:
            answer[DN_ORDER] = client.subject.order.value
    if client.certificates:
        answer["jwks"] = make_jwks(client.certificates)
    if client.jwks_uri is not None:
        answer["jwks_uri"] = client.jwks_uri
    if client.ignores_validity:
        answer[IGNORE_VALIDITY] = True
    if client.keys is not None:
        answer["jwks"] = client.keys.as_dict(private=False)
    if client.protected_resources:
        answer[RESOURCES] = sorted(client.protected_resources)
    answer |= describe_authorization(
        redirect_uris=client.redirect_uris,
        logout_uris=client.logout_uris,
        must_push=client.must_push,
        sector=client.sector,
        default_max_age=client.default_max_age,
        default_acr_values=client.default_acr_values,
    )
    if client.uses_aliases:
        answer[ALIASES] = True
    chosen: Mapping[str, StrEnum | None] = {
        FORMAT: client.token_format,
        INTROSPECTION_ALG: client.introspection_alg,
        ID_TOKEN_ALG: client.id_token_alg,
        ASSERTION_ALG: client.assertion_alg,
    }
    answer |= {name: value.value for name, value in chosen.items() if value is not None}
    return {**answer, **client.information, **describe_anchors(client.anchors)}


def is_known(name: str) -> bool:
    """Whether a member of this name means anything here; what does not is ignored (RFC 7591 section 2)."""
    return name in MEMBERS or is_information(name)


def _require_method(method: Method, allowed: Allowed) -> None:
    if method not in allowed.methods:
        raise InvalidClientMetadata(
            "token_endpoint_auth_method", f"{method} is not enabled here; enabled: {listed(allowed.methods)}"
        )


def _require_offered(name: str, wanted: Iterable[Any], offered: Iterable[Any]) -> None:
    if excess := set(wanted) - set(offered):
        raise InvalidClientMetadata(name, f"{listed(excess):.300} not offered here; offered: {listed(offered)}")


def _scope(given: Mapping[str, Any]) -> Scope:
    text = member(given, "scope", str, default="")
    try:
        return parse_scope(text) if text else NO_SCOPE
    except InvalidScope as error:
        raise InvalidClientMetadata("scope", error.reason) from error


def _grant_types(given: Mapping[str, Any]) -> frozenset[str]:
    types = words(given, "grant_types", default=["client_credentials"])
    if not types:
        raise InvalidClientMetadata("grant_types", "must not be empty")
    return types


# Members of our own; RFC 7591 section 2 lets a server have them.
FORMAT = "access_token_format"
RESOURCES = "protected_resources"

ASSERTION_ALG = "token_endpoint_auth_signing_alg"
BOUND = "tls_client_certificate_bound_access_tokens"
INTROSPECTION_ALG = "introspection_signed_response_alg"
ID_TOKEN_ALG = "id_token_signed_response_alg"  # noqa: S105
ALIASES = "use_mtls_endpoint_aliases"
MEMBERS = frozenset({
    "token_endpoint_auth_method", "client_name", "scope", "grant_types", "jwks", "jwks_uri",
    FORMAT, RESOURCES, ASSERTION_ALG, BOUND, INTROSPECTION_ALG, ID_TOKEN_ALG, ALIASES,
    *AUTHORIZATION_MEMBERS, *PKI_MEMBERS, *SELF_SIGNED_MEMBERS, *UNSPOKEN,
})  # fmt: skip

_CLIENT_ID = re.compile(r"[\x21-\x7E]([\x20-\x7E]{0,253}[\x21-\x7E])?")  # RFC 6749 appendix A.1
