"""A PostgreSQL server of a test's own: made, started, killed, started again and thrown away.

Rules kept here:
- its folder, socket and processes are its own; nothing of a PostgreSQL that the machine runs is touched;
- PostgreSQL refuses to run as root, so root becomes the user `postgres` for it;
- the cluster sorts as people do (ICU), so that nothing relies on the order of bytes by accident;
- `fsync` is off: a process that is killed loses nothing that it wrote, only a machine does.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

OWNER = "server"
"""The role that stores are opened as: no superuser; it owns its databases, as in the manual."""
_ADMINISTRATOR = "tester"


class PostgresServer:
    """A cluster in `folder`, and the process that serves it."""

    def __init__(self, folder: Path, *, port: int = 5432, options: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.port = port
        self._data = folder / "data"
        self._options = ("-k", str(folder), "-p", str(port), *_SETTINGS, *options)
        self._numbers = count(1)
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    @contextmanager
    def running(cls, *, identity: tuple[bytes, bytes] | None = None) -> Iterator["PostgresServer"]:
        """A new cluster: its socket alone, or with a certificate and key a TLS port for passwords too."""
        folder = Path(tempfile.mkdtemp(prefix="certbound-pg-", dir=_place()))  # short: a socket's path has 107 bytes
        try:
            if os.geteuid() == 0:
                shutil.chown(folder, "postgres", "postgres")
            if identity is None:
                server = cls(folder, options=("-c", "listen_addresses="))
            else:
                server = cls(folder, port=free_port(), options=_over_tls(folder, *identity))
            server._make()
            server.start()
            try:
                server.sql(f"CREATE ROLE {OWNER} LOGIN", database="postgres")
                yield server
            finally:
                server.stop()
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def start(self) -> None:
        """It answers."""
        log = (self.folder / "log").open("ab")
        deadline = time.monotonic() + 30
        # After a kill the old processes need a moment to see that they are alone; until then a new one refuses.
        while time.monotonic() < deadline:
            command = _as_postgres(_binary("postgres"), "-D", str(self._data), *self._options)
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            while self._process.poll() is None and time.monotonic() < deadline:
                if self._answers():
                    log.close()
                    return
                time.sleep(0.02)
            time.sleep(0.05)
        raise AssertionError(f"PostgreSQL does not start: {(self.folder / 'log').read_text()}")

    def stop(self) -> None:
        """It has ended, its connections too; without a last checkpoint, for its data is thrown away."""
        self._end(signal.SIGQUIT)

    def kill(self) -> None:
        """It was killed: `kill -9` of the postmaster, and its processes end when they notice."""
        self._end(signal.SIGKILL)

    def database(self, *, template: str = "template1") -> str:
        """The name of a new database: empty, or a copy of one that nobody uses."""
        name = f"test{next(self._numbers)}"
        self.sql(f"CREATE DATABASE {name} OWNER {OWNER} TEMPLATE {template}", database="postgres")
        return name

    @contextmanager
    def holding(self, statement: str, *, database: str) -> Iterator[Callable[[], int]]:
        """Within it, somebody's transaction has executed the statement and does not end.

        What is given says how many connections to this database wait for a lock.
        """
        command = [_binary("psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", *self._where(database)]
        holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert holder.stdin
        assert holder.stdout
        try:
            holder.stdin.write(f"BEGIN;\n{statement};\n\\echo held\n")
            holder.stdin.flush()
            while line := holder.stdout.readline():
                if line == "held\n":
                    break
            assert line, "psql ended"
            waiting = f"SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = '{database}'"
            yield lambda: int(self.sql(waiting, database="postgres"))
        finally:
            holder.communicate("ROLLBACK;\n", timeout=10)

    def url(self, database: str, **query: object) -> str:
        """Its address, over the socket."""
        more = "".join(f"&{name}={value}" for name, value in query.items())
        return f"postgresql://{OWNER}@/{database}?host={self.folder}&port={self.port}{more}"

    def sql(self, *statements: str, database: str) -> str:
        """What psql says."""
        commands = [part for each in statements for part in ("-c", each)]
        told = subprocess.run(
            [_binary("psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", *self._where(database), *commands],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert told.returncode == 0, told.stderr
        return told.stdout.strip()

    def _where(self, database: str) -> list[str]:
        return ["-h", str(self.folder), "-p", str(self.port), "-U", _ADMINISTRATOR, "-d", database]

    def _make(self) -> None:
        locale = ["--locale=C.UTF-8", "--encoding=UTF8", "--locale-provider=icu", "--icu-locale=en"]
        who = ["-U", _ADMINISTRATOR, "-A", "trust"]
        made = subprocess.run(
            _as_postgres(_binary("initdb"), "-D", str(self._data), "--no-sync", *who, *locale),
            capture_output=True, text=True, check=False, cwd=self.folder,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr

    def _answers(self) -> bool:
        where = ["-h", str(self.folder), "-p", str(self.port), "-q"]
        return subprocess.run([_binary("pg_isready"), *where], check=False).returncode == 0

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None


def _place() -> str | None:
    """Memory, if there is plenty: a database is 7 MB in 300 files, and each test has one."""
    memory = Path("/dev/shm")
    is_plenty = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 8 << 30
    return str(memory) if is_plenty else None


def _over_tls(folder: Path, certificate: bytes, key: bytes) -> tuple[str, ...]:
    files = {
        "ssl_cert_file": certificate,
        "ssl_key_file": key,
        "hba_file": b"local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n",
    }
    options = ["-c", "listen_addresses=127.0.0.1", "-c", "ssl=on"]
    for name, content in files.items():
        path = folder / name
        path.touch(mode=0o600)
        path.write_bytes(content)
        if os.geteuid() == 0:
            shutil.chown(path, "postgres", "postgres")
        options += ["-c", f"{name}={path}"]
    return tuple(options)


def free_port() -> int:
    """A TCP port of loopback that nobody has at the moment."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def _as_postgres(*command: str) -> list[str]:
    if os.geteuid() != 0:
        return list(command)
    try:
        pwd.getpwnam("postgres")
    except KeyError:
        raise AssertionError(_LACKING) from None
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", *command]


def _binary(name: str) -> str:
    """Debian keeps the server's programs out of the path, a folder for each version."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda each: float(each.parent.name), reverse=True)
    found = next((str(each / name) for each in folders if (each / name).exists()), None) or shutil.which(name)
    assert found, _LACKING
    return found


# Autovacuum is off, so that what the store does of its own is seen, and nothing else.
_SETTINGS = (
    "-c", "fsync=off", "-c", "full_page_writes=off", "-c", "autovacuum=off", "-c", "max_connections=200",
    "-c", "checkpoint_timeout=1h", "-c", "max_wal_size=4GB", "-c", "wal_level=minimal", "-c", "max_wal_senders=0",
)  # fmt: skip

_LACKING = "these tests start a PostgreSQL server of their own: apt-get install postgresql (15 or newer)"
