"""An API that makes every mistake that `certbound doctor` looks for, on a TLS server that does as well.

It lets in whoever shows a certificate that its authority issued, and whoever writes that he has one, in any
spelling, anywhere, with any host, any version, on any session.
"""

import contextlib
import socket
import ssl
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

from certbound.tls.forwarded import CONTRACTS
from certbound.tls.header_names import folded

_TAKEN = {folded(header.encode()) for kind in CONTRACTS.values() for header in kind().headers}


@contextlib.contextmanager
def careless(certificate: Path, key: Path, clients_ca: Path) -> Iterator[int]:
    """The port on loopback where it runs until the block ends."""
    asking, silent = (_context(certificate, key, ca) for ca in (clients_ca, None))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ends = threading.Event()
        thread = threading.Thread(target=_serve, args=(listening, asking, silent, ends))
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            ends.set()
            socket.create_connection(listening.getsockname()).close()
            thread.join(10)


def _context(certificate: Path, key: Path, ca: Path | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
    if ca is not None:
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(ca)
    return context


def _serve(listening: socket.socket, asking: ssl.SSLContext, silent: ssl.SSLContext, ends: threading.Event) -> None:
    while not ends.is_set():
        stream, _ = listening.accept()
        stream.settimeout(5)
        with contextlib.suppress(OSError), stream:
            # The server name is looked for as it is registered, and where it stands as a rule.
            context = asking if b"localhost" in stream.recv(2048, socket.MSG_PEEK) else silent
            with context.wrap_socket(stream, server_side=True) as secured:
                secured.sendall(_answer(secured))


def _answer(stream: ssl.SSLSocket) -> bytes:
    received = b""
    while not _is_whole(received):
        more = stream.recv(65536)
        if not more:
            return b""
        received += more
    names = {folded(line.partition(b":")[0]) for line in received.split(b"\r\n")}
    is_in = stream.getpeercert(binary_form=True) is not None or names & _TAKEN
    return b"HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n" % (b"200 OK" if is_in else b"401 Unauthorized")


def _is_whole(received: bytes) -> bool:
    head, end, rest = received.partition(b"\r\n\r\n")
    return bool(end) and (b"chunked" not in head or rest.endswith(b"\r\n\r\n"))
