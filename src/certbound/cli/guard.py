"""`certbound guard`: beside a proxy, for an API in any language: may this request pass, and who calls?"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from certbound.cli._commands import WrongUse
from certbound.cli._guard_options import (
    AdminPort,
    GivenRoutes,
    IntrospectAs,
    IntrospectCert,
    IntrospectKey,
    IssuerCa,
    Issuers,
    MethodHeader,
    NeededScopes,
    PathHeader,
    RequireStatus,
    Resource,
    Unbound,
    introspection_of,
    routes_of,
)
from certbound.cli._output import say
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

if TYPE_CHECKING:
    from certbound.resource import Introspection, TrustedIssuer
    from certbound.tls import AnyPort, ASGIApplication


def guard(
    resource: Resource,
    issuer: Issuers,
    behind: Behind = None,
    proxy_secret_file: SecretFile = None,
    proxy_network: Network = None,
    proxy_header: Renamed = None,
    path_header: PathHeader = None,
    method_header: MethodHeader = None,
    scope: NeededScopes = None,
    route: GivenRoutes = None,
    unbound: Unbound = False,
    require_status: RequireStatus = False,
    issuer_ca: IssuerCa = None,
    introspect_as: IntrospectAs = None,
    introspect_cert: IntrospectCert = None,
    introspect_key: IntrospectKey = None,
    host: Host = "127.0.0.1",
    port: ListenPort = 8090,
    socket: Socket = None,
    plaintext: Plaintext = False,
    admin_port: AdminPort = None,
    workers: Workers = 1,
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
    routes = routes_of(route) if route else None
    introspection = introspection_of(introspect_as, introspect_cert, introspect_key)
    from certbound.resource import ProtectedResource
    from certbound.resource.forward_auth import METHOD_HEADER, METHOD_HEADERS, PATH_HEADER, PATH_HEADERS, ForwardAuth
    from certbound.tls import serve

    def make_ports() -> Sequence["AnyPort"]:
        issuers = _issuers(issuer, issuer_ca, introspection, require_status=require_status)
        api = ProtectedResource(resource, issuer=issuers, scopes=frozenset(scope or ()), require_bound=not unbound)
        asked = ForwardAuth(
            api, routes=routes, path_header=path_header or PATH_HEADERS.get(contract, PATH_HEADER),
            method_header=method_header or METHOD_HEADERS.get(contract, METHOD_HEADER),
        )  # fmt: skip
        app = forwarded(
            asked, contract, secret_files=proxy_secret_file or (), networks=proxy_network or (),
            headers=proxy_header or (), socket=socket,
        )  # fmt: skip
        return _ports(app, host, port, socket, admin_port)

    def announce(addresses: list[tuple[str, int]]) -> None:
        reach = "every path and method alike" if routes is None else "what no --route names is closed"
        say(f"guards {resource} on {announced(*addresses[0])} ({reach}); stop it with Ctrl-C")
        if admin_port is not None:
            say(f"health on {announced(*addresses[1])}healthz")

    serve(make_ports, workers=workers, on_ready=announce)


def _issuers(
    urls: Sequence[str], ca: Path | None, introspection: "Introspection | None", *, require_status: bool
) -> "list[TrustedIssuer]":
    """The first is the one that is asked about tokens, if any is."""
    from certbound.resource import TrustedIssuer

    return [
        TrustedIssuer(
            each, ca=str(ca) if ca else None, require_status=require_status,
            introspection=introspection if each == urls[0] else None,
        )
        for each in urls
    ]  # fmt: skip


def _ports(app: "ASGIApplication", host: str, port: int, socket: Path | None, admin: int | None) -> "list[AnyPort]":
    from certbound.resource.forward_auth import health
    from certbound.tls import PlainPort

    ports: list[AnyPort] = [PlainPort(host=host, port=port, path=socket, app=app)]
    if admin is not None:
        ports.append(PlainPort(host="127.0.0.1", port=admin, app=health, names=_LOOPBACK))
    return ports


_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
