"""Fuzzing that follows coverage: atheris (libFuzzer) on what reads strangers' bytes.

    make fuzz-atheris                                     a minute for each target
    make fuzz-atheris FUZZ_OPTIONS="--seconds 30 envoy"   half of one for this
    .work/fuzz/venv/bin/python tests/fuzz/atheris_run.py envoy --only FILE    a finding again, with its traceback

What was found to cover more lies in .work/fuzz/atheris/TARGET and is where the next run begins; the bytes of a finding
lie beside it.  atheris exists as a wheel for CPython 3.11, so it has an environment of its own, which `make` sets up.
"""

import argparse
import re
import subprocess
import sys
import traceback
import warnings
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))
FOLDER = ROOT / ".work" / "fuzz" / "atheris"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", help="all if none is named")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--only", type=Path, help="the bytes in this file alone")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.inside:
        _inside(options.targets[0], options.seconds)
    from fuzz.atheris_targets import TARGETS

    if unknown := set(options.targets) - set(TARGETS):
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    if options.only:
        is_read = TARGETS[options.targets[0]].feed(options.only.read_bytes())
        print(f"{options.targets[0]}: {'read' if is_read else 'refused'}")
        return 0
    return sum([_one(name, options.seconds) for name in options.targets or TARGETS])


def _one(name: str, seconds: int) -> int:
    """A process for each target: libFuzzer ends its own."""
    command = [sys.executable, __file__, name, "--inside", "--seconds", str(seconds)]
    ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    output = ran.stdout.decode(errors="replace")
    figures = [
        f"{int(each[-1]):,} {what}" for what, pattern in _FIGURES.items() if (each := re.findall(pattern, output))
    ]
    print(f"{name}: {', '.join((*figures, 'a FINDING' if ran.returncode else 'no finding'))}", flush=True)
    if ran.returncode:
        print(output[-4000:], flush=True)
        print(f"again:  {sys.executable} {__file__} {name} --only FILE, which is of {FOLDER / name}-*", flush=True)
    return int(bool(ran.returncode))


def _inside(name: str, seconds: int) -> None:
    import atheris  # type: ignore[import-not-found]

    warnings.simplefilter("ignore")  # of `cryptography`, about certificates that nobody should make
    with atheris.instrument_imports(include=["certbound"]):
        from fuzz.atheris_targets import TARGETS
    target, fed, read = TARGETS[name], 0, 0
    corpus, words = FOLDER / name, FOLDER / f"{name}.words"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    words.write_text("".join(map(_quoted, filter(None, target.words))))

    def feed(data: bytes) -> None:
        nonlocal fed, read
        try:
            read += target.feed(data)
        except BaseException:
            traceback.print_exc()
            raise
        fed += 1
        if not fed % 1000:
            print(f"read: {read}", flush=True)

    options = {
        "max_total_time": seconds, "max_len": target.most, "timeout": 5, "print_final_stats": 1, "verbosity": 1,
        "artifact_prefix": FOLDER / f"{name}-", "dict": words,
    }  # fmt: skip
    atheris.Setup([sys.argv[0], *(f"-{key}={value}" for key, value in options.items()), str(corpus)], feed)
    atheris.Fuzz()


def _quoted(word: bytes) -> str:
    """A line of a dictionary of libFuzzer."""
    return '"' + "".join(f"\\x{sign:02x}" for sign in word) + '"\n'


_FIGURES = {
    "inputs": r"stat::number_of_executed_units:\s*(\d+)",
    "of them read": r"read: (\d+)",
    "edges": r"cov: (\d+)",
    "features": r" ft: (\d+)",
}

if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1:]) else 0)
