"""What every TLS connection of a client shares (RFC 8446, RFC 5246 with RFC 9325), and when a server is believed."""

import ipaddress
import warnings
from pathlib import Path
from typing import Any, Literal, Protocol

import httpcore
from cryptography import x509
from OpenSSL import SSL, crypto
from service_identity import CertificateError, VerificationError
from service_identity.cryptography import verify_certificate_hostname, verify_certificate_ip_address

from certbound.client.errors import ClientError, IdentityUnusable
from certbound.client.identity import Identity


class Connection(Protocol):
    """As much of `OpenSSL.SSL.Connection` as is used; what fails is an `SSL.Error` of pyOpenSSL."""

    def do_handshake(self) -> None: ...
    def recv(self, most: int, /) -> bytes: ...
    def send(self, data: Any, /) -> int: ...
    def shutdown(self) -> bool: ...
    def bio_read(self, most: int, /) -> bytes: ...
    def bio_write(self, data: bytes, /) -> int: ...
    def bio_shutdown(self) -> None: ...
    def get_peer_certificate(self, *, as_cryptography: Literal[True]) -> x509.Certificate | None: ...
    def get_app_data(self) -> Any:
        """A list of OpenSSL's verify errors."""
        ...


class Context(Protocol):
    """What makes connections."""

    @property
    def signs_slowly(self) -> bool:
        """Whether a handshake is no work for an event loop: what has the key may take a second."""
        ...

    def connection(self, server_name: str, /) -> Connection:
        """A connection over memory, for a server of that name; not yet begun."""
        ...


class TLSContext:
    """What every connection of one client shares.  It stands where `httpcore` expects an `ssl.SSLContext`."""

    def __init__(
        self, identity: Identity | None, *, ca: Path | None = None, minimum_tls: Literal["1.2", "1.3"] = "1.2"
    ) -> None:
        """`ca` is a PEM file of whom we believe about servers; None: the system's roots."""
        self._context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        self._context.set_min_proto_version(SSL.TLS1_3_VERSION if minimum_tls == "1.3" else SSL.TLS1_2_VERSION)
        self._context.set_cipher_list(TLS12_CIPHERS.encode())
        self._context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_TICKET)
        self._context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        self._context.set_alpn_protos([each.encode() for each in PROTOCOLS])
        self._context.set_verify(SSL.VERIFY_PEER, _remember_why)
        _believe(self._context, ca)
        if identity is not None:
            _present(self._context, identity)

    signs_slowly = False

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


def require_name(connection: Connection, name: str) -> None:
    """The certificate is for the host that we asked for (RFC 9525)."""
    verify = verify_certificate_hostname if _address(name) is None else verify_certificate_ip_address
    certificate = connection.get_peer_certificate(as_cryptography=True)
    try:
        if certificate is None:
            raise CertificateError("there is none")
        verify(certificate, name)
    except (VerificationError, CertificateError) as error:
        raise wrong_name(name) from error


def wrong_name(name: str) -> httpcore.ConnectError:
    """The certificate is another host's."""
    return httpcore.ConnectError(f"the server's certificate is not for {name}; is this the right host?")


def _remember_why(connection: SSL.Connection, _: object, error: int, __: int, ok: int) -> bool:
    if error:
        connection.get_app_data().append(error)
    return bool(ok)


def why(connection: Connection, error: Exception) -> str:
    if problems := connection.get_app_data():
        return "the server's certificate cannot be trusted: " + _PROBLEMS.get(
            problems[0], f"OpenSSL says verify error {problems[0]}"
        )
    if isinstance(error, OSError):
        return f"the connection broke: {error.strerror or error}"
    reasons = error.args[0] if error.args and isinstance(error.args[0], list) else []
    said = [str(reason[-1]) for reason in reasons]
    if any("alert certificate expired" in each for each in said):
        return "the server says that the client's certificate has expired: renew it, or set the clock that is wrong"
    return "TLS failed: " + (", ".join(said) or "the server closed the connection")


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


# What `hardware` has too.
TLS12_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
PROTOCOLS = ("http/1.1",)

# OpenSSL's verify errors that people meet.
_PROBLEMS = {
    9: "it is not valid yet",
    10: "it has expired",
    18: "it is self-signed; name it as the CA if it is the server's",
    19: "its issuer is not among the CAs that are believed; give the right one: ca=, --ca",
    20: "its issuer is not among the CAs that are believed; give the right one: ca=, --ca",
    21: "its issuer is not among the CAs that are believed; give the right one: ca=, --ca",
    26: "it is not made for servers",
}
