"""`certbound registration`: initial access tokens, by which clients may register themselves (RFC 7591 section 3)."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated

import typer

from certbound.cli._client_options import Json
from certbound.cli._commands import group
from certbound.cli._deployment import ConfigFile, load_settings
from certbound.cli._output import date, note, say, say_json, say_table
from certbound.core.display import hash_name
from certbound.core.errors import ConfigurationError
from certbound.core.ports import InitialTokenRecord
from certbound.core.registration import INITIAL_TOKEN_PREFIX, Need
from certbound.settings import Settings

if TYPE_CHECKING:
    from certbound.core.ports import Store

app = group("Make, list and remove the tokens by which clients may register themselves.")


@app.command()
def token(
    uses: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many clients may register with it.")] = 1,
    hours: Annotated[int, typer.Option(min=1, max=24 * 366, help="How long it counts.")] = 24,
    label: Annotated[str, typer.Option(help="What it is for, for people.")] = "",
    json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Make an initial access token, shown this once.

    Example: certbound registration token --label partner --hours 48
    """
    asyncio.run(_make(load_settings(config), uses, hours * 3600, label, json=json))


@app.command("list")
def list_(json: Json = False, config: ConfigFile = None) -> None:
    """List the tokens that count: uses left, and when each ends.

    Example: certbound registration list
    """
    asyncio.run(_list(load_settings(config), json=json))


@app.command()
def remove(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The token, as `list` calls it.")],
    config: ConfigFile = None,
) -> None:
    """End a token at once; who registered with it stays.

    Example: certbound registration remove x7Gq2mPz
    """
    asyncio.run(_remove(load_settings(config), name))


async def _make(settings: Settings, uses: int, lives: int, label: str, *, json: bool) -> None:
    from certbound.core.authentication import digest_of  # with the store, half a second that `--help` need not spend

    made, now = INITIAL_TOKEN_PREFIX + secrets.token_urlsafe(32), time.time()
    record = InitialTokenRecord(digest=digest_of(made), uses=uses, label=label, created_at=now, ends_at=now + lives)
    async with _store(settings) as store:
        await store.initial_tokens.add(record)
    if not any(Need.INITIAL_TOKEN in way.needs for way in settings.registration.ways):
        note("no way in registration.ways needs an initial_token, so this one lets nobody in")
    if json:
        say_json({"initial_access_token": made, "uses": uses, "ends_at": int(record.ends_at)})
    else:
        say(f"initial access token, shown this once: {made}", f"for {uses} clients until {date(record.ends_at)}")


async def _list(settings: Settings, *, json: bool) -> None:
    async with _store(settings) as store:
        records = await store.initial_tokens.list(now=time.time())
    if json:
        say_json([
            {"name": hash_name(each.digest), "label": each.label, "uses": each.uses, "ends_at": int(each.ends_at)}
            for each in records
        ])  # fmt: skip
    elif records:
        say_table([
            ("TOKEN", "FOR", "USES LEFT", "ENDS"),
            *((hash_name(each.digest), each.label, str(each.uses), date(each.ends_at)) for each in records),
        ])  # fmt: skip
    else:
        say("no tokens; make one with: certbound registration token")


async def _remove(settings: Settings, name: str) -> None:
    async with _store(settings) as store:
        found = [each for each in await store.initial_tokens.list(now=time.time()) if hash_name(each.digest) == name]
        if not found or not await store.initial_tokens.remove(found[0].digest):
            raise ConfigurationError(f"there is no token {name!r} that counts; certbound registration list shows")
    say(f"removed the initial access token {name}")


@contextlib.asynccontextmanager
async def _store(settings: Settings) -> "AsyncIterator[Store]":
    from certbound.app import opened_store  # as above

    async with opened_store(settings) as store:
        yield store
