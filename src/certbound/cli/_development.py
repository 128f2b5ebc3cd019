"""What `dev` and `demo` live from: a folder with authorities, certificates, clients and settings in it.

Rule 1: two authorities, one for servers and one for clients: who may be a server is not who may be a client.
Rule 2: what is in the folder is used again; what ends within a day, or does not fit any more, is made anew.
Rule 3: private keys are readable by their owner only, and the folder keeps itself out of version control.
"""

import contextlib
import ipaddress
import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from certbound import settings
from certbound.client import Identity, IdentityUnusable
from certbound.core.clients import Method
from certbound.core.jwks import make_jwks
from certbound.settings import Settings
from certbound.trust.authority import Authority, Issued, KeyKind, self_signed

READ, WRITE = "read", "write"
PEOPLE = ("openid", "profile", "email")
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


def make_folder(
    folder: Path,
    place: Place,
    *,
    now: datetime,
    key: KeyKind = "P-256",
    more_resources: Sequence[str] = (),
    people: bool = False,
) -> Development:
    """Everything the servers need is in `folder` afterwards; `key` is the kind of key that clients have.

    Tokens can be for the sample API, and for `more_resources`; with `people`, clients can act for people.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = folder.resolve()
    _write(folder / ".gitignore", b"*\n")
    servers = _authority(folder / "ca", "certbound development CA for servers", now, "P-256")
    clients = _authority(folder / "client-ca", "certbound development CA for clients", now, key)
    _leaf(folder / "server", now, lambda old: _is_for(old, place, servers), lambda: _server(servers, place, now))
    members = _members(folder, clients, now, key)
    configuration = folder / "certbound.toml"
    _write(configuration, _toml(folder, place, [place.resource_url, *more_resources], people=people).encode())
    return Development(
        folder=folder,
        place=place,
        settings=settings.load(configuration, {}),
        ca=folder / "ca.pem",
        client_authority=clients,
        members=members,
    )


def write_whole(file: Path, text: str, *, mode: int = 0o644) -> None:
    """`file` holds `text`; no reader sees half of it."""
    _write(file, text.encode(), mode=mode)


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


def _toml(folder: Path, place: Place, resources: Sequence[str], *, people: bool) -> str:
    # A JSON string of printable ASCII is a TOML string.
    text = json.dumps
    scopes = [READ, WRITE, *(PEOPLE if people else ())]
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
scopes = {text(scopes)}
resources = {text(resources)}

[trust]
anchors = ["client-ca.pem"]

[store]
url = {text(f"sqlite:///{folder / 'certbound.sqlite'}")}

[log]
format = "console"
{_LOGIN if people else ""}"""


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


_LOGIN = """
[authentication]
methods = ["tls_client_auth", "self_signed_tls_client_auth", "private_key_jwt", "none"]

[login]
accounts = true
device = true
"""


def now_utc() -> datetime:
    """This moment."""
    return datetime.now(UTC)
