"""The HTTP face of `certbound ca ocsp` (RFC 6960 appendix A), for this machine only.

Rule: what is asked is bounded, in bytes and in time, before it is read.
"""

from base64 import b64decode
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from certbound.core.errors import ConfigurationError
from certbound.trust.authority import Authority
from certbound.trust.ledger import Ledger, answer_ocsp

HOST = "127.0.0.1"
MOST = 4096
"""Bytes of one question."""


def respond(
    authority: Authority, ledger: Callable[[], Ledger], crl: Path, *, port: int, on_ready: Callable[[str], None]
) -> None:
    """Answers until interrupted; `ledger` is read for each question.  `ConfigurationError` if the port is taken."""
    try:
        server = make_responder(authority, ledger, crl, port=port)
    except OSError as error:
        raise ConfigurationError(f"--port: {HOST}:{port} cannot be listened on: {error.strerror}") from error
    with server:
        on_ready(f"http://{HOST}:{server.server_address[1]}")
        server.serve_forever()


def make_responder(
    authority: Authority, ledger: Callable[[], Ledger], crl: Path, *, port: int = 0
) -> ThreadingHTTPServer:
    """A server that listens and does not answer yet."""
    return _Responder(authority, ledger, crl, port)


class _Responder(ThreadingHTTPServer):
    """What every question is answered from."""

    def __init__(self, authority: Authority, ledger: Callable[[], Ledger], crl: Path, port: int) -> None:
        self.authority, self.ledger, self.crl = authority, ledger, crl
        super().__init__((HOST, port), _Question)


class _Question(BaseHTTPRequestHandler):
    server: _Responder
    timeout = 5
    server_version = "certbound"
    sys_version = ""

    def do_GET(self) -> None:
        if self.path == "/ca.crl":
            self._give_crl()
            return
        try:
            self._answer(b64decode(unquote(self.path.removeprefix("/")), validate=True))
        except ValueError:
            self.send_error(404)

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length[:9]) > MOST:
            self.send_error(413)
            return
        self._answer(self.rfile.read(int(length)))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - so it is called above
        """A question is no news."""

    def _answer(self, question: bytes) -> None:
        try:
            answer = answer_ocsp(self.server.authority, self.server.ledger(), question, datetime.now(UTC))
        except (ConfigurationError, OSError):  # no record, no answer: never a wrong "good"
            self.send_error(500)
            return
        self._send(answer, "application/ocsp-response")

    def _give_crl(self) -> None:
        try:
            self._send(_as_der(self.server.crl.read_bytes()), "application/pkix-crl")
        except (OSError, ValueError):
            self.send_error(404)

    def _send(self, content: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _as_der(crl: bytes) -> bytes:
    """RFC 5280 section 4.2.1.13: what is had by HTTP is DER."""
    return x509.load_pem_x509_crl(crl).public_bytes(Encoding.DER) if crl.startswith(b"-----") else crl
