"""What is due to several peers is sent together, once all that arrived has been read.

A proxy that asks on many connections sleeps while nothing comes.  Answers that are sent as they are found wake it for
each of them, and waking it costs more than the decision; those that follow each other closely wake it once.
"""

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from certbound.tls.connection import Connection


class Outbox:
    """The connections that have something to send at the end of this turn of the loop."""

    __slots__ = ("_due", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._due: list[Connection] = []

    def add(self, connection: "Connection") -> None:
        """`flush` of `connection` is called at the end of this turn, or as soon as there are many."""
        if not self._due:
            self._loop.call_soon(self._flush)
        self._due.append(connection)
        if len(self._due) >= _MANY:
            self._flush()

    def _flush(self) -> None:
        due, self._due = self._due, []
        for connection in due:
            connection.flush()


_MANY = 64
"""Nobody waits for more than so many others."""
