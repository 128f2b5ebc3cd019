"""Answers for which nobody waits: what an application can say of a request without any I/O.

An ASGI application may have a method `answer_at_once(scope)`.  Our listener asks it first about a request that has no
body, so that an answer that is known costs no task; `None` leaves the request to ASGI.

Rule 1: it says what the application would have said by ASGI, or None.
Rule 2: it leaves the scope as it was; what it raises is an answer of ASGI's way, where it is raised again and told.
Rule 3: no response has a name or a value that could end its line.
"""

import re
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

import msgspec

from certbound.tls.ports import Scope


class Response(msgspec.Struct, frozen=True):
    """A whole response as it is sent; between its two parts is room for fields of the listener."""

    start: bytes
    """The status line."""
    rest: bytes
    """The other fields, the empty line and the body."""


AnswerAtOnce = Callable[[Scope], Response | None]


def at_once(app: Any) -> AnswerAtOnce | None:
    """How `app` answers without I/O; None if it never does."""
    found: AnswerAtOnce | None = getattr(app, "answer_at_once", None)
    return found


def compose(status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> Response:
    """`headers` are complete, Content-Length included.  `ValueError` if one of them would not stay one."""
    fields = tuple(headers)
    for name, value in fields:
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ValueError(f"{name!r:.80} cannot be a header")
    lines = b"".join(b"%b: %b\r\n" % field for field in fields)
    return Response(
        b"HTTP/1.1 %d %b\r\n" % (status, HTTPStatus(status).phrase.encode("ascii")), b"%b\r\n%b" % (lines, body)
    )


_NAME = re.compile(rb"[a-z0-9-]+")
_VALUE = re.compile(rb"[\t -~\x80-\xff]*")
