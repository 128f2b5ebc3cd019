"""`certbound.cli._loopback`: whoever else finds the port that a browser is to come back to."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from certbound.cli._loopback import Loopback, listening
from certbound.client import RedirectUnusable

GOOD = "/back?code=c&state=s"


def judge(url: str) -> str:
    if urlsplit(url).query != urlsplit(GOOD).query:
        raise RedirectUnusable("no")
    return "the code"


class Waiting:
    """A login that waits, and whoever comes by."""

    patience = 10.0

    def __init__(self, loopback: Loopback, threads: ThreadPoolExecutor) -> None:
        self.place = urlsplit(loopback.redirect_uri).netloc
        self.port = int(self.place.rpartition(":")[2])
        self.code: Future[str] = threads.submit(loopback.wait, judge, 10)

    def send(self, data: bytes) -> bytes:
        """All that is answered, until the end; nothing, where nobody answers any more."""
        with socket.create_connection(("127.0.0.1", self.port), self.patience) as stream:
            stream.sendall(data)
            came = b""
            while more := _receive(stream):
                came += more
        return came

    def ask(self, target: str = GOOD, *, method: str = "GET", host: str | None = None, more: str = "") -> bytes:
        said = f"{method} {target} HTTP/1.1\r\nHost: {self.place if host is None else host}\r\n{more}\r\n"
        return self.send(said.encode())

    def ends_well(self) -> None:
        """Nothing of before has ended it: the one who is waited for is still the one."""
        assert not self.code.done()
        assert self.ask().startswith(b"HTTP/1.0 200")
        assert self.code.result(10) == "the code"


def _receive(stream: socket.socket) -> bytes:
    try:
        return stream.recv(65536)
    except (ConnectionResetError, TimeoutError):
        return b""


@pytest.fixture
def waiting() -> Iterator[Waiting]:
    with listening("/back") as loopback, ThreadPoolExecutor(1) as threads:
        login = Waiting(loopback, threads)
        yield login
        if not login.code.done():
            login.ask()


@pytest.mark.parametrize("method", ["POST", "PUT", "HEAD", "OPTIONS", "DELETE", "CONNECT", "get", "<script>"])
def test_another_method(waiting: Waiting, method: str) -> None:
    """It is refused, body and all, and nothing of what came is shown."""
    came = waiting.ask(method=method, more="Content-Length: 7\r\nContent-Type: text/plain\r\n\r\ncode=c&")
    assert came.split(b" ")[1] in {b"400", b"405", b"501"}
    assert b"script" not in came
    assert b"default-src 'none'" in came
    waiting.ends_well()


@pytest.mark.parametrize(
    "host",
    ["localhost:{}", "127.0.0.1", "evil.example:{}", "127.0.0.1:{}.evil.example", "127.0.0.1:{}, evil.example", "",
     "[::1]:{}", "127.1:{}", "user@127.0.0.1:{}", "127.0.0.1:{}\r\nHost: evil.example"],
)  # fmt: skip
def test_another_name(waiting: Waiting, host: str) -> None:
    """A page elsewhere, whose name leads to this machine, is not called so (DNS rebinding)."""
    assert waiting.ask(host=host.format(waiting.port)).startswith(b"HTTP/1.0 421")
    waiting.ends_well()


@pytest.mark.parametrize(
    "data",
    [
        b"GET " + b"/back?" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /back HTTP/1.1\r\n" + b"x: y\r\n" * 1000 + b"\r\n",
        b"GET /back HTTP/1.1\r\nx: " + b"y" * 100_000 + b"\r\n\r\n",
        b"GET /back HTTP/9.9\r\n\r\n",
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        b"\r\n\r\n",
        b"<script>alert(1)</script> / HTTP/1.1\r\n\r\n",
    ],
    ids=["long-query", "many-headers", "long-header", "version", "short", "tls", "empty", "script"],
)
def test_what_is_no_request(waiting: Waiting, data: bytes) -> None:
    """It is refused, and shown to nobody."""
    assert b"script" not in waiting.send(data + b"\r\n\r\n")
    waiting.ends_well()


@pytest.mark.parametrize(
    "target",
    ["/", "/back/", "//back", "/back/../back", "/Back?code=c&state=s", "/back%3Fcode=c", "back?code=c&state=s",
     "http://127.0.0.1/back?code=c&state=s", "*", "/back", "/back?code=c&state=x",
     "/back?code=c&state=s&a=" + "b" * 60_000],
)  # fmt: skip
def test_another_target(waiting: Waiting, target: str) -> None:
    """Another path, or no answer to what was started."""
    assert waiting.ask(target).split(b" ")[1] in {b"400", b"404"}
    waiting.ends_well()


def test_a_second_answer(waiting: Waiting) -> None:
    """While the code is redeemed, the first is the last, and whoever comes behind it is told so at once."""
    waiting.ends_well()
    for target in (GOOD, "/back?error=no", "/"):
        assert waiting.ask(target).startswith((b"HTTP/1.0 400", b"HTTP/1.0 404"))


def test_the_port_is_closed_at_the_end() -> None:
    """Whether somebody came, or nobody was waited for at all."""
    with listening("/back") as loopback, ThreadPoolExecutor(1) as threads:
        login = Waiting(loopback, threads)
        login.ends_well()
    with pytest.raises(ConnectionError):
        login.ask()
    with listening("/back") as loopback:
        place = ("127.0.0.1", urlsplit(loopback.redirect_uri).port)
    with pytest.raises(ConnectionError):
        socket.create_connection(place, 5)


def test_many_at_once(waiting: Waiting) -> None:
    """One of them is the one."""
    waiting.patience = 0.5
    with ThreadPoolExecutor(8) as threads:
        came = list(threads.map(lambda _: _quietly(waiting), range(8)))
    assert sum(each.startswith(b"HTTP/1.0 200") for each in came) == 1
    assert waiting.code.result(10) == "the code"


def _quietly(waiting: Waiting) -> bytes:
    try:
        return waiting.ask()
    except OSError:
        return b""


def test_those_who_say_nothing_keep_nobody_waiting(waiting: Waiting) -> None:
    """Fifty connections that are silent, or stop in the middle of a line."""
    held = [socket.create_connection(("127.0.0.1", waiting.port), 10) for _ in range(50)]
    for each in held[::2]:
        each.sendall(b"GET /back?co")
    begun = time.monotonic()
    waiting.ends_well()
    assert time.monotonic() - begun < 5
    for each in held:
        each.close()
    assert threading.active_count() < 200
