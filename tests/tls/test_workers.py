"""Whole processes: one and several workers, signals, and what happens to the dead."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from certbound.core.certificate import thumbprint
from tls.wire import CLIENT, ROOT, Client, files, until, virtual_host

PROGRAM = Path(__file__).with_name("served.py")
SERVER = """
import json, pathlib, sys
from certbound import app, settings
found = settings.load(pathlib.Path(sys.argv[1]), {})
app.serve(found, on_ready=lambda addresses: print(json.dumps(addresses), flush=True))
"""
HALF = (
    b"POST /token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    b"Expect: 100-continue\r\nContent-Length: 9\r\n\r\nhalf"
)
DEPLOYMENT = """
[server]
issuer = "https://localhost"
certificate = "localhost.crt"
key = "localhost.key"
port = 0
grace = 1
workers = {workers}
[tokens]
resources = ["https://api.example"]
"""


@contextlib.contextmanager
def served(folder, workers, port=0):
    command = [sys.executable, str(PROGRAM), str(folder), str(workers), str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            process.address = tuple(json.loads(line)[0]) if line else None
            yield process
        finally:
            if process.poll() is None:
                process.kill()


@pytest.fixture
def folder(tmp_path):
    virtual_host(tmp_path, None)
    return tmp_path


def pids(address, wanted, patience=20.0):
    """The processes that answered, asking until `wanted` of them have."""
    seen = set()

    def enough():
        with contextlib.suppress(ConnectionError), Client(address, certificate=CLIENT) as client:
            answer = client.shake().ask().json
            assert answer["access_token"] == thumbprint(CLIENT.der)
            seen.add(answer["pid"])
        return len(seen) >= wanted

    assert until(enough, patience), seen
    return seen


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_signal_ends_it_in_order(folder, workers, number):
    """After SIGTERM or SIGINT every worker's application is shut down, and the exit is clean."""
    with served(folder, workers) as process:
        seen = pids(process.address, workers)
        assert (process.pid in seen) is (workers == 1)
        process.send_signal(number)
        assert process.wait(15) == 0
        assert len(list(folder.glob("stopped.*"))) == workers
        assert "Traceback" not in process.stderr.read()


def test_a_worker_that_dies_is_replaced(folder):
    """kill -9 on one worker: the others go on, and soon there are as many as before."""
    with served(folder, 2) as process:
        first = pids(process.address, 2)
        victim = min(first)
        os.kill(victim, signal.SIGKILL)
        assert until(lambda: len(pids(process.address, 2) - {victim}) == 2)
        process.terminate()
        assert process.wait(15) == 0


def test_workers_do_not_outlive_their_parent(folder):
    """kill -9 on the parent: the workers stop, and the port is free."""
    with served(folder, 2) as process:
        seen = pids(process.address, 2)
        process.kill()
        process.wait()
        assert until(lambda: not any(is_alive(pid) for pid in seen))


def test_hup_reads_the_certificates_anew_in_every_worker(folder):
    """SIGHUP reaches the workers."""
    with served(folder, 2) as process:
        pids(process.address, 2)
        renewed = ROOT.issue("CN=new", dns=["localhost"], usage="server")
        files(folder, renewed, "localhost")
        process.send_signal(signal.SIGHUP)

        def everybody_has_it():
            for _ in range(10):
                with Client(process.address) as client:
                    found = client.shake().tls.get_peer_certificate(as_cryptography=True)
                    if found.serial_number != renewed.certificate.serial_number:
                        return False
            return True

        assert until(everybody_has_it)
        process.terminate()
        assert process.wait(15) == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_what_cannot_start_says_why(folder, workers):
    """A port in use, a bad file, an application that refuses: one sentence, no traceback, no process left."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with served(folder, workers, port) as process:
            assert process.wait(15) == 1
            assert f"refused: cannot listen on 127.0.0.1:{port}" in process.stderr.read()
    (folder / "refuse").touch()
    with served(folder, workers) as process:
        assert process.wait(15) == 1
        text = process.stderr.read()
        assert "refused: " in text
        assert "Traceback" not in text
    (folder / "localhost.key").write_bytes(b"junk")
    with served(folder, workers) as process:
        assert process.wait(15) == 1
        assert "localhost.key" in process.stderr.read()


@pytest.mark.parametrize("workers", [1, 2])
def test_what_takes_longer_than_the_grace_is_cut(folder, workers):
    """A request that is not done `server.grace` seconds after the signal is cut, and the exit is clean."""
    (folder / "certbound.toml").write_text(DEPLOYMENT.format(workers=workers))
    command = [sys.executable, "-c", SERVER, str(folder / "certbound.toml")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            address = tuple(json.loads(process.stdout.readline())[0])
            with Client(address) as client:
                client.shake().send(HALF)
                assert client.receive().startswith(b"HTTP/1.1 100 ")  # it is being answered
                begin = time.monotonic()
                process.terminate()
                assert client.is_closed()
                assert 0.9 < time.monotonic() - begin < 5
            assert process.wait(5) == 0
        finally:
            process.kill()


def is_alive(pid):
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False
