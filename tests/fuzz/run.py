"""Many inputs, on all cores.

    make fuzz                                             a million of certificates, and the others in their shares
    python tests/fuzz/run.py certificates --first 1000000  the next million
    python tests/fuzz/run.py certificates --only 1452      one input again, with its traceback

An input is known by its target and number: the same everywhere.  Interrupted, it says with what it would go on.
Findings are counted by what they say, and the bytes of each lie in .work/fuzz/.
"""

import argparse
import os
import re
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from fuzz.inputs import Finding, Target, too_few, try_input  # noqa: E402
from fuzz.targets import TARGETS  # noqa: E402

FOLDER = ROOT / ".work" / "fuzz"
BATCH = 500


def main(arguments: list[str]) -> int:
    options = _options(arguments)
    warnings.simplefilter("ignore")  # of `cryptography`, about certificates that nobody should make
    FOLDER.mkdir(parents=True, exist_ok=True)
    if options.only is not None:
        return _one(TARGETS[options.targets[0]], options.only)
    wrong = 0
    for name in options.targets or TARGETS:
        target, share = TARGETS[name], SHARES.get(name, 1.0)
        wrong += _many(target, options.first, max(int(options.count * share), 1), options.jobs)
    return 1 if wrong else 0


def _one(target: Target, number: int) -> int:
    try:
        print(f"{target.name} {number}: {', '.join(sorted(try_input(target, number, FOLDER)))}")
    except Finding as finding:
        traceback.print_exception(finding.__cause__)
        print(finding)
        return 1
    return 0


def _many(target: Target, first: int, count: int, jobs: int) -> int:
    """How many findings, and shares that are too small."""
    reached: Counter[str] = Counter()
    findings: Counter[str] = Counter()
    examples: dict[str, str] = {}
    batches = list(_batches(target.name, first, first + count))
    done, began, told = first, time.monotonic(), time.monotonic()
    try:
        with get_context("fork").Pool(jobs) as pool:
            for batch, got, found in pool.imap(_batch, batches):
                done = batch[2]
                reached.update(got)
                for text in found:
                    kind = _kind(text)
                    findings[kind] += 1
                    if kind not in examples:
                        examples[kind] = text
                        print(f"\n{text}\n", flush=True)
                if time.monotonic() - told > 10 or done == first + count:
                    told = time.monotonic()
                    speed = (done - first) / (told - began)
                    wrong = sum(findings.values())
                    print(f"{target.name}: {done - first:,} of {count:,}, {speed:,.0f}/s, {wrong} findings", flush=True)
    except KeyboardInterrupt:
        print(f"go on with: python tests/fuzz/run.py {target.name} --first {done}")
        raise SystemExit(130) from None
    few = too_few(target, reached, count)
    shares = ", ".join(f"{stage} {number / count:.1%}" for stage, number in reached.most_common())
    print(f"{target.name}: {first:,} to {first + count - 1:,} came to: {shares}")
    for stage, text in few.items():
        print(f"{target.name}: too few came to {stage}: {text}")
    for kind, number in findings.most_common():
        print(f"{number} times: {kind}, first {examples[kind].splitlines()[1]}")
    return len(findings) + len(few)


def _batches(name: str, first: int, end: int) -> Iterator[tuple[str, int, int]]:
    for start in range(first, end, BATCH):
        yield name, start, min(start + BATCH, end)


def _batch(batch: tuple[str, int, int]) -> tuple[tuple[str, int, int], Counter[str], list[str]]:
    name, start, end = batch
    reached: Counter[str] = Counter()
    found = []
    for number in range(start, end):
        try:
            reached.update(try_input(TARGETS[name], number, FOLDER))
        except Finding as finding:
            found.append(str(finding))
    return batch, reached, found


def _kind(text: str) -> str:
    """What a finding says, without what is another in each."""
    return re.sub(r"[0-9a-f]{12,}|[\d.]+", "#", text.splitlines()[0].split(": ", 1)[1])[:120]


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", help=f"of {', '.join(TARGETS)}; all")
    parser.add_argument(
        "--count", type=int, default=1_000_000, help="inputs of certificates; others have a share of it"
    )
    parser.add_argument("--first", type=int, default=0, help="the number of the first")
    parser.add_argument("--only", type=int, help="this input alone")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    options = parser.parse_args(arguments)
    if unknown := set(options.targets) - set(TARGETS):
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    if options.only is not None and len(options.targets) != 1:
        parser.error("--only needs one target")
    return options


SHARES = {"names": 0.2, "jwks": 0.02, "pem": 0.02, "crls": 0.02, "answers": 0.02, "forwarded": 0.2}
"""How many inputs each target gets for one of certificates."""

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
