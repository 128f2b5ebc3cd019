"""`certbound revoke`: what is compromised counts no more, and nor do the tokens it obtained.

Rule: it asks nothing and changes everything at once; `--dry-run` is the question.
"""

import asyncio
import re
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from cryptography import x509

from certbound.cli._actor import actor
from certbound.cli._certificates import read_file
from certbound.cli._commands import WrongUse
from certbound.cli._deployment import ConfigFile, load_settings
from certbound.cli._output import date, note, say, say_json, say_table
from certbound.cli.config import hidden_password
from certbound.core.certificate import Certificate
from certbound.core.errors import BadCertificate, ConfigurationError
from certbound.core.ports import RevokedKind

if TYPE_CHECKING:
    from certbound.server.revocation import Impact, Revoker


def revoke(
    thumbprint: Annotated[
        str | None,
        typer.Option("--thumbprint", metavar="X", help="A certificate: its x5t#S256, its SHA-256 in hex, or a file."),
    ] = None,
    client: Annotated[
        str | None, typer.Option("--client", metavar="ID", help="A client, whatever certificates it has.")
    ] = None,
    anchor: Annotated[
        str | None,
        typer.Option(
            "--anchor",
            metavar="KEY",
            help="An authority and all it certified: SHA-256 of its SubjectPublicKeyInfo, base64url or hex, or a file "
            "with its certificate.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say whose tokens would end.")] = False,
    lift: Annotated[
        bool, typer.Option("--lift", help="Take a revocation back; tokens that it ended stay ended.")
    ] = False,
    list_: Annotated[bool, typer.Option("--list", help="Show what is revoked, and since when.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    config: ConfigFile = None,
) -> None:
    """Take a certificate, a client or an authority out of use at once, with all tokens it obtained.

    Authentication is refused within a second.  APIs behind certbound's guard refuse the tokens within six, those that
    do not ask for the status list when the tokens expire.  A revocation outlives restarts and needs no server running.

    Example: certbound revoke --thumbprint stolen.pem

    Example: certbound revoke --client billing --dry-run
    """
    given = {
        kind: value
        for kind, value in zip(
            (RevokedKind.CERTIFICATE, RevokedKind.CLIENT, RevokedKind.AUTHORITY),
            (thumbprint, client, anchor),
            strict=True,
        )
        if value is not None
    }
    if list_ + len(given) != 1 or (list_ and (lift or dry_run)):
        raise WrongUse("give one of --thumbprint, --client and --anchor; or --list alone")
    if lift and dry_run:
        raise WrongUse("give --lift or --dry-run, not both")
    if list_:
        asyncio.run(_list(config, json=json))
        return
    [(kind, value)] = given.items()
    value = _read(kind, value)
    if lift:
        asyncio.run(_lift(config, kind, value, json=json))
    else:
        asyncio.run(_revoke(config, kind, value, dry_run=dry_run, json=json))


async def _list(config: Path | None, *, json: bool) -> None:
    async with _revoker(config) as revoker:
        records = await revoker.list()
    if json:
        say_json([{"kind": each.kind, "value": each.value, "revoked_at": each.revoked_at} for each in records])
    elif records:
        say_table([("REVOKED", "", "SINCE"), *((each.kind, each.value, date(each.revoked_at)) for each in records)])
    else:
        say("nothing is revoked")


async def _lift(config: Path | None, kind: RevokedKind, value: str, *, json: bool) -> None:
    async with _revoker(config) as revoker:
        await revoker.lift(kind, value)
    if json:
        say_json({"kind": kind, "value": value, "revoked": False})
        return
    say(f"the {kind} {value} is not revoked any more; tokens that were out stay ended")


async def _revoke(config: Path | None, kind: RevokedKind, value: str, *, dry_run: bool, json: bool) -> None:
    async with _revoker(config) as revoker:
        impact = await (revoker.impact(kind, value) if dry_run else revoker.revoke(kind, value))
    if json:
        say_json(_as_json(kind, value, impact, dry_run=dry_run))
        return
    say(f"the {kind} {value} {'would be' if dry_run else 'is'} revoked" + _before(impact))
    if impact.statuses:
        say(f"tokens of these clients {'would end' if dry_run else 'end'}:")
        rows = [(each.client_id, each.thumbprint, date(each.created_at)) for each in impact.statuses]
        say_table([("CLIENT", "CERTIFICATE", "FIRST TOKEN"), *rows], indent="  ")
    else:
        note("no token is out that it would end; should it turn up, it is refused" if dry_run else _NOBODY)
        store = hidden_password(load_settings(config).store.url)  # perhaps not the one that the servers use
        note(f"looked for in the store {store}")


def _before(impact: "Impact") -> str:
    return "" if impact.since is None else f"; it was already, since {date(impact.since)}"


def _as_json(kind: RevokedKind, value: str, impact: "Impact", *, dry_run: bool) -> dict[str, Any]:
    return {
        "kind": kind,
        "value": value,
        "revoked": not dry_run,
        "revoked_before": impact.since,
        "clients": impact.clients,
        "ended": [
            {"client_id": each.client_id, "x5t#S256": each.thumbprint, "first_token_at": each.created_at}
            for each in impact.statuses
        ],
    }


def _revoker(config: Path | None) -> "AbstractAsyncContextManager[Revoker]":
    settings = load_settings(config)
    from certbound.app import open_revoker  # half a second that `revoke --help` need not spend

    return open_revoker(settings, actor())


def _read(kind: RevokedKind, text: str) -> str:
    """The value of a revocation.  `ConfigurationError` if it is neither a thumbprint nor a file with a certificate."""
    if kind is RevokedKind.CLIENT:
        return text
    if _BASE64URL.fullmatch(text):
        if text[-1] not in _LAST:
            raise ConfigurationError(f"{text!r} is no SHA-256: its last character is wrong; copy it again")
        return text
    if _HEX.fullmatch(text):
        return urlsafe_b64encode(bytes.fromhex(text.replace(":", ""))).rstrip(b"=").decode("ascii")
    if not Path(text).exists():
        raise ConfigurationError(
            f"{text!r} is no SHA-256 in base64url (43 characters) or hex (64), and no file; "
            "certbound cert inspect FILE shows both"
        )
    certificate = read_file(Path(text))
    if _is_authority(certificate) is not (kind is RevokedKind.AUTHORITY):
        note(_UNUSUAL[kind].format(text))  # who is in a hurry takes one for the other, and ends next to nothing
    return _THUMBPRINTS[kind](certificate)


def _is_authority(certificate: Certificate) -> bool:
    """Whether it says that it certifies others (RFC 5280 section 4.2.1.9)."""
    try:
        return bool(certificate.decoded_extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except (BadCertificate, x509.ExtensionNotFound):
        return False


def _thumbprint(certificate: Certificate) -> str:
    return certificate.thumbprint


def _key_thumbprint(certificate: Certificate) -> str:
    return certificate.key_thumbprint


_THUMBPRINTS: Mapping[RevokedKind, Callable[[Certificate], str]] = {
    RevokedKind.CERTIFICATE: _thumbprint,
    RevokedKind.AUTHORITY: _key_thumbprint,
}
_UNUSUAL: Mapping[RevokedKind, str] = {
    RevokedKind.CERTIFICATE: "{0} is the certificate of an authority; what it certified goes on: for that, "
    "--anchor {0}",
    RevokedKind.AUTHORITY: "{0} is not the certificate of an authority; alone it is --thumbprint {0}",
}
_BASE64URL = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_LAST = frozenset("AEIMQUYcgkosw048")
"""What 43 characters for 32 bytes end with: the last one has four bits."""
_HEX = re.compile(r"[0-9A-Fa-f]{64}|[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){31}", re.ASCII)
_NOBODY = "nobody has obtained a token with it that still lives; it is refused from now on, should it turn up"
