"""TLS under any ASGI application: a listener that asks for client certificates and hands them on unjudged.

Asks only where told to, accepts any certificate or none, proves possession of its key, judges nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from certbound.tls.facts import EXTENSION, ConnectionFacts, connection_facts, peer_certificate
from certbound.tls.ports import AnyPort, ASGIApplication, Limits, PlainPort, Port, VirtualHost

if TYPE_CHECKING:
    from certbound.tls.listener import Running, start
    from certbound.tls.workers import serve

__all__ = [
    "EXTENSION",
    "ASGIApplication",
    "AnyPort",
    "ConnectionFacts",
    "Limits",
    "PlainPort",
    "Port",
    "Running",
    "VirtualHost",
    "connection_facts",
    "peer_certificate",
    "serve",
    "start",
]

# What listens needs pyOpenSSL and uvicorn; `certbound[resource]`, which only asks for the certificate, has neither.
_LISTENING = {
    "Running": "certbound.tls.listener",
    "start": "certbound.tls.listener",
    "serve": "certbound.tls.workers",
}


def __getattr__(name: str) -> Any:
    if name not in _LISTENING:
        raise AttributeError(name)
    return getattr(import_module(_LISTENING[name]), name)
