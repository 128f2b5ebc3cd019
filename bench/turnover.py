"""Opaque tokens that come and go: what the store grows to, how long a purge takes, what a look costs.

    .venv/bin/python bench/turnover.py [--live 100000] [--turnovers 10] [--looks-among 1000000] [--json]
    .venv/bin/python bench/turnover.py --store postgresql://… --small-store postgresql://…

A constant number of live tokens is turned over: while some are added as many end, and what has ended is purged as the
server purges it.  The clock is the bench's own, so that ten lifetimes take a minute.  Then tokens are looked up among a
thousand and among a million, by turns, so that whoever else uses the machine disturbs both alike.  A figure that misses
what was demanded is marked and makes the exit status 1.  Stores that are named must be empty, and stay full.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import random
import statistics
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import Engine, event, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from certbound.core.ports import AccessTokenRecord, Store
from certbound.server.purging import PAUSE, Purge
from certbound.stores import open_store

LIFETIME = 300.0
"""Seconds a token lives: the shorter, the more ends between two purges."""
TOGETHER = 200
"""Tokens that are added at once."""
FEW = 1000
MOST_GROWTH = 1.3
MOST_STATEMENT = 0.020
MOST_SLOWER = 1.5

CLAIMS = {
    "iss": "https://as.example.com",
    "sub": "client-0123456789",
    "client_id": "client-0123456789",
    "aud": "https://api.example.com",
    "scope": "read write",
    "iat": 1_700_000_000,
    "exp": 1_700_000_300,
    "jti": "MDEyMzQ1Njc4OTAxMjM0NQ",
    "cnf": {"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"},
    "status": {"status_list": {"idx": 123_456, "uri": "https://as.example.com/status/1"}},
}


@dataclass(frozen=True, kw_only=True)
class Figure:
    """What was measured, and what it may be at most, if that was demanded."""

    name: str
    value: float
    unit: str = ""
    most: float | None = None

    @property
    def is_missed(self) -> bool:
        return self.most is not None and self.value > self.most

    def __str__(self) -> str:
        demanded = "" if self.most is None else f"   at most {self.most:g} {'MISSED' if self.is_missed else 'kept'}"
        return f"{self.value:12.3f} {self.unit:5} {self.name}{demanded}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--live", type=int, default=100_000, help="how many tokens live at once (default: 100000)")
    parser.add_argument("--turnovers", type=float, default=10, help="how many lifetimes (default: 10)")
    parser.add_argument("--looks-among", type=int, default=1_000_000, help="tokens to look one up among; 0: no looks")
    parser.add_argument("--looks", type=int, default=10_000, help="how many looks (default: 10000)")
    parser.add_argument("--store", help="an empty database (default: SQLite in a folder of its own)")
    parser.add_argument("--small-store", help="another one, for the looks among few")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    figures = asyncio.run(measure(options))
    if options.json:
        print(json.dumps({each.name: each.value for each in figures}))
    else:
        print("\n".join(map(str, figures)))
    sys.exit(any(each.is_missed for each in figures))


async def measure(options: argparse.Namespace) -> list[Figure]:
    with TemporaryDirectory(prefix="certbound-turnover-") as folder:
        url = options.store or f"sqlite:///{folder}/store.db"
        async with opened(url) as store:
            tokens = Tokens(store, options.live)
            figures = await turn_over(tokens, room_of(url), options.turnovers)
            if options.looks_among:
                small_url = options.small_store or f"sqlite:///{folder}/small.db"
                async with opened(small_url) as small_store:
                    few = Tokens(small_store, FEW)
                    await few.fill(FEW)
                    await tokens.fill(options.looks_among)
                    await Purge(store, lambda: tokens.now).purge()
                    figures += await look_up(few, tokens, options.looks)
        return figures


class Tokens:
    """A constant number of live tokens, and the clock they live by."""

    def __init__(self, store: Store, live: int) -> None:
        self.store = store
        self.live = live
        self.now = 1_700_000_000.0
        self.added = 0
        self.seconds = 0.0

    async def add(self) -> None:
        """Some more, at a later time: as many as end meanwhile, when there are enough."""
        self.now += LIFETIME * TOGETHER / self.live
        begun = time.perf_counter()
        await asyncio.gather(*(self.store.tokens.add(self._token()) for _ in range(TOGETHER)))
        self.seconds += time.perf_counter() - begun

    async def fill(self, count: int) -> None:
        """There are so many new ones, and none of them has ended."""
        self.live = count
        for _ in range(0, count, TOGETHER):
            await self.add()

    def some(self, chance: random.Random) -> str:
        """The digest of one that lives, or of one that never was."""
        return digest(self.added + chance.randrange(1 - self.live, self.live))

    def _token(self) -> AccessTokenRecord:
        self.added += 1
        return AccessTokenRecord(digest=digest(self.added), claims=CLAIMS, ends_at=self.now + LIFETIME)


def digest(number: int) -> str:
    return urlsafe_b64encode(hashlib.sha256(b"%d" % number).digest()).rstrip(b"=").decode()


async def turn_over(tokens: Tokens, room: Callable[[], Awaitable[int]], turnovers: float) -> list[Figure]:
    """The figures of a constant number of tokens over so many lifetimes."""
    purge = Purge(tokens.store, lambda: tokens.now)
    await tokens.fill(tokens.live)
    first = high = await room()
    purged_at = tokens.now
    with timed_deletes() as deletes:
        for _ in range(round(turnovers * tokens.live / TOGETHER)):
            await tokens.add()
            high = max(high, await room())
            if tokens.now >= purged_at + PAUSE:
                purged_at = tokens.now
                await purge.purge()
                high = max(high, await room())
    walls, cpus = sorted(wall for wall, _ in deletes), sorted(cpu for _, cpu in deletes)
    return [
        Figure(name="live tokens", value=tokens.live),
        Figure(name="tokens purged", value=purge.gone),
        Figure(name="the first full state", value=first / 1e6, unit="MB"),
        Figure(name="high-water mark", value=high / 1e6, unit="MB"),
        Figure(name="high-water mark, of the first full state", value=high / first, most=MOST_GROWTH),
        Figure(name="a purge statement, median", value=1000 * statistics.median(walls), unit="ms"),
        Figure(name="a purge statement, p99", value=1000 * percentile(walls, 0.99), unit="ms"),
        Figure(name="a purge statement, longest", value=1000 * walls[-1], unit="ms", most=1000 * MOST_STATEMENT),
        Figure(name="CPU of a purge statement, most", value=1000 * cpus[-1], unit="ms", most=1000 * MOST_STATEMENT),
        Figure(name="added each second, 200 at once", value=(1 + turnovers) * tokens.live / tokens.seconds),
    ]


async def look_up(few: Tokens, many: Tokens, looks: int) -> list[Figure]:
    """What `find` takes among few and among many; every other token is not there."""
    times: dict[int, list[float]] = {few.live: [], many.live: []}
    chance = random.Random(8705)
    for _ in range(looks):
        for tokens in (few, many):
            wanted = tokens.some(chance)
            begun = time.perf_counter()
            await tokens.store.tokens.find(wanted, now=tokens.now)
            times[tokens.live].append(time.perf_counter() - begun)
    small, large = sorted(times[few.live]), sorted(times[many.live])
    slower = percentile(large, 0.99) / percentile(small, 0.99)
    return [
        *(
            Figure(name=f"find among {live}, {title}", value=1000 * value, unit="ms")
            for live, found in ((few.live, small), (many.live, large))
            for title, value in (("median", statistics.median(found)), ("p99", percentile(found, 0.99)))
        ),
        Figure(name=f"find, p99 among {many.live} of that among {few.live}", value=slower, most=MOST_SLOWER),
    ]


@contextmanager
def timed_deletes() -> Iterator[list[tuple[float, float]]]:
    """The seconds of each statement that removes rows: of the clock, and of this process's CPU.

    The CPU is what to look at on a machine that others use; there a longest time is the scheduler's.
    """
    seconds: list[tuple[float, float]] = []
    begun: dict[int, tuple[float, float]] = {}

    def before(connection: Any, _: Any, statement: str, *__: Any) -> None:
        if statement.startswith("DELETE"):
            begun[id(connection)] = time.perf_counter(), time.process_time()

    def after(connection: Any, *_: Any) -> None:
        if id(connection) in begun:
            wall, cpu = begun.pop(id(connection))
            seconds.append((time.perf_counter() - wall, time.process_time() - cpu))

    event.listen(Engine, "before_cursor_execute", before)
    event.listen(Engine, "after_cursor_execute", after)
    try:
        yield seconds
    finally:
        event.remove(Engine, "before_cursor_execute", before)
        event.remove(Engine, "after_cursor_execute", after)


def room_of(url: str) -> Callable[[], Awaitable[int]]:
    """Asks how many bytes the database has: its file with the log, or what PostgreSQL says."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        files = [Path(f"{parsed.database}{end}") for end in ("", "-wal")]

        async def bytes_of_files() -> int:
            return sum(each.stat().st_size for each in files if each.exists())

        return bytes_of_files
    engine = create_async_engine(parsed.set(drivername="postgresql+asyncpg"))

    async def bytes_of_database() -> int:
        async with engine.connect() as connection:
            return int(await connection.scalar(text("SELECT pg_database_size(current_database())")) or 0)

    return bytes_of_database


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Store]:
    store = await open_store(url)
    try:
        yield store
    finally:
        await store.close()


def percentile(ordered: Sequence[float], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


if __name__ == "__main__":
    main()
