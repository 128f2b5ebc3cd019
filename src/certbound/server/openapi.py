"""The server as an OpenAPI 3.1 document.

Rule 1: made of what the server is made of: paths, methods and hosts of `routes`, methods of the offer, statuses
and codes of `core.errors`; an endpoint that has no row here stops the making.
Rule 2: what is not on is not in it.
Rule 3: nothing in it is secret; it may be given to anybody.
Rule 4: pages are for people: the metadata says where they are, and they are not in it.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from certbound import __version__
from certbound.core.errors import (
    InvalidClient,
    InvalidRequest,
    ProtectedResourceError,
    Refusal,
    RegistrationDenied,
    RequestRefused,
)
from certbound.core.metadata import DEVICE
from certbound.server import _client_schemas, _people_schemas, _schemas
from certbound.server._operations import JSON, OF_DEVICES, OPERATIONS, SCHEMES, Headers, Operation, ref
from certbound.server._schemas import Facts, Schema
from certbound.server.call import NO_STORE
from certbound.server.routes import Route, route_tables

__all__ = ["Facts", "describe_api"]

FORM = "application/x-www-form-urlencoded"


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
    told: Counter[str] = Counter()
    for path in dict.fromkeys(path for host in hosts for path in host.table):
        having = [host for host in hosts if path in host.table]
        route = having[0].table[path]
        if route.is_page:
            continue
        # An issuer with a path of its own has other paths than the mutual-TLS host: the same operations twice.
        suffix = "" if having[0] is hosts[0] else "_mtls"
        item: dict[str, Any] = {} if len(having) == len(hosts) else {"servers": [host.server for host in having]}
        rest = _REST[route.name] if route.takes_rest else None
        if rest is not None:
            item["parameters"] = [rest]
        for method, endpoint in route.methods.items():
            operation = OPERATIONS[endpoint]
            name = operation.name + suffix
            told[name] += 1
            item[method.lower()] = _operation(operation, _numbered(name, told[name]), route, facts)
        yield f"{path}{{{rest['name']}}}" if rest is not None else path, item


def _numbered(name: str, times: int) -> str:
    """The name of an operation that is there by another method or path too."""
    return name if times == 1 else f"{name}_{times}"


def _operation(told: Operation, name: str, route: Route, facts: Facts) -> dict[str, Any]:
    found: dict[str, Any] = {"operationId": name, "summary": told.summary, "tags": [route.name]}
    found["security"] = list(told.security(facts))
    if told.body:
        media = FORM if route.takes_form else JSON
        found["requestBody"] = {"required": True, "content": {media: {"schema": ref("schemas", told.body)}}}
    found["responses"] = {
        str(told.status): _response("Done.", told.answer, _headers(told.caching, route)),
        **{str(code): _refusal(code, errors, told, route) for code, errors in _by_status(told, facts).items()},
    }
    return found


def _by_status(told: Operation, facts: Facts) -> Mapping[int, Sequence[type[Refusal]]]:
    """The refusals by HTTP status; that of a body too long, and of failing too often, follow from others."""
    found: dict[int, list[type[Refusal]]] = {}
    for error in told.refusals:
        if error in OF_DEVICES and DEVICE not in facts.offer.endpoints:
            continue
        for code in _STATUSES.get(error) or (error.status,):
            found.setdefault(code, []).append(error)
    for code, error in told.also.items():
        found.setdefault(code, []).append(error)
    return dict(sorted(found.items()))


def _refusal(code: int, errors: Sequence[type[Refusal]], told: Operation, route: Route) -> dict[str, Any]:
    codes = {error.error for error in errors if error is not RequestRefused}
    if RequestRefused in errors:
        codes |= set(told.codes)
    schema: Schema = {"allOf": [ref("schemas", "Refusal"), {"properties": {"error": {"enum": sorted(codes - {""})}}}]}
    if "" in codes:  # RFC 6750 section 3.1: who shows no token needs no error code
        schema = {"anyOf": [schema, ref("schemas", "BareRefusal")]}
    headers = _headers(NO_STORE, route)
    if code < 500 and any(issubclass(error, ProtectedResourceError) for error in errors):
        headers["WWW-Authenticate"] = ref("headers", "Challenge")
    elif code == 401:
        headers["WWW-Authenticate"] = ref("headers", route.scheme)
    if code == 429 or any(error.retry_after for error in errors):
        headers["Retry-After"] = ref("headers", "RetryAfter")
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
    found["X-Request-ID"] = ref("headers", "RequestId")
    if route.cors:
        found["Access-Control-Allow-Origin"] = ref("headers", "AllowOrigin")
    return found


def _components(paths: Mapping[str, Any], facts: Facts) -> Schema:
    """Those that are referred to, and what they refer to."""
    schemas = {**_schemas.SCHEMAS, **_client_schemas.SCHEMAS, **_people_schemas.SCHEMAS}
    found: Schema = {}
    wanted = list(_referred(paths))
    while wanted:
        name = wanted.pop()
        if name not in found:
            found[name] = schemas[name](facts)
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
    return {name: scheme for name, scheme in SCHEMES.items() if name in used}


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


_ABOUT = (
    "OAuth 2.0 with mutual TLS (RFC 8705). Whatever cannot be understood as HTTP is refused before it is a request: "
    "400, 408, 413, 421 or 431 and without a request id. Where a GET is, HEAD is too; "
    "other methods are answered 405, other paths 404."
)
_SCHEMAS = "#/components/schemas/"


def _in_path(name: str, description: str) -> Schema:
    schema = {"type": "string", "minLength": 1}
    return {"name": name, "in": "path", "required": True, "description": description, "schema": schema}


_REST: Mapping[str, Schema] = {
    "registration": _in_path("client_id", "As registration_client_uri has it."),
    "login_application": _in_path("interaction", "As the login application got it in its URL."),
}
"""By endpoint, what follows its path."""

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
    "Challenge": {
        "description": "With an error where the request had a token (RFC 6750 section 3.1).",
        "required": True,
        "schema": {"type": "string", "pattern": "^Bearer( |$)"},
    },
    "Bearer": {
        "description": "With an error where the request had a token (RFC 6750 section 3.1).",
        "required": True,
        "schema": {"enum": ['Bearer realm="certbound"', 'Bearer realm="certbound", error="invalid_token"']},
    },
}

_STATUSES: Mapping[type[Refusal], Sequence[int]] = {
    InvalidRequest: (400, 413),
    InvalidClient: (401, 429),
    RegistrationDenied: (401,),
}
"""Where the class does not have the one: a body that is too long, and whoever fails too often."""
