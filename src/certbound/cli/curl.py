"""`certbound curl`: one request to an API, with a token that is bound to the certificate of the connection."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from certbound.cli._caller_options import Ca, Cert, ClientId, Given, Issuer, Key, PasswordFile, Scope
from certbound.cli._commands import WrongUse


def curl(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where the request goes; https.")],
    method: Annotated[
        str | None, typer.Option("-X", "--request", metavar="METHOD", help="GET, or POST with data.")
    ] = None,
    header: Annotated[
        list[str] | None, typer.Option("-H", "--header", metavar="LINE", help="'Name: value'; may be repeated.")
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option("-d", "--data", help="A form, or what is in @FILE, @- is standard input; & joins several."),
    ] = None,
    json: Annotated[str | None, typer.Option("--json", metavar="DATA", help="JSON; or what is in @FILE.")] = None,
    head: Annotated[bool, typer.Option("-I", "--head", help="Ask for the headers only, and print them.")] = False,
    include: Annotated[bool, typer.Option("-i", "--include", help="Print the headers of the answer too.")] = False,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Tell on standard error what goes and comes.")
    ] = False,
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write it to FILE.")] = None,
    fail: Annotated[
        bool, typer.Option("-f", "--fail", help="Print no error page; 400 and above exit with 22.")
    ] = False,
    issuer: Issuer = None,
    client_id: ClientId = None,
    cert: Cert = None,
    key: Key = None,
    password_file: PasswordFile = None,
    ca: Ca = None,
    scope: Scope = None,
    resource: Annotated[
        str | None, typer.Option(metavar="URL", help="The API's name (RFC 8707), if it is not what it says itself.")
    ] = None,
    allow_unbound_api: Annotated[
        bool, typer.Option("--allow-unbound-api", help="Send a token though the API does not say it enforces binding.")
    ] = False,
) -> None:
    """Send a request to an API with a token bound to your certificate, and print what it answers, as curl would.

    The API is asked first what it is (RFC 9728): whose tokens it takes, and whether it looks at certificates at all.
    Without --cert the token is that of your login (certbound login).  No redirect is followed.

    Example: certbound curl https://api.example/invoices -H "Accept: application/json"
    """
    from certbound.cli._api import calling
    from certbound.cli._exchange import Shown, read_request, send

    given = Given(issuer=issuer, client_id=client_id, cert=cert, key=key, password_file=password_file, ca=ca)
    if data and json is not None:
        raise WrongUse("give --data or --json, not both")
    request = read_request(url, method=method, headers=header or (), data=data or (), json=json, head=head)
    how = Shown(headers=include or head, verbose=verbose, output=output, fail=fail)
    with calling(given, request.url, resource=resource, allow_unbound=allow_unbound_api) as (http, caller, named):
        status = send(http, caller, request, how, scope=scope, resources=named)
    if fail and status >= 400:
        sys.stderr.write(f"certbound: the API answered {status}\n")
        raise typer.Exit(22)
