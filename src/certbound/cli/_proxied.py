"""Options of the commands that serve something behind a proxy."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, get_args

import typer

from certbound.cli._commands import WrongUse
from certbound.settings.proxy import ContractName
from certbound.tls import ASGIApplication
from certbound.tls.hosts import is_loopback

Behind = Annotated[
    str | None,
    typer.Option(
        help=f"What ends TLS in front, by how it forwards certificates: {', '.join(get_args(ContractName))}.",
        metavar="CONTRACT",
    ),
]
SecretFile = Annotated[
    list[Path] | None,
    typer.Option(help="A file with the secret that the proxy sends on each request; may be repeated.", metavar="FILE"),
]
Network = Annotated[
    list[str] | None,
    typer.Option(help="The proxy's address, or its network; may be repeated.", metavar="ADDRESS"),
]
Renamed = Annotated[
    list[str] | None,
    typer.Option(
        help="Another name for a header of the contract, such as certificate=ssl-client-cert; may be repeated.",
        metavar="WHAT=NAME",
    ),
]
Socket = Annotated[
    Path | None, typer.Option(help="A Unix socket to listen on instead of an address and a port.", metavar="FILE")
]
Plaintext = Annotated[
    bool, typer.Option("--plaintext", help="Speak plain HTTP on an address that others reach: your own network alone.")
]
Host = Annotated[str, typer.Option(help="Address to listen on.")]
ListenPort = Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)]
Workers = Annotated[int, typer.Option(help="Processes that share the port.", min=1)]


def forwarded(
    app: ASGIApplication,
    contract: str,
    *,
    secret_files: Sequence[Path],
    networks: Sequence[str],
    headers: Sequence[str],
    socket: Path | None,
) -> ASGIApplication:
    """`app` behind the declared proxy.  `ConfigurationError` for a declaration that makes no sense."""
    from certbound.tls.forwarded.asgi import ForwardedCertificates
    from certbound.tls.secret_files import read_secrets

    if not (networks or socket):
        raise WrongUse("name the proxy's addresses: --proxy-network 127.0.0.1, or --socket FILE")
    if not secret_files:
        raise WrongUse(
            "--proxy-secret-file is missing: a secret proves that the proxy sent a request, and not somebody who "
            "smuggled it through; make one: (umask 077; openssl rand -hex 32 > proxy.secret)"
        )
    return ForwardedCertificates(
        app,
        contract=contract,
        headers=_renamed(headers),
        secrets=read_secrets(secret_files, "--proxy-secret-file"),
        networks=networks,
        unix_socket=socket is not None,
    )


def require_private(host: str, socket: Path | None, *, plaintext: bool) -> None:
    """Plain HTTP is spoken where nobody else hears it, or where somebody said so."""
    if socket is None and not is_loopback(host) and not plaintext:
        raise WrongUse(
            f"--host {host} is reached by others, and tokens would cross the network in the clear; listen on "
            "127.0.0.1 or --socket FILE, or say --plaintext if that network is yours alone"
        )


def announced(address: str, port: int, scheme: str = "http") -> str:
    """Where something serves, as `on_ready` has it."""
    if address.startswith("/"):
        return f"unix:{address}"
    return f"{scheme}://[{address}]:{port}/" if ":" in address else f"{scheme}://{address}:{port}/"


def _renamed(headers: Sequence[str]) -> Mapping[str, str]:
    if odd := [each for each in headers if "=" not in each]:
        raise WrongUse(f"--proxy-header {odd[0]!r:.80}: write it as WHAT=NAME, such as certificate=ssl-client-cert")
    return dict(each.split("=", 1) for each in headers)
