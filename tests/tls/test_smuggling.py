"""Bytes that two readers of HTTP could take for two requests, on our TLS listener and on the plain one behind a proxy.

Behind each stands, or hides in it, a request that nobody sent, with the headers in which that proxy would forward a
victim's certificate.  The proxy is believed for its address alone: the worst that a deployment can say.
"""

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from certbound.testing.forwarded import forwarded_headers
from certbound.tls import PlainPort
from certbound.tls.facts import peer_certificate
from certbound.tls.forwarded import ForwardedCertificates
from certbound.trust.authority import self_signed
from tls.wire import PATIENCE, Client, Recorder, Server, one_port, until, virtual_host

VICTIM = self_signed("CN=victim")
FORGED = "".join(f"{name}: {value}\r\n" for name, value in forwarded_headers("nginx", VICTIM.der).items()).encode()
HONEST = "".join(f"{name}: {value}\r\n" for name, value in forwarded_headers("nginx", None).items()).encode()
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n" + FORGED + b"\r\n"
LAST = b"GET /last HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + HONEST + b"\r\n"


def post(*fields: bytes, body: bytes = b"", end: bytes = b"\r\n") -> bytes:
    """A request with an honest proxy's headers and these."""
    return end.join((b"POST /first HTTP/1.1", b"Host: localhost", HONEST[:-2], *fields, b"", body))


LENGTH, CHUNKED = b"Content-Length: %d" % len(SMUGGLED), b"Transfer-Encoding: chunked"
NOTHING = b"0\r\n\r\n"
REFUSED = {
    "CL.TE": post(LENGTH, CHUNKED, body=NOTHING),
    "TE.CL": post(CHUNKED, b"Content-Length: 5", body=NOTHING),
    "TE.CL: 0": post(CHUNKED, b"Content-Length: 0", body=NOTHING),
    "CL.CL": post(b"Content-Length: 0", LENGTH),
    "CL.CL turned": post(LENGTH, b"Content-Length: 0"),
    "CL list": post(b"Content-Length: 0, %d" % len(SMUGGLED)),
    "CL with a sign": post(b"Content-Length: +0"),
    "CL with an underscore": post(b"Content-Length: 1_0"),
    "CL in another script": post(b"Content-Length: \xd9\xa0"),
    "CL in hexadecimal": post(b"Content-Length: 0x0"),
    "CL empty": post(b"Content-Length:"),
    "CL beyond 64 bits": post(b"Content-Length: 18446744073709551616"),
    "TE spelled xchunked": post(b"Transfer-Encoding: xchunked", body=NOTHING),
    "TE quoted": post(b'Transfer-Encoding: "chunked"', body=NOTHING),
    "TE behind a vertical tab": post(b"Transfer-Encoding: \x0bchunked", body=NOTHING),
    "TE behind a NUL": post(b"Transfer-Encoding: \0chunked", body=NOTHING),
    "TE twice": post(CHUNKED, b"Transfer-Encoding: identity", body=NOTHING),
    "TE with another behind": post(b"Transfer-Encoding: chunked, identity", body=NOTHING),
    "TE with a comma behind": post(b"Transfer-Encoding: chunked,", body=NOTHING),
    "TE folded": post(b"Transfer-Encoding:\r\n chunked", body=NOTHING),
    "TE behind a fold": post(b"X: a\r\n Transfer-Encoding: chunked", body=NOTHING),
    "TE with a space before its colon": post(b"Transfer-Encoding : chunked", LENGTH, body=NOTHING),
    "TE with a tab before its colon": post(b"Transfer-Encoding\t: chunked", LENGTH, body=NOTHING),
    "TE behind a space": post(b" Transfer-Encoding: chunked", LENGTH, body=NOTHING),
    "TE behind a bare CR": post(b"X: a\rTransfer-Encoding: chunked", LENGTH, body=NOTHING),
    "TE behind a bare LF": post(b"X: a\nTransfer-Encoding: chunked", LENGTH, body=NOTHING),
    "CL behind a bare LF": post(b"X: a\nContent-Length: 5", body=NOTHING),
    "bare LF everywhere": post(LENGTH, end=b"\n"),
    "CR CR LF": post(b"X: a\r", LENGTH),
    "an end of bare LF": post(b"Content-Length: 0")[:-4] + b"\n\n",
    "a NUL in a name": post(b"X\0: a"),
    "a NUL in a value": post(b"X: a\0b"),
    "obs-text in a name": post(b"X\xe9: a"),
    "a name in brackets": post(b"X(): a"),
    "no name": post(b": a"),
    "no colon": post(b"GET /smuggled HTTP/1.1"),
    "chunk size with a sign": post(CHUNKED, body=b"+0\r\n\r\n"),
    "chunk size with 0x": post(CHUNKED, body=b"0x0\r\n\r\n"),
    "chunk size with an underscore": post(CHUNKED, body=b"1_0\r\n\r\n"),
    "chunk size behind a space": post(CHUNKED, body=b" 0\r\n\r\n"),
    "chunk size with a space behind": post(CHUNKED, body=b"0 \r\n\r\n"),
    "chunk size beyond 64 bits": post(CHUNKED, body=b"10000000000000000\r\n\r\n"),
    "chunk size of nothing": post(CHUNKED, body=b"\r\n\r\n"),
    "a chunk longer than its size": post(CHUNKED, body=b"1\r\nabc\r\n0\r\n\r\n"),
    "a chunk that ends in LF": post(CHUNKED, body=b"1\na\n0\n\n"),
    "a chunk extension with a bare LF": post(CHUNKED, body=b"1;a\nxx\r\na\r\n0\r\n\r\n"),
    "a chunk extension with a bare CR": post(CHUNKED, body=b"1;a\rb\r\na\r\n0\r\n\r\n"),
    "a chunk extension with a NUL": post(CHUNKED, body=b"1;a\0b\r\na\r\n0\r\n\r\n"),
    "a trailer with a bare LF": post(CHUNKED, body=b"0\r\nX: a\nY: b\r\n\r\n"),
    "a version that is none": b"GET /first HTTP/1.1x\r\nHost: localhost\r\n\r\n",
    "no version": post(b"Content-Length: 0").replace(b" HTTP/1.1", b""),
    "a version from before headers": post(b"Content-Length: 0").replace(b"HTTP/1.1", b"HTTP/0.9"),
    "a version with other framing": post(b"Content-Length: 0").replace(b"HTTP/1.1", b"HTTP/2.0"),
    "no version, and a body": post(LENGTH, body=SMUGGLED).replace(b"/first HTTP/1.1", b"/first"),
    "TE in HTTP/1.0": post(CHUNKED, body=NOTHING).replace(b"HTTP/1.1", b"HTTP/1.0"),
    "h2c": post(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__"),
}
"""What is no request, or two."""
READ = {
    "as a body by length": post(LENGTH, body=SMUGGLED),
    "as a body of one chunk": post(CHUNKED, body=b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)),
    "behind a chunk extension": post(CHUNKED, body=b"%X;a=b\r\n%b\r\n0;c\r\n\r\n" % (len(SMUGGLED), SMUGGLED)),
    "in front of a trailer": post(
        CHUNKED, body=b"%x\r\n%b\r\n0\r\n%b\r\n" % (len(SMUGGLED), SMUGGLED, FORGED)
    ),
    "beside obs-text in a value": post(b"X: \xe9\xff", LENGTH, body=SMUGGLED),
    "with zeros before the length": post(b"Content-Length: 000%d" % len(SMUGGLED), body=SMUGGLED),
}  # fmt: skip
"""What can be read in one way: the request that nobody sent is a body."""


@dataclass
class Place:
    """Where a listener is, and the application behind it."""

    server: Server
    app: Recorder
    is_tls: bool

    def exchange(self, *parts: bytes, meanwhile: object = None) -> bytes:
        """All that comes back until the end; between two parts the application is called."""
        with contextlib.ExitStack() as stack:
            if self.is_tls:
                client = stack.enter_context(Client(self.server.address)).shake()
                send, receive = client.send, client.receive
            else:
                plain = stack.enter_context(socket.create_connection(self.server.address, PATIENCE))
                send, receive = plain.sendall, lambda: plain.recv(1 << 16)
            for number, part in enumerate(parts):
                assert not number or until(lambda: self.app.scopes)
                send(part)
            found = []
            with contextlib.suppress(ConnectionResetError):
                while more := receive():
                    found.append(more)
        assert until(lambda: self.server.running.connections == 0)
        return b"".join(found)

    @property
    def paths(self) -> list[str]:
        return [scope["path"] for scope in self.app.scopes]


@pytest.fixture(scope="module")
def listening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[bool, Place]]:
    """Both listeners, for all tests."""
    with contextlib.ExitStack() as stack:
        places = {}
        for is_tls in (True, False):
            app = Recorder()
            folder: Path = tmp_path_factory.mktemp("place")
            believing = ForwardedCertificates(app, contract="nginx", networks=["127.0.0.1"], without_secret=True)
            port = PlainPort(host="127.0.0.1", app=believing, names=frozenset({"localhost"}))
            served = one_port(virtual_host(folder, app)) if is_tls else port
            places[is_tls] = Place(stack.enter_context(Server(served)), app, is_tls)
        yield places


@pytest.fixture(params=[True, False], ids=["TLS", "plain"])
def place(listening: dict[bool, Place], request: pytest.FixtureRequest) -> Place:
    found = listening[request.param]
    found.app.scopes.clear()
    found.app.bodies.clear()
    return found


def test_a_request_of_a_believed_proxy_is_heard_with_its_certificate(listening: dict[bool, Place]) -> None:
    """So the others could be: the headers that are smuggled below are good ones."""
    plain = listening[False]
    plain.app.scopes.clear()
    assert plain.exchange(SMUGGLED + LAST).count(b"HTTP/1.1 200") == 2
    found = peer_certificate(plain.app.scopes[0])
    assert found is not None
    assert found.leaf.der == VICTIM.der
    assert plain.paths == ["/smuggled", "/last"]


@pytest.mark.parametrize("name", REFUSED)
def test_what_could_be_read_in_two_ways_is_refused(place: Place, name: str) -> None:
    """400, and nothing behind it on the connection is a request."""
    answer = place.exchange(REFUSED[name] + SMUGGLED + LAST)
    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert answer.count(b"HTTP/1.1 ") == 1
    assert place.paths in ([], ["/first"])
    if place.paths:  # what came before the doubt was called, and hears that there is no more
        assert until(lambda: place.app.bodies == [None])


@pytest.mark.parametrize("name", READ)
def test_what_can_be_read_in_one_way_is(place: Place, name: str) -> None:
    """A request inside a body is a body, and the one behind it is the next."""
    assert place.exchange(READ[name] + LAST).count(b"HTTP/1.1 200 ") == 2
    assert place.paths == ["/first", "/last"]
    assert place.app.bodies == [SMUGGLED, b""]
    assert [peer_certificate(scope) for scope in place.app.scopes] == [None, None]


def test_a_certificate_in_a_delayed_trailer_is_heard_by_nobody(place: Place) -> None:
    """It comes when the application has begun, and changes neither its headers nor whose request it is."""
    begun = post(CHUNKED, body=b"1\r\na\r\n")
    answer = place.exchange(begun, b"0\r\n" + FORGED + b"X-Late: 1\r\n\r\n" + LAST)
    assert answer.count(b"HTTP/1.1 200 ") == 2
    assert place.paths == ["/first", "/last"]
    for scope in place.app.scopes:
        assert peer_certificate(scope) is None
        assert not [
            name for name, value in scope["headers"] if name == b"x-late" or (value in FORGED and len(value) > 40)
        ]
