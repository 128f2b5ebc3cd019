"""What stands in requests and answers, as JSON Schema (2020-12): the components of our OpenAPI document.

Rule 1: made of the tables that the server reads by; a grant that has no row here stops the making.
Rule 2: what a schema forbids, the server refuses; what it permits may be refused for other reasons: a name that is no
name, a key that is weak, a token that nobody knows.
Rule 3: a parameter that is empty is absent (RFC 6749 section 3.2), and so is a member that is `null` (RFC 7591).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from certbound.core.clients import Method
from certbound.core.credentials import JWT_BEARER, MAX_CREDENTIAL
from certbound.core.grants import authorization_code, client_credentials, device_code, refresh_token, token_exchange
from certbound.core.jwks import MAX_KEYS
from certbound.core.metadata import INTROSPECTION, REVOCATION, TOKEN, Offer, describe_server
from certbound.core.registration import Way

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
        "oneOf": [form_of(facts, TOKEN, _GRANTS[each](facts), title=each) for each in sorted(facts.offer.grant_types)]
    }


def introspection_request(facts: Facts) -> Schema:
    """RFC 7662 section 2.1."""
    return form_of(facts, INTROSPECTION, _about_a_token())


def revocation_request(facts: Facts) -> Schema:
    """RFC 7009 section 2.1."""
    return form_of(facts, REVOCATION, _about_a_token())


def token_answer(facts: Facts) -> Schema:
    """RFC 6749 section 5.1, RFC 8693 section 2.2.1."""
    return object_of(
        {
            "access_token": {"type": "string", "description": "A signed JWT, or an opaque reference."},
            "token_type": {"const": "Bearer"},
            "expires_in": {"type": "integer", "minimum": 0, "description": "Seconds."},
            "scope": scope_of(facts.offer.scope),
            "refresh_token": {"type": "string"},
            **({"id_token": JWT} if facts.offer.openid else {}),
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
            **object_of({"x5t#S256": {"type": "string", "pattern": "^[A-Za-z0-9_-]{43}$"}}, "x5t#S256"),
            "description": "The certificate that the token is bound to (RFC 8705 section 3.1).",
        },
    }
    return {
        "oneOf": [
            {**object_of({"active": {"const": False}}, "active"), "additionalProperties": False},
            object_of(live, "active", "iss", "sub", "client_id", "iat", "exp"),
        ]
    }


def refusal(_: Facts) -> Schema:
    """RFC 6749 section 5.2."""
    said = {"type": "string", "pattern": r"^[\x20-\x21\x23-\x5B\x5D-\x7E]+$"}
    return {
        **object_of(
            {"error": said, "error_description": said, "request_id": _REQUEST_ID},
            "error", "error_description", "request_id",
        ),
        "additionalProperties": False,
    }  # fmt: skip


def bare_refusal(_: Facts) -> Schema:
    """RFC 6750 section 3.1: what whoever shows no token is told."""
    return {**object_of({"request_id": _REQUEST_ID}, "request_id"), "additionalProperties": False}


def object_of(properties: Mapping[str, Any], *required: str) -> Schema:
    """An object that may have more members."""
    return {"type": "object", "properties": dict(properties), "required": list(required)}


def scope_of(words: Iterable[str]) -> Schema:
    """Some of `words`, one space between; none too."""
    one = "(" + "|".join(map(_literal, sorted(words))) + ")"
    return {"type": "string", "pattern": f"^({one}( {one})*)?$"} if one != "()" else {"type": "string", "maxLength": 0}


def always(schema: Schema) -> Callable[[Facts], Schema]:
    """The same in every deployment."""
    return lambda _: schema


def _alike(value: Any) -> Schema:
    """A schema of values like this one, with its members."""
    if isinstance(value, Mapping):
        return object_of({name: _alike(each) for name, each in value.items()}, *value)
    if isinstance(value, list):
        return {"type": "array", "items": {"type": "string"}}
    return {"type": "boolean"} if isinstance(value, bool) else {"type": "string"}


# Forms


def form_of(facts: Facts, endpoint: str, asked: Schema, **more: Any) -> Schema:
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
    return object_of({"token": {"type": "string", "minLength": 1}, "token_type_hint": hint}, "token")


def _grant(facts: Facts, grant_type: str, own: Mapping[str, Any], *required: str) -> Schema:
    every = {"grant_type": {"const": grant_type}, "scope": scope_of(facts.offer.scope), "resource": resources_of(facts)}
    return object_of({**every, **own}, "grant_type", *required)


def _exchange(facts: Facts) -> Schema:
    own = {
        "subject_token": {"type": "string", "minLength": 1},
        "subject_token_type": {"enum": [*token_exchange.SUBJECT_TYPES]},
        "requested_token_type": {"enum": [*token_exchange.REQUESTED_TYPES]},
        "audience": resources_of(facts),
    }
    return _grant(facts, token_exchange.GRANT_TYPE, own, "subject_token", "subject_token_type")


def _refresh(facts: Facts) -> Schema:
    own = {"refresh_token": {"type": "string", "minLength": 1}}
    return _grant(facts, refresh_token.GRANT_TYPE, own, "refresh_token")


def _code(facts: Facts) -> Schema:
    """RFC 6749 section 4.1.3: `scope` was asked of the person."""
    own = {
        "code": {"type": "string", "minLength": 1},
        "redirect_uri": {"type": "string", "minLength": 1, "description": "The one that the code was sent to."},
        "code_verifier": {"type": "string", "pattern": "^[A-Za-z0-9._~-]{43,128}$"},
    }
    return _of_a_person(facts, authorization_code.GRANT_TYPE, own)


def _device(facts: Facts) -> Schema:
    return _of_a_person(facts, device_code.GRANT_TYPE, {"device_code": {"type": "string", "minLength": 1}})


def _of_a_person(facts: Facts, grant_type: str, own: Mapping[str, Any]) -> Schema:
    members = {"grant_type": {"const": grant_type}, "resource": resources_of(facts), **own}
    return object_of(members, "grant_type", *own)


def _literal(word: str) -> str:
    """`word` in a regular expression, whoever reads that (ECMA-262)."""
    return "".join(f"\\{each}" if each in r"^$\.*+?()[]{}|/" else each for each in word)


def resources_of(facts: Facts) -> Schema:
    """Some of the resources there are."""
    return {"type": "array", "items": {"enum": list(facts.resources)}, "description": "Repeated, once for each."}


_GRANTS: Mapping[str, Callable[[Facts], Schema]] = {
    client_credentials.GRANT_TYPE: lambda facts: _grant(facts, client_credentials.GRANT_TYPE, {}),
    refresh_token.GRANT_TYPE: _refresh,
    token_exchange.GRANT_TYPE: _exchange,
    authorization_code.GRANT_TYPE: _code,
    device_code.GRANT_TYPE: _device,
}


_REQUEST_ID: Schema = {
    "type": "string",
    "pattern": "^[0-9a-f]{16}$",
    "description": "That of X-Request-ID; the log tells more under it.",
}
JWT: Schema = {"type": "string", "pattern": r"^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$"}
JWKS = object_of({"keys": {"type": "array", "items": {"type": "object"}, "maxItems": MAX_KEYS}}, "keys")

SCHEMAS: Mapping[str, Callable[[Facts], Schema]] = {
    "Metadata": metadata,
    "JwkSet": always(JWKS),
    "StatusLists": always(object_of({"status_lists": {"type": "array", "items": {"type": "string"}}}, "status_lists")),
    "Health": always(object_of({"status": {"const": "ok"}}, "status")),
    "TokenRequest": token_request,
    "TokenAnswer": token_answer,
    "IntrospectionRequest": introspection_request,
    "IntrospectionAnswer": introspection_answer,
    "RevocationRequest": revocation_request,
    "Refusal": refusal,
    "BareRefusal": bare_refusal,
}
"""The components, by name."""
