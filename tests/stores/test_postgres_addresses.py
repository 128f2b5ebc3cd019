"""Addresses of PostgreSQL: which there are, what they mean, and that a password in one stays out of every text."""

import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from certbound import settings
from certbound.cli.config import hidden_password
from certbound.core.errors import CertboundError, ConfigurationError, StoreUnavailable
from certbound.stores import open_store
from certbound.stores.postgres import _address
from certbound.trust.authority import Authority

GIVEN: dict[str, Any] = {
    "server": {"issuer": "https://as.example", "certificate": "a", "key": "a"},
    "tokens": {"resources": ["https://api.example"]},
}


@pytest.fixture
def ca(authority: Authority, tmp_path: Path) -> Path:
    """An authority of the database's certificate."""
    path = tmp_path / "ca.pem"
    path.write_bytes(authority.certificate_pem)
    return path


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://h", "names no database"),
        ("postgresql:///db", "names no host; for the socket of this machine add ?host=/var/run/postgresql"),
        ("postgresql://u@/db", "names no host"),
        ("postgresql://h/db?sslmode=prefer", "has sslmode='prefer'; write one of verify-full, "),
        ("postgresql://h/db?sslmode=verify_full", "has sslmode='verify_full'"),
        ("postgresql://h/db?connect_timeout=5", "has 'connect_timeout', which is none of host, "),
        ("postgresql://h/db?options=-csynchronous_commit=off", "has 'options'"),
        ("postgresql://h/db?sslrootcert=ca.pem", "has sslrootcert='ca.pem'; write the whole path"),
        ("postgresql://h/db?passfile=pgpass", "has passfile='pgpass'; write the whole path"),
        ("postgresql://h/db?sslrootcert=/nowhere/ca.pem", "files for TLS that cannot be used (/nowhere/ca.pem): "),
        ("postgresql://h/db?timeout=0", "has timeout='0', which is no number between 0.1 and 600"),
        ("postgresql://h/db?pool=many", "has pool='many', which is no number between 2 and 200"),
        ("postgresql+psycopg://h/db", "has no accepted form"),
        ("postgres://h/db", "has no accepted form; write one of "),
    ],
)
async def test_an_address_that_cannot_work_stops_the_start(url: str, said: str) -> None:
    """One sentence says what is wrong with it, before anything is connected to."""
    with pytest.raises(ConfigurationError) as refused:
        await open_store(url)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("place", "verified", "name"),
    [
        ("db.example/x?sslrootcert={ca}", True, True),
        ("db.example/x", True, True),  # by the authorities of the system
        ("127.0.0.1/x?sslrootcert={ca}", True, True),
        ("db.example/x?sslmode=verify-ca&sslrootcert={ca}", True, False),
        ("db.example/x?sslmode=require&sslrootcert={ca}", True, False),
        ("db.example/x?sslmode=require", False, False),
        ("/x?host=db.example&sslrootcert={ca}", True, True),
        ("/x?host=/run/postgresql&host=db.example", True, True),
    ],
)
def test_another_host_is_verified(place: str, verified: bool, name: bool, ca: Path) -> None:
    """Its certificate and its name, unless the address asks for less."""
    tls = _address(make_url(f"postgresql://{place.format(ca=ca)}")).tls
    assert isinstance(tls, ssl.SSLContext)
    assert (tls.verify_mode is ssl.CERT_REQUIRED, tls.check_hostname) == (verified, name)


@pytest.mark.parametrize(
    "place", ["localhost/x", "[::1]/x", "127.0.0.1:5433/x", "/x?host=/run/postgresql", "db.example/x?sslmode=disable"]
)
def test_where_there_is_no_tls(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On this machine, or where the address says so; the environment has no say."""
    monkeypatch.setenv("PGSSLMODE", "require")
    assert _address(make_url(f"postgresql://{place}")).tls is False


_WITHOUT_DRIVER = """
import asyncio, sys
sys.modules["asyncpg"] = None
from certbound.stores import open_store
asyncio.run(asyncio.wait_for(open_store("sqlite://"), 10))
asyncio.run(open_store("postgresql://u@localhost/db"))
"""


def test_who_lacks_the_driver_is_told_what_to_install() -> None:
    """And SQLite needs none."""
    done = subprocess.run([sys.executable, "-c", _WITHOUT_DRIVER], capture_output=True, text=True, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert "a store on PostgreSQL needs asyncpg: pip install 'certbound[server,postgresql]'" in last


SECRETS = [
    "postgresql://user:hunter2@127.0.0.1:1/db",
    "postgresql://user:hun%2Fhunter2@127.0.0.1:1/db?timeout=1",
    "postgresql+asyncpg://user:hunter2@/db?host=/nowhere",
    "postgresql://user:hunter2@h/db?sslmode=maybe",
    "postgresql://user:hunter2@h",
    "postgresql://user:hunter2@h:port/db",
    "postgresql:user:hunter2@h/db",
    "mysql://user:a/hunter2:b@h/db",
    "postgresql://user:a@hunter2@h/db",
    "postgresql://user:hun?hunter2@h/db",
    "postgresql://user@h/db?password=hunter2",
    "postgresql://user@h/db?sslpassword=hunter2",
]


@pytest.mark.parametrize("url", SECRETS, ids=range(len(SECRETS)))
async def test_a_password_is_in_no_refusal(url: str) -> None:
    """Whatever is wrong with the address or its database, no text of the error nor of its causes has the password."""
    with pytest.raises((ConfigurationError, StoreUnavailable)) as refused:
        await open_store(url)
    error: BaseException | None = refused.value
    while error is not None:
        assert "hunter2" not in f"{error} {error!r}"
        error = error.__cause__


@pytest.mark.parametrize("url", SECRETS, ids=range(len(SECRETS)))
def test_a_password_is_not_shown(url: str) -> None:
    """Settings either refuse the address, without its text, or every place that shows it masks the password."""
    assert "hunter2" not in _shown(url)


def _shown(url: str) -> str:
    try:
        found = settings.read({**GIVEN, "store": {"url": url}}, where="certbound.toml", base=Path())
    except CertboundError as error:
        return str(error)
    return hidden_password(found.store.url)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://certbound:p%40ss@db.example/certbound?sslrootcert=/etc/ca.pem",
        "postgresql://certbound@/certbound?host=/run/postgresql&passfile=/run/credentials/certbound@1.service/pgpass",
        "sqlite:////srv/a@b:c/password=/store.db",
    ],
)
def test_addresses_that_are_settings(url: str) -> None:
    """An address that keeps its password where one may stand is taken as it is."""
    assert settings.read({**GIVEN, "store": {"url": url}}, where="", base=Path()).store.url == url
