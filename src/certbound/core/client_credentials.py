"""How a client authenticates, and what it registers for that, by method (RFC 7591 section 2, RFC 8705 section 2).

Rule: a member that belongs to another method is refused by name; it would mean nothing, and somebody thinks it does.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from certbound.core.anchors import ClientAnchors, read_anchors
from certbound.core.errors import InvalidClientMetadata
from certbound.core.jwks import read_jwks, read_keys
from certbound.core.members import listed, member, url
from certbound.core.names import RdnOrder
from certbound.core.subject import Subject, SubjectKind


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


def read_method(given: Mapping[str, Any]) -> Method:
    """The method that is registered."""
    text = member(given, "token_endpoint_auth_method", str, default="")
    try:
        return Method(text)
    except ValueError:
        raise InvalidClientMetadata(
            "token_endpoint_auth_method",
            f"must be one of {listed(Method)}" + (f", not {text!r}" if text else ""),
        ) from None


def read_credentials(method: Method, given: Mapping[str, Any]) -> dict[str, Any]:
    """What `Client` has of credentials for its method, by the names of its fields."""
    return _CREDENTIALS[method](given)


def _pki_credentials(given: Mapping[str, Any]) -> dict[str, Any]:
    """RFC 8705 section 2.1.2: exactly one of the five subjects; narrower anchors if it asks for them."""
    _refuse_members(given, SELF_SIGNED_MEMBERS, Method.SELF_SIGNED_TLS_CLIENT_AUTH)
    kinds = [kind for kind in SubjectKind if kind in given]
    if len(kinds) != 1:
        named = f"{listed(kinds)} are given" if kinds else "none is"
        raise InvalidClientMetadata(
            kinds[1] if kinds else SubjectKind.DN, f"exactly one of {listed(SubjectKind)} is due; {named}"
        )
    subject = Subject.registered(kinds[0], member(given, kinds[0], str, default=""), order=_order(given, kinds[0]))
    # Keys for other purposes may be registered; they authenticate nobody here, but must not be secret.
    _one_source_of_keys(given)
    if "jwks" in given:
        read_jwks(given["jwks"], need_certificate=False)
    return {"subject": subject, "anchors": read_anchors(given)}


def _self_signed_credentials(given: Mapping[str, Any]) -> dict[str, Any]:
    """RFC 8705 section 2.2.2: certificates, by value or published."""
    _refuse_members(given, PKI_MEMBERS, Method.TLS_CLIENT_AUTH)
    _one_source_of_keys(given)
    source = (
        {"jwks_uri": url(given, "jwks_uri")} if "jwks_uri" in given else {"certificates": read_jwks(given.get("jwks"))}
    )
    return {**source, "ignores_validity": member(given, IGNORE_VALIDITY, bool, default=False)}


def _assertion_credentials(given: Mapping[str, Any]) -> dict[str, Any]:
    """RFC 7523 section 2.2: public keys, by value or published."""
    _refuse_members(given, PKI_MEMBERS, Method.TLS_CLIENT_AUTH)
    _refuse_members(given, SELF_SIGNED_MEMBERS, Method.SELF_SIGNED_TLS_CLIENT_AUTH)
    _one_source_of_keys(given)
    return {"jwks_uri": url(given, "jwks_uri")} if "jwks_uri" in given else {"keys": read_keys(given.get("jwks"))}


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
    for name in members:
        if name in given:
            raise InvalidClientMetadata(name, f"belongs to {owner}; this client authenticates otherwise")


def _one_source_of_keys(given: Mapping[str, Any]) -> None:
    if "jwks_uri" in given:
        url(given, "jwks_uri")
    if "jwks" in given and "jwks_uri" in given:
        raise InvalidClientMetadata("jwks_uri", "stands beside jwks; register one (RFC 7591 section 2)")


def _order(given: Mapping[str, Any], kind: SubjectKind) -> RdnOrder:
    if DN_ORDER not in given:
        return RdnOrder.EXACT
    if kind is not SubjectKind.DN:
        raise InvalidClientMetadata(DN_ORDER, f"belongs to {SubjectKind.DN}; this client is known by {kind}")
    text = member(given, DN_ORDER, str, default="")
    try:
        return RdnOrder(text)
    except ValueError:
        raise InvalidClientMetadata(DN_ORDER, f"must be one of {listed(RdnOrder)}, not {text!r:.80}") from None


# Members of our own; RFC 7591 section 2 lets a server have them.
DN_ORDER = "tls_client_auth_subject_dn_order"
IGNORE_VALIDITY = "self_signed_tls_client_auth_ignore_validity"

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
