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
from urllib.parse import urlsplit

from joserfc.jwk import KeySet

from certbound.core.anchors import EVERY_ANCHOR, ClientAnchors, describe_anchors, read_anchors, require_known
from certbound.core.certificate import Certificate, KeyThumbprint
from certbound.core.errors import BadCertificate, InvalidClientMetadata, InvalidScope
from certbound.core.jwks import make_jwks, read_jwks, read_keys
from certbound.core.keys import require_strong_key
from certbound.core.names import RdnOrder
from certbound.core.ports import SecretRecord
from certbound.core.scope import NO_SCOPE, Scope, format_scope, parse_scope
from certbound.core.subject import Subject, SubjectKind

ClientId = NewType("ClientId", str)

_T = TypeVar("_T")
_E = TypeVar("_E", bound=StrEnum)


class Method(StrEnum):
    """`token_endpoint_auth_method`: how a client authenticates."""

    NONE = "none"
    CLIENT_SECRET_BASIC = "client_secret_basic"  # noqa: S105
    CLIENT_SECRET_POST = "client_secret_post"  # noqa: S105
    PRIVATE_KEY_JWT = "private_key_jwt"
    TLS_CLIENT_AUTH = "tls_client_auth"
    SELF_SIGNED_TLS_CLIENT_AUTH = "self_signed_tls_client_auth"

    @property
    def is_mutual_tls(self) -> bool:
        """The certificate on the connection is the credential."""
        return self in _MUTUAL_TLS

    @property
    def has_secret(self) -> bool:
        """A secret that the server knows is the credential."""
        return self in _SECRET

    @property
    def strength(self) -> int:
        """What was given under one method is worth nothing under a weaker one: nobody, a shared secret, a key."""
        return 0 if self is Method.NONE else 1 if self.has_secret else 2


_MUTUAL_TLS = frozenset({Method.TLS_CLIENT_AUTH, Method.SELF_SIGNED_TLS_CLIENT_AUTH})
_SECRET = frozenset({Method.CLIENT_SECRET_BASIC, Method.CLIENT_SECRET_POST})


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
    uses_aliases: bool = False
    """`use_mtls_endpoint_aliases`, FAPI 2.0: what it intends; we serve it either way."""
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
    """Whether the server itself trusts anybody to certify clients."""
    anchor_keys: frozenset[KeyThumbprint] = frozenset()
    """The keys of the server's anchors, which a client may narrow."""
    own_anchors: bool = False
    """Whether a client may bring trust anchors of its own."""
    resources: frozenset[str] = frozenset()
    """The resources that a client may serve."""


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
    given = {member: value for member, value in metadata.items() if value is not None}
    method = _method(given)
    return Client(
        client_id=ClientId(client_id),
        method=method,
        **_CREDENTIALS[method](given),
        scope=_scope(given),
        grant_types=_grant_types(given),
        wants_bound_tokens=_member(given, "tls_client_certificate_bound_access_tokens", bool, default=False),
        token_format=_choice(given, FORMAT, TokenFormat),
        protected_resources=_words(given, RESOURCES, default=[]),
        introspection_alg=_choice(given, "introspection_signed_response_alg", SigningAlgorithm),
        uses_aliases=_member(given, "use_mtls_endpoint_aliases", bool, default=False),
        name=_member(given, "client_name", str, default=""),
        secrets=secrets if method.has_secret else (),
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
    if excess := client.scope - allowed.scope:
        raise InvalidClientMetadata("scope", f"{_list(excess)} not offered here; offered: {_list(allowed.scope)}")
    if excess := client.grant_types - allowed.grant_types:
        raise InvalidClientMetadata(
            "grant_types", f"{_list(excess)} not offered here; offered: {_list(allowed.grant_types)}"
        )
    if excess := client.protected_resources - allowed.resources:
        raise InvalidClientMetadata(RESOURCES, f"{_list(excess)} not offered here; offered: {_list(allowed.resources)}")
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
    if client.token_format is not None:
        answer[FORMAT] = client.token_format.value
    if client.protected_resources:
        answer[RESOURCES] = sorted(client.protected_resources)
    if client.introspection_alg is not None:
        answer["introspection_signed_response_alg"] = client.introspection_alg
    if client.uses_aliases:
        answer["use_mtls_endpoint_aliases"] = True
    return {**answer, **describe_anchors(client.anchors)}


def _method(given: Mapping[str, Any]) -> Method:
    text = _member(given, "token_endpoint_auth_method", str, default="")
    try:
        return Method(text)
    except ValueError:
        raise InvalidClientMetadata(
            "token_endpoint_auth_method",
            f"must be one of {_list(Method)}" + (f", not {text!r}" if text else ""),
        ) from None


def _pki_credentials(given: Mapping[str, Any]) -> dict[str, Any]:
    """RFC 8705 section 2.1.2: exactly one of the five subjects; narrower anchors if it asks for them."""
    _refuse_members(given, SELF_SIGNED_MEMBERS, Method.SELF_SIGNED_TLS_CLIENT_AUTH)
    kinds = [kind for kind in SubjectKind if kind in given]
    if len(kinds) != 1:
        named = f"{_list(kinds)} are given" if kinds else "none is"
        raise InvalidClientMetadata(
            kinds[1] if kinds else SubjectKind.DN, f"exactly one of {_list(SubjectKind)} is due; {named}"
        )
    subject = Subject.registered(kinds[0], _member(given, kinds[0], str, default=""), order=_order(given, kinds[0]))
    # Keys for other purposes may be registered; they authenticate nobody here, but must not be secret.
    _one_source_of_keys(given)
    if "jwks" in given:
        read_jwks(given["jwks"], need_certificate=False)
    return {"subject": subject, "anchors": read_anchors(given)}


def _self_signed_credentials(given: Mapping[str, Any]) -> dict[str, Any]:
    """RFC 8705 section 2.2.2: certificates, by value or published."""
    _refuse_members(given, PKI_MEMBERS, Method.TLS_CLIENT_AUTH)
    _one_source_of_keys(given)
    source = {"jwks_uri": _jwks_uri(given)} if "jwks_uri" in given else {"certificates": read_jwks(given.get("jwks"))}
    return {**source, "ignores_validity": _member(given, IGNORE_VALIDITY, bool, default=False)}


def _assertion_credentials(given: Mapping[str, Any]) -> dict[str, Any]:
    """RFC 7523 section 2.2: public keys, by value or published."""
    _refuse_members(given, PKI_MEMBERS, Method.TLS_CLIENT_AUTH)
    _refuse_members(given, SELF_SIGNED_MEMBERS, Method.SELF_SIGNED_TLS_CLIENT_AUTH)
    _one_source_of_keys(given)
    return {"jwks_uri": _jwks_uri(given)} if "jwks_uri" in given else {"keys": read_keys(given.get("jwks"))}


def _no_credentials(given: Mapping[str, Any]) -> dict[str, Any]:
    """Of a secret, the server keeps a hash elsewhere; a public client has nothing.  Keys authenticate neither."""
    _refuse_members(given, PKI_MEMBERS, Method.TLS_CLIENT_AUTH)
    _refuse_members(given, SELF_SIGNED_MEMBERS, Method.SELF_SIGNED_TLS_CLIENT_AUTH)
    _refuse_members(given, ("client_secret",), Method.CLIENT_SECRET_BASIC)
    _one_source_of_keys(given)
    if "jwks" in given:
        read_jwks(given["jwks"], need_certificate=False)
    return {}


def _refuse_members(given: Mapping[str, Any], members: tuple[str, ...], owner: Method) -> None:
    for member in members:
        if member in given:
            raise InvalidClientMetadata(member, f"belongs to {owner}; this client authenticates otherwise")


def _one_source_of_keys(given: Mapping[str, Any]) -> None:
    if "jwks" in given and "jwks_uri" in given:
        raise InvalidClientMetadata("jwks_uri", "stands beside jwks; register one (RFC 7591 section 2)")


def _jwks_uri(given: Mapping[str, Any]) -> str:
    text = _member(given, "jwks_uri", str, default="")
    try:
        parts = urlsplit(text)
        sound = parts.scheme == "https" and parts.hostname and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        sound = False
    if not sound or not _URL.fullmatch(text):
        raise InvalidClientMetadata("jwks_uri", f"must be an https URL without fragment and user, not {text!r:.80}")
    return text


def _order(given: Mapping[str, Any], kind: SubjectKind) -> RdnOrder:
    if DN_ORDER not in given:
        return RdnOrder.EXACT
    if kind is not SubjectKind.DN:
        raise InvalidClientMetadata(DN_ORDER, f"belongs to {SubjectKind.DN}; this client is known by {kind}")
    text = _member(given, DN_ORDER, str, default="")
    try:
        return RdnOrder(text)
    except ValueError:
        raise InvalidClientMetadata(DN_ORDER, f"must be one of {_list(RdnOrder)}, not {text!r:.80}") from None


def _scope(given: Mapping[str, Any]) -> Scope:
    text = _member(given, "scope", str, default="")
    try:
        return parse_scope(text) if text else NO_SCOPE
    except InvalidScope as error:
        raise InvalidClientMetadata("scope", error.reason) from error


def _grant_types(given: Mapping[str, Any]) -> frozenset[str]:
    words = _words(given, "grant_types", default=["client_credentials"])
    if not words:
        raise InvalidClientMetadata("grant_types", "must not be empty")
    return words


def _words(given: Mapping[str, Any], name: str, *, default: list[str]) -> frozenset[str]:
    listed = given.get(name, default)
    if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
        raise InvalidClientMetadata(name, "must be an array of strings")
    return frozenset(listed)


def _choice(given: Mapping[str, Any], name: str, kind: type[_E]) -> _E | None:
    if name not in given:
        return None
    text = _member(given, name, str, default="")
    try:
        return kind(text)
    except ValueError:
        raise InvalidClientMetadata(name, f"must be one of {_list(kind)}, not {text!r:.80}") from None


def _member(given: Mapping[str, Any], name: str, kind: type[_T], *, default: _T) -> _T:
    value = given.get(name, default)
    if not isinstance(value, kind):
        raise InvalidClientMetadata(name, f"must be a {_JSON_NAMES[kind]}, not {value!r:.80}")
    return value


def _list(words: Any) -> str:
    return ", ".join(sorted(map(str, words))) or "none"


# Members of our own; RFC 7591 section 2 lets a server have them.
DN_ORDER = "tls_client_auth_subject_dn_order"
IGNORE_VALIDITY = "self_signed_tls_client_auth_ignore_validity"
FORMAT = "access_token_format"
RESOURCES = "protected_resources"

PKI_MEMBERS = (*SubjectKind, DN_ORDER, *ClientAnchors.MEMBERS)
SELF_SIGNED_MEMBERS = (IGNORE_VALIDITY,)

_CREDENTIALS: Mapping[Method, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    Method.NONE: _no_credentials,
    Method.CLIENT_SECRET_BASIC: _no_credentials,
    Method.CLIENT_SECRET_POST: _no_credentials,
    Method.PRIVATE_KEY_JWT: _assertion_credentials,
    Method.TLS_CLIENT_AUTH: _pki_credentials,
    Method.SELF_SIGNED_TLS_CLIENT_AUTH: _self_signed_credentials,
}

_JSON_NAMES: Mapping[type, str] = {str: "string", bool: "boolean"}
_CLIENT_ID = re.compile(r"[\x21-\x7E]([\x20-\x7E]{0,253}[\x21-\x7E])?")  # RFC 6749 appendix A.1
_URL = re.compile(r"https://[!\x24-\x5B\x5D-\x7E]{1,2040}", re.IGNORECASE)
"""ASCII without space, and without `"`, `#` and `\\`."""
