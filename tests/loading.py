"""Starts the clients of `tls/load.py` against a server and reads what they report."""

import contextlib
import json
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).parent / "tls" / "load.py"

FLOOR = 0.5
"""Milliseconds: below this an idle p99 says more about the clock than about the server."""


def command(kind, server, folder, number):
    return [sys.executable, str(PROGRAM), kind, str(server.port), str(folder), str(number)]


def best(asking):
    """Of six rounds the one with the lowest p99: other programs on the machine can only make it worse."""
    rounds = []
    for _ in range(6):
        asking.stdin.write("again\n")
        asking.stdin.flush()
        rounds.append(json.loads(asking.stdout.readline()))
    return min(rounds, key=lambda each: each["p99"])


def compared(quiet, busy):
    return ", ".join(f"{name} {quiet[name]:.2f} -> {busy[name]:.2f} ms" for name in ("p50", "p99"))


@contextlib.contextmanager
def client(kind, server, folder, number):
    process = subprocess.Popen(
        command(kind, server, folder, number), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
        out, _ = process.communicate(None if kind == "ask" else "end\n", timeout=60)
        process.report = json.loads(out)
    finally:
        process.kill()
        process.wait()


def resident(process):
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError
