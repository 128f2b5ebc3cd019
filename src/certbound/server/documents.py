"""What anyone may read: metadata (RFC 8414, OpenID Connect Discovery), keys (RFC 7517), and whether it lives."""

from certbound.core.metadata import describe_server
from certbound.server.call import Call, Reply, json_reply
from certbound.server.service import Service

# Short enough that a rotated key or a new endpoint is known soon, long enough to be worth caching.
CACHED = ((b"cache-control", b"public, max-age=300"),)
UNKEPT = ((b"cache-control", b"no-store"),)


async def metadata(_: Call, service: Service) -> Reply:
    """The authorization server's metadata document."""
    return json_reply(200, describe_server(service.offer), CACHED)


async def jwks(_: Call, service: Service) -> Reply:
    """The public keys that sign tokens."""
    return json_reply(200, {"keys": [key.public_jwk() for key in service.keys.published]}, CACHED)


async def health(_: Call, __: Service) -> Reply:
    """The process answers; it says nothing of the store."""
    return json_reply(200, {"status": "ok"}, UNKEPT)
