"""The certificates a TLS server sends: asked for, shown to whoever asked, and believed by nobody."""

import contextlib
import socket
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from certbound.core.errors import ConfigurationError

if TYPE_CHECKING:
    from OpenSSL.SSL import Connection

TIMEOUT = 10.0
"""Seconds that connecting and the handshake may take."""
MOST = 256 * 1024
"""Bytes that the server may send until the handshake is complete."""


def endpoint_of(url: str) -> tuple[str, int]:
    """Host and port of an https URL.  `ConfigurationError` if it has none."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 443
    except ValueError:
        host, port = None, 0
    if not host or not host.isprintable():
        raise ConfigurationError(f"{url!r:.200} has no host; write https://HOST or https://HOST:PORT")
    return host, port


def sent_certificates(host: str, port: int) -> list[bytes]:
    """What the server sends, leaf first, DER; nothing of it is verified.  `ConfigurationError` if it sends nothing."""
    deadline = time.monotonic() + TIMEOUT
    try:
        with socket.create_connection((host, port), timeout=TIMEOUT) as connection:
            return _handshake(connection, host, deadline)
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(f"{host}:{port} does not answer as a TLS server: {_why(error)}") from error


def _handshake(connection: socket.socket, host: str, deadline: float) -> list[bytes]:
    from cryptography.hazmat.primitives.serialization import Encoding
    from OpenSSL import SSL

    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_verify(SSL.VERIFY_NONE)
    tls = SSL.Connection(context, None)
    tls.set_connect_state()
    if name := _server_name(host):
        tls.set_tlsext_host_name(name)
    try:
        _shake_hands(tls, connection, deadline)
    except OSError:
        # Who wants a client certificate may break off for lack of one, and has sent its own before.
        if not tls.get_peer_cert_chain():
            raise
    return [each.public_bytes(Encoding.DER) for each in tls.get_peer_cert_chain(as_cryptography=True) or ()]


def _shake_hands(tls: "Connection", connection: socket.socket, deadline: float) -> None:
    from OpenSSL import SSL

    received = 0
    while True:
        try:
            tls.do_handshake()
        except SSL.WantReadError:
            _send(tls, connection)
        except SSL.Error as error:
            raise OSError(f"TLS: {error.args[0][-1][-1] if error.args and error.args[0] else error}") from error
        else:
            return
        connection.settimeout(max(deadline - time.monotonic(), 0.001))
        data = connection.recv(16384)
        received += len(data)
        if not data or received > MOST:
            raise OSError("it breaks off the handshake" if not data else "its handshake does not end")
        tls.bio_write(data)


def _send(tls: "Connection", connection: socket.socket) -> None:
    from OpenSSL import SSL

    with contextlib.suppress(SSL.WantReadError):
        connection.sendall(tls.bio_read(65536))


def _server_name(host: str) -> bytes | None:
    """RFC 6066 section 3: a DNS name in A-labels, never an address."""
    import ipaddress

    import idna

    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host.encode("ascii") if host.isascii() else idna.encode(host, uts46=True)
    return None


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
