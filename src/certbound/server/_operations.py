"""What our OpenAPI document tells of each endpoint: a row for every function that answers requests.

Rule: nothing that another table says is said again here; refusals are classes of `core.errors`, which know their
status.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from certbound.core.clients import Method
from certbound.core.errors import (
    InvalidClient,
    InvalidClientMetadata,
    InvalidGrant,
    InvalidRedirectUri,
    InvalidRequest,
    InvalidScope,
    InvalidStatement,
    InvalidTarget,
    OAuthError,
    RegistrationDenied,
    TemporarilyUnavailable,
    TooManyRegistrations,
    UnacceptableToken,
    UnapprovedStatement,
    UnauthorizedClient,
    UnsupportedGrantType,
)
from certbound.core.metadata import INTROSPECTION, REVOCATION, TOKEN
from certbound.core.registration import Need
from certbound.core.status import MEDIA_TYPE as STATUS_LIST_TYPE
from certbound.server import documents, introspection, registration, status
from certbound.server._schemas import JWT, Facts, Schema
from certbound.server.call import NO_STORE
from certbound.server.routes import Endpoint
from certbound.server.token import token
from certbound.server.token_revocation import revoke

JSON = "application/json"

Security = Mapping[str, Sequence[str]]
"""Security schemes that are shown together."""
Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What is told of one endpoint."""

    name: str
    summary: str
    status: int = 200
    answer: Mapping[str, Schema] = field(default_factory=dict)
    """By media type."""
    caching: Headers = NO_STORE
    body: str = ""
    """The component that is sent."""
    refusals: Collection[type[OAuthError]] = ()
    also: Mapping[int, type[OAuthError]] = field(default_factory=dict)
    """Refusals with a status that they have here alone."""
    security: Callable[[Facts], Iterable[Security]] = lambda _: ()


def ref(kind: str, name: str) -> Schema:
    """A component."""
    return {"$ref": f"#/components/{kind}/{name}"}


def _json(name: str) -> Mapping[str, Schema]:
    return {JSON: ref("schemas", name)}


def _by_client(endpoint: str) -> Callable[[Facts], Iterable[Security]]:
    """What clients show at an endpoint; what stands in the form is none of the schemes that OpenAPI knows."""

    def alternatives(facts: Facts) -> Iterator[Security]:
        methods = facts.offer.methods_at(endpoint)
        if any(method.is_mutual_tls for method in methods):
            yield {MUTUAL_TLS: []}
        if Method.CLIENT_SECRET_BASIC in methods:
            yield {BASIC: []}
        if any(not method.is_mutual_tls and method is not Method.CLIENT_SECRET_BASIC for method in methods):
            yield {}

    return alternatives


def _by_way(facts: Facts) -> Iterable[Security]:
    """What the ways want to be shown; a software statement stands in the body."""
    for way in facts.ways:
        yield {scheme: [] for need, scheme in _SHOWN.items() if need in way.needs}


def _by_owner(facts: Facts) -> Iterable[Security]:
    """The registration access token, and the certificate where the client has one."""
    del facts
    return [{REGISTRATION_TOKEN: []}, {REGISTRATION_TOKEN: [], MUTUAL_TLS: []}]


BASIC, MUTUAL_TLS = "clientSecretBasic", "mutualTLS"
INITIAL_TOKEN, REGISTRATION_TOKEN = "initialAccessToken", "registrationAccessToken"
SCHEMES: Mapping[str, Schema] = {
    BASIC: {
        "type": "http",
        "scheme": "basic",
        "description": "client_id and client_secret, each form-encoded (RFC 6749 section 2.3.1).",
    },
    MUTUAL_TLS: {
        "type": "mutualTLS",
        "description": "The certificate on the connection, and client_id in the form (RFC 8705 section 2).",
    },
    INITIAL_TOKEN: {"type": "http", "scheme": "bearer", "description": "An initial access token (RFC 7591 section 3)."},
    REGISTRATION_TOKEN: {
        "type": "http",
        "scheme": "bearer",
        "description": "The client's registration access token (RFC 7592 section 2).",
    },
}
_SHOWN: Mapping[Need, str] = {Need.INITIAL_TOKEN: INITIAL_TOKEN, Need.MUTUAL_TLS: MUTUAL_TLS}
_AUTHENTICATING = (InvalidRequest, InvalidClient, TemporarilyUnavailable)
_METADATA_OF_CLIENTS = (InvalidClientMetadata, InvalidRedirectUri, InvalidStatement, UnapprovedStatement)
_GRANTING = (
    InvalidGrant, InvalidScope, InvalidTarget, UnacceptableToken, UnauthorizedClient, UnsupportedGrantType,
)  # fmt: skip

OPERATIONS: Mapping[Endpoint, Operation] = {
    documents.metadata: Operation(
        name="metadata",
        summary="What this server can do (RFC 8414).",
        answer=_json("Metadata"),
        caching=documents.CACHED,
    ),
    documents.jwks: Operation(
        name="jwks",
        summary="The public keys that sign tokens (RFC 7517).",
        answer=_json("JwkSet"),
        caching=documents.CACHED,
    ),
    documents.health: Operation(
        name="health",
        summary="Whether the process answers.",
        answer=_json("Health"),
        caching=documents.UNKEPT,
    ),
    status.status_list: Operation(
        name="status_list",
        summary="Which tokens count (draft-ietf-oauth-status-list).",
        answer={STATUS_LIST_TYPE: JWT},
        caching=status.HEADERS,
        refusals=(TemporarilyUnavailable,),
    ),
    status.status_lists: Operation(
        name="status_lists",
        summary="Where the status lists are.",
        answer=_json("StatusLists"),
        caching=status.RARELY_CHANGED,
    ),
    token: Operation(
        name="token",
        summary="Obtain an access token (RFC 6749 section 3.2).",
        answer=_json("TokenAnswer"),
        body="TokenRequest",
        refusals=(*_AUTHENTICATING, *_GRANTING),
        security=_by_client(TOKEN),
    ),
    introspection.introspect: Operation(
        name="introspect",
        summary="Ask what a token says (RFC 7662, RFC 9701).",
        answer={**_json("IntrospectionAnswer"), introspection.MEDIA_TYPE: JWT},
        body="IntrospectionRequest",
        refusals=_AUTHENTICATING,
        security=_by_client(INTROSPECTION),
    ),
    revoke: Operation(
        name="revoke",
        summary="Give a token back (RFC 7009).",
        body="RevocationRequest",
        refusals=_AUTHENTICATING,
        security=_by_client(REVOCATION),
    ),
    registration.register: Operation(
        name="register",
        summary="Register a client (RFC 7591).",
        status=201,
        answer=_json("ClientInformation"),
        body="RegistrationRequest",
        refusals=(
            InvalidRequest, *_METADATA_OF_CLIENTS, RegistrationDenied, TooManyRegistrations, TemporarilyUnavailable,
        ),
        security=_by_way,
    ),
    registration.read: Operation(
        name="read_client",
        summary="See a client as it is registered (RFC 7592 section 2.1).",
        answer=_json("ClientInformation"),
        refusals=(RegistrationDenied, TemporarilyUnavailable),
        security=_by_owner,
    ),
    registration.put: Operation(
        name="replace_client",
        summary="Replace what a client registered (RFC 7592 section 2.2).",
        answer=_json("ClientInformation"),
        body="ReplacementRequest",
        refusals=(InvalidRequest, *_METADATA_OF_CLIENTS, RegistrationDenied, TemporarilyUnavailable),
        also={403: RegistrationDenied},
        security=_by_owner,
    ),
    registration.remove: Operation(
        name="remove_client",
        summary="Remove a client, and end its tokens (RFC 7592 section 2.3).",
        status=204,
        refusals=(RegistrationDenied, TemporarilyUnavailable),
        security=_by_owner,
    ),
}  # fmt: skip
