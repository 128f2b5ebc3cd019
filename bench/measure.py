"""One server, started, verified, loaded and stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE
from typing import Literal

import machine
from pki import Identity, Pki
from place import CACHE, GENERATOR, BenchError, clean_environment
from targets import Target

import client

Mode = Literal["keep", "new"]

START_SECONDS = 30
STOP_SECONDS = 15
TOLERATED_LOAD = 0.12
"""The share of the two cores that others may use during a measurement before it is tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is asked.  `tries` for a measurement that others disturb."""

    rounds: int
    warm: int
    keep: int
    new: int
    asked: int
    """Tokens that are issued, and introspected."""
    revoked: int
    exchanged: int
    """Codes that are redeemed, and refresh tokens that are used."""
    connections: int
    tries: int
    patience: float
    """Seconds to wait for a quiet machine before each measurement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What one run of the generator showed."""

    cpu_us: float
    """User and system time of the server's process tree for one request."""
    rate: float
    """Requests per second."""
    p50_ms: float
    p99_ms: float
    others: float
    """Cores' worth of work that was neither the server's nor the generator's."""
    tls: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One life of one server."""

    first_token_ms: float
    """From the start of the process to the first token."""
    idle_mib: float
    after_mib: float
    keep: Load
    new: Load


@dataclass(frozen=True, slots=True)
class Running:
    """A server that has issued its first token."""

    target: Target
    pid: int
    port: int
    first_token_ms: float


def measure(target: Target, pki: Pki, plan: Plan, cores: tuple[int, int]) -> Round:
    """`BenchError` if the server does not start, is not right, or fails one request."""
    machine.wait_until_quiet(cores, patience=plan.patience)
    with started(target, pki, cores) as server:
        client.verify(pki, target.identity(pki), server.port, target.path, target.body)
        time.sleep(0.3)
        idle = machine.resident_mib(server.pid)
        generate(server, pki, plan, cores, "keep", plan.warm)
        keep = quietest(server, pki, plan, cores, "keep", plan.keep)
        generate(server, pki, plan, cores, "new", max(100, plan.warm // 50))
        new = quietest(server, pki, plan, cores, "new", plan.new)
        after = machine.resident_mib(server.pid)
    return Round(first_token_ms=server.first_token_ms, idle_mib=idle, after_mib=after, keep=keep, new=new)


@contextmanager
def started(target: Target, pki: Pki, cores: tuple[int, int]) -> Iterator[Running]:
    """The server on its core, with an empty folder of its own, from its first token to its end."""
    folder = CACHE / "run" / target.key
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    port = free_port()
    command = target.make(pki, port, folder)
    log = folder / "server.log"
    context = client.make_context(pki, target.identity(pki))
    began = time.monotonic()
    with log.open("wb") as output, machine.on_core(cores[0]):
        process = subprocess.Popen(
            command,
            env=clean_environment(NODE_ENV="production"),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        while client.ask(context, port, target.path, target.body).status != 200:
            if process.poll() is not None or time.monotonic() - began > START_SECONDS:
                raise BenchError(f"{target.name} gave no token; it said:\n{last_lines(log)}")
            time.sleep(0.002)
        first_token_ms = (time.monotonic() - began) * 1000
        yield Running(target, process.pid, port, first_token_ms)
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends a server that we started, by its own process id: politely, then not."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            process.send_signal(number)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                continue
    with suppress(ProcessLookupError):  # what it may have left behind in its own process group
        os.killpg(process.pid, signal.SIGKILL)


def quietest(server: Running, pki: Pki, plan: Plan, cores: tuple[int, int], mode: Mode, requests: int) -> Load:
    """The first measurement that others did not disturb, or else the least disturbed of `plan.tries`."""
    found: list[Load] = []
    while len(found) < plan.tries:
        machine.wait_until_quiet(cores, patience=plan.patience)
        found.append(generate(server, pki, plan, cores, mode, requests))
        if found[-1].others < TOLERATED_LOAD:
            return found[-1]
    return min(found, key=lambda load: load.others)


def generate(server: Running, pki: Pki, plan: Plan, cores: tuple[int, int], mode: Mode, requests: int) -> Load:
    """One run of token requests."""
    return load(server, cores, generator(server, server.target.identity(pki), mode, requests, plan.connections))


def load(server: Running, cores: tuple[int, int], command: list[str]) -> Load:
    """One run of the generator; what it prepares before its first request is not counted."""
    with (
        machine.on_core(cores[1]),
        subprocess.Popen(command, stdin=PIPE, stdout=PIPE, stderr=PIPE, text=True) as process,
    ):
        hear(process, server.target.name)
        busy, cpu = machine.busy_seconds(cores), machine.cpu_seconds(server.pid)
        go(process)
        line = hear(process, server.target.name)
        cpu = machine.cpu_seconds(server.pid) - cpu
        busy = machine.busy_seconds(cores) - busy
    seen = json.loads(line)
    return Load(
        cpu_us=cpu / seen["answered"] * 1e6,
        rate=seen["answered"] / seen["seconds"],
        p50_ms=seen["p50_ms"],
        p99_ms=seen["p99_ms"],
        others=max(0.0, busy - cpu - seen["cpu_seconds"]) / seen["seconds"],
        tls=seen["tls"],
    )


def go(generator: subprocess.Popen[str]) -> None:
    """It begins."""
    assert generator.stdin
    generator.stdin.write("go\n")
    generator.stdin.flush()


def hear(generator: subprocess.Popen[str], asked: str) -> str:
    """The next line that it says: that it is ready, and then what it saw.  `BenchError` with its complaint instead."""
    assert generator.stdout
    assert generator.stderr
    line = generator.stdout.readline()
    if not line:
        raise BenchError(f"{asked} failed under load: {generator.stderr.read().strip()}")
    return line


def generator(
    server: Running, identity: Identity, mode: Mode, requests: int, connections: int, **more: object
) -> list[str]:
    """The generator's command line; `more` are options of it by their letters."""
    options = {
        "-p": server.port,
        "-u": server.target.path,
        "-b": server.target.body,
        "-C": identity.certificate_file,
        "-K": identity.key_file,
        "-m": mode,
        "-n": requests,
        "-c": connections,
        **{f"-{letter}": value for letter, value in more.items()},
    }
    return [str(GENERATOR), *(str(word) for pair in options.items() for word in pair)]


def free_port() -> int:
    """A port of the loopback interface that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def last_lines(log: Path) -> str:
    """The end of what a server wrote."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-12:]) or "nothing"
