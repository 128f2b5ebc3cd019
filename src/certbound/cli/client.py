"""`certbound client`: who may obtain tokens (RFC 7591 metadata, RFC 8705 sections 2.1.2 and 2.2.2).

Rule: these commands go through the use cases the endpoints use; what one refuses the other refuses.
"""

import asyncio
import contextlib
import re
import shlex
import sys
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from certbound.cli._certificates import OPTIONS, key_kind, option, read_chain, read_file
from certbound.cli._commands import WrongUse, group
from certbound.cli._deployment import ConfigFile, load_settings
from certbound.cli._output import date, note, say, say_json, say_table
from certbound.core.anchors import CERTIFICATES, KEYS
from certbound.core.candidates import candidates, remarks
from certbound.core.clients import (
    DN_ORDER,
    IGNORE_VALIDITY,
    PKI_MEMBERS,
    SELF_SIGNED_MEMBERS,
    Client,
    Method,
    read_client,
)
from certbound.core.errors import ConfigurationError, InvalidClientMetadata
from certbound.core.jwks import make_jwks
from certbound.core.names import RdnOrder
from certbound.core.ports import ClientRecord
from certbound.core.subject import SubjectKind
from certbound.settings import Settings

if TYPE_CHECKING:
    from certbound.server.clients import ClientRegistry

app = group("Register, list, show, change and remove clients.")

ClientId = Annotated[str, typer.Argument(metavar="ID", help="The client_id.")]
Name = Annotated[str | None, typer.Option("--name", help="A name for people.")]
SubjectDn = Annotated[str | None, typer.Option("--subject-dn", metavar="DN", help="Subject, as RFC 4514 writes it.")]
SanDns = Annotated[str | None, typer.Option("--san-dns", metavar="NAME", help="DNS name in the certificate.")]
SanUri = Annotated[str | None, typer.Option("--san-uri", metavar="URI", help="URI in the certificate.")]
SanIp = Annotated[str | None, typer.Option("--san-ip", metavar="ADDRESS", help="IP address in the certificate.")]
SanEmail = Annotated[str | None, typer.Option("--san-email", metavar="MAILBOX", help="Mailbox in the certificate.")]
SelfSigned = Annotated[
    list[Path] | None,
    typer.Option("--self-signed", metavar="CERT", help="The certificate itself (PEM); repeat it to overlap two."),
]
JwksUri = Annotated[
    str | None, typer.Option("--jwks-uri", metavar="URL", help="Where it publishes its self-signed certificates.")
]
IgnoreValidity = Annotated[
    bool | None,
    typer.Option(
        "--ignore-validity/--check-validity", help="Whether the dates in its self-signed certificates do not count."
    ),
]
Scope = Annotated[str | None, typer.Option("--scope", metavar='"A B"', help="Scopes it may have; '' for none.")]
Bound = Annotated[
    bool | None, typer.Option("--bound/--no-bound", help="Ask for bound tokens; tokens.bind may bind them anyway.")
]
DnOrder = Annotated[
    RdnOrder | None,
    typer.Option("--dn-order", metavar="ORDER", help="RDN order of --subject-dn: exact, reversed, or any."),
]
AnchorKeys = Annotated[
    list[str] | None,
    typer.Option(
        "--anchor-key", metavar="SHA256", help="Key of a server's anchor; only those named count. Repeatable."
    ),
]
OwnAnchors = Annotated[
    list[Path] | None,
    typer.Option("--anchor", metavar="FILE", help="Its own anchors, instead of the server's. Repeatable."),
]
GrantTypes = Annotated[
    list[str] | None, typer.Option("--grant-type", metavar="TYPE", help="Grants it may use; client_credentials.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def add(
    client_id: Annotated[str | None, typer.Option("--id", metavar="ID", help="The client_id; made if absent.")] = None,
    name: Name = None,
    subject_dn: SubjectDn = None,
    san_dns: SanDns = None,
    san_uri: SanUri = None,
    san_ip: SanIp = None,
    san_email: SanEmail = None,
    dn_order: DnOrder = None,
    anchor_key: AnchorKeys = None,
    anchor: OwnAnchors = None,
    self_signed: SelfSigned = None,
    jwks_uri: JwksUri = None,
    ignore_validity: IgnoreValidity = None,
    from_cert: Annotated[
        Path | None,
        typer.Option(metavar="CERT", help="Only say what this certificate can be registered as."),
    ] = None,
    scope: Scope = None,
    bound: Bound = None,
    grant_type: GrantTypes = None,
    json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Register a client, known by one name in a CA-issued certificate or by self-signed certificates.

    Example: certbound client add --id billing --san-dns billing.example --scope "read write"

    Example: certbound client add --id partner --san-dns partner.example --anchor partner-ca.pem --scope read

    Example: certbound client add --jwks-uri https://partner.example/jwks.json --scope read

    Example: certbound client add --from-cert billing.pem
    """
    if from_cert is not None:
        _propose(from_cert, json=json)
        return
    subjects = _subjects(subject_dn, san_dns, san_uri, san_ip, san_email)
    credentials = _credentials(subjects, self_signed, jwks_uri)
    if not credentials:
        raise WrongUse(
            f"say how the client is known: one of {_list(OPTIONS.values())}, --self-signed, or --jwks-uri; "
            "--from-cert proposes"
        )
    trusted = _trusted(dn_order, anchor_key, anchor)
    metadata = {**credentials, **trusted, **_metadata(name, scope, bound, grant_type, ignore_validity)}
    asyncio.run(_add(config, client_id, metadata, json=json))


@app.command("list")
def list_(json: Json = False, config: ConfigFile = None) -> None:
    """List all clients, those that cannot be read too.

    Example: certbound client list --json
    """
    asyncio.run(_list_clients(config, json=json))


@app.command()
def show(client_id: ClientId, json: Json = False, config: ConfigFile = None) -> None:
    """Show one client: how it is known, what it may have, until when its certificates are valid.

    Example: certbound client show billing
    """
    asyncio.run(_show(config, client_id, json=json))


@app.command()
def update(
    client_id: ClientId,
    name: Name = None,
    subject_dn: SubjectDn = None,
    san_dns: SanDns = None,
    san_uri: SanUri = None,
    san_ip: SanIp = None,
    san_email: SanEmail = None,
    dn_order: DnOrder = None,
    anchor_key: AnchorKeys = None,
    anchor: OwnAnchors = None,
    every_anchor: Annotated[
        bool, typer.Option("--every-anchor", help="All of the server's anchors count again.")
    ] = False,
    self_signed: SelfSigned = None,
    add_self_signed: Annotated[
        list[Path] | None,
        typer.Option("--add-self-signed", metavar="CERT", help="One more certificate beside those there are."),
    ] = None,
    jwks_uri: JwksUri = None,
    ignore_validity: IgnoreValidity = None,
    scope: Scope = None,
    bound: Bound = None,
    grant_type: GrantTypes = None,
    enabled: Annotated[
        bool | None, typer.Option("--enable/--disable", help="Whether it may authenticate at all.")
    ] = None,
    json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Change a client: what is given replaces what was there; servers see it within a second.

    Example: certbound client update billing --disable

    Example, before a certificate expires: certbound client update billing --add-self-signed new.pem
    """
    if self_signed and add_self_signed:
        raise WrongUse("give --self-signed (replaces) or --add-self-signed (adds), not both")
    credentials = _credentials(
        _subjects(subject_dn, san_dns, san_uri, san_ip, san_email), self_signed or add_self_signed, jwks_uri
    )
    trusted = _trusted(dn_order, anchor_key, anchor, every_anchor=every_anchor)
    changes = {**credentials, **trusted, **_metadata(name, scope, bound, grant_type, ignore_validity)}
    if not changes and enabled is None:
        raise WrongUse("nothing to change is given; see certbound client update --help")
    asyncio.run(_update(config, client_id, changes, enabled=enabled, adds=bool(add_self_signed), json=json))


@app.command()
def remove(
    client_id: ClientId,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: ConfigFile = None,
) -> None:
    """Remove a client; its tokens stay valid until they expire.

    Example: certbound client remove billing --yes
    """
    asyncio.run(_remove(config, client_id, yes=yes))


async def _add(config: Path | None, client_id: str | None, metadata: Mapping[str, Any], *, json: bool) -> None:
    settings = load_settings(config)
    async with _registry(settings) as registry:
        if "scope" not in metadata and registry.allowed.scope:
            raise WrongUse(
                f"--scope is missing; this server offers {_list(registry.allowed.scope)}; --scope '' is none"
            )
        client = await registry.register(metadata, client_id=client_id)
        record = await _find(registry, client.client_id)
        if json:
            say_json(_as_json(registry, record))
            return
        say(f"registered client {client.client_id}")
        _say_client(registry, record)
        who = f"--client-id {shlex.quote(client.client_id)} --cert CERT --key KEY"
        say(f"next, with its certificate: certbound token --issuer {settings.server.issuer} {who}")


async def _list_clients(config: Path | None, *, json: bool) -> None:
    async with _registry(load_settings(config)) as registry:
        records = await registry.list()
        if json:
            say_json([_as_json(registry, record) for record in records])
        elif records:
            say_table([("CLIENT", "STATE", "KNOWN BY", "SCOPE"), *(_row(record) for record in records)])
        else:
            say("no clients yet; register one with: certbound client add")


async def _show(config: Path | None, client_id: str, *, json: bool) -> None:
    async with _registry(load_settings(config)) as registry:
        record = await _find(registry, client_id)
        if json:
            say_json(_as_json(registry, record))
        else:
            _say_client(registry, record)


async def _update(
    config: Path | None, client_id: str, changes: Mapping[str, Any], *, enabled: bool | None, adds: bool, json: bool
) -> None:
    async with _registry(load_settings(config)) as registry:
        record = await _find(registry, client_id)
        await registry.update(client_id, _complete(changes, record, adds=adds), enabled=enabled)
        record = await _find(registry, client_id)
        if json:
            say_json(_as_json(registry, record))
            return
        say(f"changed client {client_id}")
        _say_client(registry, record)


async def _remove(config: Path | None, client_id: str, *, yes: bool) -> None:
    async with _registry(load_settings(config)) as registry:
        record = await _find(registry, client_id)
        if not yes:
            _say_client(registry, record)
            _confirm()
        if not await registry.remove(client_id):
            raise _no_client(client_id)
        say(f"removed client {client_id}")


def _confirm() -> None:
    try:
        if typer.confirm("Remove this client?"):
            return
    except typer.Abort:
        sys.stderr.write("\n")
    raise ConfigurationError("nothing was removed; --yes removes without asking")


@contextlib.asynccontextmanager
async def _registry(settings: Settings) -> "AsyncIterator[ClientRegistry]":
    from certbound.app import open_registry  # half a second that `client --help` need not spend

    async with open_registry(settings) as registry:
        try:
            yield registry
        except InvalidClientMetadata as error:
            raise _as_option(error) from error


def _as_option(error: InvalidClientMetadata) -> ConfigurationError:
    """The refusal, naming the option that gave the field beside the field itself."""
    option = _OPTIONS.get(re.split(r"[.\[]", error.field, maxsplit=1)[0])
    return ConfigurationError(f"{option}: {error.reason}" if option else error.reason)


async def _find(registry: "ClientRegistry", client_id: str) -> ClientRecord:
    record = await registry.find(client_id)
    if record is None:
        raise _no_client(client_id)
    return record


def _no_client(client_id: str) -> ConfigurationError:
    return ConfigurationError(f"there is no client {client_id!r}; certbound client list shows those there are")


def _subjects(*values: str | None) -> dict[str, str]:
    """The subjects given, by metadata name; `values` in the order of RFC 8705 section 2.1.2."""
    return {field: value for field, value in zip(SubjectKind, values, strict=True) if value is not None}


def _credentials(
    subjects: Mapping[str, str], certificates: Sequence[Path] | None, jwks_uri: str | None
) -> dict[str, Any]:
    """How the client authenticates, as metadata: by one subject, by certificates, or by what it publishes."""
    if len(subjects) + bool(certificates) + (jwks_uri is not None) > 1:
        given = [_OPTIONS[field] for field in subjects]
        given += ["--self-signed"] * bool(certificates) + ["--jwks-uri"] * (jwks_uri is not None)
        raise WrongUse(f"a client is known by one of these only: {_list(given)}")
    if subjects:
        return {"token_endpoint_auth_method": Method.TLS_CLIENT_AUTH, **subjects}
    if certificates:
        jwks = make_jwks(map(read_file, certificates))
        return {"token_endpoint_auth_method": Method.SELF_SIGNED_TLS_CLIENT_AUTH, "jwks": jwks}
    if jwks_uri is not None:
        return {"token_endpoint_auth_method": Method.SELF_SIGNED_TLS_CLIENT_AUTH, "jwks_uri": jwks_uri}
    return {}


def _trusted(
    order: RdnOrder | None, keys: Sequence[str] | None, files: Sequence[Path] | None, *, every_anchor: bool = False
) -> dict[str, Any]:
    """Who may certify the client, as metadata: what is given takes the place of what was there."""
    if bool(keys) + bool(files) + every_anchor > 1:
        raise WrongUse("give --anchor-key, --anchor or --every-anchor, not two of them")
    given: dict[str, Any] = {} if order is None else {DN_ORDER: order.value}
    if keys or files or every_anchor:
        own = [each for file in files or () for each in read_chain(file)]
        anchors = {KEYS: list(keys or ()), CERTIFICATES: [b64encode(each.der).decode("ascii") for each in own]}
        given |= {member: texts or None for member, texts in anchors.items()}
    return given


def _metadata(
    name: str | None,
    scope: str | None,
    bound: bool | None,
    grant_types: Sequence[str] | None,
    ignore_validity: bool | None,
) -> dict[str, Any]:
    given = {
        "client_name": name,
        "scope": scope,
        "tls_client_certificate_bound_access_tokens": bound,
        "grant_types": list(grant_types) if grant_types else None,
        IGNORE_VALIDITY: ignore_validity,
    }
    return {field: value for field, value in given.items() if value is not None}


def _complete(changes: Mapping[str, Any], record: ClientRecord, *, adds: bool) -> dict[str, Any]:
    """`changes`, with what a new way to be known takes away from the old one."""
    if "token_endpoint_auth_method" not in changes:
        return dict(changes)
    gone: dict[str, Any] = dict.fromkeys((*SubjectKind, DN_ORDER))
    if "jwks" in changes or "jwks_uri" in changes:
        gone |= dict.fromkeys(("jwks", "jwks_uri"))
    if record.metadata.get("token_endpoint_auth_method") != changes["token_endpoint_auth_method"]:
        gone |= dict.fromkeys((*PKI_MEMBERS, *SELF_SIGNED_MEMBERS, "jwks", "jwks_uri"))
    complete = {**gone, **changes}
    there = record.metadata.get("jwks")
    if adds and isinstance(there, dict) and isinstance(there.get("keys"), list):
        complete["jwks"] = {"keys": [*there["keys"], *(k for k in changes["jwks"]["keys"] if k not in there["keys"])]}
    return complete


def _propose(file: Path, *, json: bool) -> None:
    """Says what the certificate in `file` can be registered as; registers nothing."""
    certificate = read_file(file)
    found = candidates(certificate)
    problems = list(remarks(certificate, time.time()))
    if json:
        say_json({
            "x5t#S256": certificate.thumbprint,
            "key": key_kind(certificate),
            "not_before": certificate.not_before,
            "not_after": certificate.not_after,
            "problems": problems,
            **{each.kind: each.text for each in reversed(found) if not each.problem},
        })  # fmt: skip
        return
    say_table([
        ("certificate", str(file)),
        ("x5t#S256", certificate.thumbprint),
        ("key", key_kind(certificate)),
        ("valid", f"{date(certificate.not_before)} to {date(certificate.not_after)}"),
    ])  # fmt: skip
    for problem in problems:
        note(f"this certificate will not do: {problem}")
    say("", "A client with it is known by one of these; nothing was registered:")
    for each in found:
        say(f"  {option(each)}" if not each.problem else f"  (not {option(each)}: {each.problem})")
    say(f"  --self-signed {shlex.quote(str(file))}")


def _say_client(registry: "ClientRegistry", record: ClientRecord) -> None:
    client, problem = _read(record)
    if client is None:
        say_table([("client", record.client_id), ("state", "unreadable"), ("problem", problem)], indent="  ")
        say_json(record.metadata)
        return
    facts = registry.describe(client)
    say_table(
        [
            ("client", client.client_id),
            ("name", client.name),
            ("state", _state(record)),
            ("method", client.method),
            *_known_by(client),
            *_trusted_by(client),
            ("scope", facts["scope"]),
            ("grants", _list(client.grant_types)),
            ("tokens", "bound" if facts["tls_client_certificate_bound_access_tokens"] else "not bound"),
        ],
        indent="  ",
    )


def _known_by(client: Client) -> list[tuple[str, str]]:
    if client.subject is not None:
        return [(_OPTIONS[client.subject.kind].removeprefix("--"), client.subject.text)]
    dates = [("dates", "do not count")] if client.ignores_validity else []
    published = [("published at", client.jwks_uri)] if client.jwks_uri is not None else []
    registered = [("certificate", f"{each.thumbprint} until {date(each.not_after)}") for each in client.certificates]
    return [*published, *registered, *dates]


def _trusted_by(client: Client) -> list[tuple[str, str]]:
    """What confines who may certify it, if anything does."""
    order = client.subject.order if client.subject is not None else RdnOrder.EXACT
    return [
        *([("RDN order", order.value)] if order is not RdnOrder.EXACT else []),
        *(("only anchor", key) for key in sorted(client.anchors.keys)),
        *(
            ("own anchor", f"{each.key_thumbprint} until {date(each.not_after)}")
            for each in client.anchors.certificates
        ),
    ]


def _row(record: ClientRecord) -> tuple[str, str, str, str]:
    client, problem = _read(record)
    if client is None:
        return record.client_id, "unreadable", problem, ""
    known = " ".join(f"{kind} {text}" for kind, text in _known_by(client))
    return record.client_id, _state(record), known, _list(client.scope, between=" ")


def _as_json(registry: "ClientRegistry", record: ClientRecord) -> dict[str, Any]:
    client, problem = _read(record)
    if client is None:
        return {"client_id": record.client_id, "enabled": record.enabled, "problem": problem, "stored": record.metadata}
    answer = {**registry.describe(client), "enabled": record.enabled}
    if client.certificates:
        answer["x5t#S256"] = [each.thumbprint for each in client.certificates]
    return answer


def _read(record: ClientRecord) -> tuple[Client | None, str]:
    """The stored client, or None and why it is none."""
    try:
        return read_client(record.client_id, record.metadata, enabled=record.enabled, version=record.version), ""
    except InvalidClientMetadata as error:
        return None, error.reason


def _state(record: ClientRecord) -> str:
    return "enabled" if record.enabled else "disabled"


def _list(words: Any, between: str = ", ") -> str:
    return between.join(sorted(map(str, words)))


_OPTIONS: Mapping[str, str] = {
    **OPTIONS,
    DN_ORDER: "--dn-order",
    KEYS: "--anchor-key",
    CERTIFICATES: "--anchor",
    "jwks": "--self-signed",
    "jwks_uri": "--jwks-uri",
    IGNORE_VALIDITY: "--ignore-validity",
    "client_id": "--id",
    "client_name": "--name",
    "scope": "--scope",
    "grant_types": "--grant-type",
    "tls_client_certificate_bound_access_tokens": "--bound",
}
"""The option that gives each member of the metadata."""
