"""Requests and answers around people who let clients act for them, as JSON Schema: components of our OpenAPI document.

Rule: pages are for people and stand in no document; what leads to them and away from them does.
"""

from collections.abc import Callable, Mapping
from typing import Any

from certbound.core.authorization import MAX_NONCE, MAX_STATE, Prompt
from certbound.core.metadata import DEVICE, PUSHED
from certbound.core.openid import CLAIMS_OF
from certbound.core.pkce import S256
from certbound.core.redirects import MAX_URI, ResponseMode
from certbound.server._schemas import Facts, Schema, always, form_of, object_of, resources_of, scope_of
from certbound.server.device import PAGE
from certbound.server.login_application import MAX_ACR, MAX_DESCRIPTION, MAX_METHODS, REJECTIONS
from certbound.server.pushed import PREFIX


def pushed_request(facts: Facts) -> Schema:
    """RFC 9126 section 2.1: the parameters of the authorization endpoint."""
    return form_of(facts, PUSHED, object_of(
        {**_ASKED, "scope": scope_of(facts.offer.scope), "resource": resources_of(facts)},
        "response_type", "redirect_uri", "code_challenge", "code_challenge_method",
    ))  # fmt: skip


def device_request(facts: Facts) -> Schema:
    """RFC 8628 section 3.1."""
    return form_of(facts, DEVICE, object_of({"scope": scope_of(facts.offer.scope), "resource": resources_of(facts)}))


def device_answer(facts: Facts) -> Schema:
    """RFC 8628 section 3.2."""
    page = facts.offer.issuer + PAGE
    return object_of(
        {
            "device_code": {"type": "string"},
            "user_code": {"type": "string", "pattern": "^[A-Z]{4}-[A-Z]{4}$"},
            "verification_uri": {"const": page},
            "verification_uri_complete": {"type": "string", "format": "uri"},
            "expires_in": {"type": "integer", "minimum": 0, "description": "Seconds."},
            "interval": {"type": "integer", "description": "Seconds between two polls."},
        },
        "device_code", "user_code", "verification_uri", "verification_uri_complete", "expires_in", "interval",
    )  # fmt: skip


def person(facts: Facts) -> Schema:
    """OpenID Connect Core section 5.3.2: who it is, and what the scope goes for."""
    scopes = [each for each in CLAIMS_OF if each in facts.offer.scope and facts.offer.tells_claims]
    claims = {claim: {"description": f"With the scope {each}."} for each in scopes for claim in CLAIMS_OF[each]}
    return object_of({"sub": {"type": "string"}, **claims}, "sub")


def _object_or_null(properties: Mapping[str, Any], *required: str) -> Schema:
    return {**object_of(properties, *required), "type": ["object", "null"], "additionalProperties": False}


def _this(name: str) -> Schema:
    return {"required": [name], "properties": {name: {"type": "object"}}}


_ASKED: Schema = {
    "response_type": {"const": "code"},
    "redirect_uri": {"type": "string", "format": "uri", "maxLength": MAX_URI, "description": "One that it registered."},
    "code_challenge": {"type": "string", "pattern": "^[A-Za-z0-9_-]{43}$"},
    "code_challenge_method": {"const": S256},
    "state": {"type": "string", "maxLength": MAX_STATE},
    "response_mode": {"enum": ["", *ResponseMode]},
    "nonce": {"type": "string", "maxLength": MAX_NONCE},
    "prompt": {
        "type": "string",
        "pattern": "^(none|{0}( {0})*)?$".format(f"({'|'.join(each for each in Prompt if each is not Prompt.NONE)})"),
    },
    "max_age": {"type": "string", "pattern": "^[0-9]{0,9}$", "description": "Seconds."},
    "login_hint": {"type": "string"},
    "acr_values": {"type": "string"},
    "ui_locales": {"type": "string"},
    "id_token_hint": {"type": "string"},
}
"""The parameters of an authorization request, but for those that depend on the deployment."""

_PUSHED_ANSWER = object_of(
    {
        "request_uri": {"type": "string", "pattern": f"^{PREFIX}[A-Za-z0-9_-]+$"},
        "expires_in": {"type": "integer", "minimum": 1, "description": "Seconds."},
    },
    "request_uri", "expires_in",
)  # fmt: skip

_INTERACTION = object_of(
    {
        "interaction": {"type": "string"},
        "client": {
            **_object_or_null({"client_id": {"type": "string"}, "client_name": {"type": "string"}}, "client_id"),
            "description": "Who asks; null where the person came for a page of their own.",
        },
        "subject": {"type": "string", "description": "Whom the client means."},
        "scope": {"type": "string"},
        "resource": {"type": "array", "items": {"type": "string"}},
        "prompt": {"type": "string"},
        "max_age": {"type": "integer"},
        "login_hint": {"type": "string"},
        "acr_values": {"type": "string"},
        "ui_locales": {"type": "string"},
    },
    "interaction", "client",
)  # fmt: skip

_SHORT = {"type": "string", "maxLength": MAX_ACR}
_DECISION: Schema = {
    **object_of({
        "accept": _object_or_null(
            {
                "subject": {"type": "string", "pattern": "^[!-~]{1,255}$", "description": "No client's client_id."},
                "auth_time": {"type": ["number", "null"], "minimum": 0, "description": "Seconds since the epoch; now."},
                "acr": _SHORT,
                "amr": {"type": "array", "items": _SHORT, "maxItems": MAX_METHODS},
            },
            "subject",
        ),
        "reject": _object_or_null({
            "error": {"enum": sorted(REJECTIONS)},
            "error_description": {"type": "string", "maxLength": MAX_DESCRIPTION},
        }),
    }),
    "additionalProperties": False,
    "oneOf": [_this("accept"), _this("reject")],
}  # fmt: skip

SCHEMAS: Mapping[str, Callable[[Facts], Schema]] = {
    "PushedRequest": pushed_request,
    "PushedAnswer": always(_PUSHED_ANSWER),
    "DeviceRequest": device_request,
    "DeviceAnswer": device_answer,
    "Person": person,
    "Interaction": always(_INTERACTION),
    "LoginDecision": always(_DECISION),
    "WayBack": always(object_of({"redirect_to": {"type": "string", "format": "uri"}}, "redirect_to")),
}
"""The components, by name."""
