"""Every refusal, as one tree.

    CertboundError
    ├── BadCertificate              bytes that are no usable certificate
    ├── Untrusted                   a certificate without a path to a trust anchor
    ├── ConfigurationError          stops the start; one sentence that says what to do
    ├── StoreUnavailable            the store did not answer
    ├── OAuthError                  RFC 6749 section 5.2; error and status are the class's
    │   ├── InvalidRequest              400 invalid_request
    │   ├── InvalidClient               401 invalid_client
    │   ├── InvalidGrant                400 invalid_grant
    │   ├── UnauthorizedClient          400 unauthorized_client
    │   ├── UnsupportedGrantType        400 unsupported_grant_type
    │   ├── InvalidScope                400 invalid_scope
    │   ├── InvalidTarget               400 invalid_target (RFC 8707)
    │   ├── UnacceptableToken           400 invalid_request (RFC 8693)
    │   ├── RequestRefused              400 invalid_request, or what it says (RFC 9126)
    │   ├── InvalidClientMetadata       400 invalid_client_metadata (RFC 7591)
    │   │   └── InvalidRedirectUri          400 invalid_redirect_uri (RFC 7591)
    │   ├── InvalidStatement            400 invalid_software_statement (RFC 7591)
    │   ├── UnapprovedStatement         400 unapproved_software_statement (RFC 7591)
    │   ├── RegistrationDenied          401 invalid_token (RFC 7591, RFC 7592)
    │   ├── TooManyRegistrations        429 temporarily_unavailable
    │   ├── TooManyRequests             429 temporarily_unavailable
    │   ├── AuthorizationPending        400 authorization_pending (RFC 8628)
    │   ├── SlowDown                    400 slow_down (RFC 8628)
    │   ├── AccessDenied                400 access_denied (RFC 8628)
    │   ├── ExpiredToken                400 expired_token (RFC 8628)
    │   └── TemporarilyUnavailable      503 temporarily_unavailable
    └── ProtectedResourceError      RFC 6750 section 3.1
        ├── TokenMissing                401 (no error code)
        ├── TokenRequestInvalid         400 invalid_request
        ├── InvalidToken                401 invalid_token
        ├── InsufficientScope           403 insufficient_scope
        ├── KeysUnavailable             503 (the issuer's keys cannot be had)
        ├── StatusUnavailable           503 (nor can what it says of the tokens it revoked)
        └── IntrospectionUnavailable    503 (nor can what it says of this token)

Each refusal has two texts.  `description` is all that the peer learns; `reason` goes to the log under
the request id.  Where credentials or tokens are judged the description is fixed by the class: one that changed with
the reason would be an oracle.
"""

import re


class CertboundError(Exception):
    """The root: whatever this package refuses is one of these."""


class BadCertificate(CertboundError):
    """The bytes are not a DER certificate that can be used."""


class Untrusted(CertboundError):
    """No path from the certificate to a trust anchor, at the stated time."""


class ConfigurationError(CertboundError):
    """The configuration cannot work; the message names the key and says what to do."""


class StoreUnavailable(CertboundError):
    """The store cannot be reached or did not answer."""


class Refusal(CertboundError):
    """A request that is refused: a public text of its class, a private reason of its own."""

    error: str
    status: int
    description: str
    retry_after: int = 0
    """Seconds after which the same request may succeed; 0 where time mends nothing."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class OAuthError(Refusal):
    """An error response of RFC 6749 section 5.2."""


class InvalidRequest(OAuthError):
    """The request is malformed; what is wrong with its form is no secret, and its sender needs it."""

    error = "invalid_request"

    def __init__(self, reason: str, *, status: int = 400, description: str = "") -> None:
        """`status` is 400 but where HTTP has a better word for the same refusal: 403 for what another browser or site
        sent, 404 and 405 for what is not there, 409 for what changed meanwhile, 413 for what is too long.

        `description` is for where the log can say more than a page should repeat.
        """
        super().__init__(reason)
        self.status = status
        self.description = describable(description or reason)


class InvalidClient(OAuthError):
    """Client authentication failed; why is nobody's business but the log's."""

    error = "invalid_client"
    status = 401
    description = "client authentication failed"
    step: str = ""
    """Which question of `core.authentication` had the wrong answer; for the log and `certbound explain`."""


class InvalidGrant(OAuthError):
    """The grant or refresh token is not valid for this client."""

    error = "invalid_grant"
    status = 400
    description = "the grant is invalid, expired, revoked, or was issued to another client"


class UnauthorizedClient(OAuthError):
    """The client may not use this grant."""

    error = "unauthorized_client"
    status = 400
    description = "the client is not allowed to use this grant type"


class UnsupportedGrantType(OAuthError):
    """The server does not speak this grant."""

    error = "unsupported_grant_type"
    status = 400
    description = "the grant type is not supported"


class InvalidScope(OAuthError):
    """The scope is unknown, malformed, or more than the client may have."""

    error = "invalid_scope"
    status = 400
    description = "the scope is unknown, malformed, or exceeds what the client may have"


class InvalidTarget(OAuthError):
    """The resource is unknown, malformed, or not for this client (RFC 8707 section 2)."""

    error = "invalid_target"
    status = 400
    description = "the resource is unknown, malformed, or not for this client"


class RequestRefused(OAuthError):
    """An authorization request that is refused where it is pushed (RFC 9126 section 2.3)."""

    error = "invalid_request"
    status = 400

    def __init__(self, reason: str, *, error: str, description: str) -> None:
        """`error` and `description` are what the client would be told at the authorization endpoint."""
        super().__init__(reason)
        self.error = error
        self.description = describable(description)


class InvalidClientMetadata(OAuthError):
    """A registration that cannot stand; `field` names the member (RFC 7591 section 3.2.2)."""

    error = "invalid_client_metadata"
    status = 400

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.description = describable(self.reason)


class InvalidRedirectUri(InvalidClientMetadata):
    """A redirection URI that cannot stand (RFC 7591 section 3.2.2)."""

    error = "invalid_redirect_uri"


class InvalidStatement(OAuthError):
    """A software statement that nobody signed whom we know, or not for now (RFC 7591 section 3.2.2)."""

    error = "invalid_software_statement"
    status = 400
    description = "the software statement is malformed, expired, or its signature is not valid"


class UnapprovedStatement(OAuthError):
    """A software statement of somebody whom this deployment does not know, or that says too little."""

    error = "unapproved_software_statement"
    status = 400
    description = "the software statement is not approved for use here"


class RegistrationDenied(OAuthError):
    """Whoever asks may not register, or not manage this client, if there is one (RFC 7592 section 2)."""

    error = "invalid_token"
    description = "the request is not authorized to register or manage this client"

    def __init__(self, reason: str, *, status: int = 401) -> None:
        """`status` is 401; 403 where the token is good and the deployment wants no change (RFC 7592 section 2.2)."""
        super().__init__(reason)
        self.status = status


class TooManyRegistrations(OAuthError):
    """Clients register without any credential faster than this deployment wants."""

    error = "temporarily_unavailable"
    status = 429
    description = "too many clients register at the moment; try again in a minute"
    retry_after = 60


class AuthorizationPending(OAuthError):
    """The person has not decided yet (RFC 8628 section 3.5)."""

    error = "authorization_pending"
    status = 400
    description = "the person has not decided yet"


class SlowDown(OAuthError):
    """The device asks more often than it was told (RFC 8628 section 3.5)."""

    error = "slow_down"
    status = 400
    description = "ask less often: five seconds more between two requests"


class AccessDenied(OAuthError):
    """The person said no (RFC 8628 section 3.5)."""

    error = "access_denied"
    status = 400
    description = "the person denied the request"


class ExpiredToken(OAuthError):
    """Nobody decided in time (RFC 8628 section 3.5)."""

    error = "expired_token"
    status = 400
    description = "the device code has expired; ask for another"


class TooManyRequests(OAuthError):
    """More is begun from one network, by nobody who proved anything, than this deployment wants."""

    error = "temporarily_unavailable"
    status = 429
    description = "too many requests come from this network at the moment; try again in a minute"

    def __init__(self, reason: str, *, retry_after: int = 60) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class UnacceptableToken(OAuthError):
    """A token that is to be exchanged is invalid, or not for this client (RFC 8693 section 2.2.2)."""

    error = "invalid_request"
    status = 400
    description = "the subject token is invalid, or not for this client"


class TemporarilyUnavailable(OAuthError):
    """Something that the answer needs does not answer."""

    error = "temporarily_unavailable"
    status = 503
    description = "the server cannot answer at the moment"
    retry_after = 1


class ProtectedResourceError(Refusal):
    """An error response of RFC 6750 section 3."""


class TokenMissing(ProtectedResourceError):
    """No access token; RFC 6750 section 3.1 wants no error code here."""

    error = ""
    status = 401
    description = ""


class TokenRequestInvalid(ProtectedResourceError):
    """More than one access token, or one that is not where it belongs."""

    error = "invalid_request"
    status = 400
    description = "the request carries more than one access token"


class InvalidToken(ProtectedResourceError):
    """The token is not valid here, or not for the certificate that presented it (RFC 8705 section 3)."""

    error = "invalid_token"
    status = 401
    description = "the access token is not valid for this request"


class InsufficientScope(ProtectedResourceError):
    """The token is good but does not go this far; `required` is what would."""

    error = "insufficient_scope"
    status = 403
    description = "the access token lacks a scope"

    def __init__(self, reason: str, *, required: frozenset[str]) -> None:
        super().__init__(reason)
        self.required = required


class KeysUnavailable(ProtectedResourceError):
    """The issuer's keys cannot be had, so no token of its can be judged."""

    error = "temporarily_unavailable"
    status = 503
    description = "access tokens cannot be checked at the moment"


class StatusUnavailable(ProtectedResourceError):
    """The issuer's status list cannot be had, so nobody knows whether the token was revoked."""

    error = "temporarily_unavailable"
    status = 503
    description = "access tokens cannot be checked at the moment"


class IntrospectionUnavailable(ProtectedResourceError):
    """The issuer does not say whether the token is active, so nobody knows (RFC 7662)."""

    error = "temporarily_unavailable"
    status = 503
    description = "access tokens cannot be checked at the moment"


def describable(text: str) -> str:
    """`text` with what an `error_description` may not contain replaced (RFC 6749 section 5.2, RFC 6750 section 3)."""
    return _UNDESCRIBABLE.sub("?", text.replace('"', "'"))


_UNDESCRIBABLE = re.compile(r"[^\x20-\x21\x23-\x5B\x5D-\x7E]")
