"""`certbound cert`: what certificates say, which clients they would match, and which end soon.

Rule 1: nothing is verified here and nothing is changed; a store that is not there is not made.
Rule 2: a private key is never printed, and its presence is told.
"""

import asyncio
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from certbound.cli._certificates import MOST, certificates_in, has_private_key, option, read_bytes
from certbound.cli._commands import group
from certbound.cli._deployment import ConfigFile, load_settings
from certbound.cli._output import date, note, say, say_json, say_table
from certbound.core.candidates import Candidate, matching
from certbound.core.certificate import Certificate, read_certificate
from certbound.core.errors import BadCertificate, CertboundError, ConfigurationError

if TYPE_CHECKING:
    from certbound.core.clients import Client
    from certbound.server.expiry import Ending

app = group("Look into certificates, and see which end soon.")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def inspect(
    source: Annotated[
        str, typer.Argument(metavar="FILE|URL|-", help="PEM or DER; an https URL asks the server; - is standard input.")
    ],
    json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Show what certificates say, what they can be registered as, and which registered clients they would match.

    Nothing is verified: who signed a certificate, and whether a server may have its name, is not asked here.

    Example: certbound cert inspect billing.pem

    Example, for what a server sends: certbound cert inspect https://as.example

    Example, for machines: certbound cert inspect billing.pem --json
    """
    found = _read(source)
    clients, why = asyncio.run(_clients(config))
    now = time.time()
    shown = [_facts(der, clients, now) for der in found.certificates]
    if found.has_private_key:
        note(f"{source} HOLDS A PRIVATE KEY; it is not shown, but whoever has that file can be the client")
    if json:
        say_json({
            "source": source,
            "sent_by_server": found.is_sent,
            "has_private_key": found.has_private_key,
            "certificates": shown,
            "clients_unknown_because": why or None,
        })  # fmt: skip
    else:
        _say(source, found, shown, why)
    if any("error" in each for each in shown):
        raise typer.Exit(1)


@app.command()
def expiring(
    days: Annotated[int, typer.Option("--days", min=0, max=36500, help="How far to look ahead.")] = 30,
    json: Json = False,
    config: ConfigFile = None,
) -> None:
    """List what ends soon: registered certificates, anchors, the server's own certificates, CRL files.

    The exit status is 1 if anything ends within --days, so that cron can tell.  A registered certificate that
    another one of the same client outlasts is listed and does not count; what clients publish as jwks_uri is their
    own business and is not looked at.

    Example: certbound cert expiring --days 14
    """
    from certbound.cli._endings import endings

    found, unread = asyncio.run(endings(load_settings(config)))
    now = time.time()
    soon = sorted((each for each in found if each.is_soon(now, days)), key=lambda each: each.ends)
    if json:
        say_json([each.as_json(now) for each in soon])
    elif soon:
        say_table([
            ("ENDS", "IN DAYS", "WHAT", "x5t#S256"),
            *((date(each.ends), str(each.days_left(now)), _title(each), each.thumbprint) for each in soon),
        ])  # fmt: skip
    else:
        say(f"nothing ends within {days} day{'' if days == 1 else 's'}")
    if unread:
        note(f"not looked at: {', '.join(unread)}")
    if any(not each.is_outlasted for each in soon):
        raise typer.Exit(1)


def _title(ending: "Ending") -> str:
    return f"{ending.title} (another one outlasts it)" if ending.is_outlasted else ending.title


@dataclass(frozen=True, slots=True)
class _Found:
    """What was read: certificates as DER."""

    certificates: Sequence[bytes]
    is_sent: bool = False
    has_private_key: bool = False


def _read(source: str) -> _Found:
    if source.lower().startswith("https://"):
        from certbound.cli._remote import endpoint_of, sent_certificates

        host, port = endpoint_of(source)
        note(f"asking {host}:{port} for its certificates; nothing is verified")
        return _Found(sent_certificates(host, port), is_sent=True)
    content = _standard_input() if source == "-" else read_bytes(Path(source))
    key = has_private_key(content)
    where = "standard input" if source == "-" else source
    return _Found(certificates_in(content, where), has_private_key=key)


def _standard_input() -> bytes:
    content = sys.stdin.buffer.read(MOST + 1)
    if len(content) > MOST:
        raise ConfigurationError(f"standard input has more than {MOST} bytes; that is no file of certificates")
    return content


def _facts(der: bytes, clients: "Sequence[Client] | None", now: float) -> dict[str, Any]:
    from certbound.cli._inspection import facts

    try:
        certificate = read_certificate(der)
    except BadCertificate as error:
        return {"error": str(error)}
    return {**facts(certificate, now), "clients": None if clients is None else _matches(certificate, clients)}


def _matches(certificate: Certificate, clients: "Sequence[Client]") -> list[dict[str, Any]]:
    return [
        {"client_id": client.client_id, "by": by, "enabled": client.enabled}
        for client, by in matching(certificate, clients)
    ]


def _say(source: str, found: _Found, shown: Sequence[dict[str, Any]], why: str) -> None:
    from certbound.cli._inspection import matches, rows

    sent = "sent by " if found.is_sent else ""
    for position, each in enumerate(shown, 1):
        say(f"certificate {position} of {len(shown)}, {sent}{source}")
        if "error" in each:
            say(f"  cannot be used: {each['error']}", "")
            continue
        say_table(rows(each), indent="  ")
        if each["is_authority"] and position > 1:
            say("")
            continue
        _say_candidates(source, each)
        if each["clients"] is not None:
            say("registered clients it matches:", *(f"  {line}" for line in matches(each["clients"]) or ["none"]))
        say("")
    if why:
        note(f"registered clients were not asked: {why}")


def _say_candidates(source: str, each: dict[str, Any]) -> None:
    say("a client with it can be registered by one of:")
    for found in each["candidates"]:
        candidate = Candidate(**found)
        say(f"  (not {option(candidate)}: {candidate.problem})" if candidate.problem else f"  {option(candidate)}")
    file = "FILE" if source == "-" or source.lower().startswith("https://") else shlex.quote(source)
    say(f"  --self-signed {file}")


async def _clients(config: Path | None) -> "tuple[list[Client] | None, str]":
    """The registered clients that can be read; None, and why, where there is no store to ask."""
    from certbound.server.directory import readable

    try:
        settings = load_settings(config)
    except ConfigurationError as error:
        if config is not None:
            raise
        return None, str(error)
    try:
        from certbound import app as composition
        from certbound.cli.config import hidden_password
        from certbound.stores import pending

        if await pending(settings.store.url):
            return None, f"there is no store at {hidden_password(settings.store.url)} yet, or an older one"
        async with composition.opened_store(settings) as store:
            records = await store.clients.list()
    except (CertboundError, ModuleNotFoundError) as error:
        return None, str(error)
    return [client for client in map(readable, records) if client is not None], ""
