"""Opaque tokens that come and go: what the store grows to, how long a purge takes, what a look costs.

.venv/bin/python bench/turnover.py            SQLite and PostgreSQL; writes bench/turnover.md
.venv/bin/python bench/turnover.py --quick    a smoke test of both; writes .work/bench/turnover.md
.venv/bin/python bench/turnover.py --on sqlite --live 20000 --turnovers 3 --looks-among 100000 --asked 0 --json

A constant number of live tokens is turned over: while some are added as many end, and what has ended is purged as the
server purges it.  The clock is the bench's own, so that ten lifetimes take a minute.  Then tokens are looked up among a
thousand and among a million, by turns, so that whoever else uses the machine disturbs both alike: first in the store,
and then by those who ask two servers over TLS, about each token once.  A figure that misses what was demanded is marked
and makes the exit status 1.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import hashlib
import json
import random
import statistics
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import machine
from cluster import Cluster, seconds_of
from measure import Load, Running, generator, load, started
from pki import OTHER_NAME, RESOURCE, Pki, make_pki
from place import BENCH, CACHE, BenchError, build_generator, only_one, say, status_of
from questions import LIVE
from report import row
from sqlalchemy import Engine, delete, event, insert, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine
from targets import Command, Target, make_certbound, nothing_to_prepare, run
from versions import commit

import client
from certbound.core.authentication import digest_of
from certbound.core.ports import AccessTokenRecord, Store
from certbound.server.purging import PAUSE, Purge
from certbound.stores import open_store
from certbound.stores.content import write_json
from certbound.stores.schema import access_tokens

LIFETIME = 300.0
"""Seconds a token lives: the shorter, the more ends between two purges."""
LONG = 3600.0
"""Seconds that those live which are looked up: until the bench has ended."""
TOGETHER = 200
"""Tokens that are added at once."""
POURED = 10_000
FEW = 1000
MOST_GROWTH = 1.3
MOST_STATEMENT = 0.020
MOST_SLOWER = 1.5
TURNS = 7
"""How often each server is asked by turns; the median of what was seen counts."""
TOGETHER_ASKED = (1, 16)
"""Connections of those who ask."""

FULL = {"live": 100_000, "turnovers": 10.0, "looks_among": 1_000_000, "looks": 5000, "asked": 1000}
QUICK = {"live": 5000, "turnovers": 2.0, "looks_among": 20_000, "looks": 1000, "asked": 200}

CLAIMS: Mapping[str, Any] = {
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
        shown = f"{self.value:,.0f}" if self.value >= 1000 else f"{self.value:.3g}"
        return f"{shown} {self.unit}".strip() + (" **missed**" if self.is_missed else "")


Found = dict[str, list[Figure]]
"""The figures by the store."""


def main() -> int:
    options = read_options()
    is_full = options.on == ",".join(PLACES) and all(getattr(options, name) == usual for name, usual in FULL.items())
    out = options.out or (BENCH if is_full else CACHE) / "turnover.md"
    with only_one() if options.asked else nullcontext():
        found = {name: asyncio.run(measure(name, options)) for name in options.on.split(",")}
    if options.json:
        print(json.dumps({name: {each.name: each.value for each in figures} for name, figures in found.items()}))
    else:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(page := render(found))
        print(f"\n{page}")
        say(f"written to {out}")
    return 1 if any(each.is_missed for figures in found.values() for each in figures) else 0


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Turns over opaque tokens, and looks some up among many.")
    parser.add_argument("--on", default=",".join(PLACES), metavar="A,B", help=f"which stores ({', '.join(PLACES)})")
    parser.add_argument("--quick", action="store_true", help="few of all: a smoke test, not a measurement")
    parser.add_argument("--live", type=int, metavar="N", help="how many tokens live at once (100000)")
    parser.add_argument("--turnovers", type=float, metavar="N", help="how many lifetimes (10)")
    parser.add_argument(
        "--looks-among", type=int, metavar="N", help="tokens to look one up among; 0: no looks (1000000)"
    )
    parser.add_argument("--looks", type=int, metavar="N", help="how many looks in the store (5000)")
    parser.add_argument(
        "--asked", type=int, metavar="N", help="introspections in a turn, 1000 at most; 0: no servers (1000)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object in the last line, and write nothing")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where the results go")
    options = parser.parse_args()
    for name, usual in (QUICK if options.quick else FULL).items():
        if getattr(options, name) is None:
            setattr(options, name, usual)
    if strange := set(options.on.split(",")) - set(PLACES):
        parser.error(f"{', '.join(sorted(strange))} is no store; there are {', '.join(PLACES)}")
    if options.looks_among and options.asked > min(FEW, options.looks_among // (len(TOGETHER_ASKED) * (TURNS + 1))):
        parser.error("there are not so many tokens to ask about, each once: lower --asked")
    return options


async def measure(name: str, options: argparse.Namespace) -> list[Figure]:
    """All figures of one store."""
    with PLACES[name]() as place:
        async with opened(place.url) as store:
            say(f"{name}: {options.turnovers:g} turnovers of {options.live} tokens")
            async with room_of(place.url) as room:
                figures = await turn_over(Tokens(store, options.live), room, options.turnovers)
            if options.looks_among:
                figures += await look(name, place, store, options)
    return figures


async def look(name: str, place: Place, store: Store, options: argparse.Namespace) -> list[Figure]:
    """What it costs to find a token among few and among many: in the store, and over TLS."""
    async with AsyncExitStack() as stack:
        small = await stack.enter_async_context(opened(place.small_url))
        few, many = Tokens(small, FEW), Tokens(store, options.looks_among)
        served = []
        if options.asked:
            build_generator()
            pki, cores = make_pki(CACHE / "pki"), machine.two_cores()
            for tokens, url in ((few, place.small_url), (many, place.url)):
                make = partial(make_server, url)
                target = Target(name=f"{name} of {tokens.live}", prepare=nothing_to_prepare, make=make)
                server = stack.enter_context(started(target, pki, cores))
                tokens.claims = await claims_of(server, tokens.store, pki)
                served.append(Served(server, tokens, url))
        for tokens, url in ((few, place.small_url), (many, place.url)):
            say(f"{name}: {tokens.live} tokens")
            await tokens.pour(url)
        say(f"{name}: looks")
        figures = await look_up(few, many, options.looks)
        if options.asked:
            say(f"{name}: introspection")
            figures += await ask_by_turns(served[0], served[1], pki, options.asked, cores)
        return figures


class Tokens:
    """A constant number of live tokens, and the clock they live by."""

    def __init__(self, store: Store, live: int) -> None:
        self.store = store
        self.live = live
        self.now = 1_700_000_000.0
        self.claims = CLAIMS
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

    async def pour(self, url: str) -> None:
        """Other ones are there, and nothing else; written past the store: a look does not care how they came."""
        self.now, said = time.time(), write_json(self.claims, "claims")
        parsed = make_url(url)
        driver = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}[parsed.get_backend_name()]
        engine = create_async_engine(parsed.set(drivername=driver))
        async with engine.begin() as connection:
            await connection.execute(delete(access_tokens))
        begun, self.added = self.added, self.added + self.live
        for first in range(begun + 1, self.added + 1, POURED):
            numbers = range(first, min(first + POURED, self.added + 1))
            rows = [{"digest": digest_of(token(n)), "claims": said, "ends_at": self.now + LONG} for n in numbers]
            async with engine.begin() as connection:
                await connection.execute(insert(access_tokens), rows)
        await engine.dispose()

    def some(self, chance: random.Random) -> str:
        """The digest of one that lives, or of one that never was."""
        return digest_of(token(self.added + chance.randrange(1 - self.live, self.live)))

    def in_turn(self, chance: random.Random) -> Iterator[str]:
        """Those that live, each once."""
        begun = self.added - self.live
        return (token(begun + 1 + number) for number in chance.sample(range(self.live), self.live))

    def _token(self) -> AccessTokenRecord:
        self.added += 1
        return AccessTokenRecord(digest=digest_of(token(self.added)), claims=self.claims, ends_at=self.now + LIFETIME)


def token(number: int) -> str:
    """A token that looks as those of a server do."""
    return "cbat_" + urlsafe_b64encode(hashlib.sha256(b"%d" % number).digest()).rstrip(b"=").decode()


async def turn_over(tokens: Tokens, room: Callable[[], Awaitable[int]], turnovers: float) -> list[Figure]:
    """The figures of a constant number of tokens over so many lifetimes."""
    purge = Purge(tokens.store, lambda: tokens.now)
    await tokens.fill(tokens.live)
    gc.collect()
    gc.freeze()  # what the bench remembers is nothing that a purge would look through
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


def make_server(url: str, pki: Pki, port: int, folder: Path) -> Command:
    """certbound on this database, whose tokens are opaque, and a client `api` that asks about them."""
    tokens = {"scopes": ["api"], "resources": [RESOURCE], "lifetime": int(LONG), "opaque": [RESOURCE]}
    command = make_certbound(pki, port, folder, store={"url": url}, tokens=tokens)
    at = ["--config", str(folder / "certbound.toml")]
    run(command[0], "client", "add", "--id", "api", *at, "--san-dns", OTHER_NAME, "--protects", RESOURCE, "--scope", "")
    return command


async def claims_of(server: Running, store: Store, pki: Pki) -> Mapping[str, Any]:
    """What the server's own tokens say."""
    answer = client.ask(client.make_context(pki, pki.client), server.port, "/token", server.target.body)
    record = await store.tokens.find(digest_of(json.loads(answer.body)["access_token"]), now=time.time())
    if record is None:
        raise BenchError("the server's token is not in the store")
    return record.claims


@dataclass(frozen=True, slots=True)
class Served:
    """A server, and the tokens it is asked about."""

    server: Running
    tokens: Tokens
    url: str


async def ask_by_turns(few: Served, many: Served, pki: Pki, asked: int, cores: tuple[int, int]) -> list[Figure]:
    """What an introspection takes of who asks for few and for many, each token once: nothing is remembered of it."""
    chance = random.Random(7662)
    rest = many.tokens.in_turn(chance)
    figures = []
    for connections in TOGETHER_ASKED:
        turns: list[tuple[Load, Load]] = []
        for number in range(TURNS + 1):
            await few.tokens.pour(few.url)
            wanted = {few: few.tokens.in_turn(chance), many: rest}
            found = {
                each: introspect(each.server, list(islice(wanted[each], asked)), pki, connections, cores)
                for each in ((few, many) if number % 2 else (many, few))
            }
            if number > 0:  # the first is to warm up
                turns.append((found[few], found[many]))
        how = "one at a time" if connections == 1 else f"{connections} at a time"
        for each, loads in zip((few, many), zip(*turns, strict=True), strict=True):
            figures += [
                Figure(
                    name=f"introspection among {each.tokens.live}, {how}, {title}",
                    value=median_of(loads, field),
                    unit=unit,
                )
                for title, field, unit in (("median", "p50_ms", "ms"), ("p99", "p99_ms", "ms"), ("CPU", "cpu_us", "µs"))
            ]
        slower = statistics.median(large.p99_ms / small.p99_ms for small, large in turns)
        title = f"introspection, {how}, p99 among {many.tokens.live} of that among {few.tokens.live}"
        figures.append(Figure(name=title, value=slower, most=MOST_SLOWER))
    return figures


def introspect(server: Running, tokens: Sequence[str], pki: Pki, connections: int, cores: tuple[int, int]) -> Load:
    """A question about each, over so many connections; every answer is `active`."""
    bodies = CACHE / "run" / server.target.key / "bodies"
    bodies.write_text("".join(f"client_id=api&token={each}\n" for each in tokens))
    more = {"u": server.target.introspection, "f": bodies, "e": LIVE.decode()}
    return load(server, cores, generator(server, pki.other_name, "keep", len(tokens), connections, **more))


def median_of(loads: Sequence[Load], field: str) -> float:
    values: list[float] = [getattr(each, field) for each in loads]
    return statistics.median(values)


@contextmanager
def timed_deletes() -> Iterator[list[tuple[float, float]]]:
    """The seconds of each statement that removes rows: of the clock, and of CPU, ours and the database's.

    The CPU is what to look at on a machine that others use; there a longest time is the scheduler's.
    """
    seconds: list[tuple[float, float]] = []
    begun: dict[int, tuple[float, float]] = {}

    def before(connection: Any, _: Any, statement: str, *__: Any) -> None:
        if statement.startswith("DELETE"):
            begun[id(connection)] = time.perf_counter(), cpu_of(connection)

    def after(connection: Any, *_: Any) -> None:
        if id(connection) in begun:
            wall, cpu = begun.pop(id(connection))
            seconds.append((time.perf_counter() - wall, cpu_of(connection) - cpu))

    event.listen(Engine, "before_cursor_execute", before)
    event.listen(Engine, "after_cursor_execute", after)
    try:
        yield seconds
    finally:
        event.remove(Engine, "before_cursor_execute", before)
        event.remove(Engine, "after_cursor_execute", after)


def cpu_of(connection: Any) -> float:
    """Of this process, and of the one that PostgreSQL has for the connection."""
    if connection.dialect.name == "sqlite":
        return time.process_time()
    cpu: float = time.process_time() + seconds_of(connection.connection.driver_connection.get_server_pid())
    return cpu


@asynccontextmanager
async def room_of(url: str) -> AsyncIterator[Callable[[], Awaitable[int]]]:
    """Asks how many bytes the database has: its file with the log, or what PostgreSQL says."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        files = [Path(f"{parsed.database}{end}") for end in ("", "-wal")]

        async def bytes_of_files() -> int:
            return sum(each.stat().st_size for each in files if each.exists())

        yield bytes_of_files
        return
    engine = create_async_engine(parsed.set(drivername="postgresql+asyncpg"))

    async def bytes_of_database() -> int:
        async with engine.connect() as connection:
            return int(await connection.scalar(text("SELECT pg_database_size(current_database())")) or 0)

    yield bytes_of_database
    await engine.dispose()


@dataclass(frozen=True, slots=True)
class Place:
    """Two empty databases."""

    url: str
    small_url: str


@contextmanager
def on_sqlite() -> Iterator[Place]:
    with TemporaryDirectory(prefix="certbound-turnover-") as folder:
        yield Place(f"sqlite:///{folder}/store.db", f"sqlite:///{folder}/small.db")


@contextmanager
def on_postgresql() -> Iterator[Place]:
    with Cluster.started() as cluster:
        yield Place(cluster.url(cluster.database()), cluster.url(cluster.database()))


PLACES = {"sqlite": on_sqlite, "postgresql": on_postgresql}
TITLES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Store]:
    store = await open_store(url)
    try:
        yield store
    finally:
        await store.close()


def percentile(ordered: Sequence[float], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


# The page


def render(found: Found) -> str:
    """The whole page."""
    table = [row(["", *(TITLES[name] for name in found), "at most"]), row(["---", *["---:"] * (len(found) + 1)])]
    by_name = {name: {each.name: each for each in figures} for name, figures in found.items()}
    for each in next(iter(found.values())):
        most = "" if each.most is None else f"{each.most:g} {each.unit}".strip()
        table.append(row([each.name, *(str(figures[each.name]) for figures in by_name.values()), most]))
    parts = [
        "# Opaque tokens that come and go",
        "Written by `make bench-turnover`; what the figures mean: [README](README.md).",
        f"{time.strftime('%Y-%m-%d')}. Machine: {machine.description()}; commit {commit()}.",
        "\n".join(table),
    ]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    sys.exit(status_of(main))
