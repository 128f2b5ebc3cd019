"""`certbound token`: obtain an access token and show what it says."""

import json
import time
from base64 import urlsafe_b64decode
from pathlib import Path
from typing import Annotated, Any

import typer

from certbound.cli._output import date, say
from certbound.core.confirmation import NotConfirmed, read_confirmation


def token(
    issuer: Annotated[str, typer.Option(metavar="URL", help="The issuer URL of the authorization server.")],
    client_id: Annotated[str, typer.Option(metavar="ID", help="Who asks.")],
    cert: Annotated[Path, typer.Option(metavar="PEM", help="The client's certificate, then its issuers.")],
    key: Annotated[Path, typer.Option(metavar="PEM", help="Its private key, not encrypted.")],
    ca: Annotated[
        Path | None, typer.Option(metavar="PEM", help="Who vouches for the server; the system's roots if absent.")
    ] = None,
    scope: Annotated[str | None, typer.Option(help="Scopes, one space between; all the client may have if absent.")] = (
        None
    ),
    resource: Annotated[
        list[str] | None, typer.Option(metavar="URL", help="The API it is for; may be given several times.")
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw/--decode", help="Print the token and nothing else, or show what it says.")
    ] = False,
) -> None:
    """Obtain an access token by client_credentials over mutual TLS, and show what it says.

    Example: certbound token --issuer https://as.example --client-id billing --cert billing.pem --key billing.key
    """
    from certbound.client import Identity, IdentityUnusable, fetch_metadata, open_client, request_token

    try:
        identity = Identity.load(cert, key)
    except IdentityUnusable:
        if cert.is_file():
            from certbound.cli._certificates import read_chain

            read_chain(cert)  # if it is the certificate that cannot be used, this says why, and which file
        raise
    with open_client(identity, ca=ca) as client:
        server = fetch_metadata(client, issuer)
        obtained = request_token(client, server, client_id, scope=scope, resources=resource or ())
    if raw:
        say(obtained.access_token)
        return
    endpoint = server.endpoint("token_endpoint", mutual_tls=True)
    say(f"Token from {endpoint}", f"  scope       {obtained.scope or scope or '(the server did not say)'}")
    for line in describe(obtained.access_token, identity.thumbprint, time.time()):
        say(f"  {line}" if line else "")


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
