"""Client metadata in requests and answers, as JSON Schema: what registration has of components in our OpenAPI document.

Rule: a member without a row here stops the making; which of them may be registered, and with what, follows from the
ways.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from certbound.core import anchors, client_authorization, client_information, clients
from certbound.core.client_authorization import CODE_GRANT, MAX_URIS, MOST_SECONDS, REDIRECT_URIS, RESPONSE_TYPES
from certbound.core.client_information import IN_LANGUAGES, MAX_ITEMS, MAX_STATEMENT, MAX_TEXT
from certbound.core.client_unspoken import UNSPOKEN
from certbound.core.clients import Method
from certbound.core.names import RdnOrder
from certbound.core.redirects import MAX_URI
from certbound.core.registration import Need
from certbound.core.subject import MAX_TEXT as MAX_NAME
from certbound.core.subject import SubjectKind
from certbound.server._schemas import JWKS, JWT, Facts, Schema, always, object_of, scope_of


def registration_request(facts: Facts) -> Schema:
    """Client metadata, by method (RFC 7591 section 2, RFC 8705 sections 2.1.2, 2.2.2 and 3.4)."""
    return {
        "oneOf": [_client(facts, method) for method in _methods(facts)],
        "description": "A member that is null is absent; one that means nothing here is ignored.",
    }


def replacement_request(facts: Facts) -> Schema:
    """The same and whose it is (RFC 7592 section 2.2)."""
    own = {
        "client_id": {"type": "string", "description": "The client's own."},
        "client_secret": {"type": ["string", "null"], "description": "One of the client's own."},
    }
    return {"allOf": [object_of(own, "client_id"), {"$ref": "#/components/schemas/RegistrationRequest"}]}


def client_information_answer(facts: Facts) -> Schema:
    """RFC 7591 section 3.2.1, RFC 7592 section 3."""
    said: Schema = {
        "client_id": {"type": "string"},
        "client_id_issued_at": {"type": "integer", "description": "Seconds since the epoch."},
        "client_secret": {"type": "string", "description": "Told once: when it was made."},
        "client_secret_expires_at": {"const": 0, "description": "Never."},
        "registration_client_uri": {"type": "string", "format": "uri"},
        "registration_access_token": {"type": "string", "pattern": "^cbrg_[A-Za-z0-9_-]{43}$"},
    }
    return object_of(
        {**{name: _told(name, schema) for name, schema in _registered(facts).items()}, **said},
        "client_id", "client_id_issued_at", "registration_client_uri", "registration_access_token",
        "token_endpoint_auth_method", "grant_types", "scope", clients.BOUND,
    )  # fmt: skip


def _methods(facts: Facts) -> Sequence[Method]:
    """Those that some way lets a client have."""
    return sorted({method for way in facts.ways for method in way.allowed.methods})


def _client(facts: Facts, method: Method) -> Schema:
    """What a client of this method says: what every client may, what is its own, and where its keys are."""
    foreign = {name for owner, names in _OWN.items() if owner is not method for name in names}
    properties = {name: _or_null(schema) for name, schema in _registered(facts).items() if name not in foreign}
    is_default = method is Method.CLIENT_SECRET_BASIC
    properties["token_endpoint_auth_method"] = {"enum": [method, None]} if is_default else {"const": method}
    found = object_of(properties, *([] if is_default else ["token_endpoint_auth_method"]))
    found["patternProperties"] = {
        f"^{name}#{_LANGUAGE}$": _or_null(_MEMBERS[name](facts) or {}) for name in sorted(IN_LANGUAGES)
    }
    return {**found, "title": method, "allOf": [_ONE_SOURCE_OF_KEYS, *_code_rules(facts), *_RULES.get(method, ())]}


def _code_rules(facts: Facts) -> Sequence[Schema]:
    """Who acts for people says where they go back to; and `response_types` follow from `grant_types`."""
    if CODE_GRANT not in _allowed("grant_types")(facts):
        return [{"properties": {RESPONSE_TYPES: {"maxItems": 0}}}]
    uses_code = {"required": ["grant_types"], "properties": {"grant_types": _HAS_CODE}}
    return [{
        "if": uses_code,
        "then": {"required": [REDIRECT_URIS], "properties": {REDIRECT_URIS: {"type": "array", "minItems": 1}}},
    }]  # fmt: skip


def _registered(facts: Facts) -> Schema:
    """Every member that a way lets somebody register."""
    names = sorted({*clients.MEMBERS, *client_information.MEMBERS} - UNSPOKEN.keys())
    return {name: schema for name in names if (schema := _MEMBERS[name](facts)) is not None}


def _told(name: str, schema: Schema) -> Schema:
    """As it is told of a client: what was allowed when it registered may not be any more."""
    if name == "scope" or "enum" in schema:
        return {"type": "string"}
    return {**schema, "items": {"type": "string"}} if "enum" in schema.get("items", {}) else schema


def _or_null(schema: Schema) -> Schema:
    if "enum" in schema:
        return {**schema, "enum": [*schema["enum"], None]}
    return {**schema, "type": [schema["type"], "null"]}


def _one_of(words: Iterable[str]) -> Schema | None:
    return {"enum": found} if (found := sorted(map(str, set(words)))) else None


def _some_of(words: Iterable[str], **more: Any) -> Schema | None:
    one = _one_of(words)
    return None if one is None else {"type": "array", "items": one, **more}


def _allowed(name: str) -> Callable[[Facts], Iterable[Any]]:
    """What all ways together have of something."""
    return lambda facts: {each for way in facts.ways for each in getattr(way.allowed, name)}


def _own_anchors(facts: Facts) -> Schema | None:
    text = {"type": "string", "maxLength": anchors.MAX_TEXT, "description": "A CA certificate, DER, base64."}
    return (
        {"type": "array", "items": text, "minItems": 1, "maxItems": anchors.MAX_ANCHORS}
        if any(way.allowed.own_anchors for way in facts.ways)
        else None
    )


def _statement(facts: Facts) -> Schema | None:
    text = {**JWT, "maxLength": MAX_STATEMENT}
    return text if any(Need.SOFTWARE_STATEMENT in way.needs for way in facts.ways) else None


_HAS_CODE: Schema = {"type": "array", "contains": {"const": CODE_GRANT}}
_LANGUAGE = "[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8}){0,8}"
_TEXT = {"type": "string", "maxLength": MAX_TEXT}
_TEXTS = {"type": "array", "items": _TEXT, "maxItems": MAX_ITEMS}
_URL = {"type": "string", "format": "uri", "pattern": r"^[Hh][Tt][Tt][Pp][Ss]://[!$-\[\]-~]+$", "maxLength": MAX_URI}
_URIS = {"type": "array", "items": {"type": "string", "format": "uri", "maxLength": MAX_URI}, "maxItems": MAX_URIS}
_ACRS = {
    "type": "array",
    "items": {"type": "string", "pattern": "^[!-~]{1,255}$"},
    "maxItems": client_authorization.MAX_ACRS,
}
_NAME = {"type": "string", "minLength": 1, "maxLength": MAX_NAME}
_FLAG = {"type": "boolean"}
_KEY = {"type": "string", "pattern": "^[A-Za-z0-9_-]{43}$", "description": "SHA-256 of a SubjectPublicKeyInfo."}

_MEMBERS: Mapping[str, Callable[[Facts], Schema | None]] = {
    "token_endpoint_auth_method": lambda facts: _one_of(_methods(facts)),
    "client_name": always(_TEXT),
    "scope": lambda facts: scope_of(_allowed("scope")(facts)),
    "grant_types": lambda facts: _some_of(_allowed("grant_types")(facts), minItems=1),
    "jwks": always(JWKS),
    "jwks_uri": always(_URL),
    clients.FORMAT: lambda facts: _one_of(_allowed("formats")(facts)),
    clients.RESOURCES: lambda facts: _some_of(_allowed("resources")(facts)),
    clients.ASSERTION_ALG: lambda facts: _one_of(_allowed("assertion_algorithms")(facts)),
    clients.BOUND: always(_FLAG),
    clients.INTROSPECTION_ALG: lambda facts: _one_of(_allowed("signing_algorithms")(facts)),
    clients.ALIASES: always(_FLAG),
    **dict.fromkeys(SubjectKind, always(_NAME)),
    clients.DN_ORDER: lambda _: _one_of(RdnOrder),
    anchors.KEYS: always({"type": "array", "items": _KEY, "minItems": 1, "maxItems": anchors.MAX_ANCHORS}),
    anchors.CERTIFICATES: _own_anchors,
    clients.IGNORE_VALIDITY: lambda facts: _FLAG if any(way.allowed.ignored_validity for way in facts.ways) else None,
    "client_uri": always(_URL),
    "logo_uri": always(_URL),
    "tos_uri": always(_URL),
    "policy_uri": always(_URL),
    "contacts": always(_TEXTS),
    "software_id": always(_TEXT),
    "software_version": always(_TEXT),
    client_information.STATEMENT: _statement,
    clients.ID_TOKEN_ALG: lambda facts: _one_of(_allowed("signing_algorithms")(facts)),
    REDIRECT_URIS: always(_URIS),
    RESPONSE_TYPES: always({"type": "array", "items": {"const": "code"}}),
    client_authorization.LOGOUT_URIS: always(_URIS),
    client_authorization.MUST_PUSH: always(_FLAG),
    client_authorization.SUBJECT_TYPE: lambda _: _one_of(client_authorization.SubjectType),
    client_authorization.MAX_AGE: always({"type": "integer", "minimum": 0, "maximum": MOST_SECONDS}),
    client_authorization.ACRS: always(_ACRS),
    client_authorization.APPLICATION_TYPE: lambda _: _one_of(client_authorization.ApplicationType),
    "require_auth_time": always(_FLAG),
}
"""By name; None where no way lets anybody register it."""

_OWN: Mapping[Method, Iterable[str]] = {
    Method.TLS_CLIENT_AUTH: clients.PKI_MEMBERS,
    Method.SELF_SIGNED_TLS_CLIENT_AUTH: clients.SELF_SIGNED_MEMBERS,
}
"""Members that a client of another method is refused for."""


def _given(name: str, kind: str) -> Schema:
    return {"required": [name], "properties": {name: {"type": kind}}}


_ONE_SOURCE_OF_KEYS: Schema = {"not": {"allOf": [_given("jwks", "object"), _given("jwks_uri", "string")]}}
_SOME_KEYS: Schema = {"anyOf": [_given("jwks", "object"), _given("jwks_uri", "string")]}
_ONE_SUBJECT: Schema = {"oneOf": [_given(kind, "string") for kind in SubjectKind]}
_ORDER_OF_A_DN: Schema = {"if": _given(clients.DN_ORDER, "string"), "then": _given(SubjectKind.DN, "string")}
_RULES: Mapping[Method, Iterable[Schema]] = {
    Method.TLS_CLIENT_AUTH: (_ONE_SUBJECT, _ORDER_OF_A_DN),
    Method.SELF_SIGNED_TLS_CLIENT_AUTH: (_SOME_KEYS,),
    Method.PRIVATE_KEY_JWT: (_SOME_KEYS,),
}


SCHEMAS: Mapping[str, Callable[[Facts], Schema]] = {
    "RegistrationRequest": registration_request,
    "ReplacementRequest": replacement_request,
    "ClientInformation": client_information_answer,
}
"""The components, by name."""
