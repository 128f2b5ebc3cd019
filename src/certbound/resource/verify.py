"""May this token be used on this connection?  RFC 9068 section 4, RFC 8705 section 3, RFC 6750.

Rule 1: the issuer is picked from settings before anything of the token is believed; keys come from there only.
Rule 2: `alg` is checked against a list, `typ` is an access token's, and no header brings a key.
Rule 3: a token is bound to the certificate on this connection, or refused, unless unbound ones are asked for.
Rule 4: where a token says its status stands somewhere, it says so well, or is refused; whoever calls must look there.
"""

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec
from joserfc.jwk import KeySet

from certbound.core import jws
from certbound.core.certificate import PeerCertificate, Thumbprint
from certbound.core.confirmation import Confirmed, NotConfirmed, confirm, match_confirmation
from certbound.core.errors import ConfigurationError, InsufficientScope, InvalidScope, InvalidToken
from certbound.core.jws import ASYMMETRIC, LEEWAY, MAX_TOKEN, BadJwt, Header, Jwt
from certbound.core.scope import Scope, parse_scope, read_scope
from certbound.core.status import BadStatus, StatusReference, read_reference

__all__ = [
    "ALGORITHMS", "LEEWAY", "MAX_TOKEN", "Policy", "Principal", "confirm_binding", "judge", "read_header",
    "read_issuer", "read_token", "require_same", "verify", "verify_read",
]  # fmt: skip

ALGORITHMS = ("ES256", "PS256", "EdDSA")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a resource server asks of every token.  `ConfigurationError` for what can never be asked."""

    issuer: str
    """An https URL without query and fragment (RFC 8414 section 2), spelled as in tokens."""
    audience: str
    scopes: Set[str] = frozenset()
    """All of them must be in the token."""
    require_bound: bool = True
    require_status: bool = False
    """Tokens whose revocation nobody could learn of are refused."""
    algorithms: Sequence[str] = ALGORITHMS

    def __post_init__(self) -> None:
        if not _is_issuer(self.issuer):
            raise ConfigurationError(
                f"the issuer must be an https URL with a host, without query and fragment, not {self.issuer!r}"
            )
        if not self.audience:
            raise ConfigurationError("the audience is empty; name this API as the issuer's tokens do")
        if not self.algorithms:
            raise ConfigurationError("no algorithm is listed, so no token could pass")
        if unfit := set(self.algorithms) - ASYMMETRIC:
            raise ConfigurationError(f"{sorted(unfit)} cannot sign access tokens here: public keys only")
        if not isinstance(self.scopes, Set):  # a text would be read as a set of letters
            raise ConfigurationError(f"the scopes must be a set of words, not {self.scopes!r}")
        try:
            for scope in self.scopes:
                parse_scope(scope)
        except InvalidScope as error:
            raise ConfigurationError(f"the scopes that are asked for: {error.reason}") from error
        object.__setattr__(self, "scopes", frozenset(self.scopes))  # whatever becomes of the set that was given


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who calls, proven by the token and, where it is bound, by the certificate on the connection."""

    issuer: str
    subject: str
    client_id: str
    scope: Scope
    expires_at: float
    """Seconds since the epoch."""
    confirmed: Confirmed | None
    """Proof of the binding; None for an unbound token, where those are asked for."""
    status: StatusReference | None = None
    """Where it stands whether the token was revoked; None where it does not say.  `verify` does not look there."""
    claims: Mapping[str, Any]
    """All that the token says; of people, maybe, so it is not shown where the principal is."""

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [(name, getattr(self, name)) for name in self.__struct_fields__ if name != "claims"]

    def __repr__(self) -> str:
        return f"Principal({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"

    @property
    def thumbprint(self) -> Thumbprint | None:
        """`x5t#S256` of the certificate that the token is bound to."""
        return self.confirmed.certificate.thumbprint if self.confirmed else None

    def require(self, *scopes: str) -> None:
        """The token has every one of `scopes`.  `InsufficientScope` (403) otherwise; the guard tells which are due."""
        if not self.scope.issuperset(scopes):
            lacking = sorted(set(scopes) - self.scope)
            raise InsufficientScope(f"lacks {lacking}", required=frozenset(scopes))


def verify(token: str, peer: PeerCertificate | None, *, keys: KeySet, policy: Policy, now: float) -> Principal:
    """The token is valid at `now` (seconds since the epoch), for this audience, and for this connection.

    `keys` are those of `policy.issuer`, `peer` is what the TLS layer says.  `InvalidToken` (401) or
    `InsufficientScope` (403) otherwise.
    """
    read = read_token(token)
    return verify_read(read, read_header(read, policy), peer, keys=keys, policy=policy, now=now)


def read_token(token: str) -> Jwt:
    """The token taken apart, and nothing of it believed.  `InvalidToken` (401) if it is no JWT."""
    try:
        return jws.read_jwt(token)
    except BadJwt as error:
        raise InvalidToken(str(error)) from error


def read_issuer(token: Jwt) -> str:
    """The issuer the token claims to be of: a claim, for picking settings by.  `InvalidToken` (401)."""
    issuer = token.unverified_claims.get("iss")
    if not isinstance(issuer, str):
        raise InvalidToken("the token names no issuer")
    return issuer


def read_header(token: Jwt, policy: Policy) -> Header:
    """The header, if it is one of an access token signed by a listed algorithm; else `InvalidToken` (401)."""
    try:
        # The type is an access token's, the algorithm one of ours.
        return token.header(types=_TYPES, algorithms=policy.algorithms)
    except BadJwt as error:
        raise InvalidToken(str(error)) from error


def verify_read(
    token: Jwt, header: Header, peer: PeerCertificate | None, *, keys: KeySet, policy: Policy, now: float
) -> Principal:
    """What `verify` says, of a token that was read; `header` is what `read_header` found in it by this policy."""
    # (3) One of the issuer's keys signed it; what the header brings along is not looked at.
    return judge(_verified(token, header, keys), peer, policy=policy, now=now)


def judge(claims: Mapping[str, Any], peer: PeerCertificate | None, *, policy: Policy, now: float) -> Principal:
    """What the issuer says in `claims` holds at `now`, for this audience, and for this connection.

    Whoever calls has proven that the issuer says so.  Raises what `verify` raises.
    """
    # (4) It is of this issuer and for this audience.
    if claims.get("iss") != policy.issuer:
        raise InvalidToken(f"issued by {claims.get('iss')!r}, not by {policy.issuer!r}")
    audience = claims.get("aud")
    if policy.audience not in (audience if isinstance(audience, list) else [audience]):
        raise InvalidToken(f"its audience is {audience!r}, and this API is {policy.audience!r}")
    # (5) Its time is now.
    expires_at = _require_time(claims, now)
    # (6) It says for whom it is.
    subject, client_id = claims.get("sub"), claims.get("client_id")
    if not isinstance(subject, str) or not isinstance(client_id, str):
        raise InvalidToken("sub or client_id is missing")
    # (7) It is bound to the certificate on this connection.
    confirmed = confirm_binding(claims, peer, policy)
    # (8) It says well where its status stands, if it says so.
    status = _status(claims, policy)
    # (9) It goes far enough; who may not use it at all learns nothing of scopes.
    principal = Principal(
        issuer=policy.issuer, subject=subject, client_id=client_id, scope=read_scope(claims.get("scope")),
        expires_at=expires_at, confirmed=confirmed, status=status, claims=claims,
    )  # fmt: skip
    principal.require(*policy.scopes)
    return principal


def _verified(token: Jwt, header: Header, keys: KeySet) -> Mapping[str, Any]:
    try:
        return token.verified_claims(header, keys)
    except BadJwt as error:
        raise InvalidToken(str(error)) from error


def _require_time(claims: Mapping[str, Any], now: float) -> float:
    try:
        return jws.require_time(claims, now)
    except BadJwt as error:
        raise InvalidToken(str(error)) from error


def confirm_binding(claims: Mapping[str, Any], peer: PeerCertificate | None, policy: Policy) -> Confirmed | None:
    """Proof that the token is bound to `peer`; None for one that is bound to nothing, where that is asked for.

    `InvalidToken` (401) otherwise.
    """
    if "cnf" not in claims:
        if policy.require_bound:
            raise InvalidToken("not bound to a certificate, and unbound tokens are not accepted")
        return None
    try:
        return match_confirmation(claims["cnf"], peer.leaf if peer else None)
    except NotConfirmed as error:
        raise InvalidToken(str(error)) from error


def require_same(confirmed: Confirmed, peer: PeerCertificate | None) -> None:
    """`peer` is who the token was found to be bound to.  `InvalidToken` (401) otherwise."""
    if peer is not None and peer.leaf is confirmed.certificate:  # the very value that was compared then
        return
    try:
        match_confirmation(confirm(confirmed.certificate), peer.leaf if peer else None)
    except NotConfirmed as error:
        raise InvalidToken(str(error)) from error


def _status(claims: Mapping[str, Any], policy: Policy) -> StatusReference | None:
    if "status" not in claims:
        if policy.require_status:
            raise InvalidToken("it does not say where its status stands, and such tokens are not accepted")
        return None
    try:
        return read_reference(claims["status"])
    except BadStatus as error:
        raise InvalidToken(str(error)) from error


def _is_issuer(url: str) -> bool:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  it is read here, and may raise
    except ValueError:
        return False
    return parts.scheme == "https" and bool(parts.hostname) and _URL.fullmatch(url) is not None


_URL = re.compile(r"[!\x24-\x3E\x40-\x5B\x5D-\x7E]+")
"""ASCII without space, and without `"`, `#`, `?` and `\\`."""
_TYPES = frozenset({"at+jwt", "application/at+jwt"})
