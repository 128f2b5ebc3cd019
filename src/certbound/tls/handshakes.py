"""Handshakes take turns.

A handshake step costs as much as several requests, and whoever connects decides how many there are.  One step is worked
off per turn of the event loop, after the sockets were looked at, and it lets a request that has just begun go first:
so a flood of handshakes slows other handshakes, and established connections hardly.  Addresses take turns as well: a
flood from one of them slows its own handshakes first.
"""

import asyncio
import socket
from collections import OrderedDict, deque
from typing import Any, Protocol


class Shaking(Protocol):
    """A connection whose handshake is not complete."""

    peer: Any
    """The peer's address: host, port, and what IPv6 adds."""

    def shake(self) -> None:
        """Work off what has arrived."""


class HandshakeQueue:
    """The handshake steps that wait for their turn."""

    __slots__ = ("_done_with", "_loop", "_scheduled", "_stepped_aside", "_waiting", "requests")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting = _Turns()
        self._done_with: deque[object] = deque()
        self._scheduled = False
        self._stepped_aside = 0
        self.requests = 0
        """Requests begun since the last look; HTTP counts them up."""

    def add(self, connection: Shaking) -> None:
        """`connection.shake()` will be called once."""
        self._waiting.add(connection)
        self._schedule()

    def free_later(self, garbage: object) -> None:
        """Let go of `garbage`, which costs time as well, when its turn comes."""
        if garbage is not None:
            self._done_with.append(garbage)
            self._schedule()

    def _schedule(self) -> None:
        if (self._waiting or self._done_with) and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        try:
            if self.requests and self._stepped_aside < _PATIENCE:
                self.requests = 0
                self._stepped_aside += 1
            else:
                self.requests = self._stepped_aside = 0
                self._step()
        finally:
            self._schedule()

    def _step(self) -> None:
        if self._done_with:
            self._done_with.popleft()
        if self._waiting:
            self._waiting.next().shake()


class _Turns:
    """A queue in which addresses take turns."""

    __slots__ = ("_queues",)

    def __init__(self) -> None:
        self._queues: OrderedDict[object, deque[Shaking]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._queues)

    def add(self, connection: Shaking) -> None:
        origin = _origin(connection.peer)
        queue = self._queues.get(origin)
        if queue is None:
            queue = self._queues[origin] = deque()
        queue.append(connection)

    def next(self) -> Shaking:
        origin, queue = self._queues.popitem(last=False)
        connection = queue.popleft()
        if queue:
            self._queues[origin] = queue  # at the end: the other addresses come first
        return connection


def _origin(peer: Any) -> object:
    """Who takes turns with whom: an IPv4 address, an IPv6 network of 64 bits, which is what one subscriber has."""
    if not peer or ":" not in peer[0]:
        return peer[0] if peer else None
    return socket.inet_pton(socket.AF_INET6, peer[0].partition("%")[0])[:8]


_PATIENCE = 3
"""How many turns in a row a step leaves to requests; without an end they could starve handshakes."""
