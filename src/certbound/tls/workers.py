"""One process, or several on the same ports, until a signal ends it.

Rule 1: the ports are bound once, before any worker starts, and every worker accepts from the same queue.  With
        SO_REUSEPORT each worker would have its own: what waits in it is lost when a worker dies, and a port that
        somebody else uses would go unnoticed.
Rule 2: a worker that dies is replaced; one that cannot start ends everything, since its successors could not either.
Rule 3: nobody outlives the parent: a worker stops when the pipe that the parent holds is closed.
"""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from certbound.core.errors import ConfigurationError
from certbound.tls.contexts import load_sites
from certbound.tls.listener import address_of, bind, release, start_on
from certbound.tls.ports import AnyPort, Port

logger = logging.getLogger("certbound.tls")

MakePorts = Callable[[], Sequence[AnyPort]]
OnReady = Callable[[list[tuple[str, int]]], None]


def serve(make_ports: MakePorts, *, workers: int = 1, grace: float = 10, on_ready: OnReady | None = None) -> None:
    """Serve until SIGINT or SIGTERM, then stop in order; SIGHUP reads the server certificates anew.

    Begun requests have `grace` seconds when it stops; what is not done by then is cut.
    `make_ports` is called in every process that serves, so that none shares a connection with another; it should
    build, and leave opening to the applications' lifespan.  `on_ready` gets the addresses, one for each port, once
    every worker accepts.  `ConfigurationError` if something stops the start.
    """
    if workers < 1:
        raise ConfigurationError(f"{workers} workers cannot serve; name at least one")
    ports = make_ports()
    sockets = bind(ports)
    try:
        if workers == 1:
            _run(ports, sockets, grace, lambda: on_ready and on_ready(_addresses(sockets)))
        else:
            for port in ports:  # a bad file should stop the start here, with its sentence
                if isinstance(port, Port):
                    load_sites(port)
            _Supervisor(make_ports, sockets, workers, grace, on_ready).supervise()
    finally:
        release(sockets)


def _addresses(sockets: Sequence[socket.socket]) -> list[tuple[str, int]]:
    return [address_of(each) for each in sockets]


def _run(
    ports: Sequence[AnyPort],
    sockets: Sequence[socket.socket],
    grace: float,
    ready: Callable[[], object],
    parent: int | None = None,
) -> None:
    """Serve in this process; `parent` is a pipe whose end means that the parent is gone."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(ports, sockets, grace, ready, parent))


async def _serve(
    ports: Sequence[AnyPort],
    sockets: Sequence[socket.socket],
    grace: float,
    ready: Callable[[], object],
    parent: int | None,
) -> None:
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    running = await start_on(ports, sockets)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    loop.add_signal_handler(signal.SIGHUP, running.reload)
    if parent is not None:
        loop.add_reader(parent, stopping.set)
    # What is there now stays, and a connection takes its cycles apart itself: the collector need not look so often,
    # which costs every request some and is a long pause with many connections open.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)
    ready()
    await stopping.wait()
    if parent is not None:
        loop.remove_reader(parent)
    await running.stop(grace)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    with contextlib.suppress(ImportError):
        import uvloop  # noqa: PLC0415 -- optional, and absent on Windows

        return uvloop.new_event_loop
    return None


@dataclass(slots=True)
class _Worker:
    pid: int
    ready: int
    """Pipe: one byte when it accepts, nothing if it dies before."""


class _Supervisor:
    """Starts workers, replaces the dead, hands on signals."""

    def __init__(
        self,
        make_ports: MakePorts,
        sockets: Sequence[socket.socket],
        count: int,
        grace: float,
        on_ready: OnReady | None,
    ) -> None:
        self._make_ports = make_ports
        self._sockets = sockets
        self._count = count
        self._grace = grace
        self._on_ready = on_ready
        self._workers: dict[int, _Worker] = {}
        self._alive, self._held = os.pipe()

    def supervise(self) -> None:
        """Until SIGINT or SIGTERM.  `ConfigurationError` if a first worker cannot start."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            for _ in range(self._count):
                self._start(before)
            if not all(self._is_ready(worker) for worker in self._workers.values()):
                raise ConfigurationError("a worker could not start; its own message says why")
            if self._on_ready is not None:
                self._on_ready(_addresses(self._sockets))
            self._watch(before)
        finally:
            self._stop()
            os.close(self._alive)
            os.close(self._held)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _watch(self, mask: set[int | signal.Signals]) -> None:
        while True:
            number = signal.sigwait(_SIGNALS)
            if number in (signal.SIGINT, signal.SIGTERM):
                return
            if number == signal.SIGHUP:
                self._tell(signal.SIGHUP)
            for pid in self._reap():
                logger.error("worker %d died and is replaced", pid)
                time.sleep(_PAUSE)  # one that dies at once, again and again, should not eat the machine
                self._start(mask)

    def _start(self, mask: set[int | signal.Signals]) -> None:
        ready, tell = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            os.close(ready)
            os.close(self._held)
            _work(self._make_ports, self._sockets, self._grace, mask, tell, self._alive)
        os.close(tell)
        self._workers[pid] = _Worker(pid, ready)

    def _is_ready(self, worker: _Worker) -> bool:
        """Waits until it is, or has died."""
        return bool(os.read(worker.ready, 1))

    def _reap(self) -> list[int]:
        """The workers that have ended."""
        ended = []
        with contextlib.suppress(ChildProcessError):
            for pid in tuple(self._workers):
                if os.waitpid(pid, os.WNOHANG)[0]:
                    os.close(self._workers.pop(pid).ready)
                    ended.append(pid)
        return ended

    def _tell(self, number: signal.Signals) -> None:
        for pid in self._workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _stop(self) -> None:
        self._tell(signal.SIGTERM)
        end = time.monotonic() + self._grace + 5
        while self._workers and time.monotonic() < end:
            self._reap()
            time.sleep(0.02)
        self._tell(signal.SIGKILL)
        while self._workers:
            self._reap()
            time.sleep(0.02)


def _work(
    make_ports: MakePorts,
    sockets: Sequence[socket.socket],
    grace: float,
    mask: set[int | signal.Signals],
    tell: int,
    alive: int,
) -> None:
    """The life of a worker; does not return."""
    code = 1
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        _run(make_ports(), sockets, grace, lambda: os.write(tell, b"."), alive)
        code = 0
    except (ConfigurationError, KeyboardInterrupt) as error:
        logger.error("worker %d: %s", os.getpid(), error or "interrupted")  # noqa: TRY400
    except BaseException:
        logger.exception("worker %d failed", os.getpid())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


_SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD}
_PAUSE = 0.2
