"""`certbound proxy-config`: what to write into a proxy so that the certificates it forwards can be believed.

Rule 1: what it prints is what the tests start the proxy with; where there are no tests it says so.
Rule 2: standard output is one file and nothing else.
"""

from pathlib import Path
from typing import Annotated

import typer

from certbound.cli._certificates import read_bytes
from certbound.cli._output import note
from certbound.cli.proxies import KINDS, NO_SECRET, Deployment, Purpose, config, script
from certbound.core.errors import ConfigurationError
from certbound.tls.proxies import Proxies

_HOSTS: dict[Purpose, str] = {"server": "mtls.as.example", "api": "api.example", "guard": "api.example"}


def proxy_config(
    name: Annotated[str, typer.Argument(metavar="PROXY", help=f"One of: {', '.join(KINDS)}.")],
    purpose: Annotated[
        Purpose,
        typer.Option(
            "--for",
            help="What stands behind it: our authorization server, an API in Python, or an API in any language about "
            "which the proxy asks certbound guard.",
        ),
    ] = "api",
    host: Annotated[
        str | None, typer.Option(help="The host name where clients are asked for a certificate.", metavar="NAME")
    ] = None,
    issuer_host: Annotated[
        str | None,
        typer.Option(
            help="The authorization server's other host, where nobody is asked; empty if it has one host alone.",
            metavar="NAME",
        ),
    ] = None,
    listen: Annotated[str, typer.Option(help="Where the proxy listens: a port, or address:port.")] = "443",
    upstream: Annotated[
        str, typer.Option(help="Where the application listens: address:port, or unix:/path.")
    ] = "127.0.0.1:8080",
    guard: Annotated[str, typer.Option(help="Where certbound guard listens.")] = "127.0.0.1:8090",
    cert: Annotated[str, typer.Option(help="The server certificate's file, as the proxy finds it.")] = (
        "/etc/certbound/server.pem"
    ),
    key: Annotated[str, typer.Option(help="The file of its private key.")] = "/etc/certbound/server.key",
    secret_file: Annotated[
        Path | None,
        typer.Option(help="A file with the secret that the proxy sends on each request, 32 characters at least."),
    ] = None,
    lua: Annotated[
        bool,
        typer.Option("--lua", help="Print instead the script by which HAProxy asks the guard; it holds no secret."),
    ] = False,
    lua_file: Annotated[str, typer.Option(help="That script's file, as HAProxy finds it.")] = (
        "/etc/haproxy/certbound-guard.lua"
    ),
) -> None:
    """Print the configuration of a proxy that forwards client certificates so that they can be believed.

    It asks clients for a certificate, judges none, removes what clients say in its name, and sends a secret with each
    request.  Comments say what each line keeps out.

    Example: certbound proxy-config nginx --for api --host api.example --secret-file proxy.secret

    Example, for the server on two hosts: certbound proxy-config haproxy --for server --issuer-host as.example

    Example, for the script beside it: certbound proxy-config haproxy --for guard --lua > certbound-guard.lua
    """
    address, _, port = listen.rpartition(":")
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigurationError(f"--listen: {listen!r:.80} is no port and no address:port")
    other = issuer_host if issuer_host is not None else "as.example" if purpose == "server" else ""
    deployment = Deployment(
        purpose=purpose,
        host=_HOSTS[purpose] if host is None else host,
        issuer_host=other,
        address=address.strip("[]") or "0.0.0.0",  # noqa: S104  where a proxy listens
        port=int(port),
        upstream=upstream,
        guard=guard,
        certificate=cert,
        key=key,
        secret=_secret(secret_file),
        lua_file=lua_file,
    )
    if lua:
        typer.echo(script(name, deployment), nl=False)
        return
    text = config(name, deployment)
    typer.echo(text, nl=False)
    if NO_SECRET in text:
        note(f"no --secret-file: put a secret in the place of {NO_SECRET}, such as `openssl rand -hex 32` prints")
    if purpose == "guard" and KINDS[name].script:
        note(f"{lua_file} is what certbound proxy-config {name} --for guard --lua prints")
    if not KINDS[name].is_tested:
        note(f"the tests of certbound cannot start {name}: run certbound doctor against yours")


def _secret(file: Path | None) -> str:
    if file is None:
        return NO_SECRET
    if not file.exists():
        raise ConfigurationError(f"{file} is not there; make it: (umask 077; openssl rand -hex 32 > {file})")
    secret = read_bytes(file).decode("ascii", "replace").strip()
    Proxies(secrets=[secret], networks=["127.0.0.1"])  # what certbound would not take as a secret
    return secret
