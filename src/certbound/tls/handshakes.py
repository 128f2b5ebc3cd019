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

    __slots__ = ("_loop", "_stepped_aside", "_waiting", "requests")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: OrderedDict[object, deque[Shaking]] = OrderedDict()
        self._stepped_aside = 0
        self.requests = 0
        """Requests begun since the last look; HTTP counts them up."""

    def add(self, connection: Shaking) -> None:
        """`connection.shake()` will be called once."""
        if not self._waiting:
            self._loop.call_soon(self._turn)
        origin = _origin(connection.peer)
        queue = self._waiting.get(origin)
        if queue is None:
            queue = self._waiting[origin] = deque()
        queue.append(connection)

    def _turn(self) -> None:
        if self.requests and self._stepped_aside < _PATIENCE:
            self.requests = 0
            self._stepped_aside += 1
            self._loop.call_soon(self._turn)
            return
        self.requests = self._stepped_aside = 0
        origin, queue = self._waiting.popitem(last=False)
        connection = queue.popleft()
        if queue:
            self._waiting[origin] = queue  # at the end: the other addresses come first
        try:
            connection.shake()
        finally:
            if self._waiting:
                self._loop.call_soon(self._turn)


def _origin(peer: Any) -> object:
    """Who takes turns with whom: an IPv4 address, an IPv6 network of 64 bits, which is what one subscriber has."""
    if not peer or ":" not in peer[0]:
        return peer[0] if peer else None
    return socket.inet_pton(socket.AF_INET6, peer[0].partition("%")[0])[:8]


_PATIENCE = 3
"""How many turns in a row a step leaves to requests; without an end they could starve handshakes."""
