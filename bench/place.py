"""Where the bench keeps what it makes, and how it says that something is missing."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
CACHE = ROOT / ".work" / "bench"
"""Ignored by git: the compiled generator, npm packages, keys and certificates, logs.  May be deleted at any time."""

GENERATOR = CACHE / "loadgen"
BEGAN = time.monotonic()


class BenchError(Exception):
    """The bench cannot go on; the message is one sentence for the person who runs it."""


def say(text: str) -> None:
    """A line of progress."""
    print(f"[{time.monotonic() - BEGAN:5.0f} s] {text}", flush=True)


def status_of(work: Callable[[], int]) -> int:
    """The exit status: that of `work`, unless it could not go on or somebody stopped it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: terminated"))
    try:
        return work()
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 130


@contextmanager
def only_one() -> Iterator[None]:
    """Holds the cache for this run alone: two runs on the same cores would measure each other."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BenchError("Another run of the bench is under way; wait for its end.") from error
        yield


def build_generator() -> None:
    """Compiles loadgen.c when it is newer than what was compiled last."""
    source = BENCH / "loadgen.c"
    if GENERATOR.exists() and GENERATOR.stat().st_mtime > source.stat().st_mtime:
        return
    compiler = shutil.which("cc")
    if compiler is None:
        raise BenchError("The load generator needs a C compiler and OpenSSL's headers (Debian: gcc libssl-dev).")
    command = [compiler, "-std=gnu11", "-O2", "-Wall", "-o", str(GENERATOR), str(source), "-lssl", "-lcrypto"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and "openssl/" in done.stderr and "No such file" in done.stderr:
        raise BenchError("The load generator needs OpenSSL's headers, version 3 (Debian: libssl-dev).")
    if done.returncode:
        raise BenchError(f"loadgen.c did not compile:\n{done.stderr}")


def install_from_npm(package: str, version: str) -> Path:
    """The folder of one npm package in this version, or in its newest for a prefix such as `24`."""
    prefix = CACHE / "npm" / f"{package}@{version}"
    folder = prefix / "node_modules" / package
    if folder.exists():
        return folder
    npm = shutil.which("npm")
    if npm is None:
        raise BenchError("npm is not on the PATH: install Node.js, or leave the peer out with --only floor,certbound.")
    prefix.mkdir(parents=True, exist_ok=True)
    command = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(prefix), f"{package}@{version}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or not folder.exists():
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise BenchError(f"npm could not install {package}@{version}: {last}")
    return folder


def clean_environment(**more: str) -> dict[str, str]:
    """What a measured server sees of our environment: nothing that could change its course."""
    home = CACHE / "home"
    home.mkdir(exist_ok=True)
    return {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", **more}
