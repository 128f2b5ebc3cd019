"""Deciding from threads, for what knows no `await`: WSGI, Flask, Django, gRPC.

    principal = admit(api, asked)

Rule 1: a decision that needs nothing fetched never leaves its thread.
Rule 2: what has to be fetched is fetched on one loop, in one daemon thread of this process, begun at the first fetch:
one fetch for all threads that wait for it.
Rule 3: a process that was forked begins a loop of its own: of its parent's there is no thread here.
"""

import asyncio
import os
import threading
from concurrent.futures import TimeoutError as Overdue
from typing import Any

from certbound.core.errors import KeysUnavailable
from certbound.resource.protected import Asked, Fetch, ProtectedResource
from certbound.resource.verify import Principal

PATIENCE = 30.0
"""Seconds for one thing that is fetched.  Each fetch ends itself sooner; this is for a loop that stands still."""


def admit(api: ProtectedResource, asked: Asked) -> Principal:
    """As `ProtectedResource.admit`, for a thread: who calls, or a `ProtectedResourceError`."""
    steps = api.decide(asked)
    try:
        fetch = next(steps)
        while True:
            try:
                found = _fetched(fetch)
            except Exception as error:  # noqa: BLE001 - it is the decision's
                fetch = steps.throw(error)
            else:
                fetch = steps.send(found)
    except StopIteration as end:
        principal: Principal = end.value
        return principal


def _fetched(fetch: Fetch) -> Any:
    waiting = asyncio.run_coroutine_threadsafe(_awaited(fetch), _fetching.loop())
    try:
        return waiting.result(PATIENCE)
    except Overdue as error:
        waiting.cancel()
        raise KeysUnavailable(f"what the issuer should say took longer than {PATIENCE:.0f} seconds") from error


async def _awaited(fetch: Fetch) -> Any:
    return await fetch()


class _Fetching:
    """The loop of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._inherited: list[asyncio.AbstractEventLoop] = []

    def loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="certbound-fetching", daemon=True).start()
            return self._loop

    def forget(self) -> None:
        """In a new process, where neither the thread nor whoever held the lock exists."""
        self._lock = threading.Lock()
        if self._loop is not None:
            self._inherited.append(self._loop)  # not collected: its files are the parent's as well
        self._loop = None


_fetching = _Fetching()
os.register_at_fork(after_in_child=_fetching.forget)
