"""`certbound version`: what runs here."""

import json

from OpenSSL import SSL

from certbound import __version__
from certbound.cli.version import too_old

from .conftest import Certbound


def test_version_says_what_runs(certbound: Certbound) -> None:
    """certbound, Python, the libraries under it, and the OpenSSL that TLS here runs on."""
    found = json.loads(certbound("version", "--json").out)
    assert found["certbound"] == __version__
    assert found["openssl"] == SSL.OpenSSL_version(SSL.OPENSSL_VERSION).decode()
    assert set(found) == {"certbound", "python", "openssl", "cryptography", "pyOpenSSL", "uvicorn", "SQLAlchemy"}
    told = certbound("version")
    assert (told.status, told.err) == (0, "")
    assert all(value in told.out for value in found.values())


def test_version_as_an_option(certbound: Certbound) -> None:
    """`certbound --version` is the short answer."""
    assert certbound("--version").out == f"certbound {__version__}\n"


def test_an_old_openssl_is_told() -> None:
    """Releases without post-quantum key exchange are old; other libraries are not judged by OpenSSL's numbers."""
    assert too_old("OpenSSL 1.1.1w  11 Sep 2023")
    assert too_old("OpenSSL 3.0.20 1 Sep 2026")
    assert not too_old("OpenSSL 3.5.0 8 Apr 2025")
    assert not too_old("OpenSSL 4.0.0-beta1 1 Apr 2026")
    assert not too_old("BoringSSL")
