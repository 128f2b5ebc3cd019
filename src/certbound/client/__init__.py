"""What calls an API with a token bound to its certificate (RFC 8705).

identity = Identity.load(Path("client.pem"), Path("client.key"))
with open_client(identity) as http:
    server = fetch_metadata(http, "https://as.example")
    token = request_token(http, server, "my-client")

Everything else that a client asks of a server is a flow: `drive(http, flow.refresh(server, Credential("me"), token))`.
"""

from certbound.client import flow
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
from certbound.client.identity import Identity
from certbound.client.transport import Transport, open_client

__all__ = [
    "AnswerUnusable",
    "ApiUnsafe",
    "AuthorizationRefused",
    "ClientError",
    "Credential",
    "Identity",
    "IdentityUnusable",
    "MetadataUnusable",
    "RedirectUnusable",
    "Refused",
    "ServerMetadata",
    "ServerUnreachable",
    "Token",
    "TokenRefused",
    "Transport",
    "await_device",
    "await_device_async",
    "drive",
    "drive_async",
    "fetch_metadata",
    "flow",
    "open_client",
    "read_metadata",
    "request_token",
]
