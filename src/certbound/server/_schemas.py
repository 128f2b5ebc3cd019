"""What stands in requests and answers, as JSON Schema (2020-12): the components of our OpenAPI document.

Rule 1: made of the tables that the server reads by; a member of client metadata or a grant that has no row here stops
the making.
Rule 2: what a schema forbids, the server refuses; what it permits may be refused for other reasons: a name that is no
name, a key that is weak, a token that nobody knows.
Rule 3: a parameter that is empty is absent (RFC 6749 section 3.2), and so is a member that is `null` (RFC 7591).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from certbound.core import anchors, client_information, clients
from certbound.core.client_information import IN_LANGUAGES, MAX_ITEMS, MAX_STATEMENT, MAX_TEXT, MAX_URI
from certbound.core.clients import Method
from certbound.core.credentials import JWT_BEARER, MAX_CREDENTIAL
from certbound.core.grants import client_credentials, refresh_token, token_exchange
from certbound.core.jwks import MAX_KEYS
from certbound.core.metadata import INTROSPECTION, REVOCATION, TOKEN, Offer, describe_server
from certbound.core.names import RdnOrder
from certbound.core.registration import Need, Way
from certbound.core.subject import MAX_TEXT as MAX_NAME
from certbound.core.subject import SubjectKind

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What of a deployment shows in its document."""

    offer: Offer
    resources: Sequence[str]
    """The resources there are."""
    ways: Sequence[Way] = ()
    """How clients may register themselves."""


def metadata(facts: Facts) -> Schema:
    """RFC 8414: what it says now is its example, and how it says that its schema."""
    document = describe_server(facts.offer)
    return {**_alike(document), "examples": [document]}


def token_request(facts: Facts) -> Schema:
    """One of the grants that are on."""
    return {
        "oneOf": [_form(facts, TOKEN, _GRANTS[each](facts), title=each) for each in sorted(facts.offer.grant_types)]
    }


def introspection_request(facts: Facts) -> Schema:
    """RFC 7662 section 2.1."""
    return _form(facts, INTROSPECTION, _about_a_token())


def revocation_request(facts: Facts) -> Schema:
    """RFC 7009 section 2.1."""
    return _form(facts, REVOCATION, _about_a_token())


def token_answer(facts: Facts) -> Schema:
    """RFC 6749 section 5.1, RFC 8693 section 2.2.1."""
    return _object(
        {
            "access_token": {"type": "string", "description": "A signed JWT, or an opaque reference."},
            "token_type": {"const": "Bearer"},
            "expires_in": {"type": "integer", "minimum": 0, "description": "Seconds."},
            "scope": _scope(facts.offer.scope),
            "refresh_token": {"type": "string"},
            "issued_token_type": {"const": token_exchange.ACCESS_TOKEN, "description": "After a token exchange."},
        },
        "access_token", "token_type", "expires_in", "scope",
    )  # fmt: skip


def introspection_answer(facts: Facts) -> Schema:
    """RFC 7662 section 2.2: what the token says, or nothing."""
    time = {"type": "integer", "description": "Seconds since the epoch."}
    live = {
        "active": {"const": True},
        "token_type": {"const": "Bearer"},
        "iss": {"const": facts.offer.issuer},
        "sub": {"type": "string"},
        "client_id": {"type": "string"},
        "aud": {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
        "scope": {"type": "string"},
        "iat": time,
        "exp": time,
        "jti": {"type": "string"},
        "act": {"type": "object", "description": "Who acts for the subject (RFC 8693 section 4.1)."},
        "cnf": {
            **_object({"x5t#S256": {"type": "string", "pattern": "^[A-Za-z0-9_-]{43}$"}}, "x5t#S256"),
            "description": "The certificate that the token is bound to (RFC 8705 section 3.1).",
        },
    }
    return {
        "oneOf": [
            {**_object({"active": {"const": False}}, "active"), "additionalProperties": False},
            _object(live, "active", "iss", "sub", "client_id", "iat", "exp"),
        ]
    }


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
    return {"allOf": [_object(own, "client_id"), {"$ref": "#/components/schemas/RegistrationRequest"}]}


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
    return _object(
        {**_registered(facts), **said},
        "client_id", "client_id_issued_at", "registration_client_uri", "registration_access_token",
        "token_endpoint_auth_method", "grant_types", "scope", clients.BOUND,
    )  # fmt: skip


def refusal(_: Facts) -> Schema:
    """RFC 6749 section 5.2."""
    said = {"type": "string", "pattern": r"^[\x20-\x21\x23-\x5B\x5D-\x7E]+$"}
    request_id = {
        "type": "string",
        "pattern": "^[0-9a-f]{16}$",
        "description": "That of X-Request-ID; the log tells more under it.",
    }
    return {
        **_object(
            {"error": said, "error_description": said, "request_id": request_id},
            "error", "error_description", "request_id",
        ),
        "additionalProperties": False,
    }  # fmt: skip


def _alike(value: Any) -> Schema:
    """A schema of values like this one, with its members."""
    if isinstance(value, Mapping):
        return _object({name: _alike(each) for name, each in value.items()}, *value)
    if isinstance(value, list):
        return {"type": "array", "items": {"type": "string"}}
    return {"type": "boolean"} if isinstance(value, bool) else {"type": "string"}


def _object(properties: Mapping[str, Any], *required: str) -> Schema:
    return {"type": "object", "properties": dict(properties), "required": list(required)}


# Forms


def _form(facts: Facts, endpoint: str, asked: Schema, **more: Any) -> Schema:
    """`asked`, and what the methods at `endpoint` show in a form of who asks."""
    methods = facts.offer.methods_at(endpoint)
    shown: Schema = {"client_id": {"type": "string", "minLength": 1}}
    form: Schema = {"type": "object", **more, "required": list(asked["required"])}
    if Method.CLIENT_SECRET_POST in methods:
        shown["client_secret"] = {"type": "string", "maxLength": MAX_CREDENTIAL}
    if Method.PRIVATE_KEY_JWT in methods:
        shown["client_assertion_type"] = {"enum": [JWT_BEARER]}
        shown["client_assertion"] = {"type": "string", "minLength": 1, "maxLength": MAX_CREDENTIAL}
        form["dependentRequired"] = {
            "client_assertion": ["client_assertion_type"],
            "client_assertion_type": ["client_assertion"],
        }
    if {Method.CLIENT_SECRET_POST, Method.PRIVATE_KEY_JWT} <= methods:  # one credential
        form["not"] = {"required": ["client_secret", "client_assertion"]}
    if not methods & {Method.PRIVATE_KEY_JWT, Method.CLIENT_SECRET_BASIC}:  # nothing else names the client
        form["required"].append("client_id")
    return {**form, "properties": {**asked["properties"], **shown}}


def _about_a_token() -> Schema:
    hint = {"type": "string", "description": "Not needed: a token says what it is."}
    return _object({"token": {"type": "string", "minLength": 1}, "token_type_hint": hint}, "token")


def _grant(facts: Facts, grant_type: str, own: Mapping[str, Any], *required: str) -> Schema:
    every = {"grant_type": {"const": grant_type}, "scope": _scope(facts.offer.scope), "resource": _resources(facts)}
    return _object({**every, **own}, "grant_type", *required)


def _exchange(facts: Facts) -> Schema:
    own = {
        "subject_token": {"type": "string", "minLength": 1},
        "subject_token_type": {"enum": [*token_exchange.SUBJECT_TYPES]},
        "requested_token_type": {"enum": [*token_exchange.REQUESTED_TYPES]},
        "audience": _resources(facts),
    }
    return _grant(facts, token_exchange.GRANT_TYPE, own, "subject_token", "subject_token_type")


def _refresh(facts: Facts) -> Schema:
    own = {"refresh_token": {"type": "string", "minLength": 1}}
    return _grant(facts, refresh_token.GRANT_TYPE, own, "refresh_token")


def _scope(words: Iterable[str]) -> Schema:
    """Some of `words`, one space between; none too."""
    one = "(" + "|".join(map(_literal, sorted(words))) + ")"
    return {"type": "string", "pattern": f"^({one}( {one})*)?$"} if one != "()" else {"type": "string", "maxLength": 0}


def _literal(word: str) -> str:
    """`word` in a regular expression, whoever reads that (ECMA-262)."""
    return "".join(f"\\{each}" if each in r"^$\.*+?()[]{}|/" else each for each in word)


def _resources(facts: Facts) -> Schema:
    return {"type": "array", "items": {"enum": list(facts.resources)}, "description": "Repeated, once for each."}


_GRANTS: Mapping[str, Callable[[Facts], Schema]] = {
    client_credentials.GRANT_TYPE: lambda facts: _grant(facts, client_credentials.GRANT_TYPE, {}),
    refresh_token.GRANT_TYPE: _refresh,
    token_exchange.GRANT_TYPE: _exchange,
}


# Client metadata


def _methods(facts: Facts) -> Sequence[Method]:
    """Those that some way lets a client have."""
    return sorted({method for way in facts.ways for method in way.allowed.methods})


def _client(facts: Facts, method: Method) -> Schema:
    """What a client of this method says: what every client may, what is its own, and where its keys are."""
    foreign = {name for owner, names in _OWN.items() if owner is not method for name in names}
    properties = {
        name: _or_null(schema) for name, schema in _registered(facts).items() if name not in foreign and schema
    }
    is_default = method is Method.CLIENT_SECRET_BASIC
    properties["token_endpoint_auth_method"] = {"enum": [method, None]} if is_default else {"const": method}
    found = _object(properties, *([] if is_default else ["token_endpoint_auth_method"]))
    found["patternProperties"] = {
        f"^{name}#{_LANGUAGE}$": _or_null(_MEMBERS[name](facts) or {}) for name in sorted(IN_LANGUAGES)
    }
    return {**found, "title": method, "allOf": [_ONE_SOURCE_OF_KEYS, *_RULES.get(method, ())]}


def _registered(facts: Facts) -> Schema:
    """Every member that a way lets somebody register."""
    names = sorted({*clients.MEMBERS, *client_information.MEMBERS})
    return {name: schema for name in names if (schema := _MEMBERS[name](facts)) is not None}


def _or_null(schema: Schema) -> Schema:
    if "enum" in schema:
        return {**schema, "enum": [*schema["enum"], None]}
    return {**schema, "type": [schema["type"], "null"]}


def _any(schema: Schema) -> Callable[[Facts], Schema]:
    """Whatever the ways allow."""
    return lambda _: schema


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
    text = {"type": "string", "pattern": rf"^{_WORD}\.{_WORD}\.{_WORD}$", "maxLength": MAX_STATEMENT}
    return text if any(Need.SOFTWARE_STATEMENT in way.needs for way in facts.ways) else None


_WORD = "[A-Za-z0-9_-]+"
_LANGUAGE = "[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8}){0,8}"
_TEXT = {"type": "string", "maxLength": MAX_TEXT}
_TEXTS = {"type": "array", "items": _TEXT, "maxItems": MAX_ITEMS}
_URL = {"type": "string", "format": "uri", "pattern": r"^[Hh][Tt][Tt][Pp][Ss]://[!$-\[\]-~]+$", "maxLength": MAX_URI}
_URIS = {"type": "array", "items": {"type": "string", "format": "uri", "maxLength": MAX_URI}, "maxItems": MAX_ITEMS}
_NAME = {"type": "string", "minLength": 1, "maxLength": MAX_NAME}
_FLAG = {"type": "boolean"}
_KEY = {"type": "string", "pattern": "^[A-Za-z0-9_-]{43}$", "description": "SHA-256 of a SubjectPublicKeyInfo."}
_JWKS = _object({"keys": {"type": "array", "items": {"type": "object"}, "maxItems": MAX_KEYS}}, "keys")

_MEMBERS: Mapping[str, Callable[[Facts], Schema | None]] = {
    "token_endpoint_auth_method": lambda facts: _one_of(_methods(facts)),
    "client_name": _any(_TEXT),
    "scope": lambda facts: _scope(_allowed("scope")(facts)),
    "grant_types": lambda facts: _some_of(_allowed("grant_types")(facts), minItems=1),
    "jwks": _any(_JWKS),
    "jwks_uri": _any(_URL),
    clients.FORMAT: lambda facts: _one_of(_allowed("formats")(facts)),
    clients.RESOURCES: lambda facts: _some_of(_allowed("resources")(facts)),
    clients.ASSERTION_ALG: lambda facts: _one_of(_allowed("assertion_algorithms")(facts)),
    clients.BOUND: _any(_FLAG),
    clients.INTROSPECTION_ALG: lambda facts: _one_of(_allowed("signing_algorithms")(facts)),
    clients.ALIASES: _any(_FLAG),
    **dict.fromkeys(SubjectKind, _any(_NAME)),
    clients.DN_ORDER: lambda _: _one_of(RdnOrder),
    anchors.KEYS: _any({"type": "array", "items": _KEY, "minItems": 1, "maxItems": anchors.MAX_ANCHORS}),
    anchors.CERTIFICATES: _own_anchors,
    clients.IGNORE_VALIDITY: lambda facts: _FLAG if any(way.allowed.ignored_validity for way in facts.ways) else None,
    "client_uri": _any(_URL),
    "logo_uri": _any(_URL),
    "tos_uri": _any(_URL),
    "policy_uri": _any(_URL),
    "contacts": _any(_TEXTS),
    "software_id": _any(_TEXT),
    "software_version": _any(_TEXT),
    client_information.STATEMENT: _statement,
    client_information.REDIRECT_URIS: _any(_URIS),
    client_information.RESPONSE_TYPES: _any({"type": "array", "maxItems": 0}),
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
    "Metadata": metadata,
    "JwkSet": _any(_JWKS),
    "StatusLists": _any(_object({"status_lists": {"type": "array", "items": {"type": "string"}}}, "status_lists")),
    "Health": _any(_object({"status": {"const": "ok"}}, "status")),
    "TokenRequest": token_request,
    "TokenAnswer": token_answer,
    "IntrospectionRequest": introspection_request,
    "IntrospectionAnswer": introspection_answer,
    "RevocationRequest": revocation_request,
    "RegistrationRequest": registration_request,
    "ReplacementRequest": replacement_request,
    "ClientInformation": client_information_answer,
    "Refusal": refusal,
}
"""The components, by name."""
