"""`certbound whoami`: who is logged in, with which certificate, and until when."""

from typing import Annotated

import typer

from certbound.cli._output import date, say, say_json


def whoami(
    issuer: Annotated[
        str | None, typer.Argument(metavar="ISSUER", help="Where you logged in; not needed if it is one place.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say who you are logged in as: what the issuer says of you, your certificate, and until when all of it lasts.

    Example: certbound whoami https://as.example
    """
    from certbound.cli import _logging_in
    from certbound.cli._caller import by_login
    from certbound.cli._kept_identity import kept_at, the_login
    from certbound.client import fetch_metadata

    login = the_login(issuer)
    caller = by_login(login)
    with caller.open() as http:
        server = fetch_metadata(http, login.issuer)
        said = _logging_in.ask_who(http, server, login, caller.token(http))
        if said.is_refused:  # a token that was kept, and taken back since; another one, or the login is over
            said = _logging_in.ask_who(http, server, login, caller.token(http, fresh=True))
    login = the_login(login.issuer)  # what a refresh brought is in it
    ends = max((each.ends_at for each in login.tokens), default=0)
    if as_json:
        say_json({
            "issuer": login.issuer, "client_id": login.client_id, "scope": login.scope, "person": dict(said.claims),
            "said_by": said.source, "certificate": {
                "x5t#S256": caller.identity.thumbprint, "not_after": int(caller.identity.certificate.not_after),
                "file": str(kept_at(login.issuer).certificate),
            }, "token_ends_at": int(ends),
        })  # fmt: skip
        return
    say(*_logging_in.lines_of(login, caller.identity, kept_at(login.issuer), person=said.claims))
    say(f"  {'token':<11} until {date(ends)}", f"  {'said by':<11} {said.source}")
