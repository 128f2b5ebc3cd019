"""What goes wrong for a client, as one tree under `CertboundError`.

    ClientError
    ├── IdentityUnusable        the client's own certificate or key
    ├── ServerUnreachable       no connection, no answer, or a server we cannot believe to be the one named
    ├── MetadataUnusable        the issuer's metadata is missing, of somebody else, or cannot be followed
    ├── AnswerUnusable          an endpoint answered something that is neither what was asked for nor a refusal
    └── TokenRefused            the token endpoint said no (RFC 6749 section 5.2)

Rule 1: a message names the address, what came back, and what to do.
Rule 2: no key and no token is in a message or a repr; what a server sent is shown with its control characters escaped.
"""

from typing import Any

from certbound.core.display import shown
from certbound.core.errors import CertboundError


class ClientError(CertboundError):
    """The root of what a client raises."""


class IdentityUnusable(ClientError):
    """The certificate or the key cannot be used, or they do not belong together."""


class ServerUnreachable(ClientError):
    """No answer came over a connection to the server that was named."""


class MetadataUnusable(ClientError):
    """The issuer's metadata cannot be followed (RFC 8414 section 3)."""


class AnswerUnusable(ClientError):
    """An answer that is neither a token nor an error of RFC 6749."""


class TokenRefused(ClientError):
    """The token endpoint refused; `error` is its word for it."""

    def __init__(self, *, endpoint: str, status: int, error: str, description: str = "", request_id: str = "") -> None:
        self.endpoint = endpoint
        self.status = status
        self.error = error
        self.description = description
        self.request_id = request_id
        said = f"{error} ({description})" if description else error
        advice = _ADVICE.get(error, "read what the server's documentation says about this error")
        trace = f"; the server's log knows this as request {request_id}" if request_id else ""
        super().__init__(f"{endpoint} refused with {status} {said}: {advice}{trace}")


def quoted(value: Any) -> str:
    """What somebody else sent, fit for a message: one line, control characters escaped, not long."""
    text = shown(str(value))
    return text if len(text) <= _QUOTED else text[:_QUOTED] + "..."


_QUOTED = 200
_ADVICE = {
    "invalid_client": "check that client_id and certificate belong together, that the certificate is registered and "
    "has not expired, and that the request went to the mutual-TLS endpoint",
    "invalid_scope": "ask for fewer scopes, or for none to get all that the client may have",
    "invalid_target": "ask for a resource that the server knows",
    "unauthorized_client": "have client_credentials allowed for this client",
    "unsupported_grant_type": "this server does not do client_credentials",
    "temporarily_unavailable": "try again in a moment",
}
