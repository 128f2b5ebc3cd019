"""What a connection proved, and how an application reads it.

Rule 1: the facts are a value of our own class, put into the scope by the listener; nothing in a request can make one.
Rule 2: a certificate that cannot be read is not "no certificate": it is told apart, and is still nobody's identity.
Rule 3: who the immediate peer is stands in a `Hop`, which only our listener makes: `scope["client"]` is rewritten by
        some servers from a header, and a Unix socket has none.
Rule 4: for other applications the same facts as the ASGI TLS extension 0.2, which is honest about what was not done:
        possession of the key is proven, the certificate is judged by nobody.
"""

from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from certbound.core.certificate import Certificate, PeerCertificate

EXTENSION = "certbound.tls"
"""Where the listener puts `ConnectionFacts`: `scope["extensions"][EXTENSION]`, or in WSGI `environ[EXTENSION]`."""

HOP = "certbound.hop"
"""Where the listener puts the `Hop`: `scope["extensions"][HOP]`."""

DECIDED = "certbound.decided"
"""Where a guard says that it let the request pass, in the scope or the environ: who says only then which certificate
the client holds says it too late."""

NOT_JUDGED = "not verified: possession of the key is proven, the certificate itself was not judged"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionFacts:
    """One TLS connection after its handshake: what the peer proved and what was agreed."""

    peer_certificate: PeerCertificate | None
    """The client certificate whose key the peer holds; None on hosts that do not ask."""
    unusable_certificate: str | None = None
    """Why the certificate that was sent cannot be read; then `peer_certificate` is None."""
    tls_version: str
    """As OpenSSL writes it: `TLSv1.3`."""
    cipher: str
    group: str | None
    """The key agreement, `X25519MLKEM768` for one."""
    asks_for_certificate: bool
    """Whether the virtual host asked."""
    server_name: str | None = None
    """The virtual host's name that the client asked for (SNI), lower case; None if it named none."""
    unusable_der: bytes = field(default=b"", repr=False)
    forwarded_by: str | None = None
    """The contract of the believed proxy that forwarded it, and then versions and names are unknown; None where no such
    proxy did."""


class CertificateSource:
    """What stands in front of an application and says which certificate a client holds; a guard stands behind it."""


@dataclass(frozen=True, slots=True)
class Hop:
    """The immediate peer, as the socket has it.  With neither address nor certificate it came by a Unix socket."""

    address: str | None
    """The numeric IP address; None on a Unix socket."""
    certificate: PeerCertificate | None = None
    """What the peer itself proved to hold; of a proxy, its own identity and not that of its clients."""

    @property
    def is_unix(self) -> bool:
        """Whether it came by a Unix socket of our own listener."""
        return self.address is None


def hop(scope: Mapping[str, Any]) -> Hop | None:
    """The immediate peer; None if our listener is not under the application, and then nobody knows."""
    extensions = scope.get("extensions")
    found = extensions.get(HOP) if extensions else None
    return found if isinstance(found, Hop) else None


def connection_facts(scope: Mapping[str, Any]) -> ConnectionFacts | None:
    """The facts of the connection that a request came on; None if our listener is not under the application."""
    extensions = scope.get("extensions")
    facts = extensions.get(EXTENSION) if extensions else None
    return facts if isinstance(facts, ConnectionFacts) else None


def environ_facts(environ: Mapping[str, Any]) -> ConnectionFacts | None:
    """As `connection_facts`, of a WSGI request: what something in front of the application put there, or None."""
    facts = environ.get(EXTENSION)
    return facts if isinstance(facts, ConnectionFacts) else None


def peer_certificate(scope: Mapping[str, Any]) -> PeerCertificate | None:
    """The client certificate whose key the peer proved to hold (RFC 8705), or None."""
    facts = connection_facts(scope)
    return facts.peer_certificate if facts is not None else None


class TLSExtension(dict[str, Any]):
    """`scope["extensions"]["tls"]`: the ASGI TLS extension 0.2, written out when somebody first looks.

    Most requests are for applications that read our own facts; PEM and names cost more than the rest of a request.
    """

    __slots__ = ("_facts", "_server_certificate")

    def __init__(self, facts: ConnectionFacts, server_certificate: str | None) -> None:
        super().__init__()
        self._facts: ConnectionFacts | None = facts
        self._server_certificate = server_certificate

    def _write(self) -> None:
        facts, self._facts = self._facts, None
        if facts is not None:
            self.update(_tls_extension(facts, self._server_certificate))


def _written_first(method: Callable[..., Any]) -> Callable[..., Any]:
    def call(self: TLSExtension, *arguments: Any) -> Any:
        self._write()
        return method(self, *arguments)

    return call


for _name in (
    "__contains__", "__eq__", "__getitem__", "__iter__", "__len__", "__or__", "__repr__", "__ror__", "copy", "get",
    "items", "keys", "values",
):  # fmt: skip
    setattr(TLSExtension, _name, _written_first(getattr(dict, _name)))


def _tls_extension(facts: ConnectionFacts, server_certificate: str | None) -> dict[str, Any]:
    peer = facts.peer_certificate
    ders = [peer.leaf.der, *peer.chain] if peer else [facts.unusable_der] if facts.unusable_der else []
    return {
        "server_cert": server_certificate,
        "client_cert_chain": [_pem(der) for der in ders],
        "client_cert_name": _subject(peer.leaf) if peer else None,
        "client_cert_error": facts.unusable_certificate or (NOT_JUDGED if peer else None),
        "tls_version": _VERSIONS.get(facts.tls_version),
        "cipher_suite": _CIPHER_SUITES.get(facts.cipher),
    }


def _subject(certificate: Certificate) -> str | None:
    """The subject as RFC 4514 writes it, for display; None if it holds values that have no text."""
    try:
        return certificate.parsed.subject.rfc4514_string() or None
    except (ValueError, TypeError):
        return None


def _pem(der: bytes) -> str:
    text = b64encode(der).decode("ascii")
    lines = (text[start : start + 64] for start in range(0, len(text), 64))
    return "\n".join(("-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""))


_VERSIONS = {"TLSv1.2": 0x0303, "TLSv1.3": 0x0304}
_CIPHER_SUITES = {
    "TLS_AES_128_GCM_SHA256": 0x1301,
    "TLS_AES_256_GCM_SHA384": 0x1302,
    "TLS_CHACHA20_POLY1305_SHA256": 0x1303,
    "ECDHE-ECDSA-AES128-GCM-SHA256": 0xC02B,
    "ECDHE-ECDSA-AES256-GCM-SHA384": 0xC02C,
    "ECDHE-RSA-AES128-GCM-SHA256": 0xC02F,
    "ECDHE-RSA-AES256-GCM-SHA384": 0xC030,
    "ECDHE-RSA-CHACHA20-POLY1305": 0xCCA8,
    "ECDHE-ECDSA-CHACHA20-POLY1305": 0xCCA9,
}
