"""What goes wrong for a client, as one tree under `CertboundError`.

    ClientError
    ├── IdentityUnusable        the client's own certificate or key
    ├── ServerUnreachable       no connection, no answer, or a server we cannot believe to be the one named
    ├── MetadataUnusable        the metadata of an issuer or an API is missing, of somebody else, or cannot be followed
    ├── AnswerUnusable          an endpoint answered something that is neither what was asked for nor a refusal
    ├── RedirectUnusable        what a browser came back with is no answer to what was started
    ├── ApiUnsafe               an API that does not enforce binding is to get no bound token
    └── Refused                 an endpoint said no (RFC 6749 section 5.2)
        ├── TokenRefused            the token endpoint did
        └── AuthorizationRefused    the person or the authorization endpoint did

Rule 1: a message names the address, what came back, and what to do.
Rule 2: no key and no token is in a message or a repr; what a server sent is shown with its control characters escaped.
"""

from typing import Any

from certbound.core.display import bounded
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


class RedirectUnusable(ClientError):
    """An authorization response that must not be used (RFC 6749 section 10.12, RFC 9207)."""


class ApiUnsafe(ClientError):
    """A bound token would go to an API that does not say that it enforces binding (RFC 9728)."""


class Refused(ClientError):
    """An endpoint refused; `error` is its word for it."""

    def __init__(
        self, *, endpoint: str, status: int = 0, error: str, description: str = "", request_id: str = ""
    ) -> None:
        """`status` 0: it was said by a redirect, which has none."""
        self.endpoint = endpoint
        self.status = status
        self.error = error
        self.description = description
        self.request_id = request_id
        said = " ".join(([str(status)] if status else []) + [f"{error} ({description})" if description else error])
        advice = _ADVICE.get(error, "read what the server's documentation says about this error")
        trace = f"; the server's log knows this as request {request_id}" if request_id else ""
        super().__init__(f"{endpoint} refused with {said}: {advice}{trace}")


class TokenRefused(Refused):
    """The token endpoint refused."""


class AuthorizationRefused(Refused):
    """The person said no, or the authorization endpoint did (RFC 6749 section 4.1.2.1)."""


def quoted(value: Any) -> str:
    """What somebody else sent, fit for a message: one line, control characters escaped, no signed token, not long."""
    return bounded(str(value), _QUOTED)


_QUOTED = 200
_ADVICE = {
    "invalid_client": "check that client_id and certificate belong together, that the certificate is registered and "
    "has not expired, and that the request went to the mutual-TLS endpoint",
    "invalid_scope": "ask for fewer scopes, one space between them, or for none to get all that the client may have",
    "invalid_target": "ask for a resource that the server knows, written exactly as it does",
    "unauthorized_client": "have this grant allowed for this client",
    "unsupported_grant_type": "this server does not offer this grant",
    "invalid_grant": "what was redeemed is used up, has ended, or is another client's or certificate's; begin anew",
    "access_denied": "the person said no",
    "expired_token": "nobody decided in time; begin anew",
    "invalid_token": "the token that came with the request is not in force here, or of another certificate",
    "invalid_client_metadata": "change what is to be registered",
    "invalid_redirect_uri": "give a redirect URI that this server allows",
    "temporarily_unavailable": "try again in a moment",
}
