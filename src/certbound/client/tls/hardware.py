"""TLS whose key is a `Signer`: the `ssl` module over memory, with the surface that `pump` knows from pyOpenSSL.

Rule 1: what `TLSContext` asks of a connection is asked here: versions, ciphers, protocols, CAs, the name, no session.
Rule 2: what `ssl` raises becomes what pyOpenSSL would; what the signer raises goes on as it is.
Rule 3: no surroundings make it weaker: no secret is logged for SSLKEYLOGFILE, and an end without its alert is no end.
"""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from cryptography import x509
from OpenSSL import SSL

from certbound.client.errors import ClientError, IdentityUnusable
from certbound.client.hardware.dispatch import take_failure
from certbound.client.hardware.presenting import present
from certbound.client.identity import Identity
from certbound.client.tls.context import PROTOCOLS, TLS12_CIPHERS, Context, TLSContext, wrong_name


def context_for(
    identity: Identity | None, *, ca: Path | None = None, minimum_tls: Literal["1.2", "1.3"] = "1.2"
) -> Context:
    """What connections of `identity` share, wherever its key is."""
    kind = TLSContext if identity is None or identity.signer is None else SignerContext
    return kind(identity, ca=ca, minimum_tls=minimum_tls)


class SignerContext:
    """As `TLSContext`, for an identity whose key is elsewhere."""

    signs_slowly = True

    def __init__(
        self, identity: Identity | None, *, ca: Path | None = None, minimum_tls: Literal["1.2", "1.3"] = "1.2"
    ) -> None:
        """As `TLSContext`."""
        if identity is None or identity.signer is None:
            raise IdentityUnusable("this identity has its key in memory; use TLSContext")
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # asks for a certificate, and for the right name in it
        self._context.minimum_version = ssl.TLSVersion.TLSv1_3 if minimum_tls == "1.3" else ssl.TLSVersion.TLSv1_2
        self._context.set_ciphers(TLS12_CIPHERS)
        self._context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
        self._context.set_alpn_protocols(PROTOCOLS)
        # Rule 3
        self._context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
        _believe(self._context, ca)
        present(self._context, identity.certificates(), identity.signer)

    def set_alpn_protocols(self, _: list[str]) -> None:
        """As `TLSContext`."""

    def connection(self, server_name: str) -> "SignerConnection":
        return SignerConnection(self._context, server_name)


class SignerConnection:
    """`ssl.SSLObject` as `context.Connection`."""

    def __init__(self, context: ssl.SSLContext, name: str) -> None:
        self._name = name
        self._problems: list[int] = []
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        try:
            self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        except ValueError as error:  # no name that a certificate can have
            raise wrong_name(name) from error

    def do_handshake(self) -> None:
        take_failure()  # of somebody before, in this thread
        try:
            with self._translating():
                self._tls.do_handshake()
        except SSL.WantReadError:
            raise
        except SSL.Error:
            if (failure := take_failure()) is not None:
                raise failure from None
            raise

    def recv(self, most: int, /) -> bytes:
        with self._translating():
            return self._tls.read(most)

    def send(self, data: Any, /) -> int:
        with self._translating():
            return self._tls.write(data)

    def shutdown(self) -> bool:
        with self._translating():
            self._tls.unwrap()
        return True

    def bio_read(self, most: int, /) -> bytes:
        return self._outgoing.read(most)

    def bio_write(self, data: bytes, /) -> int:
        return self._incoming.write(data)

    def bio_shutdown(self) -> None:
        self._incoming.write_eof()

    def get_app_data(self) -> list[int]:
        return self._problems

    def get_peer_certificate(self, *, as_cryptography: Literal[True]) -> x509.Certificate | None:
        del as_cryptography  # always
        der = self._tls.getpeercert(binary_form=True)
        return None if der is None else x509.load_der_x509_certificate(der)

    def get_protocol_version_name(self) -> str:
        return self._tls.version() or "TLS"

    def get_cipher_name(self) -> str | None:
        cipher = self._tls.cipher()
        return None if cipher is None else cipher[0]

    @contextmanager
    def _translating(self) -> Iterator[None]:
        """Rule 2."""
        try:
            yield
        except ssl.SSLWantReadError:
            raise SSL.WantReadError from None
        except ssl.SSLZeroReturnError:
            raise SSL.ZeroReturnError from None
        except ssl.SSLEOFError:
            raise SSL.SysCallError(-1, "Unexpected EOF") from None
        except ssl.SSLCertVerificationError as error:
            if error.verify_code in _WRONG_NAME:
                raise wrong_name(self._name) from error
            self._problems.append(error.verify_code)
            raise SSL.Error([("SSL routines", "", error.verify_message)]) from error
        except ssl.SSLError as error:
            reason = (error.reason or str(error)).lower().replace("_", " ")
            raise SSL.Error([("SSL routines", "", reason)]) from error


def _believe(context: ssl.SSLContext, ca: Path | None) -> None:
    if ca is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        return
    try:
        context.load_verify_locations(ca)
    except ssl.SSLError as error:
        raise ClientError(f"the CA file {ca} holds no PEM certificate") from error
    except OSError as error:
        raise ClientError(f"the CA file {ca} cannot be read: {error.strerror}") from error


_WRONG_NAME = (62, 64)
"""X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH."""
