"""The options of `certbound proxy-config`."""

from pathlib import Path
from typing import Annotated

import typer

from certbound.cli.proxies import KINDS, Purpose

Name = Annotated[str, typer.Argument(metavar="PROXY", help=f"One of: {', '.join(KINDS)}.")]
For = Annotated[
    Purpose,
    typer.Option(
        "--for",
        help="What stands behind it: our authorization server, an API in Python, or an API in any language about "
        "which the proxy asks certbound guard.",
    ),
]
Host = Annotated[
    str | None, typer.Option(help="The host name where clients are asked for a certificate.", metavar="NAME")
]
IssuerHost = Annotated[
    str | None,
    typer.Option(
        help="The authorization server's other host, where nobody is asked; empty if it has one host alone.",
        metavar="NAME",
    ),
]
Listen = Annotated[str, typer.Option(help="Where the proxy listens: a port, or address:port.")]
Upstream = Annotated[str, typer.Option(help="Where the application listens: address:port, or unix:/path.")]
GuardPlace = Annotated[str, typer.Option("--guard", help="Where certbound guard listens.")]
Cert = Annotated[str, typer.Option(help="The server certificate's file, as the proxy finds it.")]
Key = Annotated[str, typer.Option(help="The file of its private key.")]
SecretFile = Annotated[
    Path | None,
    typer.Option(help="A file with the secret that the proxy sends on each request, 32 characters at least."),
]
Grpc = Annotated[
    bool, typer.Option("--grpc", help="The API speaks gRPC: HTTP/2 on both sides, and streams as long as they last.")
]
Lua = Annotated[
    bool, typer.Option("--lua", help="Print instead the script by which HAProxy asks the guard; it holds no secret.")
]
LuaFile = Annotated[str, typer.Option(help="That script's file, as HAProxy finds it.")]
