"""`certbound version`: what runs here."""

import platform
import sys
from importlib import metadata
from typing import Annotated

import typer
from cryptography.hazmat.backends.openssl import backend

import certbound
from certbound.cli._output import note, say_json, say_table

MINIMUM_OPENSSL = (3, 5, 0)
"""The first with X25519MLKEM768 and ML-DSA; those before it get no more security fixes, or will not for long."""


def version(
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say which certbound this is, and which OpenSSL it uses.

    Example: certbound version --json
    """
    found = {
        "certbound": certbound.__version__,
        "python": f"{platform.python_version()} ({sys.executable})",
        "openssl": _openssl(),
        **{name: _installed(name) for name in ("cryptography", "pyOpenSSL", "uvicorn", "SQLAlchemy")},
    }
    if json:
        say_json(found)
    else:
        say_table(found.items())
    if too_old(found["openssl"]):
        note(f"{found['openssl']} is older than {'.'.join(map(str, MINIMUM_OPENSSL))}; upgrade cryptography")


def too_old(openssl: str) -> bool:
    """Whether `OpenSSL 3.5.1 1 Jul 2025` is older than we accept; other libraries are not judged."""
    name, _, rest = openssl.partition(" ")
    numbers = tuple(int(part) for part in rest.partition(" ")[0].split(".") if part.isdigit())
    return name == "OpenSSL" and numbers < MINIMUM_OPENSSL


def _openssl() -> str:
    """The OpenSSL that TLS here runs on, which cryptography brings; not the one of Python's ssl."""
    return backend.openssl_version_text()


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
