"""`certbound login`: let this machine act for the person at an issuer (RFC 8252, RFC 8628)."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from certbound.cli._commands import WrongUse
from certbound.cli._output import note, say

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

    from certbound.cli._kept_identity import Login
    from certbound.cli._logging_in import Wanted, Way
    from certbound.client import ServerMetadata, Token

Issuer = Annotated[str, typer.Argument(metavar="ISSUER", help="The issuer URL of the authorization server.")]
ClientId = Annotated[str, typer.Option(metavar="ID", help="As which client; http://127.0.0.1/ leads back to it.")]
Scope = Annotated[
    str | None, typer.Option(help="Scopes, one space between; openid says who you are. All there are if absent.")
]
Resource = Annotated[
    list[str] | None, typer.Option(metavar="URL", help="An API that you will call; may be given several times.")
]
Ca = Annotated[
    Path | None,
    typer.Option(metavar="PEM", help="Who vouches for the servers; kept with the login, for the next one too."),
]
OpensBrowser = Annotated[
    bool, typer.Option("--browser/--no-browser", help="Open the browser, or print the link for it.")
]
Device = Annotated[
    bool, typer.Option("--device", help="Print a code to type elsewhere: there is no browser on this machine.")
]
Prepare = Annotated[bool, typer.Option("--prepare", help="Only make the certificate, and say how to register it.")]
RedirectPath = Annotated[
    str, typer.Option(metavar="PATH", help="Where http://127.0.0.1 is come back to, as registered.")
]
Wait = Annotated[float, typer.Option(min=1, max=3600, help="Seconds to wait for the browser.")]


def login(
    issuer: Issuer,
    client_id: ClientId,
    scope: Scope = None,
    resource: Resource = None,
    ca: Ca = None,
    browser: OpensBrowser = True,
    device: Device = False,
    prepare: Prepare = False,
    redirect_path: RedirectPath = "/",
    wait: Wait = 300,
) -> None:
    """Log in at ISSUER through the browser; certbound token, curl and whoami then act for you.

    A certificate is made on first use, one for each issuer, with no name of yours in it.  What is obtained is bound to
    it, and lies in your own folder, readable by you alone.

    Example: certbound login https://as.example --client-id app --scope "openid read"
    """
    from certbound.cli import _logging_in
    from certbound.cli._caller import kept_ca, require_bound
    from certbound.cli._kept_identity import kept_at
    from certbound.client import Credential, fetch_metadata, open_client

    _require_sense(issuer, redirect_path)
    way = _logging_in.Way(device=device, path=redirect_path, seconds=wait, opens=browser)
    kept = kept_at(issuer)
    with kept.locked():
        identity, before = kept.lasting_identity(), kept.find_login()
    to_register = _logging_in.registration(kept, client_id, way)
    if prepare:
        say(f"The certificate for {issuer} is {kept.certificate}", "", "# to register it there", to_register)
        return
    ca = ca or (None if before is None else kept_ca(before))
    wanted = _logging_in.Wanted(Credential(client_id), scope, tuple(resource or ()))
    with open_client(identity, ca=ca, minimum_tls="1.3") as http:
        server, begun = fetch_metadata(http, issuer), time.time()
        token, person = _ask(http, server, wanted, way, to_register)
        require_bound(issuer, token, identity)
        made = _logging_in.made_of(token, wanted, person, issuer=issuer, identity=identity, ca=ca, begun=begun)
        with kept.locked():
            kept.keep(made)
        if before is not None:
            _end(http, server, before)
        said = _logging_in.ask_who(http, server, made, token)
    say(*_logging_in.lines_of(made, identity, kept, person=said.claims))


def _require_sense(issuer: str, redirect_path: str) -> None:
    from certbound.client.flow.message import is_https

    if not is_https(issuer):
        raise WrongUse(f"{issuer!r:.200} is not an https URL; write the issuer as it does, https://HOST")
    if not redirect_path.startswith("/"):
        raise WrongUse("--redirect-path begins with /")


def _ask(
    http: "httpx.Client", server: "ServerMetadata", wanted: "Wanted", way: "Way", to_register: str
) -> "tuple[Token, Mapping[str, Any]]":
    """What the person agreed to; for a client that is not registered so, how it would be."""
    from certbound.cli import _logging_in
    from certbound.client import ClientError, Refused

    try:
        return _logging_in.ask_person(http, server, wanted, way)
    except Refused as refused:
        if refused.error in _UNREGISTERED:
            raise ClientError(f"{refused}; to register this machine: {to_register}") from refused
        if refused.error == "invalid_request" and "redirect" in refused.description.lower():
            registered = f"http://127.0.0.1{way.path} has to be registered for {wanted.credential.client_id}"
            raise ClientError(f"{refused}; {registered}, or say with --redirect-path which path is") from refused
        raise


def _end(http: "httpx.Client", server: "ServerMetadata", before: "Login") -> None:
    """The login of before counts no more; the one that there is now counts all the same."""
    from certbound.cli import _logging_in
    from certbound.client import ClientError

    try:
        _logging_in.end(http, server, before)
    except ClientError as error:
        note(f"the login of before could not be ended at the server: {error}")


_UNREGISTERED = {"invalid_client", "unauthorized_client"}
