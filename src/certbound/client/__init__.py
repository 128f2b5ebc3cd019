"""What calls an API with a token bound to its certificate (RFC 8705).

with certbound.client.open("https://as.example", "billing", certificate="billing.pem", key="billing.key",
                           resource="https://api.example") as api:
    api.get("/invoices")

`open` is not among what `import *` brings, since it would hide Python's own.

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
from certbound.client.flow import (
    Credential,
    Device,
    Pending,
    Probed,
    Registered,
    ServerMetadata,
    Started,
    Token,
    read_metadata,
)
from certbound.client.identity import Identity, IdentitySource
from certbound.client.keeping import Shelf
from certbound.client.opening import identity_of, open_async
from certbound.client.opening import open as open  # noqa: A004 - public, but not by `import *`
from certbound.client.probing import probe
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
    "Device",
    "Identity",
    "IdentitySource",
    "IdentityUnusable",
    "MetadataUnusable",
    "Pending",
    "Probed",
    "RedirectUnusable",
    "Refused",
    "Registered",
    "ServerMetadata",
    "ServerUnreachable",
    "Shelf",
    "Started",
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
    "open_async",
    "open_async_client",
    "open_client",
    "probe",
    "read_metadata",
    "request_token",
]
