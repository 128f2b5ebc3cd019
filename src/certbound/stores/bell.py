"""How processes on one PostgreSQL tell each other that something changed: LISTEN and NOTIFY.

Rules kept here:
- whoever listens has a connection for that alone, from the first wait on; a process that never waits has none;
- a notification says only that it is time to look.  One may be lost with its connection, so whoever has a new one is
  told to look too;
- a connection that ends is replaced, sooner at first and then every few seconds; one that says nothing is asked.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

CHANNEL = "certbound"

_ASKED_EVERY = 30.0
_PAUSES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class PostgresBell:
    """As `certbound.stores.database.Bell`."""

    def __init__(self, connect: Callable[[], Awaitable[Any]]) -> None:
        self._connect = connect
        self._rung = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None
        self._closed = False

    async def ring(self, connection: AsyncConnection) -> None:
        """Those who wait are told when the transaction commits."""
        await connection.execute(_RING)

    async def wait(self, timeout: float) -> None:  # noqa: ASYNC109 - as in `Bell`
        """Returns after somebody rang since the last wait, or after `timeout` seconds."""
        if self._listening is None and not self._closed:
            self._listening = asyncio.create_task(self._listen())
        with suppress(TimeoutError):
            await asyncio.wait_for(self._rung.wait(), timeout)
        if not self._closed:
            self._rung.clear()

    async def close(self) -> None:
        """Nobody listens any more; who waits returns."""
        self._closed = True
        self._rung.set()
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait([self._listening])

    async def _listen(self) -> None:
        failures = 0
        while True:
            try:
                connection = await self._connect()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
                if failures == 0:
                    _log.warning("changes of other processes are not heard at once: %s", type(error).__name__)
                await asyncio.sleep(_PAUSES[min(failures, len(_PAUSES) - 1)])
                failures += 1
                continue
            if failures:
                _log.info("changes of other processes are heard again")
            failures = 0
            try:
                await self._hear(connection)
            except Exception as error:  # noqa: BLE001 - likewise
                _log.info("the connection that hears of changes ended: %s", type(error).__name__)
                await asyncio.sleep(_PAUSES[0])
            finally:
                connection.terminate()

    async def _hear(self, connection: Any) -> None:
        """Until the connection ends."""
        ended = asyncio.Event()
        connection.add_termination_listener(lambda _: ended.set())
        await connection.add_listener(CHANNEL, lambda *_: self._rung.set())
        self._rung.set()
        while not connection.is_closed():
            with suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), _ASKED_EVERY)
                return
            await connection.execute("SELECT 1")


_log = logging.getLogger(__name__)

_RING = text(f"SELECT pg_notify('{CHANNEL}', '')")
