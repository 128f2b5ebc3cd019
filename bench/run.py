"""Measures the endpoints that machines call beside a floor and a peer, and writes results.md.

.venv/bin/python bench/run.py            five to ten minutes; writes bench/results.md
.venv/bin/python bench/run.py --quick    about a minute; writes .work/bench/results.md
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import machine
import report
from measure import Plan, Round, measure
from pki import Pki, make_pki
from place import BENCH, CACHE, ROOT, BenchError, build_generator, only_one
from questions import Answers, question
from targets import OURS, QUESTIONED, TARGETS, Target
from versions import versions

FULL = {
    "rounds": 3, "warm": 20000, "keep": 20000, "new": 5000, "asked": 10000, "revoked": 5000,
    "connections": 16, "tries": 3, "patience": 30.0,
}  # fmt: skip
QUICK = FULL | {
    "rounds": 1, "warm": 6000, "keep": 4000, "new": 1000, "asked": 4000, "revoked": 2000, "tries": 1, "patience": 0.0,
}  # fmt: skip

TOLERANCE = {False: 0.1, True: 0.5}
"""How much of a goal may be missed in a full and in a quick run."""

BEGAN = time.monotonic()


def main() -> int:
    options = read_options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: terminated"))
    plan = Plan(**(QUICK if options.quick else FULL) | ({"rounds": options.rounds} if options.rounds else {}))
    out = options.out or (CACHE if options.quick or options.only else BENCH) / "results.md"
    try:
        with only_one():
            results, answers = run(*chosen(options.only), plan, out)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 130
    tolerance = TOLERANCE[options.quick] if options.tolerance is None else options.tolerance
    misses = report.missed(results, answers, tolerance) if options.check else []
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
    return ", ".join(target.key for target in (*TARGETS, *QUESTIONED))


def chosen(only: str | None) -> tuple[list[Target], list[Target]]:
    """The servers to measure: those asked for tokens, and those asked about them."""
    if not only:
        return [target for target in TARGETS if not target.extra], list(QUESTIONED)
    named = set(only.split(","))
    if strange := named - {target.key for target in (*TARGETS, *QUESTIONED)}:
        raise BenchError(f"{', '.join(strange)!r} names an unknown server; there are {known()}.")
    return [each for each in TARGETS if each.key in named], [each for each in QUESTIONED if each.key in named]


def run(
    targets: list[Target], questioned: list[Target], plan: Plan, out: Path
) -> tuple[dict[str, list[Round]], dict[str, list[Answers]]]:
    """All rounds; every second one in reverse, so that no server is always the first."""
    cores = machine.two_cores()
    say("building the load generator")
    build_generator()
    for target in (*targets, *questioned):
        say(f"preparing {target.name}")
        target.prepare()
    pki = make_pki(CACHE / "pki")
    results: dict[str, list[Round]] = {target.name: [] for target in targets}
    answers: dict[str, list[Answers]] = {target.name: [] for target in questioned}
    for number in range(plan.rounds):
        turn = 1 if number % 2 == 0 else -1
        for target in targets[::turn]:
            say(f"round {number + 1} of {plan.rounds}: {target.name}")
            results[target.name].append(one_round(target, pki, plan, cores))
        for target in questioned[::turn]:
            say(f"round {number + 1} of {plan.rounds}: {target.name}")
            answers[target.name].append(one_questioning(target, pki, plan, cores))
    cold = first_verdict() if any(target.name == OURS for target in targets) else {}
    facts = {"machine": machine.description(), "versions": versions([*results, *answers]), "cold": cold}
    page = report.render(results, answers, plan=plan, **facts)  # type: ignore[arg-type]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page)
    rounds = {name: [asdict(each) for each in found] for name, found in (results | answers).items()}
    (CACHE / "results.json").write_text(json.dumps({**facts, "plan": asdict(plan), "rounds": rounds}, indent=1))
    print(f"\n{page}")
    say(f"written to {out}")
    return results, answers


def one_round(target: Target, pki: Pki, plan: Plan, cores: tuple[int, int]) -> Round:
    """One life of one server; a failure names the server."""
    try:
        found = measure(target, pki, plan, cores)
    except BenchError as error:
        raise BenchError(f"{target.name}: {error}") from error
    say(
        f"  kept alive {found.keep.cpu_us:.0f} µs, {found.keep.rate:.0f}/s; "
        f"new handshake {found.new.cpu_us:.0f} µs, {found.new.rate:.0f}/s; {found.after_mib:.0f} MiB"
    )
    return found


def one_questioning(target: Target, pki: Pki, plan: Plan, cores: tuple[int, int]) -> Answers:
    """The same, of one that is asked about tokens."""
    try:
        found = question(target, pki, plan, cores)
    except BenchError as error:
        raise BenchError(f"{target.name}: {error}") from error
    say(
        f"  introspection {found.first.cpu_us:.0f} µs, again {found.introspection.cpu_us:.0f} µs, "
        f"{found.introspection.rate:.0f}/s; "
        f"revocation {found.revocation.cpu_us:.0f} µs, {found.revocation.rate:.0f}/s"
    )
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


def say(text: str) -> None:
    """A line of progress."""
    print(f"[{time.monotonic() - BEGAN:5.0f} s] {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
