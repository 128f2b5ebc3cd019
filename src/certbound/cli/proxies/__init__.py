"""What `certbound proxy-config` prints: one file for each proxy, in which the deployment's own words are put.

Rule 1: which headers belong to other contracts comes from the table of contracts: a new contract is removed everywhere.
Rule 2: a name or a path that could end a line or a word of a configuration is refused, not escaped.
Rule 3: a template has three marks: `@NAME@`, a line with `@EACH_…@` that is repeated, and `@if words@ … @end@` (or
`@unless words@`), which stays if one of the words holds.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from itertools import chain, product
from typing import Any, Literal

from certbound.core.errors import ConfigurationError
from certbound.tls.forwarded import CONTRACTS
from certbound.tls.proxies import SECRET_HEADER

Purpose = Literal["server", "api", "guard"]
PURPOSES: tuple[Purpose, ...] = ("server", "api", "guard")

NO_SECRET = "PUT-THE-SECRET-HERE"  # noqa: S105
"""What stands where no secret was given; too short for certbound to believe, so nothing opens by it."""

IDENTITY_HEADERS = (
    "certbound-subject", "certbound-client-id", "certbound-scope", "certbound-thumbprint", "certbound-issuer",
)  # fmt: skip
"""What `certbound guard` says of who calls, and what nobody else may say."""

METHOD_HEADERS = ("x-http-method", "x-http-method-override", "x-method-override")
"""By which frameworks let a client name another method than that of its request, which the guard was asked about."""

FREQUENT_HEADERS = ("ssl-client-cert", "ssl-client-verify", "ssl-client-subject-dn", "x-ssl-client-s-dn")
"""Names that deployments and frameworks give to what contracts say, beside the contracts' own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One proxy or service."""

    file: str
    """The template, in this package."""
    contract: str
    about: str
    purposes: tuple[Purpose, ...] = PURPOSES
    """What it can stand in front of."""
    is_tested: bool = True
    """Whether our tests start it; a service in a cloud they cannot."""
    script: str = ""
    """The template of what it needs beside the file to ask the guard, if it needs anything."""
    instead: str = ""
    """What to do for a purpose that it cannot serve."""
    networks: tuple[str, ...] = ()
    """Where its requests come from, if that is known."""
    has_secret: bool = True
    """Whether it can send one."""
    reaches_sockets: bool = True
    """Whether the application behind it may listen on a Unix socket."""
    speaks_grpc: bool = False
    """Whether `grpc` can be had."""
    of_wsgi: str = ""
    """What does not work behind a WSGI server, if something does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What a configuration is for.  `ConfigurationError` for words that could not stand in one."""

    purpose: Purpose
    host: str
    """Where clients are asked for a certificate."""
    issuer_host: str = ""
    """The authorization server's conventional host, where nobody is asked; empty: there is none."""
    address: str = "0.0.0.0"  # noqa: S104  where a proxy listens
    port: int = 443
    upstream: str = "127.0.0.1:8080"
    """The application: `address:port`, or `unix:` and a path."""
    guard: str = "127.0.0.1:8090"
    certificate: str = "server.pem"
    key: str = "server.key"
    secret: str = NO_SECRET
    grpc: bool = False
    """Whether the API speaks gRPC."""
    lua_file: str = "/etc/haproxy/certbound-guard.lua"
    """Where the proxy finds its script, if it has one."""

    def __post_init__(self) -> None:
        for name in (
            "host", "issuer_host", "address", "upstream", "guard", "certificate", "key", "secret", "lua_file",
        ):  # fmt: skip
            if not _WORD.fullmatch(getattr(self, name)):
                raise ConfigurationError(f"{name}: {getattr(self, name)!r:.80} cannot stand in a configuration")
        for name in ("host", "issuer_host"):
            if not _HOST.fullmatch(getattr(self, name)):
                raise ConfigurationError(f"{name}: {getattr(self, name)!r:.80} is no host name in lower case")
        for name in ("upstream", "guard"):
            if not _PLACE.fullmatch(getattr(self, name)):
                raise ConfigurationError(f"{name}: write {getattr(self, name)!r:.80} as address:port or unix:/path")
        if self.host == self.issuer_host:
            raise ConfigurationError(f"{self.host} cannot both ask for certificates and not; name two hosts, or one")
        if self.issuer_host and self.purpose == "guard":
            raise ConfigurationError("issuer_host: at a host where nobody is asked for a certificate, no guard decides")


def config(name: str, deployment: Deployment) -> str:
    """The configuration of the proxy `name`.  `ConfigurationError` for one that there is not, or that cannot do it."""
    kind = _kind(name, deployment)
    if deployment.upstream.startswith("unix:") and not kind.reaches_sockets:
        raise ConfigurationError(f"{name} reaches no Unix socket: let the application listen on address:port")
    if deployment.grpc and not (kind.speaks_grpc and deployment.purpose == "api"):
        raise ConfigurationError("gRPC can be had of envoy, for an API: certbound proxy-config envoy --for api --grpc")
    return _printed(kind.file, kind, deployment)


def script(name: str, deployment: Deployment) -> str:
    """What the proxy `name` runs to ask the guard.  `ConfigurationError` for one that needs no such thing."""
    kind = _kind(name, deployment)
    if deployment.purpose != "guard" or not kind.script:
        raise ConfigurationError(f"{name} needs no script for {deployment.purpose}")
    return _printed(kind.script, kind, deployment)


def other_side(kind: Kind, deployment: Deployment) -> tuple[str, ...]:
    """What to write behind the proxy, where it is believed: settings, a line of Python, or a command."""
    socket = deployment.upstream.removeprefix("unix:") if deployment.upstream.startswith("unix:") else None
    place = deployment.guard if deployment.purpose == "guard" else deployment.upstream
    near = place.startswith(("127.", "localhost:", "[::1]:"))
    networks = list(kind.networks or (("127.0.0.1",) if near else ("<the address of the proxy>",)))
    listed = json.dumps(networks)
    if deployment.purpose == "server":
        return (
            "[proxy]",
            f'contract = "{kind.contract}"',
            f'socket = "{socket}"' if socket else f"networks = {listed}",
            'secret_files = ["proxy.secret"]' if kind.has_secret else "without_secret = true",
            *(('client_address_header = "x-forwarded-for"',) if kind.is_tested else ()),
        )
    if deployment.purpose == "api":
        hop = "unix_socket=True" if socket else f"networks={listed}"
        secret = 'secrets=[os.environ["PROXY_SECRET"]]' if kind.has_secret else "without_secret=True"
        if deployment.grpc:
            return (f'guard = Guard(api, forwarded=Forwarded("{kind.contract}", {hop}, {secret}))',)
        return (f'app = ForwardedCertificates(app, contract="{kind.contract}", {hop}, {secret})',)
    return (
        f"certbound guard https://{deployment.host} --issuer https://as.example --behind {kind.contract} \\",
        f"  --proxy-network {networks[0]} --proxy-secret-file proxy.secret",
    )


def foreign_headers(contract: str) -> tuple[str, ...]:
    """Every header that says who a client is under another contract than this one."""
    own = {*CONTRACTS[contract]().headers, SECRET_HEADER}
    every = {header for kind in CONTRACTS.values() for header in kind().headers}
    return tuple(sorted((every | {*FREQUENT_HEADERS}) - own))


def _removed(kind: Kind, deployment: Deployment) -> tuple[str, ...]:
    """What leaves each request, beside the contract's own headers."""
    return (*foreign_headers(kind.contract), *(METHOD_HEADERS if deployment.purpose == "guard" else ()))


def _kind(name: str, deployment: Deployment) -> Kind:
    kind = KINDS.get(name)
    if kind is None:
        raise ConfigurationError(f"there is no proxy {name!r:.80}; choose one of {', '.join(KINDS)}")
    if deployment.purpose not in kind.purposes:
        raise ConfigurationError(f"{name} cannot be had for {deployment.purpose}: {kind.instead}")
    return kind


def _printed(file: str, kind: Kind, deployment: Deployment) -> str:
    template = files(__name__).joinpath(file).read_text(encoding="utf-8")
    return fill(template, _words(kind, deployment), _values(kind, deployment), _lists(kind, deployment))


def fill(template: str, words: frozenset[str], values: Mapping[str, str], lists: Mapping[str, Sequence[str]]) -> str:
    """`template` with its marks replaced; `words` are what holds."""
    return "\n".join(_filled(_chosen(template.splitlines(), words), values, lists)) + "\n"


def _chosen(lines: Sequence[str], words: frozenset[str]) -> Iterator[str]:
    holds: list[bool] = []
    for line in lines:
        if mark := _IF.fullmatch(line):
            found = bool(words & set(mark[2].split()))
            holds.append(found is (mark[1] == "if"))
        elif line.strip() == "@end@":
            holds.pop()
        elif all(holds):
            yield line


def _filled(lines: Iterator[str], values: Mapping[str, str], lists: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for line in lines:
        each = next((name for name in lists if f"@{name}@" in line), None)
        for item in ("",) if each is None else lists[each]:
            here = values if each is None else {**values, each: item}
            yield _MARK.sub(partial(_value, here), line)


def _value(values: Mapping[str, str], mark: re.Match[str]) -> str:
    return values[mark[1]]


def _words(kind: Kind, deployment: Deployment) -> frozenset[str]:
    found = {deployment.purpose, "socket" if deployment.upstream.startswith("unix:") else "tcp"}
    found.add("verify" if kind.contract.endswith("-verify") else "passthrough")
    found.add("grpc" if deployment.grpc else "http")
    return frozenset(found | ({"two"} if deployment.issuer_host else {"one"}))


def _values(kind: Kind, deployment: Deployment) -> dict[str, str]:
    upstream_host, _, upstream_port = deployment.upstream.rpartition(":")
    guard_host, _, guard_port = deployment.guard.rpartition(":")
    address = deployment.address
    return {
        "HOST": deployment.host,
        "HOST_REGEX": re.escape(deployment.host).replace(r"\-", "-"),
        "ISSUER_HOST": deployment.issuer_host,
        "ADDRESS": address,
        "PORT": str(deployment.port),
        "LISTEN": f"[{address}]:{deployment.port}" if ":" in address else f"{address}:{deployment.port}",
        "PURPOSE": _SAID[deployment.purpose],
        "UPSTREAM": deployment.upstream,
        "UPSTREAM_HOST": upstream_host.strip("[]"),
        "UPSTREAM_PORT": upstream_port,
        "UPSTREAM_SOCKET": deployment.upstream.removeprefix("unix:"),
        "UPSTREAM_DIAL": re.sub("^unix:", "unix/", deployment.upstream),
        "GUARD": deployment.guard,
        "GUARD_HOST": guard_host.strip("[]"),
        "GUARD_PORT": guard_port,
        "GUARD_SERVER": re.sub("^unix:", "unix@", deployment.guard),
        "LUA_FILE": deployment.lua_file,
        "CERTIFICATE": deployment.certificate,
        "KEY": deployment.key,
        "SECRET": deployment.secret,
        "SECRET_HEADER": SECRET_HEADER,
        "CONTRACT": kind.contract,
        "FOREIGN_REGEX": "|".join((*_removed(kind, deployment), *CONTRACTS[kind.contract]().headers)),
        "IDENTITY_REGEX": "|".join(IDENTITY_HEADERS),
        "IDENTITY_WORDS": " ".join(IDENTITY_HEADERS),
    }


def _lists(kind: Kind, deployment: Deployment) -> dict[str, Sequence[str]]:
    own = (*CONTRACTS[kind.contract]().headers, SECRET_HEADER)
    return {
        "EACH_FOREIGN": _removed(kind, deployment),
        "EACH_IDENTITY": IDENTITY_HEADERS,
        "EACH_OTHER_SIDE": other_side(kind, deployment),
        "EACH_TWIN": tuple(twin for header in own for twin in _twins(header)),
    }


def _twins(header: str) -> Iterator[str]:
    """Every spelling with `_` for some `-`, which WSGI takes for the same."""
    words = header.split("-")
    for signs in product("-_", repeat=len(words) - 1):
        if "_" in signs:
            yield "".join(chain.from_iterable(zip(words, (*signs, ""), strict=True)))


_IF = re.compile(r"\s*@(if|unless) ([a-z ]+)@\s*")
_MARK = re.compile(r"@([A-Z_]+)@")
_WORD = re.compile(r"[A-Za-z0-9._:/@~+=\[\]-]*")
_HOST = re.compile(r"([a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*)?")
_PLACE = re.compile(r"unix:/.+|.+:[0-9]{1,5}")

_SAID: Mapping[Purpose, str] = {
    "server": "the authorization server", "api": "an API in Python", "guard": "an API in any language",
}  # fmt: skip

_CLOUD: Any = {
    "purposes": ("server", "api"),
    "is_tested": False,
    "instead": "it asks no other service about a request. Put certbound.resource.Guard into the API, or nginx, "
    "HAProxy, Envoy, Traefik or Caddy behind it",
}

KINDS: Mapping[str, Kind] = {
    "nginx": Kind(file="nginx.conf", contract="nginx", about="nginx 1.19.4 or newer; a file for conf.d"),
    "haproxy": Kind(
        file="haproxy.cfg", contract="haproxy", about="HAProxy 2.6 or newer; with Lua, if it asks the guard",
        script="haproxy-guard.lua",
    ),
    "apache": Kind(
        file="apache.conf", contract="apache", about="Apache 2.4.10 or newer", purposes=("server", "api"),
        instead="it asks no other service about a request by itself. Put certbound.resource.Guard into the API, or "
        "let nginx, HAProxy, Envoy, Traefik or Caddy ask the guard",
    ),
    "envoy": Kind(file="envoy.yaml", contract="envoy", about="Envoy 1.40 or newer; a whole file", speaks_grpc=True),
    "traefik": Kind(
        file="traefik.yaml", contract="traefik", about="Traefik 3.7.12 or newer; a file of its file provider",
        reaches_sockets=False,
        of_wsgi="behind a WSGI server a client that sends its issuers too is answered 400: Traefik joins certificates "
        "by commas, as WSGI joins headers; let clients send the leaf alone, or serve the API by ASGI",
    ),
    "caddy": Kind(file="caddy.Caddyfile", contract="caddy", about="Caddy 2.11 or newer; a whole Caddyfile"),
    "aws-alb": Kind(
        file="aws-alb.tf", contract="aws-alb", about="AWS Application Load Balancer, passthrough; Terraform",
        has_secret=False, networks=("<the subnets of the load balancer>",), **_CLOUD,
    ),
    "aws-alb-verify": Kind(
        file="aws-alb.tf", contract="aws-alb-verify", about="AWS Application Load Balancer, trust store; Terraform",
        has_secret=False, networks=("<the subnets of the load balancer>",), **_CLOUD,
    ),
    "azure-app-service": Kind(
        file="azure-app-service.sh", contract="azure-app-service", about="Azure App Service; lines for az",
        has_secret=False, networks=("<where its requests come from>",), **_CLOUD,
    ),
    "gcp": Kind(
        file="gcp.sh", contract="gcp", about="Google Cloud load balancer; lines for gcloud",
        networks=("35.191.0.0/16", "130.211.0.0/22"), **_CLOUD,
    ),
    "cloudflare": Kind(
        file="cloudflare.sh", contract="cloudflare", about="Cloudflare; lines for curl",
        networks=("<what https://www.cloudflare.com/ips/ says>",), **_CLOUD,
    ),
    "kong": Kind(file="kong.yaml", contract="kong", about="Kong Gateway Enterprise; for decK", **_CLOUD),
}  # fmt: skip
"""Every proxy by the name that the command takes."""
