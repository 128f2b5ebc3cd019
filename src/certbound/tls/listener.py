"""Ports that are open: accepting, sweeping, reloading certificates, and stopping in order.

Rule 1: a port in use, an unreadable file, an application that refuses to start: nothing runs, one sentence says why.
Rule 2: a reload builds new contexts (OpenSSL's are frozen by use); if a file is bad, the last good ones stay.
Rule 3: a stop takes no new connections, lets begun requests end, then ends the rest.
"""

import asyncio
import contextlib
import logging
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

from OpenSSL import SSL
from uvicorn.config import Config
from uvicorn.lifespan.on import LifespanOn
from uvicorn.server import ServerState

from certbound.core.errors import ConfigurationError
from certbound.tls.connection import Connection
from certbound.tls.contexts import Sites, load_sites
from certbound.tls.deadlines import Clock, Deadline
from certbound.tls.encrypted import TLSConnection
from certbound.tls.facts import ConnectionFacts
from certbound.tls.handshakes import HandshakeQueue
from certbound.tls.http import HTTPProtocol
from certbound.tls.outbox import Outbox
from certbound.tls.plain import PlainConnection
from certbound.tls.ports import AnyPort, Limits, PlainPort, Port, VirtualHost
from certbound.tls.unix_sockets import UnixSocket

logger = logging.getLogger("certbound.tls")


class Deadlines:
    """Every time limit of a port."""

    def __init__(self, clock: Clock, limits: Limits) -> None:
        self.handshake = Deadline[Connection](clock, limits.handshake_seconds, Connection.abort)
        self.write = Deadline[Connection](clock, limits.write_seconds, Connection.abort)
        self.closing = Deadline[Connection](clock, min(_LINGER, limits.write_seconds), Connection.abort)
        self.idle = Deadline[HTTPProtocol](clock, limits.idle_seconds, HTTPProtocol.timed_out_waiting)
        self.header = Deadline[HTTPProtocol](clock, limits.header_seconds, HTTPProtocol.timed_out_header)
        self.body_idle = Deadline[HTTPProtocol](
            clock, limits.body_idle_seconds, lambda http: http.timed_out_body("body_idle")
        )
        self.body = Deadline[HTTPProtocol](clock, limits.body_seconds, lambda http: http.timed_out_body("body"))

    def forget(self, http: HTTPProtocol) -> None:
        for deadline in (self.idle, self.header, self.body_idle, self.body):
            deadline.stop(http)

    def forget_connection(self, connection: Connection) -> None:
        for deadline in (self.handshake, self.write, self.closing):
            deadline.stop(connection)

    def sweep(self) -> None:
        for deadline in (
            self.handshake, self.write, self.closing, self.idle, self.header, self.body_idle, self.body,
        ):  # fmt: skip
            deadline.sweep()


@dataclass(slots=True)
class Service:
    """An application as uvicorn runs it for one virtual host."""

    config: Config
    state: ServerState
    lifespan_state: dict[str, Any]


@dataclass(slots=True, eq=False)
class Listener:
    """One open port."""

    port: AnyPort
    sites: Sites
    """Nothing on a plain port."""
    services: tuple[Service, ...]
    """One for each virtual host, in their order."""
    loop: asyncio.AbstractEventLoop
    handshakes: HandshakeQueue
    clock: Clock
    deadlines: Deadlines = field(init=False)
    limits: Limits = field(init=False)
    outbox: Outbox = field(init=False)
    connections: set[Connection] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.limits = self.port.limits
        self.deadlines = Deadlines(self.clock, self.limits)
        self.outbox = Outbox(self.loop)

    def make_http(self, connection: TLSConnection, facts: ConnectionFacts) -> HTTPProtocol:
        return HTTPProtocol(self.services[connection.site.index if connection.site else 0], connection, facts)

    def forget(self, connection: Connection) -> None:
        self.connections.discard(connection)
        self.deadlines.forget_connection(connection)


class Running:
    """Ports that are being served, until `stop`."""

    def __init__(
        self, listeners: list[Listener], servers: list[asyncio.Server], lifespans: list[LifespanOn], state: ServerState
    ) -> None:
        self._listeners = listeners
        self._servers = servers
        self._lifespans = lifespans
        self._state = state
        self._files = self._fingerprints()
        self._sockets: Sequence[socket.socket] = ()
        self._next_look = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.addresses = [address_of(server.sockets[0]) for server in servers]
        """Host and port actually bound, one for each port given; of a Unix socket its path and 0."""
        self._tick()

    @property
    def connections(self) -> int:
        """How many are open."""
        return sum(len(listener.connections) for listener in self._listeners)

    def reload(self) -> None:
        """Read the server certificates anew for new connections.  A file that cannot be used changes nothing; it is
        logged, and the certificates read last stay."""
        for listener in self._listeners:
            try:
                listener.sites = _sites_of(listener.port)
            except ConfigurationError as error:
                logger.error("server certificates not reloaded: %s", error)  # noqa: TRY400

    async def stop(self, grace: float = 10) -> None:
        """Accept no more, let begun requests end for `grace` seconds, then end what is left."""
        if self._timer is None:
            return
        remove(self._sockets)
        for server in self._servers:
            server.close()
        connections = [each for listener in self._listeners for each in listener.connections]
        for connection in connections:
            connection.drain()
        loop = asyncio.get_running_loop()
        end = loop.time() + grace
        while (self.connections or self._state.tasks) and loop.time() < end:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        for listener in self._listeners:
            for connection in tuple(listener.connections):
                connection.abort()
        tasks = tuple(self._state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._timer.cancel()
        self._timer = None
        for lifespan in reversed(self._lifespans):
            await lifespan.shutdown()
        # Let the transports say goodbye before the loop may be closed.
        await asyncio.sleep(0)

    def _tick(self) -> None:
        loop = self._listeners[0].loop
        now = loop.time()
        tick = min(listener.clock.tick for listener in self._listeners)
        self._timer = loop.call_later(tick, self._tick)
        # RFC 9110 section 6.6.1: who has a clock says in each answer when it was made.
        self._state.default_headers = [(b"date", formatdate(usegmt=True).encode("ascii"))]
        for listener in self._listeners:
            listener.clock.now = now
            listener.deadlines.sweep()
        if now >= self._next_look:
            self._next_look = now + 1
            self._reload_if_changed()

    def _reload_if_changed(self) -> None:
        files = self._fingerprints()
        if files != self._files:
            self._files = files
            self.reload()

    def _fingerprints(self) -> list[tuple[int, int, int] | None]:
        hosts = [
            each for listener in self._listeners for each in _served(listener.port) if isinstance(each, VirtualHost)
        ]
        return [_fingerprint(path) for host in hosts for path in (host.certificate, host.key)]


async def start(ports: Sequence[AnyPort]) -> Running:
    """Serve `ports` on the running loop.  `ConfigurationError` if one of them cannot be served."""
    sockets = bind(ports)
    try:
        running = await start_on(ports, sockets)
    except BaseException:
        release(sockets)
        raise
    running._sockets = sockets  # noqa: SLF001 -- those of `start_on` are somebody else's
    return running


def bind(ports: Sequence[AnyPort]) -> list[socket.socket]:
    """A bound socket for each port, in order; not yet listening."""
    if not ports:
        raise ConfigurationError("there is no port to listen on; name at least one")
    sockets: list[socket.socket] = []
    try:
        for port in ports:
            sockets.append(_bind(port))  # noqa: PERF401 -- those bound so far are closed when one fails
    except ConfigurationError:
        release(sockets)
        raise
    return sockets


def release(sockets: Sequence[socket.socket]) -> None:
    """What `bind` made is gone."""
    remove(sockets)
    for each in sockets:
        each.close()


def remove(sockets: Sequence[socket.socket]) -> None:
    """No path leads to the Unix sockets among them any more."""
    for each in sockets:
        if isinstance(each, UnixSocket):
            each.remove()


def address_of(bound: socket.socket | Any) -> tuple[str, int]:
    """Host and port; of a Unix socket its path and 0."""
    name = bound.getsockname()
    return (str(name[0]), int(name[1])) if isinstance(name, tuple) else (str(name), 0)


async def start_on(ports: Sequence[AnyPort], sockets: Sequence[socket.socket]) -> Running:
    """As `start`, on sockets that are bound already."""
    loop = asyncio.get_running_loop()
    sites = [_sites_of(port) for port in ports]
    state = ServerState()
    services, lifespans = await _start_applications([each for port in ports for each in _served(port)], state)
    handshakes = HandshakeQueue(loop)
    listeners = []
    for port, read in zip(ports, sites, strict=True):
        served = tuple(services[id(each)] for each in _served(port))
        clock = Clock(loop, _tick_of(port.limits))
        listeners.append(Listener(port, read, served, loop, handshakes, clock))
    servers = []
    for listener, bound in zip(listeners, sockets, strict=True):
        factory = _factory(listener)
        if isinstance(bound, UnixSocket):
            # From Python 3.13 on asyncio would remove the path, in whichever worker ends first.
            options: dict[str, Any] = {"cleanup_socket": False} if _cleans_up(loop) else {}
            servers.append(await loop.create_unix_server(factory, sock=bound, backlog=_BACKLOG, **options))
        else:
            servers.append(await loop.create_server(factory, sock=bound, backlog=_BACKLOG))
    return Running(listeners, servers, lifespans, state)


def _factory(listener: Listener) -> Any:
    kind = PlainConnection if isinstance(listener.port, PlainPort) else TLSConnection
    return lambda: kind(listener)


def _sites_of(port: AnyPort) -> Sites:
    return load_sites(port) if isinstance(port, Port) else Sites(all=(), greeting=SSL.Context(SSL.TLS_SERVER_METHOD))


def _served(port: AnyPort) -> Sequence[VirtualHost | PlainPort]:
    """What has an application of its own."""
    return port.virtual_hosts if isinstance(port, Port) else (port,)


async def _start_applications(
    hosts: Sequence[VirtualHost | PlainPort], state: ServerState
) -> tuple[dict[int, Service], list[LifespanOn]]:
    """One service for each virtual host; the lifespan of an application runs once, however many hosts it has."""
    lifespans: dict[int, LifespanOn] = {}
    services = {}
    for host in hosts:
        config = Config(
            host.app, http=HTTPProtocol, ws="websockets-sansio" if host.websockets else "none", lifespan="auto",
            log_config=None, access_log=False, proxy_headers=False, server_header=False, date_header=False,
        )  # fmt: skip
        config.load()
        lifespan = lifespans.get(id(host.app))
        if lifespan is None:
            lifespan = LifespanOn(config)
            await lifespan.startup()
            if lifespan.should_exit:
                for started in reversed(lifespans.values()):
                    await started.shutdown()
                raise ConfigurationError("the application refused to start; its own log says why")
            lifespans[id(host.app)] = lifespan
        services[id(host)] = Service(config, state, lifespan.state)
    return services, list(lifespans.values())


def _bind(port: AnyPort) -> socket.socket:
    if isinstance(port, PlainPort) and port.path is not None:
        return UnixSocket(port.path, _BACKLOG)
    where = f"{port.host}:{port.port}"
    try:
        found = socket.getaddrinfo(
            port.host, port.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_ADDRCONFIG
        )
    except OSError as error:
        raise ConfigurationError(f"cannot listen on {where}: {port.host} is not an address here") from error
    family, kind, protocol, _, address = found[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        # Listening here, not later, finds a port in use before anything else has started.
        bound.listen(_BACKLOG)
    except OSError as error:
        bound.close()
        raise ConfigurationError(
            f"cannot listen on {where}: {error.strerror}; stop what uses it or choose another port"
        ) from error
    bound.setblocking(False)  # noqa: FBT003
    return bound


def _cleans_up(loop: asyncio.AbstractEventLoop) -> bool:
    return sys.version_info >= (3, 13) and isinstance(loop, asyncio.SelectorEventLoop)


def _fingerprint(path: Any) -> tuple[int, int, int] | None:
    with contextlib.suppress(OSError):
        found = path.stat()
        return found.st_mtime_ns, found.st_size, found.st_ino
    return None


def _tick_of(limits: Limits) -> float:
    return min(
        1.0, limits.handshake_seconds / 4, limits.header_seconds / 4, limits.body_idle_seconds / 4,
        limits.body_seconds / 4, limits.idle_seconds / 4, limits.write_seconds / 4,
    )  # fmt: skip


_BACKLOG = 2048
_LINGER = 3.0
"""Seconds for a peer to take the last bytes."""
