"""What is served where: the server on its hosts (RFC 8705 section 5), and what those who run it may ask."""

import time
from collections.abc import Sequence
from functools import partial
from typing import Literal
from urllib.parse import urlsplit

from certbound.app.proxied import behind_proxy
from certbound.app.service import open_service
from certbound.server.admin import Admin
from certbound.server.asgi import Application
from certbound.server.metrics import Numbers
from certbound.server.throttle import Throttle
from certbound.server.watch import ENDPOINTS, Watch
from certbound.settings import Settings
from certbound.tls import AnyPort, Limits, PlainPort, Port, VirtualHost
from certbound.tls.forwarded.contract import MAX_BYTES
from certbound.tls.hosts import is_loopback

TLSVersion = Literal["1.2", "1.3"]


def make_ports(settings: Settings, numbers: Numbers | None = None) -> Sequence[AnyPort]:
    """What is served where: the server itself, then what those who run it may ask, if they may.

    `numbers` are those that all workers count in; without them this process has its own.
    """
    numbers = numbers or Numbers(ENDPOINTS)
    throttle = Throttle(settings.authentication.failures_per_minute, time.monotonic)
    app = Application(partial(open_service, settings, numbers), Watch(numbers, throttle))
    return [*_server_ports(settings, app), *_admin_ports(settings, app, numbers)]


def _admin_ports(settings: Settings, app: Application, numbers: Numbers) -> Sequence[AnyPort]:
    admin = settings.admin
    if admin.port is None:
        return []
    answers = Admin(lambda: app.service.vitals if app.service is not None else None, numbers)
    if admin.tls:
        certificate, key = settings.server.files
        host = VirtualHost(certificate=certificate, key=key, set_by=_FILES, app=answers)
        return [Port(host=admin.host, port=admin.port, virtual_hosts=(host,))]
    names = frozenset({"localhost", "127.0.0.1", "::1", admin.host}) if is_loopback(admin.host) else None
    return [PlainPort(host=admin.host, port=admin.port, app=answers, names=names)]


def _server_ports(settings: Settings, app: Application) -> Sequence[AnyPort]:
    """RFC 8705 section 5: the issuer's host; mutual TLS on its own port, by SNI, or there; or all behind a proxy."""
    if settings.proxy.contract is not None:
        return [_proxied_port(settings, app)]
    server = settings.server
    port_with = partial(Port, host=server.host, limits=Limits(handshake_bytes=server.handshake_bytes))
    conventional, mtls = _conventional_host(settings, app), _mtls_hosts(settings, app)
    if mtls and server.mtls_port is not None:
        return [
            port_with(port=server.port, virtual_hosts=(conventional,), minimum_tls=server.minimum_tls),
            port_with(port=server.mtls_port, virtual_hosts=mtls, minimum_tls=server.mtls_minimum_tls),
        ]
    # The protocol versions of a port are decided before SNI is read: where hosts share one, the stricter policy holds.
    shared: TLSVersion = "1.3" if "1.3" in {server.minimum_tls, server.mtls_minimum_tls} else "1.2"
    return [port_with(port=server.port, virtual_hosts=(conventional, *mtls), minimum_tls=shared)]


def _conventional_host(settings: Settings, app: Application) -> VirtualHost:
    """The issuer's; where mutual TLS has none of its own, it is there."""
    server = settings.server
    certificate, key = server.files
    return VirtualHost(
        certificate=certificate,
        key=key,
        set_by=_FILES,
        app=app,
        asks_for_certificate=server.mtls_url is None,
        names=frozenset({_host(server.issuer)}),
    )


def _mtls_hosts(settings: Settings, app: Application) -> tuple[VirtualHost, ...]:
    """That of mutual TLS, if it has one of its own."""
    server = settings.server
    if server.mtls_url is None:
        return ()
    certificate, key = server.files
    host = VirtualHost(
        certificate=server.mtls_certificate or certificate,
        key=server.mtls_key or key,
        set_by=_MTLS_FILES if server.mtls_certificate else _FILES,
        app=app,
        asks_for_certificate=True,
        names=frozenset({_host(server.mtls_url)}),
    )
    return (host,)


def _proxied_port(settings: Settings, app: Application) -> AnyPort:
    """One port or Unix socket for the proxy, which says by Host which of the two hosts a request is for."""
    server, proxy = settings.server, settings.proxy
    limits = Limits(handshake_bytes=server.handshake_bytes, header_bytes=_FORWARDED_BYTES)
    names = frozenset({_host(server.issuer), _host(server.mtls_url or server.issuer)})
    behind = behind_proxy(settings, app, _host(server.mtls_url or server.issuer))
    if proxy.socket is not None:
        return PlainPort(path=proxy.socket, app=behind, names=names, limits=limits)
    if server.certificate is None:
        return PlainPort(host=server.host, port=server.port, app=behind, names=names, limits=limits)
    certificate, key = server.files
    host = VirtualHost(
        certificate=certificate,
        key=key,
        set_by=_FILES,
        app=behind,
        asks_for_certificate=bool(proxy.certificates),
        names=names,
        certified_names_too=True,
    )
    return Port(
        host=server.host, port=server.port, virtual_hosts=(host,), minimum_tls=server.minimum_tls, limits=limits
    )


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


_FORWARDED_BYTES = MAX_BYTES + Limits().header_bytes
"""What the proxy forwards comes beside what a request has anyway."""
_FILES = ("server.certificate", "server.key")
_MTLS_FILES = ("server.mtls_certificate", "server.mtls_key")
