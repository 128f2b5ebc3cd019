"""Issuers of others, and an API of ours behind our guard that takes their tokens."""

import asyncio
import contextlib
import gzip
import json
import os
import shutil
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from certbound import tls
from certbound.client import open_client
from certbound.resource import Guard, Introspection, ProtectedResource
from certbound.tls import Port, VirtualHost
from certbound.trust.authority import Authority, Issued
from clients.programs import HERE, INSTALLED
from e2e.world import RESOURCE, World, _settings, free_port, sample_api

REDIRECT = "https://app.example/back"
GLEWLWYD = INSTALLED / "glewlwyd"


@dataclass(frozen=True)
class Foreign:
    """A running issuer, that of `world`; its clients are `pki`, by name, and `own`, by its self-signed certificate."""

    world: World
    pki: Issued
    own: Issued | None = None
    """None where no self-signed ones are taken."""
    mtls: str = ""
    """Where its aliases are."""

    @property
    def issuer(self) -> str:
        return self.world.issuer

    @property
    def ca(self) -> Path:
        return self.world.directory / "ca.pem"


def prepare(folder: Path, authority: Authority) -> World:
    """A deployment without an issuer of its own; certificates of servers are there."""
    world = World(folder, authority, _settings(folder, authority, {}))
    world.loop.close()  # nothing of it runs here
    return world


@contextlib.contextmanager
def oidc_provider(
    folder: Path, pki: Issued, own: Issued, authority: Authority, lifetime: int = 60
) -> Iterator[Foreign]:
    """npm `oidc-provider`; access tokens live so many seconds."""
    world, mutual = prepare(folder, authority), free_port()
    port = free_port()
    world.issuer = f"https://localhost:{port}"
    (folder / "own.pem").write_bytes(own.certificate_pem)
    facts = {
        "port": port, "mtls_port": mutual, "key": str(folder / "server.key"), "cert": str(folder / "server.pem"),
        "ca": str(folder / "ca.pem"), "own": str(folder / "own.pem"), "redirect_uri": REDIRECT, "resource": RESOURCE,
        "lifetime": lifetime,
    }  # fmt: skip
    (folder / "facts.json").write_text(json.dumps(facts))
    shutil.copy(HERE / "node" / "oidc_provider.mjs", folder)
    (folder / "node_modules").symlink_to(INSTALLED / "node" / "node_modules")
    with running(["node", "oidc_provider.mjs", "facts.json"], folder, world.issuer, f"https://localhost:{mutual}"):
        yield Foreign(world, pki, own, f"https://localhost:{mutual}")


@contextlib.contextmanager
def glewlwyd(folder: Path, pki: Issued, authority: Authority, lifetime: int = 60) -> Iterator[Foreign]:
    """Debian's `glewlwyd`.  One port, at which everybody is asked for a certificate; its aliases are other paths.

    A certificate that its authority did not issue is none to it, and so it takes no self-signed ones.
    """
    world, port = prepare(folder, authority), free_port()
    root = f"https://localhost:{port}/api"
    world.issuer = f"{root}/oidc"
    with contextlib.closing(sqlite3.connect(folder / "glewlwyd.db")) as database:
        schema = GLEWLWYD / "usr" / "share" / "doc" / "glewlwyd" / "database" / "init.sqlite3.sql.gz"
        database.executescript(gzip.decompress(schema.read_bytes()).decode())
    (folder / "pages").mkdir()
    (folder / "glewlwyd.conf").write_text(_configuration(folder, port))
    libraries = ":".join(str(found) for found in GLEWLWYD.glob("usr/lib/*-linux-*"))
    command = [GLEWLWYD / "usr" / "bin" / "glewlwyd", "--config-file=glewlwyd.conf"]
    with running(command, folder, f"{root}/auth", LD_LIBRARY_PATH=libraries):
        with open_client(ca=folder / "ca.pem") as admin:
            _set_up(admin, root, world.issuer, lifetime)
        yield Foreign(world, pki, mtls=f"{world.issuer}/mtls")


def _configuration(folder: Path, port: int) -> str:
    modules = GLEWLWYD / "usr" / "lib" / "glewlwyd"
    values = {
        "port": port, "bind_address": "127.0.0.1", "external_url": f"https://localhost:{port}", "api_prefix": "api",
        "cookie_secure": 1, "hash_algorithm": "SHA512", "log_mode": "console",
        "log_level": "WARNING", "static_files_path": str(folder / "pages"), "use_secure_connection": True,
        "secure_connection_key_file": str(folder / "server.key"),
        "secure_connection_pem_file": str(folder / "server.pem"),
        "secure_connection_ca_file": str(folder / "ca.pem"),
        "user_module_path": str(modules / "user"), "client_module_path": str(modules / "client"),
        "user_middleware_module_path": str(folder / "pages"),
        "user_auth_scheme_module_path": str(modules / "scheme"), "plugin_module_path": str(modules / "plugin"),
    }  # fmt: skip
    lines = [f"{name}={json.dumps(value)}" for name, value in values.items()]
    return "\n".join([*lines, f'database={{ type="sqlite3" path="{folder / "glewlwyd.db"}" }}', ""])


def _set_up(admin: httpx.Client, root: str, issuer: str, lifetime: int) -> None:
    """What an administrator does at its pages."""
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    plugin = {
        "iss": issuer, "jwt-type": "ecdsa", "jwt-key-size": "256", "key": private, "cert": public, "jwks-show": True,
        "access-token-duration": lifetime, "refresh-token-duration": 600, "code-duration": 60,
        "allow-non-oidc": True, "auth-type-client-enabled": True, "auth-type-code-enabled": True,
        "auth-type-token-enabled": False, "auth-type-implicit-enabled": False, "auth-type-password-enabled": False,
        "auth-type-refresh-enabled": True,
        "client-cert-source": "TLS", "client-cert-use-endpoint-aliases": True, "client-cert-self-signed-allowed": False,
        "resource-allowed": True, "resource-scope": {"read": [RESOURCE]}, "resource-scope-and-client-property": False,
        "introspection-revocation-allowed": True, "introspection-revocation-allow-target-client": True,
    }  # fmt: skip
    instance = {"module": "oidc", "name": "oidc", "display_name": "oidc", "enabled": True, "parameters": plugin}
    scope = {"name": "read", "display_name": "read", "password_required": False, "scheme": {}}
    client = {
        "client_id": "pki", "confidential": True, "enabled": True, "scope": ["read"],
        "authorization_type": ["client_credentials"], "token_endpoint_auth_method": ["tls_client_auth"],
        "tls_client_auth_san_dns": "pki.example",
    }  # fmt: skip
    for path, body in (
        ("/auth/", {"username": "admin", "password": "password"}),
        ("/scope/", scope),
        ("/mod/plugin/", instance),
        ("/client/", client),
    ):
        answer = admin.post(root + path, json=body)
        assert answer.status_code == 200, (path, answer.status_code, answer.text)


@contextlib.contextmanager
def running(command: list[str | Path], folder: Path, *urls: str, **environment: str) -> Iterator[None]:
    """A program of others, until all of `urls` answer; stopped by its process id."""
    log = folder / "program.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            command, cwd=folder, env={"PATH": os.environ["PATH"], "HOME": str(folder), **environment},
            stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 20
        with open_client(ca=folder / "ca.pem") as http:
            for url in urls:
                while not _answers(http, url):
                    assert process.poll() is None, log.read_text()
                    assert time.monotonic() < deadline, log.read_text()
                    time.sleep(0.05)
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def _answers(http: httpx.Client, url: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        http.get(url)
        return True
    return False


@contextlib.contextmanager
def guarded(foreign: Foreign, introspection: Introspection | None = None) -> Iterator[str]:
    """The URL of an API behind our guard that believes this issuer, and asks it about tokens if it is told how."""
    folder = foreign.world.directory
    trusted = ProtectedResource(
        RESOURCE, issuer=foreign.issuer, scopes={"read"}, issuer_ca=str(foreign.ca), introspection=introspection
    )
    host = VirtualHost(
        certificate=folder / "server.pem", key=folder / "server.key", app=Guard(sample_api, trusted),
        asks_for_certificate=True,
    )  # fmt: skip
    ready: Future[tuple[int, Any]] = Future()

    async def live() -> None:
        stopping = asyncio.Event()
        try:
            serving = await tls.start([Port(host="127.0.0.1", port=0, virtual_hosts=(host,))])
        except BaseException as error:
            ready.set_exception(error)
            raise
        loop = asyncio.get_running_loop()
        ready.set_result((serving.addresses[0][1], lambda: loop.call_soon_threadsafe(stopping.set)))
        await stopping.wait()
        await serving.stop(grace=1)

    thread = threading.Thread(target=asyncio.run, args=(live(),))
    thread.start()
    try:
        port, stop = ready.result(20)
        try:
            yield f"https://localhost:{port}"
        finally:
            stop()
    finally:
        thread.join(20)
