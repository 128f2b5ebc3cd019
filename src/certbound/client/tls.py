"""TLS for a client (RFC 8446, RFC 5246 with RFC 9325), by pyOpenSSL over a blocking socket.

The `ssl` module uses the system's OpenSSL, which may know no post-quantum certificate; pyOpenSSL brings its own.

Rule 1: the server's certificate leads to the stated CA, or to the system's roots, and names the host we asked for.
Rule 2: every connection is a full handshake: no session is kept, so none outlives an identity.
Rule 3: what OpenSSL or the system raise becomes an exception of `httpcore` here.
"""

import contextlib
import ipaddress
import select
import socket
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, TypeVar

import httpcore
from OpenSSL import SSL, crypto
from service_identity import CertificateError, VerificationError
from service_identity.pyopenssl import verify_hostname, verify_ip_address

from certbound.client.errors import ClientError, IdentityUnusable
from certbound.client.identity import Identity

_T = TypeVar("_T")

TLS_CONNECTION = "tls_connection"


class TLSContext:
    """What every connection of one client shares.  It stands where `httpcore` expects an `ssl.SSLContext`."""

    def __init__(
        self, identity: Identity | None, *, ca: Path | None = None, minimum_tls: Literal["1.2", "1.3"] = "1.2"
    ) -> None:
        """`ca` is a PEM file of whom we believe about servers; None: the system's roots."""
        self._context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        self._context.set_min_proto_version(SSL.TLS1_3_VERSION if minimum_tls == "1.3" else SSL.TLS1_2_VERSION)
        self._context.set_cipher_list(_TLS12_CIPHERS)
        self._context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_TICKET)
        self._context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        self._context.set_alpn_protos([b"http/1.1"])
        self._context.set_verify(SSL.VERIFY_PEER, _remember_why)
        _believe(self._context, ca)
        if identity is not None:
            _present(self._context, identity)

    def set_alpn_protocols(self, _: list[str]) -> None:
        """`httpcore` asks for HTTP/1.1, which is all we offer."""

    def connection(self, server_name: str) -> SSL.Connection:
        """A connection over memory, for a server of that name; not yet begun."""
        connection = SSL.Connection(self._context, None)
        connection.set_app_data([])
        if _address(server_name) is None:  # RFC 6066 section 3: literal addresses are no server names
            connection.set_tlsext_host_name(server_name.encode("ascii"))
        connection.set_connect_state()
        return connection


class TLSBackend(httpcore.NetworkBackend):
    """Connections whose `start_tls` takes a `TLSContext`."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        source = (local_address, 0) if local_address else None
        try:
            connected = socket.create_connection((host, port), timeout, source)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout("the connection took too long") from error
        except OSError as error:
            raise httpcore.ConnectError(f"no connection: {error.strerror or error}") from error
        for option in ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), *(socket_options or ())):
            connected.setsockopt(*option)
        return _Plain(connected)


class _Plain(httpcore.NetworkStream):
    """A connected socket, good for nothing but `start_tls`: not a byte leaves it in the clear."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected

    def close(self) -> None:
        self._socket.close()

    def start_tls(
        self,
        ssl_context: Any,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        try:
            return TLSStream.handshake(self._socket, ssl_context, server_hostname or "", timeout)
        except BaseException:
            self.close()
            raise


class TLSStream(httpcore.NetworkStream):
    """A TLS connection to a server that proved to be the one named."""

    def __init__(self, connected: socket.socket, connection: SSL.Connection) -> None:
        self._socket = connected
        self._connection = connection

    @classmethod
    def handshake(cls, connected: socket.socket, context: TLSContext, name: str, timeout: float | None) -> "TLSStream":
        """`httpcore.ConnectError` says why there is none, `httpcore.ConnectTimeout` after `timeout` seconds in all."""
        connection = context.connection(name)
        stream = cls(connected, connection)
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            stream._perform(connection.do_handshake, lambda: _left(deadline))
            _require_name(connection, name)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout("the TLS handshake took too long") from error
        except (SSL.Error, OSError) as error:
            raise httpcore.ConnectError(_why(connection, error)) from error
        return stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            return self._perform(lambda: self._connection.recv(max_bytes), lambda: timeout)
        except SSL.ZeroReturnError:
            return b""
        except TimeoutError as error:
            raise httpcore.ReadTimeout("the server did not answer in time") from error
        except (SSL.Error, OSError) as error:
            raise httpcore.ReadError(_why(self._connection, error)) from error

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        rest = memoryview(buffer)
        try:
            while rest:
                rest = rest[self._perform(lambda: self._connection.send(rest), lambda: timeout) :]  # noqa: B023
        except TimeoutError as error:
            raise httpcore.WriteTimeout("the server did not read in time") from error
        except (SSL.Error, OSError) as error:
            raise httpcore.WriteError(_why(self._connection, error)) from error

    def close(self) -> None:
        with contextlib.suppress(SSL.Error, OSError):
            self._connection.shutdown()
            self._socket.settimeout(0)
            self._flush()
        self._socket.close()

    def get_extra_info(self, info: str) -> Any:
        """`TLS_CONNECTION` is the pyOpenSSL connection; `ssl_object` would be one of the `ssl` module, and is None."""
        if info == TLS_CONNECTION:
            return self._connection
        if info == "socket":
            return self._socket
        if info == "is_readable":
            return self._is_readable()
        return None

    def _perform(self, action: Callable[[], _T], timeout: Callable[[], float | None]) -> _T:
        """What `action` returns, after as many bytes went out and came in as it needs."""
        while True:
            try:
                result = action()
            except SSL.WantReadError:
                self._socket.settimeout(timeout())
                self._flush()
                self._receive()
            except SSL.Error:
                # An alert tells the server why we leave.
                with contextlib.suppress(OSError):
                    self._flush()
                raise
            else:
                self._socket.settimeout(timeout())
                self._flush()
                return result

    def _flush(self) -> None:
        with contextlib.suppress(SSL.WantReadError):  # nothing more to send
            while data := self._connection.bio_read(_CHUNK):
                self._socket.sendall(data)

    def _receive(self) -> None:
        if data := self._socket.recv(_CHUNK):
            self._connection.bio_write(data)
        else:
            self._connection.bio_shutdown()

    def _is_readable(self) -> bool:
        """Whether an idle connection has news, which can only be its end."""
        if self._socket.fileno() < 0:
            return True
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(0))


def _believe(context: SSL.Context, ca: Path | None) -> None:
    if ca is None:
        context.set_default_verify_paths()
        return
    try:
        ca.open("rb").close()
        context.load_verify_locations(str(ca))
    except OSError as error:
        raise ClientError(f"the CA file {ca} cannot be read: {error.strerror}") from error
    except SSL.Error as error:
        raise ClientError(f"the CA file {ca} holds no PEM certificate") from error


def _present(context: SSL.Context, identity: Identity) -> None:
    leaf, *issuers = identity.certificates()
    try:
        context.use_certificate(leaf)
        for issuer in issuers:
            context.add_extra_chain_cert(issuer)
        _use_key(context, identity)
    except (SSL.Error, crypto.Error, TypeError, ValueError) as error:
        raise IdentityUnusable("OpenSSL cannot use the client's certificate and key; is the key too weak?") from error


def _use_key(context: SSL.Context, identity: Identity) -> None:
    try:
        context.use_privatekey(identity.private_key())
    except TypeError:
        # pyOpenSSL takes no ML-DSA key from `cryptography` yet, only what it has read itself, which it deprecates.
        key = crypto.load_privatekey(crypto.FILETYPE_PEM, identity.key_pem, b"")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.use_privatekey(key)


def _require_name(connection: SSL.Connection, name: str) -> None:
    """The certificate is for the host that we asked for (RFC 9525)."""
    verify = verify_hostname if _address(name) is None else verify_ip_address
    try:
        verify(connection, name)
    except (VerificationError, CertificateError) as error:
        raise httpcore.ConnectError(f"the server's certificate is not for {name}; is this the right host?") from error


def _remember_why(connection: SSL.Connection, _: object, error: int, __: int, ok: int) -> bool:
    if error:
        connection.get_app_data().append(error)
    return bool(ok)


def _why(connection: SSL.Connection, error: Exception) -> str:
    if problems := connection.get_app_data():
        return "the server's certificate cannot be trusted: " + _PROBLEMS.get(
            problems[0], f"OpenSSL says verify error {problems[0]}"
        )
    if isinstance(error, OSError):
        return f"the connection broke: {error.strerror or error}"
    reasons = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return "TLS failed: " + (", ".join(str(reason[-1]) for reason in reasons) or "the server closed the connection")


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _left(deadline: float | None) -> float | None:
    if deadline is None:
        return None
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


_CHUNK = 64 * 1024
_TLS12_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20"

# OpenSSL's verify errors that people meet.
_PROBLEMS = {
    9: "it is not valid yet",
    10: "it has expired",
    18: "it is self-signed; name it as the CA if it is the server's",
    19: "its issuer is not among the CAs that are believed; give the right --ca",
    20: "its issuer is not among the CAs that are believed; give the right --ca",
    21: "its issuer is not among the CAs that are believed; give the right --ca",
    26: "it is not made for servers",
}
