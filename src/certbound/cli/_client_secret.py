"""`certbound client secret`: secrets of clients, made here, shown once, and replaced with an overlap."""

import asyncio
import time
from pathlib import Path
from typing import Annotated

import typer

from certbound.cli._client_options import ClientId, Json
from certbound.cli._client_shown import secrets_as_json
from certbound.cli._commands import group
from certbound.cli._deployment import ConfigFile, load_settings
from certbound.cli._output import date, say, say_json, say_table
from certbound.cli._registry import find, no_client, registry_of
from certbound.core.errors import ConfigurationError

app = group("Make, list and remove the secrets of a client.")


@app.command()
def add(
    client_id: ClientId,
    overlap: Annotated[
        int,
        typer.Option(min=0, max=90 * 86400, help="Seconds for which the secrets that there are count beside it."),
    ] = 86400,
    json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Make a new secret, shown this once; those before it end after --overlap.

    Example: certbound client secret add billing --overlap 3600
    """
    asyncio.run(_add(config, client_id, overlap, json=json))


@app.command("list")
def list_(client_id: ClientId, json: Json = False, config: ConfigFile = None) -> None:
    """List the secrets of a client: when each was made, and when it ends.

    Example: certbound client secret list billing
    """
    asyncio.run(_list(config, client_id, json=json))


@app.command()
def remove(
    client_id: ClientId,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The secret, as `list` calls it.")],
    config: ConfigFile = None,
) -> None:
    """End a secret at once.

    Example: certbound client secret remove billing x7Gq2mPz
    """
    asyncio.run(_remove(config, client_id, name))


def say_secret(secret: str) -> None:
    """The one time that it is shown."""
    say(f"secret, shown this once: {secret}")


async def _add(config: Path | None, client_id: str, overlap: int, *, json: bool) -> None:
    async with registry_of(load_settings(config)) as registry:
        secret = await registry.add_secret(client_id, overlap=overlap)
        if secret is None:
            raise no_client(client_id)
        if json:
            say_json({"client_id": client_id, "client_secret": secret, "client_secret_expires_at": 0})
        else:
            say_secret(secret)


async def _list(config: Path | None, client_id: str, *, json: bool) -> None:
    async with registry_of(load_settings(config)) as registry:
        record = await find(registry, client_id)
        if json:
            say_json(secrets_as_json(record))
        elif record.secrets:
            found = secrets_as_json(record)
            rows = [(each["name"], date(each["created_at"]), _state(each["ends_at"])) for each in found]
            say_table([("SECRET", "MADE", "STATE"), *rows])
        else:
            say("no secrets; make one with: certbound client secret add")


def _state(ends_at: int | None) -> str:
    if ends_at is None:
        return "counts"
    return f"ends {date(ends_at)}" if time.time() < ends_at else f"ended {date(ends_at)}"


async def _remove(config: Path | None, client_id: str, name: str) -> None:
    async with registry_of(load_settings(config)) as registry:
        await find(registry, client_id)
        if not await registry.remove_secret(client_id, name):
            raise ConfigurationError(f"client {client_id!r} has no secret {name!r}; certbound client secret list shows")
        say(f"removed the secret {name} of client {client_id}")
