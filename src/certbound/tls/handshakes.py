"""Handshakes take turns.

A handshake step costs as much as several requests, and whoever connects decides how many there are.  One step is worked
off per turn of the event loop, after the sockets were looked at, and it lets a request that has just begun go first:
so a flood of handshakes slows other handshakes, and established connections hardly.
"""

import asyncio
from collections import deque
from typing import Protocol


class Shaking(Protocol):
    """A connection whose handshake is not complete."""

    def shake(self) -> None:
        """Work off what has arrived."""


class HandshakeQueue:
    """The handshake steps that wait for their turn."""

    __slots__ = ("_loop", "_stepped_aside", "_waiting", "requests")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[Shaking] = deque()
        self._stepped_aside = 0
        self.requests = 0
        """Requests begun since the last look; HTTP counts them up."""

    def add(self, connection: Shaking) -> None:
        """`connection.shake()` will be called once."""
        self._waiting.append(connection)
        if len(self._waiting) == 1:
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        if self.requests and self._stepped_aside < _PATIENCE:
            self.requests = 0
            self._stepped_aside += 1
            self._loop.call_soon(self._turn)
            return
        self.requests = self._stepped_aside = 0
        connection = self._waiting.popleft()
        try:
            connection.shake()
        finally:
            if self._waiting:
                self._loop.call_soon(self._turn)


_PATIENCE = 3
"""How many turns in a row a step leaves to requests; without an end they could starve handshakes."""
