"""How a response is sent.

Rule: its head waits for its body, so that a small response is one TLS record.
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from certbound.tls.ports import Message

if TYPE_CHECKING:
    from certbound.tls.connection import Connection


class Cycle(RequestResponseCycle):
    """One request and what the application answers."""

    transport: "Connection"  # type: ignore[assignment]

    async def send(self, message: Message) -> None:  # type: ignore[override]
        if message["type"] == "http.response.start":
            self.transport.hold_head()
            await super().send(message)  # type: ignore[arg-type]
        else:
            self.transport.body_follows()
            await super().send(message)  # type: ignore[arg-type]
            self.transport.uncork()


def make_refusal(status: int, fields: Sequence[tuple[bytes, bytes]]) -> bytes:
    """A whole response that says no more than `status`, after which the connection ends."""
    phrase = HTTPStatus(status).phrase.encode("ascii")
    head = field_lines(fields)
    return b"HTTP/1.1 %d %s\r\n%scontent-type: text/plain\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s\n" % (
        status,
        phrase,
        head,
        len(phrase) + 1,
        phrase,
    )


def field_lines(fields: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The header fields as they are sent."""
    return b"".join(b"%s: %s\r\n" % field for field in fields)
