"""`certbound curl`: one request to an API, with a token that is bound to the certificate of the connection."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from certbound.cli._caller_options import Ca, Cert, ClientId, Given, Issuer, Key, PasswordFile, Scope
from certbound.cli._commands import WrongUse

Url = Annotated[str, typer.Argument(metavar="URL", help="Where the request goes; https.")]
Method = Annotated[str | None, typer.Option("-X", "--request", metavar="METHOD", help="GET, or POST with data.")]
Header = Annotated[
    list[str] | None, typer.Option("-H", "--header", metavar="LINE", help="'Name: value'; may be repeated.")
]
Data = Annotated[
    list[str] | None,
    typer.Option(
        "-d",
        "--data",
        help="A form, or what is in @FILE without its line breaks, @- is standard input; & joins several.",
    ),
]
Binary = Annotated[
    list[str] | None, typer.Option("--data-binary", metavar="DATA", help="As --data; @FILE goes as it is.")
]
Json = Annotated[str | None, typer.Option("--json", metavar="DATA", help="JSON; or what is in @FILE.")]
Head = Annotated[bool, typer.Option("-I", "--head", help="Ask for the headers only, and print them.")]
Include = Annotated[bool, typer.Option("-i", "--include", help="Print the headers of the answer too.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Tell on standard error what goes and comes.")]
Output = Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write it to FILE.")]
Fail = Annotated[bool, typer.Option("-f", "--fail", help="Print no error page; 400 and above exit with 22.")]
Resource = Annotated[
    str | None, typer.Option(metavar="URL", help="The API's name (RFC 8707), if it is not what it says itself.")
]
AllowUnbound = Annotated[
    bool, typer.Option("--allow-unbound-api", help="Send a token though the API does not say it enforces binding.")
]


def curl(
    url: Url,
    method: Method = None,
    header: Header = None,
    data: Data = None,
    data_binary: Binary = None,
    json: Json = None,
    head: Head = False,
    include: Include = False,
    verbose: Verbose = False,
    output: Output = None,
    fail: Fail = False,
    issuer: Issuer = None,
    client_id: ClientId = None,
    cert: Cert = None,
    key: Key = None,
    password_file: PasswordFile = None,
    ca: Ca = None,
    scope: Scope = None,
    resource: Resource = None,
    allow_unbound_api: AllowUnbound = False,
) -> None:
    """Send a request to an API with a token bound to your certificate, and print what it answers, as curl would.

    The API is asked first what it is (RFC 9728): whose tokens it takes, and whether it looks at certificates at all.
    Without --cert the token is that of your login (certbound login).

    Otherwise than with curl, no redirect is followed whatever you say, ~/.curlrc and proxies are not read, HTTP/1.1 is
    all that is spoken, what would run in a terminal is shown there and not run, and what fails before the API answers
    exits with 1 and says why.

    Example: certbound curl https://api.example/invoices -H "Accept: application/json"
    """
    from certbound.cli._api import calling
    from certbound.cli._exchange import Shown, read_request, send

    given = Given(issuer=issuer, client_id=client_id, cert=cert, key=key, password_file=password_file, ca=ca)
    if sum((bool(data), bool(data_binary), json is not None)) > 1:
        raise WrongUse("give --data, --data-binary or --json, not both")
    request = read_request(
        url, method=method, headers=header or (), data=data or (), binary=data_binary or (), json=json, head=head
    )
    how = Shown(headers=include or head, verbose=verbose, output=output, fail=fail)
    with calling(given, request.url, resource=resource, allow_unbound=allow_unbound_api) as (http, caller, named):
        status = send(http, caller, request, how, scope=scope, resources=named)
    if fail and status >= 400:
        sys.stderr.write(f"certbound: the API answered {status}\n")
        raise typer.Exit(22)


_TRUST = "the server is always checked, since who answers in its place gets the token; --ca FILE names whom to believe"
_REDIRECTS = "no redirect is followed, since a token goes to its API alone; ask for the place that Location names (-i)"
_QUIET = "leave it out: there is no progress to be silent about, and errors are always said"
_FILES = "the client's certificate is --cert FILE, its key --key FILE, whom to believe about servers --ca FILE"
_BOUND = "the token bound to your certificate is what authenticates here, and another would go beside it"
INSTEAD = {
    "-k": _TRUST, "--insecure": _TRUST, "-L": _REDIRECTS, "--location": _REDIRECTS, "--location-trusted": _REDIRECTS,
    "-s": _QUIET, "-S": _QUIET, "--silent": _QUIET, "--show-error": _QUIET,
    "-E": _FILES, "--cacert": _FILES, "--capath": _FILES,
    "--pass": "a password is read from a file, where no other process sees it: --password-file FILE",
    "--password": "a password is read from a file, where no other process sees it: --password-file FILE",
    "-u": _BOUND, "--user": _BOUND, "--oauth2-bearer": _BOUND,
    "-x": "no proxy is used; what is asked has to be reached from here",
    "--proxy": "no proxy is used; what is asked has to be reached from here",
    "-F": "forms with files are not made here; make the body and send it with --data-binary @FILE and -H",
    "--form": "forms with files are not made here; make the body and send it with --data-binary @FILE and -H",
    "--resolve": "names are looked up as always; /etc/hosts changes that",
}  # fmt: skip
"""What works with curl and not here, and what to do instead."""
