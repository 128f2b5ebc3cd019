"""Who may register clients and manage them, and what of a request counts (RFC 7591, RFC 7592): decided here, purely.

Rule 1: closed by default.  A way in is a row of policy: what must be shown, and what may be asked for then.
Rule 2: what is shown and not good is refused, never passed over for a way that asks for less; a certificate alone may
be there for other reasons.
Rule 3: what the server makes (the id, a secret, the registration token and its URI) is refused by name where a request
brings it; what means nothing here is ignored and not told again.
Rule 4: what a software statement says wins over the request.
Rule 5: a wrong token, another client's, a client that does not exist, and a certificate that does not fit are one
refusal.
"""

import hmac
from base64 import b64encode
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from joserfc.jwk import KeySet

from certbound.core.authentication import digest_of
from certbound.core.certificate import Certificate, PeerCertificate
from certbound.core.client_authorization import CODE_GRANT, REDIRECT_URIS
from certbound.core.client_information import MAX_STATEMENT, STATEMENT
from certbound.core.clients import Allowed, Client, Method, is_known
from certbound.core.errors import (
    BadCertificate,
    InvalidClient,
    InvalidClientMetadata,
    InvalidStatement,
    RegistrationDenied,
    UnapprovedStatement,
)
from certbound.core.jws import BadJwt, is_time, read_header, require_time, unverified_claims, verified_claims
from certbound.core.members import given_members, member
from certbound.core.ports import ClientRecord, RegistrationRecord
from certbound.core.proofs import TrustedChain
from certbound.core.revoked import Revoked
from certbound.core.scope import format_scope
from certbound.core.subject import match_subject

INITIAL_TOKEN_PREFIX = "cbia_"  # noqa: S105
REGISTRATION_TOKEN_PREFIX = "cbrg_"  # noqa: S105
SECRET_PREFIX = "cbcs_"  # noqa: S105


class Need(StrEnum):
    """What must be shown to register."""

    INITIAL_TOKEN = "initial_token"  # noqa: S105
    SOFTWARE_STATEMENT = "software_statement"
    MUTUAL_TLS = "mutual_tls"


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way in."""

    name: str
    needs: frozenset[Need]
    """All of it; nothing at all is open registration."""
    allowed: Allowed
    own_name: bool = True
    """A `tls_client_auth` client registers a name that is in the certificate it shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementPolicy:
    """Whose software statements count, and which."""

    issuers: Mapping[str, KeySet | str] = field(default_factory=dict)
    """The keys of each, or where it publishes them, by `iss`."""
    algorithms: tuple[str, ...] = ()
    max_age: float = 300
    """Seconds since `iat`."""
    must_have: frozenset[str] = frozenset()
    """Claims without which a statement says too little."""


class Vouching(Protocol):
    """What `trust` does for registration over mutual TLS."""

    async def vouch(self, peer: PeerCertificate, revoked: Revoked, now: float) -> TrustedChain:
        """A path leads to one of those who may certify registrants, and nothing on it is revoked.  `Untrusted` else."""


@dataclass(frozen=True, slots=True)
class Owned:
    """Proof that the client's registration access token was shown; `require_token` makes it."""

    record: ClientRecord
    registration: RegistrationRecord
    token: str = field(repr=False)


def bearer_token(authorization: Sequence[bytes], prefix: str) -> str | None:
    """The token of the Authorization header, None without one.  `RegistrationDenied` (401) for anything else."""
    if not authorization:
        return None
    scheme, _, token = authorization[0].partition(b" ")
    text = token.strip(b" ").decode("latin-1")
    if len(authorization) > 1 or scheme.lower() != b"bearer" or not text.startswith(prefix) or len(text) > 200:
        raise RegistrationDenied(f"the Authorization header holds no token that begins with {prefix}")
    return text


def choose_way(ways: Sequence[Way], shown: Set[Need], *, but: str = "") -> Way:
    """The first way whose needs are all shown.  `RegistrationDenied` (401) if there is none; `but` is added to why."""
    for way in ways:
        if way.needs <= shown:
            return way
    raise RegistrationDenied(f"no way takes what is shown: {', '.join(sorted(shown)) or 'nothing'}{but and '; '}{but}")


def statement_issuer(statement: str, policy: StatementPolicy) -> str:
    """Who says to have issued it, if statements of that issuer count: a claim, by which its keys are found.

    `InvalidStatement` or `UnapprovedStatement` (400) otherwise.
    """
    try:
        issuer = unverified_claims(statement, most=MAX_STATEMENT).get("iss")
    except BadJwt as error:
        raise InvalidStatement(str(error)) from error
    if not isinstance(issuer, str) or issuer not in policy.issuers:
        raise UnapprovedStatement(f"statements of {issuer!r:.200} do not count here")
    return issuer


def statement_kid(statement: str, policy: StatementPolicy) -> str | None:
    """Which key its header names.  `InvalidStatement` (400) if it is none that could count."""
    try:
        return read_header(statement, types=_TYPES, algorithms=policy.algorithms, most=MAX_STATEMENT).kid
    except BadJwt as error:
        raise InvalidStatement(str(error)) from error


def verify_statement(
    statement: str, *, issuer: str, keys: KeySet, policy: StatementPolicy, now: float
) -> Mapping[str, Any]:
    """The client metadata in a software statement (RFC 7591 section 2.3).

    `InvalidStatement` or `UnapprovedStatement` (400) if it is not good.
    """
    try:
        # (a) It is a JWT, signed by its issuer with an algorithm that is listed.
        header = read_header(statement, types=_TYPES, algorithms=policy.algorithms, most=MAX_STATEMENT)
        claims = verified_claims(statement, header, keys)
        if claims.get("iss") != issuer:
            raise BadJwt(f"iss is {claims.get('iss')!r:.200}")
        # (b) It is fresh, whether or not it says when it ends.
        require_time(claims if "exp" in claims else {**claims, "exp": now + 1}, now, leeway=_LEEWAY)
    except BadJwt as error:
        raise InvalidStatement(str(error)) from error
    issued_at = claims.get("iat")
    if not is_time(issued_at) or now - issued_at > policy.max_age:
        raise InvalidStatement(f"iat is {issued_at!r:.40}; statements count for {policy.max_age} seconds")
    # (c) It says what this deployment wants to hear.
    if lacking := sorted(policy.must_have - given_members(claims).keys()):
        raise UnapprovedStatement(f"it does not say {', '.join(lacking)}")
    return _stated(claims)


def stated_before(statement: object) -> Mapping[str, Any]:
    """The client metadata in a statement that was verified when it was stored; empty if none was."""
    return _stated(unverified_claims(statement, most=MAX_STATEMENT)) if isinstance(statement, str) else {}


def read_statement(body: Mapping[str, Any]) -> str | None:
    """The software statement in a request.  `InvalidStatement` (400) if it is no text."""
    statement = body.get(STATEMENT)
    if statement is not None and not isinstance(statement, str):
        raise InvalidStatement("the software statement is no string")
    return statement


def read_request(body: Mapping[str, Any], *, stated: Mapping[str, Any], way: Way) -> dict[str, Any]:
    """The client metadata that a request asks for.  `InvalidClientMetadata` (400) for what the server alone makes."""
    given = given_members(body)
    for name in SERVER_MADE:
        if name in given:
            raise InvalidClientMetadata(name, "is made by the server; leave it out")
    known = {name: value for name, value in given.items() if is_known(name) and name != STATEMENT}
    # RFC 7591 section 2: who says nothing of a method wants this one; of a scope, what the way has for everybody; of
    # grants, the code, where it says where that goes and the way has it.
    default = {"token_endpoint_auth_method": Method.CLIENT_SECRET_BASIC.value, "scope": format_scope(way.allowed.scope)}
    asked = {**default, **known, **stated}
    if REDIRECT_URIS in asked and "grant_types" not in asked and CODE_GRANT in way.allowed.grant_types:
        return {**asked, "grant_types": [CODE_GRANT]}
    return asked


def read_replacement(body: Mapping[str, Any], *, client_id: str, fits_secret: Collection[str]) -> Mapping[str, Any]:
    """`body` without what only says whose it is (RFC 7592 section 2.2).

    `InvalidClientMetadata` (400) if it names another client, or another secret than those in `fits_secret`.
    """
    given = given_members(body)
    if member(given, "client_id", str, default="") != client_id:
        raise InvalidClientMetadata("client_id", "must be the client's own (RFC 7592 section 2.2)")
    secret = member(given, "client_secret", str, default="")
    if "client_secret" in given and not any(hmac.compare_digest(each, digest_of(secret)) for each in fits_secret):
        raise InvalidClientMetadata("client_secret", "is made by the server; it cannot be chosen")
    return {name: value for name, value in given.items() if name not in {"client_id", "client_secret"}}


def require_own_name(way: Way, client: Client, certificate: Certificate | None, *, but: str = "") -> Client:
    """`client`, if it is known by a name in `certificate`, for which somebody vouches.

    `InvalidClientMetadata` (400) if it is not, `RegistrationDenied` (401) if there is none, `but` is why.
    """
    if client.subject is None or not way.own_name or Need.MUTUAL_TLS not in way.needs:
        return client
    if certificate is None:
        raise RegistrationDenied(f"nobody vouches for a certificate with the name that is asked for: {but}")
    try:
        match_subject(certificate, client.subject)
    except InvalidClient as error:
        raise InvalidClientMetadata(
            client.subject.kind, "is not the name in the certificate of this connection"
        ) from error
    return client


def name_of(certificate: Certificate) -> str:
    """By which a renewed one is known: the subject, DER in base64; where that is empty, a hash of the other names."""
    if certificate.subject_der != _NO_SUBJECT:
        return b64encode(certificate.subject_der).decode("ascii")
    try:
        names = sorted(f"{each.tag:x}:{each.value.hex()}" for each in certificate.alternative_names)
    except BadCertificate:
        names = []
    # Who has no name at all is known by nothing but this very certificate.
    return f"san {digest_of(' '.join(names))}" if names else f"x5t {certificate.thumbprint}"


def require_token(record: ClientRecord | None, token: str | None) -> Owned:
    """Proof that `token` is the client's registration access token.  `RegistrationDenied` (401) otherwise."""
    registration = record.registration if record is not None else None
    fits = hmac.compare_digest(
        (registration.digest if registration is not None else _NOBODYS).encode(), digest_of(token or "").encode()
    )
    if token is None:
        raise RegistrationDenied("there is no registration access token in the request")
    if record is None or registration is None:
        raise RegistrationDenied("no such client, or an administrator registered it")
    if not fits:
        raise RegistrationDenied("the registration access token is not this client's")
    if not record.enabled:
        raise RegistrationDenied("the client is disabled")
    return Owned(record, registration, token)


def _stated(claims: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in given_members(claims).items() if is_known(name) and name != STATEMENT}


SERVER_MADE = (
    "client_id", "client_secret", "client_id_issued_at", "client_secret_expires_at", "registration_access_token",
    "registration_client_uri",
)  # fmt: skip
"""Members of an answer that a request must not bring (RFC 7592 section 2.2)."""
_TYPES = frozenset({None, "jwt"})
_LEEWAY = 60
_NOBODYS = "0" * 43
_NO_SUBJECT = b"\x30\x00"
