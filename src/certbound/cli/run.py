"""`certbound run`: anybody's ASGI application with TLS and, if wanted, client certificates under it."""

import inspect
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, cast

import typer

from certbound.cli._commands import WrongUse
from certbound.cli._proxied import (
    Behind,
    Host,
    ListenPort,
    Network,
    Plaintext,
    Renamed,
    SecretFile,
    Socket,
    Workers,
    announced,
    forwarded,
    require_private,
)
from certbound.core.errors import ConfigurationError
from certbound.tls import AnyPort, ASGIApplication, PlainPort, Port, VirtualHost, serve
from certbound.tls.forwarded.behind import TLSExtensionToo

App = Annotated[str, typer.Argument(help="The application, as module:attribute.", metavar="APP")]
Cert = Annotated[Path | None, typer.Option(help="Server certificate, PEM, followed by its issuers.")]
Key = Annotated[Path | None, typer.Option(help="Its private key, PEM, not encrypted.")]
Name = Annotated[
    list[str] | None,
    typer.Option(help="A host name to serve; may be repeated.  Without it: the certificate's alternative names."),
]
Asks = Annotated[bool, typer.Option(help="Ask clients for a certificate; any or none is accepted.")]
Tls13Only = Annotated[bool, typer.Option("--tls13-only", help="Refuse TLS 1.2.")]
Websockets = Annotated[bool, typer.Option("--websockets", help="Hand websockets to the application.")]


def run(
    app: App,
    cert: Cert = None,
    key: Key = None,
    host: Host = "127.0.0.1",
    port: ListenPort = 8443,
    name: Name = None,
    mtls: Asks = True,
    tls13_only: Tls13Only = False,
    workers: Workers = 1,
    websockets: Websockets = False,
    behind: Behind = None,
    proxy_secret_file: SecretFile = None,
    proxy_network: Network = None,
    proxy_header: Renamed = None,
    socket: Socket = None,
    plaintext: Plaintext = False,
) -> None:
    """Run any ASGI application with client certificates, which it finds in scope["extensions"]["tls"].

    The client proves that it holds the certificate's key; whether the certificate is any good is for the application to
    decide.

    With --behind a proxy ends TLS and forwards the certificate; without --cert, plain HTTP is spoken with it.

    Example: certbound run shop:app --cert server.pem --key server.key

    Example: certbound run shop:app --behind nginx --proxy-secret-file proxy.secret --proxy-network 127.0.0.1
    """
    declared = proxy_secret_file or proxy_network or proxy_header or socket or plaintext
    _require_sense(cert, key, behind, socket, proxy_is_declared=bool(declared))
    if cert is None:
        require_private(host, socket, plaintext=plaintext)
    names = frozenset(name) if name else None

    def imported() -> ASGIApplication:
        found = import_application(app)
        if behind is None:
            return found
        return forwarded(
            TLSExtensionToo(found), behind, secret_files=proxy_secret_file or (), networks=proxy_network or (),
            headers=proxy_header or (), socket=socket,
        )  # fmt: skip

    def make_ports() -> Sequence[AnyPort]:
        if cert is None or key is None:
            return [PlainPort(host=host, port=port, path=socket, app=imported(), names=names, websockets=websockets)]
        virtual_host = VirtualHost(
            certificate=cert, key=key, app=imported(), asks_for_certificate=mtls and behind is None, names=names,
            websockets=websockets,
        )  # fmt: skip
        return [Port(host=host, port=port, virtual_hosts=(virtual_host,), minimum_tls="1.3" if tls13_only else "1.2")]

    def announce(addresses: list[tuple[str, int]]) -> None:
        for address, bound in addresses:
            where = announced(address, bound, "https" if cert is not None else "http")
            typer.echo(f"{where} serves {app}; stop it with Ctrl-C")

    serve(make_ports, workers=workers, on_ready=announce)


def _require_sense(
    cert: Path | None, key: Path | None, behind: str | None, socket: Path | None, *, proxy_is_declared: bool
) -> None:
    """Who ends TLS is said once.  `WrongUse` otherwise."""
    if (cert is None) != (key is None):
        raise WrongUse("--cert and --key go together; give both")
    if behind is None and cert is None:
        raise WrongUse("--cert and --key are missing; or say with --behind what ends TLS in front")
    if behind is None and proxy_is_declared:
        raise WrongUse("--behind is missing: name the contract of the proxy, such as --behind nginx")
    if socket is not None and cert is not None:
        raise WrongUse("--socket and --cert exclude each other: a Unix socket needs no TLS")


def _is_wsgi(app: object) -> bool:
    """Whether it wants `start_response` by that name: WSGI has no other mark."""
    called = app if inspect.isroutine(app) or inspect.isclass(app) else getattr(app, "__call__")  # noqa: B004, B009
    try:
        named = list(inspect.signature(called).parameters)
    except (TypeError, ValueError):
        return False
    return named[-1:] == ["start_response"] and len(named) == 2


def import_application(reference: str) -> ASGIApplication:
    """The application that `module:attribute` names, looked for in the working directory first.

    `ConfigurationError` if there is none; an error inside the module keeps its own traceback.
    """
    module_name, colon, attributes = reference.partition(":")
    if not (module_name and colon and attributes):
        raise ConfigurationError(f"{reference!r} names no application; write it as module:attribute")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: object = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name != module_name and not module_name.startswith(f"{error.name}."):
            raise
        raise ConfigurationError(f"there is no module {module_name!r} here or among the installed ones") from error
    for attribute in attributes.split("."):
        found = getattr(found, attribute, None)
    if not callable(found):
        raise ConfigurationError(f"the module {module_name!r} has no application {attributes!r}")
    if _is_wsgi(found):
        raise ConfigurationError(
            f"{reference} is a WSGI application, and this serves ASGI: serve it with gunicorn behind a proxy, whose "
            "part certbound proxy-config prints, or name its ASGI application (Django: get_asgi_application)"
        )
    return cast("ASGIApplication", found)
