"""`certbound proxy-config`: what to write into a proxy so that the certificates it forwards can be believed.

Rule 1: what it prints is what the tests start the proxy with; where there are no tests it says so.
Rule 2: standard output is one file and nothing else.
"""

from pathlib import Path

import typer

from certbound.cli._certificates import read_bytes
from certbound.cli._output import note
from certbound.cli._proxy_options import (
    Cert,
    For,
    Grpc,
    GuardPlace,
    Host,
    IssuerHost,
    Key,
    Listen,
    Lua,
    LuaFile,
    Name,
    SecretFile,
    Upstream,
)
from certbound.cli.proxies import KINDS, NO_SECRET, Deployment, Purpose, config, script
from certbound.core.errors import ConfigurationError
from certbound.tls.proxies import Proxies

_HOSTS: dict[Purpose, str] = {"server": "mtls.as.example", "api": "api.example", "guard": "api.example"}


def proxy_config(
    name: Name,
    purpose: For = "api",
    host: Host = None,
    issuer_host: IssuerHost = None,
    listen: Listen = "443",
    upstream: Upstream = "127.0.0.1:8080",
    guard: GuardPlace = "127.0.0.1:8090",
    cert: Cert = "/etc/certbound/server.pem",
    key: Key = "/etc/certbound/server.key",
    secret_file: SecretFile = None,
    grpc: Grpc = False,
    lua: Lua = False,
    lua_file: LuaFile = "/etc/haproxy/certbound-guard.lua",
) -> None:
    """Print the configuration of a proxy that forwards client certificates so that they can be believed.

    It asks clients for a certificate, judges none, removes what clients say in its name, and sends a secret with each
    request.  Comments say what each line keeps out.

    Example: certbound proxy-config nginx --for api --host api.example --secret-file proxy.secret

    Example, for the server on two hosts: certbound proxy-config haproxy --for server --issuer-host as.example

    Example, for a server of gRPC: certbound proxy-config envoy --for api --grpc --secret-file proxy.secret

    Example, for the script beside it: certbound proxy-config haproxy --for guard --lua > certbound-guard.lua
    """
    address, port = _place(listen)
    deployment = Deployment(
        purpose=purpose, host=_HOSTS[purpose] if host is None else host, issuer_host=_other(issuer_host, purpose),
        address=address, port=port, upstream=upstream, guard=guard, certificate=cert, key=key,
        secret=_secret(secret_file), grpc=grpc, lua_file=lua_file,
    )  # fmt: skip
    if lua:
        typer.echo(script(name, deployment), nl=False)
        return
    text = config(name, deployment)
    typer.echo(text, nl=False)
    _notes(name, deployment, text)


def _place(listen: str) -> tuple[str, int]:
    address, _, port = listen.rpartition(":")
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigurationError(f"--listen: {listen!r:.80} is no port and no address:port")
    return address.strip("[]") or "0.0.0.0", int(port)  # noqa: S104  where a proxy listens


def _other(issuer_host: str | None, purpose: Purpose) -> str:
    if issuer_host is not None:
        return issuer_host
    return "as.example" if purpose == "server" else ""


def _secret(file: Path | None) -> str:
    if file is None:
        return NO_SECRET
    if not file.exists():
        raise ConfigurationError(f"{file} is not there; make it: (umask 077; openssl rand -hex 32 > {file})")
    secret = read_bytes(file).decode("ascii", "replace").strip()
    Proxies(secrets=[secret], networks=["127.0.0.1"])  # what certbound would not take as a secret
    return secret


def _notes(name: str, deployment: Deployment, text: str) -> None:
    """What is left to do."""
    kind = KINDS[name]
    if NO_SECRET in text:
        note(f"no --secret-file: put a secret in the place of {NO_SECRET}, such as `openssl rand -hex 32` prints")
    if deployment.purpose == "guard" and kind.script:
        note(f"{deployment.lua_file} is what certbound proxy-config {name} --for guard --lua prints")
    if deployment.purpose == "api" and kind.of_wsgi:
        note(kind.of_wsgi)
    if not kind.is_tested:
        note(f"the tests of certbound cannot start {name}: run certbound doctor against yours")
