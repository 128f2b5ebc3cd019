"""What calls an API with a token bound to its certificate (RFC 8705).

with certbound.client.open("https://as.example", "billing", certificate="billing.pem", key="billing.key",
                           resource="https://api.example") as api:
    api.get("/invoices")

Everything that a client asks of a server is a flow, and can be driven alone:

with open_client(Identity.load(Path("billing.pem"), Path("billing.key"))) as http:
    server = fetch_metadata(http, "https://as.example")
    token = drive(http, flow.client_credentials(server, Credential("billing")))
"""

from certbound.client import flow
from certbound.client.auth import CertificateBoundAuth
from certbound.client.driving import (
    await_device,
    await_device_async,
    drive,
    drive_async,
    fetch_metadata,
    request_token,
)
from certbound.client.errors import (
    AnswerUnusable,
    ApiUnsafe,
    AuthorizationRefused,
    ClientError,
    IdentityUnusable,
    MetadataUnusable,
    RedirectUnusable,
    Refused,
    ServerUnreachable,
    TokenRefused,
)
from certbound.client.flow import Credential, ServerMetadata, Token, read_metadata
from certbound.client.identity import Identity, IdentitySource
from certbound.client.keeping import Shelf
from certbound.client.opening import identity_of, open, open_async  # noqa: A004
from certbound.client.transport import AsyncTransport, Transport, open_async_client, open_client
from certbound.client.watching import WatchedIdentity

__all__ = [
    "AnswerUnusable",
    "ApiUnsafe",
    "AsyncTransport",
    "AuthorizationRefused",
    "CertificateBoundAuth",
    "ClientError",
    "Credential",
    "Identity",
    "IdentitySource",
    "IdentityUnusable",
    "MetadataUnusable",
    "RedirectUnusable",
    "Refused",
    "ServerMetadata",
    "ServerUnreachable",
    "Shelf",
    "Token",
    "TokenRefused",
    "Transport",
    "WatchedIdentity",
    "await_device",
    "await_device_async",
    "drive",
    "drive_async",
    "fetch_metadata",
    "flow",
    "identity_of",
    "open",
    "open_async",
    "open_async_client",
    "open_client",
    "read_metadata",
    "request_token",
]
