"""One HTTP/1.1 request as it is read: what the parser says of it, bounded, and refused where in doubt.  RFC 9112.

Rule 1: every request names one host, and that host belongs to the virtual host of the connection; else 400 or 421.
Rule 2: the header is complete before the application sees it, and never changes afterwards: trailers are dropped.
Rule 3: header and body have bounds.
Rule 4: what cannot be understood beyond doubt is refused.
"""

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from certbound.tls.hosts import covers, host_name, target_authority

if TYPE_CHECKING:
    from certbound.tls.connection import Connection
    from certbound.tls.listener import Service

IDLE, HEADER, BODY = range(3)
"""How far the current request was read."""


class Refused(Exception):
    """Raised out of a parser callback; httptools brings it back as the context of its own error."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class RequestReader(HttpToolsProtocol):
    """uvicorn's protocol, as far as it reads requests."""

    current: RequestResponseCycle | None = None
    """The request that the application works on."""

    def __init__(self, service: "Service", connection: "Connection") -> None:
        listener, site = connection.listener, connection.site
        super().__init__(service.config, service.state, service.lifespan_state, _loop=listener.loop)
        # uvicorn lets requests follow one that said "close"; here nothing after it is read.
        self.parser.set_dangerous_leniencies(lenient_data_after_close=False)
        self.limits = listener.limits
        self.header_bytes, self.header_count = self.limits.header_bytes, self.limits.header_count
        self.names: frozenset[str] = site.names if site is not None else frozenset()
        self.websockets = site is not None and site.host.websockets
        self.extensions: dict[str, Any] = {}
        self.known_host: bytes | None = None  # the Host that was found to be ours last
        self.host: bytes | None = None
        self.reading = IDLE
        self.last = False  # the current request is the last one
        self.fields = self.taken = self.body_taken = self.unfinished = 0
        self.upgrade = self.begun = self.has_body = False

    def begin(self, *, keep_alive: bool) -> None:
        """The header is complete, and `scope` is what it says."""
        raise NotImplementedError

    def serves(self, name: str) -> bool:
        """Whether requests for the host `name` belong here."""
        return covers(self.names, name)

    def on_message_begin(self) -> None:
        if self.last:
            raise Refused(400, "a request after the last one")
        self.reading = HEADER
        self.url = b""
        self.headers = []
        self.host = None
        self.begun = True
        self.fields = self.taken = self.body_taken = self.unfinished = 0
        self.expect_100_continue = self.upgrade = self.has_body = False

    def on_url(self, url: bytes) -> None:
        self.url += url
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields = fields = self.fields + 1
        self.taken = taken = self.taken + len(name) + len(value) + 4
        if taken > self.header_bytes or fields > self.header_count:
            raise Refused(431, "the header is too large")
        if self.reading == BODY:  # a trailer; the application has its headers already
            return
        name = name.lower()
        if name in _OURS:
            self._take(name, value)
        self.headers.append((name, value))

    def _take(self, name: bytes, value: bytes) -> None:
        """A header that says something to us."""
        if name == b"host":
            if self.host is not None:
                raise Refused(400, "two Host fields")
            self.host = value
        elif name == b"expect":
            self.expect_100_continue = value.lower() == b"100-continue"
        elif name == b"upgrade":
            self.upgrade = True
        elif name == b"transfer-encoding":
            self.has_body = True
            if value.lower() != b"chunked" or self.parser.get_http_version() != "1.1":
                raise Refused(400, "a Transfer-Encoding other than chunked in HTTP/1.1")
        elif name == b"content-length":
            self.has_body = True
            self._check_length(value)

    def _count(self, size: int) -> None:
        self.taken += size
        if self.taken > self.limits.header_bytes:
            raise Refused(431, "the header is too large")

    def _check_length(self, value: bytes) -> None:
        # llhttp has made sure that it is a number.
        if self.limits.body_bytes is not None and int(value) > self.limits.body_bytes:
            raise Refused(413, "the body is too large")

    def on_headers_complete(self) -> None:
        # 1. The host that the request is for belongs to the virtual host of the connection.
        if self.host != self.known_host or self.host is None:
            self._check_host()
        # 2. The target names no other host.
        path, query = self._read_target()
        # 3. Only what somebody serves may be upgraded to.
        parser = self.parser
        method, version = parser.get_method(), parser.get_http_version()
        upgrades = (self.upgrade or method == b"CONNECT") and parser.should_upgrade()
        if upgrades and not (self.websockets and self._get_upgrade() == b"websocket" and self.current is None):
            raise Refused(400, "no upgrade is served here")
        # 4. It is HTTP/1: a line without a version is no request with a header, and HTTP/2 looks otherwise.
        if version not in {"1.1", "1.0"}:
            raise Refused(400, "a version other than HTTP/1.0 and HTTP/1.1")
        self.scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme or "https",
            "method": method.decode("ascii"),
            "root_path": "",
            "path": unquote(path) if "%" in path else path,
            "raw_path": path.encode("ascii"),
            "query_string": query,
            "headers": self.headers,
            "state": self.app_state.copy(),
            "extensions": self.extensions.copy(),
        }
        if not upgrades:
            self.begin(keep_alive=version == "1.1" and parser.should_keep_alive())

    def _check_host(self) -> None:
        if self.host is None:
            raise Refused(400, "no Host field")
        name = host_name(self.host)
        if name is None:
            raise Refused(400, "malformed Host field")
        if not self.serves(name):
            raise Refused(421, f"the host {name} is not served on this connection")
        self.known_host = self.host

    def _read_target(self) -> tuple[str, bytes]:
        """Path and query of the request target (RFC 9112 section 3.2)."""
        target = self.url
        if target[:1] != b"/":
            if target == b"*":
                return "*", b""
            authority = target_authority(target)
            if authority is None:
                raise Refused(400, "the request target is no path")
            if host_name(authority) != host_name(self.host or b""):
                raise Refused(400, "the request target names another host than Host")
            rest = target[len(b"https://") + len(authority) :]
            target = rest if rest[:1] == b"/" else b"/" + rest
        path, _, query = target.partition(b"#")[0].partition(b"?")
        if not path.isascii():
            raise Refused(400, "the request target is not ASCII")
        return path.decode("ascii"), query

    def on_body(self, body: bytes) -> None:
        self.body_taken += len(body)
        if self.limits.body_bytes is not None and self.body_taken > self.limits.body_bytes:
            raise Refused(413, "the body is too large")
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.reading == BODY:
            self.reading = IDLE
            self.cycle.more_body = False
            self.cycle.message_event.set()


_OURS = frozenset({b"host", b"expect", b"upgrade", b"transfer-encoding", b"content-length"})
"""The headers that say something to us."""
