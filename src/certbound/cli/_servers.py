"""The servers that `dev` and `demo` run from a folder: the authorization server and the sample API, in one process."""

import asyncio
import contextlib
import ipaddress
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from functools import partial

from certbound import app
from certbound.cli._development import READ, Development, Place
from certbound.cli._sample import sample_api
from certbound.resource import Guard, ProtectedResource
from certbound.tls import Port, VirtualHost
from certbound.tls.listener import bind, start_on


def open_ports(host: str, numbers: Sequence[int]) -> list[socket.socket]:
    """Sockets on these ports, 0 for a free one.  `ConfigurationError` names the port that is taken."""
    return bind([Port(host=host, port=number, virtual_hosts=()) for number in numbers])


def place_of(host: str, sockets: Sequence[socket.socket]) -> Place:
    """What the servers on `sockets` are called."""
    port, mtls_port, api_port = (each.getsockname()[1] for each in sockets[:3])
    return Place(host=host, name=_name_of(host), port=port, mtls_port=mtls_port, api_port=api_port)


async def register(development: Development) -> None:
    """Every member is registered, a self-signed one with the certificate it has now."""
    async with app.open_registry(development.settings) as registry:
        for member in development.members:
            stored = await registry.find(member.client_id)
            if stored is None:
                await registry.register(member.metadata, client_id=member.client_id)
            elif stored.metadata.get("jwks") != member.metadata.get("jwks"):
                await registry.update(member.client_id, {"jwks": member.metadata["jwks"]})


@contextlib.asynccontextmanager
async def serving(development: Development, sockets: Sequence[socket.socket]) -> AsyncIterator[None]:
    """The authorization server on the first two sockets, the API on the third.

    A fourth one serves the API without asking for certificates, as a port does that was forgotten.
    """
    await register(development)
    ports = [*app.make_ports(development.settings), *_api_ports(development)][: len(sockets)]
    running = await start_on(ports, sockets)
    try:
        yield
    finally:
        await running.stop(grace=1)


@contextlib.contextmanager
def in_background(serve: Callable[[], AbstractAsyncContextManager[None]]) -> Iterator[None]:
    """What `serve` serves runs on a thread of its own until the end of the block."""
    ready: Future[Callable[[], object]] = Future()

    async def live() -> None:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        async with serve():
            ready.set_result(partial(loop.call_soon_threadsafe, stopping.set))
            await stopping.wait()

    ended: Future[None] = Future()

    def run() -> None:
        try:
            ended.set_result(asyncio.run(live()))
        except BaseException as error:  # noqa: BLE001 - it is raised where somebody waits for it
            ended.set_exception(error)
            if not ready.done():
                ready.set_exception(error)

    thread = threading.Thread(target=run, name="certbound servers")
    thread.start()
    try:
        stop = ready.result()
        try:
            yield
        finally:
            stop()
        ended.result()
    finally:
        thread.join()


def _api_ports(development: Development) -> list[Port]:
    place = development.place
    certificate, key = development.settings.server.files
    api = Guard(
        sample_api,
        ProtectedResource(place.resource_url, issuer=place.issuer, scopes={READ}, issuer_ca=str(development.ca)),
    )
    return [
        Port(host=place.host, port=0, virtual_hosts=(VirtualHost(
            certificate=certificate,
            key=key,
            app=api,
            asks_for_certificate=asks,
            names=frozenset({place.name}),
        ),))
        for asks in (True, False)
    ]  # fmt: skip


def _name_of(host: str) -> str:
    if host in {"127.0.0.1", "localhost"}:
        return "localhost"
    try:
        return socket.gethostname() if ipaddress.ip_address(host).is_unspecified else host
    except ValueError:
        return host
