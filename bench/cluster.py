"""A PostgreSQL server of the bench's own, as Debian delivers it: what is committed is on the disk."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
from place import ROOT, BenchError

sys.path.insert(1, str(ROOT / "tests"))

from postgres_server import OWNER, PostgresServer

AS_DELIVERED = {
    "fsync": "on",
    "full_page_writes": "on",
    "autovacuum": "on",
    "checkpoint_timeout": "5min",
    "max_wal_size": "1GB",
    "wal_level": "replica",
}
"""What tests set otherwise, to be quick."""


class Cluster(PostgresServer):
    """On the disk, where the tests' own is in memory."""

    @classmethod
    @contextmanager
    def started(cls) -> Iterator[Cluster]:
        """A new one.  `BenchError` if there is no PostgreSQL to start."""
        folder = Path(tempfile.mkdtemp(prefix="certbound-pg-"))
        options = [word for name, value in AS_DELIVERED.items() for word in ("-c", f"{name}={value}")]
        try:
            cluster = cls(folder, options=("-c", "listen_addresses=", *options))
            try:
                if os.geteuid() == 0:
                    shutil.chown(folder, "postgres", "postgres")
                cluster._make()
                cluster.start()
            except (AssertionError, LookupError) as error:
                raise BenchError(str(error)) from error
            try:
                cluster.sql(f"CREATE ROLE {OWNER} LOGIN", database="postgres")
                yield cluster
            finally:
                cluster.stop()
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @property
    def pid(self) -> int:
        """The process that all others of the server are children of."""
        assert self._process
        return self._process.pid

    @property
    def version(self) -> str:
        """The number alone."""
        return self.sql("SHOW server_version", database="postgres").split()[0]


def seconds_of(pid: int) -> float:
    """CPU time of one process so far, as clock_getcpuclockid(3) has it; quicker to ask than that of a tree."""
    return time.clock_gettime((~pid << 3) | 2)


class Waits:
    """How many processes of the server wait for a lock, looked at now and then."""

    PAUSE = 0.05

    def __init__(self, cluster: Cluster) -> None:
        self._url = cluster.url("postgres")
        self._done = threading.Event()
        self._seen: list[int] = []

    @classmethod
    @contextmanager
    def watched(cls, cluster: Cluster) -> Iterator[Waits]:
        """It looks meanwhile."""
        waits = cls(cluster)
        thread = threading.Thread(target=lambda: asyncio.run(waits._look()))
        thread.start()
        try:
            yield waits
        finally:
            waits._done.set()
            thread.join()

    @property
    def mean(self) -> float:
        return sum(self._seen) / max(len(self._seen), 1)

    async def _look(self) -> None:
        connection = await asyncpg.connect(self._url)
        question = await connection.prepare(_WAITING)
        while not self._done.is_set():
            self._seen.append(await question.fetchval())
            await asyncio.sleep(self.PAUSE)
        await connection.close()


_WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE pid <> pg_backend_pid() AND wait_event_type IN ('Lock', 'LWLock') AND wait_event <> 'WALWrite'
"""
