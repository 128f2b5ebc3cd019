"""TLS under any ASGI application: a listener that asks for client certificates and hands them on unjudged.

Asks only where told to, accepts any certificate or none, proves possession of its key, judges nothing.
"""

from certbound.tls.facts import EXTENSION, ConnectionFacts, connection_facts, peer_certificate
from certbound.tls.listener import Running, start
from certbound.tls.ports import ASGIApplication, Limits, Port, VirtualHost
from certbound.tls.workers import serve

__all__ = [
    "EXTENSION",
    "ASGIApplication",
    "ConnectionFacts",
    "Limits",
    "Port",
    "Running",
    "VirtualHost",
    "connection_facts",
    "peer_certificate",
    "serve",
    "start",
]
