"""Measures the endpoints that machines call beside a floor and a peer, and writes results.md.

.venv/bin/python bench/run.py            ten minutes or so; writes bench/results.md
.venv/bin/python bench/run.py --quick    about a minute; writes .work/bench/results.md
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import machine
import report
from exchanges import count_statements, exchange_all
from measure import Plan, measure
from pki import Pki, make_pki
from place import BENCH, CACHE, ROOT, BenchError, build_generator, only_one, say, status_of
from questions import question
from targets import COUNTED, EXCHANGED, OURS, OURS_CODES, QUESTIONED, TARGETS, Target
from versions import versions

FULL = {
    "rounds": 3, "warm": 20000, "keep": 20000, "new": 5000, "asked": 10000, "revoked": 5000, "exchanged": 4000,
    "connections": 16, "tries": 3, "patience": 30.0,
}  # fmt: skip
QUICK = FULL | {
    "rounds": 1, "warm": 6000, "keep": 4000, "new": 1000, "asked": 4000, "revoked": 2000, "exchanged": 1000,
    "tries": 1, "patience": 0.0,
}  # fmt: skip

Ask = Callable[[Target, Pki, Plan, tuple[int, int]], Any]
Chosen = Mapping[Ask, Sequence[Target]]
KINDS: Chosen = {measure: TARGETS, question: QUESTIONED, exchange_all: EXCHANGED}
"""What is measured, and of which servers."""

TOLERANCE = {False: 0.1, True: 0.5}
"""How much of a goal may be missed in a full and in a quick run."""


def main() -> int:
    options = read_options()
    plan = Plan(**(QUICK if options.quick else FULL) | ({"rounds": options.rounds} if options.rounds else {}))
    out = options.out or (CACHE if options.quick or options.only else BENCH) / "results.md"
    with only_one():
        results = run(chosen(options.only), plan, out)
    tolerance = TOLERANCE[options.quick] if options.tolerance is None else options.tolerance
    misses = report.missed(results, tolerance) if options.check else []
    for sentence in misses:
        print(f"bench: {sentence}", file=sys.stderr)
    return 1 if misses else 0


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Measures the endpoints that machines call beside a floor and a peer.",
        epilog=f"Servers: {known()}",
    )
    parser.add_argument("--quick", action="store_true", help="one short round: a smoke test, not a measurement")
    parser.add_argument("--rounds", type=int, metavar="N", help="how many rounds (3)")
    parser.add_argument("--only", metavar="A,B", help="only these servers")
    parser.add_argument("--check", action="store_true", help="exit 1 if a goal is missed beyond the tolerance")
    parser.add_argument("--tolerance", type=float, metavar="T", help="for --check: 0.1 is a tenth (0.1; quick 0.5)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where the results go")
    return parser.parse_args()


def known() -> str:
    """The servers as --only knows them."""
    return ", ".join(target.key for targets in KINDS.values() for target in targets)


def chosen(only: str | None) -> Chosen:
    """The servers to measure, by what they are asked."""
    if not only:
        return {ask: [each for each in targets if not each.extra] for ask, targets in KINDS.items()}
    named = set(only.split(","))
    found = {ask: [each for each in targets if each.key in named] for ask, targets in KINDS.items()}
    if strange := named - {each.key for targets in found.values() for each in targets}:
        raise BenchError(f"{', '.join(strange)!r} names an unknown server; there are {known()}.")
    return found


def run(chosen: Chosen, plan: Plan, out: Path) -> report.Results:
    """All rounds; every second one in reverse, so that no server is always the first."""
    cores = machine.two_cores()
    say("building the load generator")
    build_generator()
    every = [target for targets in chosen.values() for target in targets]
    for target in every:
        say(f"preparing {target.name}")
        target.prepare()
    pki = make_pki(CACHE / "pki")
    results: dict[str, list[Any]] = {target.name: [] for target in every}
    for number in range(plan.rounds):
        turn = 1 if number % 2 == 0 else -1
        for ask, targets in chosen.items():
            for target in targets[::turn]:
                say(f"round {number + 1} of {plan.rounds}: {target.name}")
                results[target.name].append(one_life(ask, target, pki, plan, cores))
    cold = first_verdict() if OURS in results else {}
    statements = count_statements(COUNTED, pki, cores) if OURS_CODES in results else {}
    facts = {"machine": machine.description(), "versions": versions(results), "cold": cold, "statements": statements}
    page = report.render(results, plan=plan, **facts)  # type: ignore[arg-type]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page)
    rounds = {name: [asdict(each) for each in found] for name, found in results.items()}
    (CACHE / "results.json").write_text(json.dumps({**facts, "plan": asdict(plan), "rounds": rounds}, indent=1))
    print(f"\n{page}")
    say(f"written to {out}")
    return results


def one_life(ask: Ask, target: Target, pki: Pki, plan: Plan, cores: tuple[int, int]) -> Any:
    """One life of one server; a failure names the server."""
    try:
        found = ask(target, pki, plan, cores)
    except BenchError as error:
        raise BenchError(f"{target.name}: {error}") from error
    say(f"  {report.sentence(found)}")
    return found


def first_verdict() -> dict[str, float]:
    """cold.py, in a process of its own."""
    say("the cost of a first verdict")
    command = [sys.executable, str(BENCH / "cold.py"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        raise BenchError(f"cold.py failed: {done.stderr.strip().splitlines()[-1]}")
    costs: dict[str, float] = json.loads(done.stdout)
    return costs


if __name__ == "__main__":
    sys.exit(status_of(main))
