"""certbound.tls.prompt: an application that can answer without waiting is asked before ASGI has its turn."""

import asyncio
import contextlib
import logging
import select
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from certbound import tls
from certbound.tls import PlainPort
from certbound.tls.prompt import Response, compose

GET = b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"
LARGE = 8 * 1024 * 1024


class Both:
    """Says which way it was asked, and the path."""

    def __init__(self, body: bytes = b"") -> None:
        self.body = body
        self.at_once: list[str] = []

    def answer_at_once(self, scope: Any) -> Response | None:
        path = scope["path"]
        if path == "/wrong":
            raise ArithmeticError("not now")
        if path == "/later":
            return None
        self.at_once.append(path)
        body = f"at once {path}".encode() + self.body
        return compose(200, [(b"content-length", b"%d" % len(body))], body)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise NotImplementedError
        if scope["path"] == "/wrong":
            raise ArithmeticError("never")
        length = 0
        while (message := await receive())["type"] == "http.request":
            length += len(message["body"])
            if not message["more_body"]:
                break
        body = f"by ASGI {scope['path']} {length}".encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})


class Looking(Both):
    """Looks, at the hundredth request, whether who was first has the answer."""

    def __init__(self) -> None:
        super().__init__()
        self.asking: list[socket.socket] = []
        self.found: list[bool] = []

    def answer_at_once(self, scope: Any) -> Response | None:
        answer = super().answer_at_once(scope)
        if len(self.at_once) == 100:
            first = self.asking[int(self.at_once[0][1:])]
            self.found.append(bool(select.select([first], [], [], 0)[0]))
        return answer


@contextlib.asynccontextmanager
async def connected(app: Any) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    running = await tls.start([PlainPort(host="127.0.0.1", port=0, app=app)])
    reader, writer = await asyncio.open_connection(*running.addresses[0])
    try:
        async with asyncio.timeout(10):
            yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        await running.stop(grace=1)


async def response(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Head and body of the next one."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return head, await reader.readexactly(length)


async def test_requests_without_a_body_are_answered_at_once() -> None:
    """One after the other on one connection, each with a date as every answer has it."""
    async with connected(Both()) as (reader, writer):
        for number in range(3):
            writer.write(GET % number)
            head, body = await response(reader)
            assert body == b"at once /%d" % number
            assert head.startswith(b"HTTP/1.1 200 OK\r\ndate: ")
            assert b"connection" not in head


@pytest.mark.parametrize(
    ("request_", "body"),
    [
        (b"GET /later HTTP/1.1\r\nHost: a\r\n\r\n", b"by ASGI /later 0"),
        (b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", b"by ASGI /x 3"),
        (b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", b"by ASGI /x 3"),
        (b"GET /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", b"by ASGI /x 0"),
        (b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"by ASGI /x 0"),
        (b"GET /x HTTP/1.0\r\nHost: a\r\n\r\n", b"by ASGI /x 0"),
        (b"GET /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", b"by ASGI /x 0"),
    ],
    ids=["None", "length", "chunked", "length 0", "close", "1.0", "Expect"],
)
async def test_all_others_go_the_way_of_asgi(request_: bytes, body: bytes) -> None:
    async with connected(Both()) as (reader, writer):
        writer.write(request_)
        if b"Expect" in request_:
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert (await response(reader))[1] == body


async def test_a_head_has_no_body() -> None:
    async with connected(Both()) as (reader, writer):
        writer.write(b"HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n" + GET % 1)
        assert b"content-length: 12" in await reader.readuntil(b"\r\n\r\n")
        assert (await response(reader))[1].endswith(b"/1 0")


async def test_what_it_raises_is_raised_again_and_told(caplog: pytest.LogCaptureFixture) -> None:
    """500, and the traceback of the other way in the log."""
    with caplog.at_level(logging.ERROR):
        async with connected(Both()) as (reader, writer):
            writer.write(b"GET /wrong HTTP/1.1\r\nHost: a\r\n\r\n")
            head, _ = await response(reader)
    assert head.startswith(b"HTTP/1.1 500")
    assert "ArithmeticError: never" in caplog.text


async def test_requests_in_one_packet_are_answered_in_their_order() -> None:
    """The first of a packet at once and the others in their turn: nobody keeps all connections waiting."""
    app = Both()
    async with connected(app) as (reader, writer):
        writer.write(b"".join(GET % number for number in range(5)))
        bodies = [(await response(reader))[1] for _ in range(5)]
        assert bodies == [b"at once /0", *(b"by ASGI /%d 0" % number for number in range(1, 5))]
        writer.write(GET % 5)
        assert (await response(reader))[1] == b"at once /5"


async def test_a_request_in_pieces_is_answered_once() -> None:
    async with connected(Both()) as (reader, writer):
        for piece in (b"GET /0 HT", b"TP/1.1\r\nHo", b"st: a\r\n\r", b"\n"):
            writer.write(piece)
            await asyncio.sleep(0.02)
        assert (await response(reader))[1] == b"at once /0"
        writer.write(GET % 1)
        assert (await response(reader))[1] == b"at once /1"


async def test_whoever_says_no_more_still_gets_the_answer() -> None:
    """It comes before the end."""
    async with connected(Both()) as (reader, writer):
        writer.write(GET % 0)
        writer.write_eof()
        assert (await reader.read()).endswith(b"at once /0")


async def test_each_of_many_gets_its_own() -> None:
    """However many ask in one turn of the loop."""
    running = await tls.start([PlainPort(host="127.0.0.1", port=0, app=Both())])
    try:
        streams = [await asyncio.open_connection(*running.addresses[0]) for _ in range(150)]
        for number, (_, writer) in enumerate(streams):
            writer.write(GET % number)
        async with asyncio.timeout(10):
            bodies = [(await response(reader))[1] for reader, _ in streams]
        assert bodies == [b"at once /%d" % number for number in range(150)]
        for _, writer in streams:
            writer.close()
    finally:
        await running.stop(grace=1)


async def test_nobody_waits_for_a_hundred_others() -> None:
    """The first has its answer while the hundredth is still found."""
    app = Looking()
    running = await tls.start([PlainPort(host="127.0.0.1", port=0, app=app)])
    with contextlib.ExitStack() as stack:
        for number in range(120):
            app.asking.append(stack.enter_context(socket.create_connection(running.addresses[0])))
            app.asking[number].sendall(GET % number)
        async with asyncio.timeout(10):
            while not app.found:
                await asyncio.sleep(0.01)
    await running.stop(grace=1)
    assert app.found == [True]


async def test_what_follows_is_still_judged() -> None:
    """An answer, then 400 and the end."""
    async with connected(Both()) as (reader, writer):
        writer.write(GET % 0 + b"no request\r\n\r\n")
        assert (await response(reader))[1] == b"at once /0"
        assert (await reader.read()).startswith(b"HTTP/1.1 400")


async def test_who_reads_nothing_gets_no_second_answer_at_once() -> None:
    """Answers wait for whoever is slow, and are not heaped up."""
    app = Both(b"x" * LARGE)
    async with connected(app) as (reader, writer):
        for number in range(2):
            writer.write(GET % number)
            await asyncio.sleep(0.05)
        assert app.at_once == ["/0"]
        assert len((await response(reader))[1]) > LARGE
        assert (await response(reader))[1] == b"by ASGI /1 0"


@pytest.mark.parametrize("value", [b"b\r\nc: d", b"b\n", b"\0", b"\x7f"])
def test_no_value_can_become_a_header(value: bytes) -> None:
    with pytest.raises(ValueError, match="cannot be a header"):
        compose(200, [(b"a", value)], b"")


@pytest.mark.parametrize("name", [b"a\r\n", b"a:", b"a b", b"", b"A"])
def test_no_name_can_become_two(name: bytes) -> None:
    with pytest.raises(ValueError, match="cannot be a header"):
        compose(200, [(name, b"b")], b"")
