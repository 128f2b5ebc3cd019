"""The certificate on a connection, where another server than ours ends TLS and can say it.

    app = GunicornCertificates(app)      # gunicorn: --certfile --keyfile --ca-certs --cert-reqs 1
    app = TLSExtensionCertificates(app)  # ASGI servers that have the `tls` extension

Rule 1: only where asked for: nothing here is tried by itself.
Rule 2: both know only certificates that the server itself verified, so those of an authority that it was given: neither
gunicorn nor Python's ssl can ask for a certificate without verifying it.  Self-signed clients need our own listener, or
a declared proxy.
Rule 3: a server that was not told to ask is an error with the option's name in it, and no "there is no certificate".
"""

import ssl
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from certbound.core.certificate import PeerCertificate, read_certificate
from certbound.core.errors import BadCertificate, ConfigurationError
from certbound.tls.facts import EXTENSION, CertificateSource, ConnectionFacts, connection_facts
from certbound.tls.ports import ASGIApplication, Receive, Scope, Send

WSGIApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class GunicornCertificates(CertificateSource):
    """WSGI middleware under gunicorn: the certificate that it verified stands where our listener would put it."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        # (1) What gunicorn says is of an object that no request can make.
        facts = _facts_of(_tls_socket(environ.get("gunicorn.socket")))
        return self._app({**environ, EXTENSION: facts}, start_response)


class TLSExtensionCertificates(CertificateSource):
    """ASGI middleware over a server that has the `tls` extension (0.2) and verifies certificates itself.

    Facts that our own listener put there stay as they are.
    """

    def __init__(self, app: ASGIApplication) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in {"http", "websocket"} and connection_facts(scope) is None:
            extensions = {**scope.get("extensions", {})}
            extensions[EXTENSION] = _facts_in(extensions.get("tls"))
            scope = {**scope, "extensions": extensions}
        await self._app(scope, receive, send)


def _tls_socket(found: Any) -> ssl.SSLSocket:
    if found is None:
        raise ConfigurationError(
            "GunicornCertificates: this is no worker of gunicorn that shows its connection; run gunicorn with its sync "
            "worker, or put ForwardedCertificates here and a proxy in front"
        )
    if not isinstance(found, ssl.SSLSocket):
        raise ConfigurationError(
            "GunicornCertificates: gunicorn speaks no TLS here; give it --certfile, --keyfile, --ca-certs and "
            "--cert-reqs 1, or put ForwardedCertificates here and a proxy in front"
        )
    if found.context.verify_mode == ssl.CERT_NONE:
        raise ConfigurationError(
            "GunicornCertificates: gunicorn asks nobody for a certificate; give it --cert-reqs 1 and --ca-certs. It "
            "then takes those of that authority alone; for self-signed ones put a proxy in front"
        )
    return found


def _facts_of(connection: ssl.SSLSocket) -> ConnectionFacts:
    # (2) It is there only if the handshake is complete and the chain was verified.
    der = connection.getpeercert(binary_form=True)
    peer, unusable = _peer([der] if der else [])
    return ConnectionFacts(
        peer_certificate=peer, unusable_certificate=unusable, tls_version=connection.version() or "",
        cipher=(connection.cipher() or ("",))[0], group=None, asks_for_certificate=True,
        unusable_der=der or b"" if unusable else b"",
    )  # fmt: skip


def _facts_in(extension: Mapping[str, Any] | None) -> ConnectionFacts:
    if extension is None:
        raise ConfigurationError(
            "TLSExtensionCertificates: this server has no `tls` extension (uvicorn and hypercorn have none); use "
            "certbound run, or put ForwardedCertificates here and a proxy in front"
        )
    # (3) What the server itself did not find good is nobody's certificate.
    error = extension.get("client_cert_error")
    peer, unusable = _peer([] if error else [*map(_der, extension.get("client_cert_chain") or ())])
    return ConnectionFacts(
        peer_certificate=peer, unusable_certificate=str(error) if error else unusable,
        tls_version=_VERSIONS.get(extension.get("tls_version"), ""), cipher="", group=None, asks_for_certificate=True,
    )  # fmt: skip


def _der(pem: str) -> bytes:
    """What one block holds; of anything else nothing, which is no certificate."""
    text = pem.strip()
    if not (text.startswith(_BEGIN) and text.endswith(_END)):
        return b""
    try:
        return b64decode("".join(text[len(_BEGIN) : -len(_END)].split()), validate=True)
    except ValueError:
        return b""


def _peer(ders: Sequence[bytes]) -> tuple[PeerCertificate | None, str | None]:
    """The first is the client's, the others stand behind it; or why that is no certificate."""
    if not ders:
        return None, None
    try:
        return PeerCertificate(read_certificate(ders[0]), tuple(ders[1:])), None
    except BadCertificate as error:
        return None, str(error)


_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
_VERSIONS: Mapping[Any, str] = {0x0303: "TLSv1.2", 0x0304: "TLSv1.3"}
