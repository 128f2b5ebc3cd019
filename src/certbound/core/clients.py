"""Client metadata (RFC 7591 section 2, RFC 8705 sections 2.1.2, 2.2.2 and 3.4) as a value that cannot be wrong.

Rule 1: `read_client` is the only way in; whoever creates a client, endpoint or command, passes through it.
Rule 2: `null` is absence; a member of the wrong type is an error, never a guess.
Rule 3: what a deployment allows is asked at registration only (`require_allowed`): configuration that changes
later must not make a stored client unreadable.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NewType, TypeVar

from certbound.core.certificate import Certificate
from certbound.core.errors import BadCertificate, InvalidClientMetadata, InvalidScope
from certbound.core.jwks import make_jwks, read_jwks
from certbound.core.keys import require_strong_key
from certbound.core.scope import NO_SCOPE, Scope, format_scope, parse_scope
from certbound.core.subject import Subject, SubjectKind

ClientId = NewType("ClientId", str)

_T = TypeVar("_T")


class Method(StrEnum):
    """`token_endpoint_auth_method`: how a client authenticates."""

    TLS_CLIENT_AUTH = "tls_client_auth"
    SELF_SIGNED_TLS_CLIENT_AUTH = "self_signed_tls_client_auth"


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A registered client.  Which of `subject` and `certificates` is there follows from `method`."""

    client_id: ClientId
    method: Method
    subject: Subject | None = None
    certificates: tuple[Certificate, ...] = field(default=(), repr=False)
    scope: Scope = NO_SCOPE
    grant_types: frozenset[str] = frozenset({"client_credentials"})
    wants_bound_tokens: bool = False
    """`tls_client_certificate_bound_access_tokens`, RFC 8705 section 3.4."""
    name: str = ""
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


def read_client(client_id: str, metadata: Mapping[str, Any], *, enabled: bool = True, version: int = 0) -> Client:
    """The client that `metadata` describes.  `InvalidClientMetadata` (400) names the field that is wrong."""
    if not _CLIENT_ID.fullmatch(client_id):
        raise InvalidClientMetadata("client_id", "must be 1 to 255 printable ASCII characters, no space at its ends")
    given = {member: value for member, value in metadata.items() if value is not None}
    method = _method(given)
    return Client(
        client_id=ClientId(client_id),
        method=method,
        subject=_CREDENTIALS[method].subject(given),
        certificates=_CREDENTIALS[method].certificates(given),
        scope=_scope(given),
        grant_types=_grant_types(given),
        wants_bound_tokens=_member(given, "tls_client_certificate_bound_access_tokens", bool, default=False),
        name=_member(given, "client_name", str, default=""),
        enabled=enabled,
        version=version,
    )


def require_allowed(client: Client, allowed: Allowed) -> Client:
    """`client`, if the deployment lets it have what it asks for; else `InvalidClientMetadata` (400)."""
    if client.method not in allowed.methods:
        raise InvalidClientMetadata(
            "token_endpoint_auth_method",
            f"{client.method} is not enabled here; enabled: {_list(allowed.methods)}",
        )
    if client.method is Method.TLS_CLIENT_AUTH and not allowed.has_anchors:
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
    if excess := client.scope - allowed.scope:
        raise InvalidClientMetadata("scope", f"{_list(excess)} not offered here; offered: {_list(allowed.scope)}")
    if excess := client.grant_types - allowed.grant_types:
        raise InvalidClientMetadata(
            "grant_types", f"{_list(excess)} not offered here; offered: {_list(allowed.grant_types)}"
        )
    return client


def describe_client(client: Client, *, bound: bool) -> dict[str, Any]:
    """Client metadata as a registration answer has it; `bound` is the value in effect (RFC 8705 section 3.4)."""
    answer: dict[str, Any] = {
        "client_id": client.client_id,
        "client_name": client.name,
        "token_endpoint_auth_method": client.method.value,
        "grant_types": sorted(client.grant_types),
        "scope": format_scope(client.scope),
        "tls_client_certificate_bound_access_tokens": bound,
    }
    if client.subject is not None:
        answer[client.subject.kind.value] = client.subject.text
    if client.certificates:
        answer["jwks"] = make_jwks(client.certificates)
    return answer


def _method(given: Mapping[str, Any]) -> Method:
    text = _member(given, "token_endpoint_auth_method", str, default="")
    try:
        return Method(text)
    except ValueError:
        raise InvalidClientMetadata(
            "token_endpoint_auth_method",
            f"must be one of {_list(Method)}" + (f", not {text!r}" if text else ""),
        ) from None


def _one_subject(given: Mapping[str, Any]) -> Subject:
    """RFC 8705 section 2.1.2: exactly one of the five."""
    kinds = [kind for kind in SubjectKind if kind in given]
    if len(kinds) != 1:
        named = f"{_list(kinds)} are given" if kinds else "none is"
        raise InvalidClientMetadata(
            kinds[1] if kinds else SubjectKind.DN, f"exactly one of {_list(SubjectKind)} is due; {named}"
        )
    return Subject.registered(kinds[0], _member(given, kinds[0], str, default=""))


def _no_subject(given: Mapping[str, Any]) -> None:
    for kind in SubjectKind:
        if kind in given:
            raise InvalidClientMetadata(kind, "belongs to tls_client_auth; this client authenticates otherwise")


def _self_signed_certificates(given: Mapping[str, Any]) -> tuple[Certificate, ...]:
    if "jwks_uri" in given:
        problem = "stands beside jwks; register one" if "jwks" in given else "is not supported yet; register jwks"
        raise InvalidClientMetadata("jwks_uri", problem)
    return read_jwks(given.get("jwks"))


def _no_certificates(given: Mapping[str, Any]) -> tuple[Certificate, ...]:
    """Keys for other purposes may be registered; they authenticate nobody here, but must not be secret."""
    if "jwks" in given and "jwks_uri" in given:
        raise InvalidClientMetadata("jwks_uri", "stands beside jwks; register one")
    if "jwks" in given:
        read_jwks(given["jwks"], need_certificate=False)
    return ()


def _scope(given: Mapping[str, Any]) -> Scope:
    text = _member(given, "scope", str, default="")
    try:
        return parse_scope(text) if text else NO_SCOPE
    except InvalidScope as error:
        raise InvalidClientMetadata("scope", error.reason) from error


def _grant_types(given: Mapping[str, Any]) -> frozenset[str]:
    listed = given.get("grant_types", ["client_credentials"])
    if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed) or not listed:
        raise InvalidClientMetadata("grant_types", "must be an array of strings, not empty")
    return frozenset(listed)


def _member(given: Mapping[str, Any], name: str, kind: type[_T], *, default: _T) -> _T:
    value = given.get(name, default)
    if not isinstance(value, kind):
        raise InvalidClientMetadata(name, f"must be a {_JSON_NAMES[kind]}, not {value!r:.80}")
    return value


def _list(words: Any) -> str:
    return ", ".join(sorted(map(str, words))) or "none"


@dataclass(frozen=True, slots=True)
class _Credentials:
    subject: Callable[[Mapping[str, Any]], Subject | None]
    certificates: Callable[[Mapping[str, Any]], tuple[Certificate, ...]]


_CREDENTIALS: Mapping[Method, _Credentials] = {
    Method.TLS_CLIENT_AUTH: _Credentials(_one_subject, _no_certificates),
    Method.SELF_SIGNED_TLS_CLIENT_AUTH: _Credentials(_no_subject, _self_signed_certificates),
}

_JSON_NAMES: Mapping[type, str] = {str: "string", bool: "boolean"}
_CLIENT_ID = re.compile(r"[\x21-\x7E]([\x20-\x7E]{0,253}[\x21-\x7E])?")  # RFC 6749 appendix A.1
