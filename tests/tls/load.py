"""Clients for the load tests, as a program: load.py KIND PORT FOLDER [NUMBER]; prints one line of JSON at the end.

ask    NUMBER requests on kept-alive mutual-TLS connections, paced, for each line of standard input; milliseconds
hold   NUMBER idle mutual-TLS connections, one request on each; held until standard input ends
flood  NUMBER handshakes each second with the chain in FOLDER/hostile.der; until standard input ends
junk   NUMBER connections that send garbage and stay; until standard input ends
"""

import contextlib
import json
import os
import select
import socket
import ssl
import sys
import time
from collections import deque
from pathlib import Path

FORM = "grant_type=client_credentials&client_id=client"
REQUEST = (
    "POST /token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    f"Content-Length: {len(FORM)}\r\n\r\n{FORM}"
).encode()


def context(folder):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(folder / "client.crt", folder / "client.key")
    return context


def connect(port, tls, source="127.0.0.1"):
    raw = socket.create_connection(("127.0.0.1", port), 30, source_address=(source, 0))
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return tls.wrap_socket(raw, server_hostname="localhost")


def ask(port, folder, count):
    """Requests in turn on eight connections, about 2 ms apart: what somebody among others experiences.

    Each line on standard input starts a round on the same connections, and each round prints a line.
    """
    connections = [connect(port, context(folder)) for _ in range(8)]
    print("ready", flush=True)
    for _ in sys.stdin:
        print(json.dumps(ask_round(connections, count)), flush=True)
    return {}


def ask_round(connections, count):
    times = []
    for number in range(count + 50):
        connection = connections[number % 8]
        begun = time.perf_counter()
        connection.sendall(REQUEST)
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        if number >= 50:
            times.append((time.perf_counter() - begun) * 1000)
        time.sleep(0.002)
    times.sort()
    return {"p50": times[len(times) // 2], "p99": times[int(len(times) * 0.99)], "max": times[-1]}


def hold(port, folder, count):
    tls, held = context(folder), []
    for number in range(count):
        connection = connect(port, tls, f"127.0.0.{1 + number % 4}")
        connection.sendall(REQUEST)
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        held.append(connection)
    print("ready", flush=True)
    sys.stdin.read()
    return {"held": len(held)}


def client_hello():
    """A TLS 1.2 ClientHello; the same one will do for everybody."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    tls.maximum_version = ssl.TLSVersion.TLSv1_2
    out = ssl.MemoryBIO()
    try:
        tls.wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost").do_handshake()
    except ssl.SSLWantReadError:
        return out.read()


def certificate_message(chain):
    """A TLS 1.2 Certificate message in records; under 1.2 it goes in clear and costs its sender nothing."""
    listed = b"".join(len(der).to_bytes(3, "big") + der for der in chain)
    message = b"\x0b" + (len(listed) + 3).to_bytes(3, "big") + len(listed).to_bytes(3, "big") + listed
    parts = [message[at : at + 16000] for at in range(0, len(message), 16000)]
    return b"".join(b"\x16\x03\x03" + len(part).to_bytes(2, "big") + part for part in parts)


def flood(port, folder, rate):
    """Everything at once, answers unread: under TLS 1.2 a hostile client need not wait, and pays next to nothing."""
    ders = json.loads((folder / "hostile.json").read_text())
    chain = certificate_message([bytes.fromhex(der) for der in ders])
    all_of_it = client_hello() + chain + b"\x16\x03\x03\x00\x25\x10\x00\x00\x21\x20" + bytes(32)
    open_ones, offered, begun = deque(), 0, time.monotonic()
    print("ready", flush=True)
    while not select.select([sys.stdin], [], [], 0.002)[0]:
        now = time.monotonic()
        while offered < (now - begun) * rate:
            one = socket.socket()
            one.setblocking(False)
            one.bind(("127.0.0.9", 0))
            one.connect_ex(("127.0.0.1", port))
            with contextlib.suppress(BlockingIOError):  # the server's queue is full: offered all the same
                one.send(all_of_it)
            open_ones.append((now, one))
            offered += 1
        while open_ones and open_ones[0][0] < now - 1:
            open_ones.popleft()[1].close()
    return {"offered": offered, "seconds": time.monotonic() - begun}


def junk(port, folder, count):
    """Half begin like TLS and stop, half talk plain text; who is dropped comes again a second later."""
    due, waiting, opened = deque([0.0] * count), {}, 0
    poll = select.poll()
    print("ready", flush=True)
    while not select.select([sys.stdin], [], [], 0.005)[0]:
        now = time.monotonic()
        while due and due[0] <= now:
            due.popleft()
            opened += 1
            one = socket.socket()
            one.setblocking(False)
            one.bind(("127.0.0.8", 0))
            one.connect_ex(("127.0.0.1", port))
            with contextlib.suppress(BlockingIOError):
                one.send(b"\x16\x03\x01\x02\x00\x01" + bytes(100) if opened % 2 else os.urandom(100))
            waiting[one.fileno()] = one
            poll.register(one, select.POLLIN | select.POLLHUP)
        for number, _ in poll.poll(0):
            poll.unregister(number)
            waiting.pop(number).close()
            due.append(now + 1)
    return {"opened": opened}


if __name__ == "__main__":
    kind, port, folder, number = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {1})  # the server has the other one
    if kind != "ask":
        os.nice(10)
    print(json.dumps({"ask": ask, "hold": hold, "flood": flood, "junk": junk}[kind](port, folder, number)), flush=True)
