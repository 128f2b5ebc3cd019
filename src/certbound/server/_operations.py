"""What our OpenAPI document tells of each endpoint: a row for every function that answers requests.

Rule: nothing that another table says is said again here; refusals are classes of `core.errors`, which know their
status.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from certbound.core.authorization import ERRORS
from certbound.core.clients import Method
from certbound.core.errors import (
    AccessDenied,
    AuthorizationPending,
    ExpiredToken,
    InsufficientScope,
    InvalidClient,
    InvalidClientMetadata,
    InvalidGrant,
    InvalidRedirectUri,
    InvalidRequest,
    InvalidScope,
    InvalidStatement,
    InvalidTarget,
    InvalidToken,
    Refusal,
    RegistrationDenied,
    RequestRefused,
    SlowDown,
    TemporarilyUnavailable,
    TokenMissing,
    TokenRequestInvalid,
    TooManyRegistrations,
    UnacceptableToken,
    UnapprovedStatement,
    UnauthorizedClient,
    UnsupportedGrantType,
)
from certbound.core.metadata import DEVICE, INTROSPECTION, PUSHED, REVOCATION, TOKEN
from certbound.core.registration import Need
from certbound.core.status import MEDIA_TYPE as STATUS_LIST_TYPE
from certbound.server import documents, introspection, login_application, registration, status
from certbound.server._schemas import JWT, Facts, Schema
from certbound.server.call import NO_STORE
from certbound.server.device import device_authorization
from certbound.server.pushed import push
from certbound.server.routes import Endpoint
from certbound.server.token import token
from certbound.server.token_revocation import revoke
from certbound.server.userinfo import userinfo

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
    refusals: Collection[type[Refusal]] = ()
    also: Mapping[int, type[Refusal]] = field(default_factory=dict)
    """Refusals with a status that they have here alone."""
    codes: Collection[str] = ()
    """Of `RequestRefused`."""
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


def _by_holder(facts: Facts) -> Iterable[Security]:
    """An access token, and the certificate where it is bound to one."""
    del facts
    return [{ACCESS_TOKEN: []}, {ACCESS_TOKEN: [], MUTUAL_TLS: []}]


BASIC, MUTUAL_TLS = "clientSecretBasic", "mutualTLS"
INITIAL_TOKEN, REGISTRATION_TOKEN = "initialAccessToken", "registrationAccessToken"
ACCESS_TOKEN = "accessToken"  # noqa: S105
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
    ACCESS_TOKEN: {
        "type": "http",
        "scheme": "bearer",
        "description": "An access token with the scope openid, from a person (OpenID Connect Core section 5.3).",
    },
}
_SHOWN: Mapping[Need, str] = {Need.INITIAL_TOKEN: INITIAL_TOKEN, Need.MUTUAL_TLS: MUTUAL_TLS}
_AUTHENTICATING = (InvalidRequest, InvalidClient, TemporarilyUnavailable)
_METADATA_OF_CLIENTS = (InvalidClientMetadata, InvalidRedirectUri, InvalidStatement, UnapprovedStatement)
OF_DEVICES = frozenset({AuthorizationPending, SlowDown, AccessDenied, ExpiredToken})
"""What is told at the token endpoint to devices alone."""
_GRANTING = (
    InvalidGrant, InvalidScope, InvalidTarget, UnacceptableToken, UnauthorizedClient, UnsupportedGrantType,
    *sorted(OF_DEVICES, key=str),
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
    push: Operation(
        name="push",
        summary="Leave an authorization request for the browser to fetch (RFC 9126).",
        status=201,
        answer=_json("PushedAnswer"),
        body="PushedRequest",
        refusals=(*_AUTHENTICATING, UnauthorizedClient, RequestRefused),
        codes=ERRORS,
        security=_by_client(PUSHED),
    ),
    device_authorization: Operation(
        name="device_authorization",
        summary="Ask for a code that a person types elsewhere (RFC 8628).",
        answer=_json("DeviceAnswer"),
        body="DeviceRequest",
        refusals=(*_AUTHENTICATING, UnauthorizedClient, InvalidScope, InvalidTarget),
        security=_by_client(DEVICE),
    ),
    userinfo: Operation(
        name="userinfo",
        summary="Learn who the person is whose token this is (OpenID Connect Core section 5.3).",
        answer=_json("Person"),
        refusals=(TokenMissing, TokenRequestInvalid, InvalidToken, InsufficientScope, TemporarilyUnavailable),
        security=_by_holder,
    ),
    login_application.show: Operation(
        name="show_interaction",
        summary="See what waits for a person, as their login application.",
        answer=_json("Interaction"),
        refusals=(InvalidClient, TemporarilyUnavailable),
        also={404: InvalidRequest},
        security=lambda _: [{MUTUAL_TLS: []}],
    ),
    login_application.decide: Operation(
        name="decide_interaction",
        summary="Say who the person is, or that nobody was logged in.",
        answer=_json("WayBack"),
        body="LoginDecision",
        refusals=_AUTHENTICATING,
        also={404: InvalidRequest, 409: InvalidRequest},
        security=lambda _: [{MUTUAL_TLS: []}],
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
