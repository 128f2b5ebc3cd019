"""TLS for a client, by pyOpenSSL over memory: a blocking socket or an event loop carries the bytes.

The `ssl` module uses the system's OpenSSL, which may know no post-quantum certificate; pyOpenSSL brings its own.
It is `ssl` that can be given a key that stays in a token, though, so `hardware` makes the connections of those.

Rule 1: the server's certificate leads to the stated CA, or to the system's roots, and names the host we asked for.
Rule 2: every connection is a full handshake: no session is kept, so none outlives an identity.
Rule 3: what OpenSSL or the system raise becomes an exception of `httpcore` here.
Rule 4: a connection is good for nothing before `start_tls`: not a byte leaves it in the clear.
"""

from certbound.client.tls.blocking import TLSBackend, TLSStream
from certbound.client.tls.context import Context, TLSContext
from certbound.client.tls.hardware import SignerContext, context_for
from certbound.client.tls.looping import AsyncTLSBackend, AsyncTLSStream
from certbound.client.tls.pump import TLS_CONNECTION

__all__ = [
    "TLS_CONNECTION",
    "AsyncTLSBackend",
    "AsyncTLSStream",
    "Context",
    "SignerContext",
    "TLSBackend",
    "TLSContext",
    "TLSStream",
    "context_for",
]
