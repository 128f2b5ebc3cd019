"""One server process against two on one PostgreSQL: tokens, introspection, revocation.  Writes postgres.md.

.venv/bin/python bench/postgres.py            three to five minutes; writes bench/postgres.md
.venv/bin/python bench/postgres.py --quick    under a minute; writes .work/bench/postgres.md

Two cores are enough, since no process gets a whole one.  Two that share a core are measured twice: with a database for
each, where neither knows of the other, and with one for both.  What one of the former does is what one process does;
what both of the latter do is what two do on a database.  All else is the same: half a core and half of its caches for
each, the load of PostgreSQL, the generators beside it on the other core.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import mean, median
from subprocess import PIPE

import machine
from cluster import Cluster, Waits
from measure import Running, generator, go, hear, started
from pki import OTHER_NAME, RESOURCE, Identity, Pki, make_pki
from place import BENCH, CACHE, BenchError, build_generator, only_one, say, status_of
from questions import DEAD, LIVE
from report import row
from targets import Command, Target, make_certbound, nothing_to_prepare, run, toml
from versions import commit

import client

OPAQUE = "https://opaque.example"
"""A resource whose tokens are references; those of `RESOURCE` are JWTs."""
LEAST = 1.8
"""As many times the requests of one process two are to answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much each process is asked."""

    rounds: int
    warm: int
    asked: int
    """Tokens of either format, and introspections."""
    revoked: int
    connections: int
    patience: float
    """Seconds to wait for a quiet machine before each life."""


FULL = Plan(rounds=3, warm=2000, asked=5000, revoked=1500, connections=32, patience=30.0)
QUICK = Plan(rounds=1, warm=300, asked=800, revoked=300, connections=32, patience=0.0)
TOLERANCE = {False: 0.0, True: 0.25}
"""How much of the goal may be missed in a full and in a quick run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What all generators together showed."""

    rate: float
    """Requests per second, of all processes that have the same database."""
    cpu_us: float
    """User and system time of the server processes for one request."""
    database_us: float
    """That of PostgreSQL."""
    p50_ms: float
    p99_ms: float
    """Of a process; the mean of both."""
    share: float
    """Of a core, that each server process had."""
    beside: float
    """What the database and these generators had of the other core."""
    waiting: float
    """How many of PostgreSQL's processes waited for a lock, on the average."""
    others: float
    """What others had of that core."""


KINDS = {
    "jwt": "a token, JWT",
    "opaque": "a token, opaque",
    "introspection": "introspection, opaque",
    "revocation": "revocation, opaque",
}

Life = dict[str, Figures]
"""What two processes showed, by the kind of request."""


def main() -> int:
    options = read_options()
    plan = QUICK if options.quick else FULL
    out = options.out or (CACHE if options.quick else BENCH) / "postgres.md"
    with only_one():
        rounds = measure_all(plan, out)
    least = LEAST * (1 - TOLERANCE[options.quick])
    missed = {kind: more for kind in KINDS if (more := gain(rounds, kind)) < least} if options.check else {}
    for kind, more in missed.items():
        print(f"bench: {KINDS[kind]}: two processes do {more:.2f} × one; the goal is {LEAST}", file=sys.stderr)
    return 1 if missed else 0


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measures one server process against two on one PostgreSQL.")
    parser.add_argument("--quick", action="store_true", help="one short round: a smoke test, not a measurement")
    parser.add_argument("--check", action="store_true", help="exit 1 if the goal is missed; a quarter less if quick")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where the results go")
    return parser.parse_args()


def measure_all(plan: Plan, out: Path) -> list[tuple[Life, Life]]:
    """All rounds, each a life of two databases and a life of one; which comes first alternates."""
    cores = machine.two_cores()
    build_generator()
    pki = make_pki(CACHE / "pki")
    rounds: list[tuple[Life, Life]] = []
    with ExitStack() as stack:
        with machine.on_core(cores[1]):
            cluster = stack.enter_context(Cluster.started())
        for number in range(plan.rounds):
            lives: dict[int, Life] = {}
            for processes in (1, 2) if number % 2 == 0 else (2, 1):
                say(f"round {number + 1} of {plan.rounds}: {'one' if processes == 1 else 'two'} on a database")
                lives[processes] = live(processes, cluster, pki, plan, cores)
            rounds.append((lives[1], lives[2]))
        version = cluster.version
    page = render(rounds, plan, version)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page)
    raw = [[{kind: asdict(found) for kind, found in life.items()} for life in lives] for lives in rounds]
    (CACHE / "postgres.json").write_text(json.dumps({"plan": asdict(plan), "rounds": raw}, indent=1))
    print(f"\n{page}")
    say(f"written to {out}")
    return rounds


def live(on_each: int, cluster: Cluster, pki: Pki, plan: Plan, cores: tuple[int, int]) -> Life:
    """Two processes, so many on each of their new databases, asked everything in turn."""
    machine.wait_until_quiet(cores, patience=plan.patience)
    with ExitStack() as stack:
        first = target("on PostgreSQL, 1", partial(make_first, cluster.url(cluster.database())))
        another = partial(make_another, first)
        alone = partial(make_first, cluster.url(cluster.database()))
        second = target("on PostgreSQL, 2", another if on_each == 2 else alone)
        servers = [stack.enter_context(started(each, pki, cores)) for each in (first, second)]
        for server in servers:
            client.verify(pki, pki.client, server.port, server.target.path, server.target.body)
        found = Asking(servers, on_each, cluster, pki, plan, cores).everything()
        for kind, each in found.items():
            say(f"  {KINDS[kind]}: {each.rate:.0f}/s, {each.cpu_us:.0f} µs, database {each.database_us:.0f} µs")
    return found


def target(name: str, make: partial[Command]) -> Target:
    return Target(name=name, prepare=nothing_to_prepare, make=make)


def make_first(url: str, pki: Pki, port: int, folder: Path) -> Command:
    """certbound on this database, with tokens of both formats and a client `api` that asks about the opaque ones."""
    tokens = {"scopes": ["api"], "resources": [RESOURCE, OPAQUE], "lifetime": 3600, "opaque": [OPAQUE]}
    command = make_certbound(pki, port, folder, store={"url": url}, tokens=tokens)
    at = ["--config", str(folder / "certbound.toml")]
    run(command[0], "client", "add", "--id", "api", *at, "--san-dns", OTHER_NAME, "--protects", OPAQUE, "--scope", "")
    return command


def make_another(first: Target, _: Pki, port: int, folder: Path) -> Command:
    """One more of the same issuer on the same database, at another port."""
    settings = tomllib.loads((CACHE / "run" / first.key / "certbound.toml").read_text())
    settings["server"]["port"] = port
    config = folder / "certbound.toml"
    config.write_text(toml(settings))
    return [str(Path(sys.executable).with_name("certbound")), "serve", "--config", str(config)]


@dataclass(frozen=True, slots=True)
class Asking:
    """The questions to both servers, each from a generator of its own."""

    servers: Sequence[Running]
    on_each: int
    """How many of them are on one database."""
    cluster: Cluster
    pki: Pki
    plan: Plan
    cores: tuple[int, int]

    def everything(self) -> Life:
        """`BenchError` if any answer is not right, or a process does not know what another did."""
        plan, few = self.plan, self.plan.revoked // 5
        for resource in (RESOURCE, OPAQUE):
            self._obtain(resource, plan.warm)
        jwt = self._obtain(RESOURCE, plan.asked)
        opaque = self._obtain(OPAQUE, plan.asked, keep=True)
        tokens = [file.read_text().split() for file in self._files("tokens")]
        if self.on_each == 2:  # each is asked about what the other gave
            tokens.reverse()
        first = plan.asked // 5  # each token once: a server remembers what it was asked about
        self._introspect([each[:first] for each in tokens])
        introspection = self._introspect([each[first:] for each in tokens])
        self._revoke([each[:few] for each in tokens])
        revocation = self._revoke([each[few : few + plan.revoked] for each in tokens])
        time.sleep(1)  # by then every process knows
        for number, server in enumerate(self.servers):
            for each in tokens if self.on_each == 2 else tokens[number : number + 1]:
                self._require(server, each[few + plan.revoked - 1], DEAD)
                self._require(server, each[-1], LIVE)
        return {"jwt": jwt, "opaque": opaque, "introspection": introspection, "revocation": revocation}

    def _obtain(self, resource: str, count: int, *, keep: bool = False) -> Figures:
        body = self.servers[0].target.body.rpartition("=")[0] + f"={resource.replace(':', '%3A').replace('/', '%2F')}"
        more = [{"o": file} if keep else {} for file in self._files("tokens")]
        return self._load(self.pki.client, count, [{"u": "/token", "b": body, **each} for each in more])

    def _introspect(self, tokens: Sequence[Sequence[str]]) -> Figures:
        files = self._write("client_id=api&token=", tokens)
        more = [{"u": "/introspect", "f": file, "e": LIVE.decode()} for file in files]
        return self._load(self.pki.other_name, len(tokens[0]), more)

    def _revoke(self, tokens: Sequence[Sequence[str]]) -> Figures:
        files = self._write("client_id=pki&token=", tokens)
        return self._load(self.pki.client, len(tokens[0]), [{"u": "/revoke", "f": file, "e": ""} for file in files])

    def _require(self, server: Running, token: str, expected: bytes) -> None:
        context = client.make_context(self.pki, self.pki.other_name)
        answer = client.ask(context, server.port, "/introspect", f"client_id=api&token={token}")
        if answer.status != 200 or expected not in answer.body:
            raise BenchError(f"introspection answered {answer.status} {answer.body[:300]!r}, not {expected!r}")

    def _load(self, identity: Identity, count: int, more: Sequence[dict[str, object]]) -> Figures:
        """All generators at once, from the start of the first to the end of the last."""
        commands = [
            generator(server, identity, "keep", count, self.plan.connections, **each)
            for server, each in zip(self.servers, more, strict=True)
        ]
        with ExitStack() as stack:
            processes = []
            with machine.on_core(self.cores[1]):
                for command in commands:
                    each = subprocess.Popen(command, stdin=PIPE, stdout=PIPE, stderr=PIPE, text=True)
                    processes.append(stack.enter_context(each))
            for each in processes:
                hear(each, "a server")
            with Waits.watched(self.cluster) as waits:
                before, began = self._spent(), time.monotonic()
                for each in processes:
                    go(each)
                seen = [json.loads(hear(each, "a server")) for each in processes]
                seconds = time.monotonic() - began
                busy, servers, database = (after - b for after, b in zip(self._spent(), before, strict=True))
        answered, generators = sum(each["answered"] for each in seen), sum(each["cpu_seconds"] for each in seen)
        beside = database + generators
        return Figures(
            rate=answered / seconds / len(self.servers) * self.on_each,
            cpu_us=servers / answered * 1e6,
            database_us=database / answered * 1e6,
            p50_ms=mean(each["p50_ms"] for each in seen),
            p99_ms=mean(each["p99_ms"] for each in seen),
            share=servers / seconds / len(self.servers),
            beside=beside / seconds,
            waiting=waits.mean,
            others=max(0.0, busy - beside) / seconds,
        )

    def _spent(self) -> tuple[float, float, float]:
        """CPU seconds so far: the second core, whoever had it; the servers; the database."""
        servers = sum(machine.cpu_seconds(each.pid) for each in self.servers)
        return machine.busy_seconds((self.cores[1], self.cores[1])), servers, machine.cpu_seconds(self.cluster.pid)

    def _files(self, name: str) -> list[Path]:
        return [CACHE / "run" / each.target.key / name for each in self.servers]

    def _write(self, start: str, tokens: Sequence[Sequence[str]]) -> list[Path]:
        files = self._files("bodies")
        for file, some in zip(files, tokens, strict=True):
            file.write_text("".join(f"{start}{token}\n" for token in some))
        return files


# The page

COLUMNS = (
    ("req/s", "rate", ".0f"),
    ("CPU µs", "cpu_us", ".0f"),
    ("database µs", "database_us", ".0f"),
    ("p50 ms", "p50_ms", ".1f"),
    ("p99 ms", "p99_ms", ".1f"),
    ("core of each", "share", ".0%"),
    ("other core", "beside", ".0%"),
    ("waiting for a lock", "waiting", ".2f"),
    ("others", "others", ".0%"),
)


def gain(rounds: Sequence[tuple[Life, Life]], kind: str) -> float:
    """How many times the requests of one process two answered; within each round, for an hour is unlike the next."""
    return median(two[kind].rate / one[kind].rate for one, two in rounds)


def cost(rounds: Sequence[tuple[Life, Life]], kind: str) -> float:
    """How many times the CPU of the servers a request costs where there are two."""
    return median(two[kind].cpu_us / one[kind].cpu_us for one, two in rounds)


def render(rounds: Sequence[tuple[Life, Life]], plan: Plan, version: str) -> str:
    """The whole page."""
    how = (
        f"{'Medians of ' if plan.rounds > 1 else ''}{plan.rounds} round{'s' if plan.rounds > 1 else ''}; "
        f"{plan.asked} requests of each kind to each process, {plan.revoked} revocations, kept alive, "
        f"{plan.connections} at a time. Two processes share a core. **One**: each has a database, and "
        "what one of them does. **Two**: they share one, and what both do, each asked about the tokens of the other. "
        "PostgreSQL and the generators have another core; commits are on the disk before the answer."
    )
    table = [row(["request", "processes", *(title for title, _, _ in COLUMNS)])]
    table.append(row(["---", *["---:"] * (len(COLUMNS) + 1)]))
    for kind, name in KINDS.items():
        for at, processes in enumerate(("one", "two")):
            cells = [
                format(median(getattr(lives[at][kind], field) for lives in rounds), style)
                for _, field, style in COLUMNS
            ]
            table.append(row([name, processes, *cells]))
    goals = [row(["two processes beside one", "goal", "requests per second", "", "CPU of a request"])]
    goals.append(row(["---", "---:", "---:", "---", "---:"]))
    for kind, name in KINDS.items():
        more = gain(rounds, kind)
        verdict = "met" if more >= LEAST else "**not met**"
        goals.append(row([name, f"≥ {LEAST} ×", f"{more:.2f} ×", verdict, f"{cost(rounds, kind):.2f} ×"]))
    parts = [
        "# Two processes on one PostgreSQL",
        "Written by `make bench-postgres`; what the figures mean: [README](README.md).",
        f"{time.strftime('%Y-%m-%d')}. Machine: {machine.description()}; PostgreSQL {version}; commit {commit()}.",
        how,
        "\n".join(table),
        "## Goal",
        "\n".join(goals),
    ]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    sys.exit(status_of(main))
