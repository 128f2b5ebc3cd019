"""The options of `certbound guard`, and what those say that are read together."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from certbound.cli._commands import WrongUse

if TYPE_CHECKING:
    from certbound.resource import Introspection

Resource = Annotated[str, typer.Argument(help="The API's identifier, which tokens are for.", metavar="RESOURCE")]
Issuers = Annotated[
    list[str],
    typer.Option("--issuer", help="Whose tokens are accepted: the issuer's URL; may be repeated.", metavar="URL"),
]
PathHeader = Annotated[
    str | None,
    typer.Option(
        help="Where the proxy says the original path; x-original-uri, or x-forwarded-uri of Traefik.", metavar="NAME"
    ),
]
MethodHeader = Annotated[
    str | None,
    typer.Option(
        help="Where it says the original method, if a route names one; x-original-method, or x-forwarded-method of "
        "Traefik.",
        metavar="NAME",
    ),
]
NeededScopes = Annotated[
    list[str] | None,
    typer.Option("--scope", help="A scope that every request needs; may be repeated.", metavar="SCOPE"),
]
GivenRoutes = Annotated[
    list[str] | None,
    typer.Option(
        "--route",
        help="A path and the scopes that it and all below it need, by comma; 'GET /path=scope' for one method; may be "
        "repeated. With any, what none names is refused: a path below none, and a method that the longest one does "
        "not name.",
        metavar="[METHOD ]PATH=SCOPES",
    ),
]
Unbound = Annotated[bool, typer.Option("--unbound", help="Accept tokens that are bound to no certificate as well.")]
RequireStatus = Annotated[
    bool, typer.Option("--require-status", help="Refuse tokens that do not say where their revocation stands.")
]
IssuerCa = Annotated[
    Path | None,
    typer.Option(help="PEM file of the CAs that vouch for issuers; the system's if absent.", metavar="FILE"),
]
IntrospectAs = Annotated[
    str | None, typer.Option(help="Ask the issuer about opaque tokens, as this client.", metavar="CLIENT_ID")
]
IntrospectCert = Annotated[Path | None, typer.Option(help="The certificate of that client, PEM.", metavar="FILE")]
IntrospectKey = Annotated[Path | None, typer.Option(help="Its private key, PEM.", metavar="FILE")]
AdminPort = Annotated[
    int | None, typer.Option(help="Port of /healthz, on loopback; 0 takes a free one.", min=0, max=65535)
]


def routes_of(given: Sequence[str]) -> dict[str, frozenset[str]]:
    """By path, or by method and path."""
    routes: dict[str, frozenset[str]] = {}
    for each in given:
        route, equals, scopes = each.partition("=")
        if not (route.rpartition(" ")[2].startswith("/") and equals):
            raise WrongUse(
                f"--route {each!r:.80}: write it as /path=scope,scope or 'GET /path=scope', or /path= for a token of "
                "any scope"
            )
        if route in routes:
            raise WrongUse(f"--route {route} is there twice; name all its scopes in one, by comma")
        routes[route] = frozenset(filter(None, scopes.split(",")))
    return routes


def introspection_of(client_id: str | None, certificate: Path | None, key: Path | None) -> "Introspection | None":
    """How the issuer is asked; None if it is not."""
    if client_id is None and certificate is None and key is None:
        return None
    if client_id is None or certificate is None or key is None:
        raise WrongUse("--introspect-as, --introspect-cert and --introspect-key go together; give all three")
    from certbound.resource import Introspection

    return Introspection(client_id=client_id, certificate=certificate, key=key)
