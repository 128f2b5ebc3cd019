"""`certbound token`: obtain an access token and show what it says."""

import json
import sys
import time
from base64 import urlsafe_b64decode
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from certbound.cli._asking import read_text
from certbound.cli._caller_options import Ca, Cert, ClientId, Given, Issuer, Key, PasswordFile, Scope
from certbound.cli._commands import ARGUMENT, WrongUse
from certbound.cli._output import date, say
from certbound.core.confirmation import NotConfirmed, read_confirmation
from certbound.core.errors import ConfigurationError

if TYPE_CHECKING:
    import httpx

    from certbound.client import ServerMetadata


def token(
    issuer: Issuer = None,
    client_id: ClientId = None,
    cert: Cert = None,
    key: Key = None,
    password_file: PasswordFile = None,
    ca: Ca = None,
    scope: Scope = None,
    resource: Annotated[
        list[str] | None, typer.Option(metavar="URL", help="The API it is for; may be given several times.")
    ] = None,
    exchange: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Exchange the token in FILE, - for standard input, that somebody called with."
        ),
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw/--decode", help="Print the token and nothing else, or show what it says.")
    ] = False,
    inspect: Annotated[
        bool, typer.Option("--inspect", help="Ask the server too what it says of the token (RFC 7662).")
    ] = False,
) -> None:
    """Obtain an access token over mutual TLS, and show what it says.

    With --cert it is the client's own (client_credentials); without, that of your login (certbound login).

    Example: certbound token --issuer https://as.example --client-id billing --cert billing.pem --key billing.key
    """
    from certbound.cli._caller import caller_of
    from certbound.client import fetch_metadata

    if raw and inspect:
        raise WrongUse("--raw prints the token alone; leave --inspect out")
    given = Given(issuer=issuer, client_id=client_id, cert=cert, key=key, password_file=password_file, ca=ca)
    caller = caller_of(given)
    subject = None if exchange is None else _read_token(exchange)
    with caller.open() as http:
        if subject is None:
            obtained = caller.token(http, scope=scope, resources=resource or ())
        else:
            obtained = caller.exchange(http, subject, scope=scope, resources=resource or ())
        if raw:
            say(obtained.access_token)
            return
        server = fetch_metadata(http, caller.issuer)
        endpoint = server.endpoint("token_endpoint", mutual_tls=True)
        say(f"Token from {endpoint}", f"  scope       {obtained.scope or scope or '(the server did not say)'}")
        for line in describe(obtained.access_token, caller.identity.thumbprint, time.time()):
            say(f"  {line}" if line else "")
        if inspect:
            said = _introspected(http, server, caller.client_id, obtained.access_token)
            say("", "  what the server says", *(f"  {line}" for line in said))


def _introspected(http: "httpx.Client", server: "ServerMetadata", client_id: str, access_token: str) -> list[str]:
    """What the server says, in lines.  `ClientError` if it says nothing; the token is none the worse for that."""
    from certbound.client import ClientError, Credential, Refused, drive, flow

    if not server.offers("introspection_endpoint"):
        raise ClientError(f"{server.issuer} offers no introspection (RFC 7662), so it was not asked; the token is good")
    try:
        said = drive(http, flow.introspect(server, Credential(client_id), access_token))
    except Refused as refused:
        trace = f"; its log knows this as request {refused.request_id}" if refused.request_id else ""
        raise ClientError(
            f"{refused.endpoint} says nothing about tokens to {client_id}: {refused.status} {refused.error}; the token "
            "is good all the same; introspection is for clients that prove who they are, and may be for APIs alone"
            f"{trace}"
        ) from refused
    hint = [] if said["active"] else ["  so it is over, or the server tells this client nothing about it"]
    return [*_json(dict(said)), *hint]


def describe(access_token: str, thumbprint: str, now: float) -> list[str]:
    """What a token says, in lines; `thumbprint` is that of the certificate it was asked for with.

    The signature is not checked: a client has no need to, and must not act on what it reads here.
    """
    parts = decode(access_token)
    if parts is None:
        return ["the token is opaque: only the server and its APIs can say what it means"]
    header, claims = parts
    return [
        *(f"{name:<11} {date(claims[claim])}, {_in_words(claims[claim] - now)}"
          for claim, name in (("iat", "issued"), ("exp", "expires")) if _is_number(claims.get(claim))),
        f"{'binding':<11} {_binding(claims, thumbprint)}",
        "",
        "header",
        *_json(header),
        "claims",
        *_json(claims),
    ]  # fmt: skip


def decode(access_token: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Header and claims of a JWT, unverified; None for a token that is none."""
    try:
        header, claims, _ = access_token.split(".")
        parts = [json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in (header, claims)]
    except (ValueError, RecursionError):
        return None
    return (parts[0], parts[1]) if all(isinstance(part, dict) for part in parts) else None


def _read_token(file: Path) -> str:
    """Never an argument, which everybody on the machine could read."""
    found = (sys.stdin.read() if str(file) == "-" else read_text(file, "--exchange")).strip()
    if not found:
        raise ConfigurationError("--exchange: there is no token; put one into the file, or on standard input with -")
    return found


def _binding(claims: dict[str, Any], thumbprint: str) -> str:
    if "cnf" not in claims:
        return "NONE: there is no cnf, so whoever holds this token can use it"
    try:
        bound_to = read_confirmation(claims["cnf"])
    except NotConfirmed as error:
        return f"UNKNOWN: {error}"
    if bound_to != thumbprint:
        return f"ANOTHER certificate, {bound_to}; the one just used is {thumbprint}"
    return "to the certificate just used: cnf holds its SHA-256 thumbprint"


def _json(document: dict[str, Any]) -> list[str]:
    # In ASCII, so that nothing in it can be run by a terminal.
    return [f"  {line}" for line in json.dumps(document, indent=2).splitlines()]


def _in_words(seconds: float) -> str:
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        if round(abs(seconds)) >= size:
            count = round(abs(seconds) / size)
            words = f"{count} {unit}{'s' if count > 1 else ''}"
            return f"in {words}" if seconds > 0 else f"{words} ago"
    return "now"


def _is_number(value: Any) -> bool:
    # 253402300799 is the end of the year 9999, and of what a date can say.
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 253_402_300_799


INSTEAD = {
    ARGUMENT: "{!r} is no option of it: an issuer is given as --issuer URL, an API as --resource URL",
    "--url": "an issuer is given as --issuer URL, an API as --resource URL",
    "--password": "a password is read from a file, where no other process sees it: --password-file FILE",
    "--cacert": "write --ca FILE",
}
"""What people write in vain, and what to do instead."""
