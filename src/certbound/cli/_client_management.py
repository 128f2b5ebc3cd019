"""`certbound client management-token`: another token for who registered itself, and lost its own or let it be seen."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from certbound.cli._certificates import read_file
from certbound.cli._client_options import ClientId, Json
from certbound.cli._deployment import ConfigFile, load_settings
from certbound.cli._output import say, say_json
from certbound.cli._registry import no_client, registry_of
from certbound.core.certificate import Certificate


def management_token(
    client_id: ClientId,
    certificate: Annotated[
        Path | None,
        typer.Option(
            metavar="CERT",
            help="The certificate it has now, if the name in the one that was vouched for is not its any more.",
        ),
    ] = None,
    json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Make a new registration access token, shown this once; the one before it ends at once.

    With it a client that registered itself reads, changes and removes itself (RFC 7592).

    Example: certbound client management-token x7Gq2mPzRkWv9sTnLb3Ydw
    """
    shown = read_file(certificate) if certificate is not None else None
    asyncio.run(_renew(config, client_id, shown, json=json))


async def _renew(config: Path | None, client_id: str, certificate: Certificate | None, *, json: bool) -> None:
    async with registry_of(load_settings(config)) as registry:
        token = await registry.renew_registration_token(client_id, certificate)
        if token is None:
            raise no_client(client_id)
        if json:
            say_json({"client_id": client_id, "registration_access_token": token})
        else:
            say(f"registration access token, shown this once: {token}")
