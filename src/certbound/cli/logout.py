"""`certbound logout`: end a login, at the server and here (RFC 7009)."""

from typing import Annotated

import typer

from certbound.cli._output import note, say


def logout(
    issuer: Annotated[
        str | None, typer.Argument(metavar="ISSUER", help="Where you logged in; not needed if it is one place.")
    ] = None,
    keep_certificate: Annotated[
        bool, typer.Option("--keep-certificate", help="The next login uses the same one, say since it is registered.")
    ] = False,
    forget: Annotated[
        bool, typer.Option("--forget", help="Remove what is kept here, even if the server cannot be told.")
    ] = False,
) -> None:
    """End a login: its tokens are revoked at the server, and removed here with the certificate.

    Example: certbound logout https://as.example
    """
    from certbound.cli import _logging_in
    from certbound.cli._caller import by_login
    from certbound.cli._kept_identity import kept_at, the_login
    from certbound.client import ClientError, fetch_metadata
    from certbound.core.errors import CertboundError

    kept = kept_at(issuer := the_login(issuer).issuer)
    with kept.locked():
        login = the_login(issuer)
        try:
            caller = by_login(login)
            with caller.open() as http:
                if not _logging_in.end(http, fetch_metadata(http, issuer), login):
                    note("this server takes no revocations: whoever had the tokens could use them until they end")
        except CertboundError as error:
            if not forget:
                raise ClientError(f"{error}; nothing was removed; --forget removes it all the same") from error
            note(f"the server was not told: {error}")
        kept.remove(certificate=not keep_certificate)
    say(f"Logged out at {issuer}")
