"""An issuer on loopback: a real HTTPS server, what it answers, and what it was asked."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from certbound.core.well_known import Issuer
from certbound.resource.issuer import IssuerKeys
from certbound.trust.authority import Authority
from issuing import KEY

METADATA = "/.well-known/oauth-authorization-server"


@dataclass
class Origin:
    """An HTTPS server of our own: what it answers by path, and what it was asked."""

    url: str = ""
    answers: dict[str, tuple[int, bytes] | Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    context: ssl.SSLContext = field(default_factory=ssl.create_default_context)

    def publish(self, *jwks: dict[str, Any], path: str = "", **metadata: Any) -> None:
        """Metadata of this issuer, and these keys."""
        document = {"issuer": self.url + path, "jwks_uri": self.url + "/jwks", **metadata}
        self.answers[METADATA + path.rstrip("/")] = 200, json.dumps(document).encode()
        self.answers["/jwks"] = 200, json.dumps({"keys": jwks}).encode()

    def keys(self, path: str = "", **facts: Any) -> IssuerKeys:
        """The keys behind this issuer, by a clock that a test can set."""
        facts = {"clock": Clock(), "new_client": self.client, **facts}
        return IssuerKeys(Issuer(self.url + path), **facts)

    def client(self) -> httpx.AsyncClient:
        """A client that believes this server."""
        return httpx.AsyncClient(verify=self.context, timeout=5, trust_env=False)


@dataclass
class Clock:
    """Seconds that pass when a test says so."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def respond(handler: BaseHTTPRequestHandler, status: int, body: bytes, encoding: str | None = None) -> None:
    """An answer, said to be encoded so."""
    handler.send_response(status)
    handler.send_header("content-length", str(len(body)))
    if encoding is not None:
        handler.send_header("content-encoding", encoding)
    handler.end_headers()
    handler.wfile.write(body)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origin]:
    """The server, on a port of its own."""
    folder = tmp_path_factory.mktemp("origin")
    root = Authority.create("Origin Root")
    issued = root.issue("CN=localhost", dns=["localhost"], usage="server")
    (folder / "root.pem").write_bytes(root.certificate_pem)
    (folder / "chain.pem").write_bytes(issued.certificate_pem)
    (folder / "key.pem").write_bytes(issued.key_pem)
    origin = Origin(context=ssl.create_default_context(cafile=str(folder / "root.pem")))
    with _Serving(origin, folder):
        yield origin


@pytest.fixture
def origin(server: Origin) -> Origin:
    """The server as if it had just begun, publishing one key."""
    server.answers.clear()
    server.asked.clear()
    server.publish(KEY.public_jwk())
    return server


class _Serving:
    def __init__(self, origin: Origin, folder: Path) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                origin.asked.append(self.path)
                answer = origin.answers.get(self.path, (404, b"{}"))
                if callable(answer):
                    answer(self)
                    return
                self.send_response(answer[0])
                self.send_header("content-length", str(len(answer[1])))
                if answer[0] == 302:
                    self.send_header("location", origin.url + "/elsewhere")
                self.end_headers()
                self.wfile.write(answer[1])

            def log_message(self, *_: Any) -> None:
                """Nothing to standard error."""

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: Any) -> None:
                """A client that leaves is no news."""

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "chain.pem", folder / "key.pem")
        self.server = Server(("localhost", 0), Handler)
        # The handshake is the handler's: whoever is gone before it would hold up everybody, and the end as well.
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        origin.url = f"https://localhost:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
