"""`certbound login`: let this machine act for the person at an issuer (RFC 8252, RFC 8628)."""

import time
from pathlib import Path
from typing import Annotated

import typer

from certbound.cli._commands import WrongUse
from certbound.cli._output import note, say


def login(
    issuer: Annotated[str, typer.Argument(metavar="ISSUER", help="The issuer URL of the authorization server.")],
    client_id: Annotated[str, typer.Option(metavar="ID", help="As which client; http://127.0.0.1/ leads back to it.")],
    scope: Annotated[
        str | None, typer.Option(help="Scopes, one space between; openid says who you are. All there are if absent.")
    ] = None,
    resource: Annotated[
        list[str] | None, typer.Option(metavar="URL", help="An API that you will call; may be given several times.")
    ] = None,
    ca: Annotated[
        Path | None, typer.Option(metavar="PEM", help="Who vouches for the servers; kept with the login.")
    ] = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the browser, or print the link for it.")
    ] = True,
    device: Annotated[
        bool, typer.Option("--device", help="Print a code to type elsewhere: there is no browser on this machine.")
    ] = False,
    prepare: Annotated[
        bool, typer.Option("--prepare", help="Only make the certificate, and say how to register it.")
    ] = False,
    redirect_path: Annotated[
        str, typer.Option(metavar="PATH", help="Where http://127.0.0.1 is come back to, as registered.")
    ] = "/",
    wait: Annotated[float, typer.Option(min=1, max=3600, help="Seconds to wait for the browser.")] = 300,
) -> None:
    """Log in at ISSUER through the browser; certbound token, curl and whoami then act for you.

    A certificate is made on first use, one for each issuer, with no name of yours in it.  What is obtained is bound to
    it, and lies in your own folder, readable by you alone.

    Example: certbound login https://as.example --client-id app --scope "openid read"
    """
    from certbound.cli import _logging_in
    from certbound.cli._caller import keep_token, require_bound
    from certbound.cli._kept_identity import Login, kept_at
    from certbound.client import ClientError, Credential, Refused, fetch_metadata, open_client

    if not redirect_path.startswith("/"):
        raise WrongUse("--redirect-path begins with /")
    kept = kept_at(issuer)
    with kept.locked():
        identity, before = kept.lasting_identity(), kept.find_login()
    to_register = _logging_in.registration(kept, client_id, redirect_path, device=device)
    if prepare:
        say(f"The certificate for {issuer} is {kept.certificate}", "", "# to register it there", to_register)
        return
    wanted = _logging_in.Wanted(Credential(client_id), scope, tuple(resource or ()))
    with open_client(identity, ca=ca, minimum_tls="1.3") as http:
        server, begun = fetch_metadata(http, issuer), time.time()
        try:
            token, person = (
                _logging_in.by_device(http, server, wanted)
                if device
                else _logging_in.by_browser(http, server, wanted, path=redirect_path, seconds=wait, opens=browser)
            )
        except Refused as refused:
            if refused.error not in _UNREGISTERED:
                raise
            raise ClientError(f"{refused}; to register this machine: {to_register}") from refused
        require_bound(issuer, token, identity)
        made = Login(
            issuer=issuer, client_id=client_id, thumbprint=identity.thumbprint, ca=str(ca.resolve()) if ca else None,
            scope=token.scope or scope, resources=wanted.resources, person=person,
        )  # fmt: skip
        made = keep_token(made, token, scope=None, resources=(), now=begun)
        with kept.locked():
            kept.keep(made)
        if before is not None:
            try:
                _logging_in.end(http, server, before)
            except ClientError as error:
                note(f"the login of before could not be ended at the server: {error}")
        said = _logging_in.ask_who(http, server, made, token)
    say(*_logging_in.lines_of(made, identity, kept, person=said.claims))


_UNREGISTERED = {"invalid_client", "unauthorized_client"}
