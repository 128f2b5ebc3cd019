"""`certbound client`: who may obtain tokens (RFC 7591 metadata, RFC 8705 sections 2.1.2 and 2.2.2).

Rule: these commands go through the use cases the endpoints use; what one refuses the other refuses.
"""

import asyncio
import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from certbound.cli import _client_management, _client_secret
from certbound.cli._asking import confirm
from certbound.cli._certificates import key_kind, option, read_file
from certbound.cli._client_next import next_steps
from certbound.cli._client_options import (
    AnchorKeys,
    AssertionAlg,
    AuthMethod,
    Bound,
    ClientId,
    DnOrder,
    Format,
    GrantTypes,
    IdTokenAlg,
    IgnoreValidity,
    Json,
    Jwks,
    JwksUri,
    LogoutUris,
    Name,
    OwnAnchors,
    Pairwise,
    Protects,
    RedirectUris,
    RequirePar,
    SanDns,
    SanEmail,
    SanIp,
    SanUri,
    Scope,
    SelfSigned,
    SubjectDn,
    complete,
    credentials,
    described,
    required,
    subjects_of,
    trusted,
    with_grants,
)
from certbound.cli._client_shown import as_json, row, say_client
from certbound.cli._commands import WrongUse, group
from certbound.cli._deployment import ConfigFile, load_settings
from certbound.cli._output import date, note, say, say_json, say_table
from certbound.cli._registry import find, no_client, registry_of
from certbound.core.candidates import candidates, remarks
from certbound.core.members import listed

app = group("Register, list, show, change and remove clients.")
app.add_typer(_client_secret.app, name="secret")


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
    jwks: Jwks = None,
    jwks_uri: JwksUri = None,
    method: AuthMethod = None,
    assertion_alg: AssertionAlg = None,
    ignore_validity: IgnoreValidity = None,
    from_cert: Annotated[
        Path | None,
        typer.Option(metavar="CERT", help="Only say what this certificate can be registered as."),
    ] = None,
    scope: Scope = None,
    bound: Bound = None,
    grant_type: GrantTypes = None,
    redirect_uri: RedirectUris = None,
    logout_uri: LogoutUris = None,
    require_par: RequirePar = None,
    pairwise: Pairwise = None,
    id_token_alg: IdTokenAlg = None,
    token_format: Format = None,
    protects: Protects = None,
    json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Register a client: known by a name in a CA-issued certificate, by certificates, by keys, or by a secret.

    Example: certbound client add --id billing --san-dns billing.example --scope "read write"

    Example: certbound client add --id partner --san-dns partner.example --anchor partner-ca.pem --scope read

    Example: certbound client add --jwks-uri https://partner.example/jwks.json --scope read

    Example: certbound client add --jwks partner.json --assertion-alg ES256 --scope read

    Example: certbound client add --method client_secret_basic --scope read

    Example, acting for people: certbound client add --san-dns app.example --redirect-uri https://app.example/cb
    --scope openid

    Example, on their own machines: certbound client add --method none --redirect-uri http://127.0.0.1/ --scope read

    Example: certbound client add --from-cert billing.pem
    """
    if from_cert is not None:
        _propose(from_cert, json=json)
        return
    subjects = subjects_of(subject_dn, san_dns, san_uri, san_ip, san_email)
    known = required(credentials(subjects, self_signed, jwks, jwks_uri, method))
    asked = described(
        name=name, scope=scope, bound=bound, grant_types=grant_type, ignore_validity=ignore_validity,
        token_format=token_format, protects=protects, assertion_alg=assertion_alg, redirect_uris=redirect_uri,
        logout_uris=logout_uri, require_par=require_par, pairwise=pairwise, id_token_alg=id_token_alg,
    )  # fmt: skip
    metadata = {**known, **trusted(dn_order, anchor_key, anchor), **with_grants(asked)}
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
    jwks: Jwks = None,
    jwks_uri: JwksUri = None,
    method: AuthMethod = None,
    assertion_alg: AssertionAlg = None,
    ignore_validity: IgnoreValidity = None,
    scope: Scope = None,
    bound: Bound = None,
    grant_type: GrantTypes = None,
    redirect_uri: RedirectUris = None,
    logout_uri: LogoutUris = None,
    require_par: RequirePar = None,
    pairwise: Pairwise = None,
    id_token_alg: IdTokenAlg = None,
    token_format: Format = None,
    protects: Protects = None,
    enabled: Annotated[
        bool | None,
        typer.Option("--enable/--disable", help="Whether it may authenticate at all; disabling ends its tokens."),
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
    subjects = subjects_of(subject_dn, san_dns, san_uri, san_ip, san_email)
    known = credentials(subjects, self_signed or add_self_signed, jwks, jwks_uri, method)
    asked = described(
        name=name, scope=scope, bound=bound, grant_types=grant_type, ignore_validity=ignore_validity,
        token_format=token_format, protects=protects, assertion_alg=assertion_alg, redirect_uris=redirect_uri,
        logout_uris=logout_uri, require_par=require_par, pairwise=pairwise, id_token_alg=id_token_alg,
    )  # fmt: skip
    changes = {**known, **trusted(dn_order, anchor_key, anchor, every_anchor=every_anchor), **asked}
    if not changes and enabled is None:
        raise WrongUse("nothing to change is given; see certbound client update --help")
    asyncio.run(_update(config, client_id, changes, enabled=enabled, adds=bool(add_self_signed), json=json))


@app.command()
def remove(
    client_id: ClientId,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: ConfigFile = None,
) -> None:
    """Remove a client; its tokens are revoked.

    Example: certbound client remove billing --yes
    """
    asyncio.run(_remove(config, client_id, yes=yes))


app.command("management-token")(_client_management.management_token)


async def _add(config: Path | None, client_id: str | None, metadata: Mapping[str, Any], *, json: bool) -> None:
    settings = load_settings(config)
    async with registry_of(settings) as registry:
        if "scope" not in metadata and registry.allowed.scope:
            raise WrongUse(
                f"--scope is missing; this server offers {listed(registry.allowed.scope)}; --scope '' is none"
            )
        client = await registry.register(metadata, client_id=client_id)
        secret = await registry.add_secret(client.client_id, overlap=0) if client.method.has_secret else None
        record = await find(registry, client.client_id)
        if json:
            say_json(as_json(registry, record) | ({"client_secret": secret} if secret else {}))
            return
        say(f"registered client {client.client_id}")
        say_client(registry, record)
        if secret is not None:
            _client_secret.say_secret(secret)
        say(*next_steps(client, settings))


async def _list_clients(config: Path | None, *, json: bool) -> None:
    async with registry_of(load_settings(config)) as registry:
        records = await registry.list()
        if json:
            say_json([as_json(registry, record) for record in records])
        elif records:
            say_table([("CLIENT", "STATE", "KNOWN BY", "SCOPE"), *(row(record) for record in records)])
        else:
            say("no clients yet; register one with: certbound client add")


async def _show(config: Path | None, client_id: str, *, json: bool) -> None:
    async with registry_of(load_settings(config)) as registry:
        record = await find(registry, client_id)
        if json:
            say_json(as_json(registry, record))
        else:
            say_client(registry, record)


async def _update(
    config: Path | None, client_id: str, changes: Mapping[str, Any], *, enabled: bool | None, adds: bool, json: bool
) -> None:
    async with registry_of(load_settings(config)) as registry:
        record = await find(registry, client_id)
        client = await registry.update(client_id, complete(changes, record, adds=adds), enabled=enabled)
        lacks_secret = client is not None and client.method.has_secret and not client.secrets
        secret = await registry.add_secret(client_id, overlap=0) if lacks_secret and changes else None
        record = await find(registry, client_id)
        if json:
            say_json(as_json(registry, record) | ({"client_secret": secret} if secret else {}))
            return
        say(f"changed client {client_id}")
        say_client(registry, record)
        if secret is not None:
            _client_secret.say_secret(secret)


async def _remove(config: Path | None, client_id: str, *, yes: bool) -> None:
    async with registry_of(load_settings(config)) as registry:
        record = await find(registry, client_id)
        if not yes:
            say_client(registry, record)
            confirm("Remove this client?", "nothing was removed")
        if not await registry.remove(client_id):
            raise no_client(client_id)
        say(f"removed client {client_id}")


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
