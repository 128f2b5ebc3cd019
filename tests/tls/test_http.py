"""What a request may look like, how long it may take, and how much of it there may be."""

import asyncio
import logging
import socket
import time

import pytest

from certbound.tls import Limits
from tls.wire import CLIENT, Client, Recorder, Server, one_port, reply, until, virtual_host

# ruff: noqa: E501 -- requests are lines
# ruff: noqa: PT012 -- what fails is somewhere in a stream of sends


@pytest.fixture
def app():
    return Recorder()


@pytest.fixture
def server(tmp_path, app):
    with Server(one_port(virtual_host(tmp_path, app))) as running:
        yield running


def bounded(tmp_path, app, **limits):
    return Server(one_port(virtual_host(tmp_path, app), limits=Limits(**limits)))


# --- what is refused

REFUSED = {
    "two Content-Length": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "two equal Content-Length": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
    "list in Content-Length": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1, 1\r\n\r\na",
    "signed Content-Length": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: +1\r\n\r\na",
    "negative Content-Length": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\na",
    "hexadecimal Content-Length": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0x1\r\n\r\na",
    "TE and CL": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "CL and TE": b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    "TE not chunked": b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "TE chunked not last": b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "TE twice": b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "TE identity": b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: identity\r\n\r\n",
    "TE in HTTP/1.0": b"POST / HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "TE with a control character": b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "obs-fold": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n",
    "folded first field": b"GET / HTTP/1.1\r\n Host: localhost\r\n\r\n",
    "bare LF": b"GET / HTTP/1.1\nHost: localhost\n\n",
    "bare LF in the header": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\nY: b\r\n\r\n",
    "bare CR": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\rY: b\r\n\r\n",
    "NUL in a value": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n",
    "space before the colon": b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n",
    "space before the colon of TE": b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "no colon": b"GET / HTTP/1.1\r\nHost: localhost\r\nX\r\n\r\n",
    "empty name": b"GET / HTTP/1.1\r\nHost: localhost\r\n: x\r\n\r\n",
    "chunk size signed": b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n+1\r\na\r\n0\r\n\r\n",
    "chunk size 0x": b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
    "chunk size too large": b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"f" * 17
    + b"\r\na",
    "chunk size with space": b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1 \r\na\r\n0\r\n\r\n",
    "chunk ends with LF": b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\na\n0\n\n",
    "chunk without its end": b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\naX0\r\n\r\n",
    "chunk extension with LF": b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1;a\nb\r\na\r\n0\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/1.2": b"GET / HTTP/1.2\r\nHost: localhost\r\n\r\n",
    "unknown version": b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
    "space in the target": b"GET /a b HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "raw bytes in the target": b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "no Host": b"GET / HTTP/1.1\r\n\r\n",
    "no Host in HTTP/1.0": b"GET / HTTP/1.0\r\n\r\n",
    "two Hosts": b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
    "two Hosts, spelled otherwise": b"GET / HTTP/1.1\r\nHost: localhost\r\nhOST: other\r\n\r\n",
    "empty Host": b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
    "Host with userinfo": b"GET / HTTP/1.1\r\nHost: x@localhost\r\n\r\n",
    "Host with a path": b"GET / HTTP/1.1\r\nHost: localhost/\r\n\r\n",
    "Host list": b"GET / HTTP/1.1\r\nHost: localhost, localhost\r\n\r\n",
    "Host with a bad port": b"GET / HTTP/1.1\r\nHost: localhost:99999999\r\n\r\n",
    "Host with letters for a port": b"GET / HTTP/1.1\r\nHost: localhost:x\r\n\r\n",
    "absolute target of another host": b"GET https://other.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "absolute target with userinfo": b"GET https://localhost@other/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "absolute target with our userinfo": b"GET https://x@localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "absolute target in plain http": b"GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "absolute target without a host": b"GET https:///x HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "absolute target with a backslash": b"GET https://localhost\\@other/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "relative target": b"GET x HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "CONNECT": b"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "upgrade to websocket": b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    "upgrade to h2c": b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
}
# The header is fine and the application has been called before these can be known.
IN_THE_BODY = ("chunk",)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_malformed_is_refused_and_the_connection_closed(server, app, name):
    """400, then the end, and nothing that follows on the connection is taken for a request."""
    with Client(server.address) as client:
        client.shake().send(REFUSED[name] + b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.response().status == 400
        assert client.is_closed()
        assert not client.received
    assert until(lambda: server.running.connections == 0)
    if name.startswith(IN_THE_BODY):
        assert app.bodies in ([], [None])
    else:
        assert not app.scopes


def test_a_foreign_host_is_misdirected(server, app):
    """421 (RFC 9110 section 15.5.20) for a host that the connection's virtual host does not serve."""
    for host in ("other.example", "localhost.example", "127.0.0.2", "[::1]"):
        with Client(server.address) as client:
            assert client.shake().ask(host=host).status == 421
            assert client.is_closed()
    assert not app.scopes


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST", "localhost:443", "localhost:8443", "localhost:", "127.0.0.1:1"]
)
def test_a_host_is_compared_without_case_and_port(server, host):
    """The port in Host is ignored: behind a port mapping it is not the one we listen on."""
    with Client(server.address) as client:
        assert client.shake().ask(host=host).status == 200


def test_an_absolute_target_with_its_host(server, app):
    """RFC 9112 section 3.2.2: a server must accept the absolute form."""
    with Client(server.address) as client:
        client.shake()
        assert client.ask("https://LOCALHOST:443/a/b?c").json["path"] == "/a/b"
        assert client.ask("https://localhost").json["path"] == "/"
        assert client.ask("https://localhost?q").json["path"] == "/"
        assert client.ask("https://localhost/?q").json["path"] == "/"
        assert client.send(b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n").response().status == 200
    assert [scope["query_string"] for scope in app.scopes] == [b"c", b"", b"q", b"q", b""]


def test_a_trailer_never_becomes_a_header(server, app):
    """The header list that the application got does not change when trailers arrive."""
    with Client(server.address) as client:
        client.shake().send(b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        assert until(lambda: app.scopes)
        headers = list(app.scopes[0]["headers"])
        client.send(b"0\r\nClient-Cert: :forged:\r\nHost: other\r\n\r\n")
        assert client.response().json["body"] == 1
        assert app.scopes[0]["headers"] == headers
        assert client.ask("/next").json["path"] == "/next"


# --- bounds


def test_too_many_header_fields(tmp_path, app):
    """431 beyond the number allowed."""
    with bounded(tmp_path, app, header_count=10) as server, Client(server.address) as client:
        client.shake()
        assert client.ask(more="".join(f"X{n}: y\r\n" for n in range(9))).status == 200
        assert client.ask(more="".join(f"X{n}: y\r\n" for n in range(10))).status == 431
        assert client.is_closed()


@pytest.mark.parametrize("head", ["GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n",
                                  "GET / HTTP/1.1\r\nHost: localhost\r\n{}: x\r\n\r\n"])  # fmt: skip
def test_too_large_a_header(tmp_path, app, head):
    """431 beyond the size allowed, be it in the target, a name or a value."""
    with bounded(tmp_path, app, header_bytes=4000) as server, Client(server.address) as client:
        client.shake()
        assert client.send(head.format("a" * 3800).encode()).response().status == 200
        assert client.send(head.format("a" * 4000).encode()).response().status == 431
        assert client.is_closed()


def test_a_field_without_an_end_does_not_grow(tmp_path, app):
    """A single header value that never ends is cut off near the bound."""
    with bounded(tmp_path, app, header_bytes=20_000) as server, Client(server.address) as client:
        client.shake().send(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ")
        sent = 0
        with pytest.raises(ConnectionError):
            while sent < 10_000_000:
                client.send(b"a" * 10_000)
                sent += 10_000
        assert sent < 5_000_000
    assert not app.scopes


def test_trailers_and_chunk_extensions_are_bounded(tmp_path, app):
    """What is neither header nor body has a bound too."""
    for endless in (b"0\r\nX: ", b"1;"):
        with bounded(tmp_path, app, header_bytes=4000) as server, Client(server.address) as client:
            client.shake().send(b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + endless)
            with pytest.raises(ConnectionError):
                for _ in range(1000):
                    client.send(b"a" * 10_000)


def test_small_chunks_are_no_offence(server):
    """A body in chunks of one byte is served."""
    with Client(server.address) as client:
        client.shake().send(b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(20):
            client.send(b"1\r\na\r\n" * 1000)
        assert client.send(b"0\r\n\r\n").response().json["body"] == 20_000


@pytest.mark.parametrize(
    "start", [b"G", b"GET / HTTP/1.1\r\nHost: localhost\r\nX", b"GET / HTTP/1.1\r\nHost: localhost\r\n"]
)
def test_a_header_has_a_time(tmp_path, app, start):
    """408 for a header that does not end, however its bytes are spread."""
    with bounded(tmp_path, app, header_seconds=0.3) as server, Client(server.address) as client:
        client.shake().ask()
        client.send(start)
        assert client.response().status == 408
        assert client.is_closed()


@pytest.mark.parametrize(("limits", "parts"), [({"body_idle_seconds": 0.3}, 1), ({"body_seconds": 0.3}, 12)])
def test_a_body_has_a_time(tmp_path, app, limits, parts):
    """408 for a body that stops coming, and for one that comes too slowly; the application is told."""
    with bounded(tmp_path, app, **limits) as server, Client(server.address) as client:
        client.shake().send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n")
        for _ in range(parts):
            client.send(b"a")
            time.sleep(0.1)
        assert client.response().status == 408
        assert client.is_closed()
        assert until(lambda: app.bodies == [None])


def test_a_body_has_a_size_if_so_configured(tmp_path, app):
    """413 for a body beyond it, announced or not."""
    with bounded(tmp_path, app, body_bytes=1000) as server:
        with Client(server.address) as client:
            client.shake()
            assert client.ask(body=bytes(1000)).status == 200
            assert client.ask(body=bytes(1001)).status == 413
            assert client.is_closed()
        assert len(app.scopes) == 1
        with Client(server.address) as client:
            client.shake().send(b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
            client.send(b"400\r\n" + bytes(1024) + b"\r\n0\r\n\r\n")
            assert client.response().status == 413


def test_idle_connections_are_closed(tmp_path, app):
    """A kept-alive connection without a request is closed, with close_notify."""
    with (
        bounded(tmp_path, app, idle_seconds=0.3) as server,
        Client(server.address) as client,
        Client(server.address) as mute,
    ):
        client.shake().ask()
        mute.shake()
        assert client.receive() == b""
        assert mute.receive() == b""
        assert client.tls.get_shutdown() & 2  # received


def test_empty_lines_are_no_request(tmp_path, app):
    """Who sends empty lines only is idle all the same."""
    with bounded(tmp_path, app, idle_seconds=0.3) as server, Client(server.address) as client:
        client.shake().send(b"\r\n\r\n")
        assert client.is_closed()


def test_a_last_request_with_a_broken_body(server, app):
    """Connection: close does not keep a malformed body from being noticed."""
    with Client(server.address) as client:
        client.shake().send(
            b"POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        assert until(lambda: app.scopes)
        assert client.send(b"x\r\n").response().status == 400
        assert client.is_closed()
    assert until(lambda: app.bodies == [None])


def test_a_busy_pipeline_meets_no_bound_of_one_request(tmp_path, app):
    """Requests that come many to a record, cut anywhere, for longer than one header may take: all are answered."""
    with bounded(tmp_path, app, header_bytes=1000, header_seconds=0.4) as server, Client(server.address) as client:
        requests = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n" * 240
        client.shake()
        answered = 0
        for start in range(0, len(requests), 2000):
            client.send(requests[start : start + 2000])
            while answered < (start + 2000) // (len(requests) // 240) and answered < 240:
                assert client.response().status == 200
                answered += 1
            time.sleep(0.1)
        assert answered == 240


def test_a_connection_in_use_is_not_idle(tmp_path, app):
    """Requests at intervals below the idle time keep the connection."""
    with bounded(tmp_path, app, idle_seconds=0.6) as server, Client(server.address) as client:
        client.shake()
        for _ in range(6):
            assert client.ask().status == 200
            time.sleep(0.25)


# --- the end of the peer's side


@pytest.mark.parametrize("how", ["close_notify", "FIN"])
def test_half_close(tmp_path, how):
    """A peer that is done sending still gets its answer, and then the end."""
    seen = []

    async def slow(scope, receive, send):
        if scope["type"] == "http":
            await asyncio.sleep(0.2)
            seen.append((await receive())["type"])
            await reply(send, b"late" * 10_000)

    with Server(one_port(virtual_host(tmp_path, slow))) as server, Client(server.address) as client:
        client.shake().send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        if how == "close_notify":
            client.tls.shutdown()
            client.socket.sendall(client.outgoing())
        client.socket.shutdown(socket.SHUT_WR)
        assert len(client.response().body) == 40_000
        assert client.is_closed()
        assert until(lambda: server.running.connections == 0)
    assert seen == ["http.request"]


def test_a_body_that_is_cut_off_is_not_a_body(server, app):
    """The peer closes in the middle of its body: the application sees a disconnect, never an end of the body."""
    with Client(server.address) as client:
        client.shake().send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc")
        client.socket.shutdown(socket.SHUT_WR)
        assert client.is_closed()
    assert until(lambda: app.bodies == [None])


def test_connection_close_is_honoured(server, app):
    """After a request that says close comes one answer and the end; a request behind it is not read."""
    with Client(server.address) as client:
        request = b"GET /%d HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        client.shake().send(request % 1 + request % 2)
        assert client.response().headers[b"connection"] == b"close"
        assert client.is_closed()
    assert [scope["path"] for scope in app.scopes] == ["/1"]


def test_an_early_answer_reaches_a_peer_that_still_sends(tmp_path):
    """An application that refuses before it has read the body: the answer is not lost in a reset."""

    async def refusing(scope, receive, send):
        if scope["type"] == "http":
            headers = [(b"content-length", b"2"), (b"connection", b"close")]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": b"no"})

    with Server(one_port(virtual_host(tmp_path, refusing))) as server, Client(server.address) as client:
        client.shake().send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3000000\r\n\r\n" + bytes(200_000))
        time.sleep(0.2)
        assert client.response().status == 403


# --- pipelining and back-pressure


def test_pipelined_requests_are_answered_in_order(server, app):
    """Many requests in one flight: each is answered, in order, one at a time."""
    with Client(server.address, certificate=CLIENT) as client:
        client.shake().send(b"".join(b"GET /%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % n for n in range(2000)))
        assert [client.response().json["path"] for _ in range(2000)] == [f"/{n}" for n in range(2000)]


def test_a_pipeline_is_bounded(tmp_path):
    """While one request is being answered only a bounded number of others is read."""
    gate, begun = asyncio.Event(), []

    async def stuck(scope, receive, send):
        if scope["type"] == "http":
            begun.append(scope["path"])
            await gate.wait()
            await reply(send, b"done")

    with Server(one_port(virtual_host(tmp_path, stuck))) as server, Client(server.address) as client:
        client.shake()
        client.socket.settimeout(0.5)
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < 50_000_000:
                client.send(b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000)
                sent += 36_000
        (connection,) = server.running._listeners[0].connections
        assert len(connection.http.pipeline) < 1000
        assert len(connection._arrived) < 600_000
        assert len(begun) == 1
        server.call(gate.set)


def test_a_malformed_request_behind_a_good_one(tmp_path, app):
    """The good one is answered, then the connection ends; the refusal is not mistaken for its answer."""
    with Server(one_port(virtual_host(tmp_path, app))) as server, Client(server.address) as client:
        client.shake().send(b"GET /good HTTP/1.1\r\nHost: localhost\r\n\r\nGET bad\r\n\r\n")
        assert client.response().json["path"] == "/good"
        assert client.is_closed()


def test_a_slow_reader_makes_the_application_wait(tmp_path):
    """What a peer does not read stays with the application: memory is bounded."""
    sent = []

    async def pouring(scope, receive, send):
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for _ in range(200):
                await send({"type": "http.response.body", "body": bytes(100_000), "more_body": True})
                sent.append(100_000)
            await send({"type": "http.response.body", "body": b""})

    with Server(one_port(virtual_host(tmp_path, pouring))) as server, Client(server.address) as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 100_000)
        client.shake().send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(0.5)
        assert sum(sent) < 12_000_000
        total = 0
        while total < 20_000_000:
            total += len(client.receive())
    assert len(sent) == 200


def test_a_reader_that_stops_is_dropped(tmp_path):
    """A peer that takes nothing of its response is dropped in time."""

    async def pouring(scope, receive, send):
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for _ in range(200):
                await send({"type": "http.response.body", "body": bytes(1_000_000), "more_body": True})

    with bounded(tmp_path, pouring, write_seconds=0.4) as server, Client(server.address) as client:
        client.shake().send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert until(lambda: server.running.connections == 0)


def test_a_large_upload_is_not_buffered(tmp_path):
    """A body that the application does not read stays with the peer."""
    gate = asyncio.Event()
    taken = []

    async def lazy(scope, receive, send):
        if scope["type"] == "http":
            await gate.wait()
            while (message := await receive())["more_body"]:
                taken.append(len(message["body"]))
            taken.append(len(message["body"]))
            await reply(send, b"done")

    size = 40_000_000
    with Server(one_port(virtual_host(tmp_path, lazy))) as server, Client(server.address) as client:
        client.shake().send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % size)
        client.socket.settimeout(0.5)
        rest = client.encrypt(bytes(size))
        at = 0
        with pytest.raises(TimeoutError):
            while at < len(rest):
                at += client.socket.send(rest[at : at + 100_000])
        (connection,) = server.running._listeners[0].connections
        assert len(connection.http.cycle.body) < 200_000
        assert len(connection._arrived) < 600_000
        server.call(gate.set)
        client.socket.settimeout(10)
        client.socket.sendall(rest[at:])
        assert client.response().body == b"done"
    assert sum(taken) == size


def test_expect_100_continue(server):
    """A client that waits for 100 gets it when the application reads."""
    with Client(server.address) as client:
        client.shake().send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert client.response().status == 100
        assert client.send(b"abc").response().json["body"] == 3


# --- the application


def test_head_and_body_share_a_record(server):
    """A small response is one TLS record in one segment."""
    with Client(server.address) as client:
        client.shake().ask()
        client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        data = client.socket.recv(65536)
        assert int.from_bytes(data[3:5], "big") == len(data) - 5
        client.tls.bio_write(data)
        assert client.response().status == 200


def test_an_application_that_fails(tmp_path, caplog):
    """500 and a line in the log; the connection ends, the next one works."""

    async def failing(scope, receive, send):
        if scope["type"] == "http":
            raise RuntimeError("no luck")

    with Server(one_port(virtual_host(tmp_path, failing))) as server:
        for _ in range(2):
            with Client(server.address) as client:
                assert client.shake().ask().status == 500
                assert client.is_closed()
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == [
        "Exception in ASGI application\n"
    ] * 2


def test_an_application_that_fails_between_head_and_body(tmp_path, caplog):
    """A head without a body is never sent: the peer cannot take it for an answer."""

    async def failing(scope, receive, send):
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
            raise RuntimeError("no luck")

    with Server(one_port(virtual_host(tmp_path, failing))) as server, Client(server.address) as client:
        client.shake().send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with pytest.raises(ConnectionError):
            client.response()


def test_every_connection_is_forgotten(server, app):
    """After many connections nothing of them is left."""
    for _ in range(50):
        with Client(server.address, certificate=CLIENT) as client:
            client.shake().ask()
    listener = server.running._listeners[0]
    assert until(lambda: not listener.connections)
    for deadline in vars(listener.deadlines).values():
        assert until(lambda deadline=deadline: not deadline._running)
