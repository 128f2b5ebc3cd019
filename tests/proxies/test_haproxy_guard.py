"""How HAProxy asks the guard: the script and the lines around it let nothing pass but a whole yes."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from certbound.cli.proxies import IDENTITY_HEADERS
from certbound.core.certificate import read_certificate
from certbound.tls import PlainPort
from certbound.tls.forwarded import contract_of
from certbound.tls.header_names import folded
from certbound.tls.proxies import SECRET_HEADER
from proxies.asked import Asked, guarded, told
from proxies.frame import (
    HOST,
    Kinds,
    Observer,
    Proxied,
    behind,
    read_response,
    request,
    running,
    served,
    serving,
    wrapped,
)
from proxies.programs import HAPROXY
from proxies.variants import spelled

pytestmark = pytest.mark.proxies

YES = tuple((name.encode(), b"who") for name in IDENTITY_HEADERS)


@dataclass
class Answering:
    """A guard that answers what it is told to, and remembers what it was asked."""

    status: int = 200
    headers: Sequence[tuple[bytes, bytes]] = YES
    body: bytes = b""
    asked: list[dict[str, Any]] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = (await receive()).get("body", b"")
        self.asked.append({"method": scope["method"], "headers": scope["headers"], "body": body})
        length = (b"content-length", b"%d" % len(self.body))
        await send({"type": "http.response.start", "status": self.status, "headers": [*self.headers, length]})
        await send({"type": "http.response.body", "body": self.body})


@dataclass
class Targets(Observer):
    """An API that says the request's target as it came."""

    def describe(self, scope: Any, body: bytes) -> dict[str, Any]:
        target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        return {**super().describe(scope, body), "target": target.decode("latin-1")}


@contextlib.contextmanager
def asking(guard: str, folder: Path, kinds: Kinds) -> Iterator[tuple[Proxied, Observer]]:
    """HAProxy that asks at `guard`, before an API."""
    observer = Targets("haproxy")
    with (
        served(observer) as port,
        behind(HAPROXY, f"127.0.0.1:{port}", folder, kinds, purpose="guard", options=["--guard", guard]) as proxy,
    ):
        yield proxy, observer


@contextlib.contextmanager
def talking(said: bytes) -> Iterator[int]:
    """A service that says these bytes to whoever asks, and nothing more; its port."""
    held: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            with contextlib.suppress(OSError):
                while True:
                    stream = listener.accept()[0]
                    held.append(stream)
                    stream.recv(65536)
                    stream.sendall(said)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)
    for stream in held:
        stream.close()


def identity_of(seen: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Every header that some server takes for one of the guard's."""
    return sorted((name, value) for name, value in seen["headers"] if folded(name.encode()) in _FOLDED)


_FOLDED = {folded(name.encode()) for name in IDENTITY_HEADERS}
_NO = [
    (200, ()), (200, YES[:4]), (200, YES[1:]), (200, (*YES, YES[0])), (200, (*YES, (YES[4][0], b"another"))),
    (201, YES), (204, YES), (302, YES), (400, YES), (407, YES), (500, YES), (503, YES),
]  # fmt: skip


def test_only_a_whole_yes_is_one(kinds: Kinds, tmp_path: Path) -> None:
    """Another status, and a 200 that does not say each of the five once, as another service's, pass nothing."""
    guard = Answering()
    with served(guard) as port, asking(f"127.0.0.1:{port}", tmp_path, kinds) as (proxy, observer):
        assert 200 == proxy.ask().status
        assert [1, 1] == [len(observer.seen), len(guard.asked)]
        for guard.status, guard.headers in _NO:
            assert 503 == proxy.ask().status, (guard.status, guard.headers)
        assert 1 == len(observer.seen)
        guard.status, guard.headers = 200, [(name, b"") for name, _ in YES]
        assert 200 == proxy.ask().status


def test_a_refusal_is_the_clients(kinds: Kinds, tmp_path: Path) -> None:
    """401 and 403 with their challenge and their text, for HEAD without it; nothing else of the guard's comes out."""
    guard = Answering(headers=[(b"www-authenticate", b'Bearer a="b"'), (b"content-type", b"text/x"), *YES], body=b"no")
    with served(guard) as port, asking(f"127.0.0.1:{port}", tmp_path, kinds) as (proxy, observer):
        for guard.status in (401, 403):
            for method, body in (("GET", b"no"), ("HEAD", b""), ("POST", b"no")):
                answer = proxy.ask(method=method, body=b"x" * (method == "POST"))
                assert (guard.status, body) == (answer.status, answer.raw.partition(b"\r\n\r\n")[2]), answer
                assert ('Bearer a="b"', "text/x") == tuple(
                    answer.headers[each] for each in ("www-authenticate", "content-type")
                )
                assert not set(IDENTITY_HEADERS) & set(answer.headers)
        assert [] == observer.seen


def test_no_answer_from_the_guard_is_a_refusal(kinds: Kinds, tmp_path: Path) -> None:
    """A guard that is away lets nobody through."""
    with asking("127.0.0.1:9", tmp_path, kinds) as (proxy, observer):
        assert 503 == proxy.ask(kinds["CA-signed"]).status
        assert [] == observer.seen


_HEAD = b"HTTP/1.1 200 OK\r\n"
_FIVE = b"".join(b"%s: who\r\n" % name for name, _ in YES)
_END = b"Content-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    "said",
    [b"", b"hello\r\n\r\n", _HEAD + _FIVE, _HEAD + _FIVE.replace(b"who", b"w\0o") + _END,
     _HEAD + b"X: " + b"x" * 65536 + b"\r\n" + _FIVE + _END, _HEAD + b": y\r\n" + _FIVE + _END,
     _HEAD + _FIVE + b"\r\n", _HEAD + _FIVE + b"Content-Length: 5\r\n\r\nabc", _HEAD + _END],
    ids=["silence", "no HTTP", "no end of the head", "a NUL", "64 kB", "no header", "no length",
         "half a body", "nobody"],
)  # fmt: skip
def test_half_an_answer_is_none(said: bytes, kinds: Kinds, tmp_path: Path) -> None:
    """What does not end, or is no HTTP, is waited for some seconds and is a 503."""
    with talking(said) as port, asking(f"127.0.0.1:{port}", tmp_path, kinds) as (proxy, observer):
        began = time.monotonic()
        assert 503 == proxy.ask(kinds["CA-signed"]).status
        assert time.monotonic() - began < 12
        assert [] == observer.seen


def test_a_whole_answer_by_hand_is_one(kinds: Kinds, tmp_path: Path) -> None:
    """So what is refused above is refused for what it lacks."""
    with talking(_HEAD + _FIVE + _END) as port, asking(f"127.0.0.1:{port}", tmp_path, kinds) as (proxy, _):
        assert 200 == proxy.ask(kinds["CA-signed"]).status


def test_an_error_in_the_script_is_a_refusal(kinds: Kinds, tmp_path: Path) -> None:
    """HAProxy itself goes on after one: the line behind the script is what refuses, and without it all would pass."""
    broken = 'core.register_action("certbound_guard", {"http-req"}, function(txn) error("broken") end)\n'
    guard, observer = Answering(), Observer("haproxy")
    with served(guard) as port, served(observer) as api:
        options = ["--guard", f"127.0.0.1:{port}"]
        with behind(HAPROXY, f"127.0.0.1:{api}", tmp_path, kinds, purpose="guard", options=options) as proxy:
            pass
        (tmp_path / "guard.lua").write_text(broken)
        with running(HAPROXY, proxy.printed, proxy.port, tmp_path, kinds) as proxy:
            assert 503 == proxy.ask().status
            assert [] == observer.seen
        without = "\n".join(line for line in proxy.printed.splitlines() if "return status 503" not in line) + "\n"
        with running(HAPROXY, without, proxy.port, tmp_path, kinds) as proxy:
            assert 200 == proxy.ask().status
    assert [] == guard.asked


def test_what_clients_say_of_themselves_is_gone(kinds: Kinds, tmp_path: Path) -> None:
    """In every spelling, more than once, and named in `Connection`: the API sees what the guard said alone."""
    with guarded(HAPROXY, tmp_path, kinds) as guard:
        plain = [(name, "forged") for name in IDENTITY_HEADERS]
        identity = kinds["CA-signed"]
        assert identity is not None
        expected = sorted(told(read_certificate(identity.der).thumbprint).items())
        for headers in (
            plain, [*plain, *plain], *(spelled(plain, sign) for sign in "_.+"),
            [(name.upper(), "x") for name, _ in plain],
            [(name + "-", "x") for name, _ in plain], [("-" + name, "x") for name, _ in plain],
            [(name.replace("-", "_", 1), "x") for name, _ in plain],
            [("Connection", ", ".join(["close", *IDENTITY_HEADERS])), *plain],
            [("Connection", f"close, {SECRET_HEADER}, x-original-uri, x-ssl-client-cert, authorization"), *plain],
        ):  # fmt: skip
            answer = guard.call("CA-signed", *headers)
            assert 200 == answer.status, (headers, answer)
            [seen] = guard.observer.seen
            assert expected == identity_of(seen), headers
        uris = [("X-Original-URI", "/free"), ("X_Original_URI", "/free"), ("X-Original-URI-", "/free")]
        guard.call("CA-signed", *uris, *uris, ("X-Original-Method", "HEAD"))
        assert [("GET", "/a")] == guard.asked.requests


def test_each_request_of_a_connection_is_asked_about(kinds: Kinds, tmp_path: Path) -> None:
    """A yes is for one request; the next on the same connection has its own."""
    guard = Answering()
    with served(guard) as port, asking(f"127.0.0.1:{port}", tmp_path, kinds) as (proxy, observer):
        with proxy.connect(kinds["CA-signed"]) as stream:
            for guard.headers, expected in ((YES, b" 200 "), ((), b" 503 "), (YES, b" 200 ")):
                stream.sendall(request(("Connection", "keep-alive")))
                assert expected in read_response(stream).partition(b"\r\n")[0]
        assert [3, 2] == [len(guard.asked), len(observer.seen)]


def test_the_guard_is_asked_in_the_proxys_words(kinds: Kinds, tmp_path: Path) -> None:
    """GET without the body, the certificate that is held, and of the client's headers Authorization, each of them."""
    guard = Answering()
    with served(guard) as port, asking(f"127.0.0.1:{port}", tmp_path, kinds) as (proxy, observer):
        headers = [("Authorization", "Bearer one"), ("Authorization", "Bearer two"), ("Cookie", "a=b"), ("X-Own", "c")]
        assert 200 == proxy.ask(kinds["self-signed"], *headers, method="PUT", body=b"x" * 5000, path="/a?b=c").status
        [asked], [seen] = guard.asked, observer.seen
        said = [(name.decode(), value.decode()) for name, value in asked["headers"]]
        assert ("GET", b"") == (asked["method"], asked["body"])
        assert ["Bearer one", "Bearer two"] == sorted(value for name, value in said if name == "authorization")
        assert [("PUT", "/a?b=c", HOST)] == [
            tuple(dict(said)[each] for each in ("x-original-method", "x-original-uri", "host"))
        ]
        assert len({"cookie", "x-own", "content-length"} & dict(said).keys()) == 0
        assert ("PUT", "x" * 5000) == (seen["method"], seen["body"])
        assert (
            not {"x-original-uri", "x-original-method", *contract_of("haproxy").headers} & dict(seen["headers"]).keys()
        )


def test_the_target_asked_about_is_the_one_served(kinds: Kinds, tmp_path: Path) -> None:
    """Byte for byte, whatever the client wrote; or it is refused."""
    guard, passed = Answering(), set()
    with served(guard) as port, asking(f"127.0.0.1:{port}", tmp_path, kinds) as (proxy, observer):
        for target in (
            "/a?b=%20", "//a", "/a/../b", "/%2e%2e/a", "/a;b=c", "/a%2Fb", "/?", "/a?b?c", f"https://{HOST}/a?b",
            "/a#b", "/a%00", "/.well-known/oauth-protected-resources", "/x/.well-known/oauth-protected-resource", "a",
            "*", "/a\xe4", "/a\xc3\xa4", "/a\x01", "/a\\b", "/%61", "http:/a", "?a",
        ):  # fmt: skip
            guard.asked.clear()
            observer.seen.clear()
            answer = proxy.ask(path=target)
            asked = [dict(each["headers"])[b"x-original-uri"].decode("latin-1") for each in guard.asked]
            served_targets = [each["target"] for each in observer.seen]
            assert answer.status >= 400 or [each.rstrip("?") for each in asked] == served_targets, (target, asked)
            assert len(served_targets) == (answer.status == 200)
            passed.update(served_targets)
    assert {"/a?b=%20", "//a", "/a/../b", "/%2e%2e/a", "/a;b=c", "/a?b", "/%61"} <= passed


def test_at_the_metadata_the_api_is_not_reached(kinds: Kinds, tmp_path: Path) -> None:
    """What lies below that path goes to the guard, and is no question about another path."""
    guard = Answering()
    with served(guard) as port, asking(f"127.0.0.1:{port}", tmp_path, kinds) as (proxy, observer):
        for below in ("", "/", "/x", "/../../accounts", "?a=b"):
            proxy.ask(None, ("X-Original-URI", "/a"), path="/.well-known/oauth-protected-resource" + below)
        assert [] == observer.seen
        assert [False] * 5 == [b"x-original-uri" in dict(each["headers"]) for each in guard.asked]


def test_the_guard_can_listen_on_a_socket(kinds: Kinds, tmp_path: Path) -> None:
    """And is asked as at an address."""
    path = tmp_path / "guard.sock"
    app = wrapped(Asked(), "haproxy", networks=[], unix_socket=True)
    with serving([PlainPort(path=path, app=app)]), asking(f"unix:{path}", tmp_path, kinds) as (proxy, _):
        assert (200, 401) == (proxy.ask(kinds["self-signed"]).status, proxy.ask().status)
