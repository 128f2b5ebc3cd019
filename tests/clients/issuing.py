"""Issuers of others, and an API of ours behind our guard that takes their tokens."""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from certbound import tls
from certbound.client import open_client
from certbound.resource import Guard, ProtectedResource
from certbound.tls import Port, VirtualHost
from certbound.trust.authority import Authority, Issued
from clients.programs import HERE, INSTALLED
from e2e.world import RESOURCE, World, _settings, free_port, sample_api

REDIRECT = "https://app.example/back"


@dataclass(frozen=True)
class Foreign:
    """A running issuer, that of `world`; its clients are `pki`, by name, and `own`, by its self-signed certificate."""

    world: World
    pki: Issued
    own: Issued
    mtls: str = ""
    """Where its aliases are."""

    @property
    def issuer(self) -> str:
        return self.world.issuer

    @property
    def ca(self) -> Path:
        return self.world.directory / "ca.pem"


def prepare(folder: Path, authority: Authority) -> World:
    """A deployment without an issuer of its own; certificates of servers are there."""
    world = World(folder, authority, _settings(folder, authority, {}))
    world.loop.close()  # nothing of it runs here
    return world


@contextlib.contextmanager
def oidc_provider(
    folder: Path, pki: Issued, own: Issued, authority: Authority, lifetime: int = 60
) -> Iterator[Foreign]:
    """npm `oidc-provider`; access tokens live so many seconds."""
    world, mutual = prepare(folder, authority), free_port()
    port = free_port()
    world.issuer = f"https://localhost:{port}"
    (folder / "own.pem").write_bytes(own.certificate_pem)
    facts = {
        "port": port, "mtls_port": mutual, "key": str(folder / "server.key"), "cert": str(folder / "server.pem"),
        "ca": str(folder / "ca.pem"), "own": str(folder / "own.pem"), "redirect_uri": REDIRECT, "resource": RESOURCE,
        "lifetime": lifetime,
    }  # fmt: skip
    (folder / "facts.json").write_text(json.dumps(facts))
    shutil.copy(HERE / "node" / "oidc_provider.mjs", folder)
    (folder / "node_modules").symlink_to(INSTALLED / "node" / "node_modules")
    with running(["node", "oidc_provider.mjs", "facts.json"], folder, world.issuer, f"https://localhost:{mutual}"):
        yield Foreign(world, pki, own, f"https://localhost:{mutual}")


@contextlib.contextmanager
def running(command: list[str | Path], folder: Path, *urls: str, **environment: str) -> Iterator[None]:
    """A program of others, until all of `urls` answer; stopped by its process id."""
    log = folder / "program.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            command, cwd=folder, env={"PATH": os.environ["PATH"], "HOME": str(folder), **environment},
            stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 20
        with open_client(ca=folder / "ca.pem") as http:
            for url in urls:
                while not _answers(http, url):
                    assert process.poll() is None, log.read_text()
                    assert time.monotonic() < deadline, log.read_text()
                    time.sleep(0.05)
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def _answers(http: httpx.Client, url: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        http.get(url)
        return True
    return False


@contextlib.contextmanager
def guarded(foreign: Foreign) -> Iterator[str]:
    """The URL of an API behind our guard that believes this issuer."""
    folder = foreign.world.directory
    trusted = ProtectedResource(RESOURCE, issuer=foreign.issuer, scopes={"read"}, issuer_ca=str(foreign.ca))
    host = VirtualHost(
        certificate=folder / "server.pem", key=folder / "server.key", app=Guard(sample_api, trusted),
        asks_for_certificate=True,
    )  # fmt: skip
    ready: Future[tuple[int, Any]] = Future()

    async def live() -> None:
        stopping = asyncio.Event()
        try:
            serving = await tls.start([Port(host="127.0.0.1", port=0, virtual_hosts=(host,))])
        except BaseException as error:
            ready.set_exception(error)
            raise
        loop = asyncio.get_running_loop()
        ready.set_result((serving.addresses[0][1], lambda: loop.call_soon_threadsafe(stopping.set)))
        await stopping.wait()
        await serving.stop(grace=1)

    thread = threading.Thread(target=asyncio.run, args=(live(),))
    thread.start()
    try:
        port, stop = ready.result(20)
        try:
            yield f"https://localhost:{port}"
        finally:
            stop()
    finally:
        thread.join(20)
