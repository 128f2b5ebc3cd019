"""The servers that are measured.  To add one: write its function, and add a line to `TARGETS`.

A function is given the PKI, a free port and an empty folder, makes whatever the server needs, and returns the command
that runs it in the foreground on `https://localhost:PORT`.  The server knows client `pki` (`tls_client_auth`, by its
DNS name) and client `self` (`self_signed_tls_client_auth`), and signs with `sign.pem` for `https://api.example`.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from codes import REDIRECT_URI, ask_for_codes, pour_codes
from pki import DNS_NAME, OTHER_NAME, RESOURCE, Identity, Pki
from place import BENCH, BenchError, clean_environment, install_from_npm

Command = list[str]

OIDC_PROVIDER = "9.13.3"
NODE = "24"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One server, and the client that asks it for tokens."""

    name: str
    prepare: Callable[[], None]
    """Installs what the server lacks; runs once, before anything is measured."""
    make: Callable[[Pki, int, Path], Command]
    """Configures the server on this port in this folder, and returns its command."""
    client_id: str = "pki"
    path: str = "/token"
    extra: bool = False
    """Measured only when named by --only."""
    introspection: str = "/introspect"
    revocation: str = "/revoke"
    codes: Callable[[Pki, int, Path, int], Sequence[str]] | None = None
    """Makes so many authorization codes for client `app`, while the server runs on this port in this folder."""

    @property
    def key(self) -> str:
        """The name without spaces: for --only, and for folders."""
        return self.name.replace(", ", "-").replace(" ", "-")

    @property
    def body(self) -> str:
        resource = RESOURCE.replace(":", "%3A").replace("/", "%2F")
        return f"grant_type=client_credentials&client_id={self.client_id}&scope=api&resource={resource}"

    def identity(self, pki: Pki) -> Identity:
        return pki.selfsigned if self.client_id == "self" else pki.client


def nothing_to_prepare() -> None:
    """Everything is in our own virtual environment."""


def make_floor(pki: Pki, port: int, folder: Path) -> Command:
    """uvicorn, uvloop and httptools as they come, and a bare ASGI application."""
    return [sys.executable, str(BENCH / "peers" / "floor.py"), str(port), str(pki.folder)]


def make_floor_opaque(pki: Pki, port: int, folder: Path) -> Command:
    """The same, which keeps random tokens in a dict, and writes those that were revoked to SQLite."""
    return [*make_floor(pki, port, folder), "opaque"]


def node() -> Path:
    """Node's executable, as npm delivers it; the system's own is not used."""
    machine = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine())
    if machine is None:
        raise BenchError(f"There is no Node on npm for {platform.machine()}: use --only floor,certbound.")
    return install_from_npm(f"node-linux-{machine}", NODE) / "bin" / "node"


def prepare_oidc_provider() -> None:
    """Node and oidc-provider."""
    node()
    install_from_npm("oidc-provider", OIDC_PROVIDER)


def make_oidc_provider(pki: Pki, port: int, folder: Path) -> Command:
    """oidc-provider with its memory store."""
    package = install_from_npm("oidc-provider", OIDC_PROVIDER)
    script = BENCH / "peers" / "oidc_provider.mjs"
    return [str(node()), str(script), str(port), str(pki.folder), str(package)]


def make_oidc_provider_opaque(pki: Pki, port: int, folder: Path) -> Command:
    """oidc-provider that gives references, and keeps all of them in memory."""
    return [*make_oidc_provider(pki, port, folder), "opaque"]


# ADAPT HERE when `certbound serve`, its settings, or `certbound client add` change.
def make_certbound(pki: Pki, port: int, folder: Path, **more: dict[str, object]) -> Command:
    """certbound as it is installed: one process, one mutual-TLS host without aliases, SQLite."""
    settings: dict[str, dict[str, object]] = {
        "server": {
            "issuer": f"https://localhost:{port}",
            "certificate": str(pki.server.certificate_file),
            "key": str(pki.server.key_file),
            "host": "127.0.0.1",
            "port": port,
        },
        "store": {"url": f"sqlite:///{folder / 'certbound.sqlite'}"},
        "trust": {"anchors": [str(pki.client_ca.certificate_file)]},
        "tokens": {"scopes": ["api"], "resources": [RESOURCE]},
        "keys": {"file": str(pki.signing_key_file)},
    }
    settings |= {table: {**settings.get(table, {}), **keys} for table, keys in more.items()}
    config = folder / "certbound.toml"
    config.write_text(toml(settings))
    certbound = str(Path(sys.executable).with_name("certbound"))
    at = ["--config", str(config)]
    run(certbound, "client", "add", "--id", "pki", *at, "--san-dns", DNS_NAME, "--scope", "api")
    selfsigned = str(pki.selfsigned.certificate_file)
    run(certbound, "client", "add", "--id", "self", *at, "--self-signed", selfsigned, "--scope", "api")
    return [certbound, "serve", *at]


def make_certbound_soft(pki: Pki, port: int, folder: Path) -> Command:
    """certbound that asks a revocation list of 100 entries about each certificate."""
    revocation: dict[str, object] = {"mode": "soft", "crls": [str(pki.client_crl_file)]}
    return make_certbound(pki, port, folder, revocation=revocation)


def make_certbound_jwt(pki: Pki, port: int, folder: Path, **tokens: object) -> Command:
    """certbound with a client `api` that serves the resource; tokens live for an hour."""
    settings: dict[str, object] = {"scopes": ["api"], "resources": [RESOURCE], "lifetime": 3600, **tokens}
    command = make_certbound(pki, port, folder, tokens=settings)
    at = ["--config", str(folder / "certbound.toml")]
    run(command[0], "client", "add", "--id", "api", *at, "--san-dns", OTHER_NAME, "--protects", RESOURCE, "--scope", "")
    return command


def make_certbound_opaque(pki: Pki, port: int, folder: Path) -> Command:
    """The same, whose tokens are references, kept in SQLite."""
    return make_certbound_jwt(pki, port, folder, opaque=[RESOURCE])


def make_oidc_provider_codes(pki: Pki, port: int, folder: Path) -> Command:
    """oidc-provider with a client that acts for people."""
    return [*make_oidc_provider(pki, port, folder), "codes"]


def make_certbound_codes(pki: Pki, port: int, folder: Path) -> Command:
    """certbound where people log in, at a host that this port is not, with client `app`, which acts for them."""
    server: dict[str, object] = {
        "issuer": "https://localhost",
        "port": 0,
        "mtls_url": f"https://localhost:{port}",
        "mtls_port": port,
    }
    command = make_certbound(
        pki, port, folder, server=server, tokens={"scopes": ["api", "openid"]}, login={"accounts": True}
    )
    at = ["--config", str(folder / "certbound.toml")]
    known = ["--san-dns", DNS_NAME, "--redirect-uri", REDIRECT_URI, "--scope", "openid api"]
    run(command[0], "client", "add", "--id", "app", *at, *known)
    return command


def make_certbound_counted(pki: Pki, port: int, folder: Path) -> Command:
    """The same, which writes down each statement that SQLite executes."""
    command = make_certbound_codes(pki, port, folder)
    return [sys.executable, str(BENCH / "counted.py"), str(folder / "statements"), *command[1:]]


def toml(settings: dict[str, dict[str, object]]) -> str:
    """Tables of strings, numbers and lists of strings; JSON writes these as TOML does."""
    lines = []
    for table, keys in settings.items():
        lines += [f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items()), ""]
    return "\n".join(lines)


def run(*command: str) -> None:
    """`BenchError` with what the command said, if it failed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=clean_environment())
    if done.returncode:
        raise BenchError(f"`{' '.join(command)}` failed: {done.stderr.strip() or done.stdout.strip()}")


FLOOR, PEER, OURS, SOFT = "floor", "oidc-provider", "certbound", "certbound, revocation soft"

TARGETS = (
    Target(name=FLOOR, prepare=nothing_to_prepare, make=make_floor),
    Target(name=PEER, prepare=prepare_oidc_provider, make=make_oidc_provider),
    Target(name=OURS, prepare=nothing_to_prepare, make=make_certbound),
    Target(name="certbound, self-signed", prepare=nothing_to_prepare, make=make_certbound, client_id="self"),
    Target(name=SOFT, prepare=nothing_to_prepare, make=make_certbound_soft),
    Target(
        name="oidc-provider, self-signed",
        prepare=prepare_oidc_provider,
        make=make_oidc_provider,
        client_id="self",
        extra=True,
    ),
)

FLOOR_OPAQUE = "floor, opaque"
PEER_OPAQUE, OURS_OPAQUE, OURS_JWT = "oidc-provider, opaque", "certbound, opaque", "certbound, JWT"

QUESTIONED = (
    Target(name=FLOOR_OPAQUE, prepare=nothing_to_prepare, make=make_floor_opaque),
    Target(
        name=PEER_OPAQUE,
        prepare=prepare_oidc_provider,
        make=make_oidc_provider_opaque,
        introspection="/token/introspection",
        revocation="/token/revocation",
    ),
    Target(name=OURS_OPAQUE, prepare=nothing_to_prepare, make=make_certbound_opaque),
    Target(name=OURS_JWT, prepare=nothing_to_prepare, make=make_certbound_jwt),
)
"""Those whose introspection and revocation are measured: client `api` asks, by the DNS name of `other_name`."""

PEER_CODES, OURS_CODES = "oidc-provider, codes", "certbound, codes"

EXCHANGED = (
    Target(
        name=PEER_CODES,
        prepare=prepare_oidc_provider,
        make=make_oidc_provider_codes,
        codes=ask_for_codes,
    ),
    Target(name=OURS_CODES, prepare=nothing_to_prepare, make=make_certbound_codes, codes=pour_codes),
)
"""Those whose code exchange and refresh are measured: client `app`, by the same name as `pki`."""

COUNTED = Target(name="certbound, counted", prepare=nothing_to_prepare, make=make_certbound_counted, codes=pour_codes)
"""Told apart: it is slower for being watched."""
