"""certbound.tls.connection: a peer that has gone before the server knows of it."""

import asyncio
import logging
import socket
import threading
import time

import pytest
import uvloop

from certbound.tls import Limits, PlainPort
from tls.wire import PATIENCE, Recorder, Server, until

LATE = Limits(header_seconds=0.1)


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_request_that_is_refused_when_its_sender_has_gone_is_no_fault(caplog, loop_factory):
    """The refusal is answered by a reset, so there is nobody to linger for; and the times of others go on.

    The server is busy while the time of a header runs out and its sender leaves: it reads one piece, and the end of
    that time comes before the end of the connection is read.
    """
    faults, busy, gone = [], threading.Event(), threading.Event()

    def wait() -> None:
        busy.set()
        gone.wait(PATIENCE)

    def fails(_: object, told: dict) -> None:
        faults.append(told)

    port = PlainPort(host="127.0.0.1", port=0, app=Recorder(), limits=LATE)
    with Server(port, loop_factory=loop_factory) as server:
        server.call(lambda: server.loop.set_exception_handler(fails))
        with socket.create_connection(server.address, PATIENCE) as client:
            client.sendall(b"G")
            assert until(lambda: server.running.connections == 1)
            server.loop.call_soon_threadsafe(wait)
            assert busy.wait(PATIENCE)
            client.sendall(b"E")
        time.sleep(0.5)
        gone.set()
        assert until(lambda: server.running.connections == 0)
        with socket.create_connection(server.address, PATIENCE) as client:
            client.sendall(b"G")
            assert client.recv(1 << 16).startswith(b"HTTP/1.1 408 ")
    assert not faults
    assert not [each for each in caplog.records if each.levelno > logging.DEBUG]
