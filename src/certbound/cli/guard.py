"""`certbound guard`: beside a proxy, for an API in any language: may this request pass, and who calls?"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from certbound.cli._commands import WrongUse
from certbound.cli._output import say
from certbound.cli._proxied import (
    Behind,
    Network,
    Plaintext,
    Renamed,
    SecretFile,
    Socket,
    announced,
    forwarded,
    require_private,
)

if TYPE_CHECKING:
    from certbound.resource import Introspection
    from certbound.tls import AnyPort


def guard(
    resource: Annotated[str, typer.Argument(help="The API's identifier, which tokens are for.", metavar="RESOURCE")],
    issuer: Annotated[
        list[str], typer.Option(help="Whose tokens are accepted: the issuer's URL; may be repeated.", metavar="URL")
    ],
    behind: Behind = None,
    proxy_secret_file: SecretFile = None,
    proxy_network: Network = None,
    proxy_header: Renamed = None,
    path_header: Annotated[
        str | None,
        typer.Option(
            help="Where the proxy says the original path; x-original-uri, or x-forwarded-uri of Traefik.",
            metavar="NAME",
        ),
    ] = None,
    scope: Annotated[
        list[str] | None, typer.Option(help="A scope that every request needs; may be repeated.", metavar="SCOPE")
    ] = None,
    route: Annotated[
        list[str] | None,
        typer.Option(
            help="A path and the scopes that it and all below it need, by comma; may be repeated. With any, a path "
            "below none is refused.",
            metavar="PATH=SCOPES",
        ),
    ] = None,
    unbound: Annotated[
        bool, typer.Option("--unbound", help="Accept tokens that are bound to no certificate as well.")
    ] = False,
    require_status: Annotated[
        bool, typer.Option("--require-status", help="Refuse tokens that do not say where their revocation stands.")
    ] = False,
    issuer_ca: Annotated[
        Path | None,
        typer.Option(help="PEM file of the CAs that vouch for issuers; the system's if absent.", metavar="FILE"),
    ] = None,
    introspect_as: Annotated[
        str | None,
        typer.Option(help="Ask the issuer about opaque tokens, as this client.", metavar="CLIENT_ID"),
    ] = None,
    introspect_cert: Annotated[
        Path | None, typer.Option(help="The certificate of that client, PEM.", metavar="FILE")
    ] = None,
    introspect_key: Annotated[Path | None, typer.Option(help="Its private key, PEM.", metavar="FILE")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)] = 8090,
    socket: Socket = None,
    plaintext: Plaintext = False,
    admin_port: Annotated[
        int | None, typer.Option(help="Port of /healthz, on loopback; 0 takes a free one.", min=0, max=65535)
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes that share the port.", min=1)] = 1,
) -> None:
    """Answer a proxy that asks about each request: 200 and who calls, or 401, 403, 503.

    The proxy ends TLS, asks here first (nginx auth_request, Envoy ext_authz, Traefik forwardAuth, Caddy forward_auth,
    HAProxy by a script), and hands on Certbound-Subject, -Client-Id, -Scope, -Thumbprint and -Issuer; certbound
    proxy-config NAME --for guard prints its configuration.

    Example: certbound guard https://api.example --issuer https://as.example --behind nginx --proxy-secret-file proxy.secret --proxy-network 127.0.0.1
    """  # noqa: E501
    if behind is None:
        raise WrongUse("--behind is missing: name the contract of the proxy that asks, such as --behind nginx")
    contract = behind
    require_private(host, socket, plaintext=plaintext)
    routes = _routes(route) if route else None
    introspection = _introspection(introspect_as, introspect_cert, introspect_key)
    from certbound.resource import ProtectedResource, TrustedIssuer
    from certbound.resource.forward_auth import PATH_HEADER, PATH_HEADERS, ForwardAuth, health
    from certbound.tls import PlainPort, serve

    def make_ports() -> Sequence["AnyPort"]:
        ca = str(issuer_ca) if issuer_ca else None
        issuers = [
            TrustedIssuer(
                each, ca=ca, require_status=require_status, introspection=introspection if each == issuer[0] else None
            )
            for each in issuer
        ]
        api = ProtectedResource(resource, issuer=issuers, scopes=frozenset(scope or ()), require_bound=not unbound)
        asked = ForwardAuth(api, routes=routes, path_header=path_header or PATH_HEADERS.get(contract, PATH_HEADER))
        app = forwarded(
            asked, contract, secret_files=proxy_secret_file or (), networks=proxy_network or (),
            headers=proxy_header or (), socket=socket,
        )  # fmt: skip
        ports = [PlainPort(host=host, port=port, path=socket, app=app)]
        if admin_port is not None:
            ports.append(PlainPort(host="127.0.0.1", port=admin_port, app=health, names=_LOOPBACK))
        return ports

    def announce(addresses: list[tuple[str, int]]) -> None:
        say(f"guards {resource} on {announced(*addresses[0])}; stop it with Ctrl-C")
        if admin_port is not None:
            say(f"health on {announced(*addresses[1])}healthz")

    serve(make_ports, workers=workers, on_ready=announce)


def _routes(given: Sequence[str]) -> dict[str, frozenset[str]]:
    routes: dict[str, frozenset[str]] = {}
    for each in given:
        path, equals, scopes = each.partition("=")
        if not (path.startswith("/") and equals):
            raise WrongUse(f"--route {each!r:.80}: write it as /path=scope,scope, or /path= for a token of any scope")
        if path in routes:
            raise WrongUse(f"--route {path} is there twice; name all its scopes in one, by comma")
        routes[path] = frozenset(filter(None, scopes.split(",")))
    return routes


def _introspection(client_id: str | None, certificate: Path | None, key: Path | None) -> "Introspection | None":
    if client_id is None and certificate is None and key is None:
        return None
    if client_id is None or certificate is None or key is None:
        raise WrongUse("--introspect-as, --introspect-cert and --introspect-key go together; give all three")
    from certbound.resource import Introspection

    return Introspection(client_id=client_id, certificate=certificate, key=key)


_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
