"""Chromium, as people have it, and what it noticed: a policy that a page violated fails the test that saw the page."""

import base64
import hashlib
import http.server
import shutil
import socketserver
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

CHROMIUM = "/usr/bin/chromium"
AXE = Path(__file__).parents[2] / ".work" / "browser" / "node_modules" / "axe-core" / "axe.min.js"
SWITCHES = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")


def needs(path: str | Path) -> None:
    """Fails, and says what to do, where something is not installed."""
    if shutil.which(path) is None and not Path(path).exists():
        pytest.fail(f"{path} is needed; run tests/browser/setup")


@asynccontextmanager
async def chromium(*, trusting: Path | None = None, switches: Sequence[str] = ()) -> AsyncIterator[Browser]:
    """A browser that takes the key of one certificate for good, and no other."""
    needs(CHROMIUM)
    trust = () if trusting is None else (f"--ignore-certificate-errors-spki-list={key_hash(trusting)}",)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=[*SWITCHES, *trust, *switches])
        yield browser
        await browser.close()


@asynccontextmanager
async def tab(browser: Browser, **options: Any) -> AsyncIterator[Page]:
    """A tab of a profile of its own, with the options of Playwright's contexts; without scripts unless they say so."""
    context = await browser.new_context(**{"java_script_enabled": False, "locale": "en-GB", **options})
    async with watched(context):
        try:
            page = await context.new_page()
            page.set_default_timeout(20_000)
            yield page
        finally:
            await context.close()


@asynccontextmanager
async def watched(context: BrowserContext) -> AsyncIterator[None]:
    """At the end nothing is there that a policy kept from running, no error of a script, and no dialog."""
    violations: list[str] = []
    context.on("console", lambda said: violations.append(said.text) if "Content Security Policy" in said.text else None)
    context.on("weberror", lambda error: violations.append(str(error.error)))
    context.on("dialog", lambda dialog: violations.append(f"dialog: {dialog.message}"))
    yield
    assert [] == violations


@dataclass
class Site:
    """A site of others on loopback: an app's, or an attacker's.  `calls` are the requests it got, as they came in."""

    url: str = ""
    calls: list[tuple[str, str, Mapping[str, str], Mapping[str, str]]] = field(default_factory=list)
    """Method, path, parameters of the URL or the form, headers in lower case."""
    pages: dict[str, str] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    """By path."""

    def called(self, path: str) -> Mapping[str, str]:
        """The parameters of the last call there."""
        return next(parameters for _, each, parameters, _ in reversed(self.calls) if each == path)


@contextmanager
def site(host: str = "127.0.0.1", certificate: tuple[Path, Path] | None = None, port: int = 0) -> Iterator[Site]:
    """One that runs; over TLS with a certificate and its key."""
    built = Site()

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """Browsers open connections that they do not use."""

    server = Server(("127.0.0.1", port), _handler(built))
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    built.url = f"{'https' if certificate else 'http'}://{host}:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield built
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def _handler(built: Site) -> Callable[..., socketserver.BaseRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        timeout = 20

        def do_GET(self) -> None:
            self._answer(urlsplit(self.path).query)

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers.get("content-length", 0))).decode())

        def _answer(self, said: str) -> None:
            path = urlsplit(self.path).path
            headers = {name.lower(): value for name, value in self.headers.items()}
            built.calls.append((self.command, path, dict(parse_qsl(said)), headers))
            body = built.pages.get(path, f"<!doctype html><title>{path}</title><p>arrived").encode()
            self.send_response(303 if path in built.redirects else 200)
            if path in built.redirects:
                self.send_header("location", built.redirects[path])
            self.send_header("content-type", "text/html; charset=utf-8")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


def key_hash(file: Path) -> str:
    """Of the certificate in a file, as Chromium wants it."""
    certificate = x509.load_pem_x509_certificates(file.read_bytes())[0]
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(key).digest()).decode()
