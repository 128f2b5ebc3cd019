"""Where the browser comes back to: a port of the loopback interface, for one answer (RFC 8252 section 7.3).

Rule 1: what is no answer to what was started is refused, and waited on; the first that is one is the last.  Whoever
        comes behind it is told so, until the port is closed.
Rule 2: nothing that came is shown on the page, and nothing on it may load or run.
"""

import contextlib
import queue
import socketserver
import threading
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlsplit

from certbound.client import AuthorizationRefused, RedirectUnusable
from certbound.core.errors import ConfigurationError

HOST = "127.0.0.1"

Judge = Callable[[str], str]
"""The code in the URL that the browser came to; `RedirectUnusable`, or `AuthorizationRefused`."""


class Loopback:
    """A port that nobody answers at yet."""

    def __init__(self, server: "_Server", path: str) -> None:
        self._server = server
        self._thread: threading.Thread | None = None
        self.redirect_uri = f"http://{HOST}:{server.server_address[1]}{path}"

    def wait(self, judge: Judge, seconds: float) -> str:
        """The code, once the person comes back.

        `AuthorizationRefused` with what the issuer said, `ConfigurationError` if nobody comes in time.
        """
        self._server.expect(self.redirect_uri, judge)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        try:
            came = self._server.came.get(timeout=seconds)
        except queue.Empty:
            raise ConfigurationError(
                f"nobody came back from the browser within {seconds:.0f} s; try again, with a longer --wait, or "
                "with --device"
            ) from None
        if isinstance(came, AuthorizationRefused):
            raise came
        return came

    def end(self) -> None:
        """Nobody is answered any more."""
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()


@contextlib.contextmanager
def listening(path: str) -> Iterator[Loopback]:
    """A free port, closed at the end of the block."""
    with _Server((HOST, 0), _Handler) as server:
        loopback = Loopback(server, path)
        try:
            yield loopback
        finally:
            loopback.end()


class _Server(socketserver.ThreadingTCPServer):
    """A thread for each connection: browsers open some that they never use."""

    daemon_threads = True
    request_queue_size = 128
    block_on_close = False

    def expect(self, redirect_uri: str, judge: Judge) -> None:
        self.redirect_uri = redirect_uri
        self.judge = judge
        self.came: queue.Queue[str | AuthorizationRefused] = queue.Queue()
        self.ended = threading.Lock()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 10.0

    def do_GET(self) -> None:
        ours = urlsplit(self.server.redirect_uri)
        # (1) It was sent to this address, by this name: no page elsewhere can be called so.
        if self.headers.get_all("Host") != [ours.netloc]:
            self._answer(HTTPStatus.MISDIRECTED_REQUEST, _WRONG)
            return
        # (2) It is the path that the issuer was told.
        if not self.path.startswith("/") or urlsplit(f"http://{ours.netloc}{self.path}").path != ours.path:
            self._answer(HTTPStatus.NOT_FOUND, _WRONG)
            return
        # (3) It answers what was started.
        try:
            came: str | AuthorizationRefused = self.server.judge(f"http://{ours.netloc}{self.path}")
        except AuthorizationRefused as refused:
            came = refused
        except RedirectUnusable:
            self._answer(HTTPStatus.BAD_REQUEST, _WRONG)
            return
        # (4) It is the first.
        if not self.server.ended.acquire(blocking=False):
            self._answer(HTTPStatus.BAD_REQUEST, _WRONG)
            return
        try:
            self._answer(HTTPStatus.OK, _DONE)
        finally:
            self.server.came.put(came)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What is no request, or of another method: the library would show it."""
        self.close_connection = True
        self._answer(HTTPStatus(code), _WRONG)

    def _answer(self, status: HTTPStatus, text: str) -> None:
        body = _PAGE.format(text).encode()
        self.send_response(status)
        for name, value in (*_HEADERS, ("Content-Length", str(len(body)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def version_string(self) -> str:
        return "certbound"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Codes are in the paths."""


_PAGE = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>certbound</title>'
    '<meta name="viewport" content="width=device-width"><h1>certbound</h1><p>{}</p></html>\n'
)
_DONE = "The answer has arrived. You may close this page; the terminal says what came of it."
_WRONG = "This is not the answer that was waited for. Go back to the terminal."
_HEADERS = (
    ("Content-Type", "text/html; charset=utf-8"),
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("Connection", "close"),
)
