"""Connections and requests of which every byte is chosen: other names, other certificates, forged headers, trailers.

Rule 1: the server's certificate is verified whenever something secret is sent: a token goes to nobody unknown.
Rule 2: an answer is bounded in time and size; whatever goes wrong on the way is an answer that says so.
"""

import contextlib
import re
import socket
import ssl
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from OpenSSL import SSL

from certbound.cli._remote import MOST, endpoint_of
from certbound.core.errors import ConfigurationError
from certbound.trust.authority import Issued, self_signed

TIMEOUT = 10.0
"""Seconds for one connection."""
LONGEST = 256 * 1024
"""Bytes of one answer."""
Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is served."""

    host: str
    port: int
    path: str = "/"
    is_plain: bool = False

    @property
    def authority(self) -> str:
        """For the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (80 if self.is_plain else 443) else f"{host}:{self.port}"

    def at(self, path: str) -> "Place":
        """Another path there."""
        return Place(self.host, self.port, path, self.is_plain)


def place_of(url: str) -> Place:
    """Where `url` points.  `ConfigurationError` if it is none of http or https."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"}:
        raise ConfigurationError(f"{url!r:.200} is no URL; write https://HOST or https://HOST:PORT")
    host, port = endpoint_of(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not path.isascii() or not path.isprintable() or " " in path:
        raise ConfigurationError(f"{url!r:.200} has a path that cannot stand in a request")
    is_plain = parts.scheme == "http"
    return Place(host, parts.port or (80 if is_plain else port), path, is_plain)


@dataclass(frozen=True, slots=True)
class Identity:
    """A client certificate and its key, in one PEM file."""

    file: Path
    der: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    raw: bytes = b""
    failure: str = ""
    """Why nothing did."""

    @property
    def status(self) -> int:
        """0 if there was no answer."""
        found = re.match(rb"HTTP/1\.[01] (\d{3})", self.raw)
        return int(found[1]) if found else 0

    @property
    def headers(self) -> dict[str, str]:
        lines = self.raw.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
        return {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}

    @property
    def body(self) -> bytes:
        body = self.raw.partition(b"\r\n\r\n")[2]
        return _unchunked(body) if self.headers.get("transfer-encoding", "").lower() == "chunked" else body

    @property
    def in_words(self) -> str:
        return f"HTTP {self.status}" if self.status else self.failure or "no answer"


@dataclass(frozen=True, slots=True)
class Handshake:
    """How a handshake went."""

    asked: bool = False
    """Whether a certificate was asked for."""
    authorities: int = 0
    """How many names of authorities the server told."""
    failure: str = ""


@dataclass
class Reach:
    """How the deployment is reached: which roots, and where, if not where its names point."""

    ca: Path | None = None
    connect: tuple[str, int | None] | None = None
    own: Identity | None = None
    """The certificate that was given."""
    throwaway: Identity | None = None
    """One that signed itself and that nobody has registered."""
    asked: int = field(default=0, init=False)
    """How many requests were sent."""
    limited: int = field(default=0, init=False)
    """How many answers were 429."""
    _contexts: dict[tuple[Identity | None, bool, ssl.TLSVersion | None], ssl.SSLContext] = field(
        default_factory=dict, init=False, repr=False
    )

    def ask(
        self,
        place: Place,
        *raw: bytes,
        identity: Identity | None = None,
        name: str | None = "",
        version: ssl.TLSVersion | None = None,
        pause: float = 0.1,
    ) -> Answer:
        """The answer to `raw`, in pieces with a pause between; `name` is another server name, None is to say none."""
        self.asked += 1
        try:
            with self._open(place) as plain, self._secured(plain, place, identity, name, version) as stream:
                for at, piece in enumerate(raw):
                    time.sleep(pause if at else 0)
                    stream.sendall(piece)
                answer = Answer(_read(stream))
        except (OSError, UnicodeError) as error:
            return Answer(failure=_why(error))
        self.limited += answer.status == 429
        return answer

    def resumes(self, place: Place, raw: bytes, identity: Identity | None, first: str) -> Answer | None:
        """The answer on a session that began under the name `first` and was resumed; None if none could be."""
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = _context(self.ca, identity, verify_name=False, version=version)
            with contextlib.suppress(OSError):
                with self._open(place) as plain, context.wrap_socket(plain, server_hostname=first) as begun:
                    begun.sendall(f"GET / HTTP/1.1\r\nHost: {first}\r\nConnection: close\r\n\r\n".encode())
                    _read(begun)
                    session = begun.session
                if session is None:
                    continue
                with (
                    self._open(place) as plain,
                    context.wrap_socket(plain, server_hostname=place.host, session=session) as again,
                ):
                    again.sendall(raw)
                    if again.session_reused:
                        return Answer(_read(again))
        return None

    def shake_hands(self, place: Place, name: str | None = "", *, small_records: bool = False) -> Handshake:
        """A handshake without a certificate; what the server asked for."""
        states: set[str] = set()
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_verify(SSL.VERIFY_NONE)
        context.set_info_callback(lambda connection, where, result: states.add(connection.get_state_string().decode()))
        tls = SSL.Connection(context, None)
        tls.set_connect_state()
        if (said := place.host if name == "" else name) and not _is_address(said):
            tls.set_tlsext_host_name(said.encode("idna") if not said.isascii() else said.encode())
        failure = ""
        try:
            with self._open(place) as stream:
                _exchange(tls, stream, small_records=small_records)
        except (OSError, SSL.Error) as error:
            failure = str(
                error.args[0][-1][-1] if isinstance(error, SSL.Error) and error.args and error.args[0] else error
            )
        asked = any("certificate request" in state for state in states)
        return Handshake(asked, len(tls.get_client_ca_list()) if asked else 0, failure or "")

    @contextlib.contextmanager
    def _open(self, place: Place) -> Iterator[socket.socket]:
        host, port = self.connect or (place.host, None)
        with socket.create_connection((host, port or place.port), timeout=TIMEOUT) as stream:
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            yield stream

    def _secured(
        self,
        plain: socket.socket,
        place: Place,
        identity: Identity | None,
        name: str | None,
        version: ssl.TLSVersion | None,
    ) -> "contextlib.AbstractContextManager[socket.socket]":
        if place.is_plain:
            return contextlib.nullcontext(plain)
        context = self._context(identity, verify_name=name == "", version=version)
        return context.wrap_socket(plain, server_hostname=place.host if name == "" else name)

    def _context(
        self, identity: Identity | None, *, verify_name: bool, version: ssl.TLSVersion | None = None
    ) -> ssl.SSLContext:
        known = (identity, verify_name, version)
        if known not in self._contexts:
            self._contexts[known] = _context(self.ca, identity, verify_name=verify_name, version=version)
        return self._contexts[known]


def _context(
    ca: Path | None, identity: Identity | None, *, verify_name: bool, version: ssl.TLSVersion | None
) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca)
    context.check_hostname = verify_name
    if identity is not None:
        context.load_cert_chain(identity.file)
    if version is not None:
        context.set_ciphers("ALL:@SECLEVEL=0")
        with _no_warnings():
            context.minimum_version = context.maximum_version = version
    return context


@contextlib.contextmanager
def throwaway() -> Iterator[Identity]:
    """A certificate of nobody's, for as long as the block runs."""
    made = self_signed("CN=certbound doctor", days=1)
    with TemporaryDirectory() as folder:
        yield write(Path(folder) / "throwaway.pem", made)


def write(file: Path, issued: Issued) -> Identity:
    """Its PEM file."""
    file.touch(mode=0o600)
    file.write_bytes(issued.key_pem + issued.chain_pem)
    return Identity(file, issued.der)


def request(method: str, place: Place, headers: Iterable[tuple[str, str]], body: bytes = b"", host: str = "") -> bytes:
    """Bytes of a request that ends its connection."""
    fields = [("Host", host or place.authority), *headers]
    if not any(name.lower() == "connection" for name, _ in fields):
        fields.append(("Connection", "close"))
    if body:
        fields.append(("Content-Length", str(len(body))))
    head = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return f"{method} {place.path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body


def _read(stream: socket.socket) -> bytes:
    received, deadline = b"", time.monotonic() + TIMEOUT
    while len(received) < LONGEST and time.monotonic() < deadline:
        head, end, body = received.partition(b"\r\n\r\n")
        if end:
            length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
            if length and len(body) >= int(length[1]):
                break
            if re.search(rb"(?i)\r\ntransfer-encoding: *chunked", head) and body.endswith(b"0\r\n\r\n"):
                break
        try:
            more = stream.recv(65536)
        except OSError:
            if received:
                break
            raise
        if not more:
            break
        received += more
    return received


def _unchunked(body: bytes) -> bytes:
    found = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        try:
            length = int(size.split(b";")[0], 16)
        except ValueError:
            break
        found, body = found + rest[:length], rest[length + 2 :]
    return found


def _exchange(tls: SSL.Connection, stream: socket.socket, *, small_records: bool) -> None:
    received, first = 0, True
    while True:
        try:
            tls.do_handshake()
            done = True
        except SSL.WantReadError:
            done = False
        with contextlib.suppress(SSL.WantReadError):
            hello = tls.bio_read(65536)
            stream.sendall(_in_small_records(hello) if small_records and first else hello)
            first = False
        if done:
            return
        data = stream.recv(16384)
        received += len(data)
        if not data or received > MOST:
            raise OSError("it breaks off the handshake")
        tls.bio_write(data)


def _in_small_records(hello: bytes) -> bytes:
    """The one record in `hello` as many, of one byte each."""
    return b"".join(hello[:3] + b"\x00\x01" + bytes([each]) for each in hello[5:])


def _is_address(host: str) -> bool:
    return host.replace(".", "").isdigit() or ":" in host


@contextlib.contextmanager
def _no_warnings() -> Iterator[None]:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def _why(error: OSError | UnicodeError) -> str:
    if isinstance(error, UnicodeError):
        return "no such name"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate cannot be trusted: {error.verify_message.rstrip('.')}"
    return f"{getattr(error, 'reason', None) or error.strerror or error}"
