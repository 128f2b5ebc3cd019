"""certbound.resource.blocking: threads decide by themselves, and wait together for what has to be fetched."""

import asyncio
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
from joserfc.jwk import KeySet

from certbound.core.errors import InvalidToken, KeysUnavailable
from certbound.resource import Asked, FixedKeys, KeySource, ProtectedResource
from certbound.resource import blocking as module
from certbound.resource.blocking import admit
from certbound.resource.fetching import SingleFlight
from certificates import NOW
from issuing import AUDIENCE, ISSUER, KEYS, PEER, THIEF, token


@dataclass
class Slow:
    """Keys that take a moment, once; `threads` are those in which they were fetched."""

    threads: list[int] = field(default_factory=list)
    seconds: float = 0.2
    found: KeySet | None = None
    flight: SingleFlight = field(default_factory=lambda: SingleFlight(time.monotonic))

    def known(self, kid: str | None) -> KeySet | None:
        return self.found

    async def keys(self, kid: str | None) -> KeySet:
        self.flight.begin(self._fetch, interval=1)
        await self.flight.end()
        if self.found is None:
            raise KeysUnavailable("there are none")
        return self.found

    async def _fetch(self) -> None:
        self.threads.append(threading.get_ident())
        await asyncio.sleep(self.seconds)
        self.found = KEYS


def protected(keys: KeySource) -> ProtectedResource:
    return ProtectedResource(AUDIENCE, issuer=ISSUER, keys=keys, clock=lambda: NOW)


def asked(text: str, peer: object = PEER) -> Asked:
    return Asked(authorization=[f"Bearer {text}".encode()], peer=peer)  # type: ignore[arg-type]


def test_many_threads_wait_for_one_fetch() -> None:
    """In a thread that is none of them; what was fetched is used by all."""
    keys = Slow()
    api = protected(keys)

    def ask(_: int) -> tuple[str, int]:
        return admit(api, asked(token())).client_id, threading.get_ident()

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, range(64)))
    assert {"a"} == {client for client, _ in answers}
    [fetched_in] = keys.threads
    assert fetched_in not in {thread for _, thread in answers} | {threading.get_ident()}


def test_what_needs_no_fetch_begins_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a token that is new, where the keys are here, nor one that was seen before."""

    def loop() -> None:
        raise AssertionError("a thread was asked")

    monkeypatch.setattr(module._fetching, "loop", loop)
    api = protected(FixedKeys(KEYS))
    text = token()
    for _ in range(3):
        assert "a" == admit(api, asked(text)).client_id
    with pytest.raises(InvalidToken):
        admit(api, asked(text, THIEF))


def test_what_a_fetch_fails_with_is_the_answer() -> None:
    """In the thread that asked."""

    class Away:
        def known(self, kid: str | None) -> KeySet | None:
            return None

        async def keys(self, kid: str | None) -> KeySet:
            raise KeysUnavailable("away")

    with pytest.raises(KeysUnavailable, match="away"):
        admit(protected(Away()), asked(token()))


def test_a_loop_that_stands_still_holds_nobody_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """503 after a while."""
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    with pytest.raises(KeysUnavailable, match="longer than"):
        admit(protected(Slow(seconds=0.3)), asked(token()))


def test_a_forked_process_fetches_for_itself() -> None:
    """Although its parent's fetch was under way when it was forked, and its parent's thread is not in it."""
    keys = Slow(seconds=1.0)
    api = protected(keys)
    waiting = threading.Thread(target=lambda: admit(api, asked(token())))
    waiting.start()
    until = time.monotonic() + 5
    while not keys.threads and time.monotonic() < until:
        time.sleep(0.01)
    keys.seconds = 0.01
    child = os.fork()
    if child == 0:  # pragma: no cover - another process
        passed = False
        try:
            keys.flight._ended_at = float("-inf")
            passed = "a" == admit(api, asked(token())).client_id
        finally:
            os._exit(0 if passed else 1)
    until = time.monotonic() + 10
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < until:
        time.sleep(0.01)
    if ended == (0, 0):
        os.kill(child, 9)
        os.waitpid(child, 0)
    waiting.join(5)
    assert (child, 0) == ended
