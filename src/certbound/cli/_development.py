"""What `dev` and `demo` run: a folder with everything in it, and the servers that live from it.

Rule 1: two authorities, one for servers and one for clients: who may be a server is not who may be a client.
Rule 2: what is in the folder is used again; what ends within a day, or does not fit any more, is made anew.
Rule 3: private keys are readable by their owner only, and the folder keeps itself out of version control.
"""

import asyncio
import contextlib
import ipaddress
import json
import os
import socket
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from certbound import app, settings
from certbound.cli._sample import sample_api
from certbound.client import Identity, IdentityUnusable
from certbound.core.clients import Method
from certbound.core.jwks import make_jwks
from certbound.resource import Guard
from certbound.settings import Settings
from certbound.tls import Port, VirtualHost
from certbound.tls.listener import bind, start_on
from certbound.trust.authority import Authority, Issued, KeyKind, self_signed

READ, WRITE = "read", "write"
SPARE = timedelta(days=1)
"""A certificate that ends sooner is renewed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the servers are: the address they listen on, the name they are called by, and the three ports."""

    host: str
    name: str
    port: int
    mtls_port: int
    api_port: int

    @property
    def issuer(self) -> str:
        return self._url(self.port)

    @property
    def mtls_url(self) -> str:
        return self._url(self.mtls_port)

    @property
    def resource_url(self) -> str:
        return self._url(self.api_port)

    def _url(self, port: int) -> str:
        return f"https://[{self.name}]:{port}" if ":" in self.name else f"https://{self.name}:{port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A registered client of the development server, and where its certificate is."""

    client_id: str
    method: Method
    certificate: Path
    key: Path
    metadata: Mapping[str, Any]
    """As it is registered."""

    @property
    def identity(self) -> Identity:
        return Identity.load(self.certificate, self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Development:
    """A folder that is ready to be served from."""

    folder: Path
    place: Place
    settings: Settings
    ca: Path
    """Who vouches for the servers, PEM."""
    client_authority: Authority
    members: tuple[Member, ...]
    """The one with a CA's certificate first."""


BILLING, WAREHOUSE = "billing", "warehouse"
BILLING_NAME = "billing.example"


def is_loopback(host: str) -> bool:
    """Whether `host` is reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def open_ports(host: str, numbers: Sequence[int]) -> list[socket.socket]:
    """Sockets on these ports, 0 for a free one.  `ConfigurationError` names the port that is taken."""
    return bind([Port(host=host, port=number, virtual_hosts=()) for number in numbers])


def place_of(host: str, sockets: Sequence[socket.socket]) -> Place:
    """What the servers on `sockets` are called."""
    port, mtls_port, api_port = (each.getsockname()[1] for each in sockets[:3])
    return Place(host=host, name=_name_of(host), port=port, mtls_port=mtls_port, api_port=api_port)


def make_folder(
    folder: Path, place: Place, *, now: datetime, key: KeyKind = "P-256", more_resources: Sequence[str] = ()
) -> Development:
    """Everything the servers need is in `folder` afterwards; `key` is the kind of key that clients have.

    Tokens can be for the sample API, and for `more_resources`.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = folder.resolve()
    _write(folder / ".gitignore", b"*\n")
    servers = _authority(folder / "ca", "certbound development CA for servers", now, "P-256")
    clients = _authority(folder / "client-ca", "certbound development CA for clients", now, key)
    _leaf(folder / "server", now, lambda old: _is_for(old, place, servers), lambda: _server(servers, place, now))
    members = _members(folder, clients, now, key)
    configuration = folder / "certbound.toml"
    _write(configuration, _toml(folder, place, [place.resource_url, *more_resources]).encode())
    return Development(
        folder=folder,
        place=place,
        settings=settings.load(configuration, {}),
        ca=folder / "ca.pem",
        client_authority=clients,
        members=members,
    )


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


def write_whole(file: Path, text: str) -> None:
    """`file` holds `text`; no reader sees half of it."""
    _write(file, text.encode())


def _api_ports(development: Development) -> list[Port]:
    place = development.place
    api = Guard(
        sample_api, issuer=place.issuer, audience=place.resource_url, scopes={READ}, issuer_ca=str(development.ca)
    )
    return [
        Port(host=place.host, port=0, virtual_hosts=(VirtualHost(
            certificate=development.settings.server.certificate,
            key=development.settings.server.key,
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


def _authority(file: Path, name: str, now: datetime, key: KeyKind) -> Authority:
    """The authority in `file`.pem and `file`.key."""
    certificate, private = file.with_suffix(".pem"), file.with_suffix(".key")
    with contextlib.suppress(OSError, ValueError):
        kept = Authority.load(certificate.read_bytes(), private.read_bytes())
        if _lasts(kept.certificate, now):
            return kept
    made = Authority.create(name, now=now, key=key)
    _write(private, made.key_pem, mode=0o600)
    _write(certificate, made.certificate_pem)
    return made


def _leaf(
    file: Path, now: datetime, fits: Callable[[x509.Certificate], bool], make: Callable[[], Issued]
) -> tuple[Path, Path]:
    """The certificate in `file`.pem with its key in `file`.key, which fit."""
    certificate, private = file.with_suffix(".pem"), file.with_suffix(".key")
    try:
        kept = Identity.load(certificate, private).certificate.parsed
    except IdentityUnusable:
        kept = None
    if kept is None or not _lasts(kept, now) or not fits(kept):
        made = make()
        _write(private, made.key_pem, mode=0o600)
        _write(certificate, made.chain_pem)
    return certificate, private


def _members(folder: Path, authority: Authority, now: datetime, key: KeyKind) -> tuple[Member, ...]:
    billing = _leaf(
        folder / BILLING, now, lambda old: _is_issued_by(old, authority),
        lambda: authority.issue(f"CN={BILLING}", dns=[BILLING_NAME], now=now, key=key),
    )  # fmt: skip
    warehouse = _leaf(folder / WAREHOUSE, now, lambda _: True, lambda: self_signed(f"CN={WAREHOUSE}", now=now, key=key))
    jwks = make_jwks([Identity.load(*warehouse).certificate])
    return (
        Member(
            client_id=BILLING,
            method=Method.TLS_CLIENT_AUTH,
            certificate=billing[0],
            key=billing[1],
            metadata={
                "client_name": "Billing, with a certificate of the development CA",
                "token_endpoint_auth_method": Method.TLS_CLIENT_AUTH.value,
                "tls_client_auth_san_dns": BILLING_NAME,
                "scope": f"{READ} {WRITE}",
            },
        ),
        Member(
            client_id=WAREHOUSE,
            method=Method.SELF_SIGNED_TLS_CLIENT_AUTH,
            certificate=warehouse[0],
            key=warehouse[1],
            metadata={
                "client_name": "Warehouse, with a self-signed certificate",
                "token_endpoint_auth_method": Method.SELF_SIGNED_TLS_CLIENT_AUTH.value,
                "jwks": jwks,
                "scope": READ,
            },
        ),
    )


def _server(authority: Authority, place: Place, now: datetime) -> Issued:
    dns, ips = _server_names(place)
    return authority.issue("CN=certbound development", dns=dns, ips=ips, usage="server", now=now)


def _server_names(place: Place) -> tuple[list[str], list[str]]:
    dns, ips = ["localhost"], ["127.0.0.1", "::1"]
    for name in {place.name, place.host} - {"localhost", "127.0.0.1", "::1"}:
        try:
            ips.append(str(ipaddress.ip_address(name)))
        except ValueError:
            dns.append(name)
    return dns, ips


def _is_for(certificate: x509.Certificate, place: Place, authority: Authority) -> bool:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    dns, ips = _server_names(place)
    held = {*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))}
    return held >= {*dns, *ips} and _is_issued_by(certificate, authority)


def _is_issued_by(certificate: x509.Certificate, authority: Authority) -> bool:
    try:
        certificate.verify_directly_issued_by(authority.certificate)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _lasts(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - SPARE


def _toml(folder: Path, place: Place, resources: Sequence[str]) -> str:
    # A JSON string of printable ASCII is a TOML string.
    text = json.dumps
    return f"""\
# Written by certbound dev each time it starts; copy it if you want to change it.
[server]
issuer = {text(place.issuer)}
host = {text(place.host)}
port = {place.port}
certificate = "server.pem"
key = "server.key"
mtls_url = {text(place.mtls_url)}
mtls_port = {place.mtls_port}

[tokens]
scopes = [{text(READ)}, {text(WRITE)}]
resources = {text(resources)}

[trust]
anchors = ["client-ca.pem"]

[store]
url = {text(f"sqlite:///{folder / 'certbound.sqlite'}")}

[log]
format = "console"
"""


def _write(file: Path, data: bytes, *, mode: int = 0o644) -> None:
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            os.fchmod(handle, mode)
            stream.write(data)
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def now_utc() -> datetime:
    """This moment."""
    return datetime.now(UTC)
