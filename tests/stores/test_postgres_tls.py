"""The way to a PostgreSQL on another host: TLS with its certificate and name verified, and a password of a file."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from certbound.core.errors import ConfigurationError, StoreUnavailable
from certbound.stores import open_store
from certbound.trust.authority import Authority
from postgres_server import PostgresServer

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def ca() -> Authority:
    """Who certified the database."""
    return Authority.create("Database CA")


@pytest.fixture(scope="module")
def server(ca: Authority) -> Iterator[PostgresServer]:
    """A server of the name localhost, where the role `remote` has the password `s3cr3t/`."""
    issued = ca.issue("CN=db", dns=["localhost"], usage="server")
    with PostgresServer.running(identity=(issued.certificate_pem, issued.key_pem)) as server:
        server.sql(
            "CREATE ROLE remote LOGIN PASSWORD 's3cr3t/'", "CREATE DATABASE remote OWNER remote", database="postgres"
        )
        yield server


@pytest.fixture
def file(ca: Authority, tmp_path: Path) -> Path:
    """The authority's certificate."""
    path = tmp_path / "ca.pem"
    path.write_bytes(ca.certificate_pem)
    return path


async def encrypted(url: str) -> bool:
    """Whether the store's own connection is encrypted."""
    store = await open_store(url)
    try:
        return await store._database.ask(_is_encrypted)  # type: ignore[attr-defined]
    finally:
        await store.close()


async def _is_encrypted(connection: object) -> bool:
    asked = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    return bool((await connection.exec_driver_sql(asked)).scalar())  # type: ignore[attr-defined]


async def test_a_password_in_the_address(server: PostgresServer, file: Path) -> None:
    """Percent-encoded, over TLS."""
    assert await encrypted(f"postgresql://remote:s3cr3t%2F@localhost:{server.port}/remote?sslrootcert={file}")


async def test_a_password_in_a_file(server: PostgresServer, file: Path, tmp_path: Path) -> None:
    """As psql has it, so that no address shows it."""
    passfile = tmp_path / "pgpass"
    passfile.touch(mode=0o600)
    passfile.write_text(f"localhost:{server.port}:remote:remote:s3cr3t/\n")
    place = f"localhost:{server.port}/remote?sslrootcert={file}"
    assert await encrypted(f"postgresql://remote@{place}&passfile={passfile}")


async def test_a_wrong_password_is_not_said(server: PostgresServer, file: Path) -> None:
    """The server's sentence has the name of the role alone."""
    with pytest.raises(StoreUnavailable, match='password authentication failed for user "remote"') as refused:
        await open_store(f"postgresql://remote:hunter2@localhost:{server.port}/remote?sslrootcert={file}")
    assert "hunter2" not in str(refused.value)


async def test_another_authority_is_refused(server: PostgresServer, authority: Authority, tmp_path: Path) -> None:
    """Nothing is sent to a database that this authority did not certify."""
    other = tmp_path / "other.pem"
    other.write_bytes(authority.certificate_pem)
    with pytest.raises(StoreUnavailable, match="certificate verify failed"):
        await open_store(f"postgresql://remote:s3cr3t%2F@localhost:{server.port}/remote?sslrootcert={other}")


async def test_another_name_is_refused(server: PostgresServer, file: Path) -> None:
    """Unless the address says `verify-ca`; the password alone, without TLS, never suffices."""
    place = f"remote:s3cr3t%2F@127.0.0.1:{server.port}/remote"
    with pytest.raises(StoreUnavailable, match="certificate verify failed"):
        await open_store(f"postgresql://{place}?sslrootcert={file}")
    assert await encrypted(f"postgresql://{place}?sslmode=verify-ca&sslrootcert={file}")
    assert await encrypted(f"postgresql://{place}?sslmode=require")
    with pytest.raises(StoreUnavailable, match="no encryption"):
        await open_store(f"postgresql://{place}?sslmode=disable")


async def test_the_manual_is_right(server: PostgresServer, file: Path, tmp_path: Path) -> None:
    """The role, the database and the address of the how-to work together."""
    manual = Path(__file__).parents[2] / "docs" / "how-to" / "postgresql.md"
    [statements] = re.findall(r"^```sql\n(.*?)^```$", manual.read_text(), re.MULTILINE | re.DOTALL)
    server.sql(*statements.splitlines(), database="postgres")
    [line] = re.findall(r"is a line `([^`]+)`", manual.read_text())
    passfile = tmp_path / "pgpass"
    passfile.touch(mode=0o600)
    passfile.write_text(line.replace("db.example:5432", f"localhost:{server.port}"))
    [url] = re.findall(r'^url = "(.*)"$', manual.read_text(), re.MULTILINE)
    url = url.replace("db.example", f"localhost:{server.port}")
    assert await encrypted(url.replace("/etc/certbound/db-ca.pem", f"{file}").replace("/etc/certbound", f"{tmp_path}"))


async def test_a_file_that_is_no_certificate_stops_the_start(server: PostgresServer, tmp_path: Path) -> None:
    """One sentence names it."""
    broken = tmp_path / "broken.pem"
    broken.write_text("no PEM")
    with pytest.raises(ConfigurationError, match=r"files for TLS that cannot be used .*broken.pem"):
        await open_store(f"postgresql://remote@localhost:{server.port}/remote?sslrootcert={broken}")
