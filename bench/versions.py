"""Which versions were measured."""

from __future__ import annotations

import json
import platform
import ssl
import subprocess
from collections.abc import Collection
from importlib.metadata import version

import targets
from OpenSSL import SSL
from place import GENERATOR, ROOT, install_from_npm


def versions(names: Collection[str]) -> dict[str, str]:
    """A line for each program that took part."""
    ours = ", ".join(f"{name} {version(name)}" for name in ("uvicorn", "uvloop", "httptools", "cryptography"))
    found = {
        "Python": f"{platform.python_version()}, {ours}",
        "load generator": output(str(GENERATOR), "-V"),
        targets.FLOOR: f"{ssl.OPENSSL_VERSION} (Python's ssl)",
    }
    if any(name.startswith(targets.PEER) for name in names):
        found[targets.PEER] = oidc_provider()
    if any(name.startswith(targets.OURS) for name in names):
        openssl = SSL.SSLeay_version(SSL.SSLEAY_VERSION).decode()
        found[targets.OURS] = (
            f"{version('certbound')}, commit {commit()}, pyOpenSSL {version('pyOpenSSL')}, "
            f"joserfc {version('joserfc')}, {openssl}"
        )
    return found


def oidc_provider() -> str:
    """The package as installed, and the Node that runs it."""
    package = install_from_npm("oidc-provider", targets.OIDC_PROVIDER)
    installed = json.loads((package / "package.json").read_text())["version"]
    node = output(str(targets.node()), "-p", "`Node ${process.versions.node}, OpenSSL ${process.versions.openssl}`")
    return f"{installed}, {node}"


def commit() -> str:
    """The commit of the sources, and whether they differ from it."""
    git = ("git", "-C", str(ROOT))
    changed = " with changes" if output(*git, "status", "--porcelain", "src") else ""
    return (output(*git, "rev-parse", "--short", "HEAD") or "unknown") + changed


def output(*command: str) -> str:
    """What a command prints; nothing if it is not there or fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
