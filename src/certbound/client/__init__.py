"""What calls an API with a token bound to its certificate (RFC 8705).

identity = Identity.load(Path("client.pem"), Path("client.key"))
with open_client(identity) as http:
    server = fetch_metadata(http, "https://as.example")
    token = request_token(http, server, "my-client")
"""

from certbound.client.errors import (
    AnswerUnusable,
    ClientError,
    IdentityUnusable,
    MetadataUnusable,
    ServerUnreachable,
    TokenRefused,
)
from certbound.client.identity import Identity
from certbound.client.metadata import ServerMetadata, fetch_metadata, read_metadata
from certbound.client.token import Token, request_token
from certbound.client.transport import Transport, open_client

__all__ = [
    "AnswerUnusable",
    "ClientError",
    "Identity",
    "IdentityUnusable",
    "MetadataUnusable",
    "ServerMetadata",
    "ServerUnreachable",
    "Token",
    "TokenRefused",
    "Transport",
    "fetch_metadata",
    "open_client",
    "read_metadata",
    "request_token",
]
