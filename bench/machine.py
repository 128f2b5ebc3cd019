"""What the kernel knows: cores, CPU time and memory of a process tree, the load of others, names of things."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from place import BenchError

PROC = Path("/proc")
TICK = os.sysconf("SC_CLK_TCK")


def two_cores() -> tuple[int, int]:
    """The core for the server and the core for the generator."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise BenchError("The bench needs two cores: one for the server, one for the load generator.")
    return cores[0], cores[1]


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """What is started meanwhile runs on this core only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu_seconds(pid: int) -> float:
    """User and system time used so far by a process and its descendants, to the nanosecond."""
    return sum(_clock(each) for each in process_tree(pid))


def resident_mib(pid: int) -> float:
    """Resident memory (RSS) of a process and its descendants."""
    lines = (
        line for each in process_tree(pid) for line in (PROC / str(each) / "smaps_rollup").read_text().splitlines()
    )
    return sum(int(line.split()[1]) for line in lines if line.startswith("Rss:")) / 1024


def process_tree(pid: int) -> list[int]:
    """A process and everything it started."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    tree = [pid]
    for each in tree:
        tree += children.get(each, [])
    return tree


def busy_seconds(cores: tuple[int, int]) -> float:
    """How long these cores have worked since the start of the machine, for whomever."""
    names = {f"cpu{core}" for core in cores}
    total = 0
    for line in (PROC / "stat").read_text().splitlines():
        name, *fields = line.split()
        if name in names:
            user, nice, system, _idle, _iowait, irq, softirq, *_ = map(int, fields)
            total += user + nice + system + irq + softirq
    return total / TICK


def wait_until_quiet(cores: tuple[int, int], *, patience: float) -> None:
    """Returns when others use less than a tenth of these cores, or after `patience` seconds."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        busy, began = busy_seconds(cores), time.monotonic()
        time.sleep(0.5)
        if (busy_seconds(cores) - busy) / (time.monotonic() - began) < 0.1:
            return


def description() -> str:
    """One line: processor, cores, kernel, system."""
    lines = (PROC / "cpuinfo").read_text().splitlines()
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    model = models[0] if models else platform.machine()
    system = platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    return f"{model}, {os.cpu_count()} cores, Linux {platform.release()}, {system}"


def _clock(pid: int) -> float:
    # The clock id of another process's CPU time, as clock_getcpuclockid(3) makes it.
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:  # it ended between the listing and the question
        return 0.0
