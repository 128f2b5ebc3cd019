"""Apache with mod_oauth2 as a foreign resource server, and the API behind it."""

import contextlib
import grp
import http.server
import json
import os
import pwd
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from certbound.trust.authority import Issued
from clients.programs import HERE
from e2e.world import RESOURCE, Answer, World, free_port

APACHE = "/usr/sbin/apache2"


@dataclass(frozen=True)
class Apache:
    """A running one."""

    url: str
    deployment: World
    folder: Path

    def ask(self, token: str | None, identity: Issued | None, path: str = "/", **headers: str) -> Answer:
        bearer = {} if token is None else {"authorization": f"Bearer {token}"}
        return self.deployment.ask(self.url + path, identity, method="GET", headers={**bearer, **headers})

    @property
    def log(self) -> str:
        return (self.folder / "error.log").read_text()


class Upstream(http.server.BaseHTTPRequestHandler):
    """The API: says which headers reached it."""

    def do_GET(self) -> None:
        body = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def apache(deployment: World, secret: str, folder: Path) -> Iterator[Apache]:
    """Its own configuration, free ports, in the foreground; stopped by its process id.  `secret` is that of client
    `apache`, which introspects."""
    upstream = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    thread = threading.Thread(target=upstream.serve_forever, daemon=True)
    thread.start()
    port = free_port()
    account = pwd.getpwnam("www-data") if os.getuid() == 0 else pwd.getpwuid(os.getuid())
    defined = {
        "FOLDER": folder,
        "USER": account.pw_name,
        "GROUP": grp.getgrgid(account.pw_gid).gr_name,
        "PORT": port,
        "KEYS_PORT": free_port(),
        "UPSTREAM_PORT": upstream.server_address[1],
        "CERT": deployment.directory / "server.pem",
        "KEY": deployment.directory / "server.key",
        "CA": deployment.directory / "ca.pem",
        "SECRET": secret,
        "ISSUER": deployment.issuer,
        "AUDIENCE": RESOURCE,
    }
    options = [part for name, value in defined.items() for part in ("-C", f"Define {name} {value}")]
    command = [APACHE, *options, "-f", str(HERE / "apache" / "httpd.conf"), "-DFOREGROUND"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    running = Apache(f"https://localhost:{port}", deployment, folder)
    try:
        _until_it_answers(process, running)
        yield running
    finally:
        process.terminate()
        process.communicate(timeout=20)
        upstream.shutdown()
        upstream.server_close()
        thread.join(10)


def _until_it_answers(process: subprocess.Popen[str], running: Apache) -> None:
    deadline = time.monotonic() + 20
    while True:
        with contextlib.suppress(OSError):
            running.ask(None, None)
            return
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)
