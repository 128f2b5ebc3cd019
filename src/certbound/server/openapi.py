"""The server as an OpenAPI 3.1 document.

Rule 1: made of what the server is made of: paths, methods and hosts of `routes`, methods of the offer, statuses
and codes of `core.errors`; an endpoint that has no row here stops the making.
Rule 2: what is not on is not in it.
Rule 3: nothing in it is secret; it may be given to anybody.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from certbound import __version__
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
from certbound.server._schemas import SCHEMAS, Facts, Schema
from certbound.server.call import NO_STORE
from certbound.server.routes import Endpoint, Route, route_tables
from certbound.server.token import token
from certbound.server.token_revocation import revoke

__all__ = ["Facts", "describe_api"]

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"

Security = Mapping[str, Sequence[str]]
"""Security schemes that are shown together."""
Headers = Sequence[tuple[bytes, bytes]]


def describe_api(facts: Facts) -> dict[str, Any]:
    """The OpenAPI document."""
    hosts = _hosts(facts)
    paths = dict(_paths(hosts, facts))
    return {
        "openapi": "3.1.0",
        "info": {"title": "certbound authorization server", "version": __version__, "description": _ABOUT},
        "servers": [host.server for host in hosts],
        "paths": paths,
        "components": {
            "schemas": _components(paths, facts),
            "securitySchemes": _schemes(paths),
            "headers": _HEADERS,
        },
    }


@dataclass(frozen=True, slots=True)
class _Host:
    url: str
    description: str
    table: Mapping[str, Route]

    @property
    def server(self) -> dict[str, str]:
        return {"url": self.url, "description": self.description}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Operation:
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


def _hosts(facts: Facts) -> Sequence[_Host]:
    offer = facts.offer
    conventional, mtls = route_tables(offer)
    if offer.mtls_base is None:
        return [_Host(_origin(offer.issuer), "The issuer; it asks for client certificates.", mtls)]
    return [
        _Host(_origin(offer.issuer), "The issuer; it asks nobody for a certificate.", conventional),
        _Host(_origin(offer.mtls_base), "For clients with certificates: mtls_endpoint_aliases.", mtls),
    ]


def _paths(hosts: Sequence[_Host], facts: Facts) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in dict.fromkeys(path for host in hosts for path in host.table):
        having = [host for host in hosts if path in host.table]
        route = having[0].table[path]
        # An issuer with a path of its own has other paths than the mutual-TLS host: the same operations twice.
        suffix = "" if having[0] is hosts[0] else "_mtls"
        item: dict[str, Any] = {} if len(having) == len(hosts) else {"servers": [host.server for host in having]}
        if route.takes_rest:
            item["parameters"] = [_CLIENT_ID]
        for method, endpoint in route.methods.items():
            item[method.lower()] = _operation(_OPERATIONS[endpoint], route, facts, suffix)
        yield f"{path}{{client_id}}" if route.takes_rest else path, item


def _operation(told: _Operation, route: Route, facts: Facts, suffix: str) -> dict[str, Any]:
    found: dict[str, Any] = {"operationId": told.name + suffix, "summary": told.summary, "tags": [route.name]}
    found["security"] = list(told.security(facts))
    if told.body:
        media = FORM if route.takes_form else JSON
        found["requestBody"] = {"required": True, "content": {media: {"schema": _ref("schemas", told.body)}}}
    found["responses"] = {
        str(told.status): _response("Done.", told.answer, _headers(told.caching, route)),
        **{str(code): _refusal(code, errors, route) for code, errors in _by_status(told).items()},
    }
    return found


def _by_status(told: _Operation) -> Mapping[int, Sequence[type[OAuthError]]]:
    """The refusals by HTTP status; that of a body too long, and of failing too often, follow from others."""
    found: dict[int, list[type[OAuthError]]] = {}
    for error in told.refusals:
        for code in _STATUSES.get(error) or (error.status,):
            found.setdefault(code, []).append(error)
    for code, error in told.also.items():
        found.setdefault(code, []).append(error)
    return dict(sorted(found.items()))


def _refusal(code: int, errors: Sequence[type[OAuthError]], route: Route) -> dict[str, Any]:
    codes = sorted({error.error for error in errors})
    schema = {"allOf": [_ref("schemas", "Refusal"), {"properties": {"error": {"enum": codes}}}]}
    headers = _headers(NO_STORE, route)
    if code == 401:
        headers["WWW-Authenticate"] = _ref("headers", route.scheme)
    if code == 429 or any(error.retry_after for error in errors):
        headers["Retry-After"] = _ref("headers", "RetryAfter")
    meanings = {error.__doc__.partition("\n")[0] for error in errors if error.__doc__}
    return _response(" ".join(sorted(meanings)), {JSON: schema}, headers)


def _response(description: str, content: Mapping[str, Schema], headers: Schema) -> dict[str, Any]:
    found: dict[str, Any] = {"description": description, "headers": headers}
    if content:
        found["content"] = {media: {"schema": schema} for media, schema in content.items()}
    return found


def _headers(caching: Headers, route: Route) -> Schema:
    said = {name.decode().title(): value.decode() for name, value in caching if name != b"content-type"}
    found: Schema = {name: {"required": True, "schema": {"const": value}} for name, value in said.items()}
    found["X-Request-ID"] = _ref("headers", "RequestId")
    if route.cors:
        found["Access-Control-Allow-Origin"] = _ref("headers", "AllowOrigin")
    return found


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


def _components(paths: Mapping[str, Any], facts: Facts) -> Schema:
    """Those that are referred to, and what they refer to."""
    found: Schema = {}
    wanted = list(_referred(paths))
    while wanted:
        name = wanted.pop()
        if name not in found:
            found[name] = SCHEMAS[name](facts)
            wanted += _referred(found[name])
    return dict(sorted(found.items()))


def _referred(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        if str(value.get("$ref", "")).startswith(_SCHEMAS):
            yield value["$ref"].removeprefix(_SCHEMAS)
        yield from (name for each in value.values() for name in _referred(each))
    elif isinstance(value, list):
        yield from (name for each in value for name in _referred(each))


def _schemes(paths: Mapping[str, Any]) -> Schema:
    used = {
        scheme
        for item in paths.values()
        for operation in item.values()
        if isinstance(operation, Mapping)
        for alternative in operation["security"]
        for scheme in alternative
    }
    return {name: scheme for name, scheme in _SCHEMES.items() if name in used}


def _ref(kind: str, name: str) -> Schema:
    return {"$ref": f"#/components/{kind}/{name}"}


def _json(name: str) -> Mapping[str, Schema]:
    return {JSON: _ref("schemas", name)}


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


_ABOUT = (
    "OAuth 2.0 with mutual TLS (RFC 8705). Whatever cannot be understood as HTTP is refused before it is a request: "
    "400, 408, 413, 421 or 431 and without a request id. Where a GET is, HEAD is too."
)
_SCHEMAS = "#/components/schemas/"
_COMPACT = r"^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$"
_JWT: Schema = {"type": "string", "pattern": _COMPACT}

BASIC, MUTUAL_TLS = "clientSecretBasic", "mutualTLS"
INITIAL_TOKEN, REGISTRATION_TOKEN = "initialAccessToken", "registrationAccessToken"
_SCHEMES: Mapping[str, Schema] = {
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
_HEADERS: Schema = {
    "RequestId": {
        "description": "Made by the server; a sender's own is not believed.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
    },
    "AllowOrigin": {"description": "At the issuer only.", "schema": {"const": "*"}},
    "RetryAfter": {"description": "Seconds.", "required": True, "schema": {"type": "integer", "minimum": 1}},
    "Basic": {
        "description": "Where the request had an Authorization header (RFC 6749 section 5.2).",
        "schema": {"const": 'Basic realm="certbound"'},
    },
    "Bearer": {"required": True, "schema": {"const": 'Bearer realm="certbound"'}},
}
_CLIENT_ID: Schema = {
    "name": "client_id",
    "in": "path",
    "required": True,
    "description": "As registration_client_uri has it.",
    "schema": {"type": "string", "minLength": 1},
}

_STATUSES: Mapping[type[OAuthError], Sequence[int]] = {
    InvalidRequest: (400, 413),
    InvalidClient: (401, 429),
    RegistrationDenied: (401,),
}
"""Where the class does not have the one: a body that is too long, and whoever fails too often."""
_AUTHENTICATING = (InvalidRequest, InvalidClient, TemporarilyUnavailable)
_METADATA_OF_CLIENTS = (InvalidClientMetadata, InvalidRedirectUri, InvalidStatement, UnapprovedStatement)
_GRANTING = (
    InvalidGrant, InvalidScope, InvalidTarget, UnacceptableToken, UnauthorizedClient, UnsupportedGrantType,
)  # fmt: skip

_OPERATIONS: Mapping[Endpoint, _Operation] = {
    documents.metadata: _Operation(
        name="metadata",
        summary="What this server can do (RFC 8414).",
        answer=_json("Metadata"),
        caching=documents.CACHED,
    ),
    documents.jwks: _Operation(
        name="jwks",
        summary="The public keys that sign tokens (RFC 7517).",
        answer=_json("JwkSet"),
        caching=documents.CACHED,
    ),
    documents.health: _Operation(
        name="health",
        summary="Whether the process answers.",
        answer=_json("Health"),
        caching=documents.UNKEPT,
    ),
    status.status_list: _Operation(
        name="status_list",
        summary="Which tokens count (draft-ietf-oauth-status-list).",
        answer={STATUS_LIST_TYPE: _JWT},
        caching=status.HEADERS,
        refusals=(TemporarilyUnavailable,),
    ),
    status.status_lists: _Operation(
        name="status_lists",
        summary="Where the status lists are.",
        answer=_json("StatusLists"),
        caching=status.RARELY_CHANGED,
    ),
    token: _Operation(
        name="token",
        summary="Obtain an access token (RFC 6749 section 3.2).",
        answer=_json("TokenAnswer"),
        body="TokenRequest",
        refusals=(*_AUTHENTICATING, *_GRANTING),
        security=_by_client(TOKEN),
    ),
    introspection.introspect: _Operation(
        name="introspect",
        summary="Ask what a token says (RFC 7662, RFC 9701).",
        answer={**_json("IntrospectionAnswer"), introspection.MEDIA_TYPE: _JWT},
        body="IntrospectionRequest",
        refusals=_AUTHENTICATING,
        security=_by_client(INTROSPECTION),
    ),
    revoke: _Operation(
        name="revoke",
        summary="Give a token back (RFC 7009).",
        body="RevocationRequest",
        refusals=_AUTHENTICATING,
        security=_by_client(REVOCATION),
    ),
    registration.register: _Operation(
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
    registration.read: _Operation(
        name="read_client",
        summary="See a client as it is registered (RFC 7592 section 2.1).",
        answer=_json("ClientInformation"),
        refusals=(RegistrationDenied, TemporarilyUnavailable),
        security=_by_owner,
    ),
    registration.put: _Operation(
        name="replace_client",
        summary="Replace what a client registered (RFC 7592 section 2.2).",
        answer=_json("ClientInformation"),
        body="ReplacementRequest",
        refusals=(InvalidRequest, *_METADATA_OF_CLIENTS, RegistrationDenied, TemporarilyUnavailable),
        also={403: RegistrationDenied},
        security=_by_owner,
    ),
    registration.remove: _Operation(
        name="remove_client",
        summary="Remove a client, and end its tokens (RFC 7592 section 2.3).",
        status=204,
        refusals=(RegistrationDenied, TemporarilyUnavailable),
        security=_by_owner,
    ),
}  # fmt: skip
