"""Clients for the load tests, as a program: load.py KIND PORT FOLDER [NUMBER]; prints one line of JSON at the end.

ask    one kept-alive mutual-TLS connection after the other, paced; latencies in milliseconds
hold   NUMBER idle mutual-TLS connections, one request on each; held until standard input ends
flood  NUMBER handshakes each second with the chain in FOLDER/hostile.der; until standard input ends
junk   NUMBER connections that send garbage and stay; until standard input ends
"""

import asyncio
import json
import os
import select
import socket
import ssl
import sys
import time
from pathlib import Path

REQUEST = b"POST /token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 29\r\n\r\ngrant_type=client_credentials"


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
    """Sequential requests on eight connections, about 2 ms apart: what somebody among others experiences."""
    connections = [connect(port, context(folder)) for _ in range(8)]
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
    ders = json.loads((folder / "hostile.json").read_text())
    hello, chain = client_hello(), certificate_message([bytes.fromhex(der) for der in ders])
    junk = chain + b"\x16\x03\x03\x00\x25\x10\x00\x00\x21\x20" + bytes(32)
    done = {"offered": 0, "answered": 0}

    async def one():
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.9", 0))
            writer.write(hello)
            answered = await asyncio.wait_for(reader.read(4096), 10)
            done["answered"] += bool(answered)
            writer.write(junk)
            await asyncio.wait_for(reader.read(4096), 10)
            writer.close()
        except (OSError, TimeoutError):
            pass

    async def main():
        tasks, begun = set(), time.monotonic()
        print("ready", flush=True)
        while not select.select([sys.stdin], [], [], 0)[0]:
            while done["offered"] < (time.monotonic() - begun) * rate:
                done["offered"] += 1
                task = asyncio.ensure_future(one())
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            await asyncio.sleep(0.002)
        return {**done, "seconds": time.monotonic() - begun}

    return asyncio.run(main())


def junk(port, folder, count):
    """Half of them begin like TLS and stop, the others talk plain text; whoever is dropped comes again."""
    sockets = []
    print("ready", flush=True)
    opened = 0
    while not select.select([sys.stdin], [], [], 0.05)[0]:
        while len(sockets) < count:
            opened += 1
            one = socket.create_connection(("127.0.0.1", port), 10, source_address=("127.0.0.8", 0))
            one.setblocking(False)
            one.send(b"\x16\x03\x01\x02\x00\x01" + bytes(100) if opened % 2 else os.urandom(100))
            sockets.append(one)
        poll = select.poll()
        by_number = {one.fileno(): one for one in sockets}
        for one in sockets:
            poll.register(one, select.POLLIN | select.POLLHUP)
        for number, _ in poll.poll(0):
            by_number.pop(number).close()
        sockets = list(by_number.values())
    return {"opened": opened}


if __name__ == "__main__":
    kind, port, folder, number = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    if kind != "ask":
        os.nice(10)
    print(json.dumps({"ask": ask, "hold": hold, "flood": flood, "junk": junk}[kind](port, folder, number)), flush=True)
