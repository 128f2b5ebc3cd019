"""`certbound key`: the keys that sign tokens, and how one takes the place of another.

Rule: keys are told by their `kid`; nothing of a private key is ever printed.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from certbound.cli._actor import actor
from certbound.cli._asking import read_text
from certbound.cli._commands import group
from certbound.cli._deployment import ConfigFile, load_settings
from certbound.cli._output import date, note, say, say_json, say_table
from certbound.core.ports import KeyRecord
from certbound.core.signing import is_encrypted
from certbound.core.succession import State

if TYPE_CHECKING:
    from certbound.server.key_keeper import KeyKeeper

app = group("See, rotate and retire the keys that sign tokens.")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_(json: Json = False, config: ConfigFile = None) -> None:
    """Show the signing keys in the store, and what each of them does.

    One signs.  The next one is published a day before it signs, so that every API knows it by then.  One that
    signed before verifies, until the last token that it signed has ended.

    Example: certbound key list
    """
    asyncio.run(_list(config, json=json))


@app.command()
def rotate(
    now: Annotated[
        bool, typer.Option("--now", help="A key was stolen: all keys are replaced, and their tokens end, in seconds.")
    ] = False,
    json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Make the next signing key, and say when it begins to sign.  Servers do so by themselves every keys.rotate_days.

    No request fails by it: the new key is published before it signs, and the old one until its last token has ended.

    With --now all keys that are there are taken out, and every token they signed is refused: within seconds at APIs
    behind certbound's guard, elsewhere when they next fetch the keys.  Clients go on with new tokens.

    Example: certbound key rotate

    Example: certbound key rotate --now
    """
    asyncio.run(_rotate(config, at_once=now, json=json))


@app.command()
def retire(
    kid: Annotated[str, typer.Argument(metavar="KID", help="The key, as `certbound key list` shows it.")],
    now: Annotated[bool, typer.Option("--now", help="Take it out at once: tokens that it signed end.")] = False,
    json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Let a key sign no more.  It stays published until its last token has ended.

    For one that stands by, since another algorithm was set; with --now, for one whose tokens must not live.  A key that
    is to sign next is dropped, and another is made when it is time.  That which signs now: certbound key rotate.

    Example: certbound key retire 5hLzNtCw1fSDWkN4yQpTmFJXKfNF2sOJmQmVq5u6w1I
    """
    asyncio.run(_retire(config, kid, at_once=now, json=json))


@app.command()
def encrypt(
    old_password_file: Annotated[
        Path | None,
        typer.Option(
            "--old-password-file", metavar="FILE", help="The password they are encrypted with now, if it is another."
        ),
    ] = None,
    json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Encrypt the signing keys in the store with keys.password.

    For a store that began without a password, and for a change of it: stop nothing, set the new password, run this
    with the old one, and restart the servers.  Those that run go on with the keys they have read.

    Example: certbound key encrypt --old-password-file old.txt
    """
    asyncio.run(_encrypt(config, old_password_file, json=json))


async def _list(config: Path | None, *, json: bool) -> None:
    async with _keeper(config) as keeper:
        found, now = await keeper.list(), time.time()
    if json:
        say_json([_as_json(record, state) for record, state in found])
    elif found:
        rows = [
            (each.kid, each.alg, state, _WHEN[state](each, now), "" if is_encrypted(each.private_key) else "open")
            for each, state in found
        ]
        say_table([("KEY", "ALGORITHM", "STATE", "", ""), *rows])
        if any(row[-1] for row in rows):
            note("an open key is not encrypted: who has the store can sign; certbound key encrypt")
    else:
        say("there is no signing key; the first start makes one")


async def _rotate(config: Path | None, *, at_once: bool, json: bool) -> None:
    async with _keeper(config) as keeper:
        successor = await (keeper.replace() if at_once else keeper.rotate())
    if json:
        say_json(_as_json(successor, State.NEXT))
    elif at_once:
        say(
            f"the key {successor.kid} signs in two seconds; all others end then, and so do their tokens",
            "next: if the store or its password leaked, change the password; and revoke what was obtained meanwhile",
        )
    else:
        say(f"the key {successor.kid} begins to sign {_from(successor.signs_from, time.time())}")


async def _retire(config: Path | None, kid: str, *, at_once: bool, json: bool) -> None:
    async with _keeper(config) as keeper:
        record = await keeper.retire(kid, at_once=at_once)
    until = None if record is None else record.published_until
    if json:
        say_json({"kid": kid, "published_until": until})
    elif until is None:
        say(f"the key {kid} is gone")
    else:
        say(f"the key {kid} signs no more; it is published until {date(until)}")


async def _encrypt(config: Path | None, old_password_file: Path | None, *, json: bool) -> None:
    old_password = (
        None if old_password_file is None else read_text(old_password_file, "--old-password-file").rstrip("\r\n")
    )
    async with _keeper(config) as keeper:
        kids = await keeper.encrypt(old_password)
    if json:
        say_json({"encrypted": kids})
        return
    say(f"encrypted with keys.password: {len(kids)} keys" if kids else "all keys are encrypted with keys.password")


def _keeper(config: Path | None) -> "AbstractAsyncContextManager[KeyKeeper]":
    settings = load_settings(config)
    from certbound.app import open_key_keeper  # half a second that `key --help` need not spend

    return open_key_keeper(settings, actor())


def _as_json(record: KeyRecord, state: State) -> dict[str, Any]:
    return {
        "kid": record.kid,
        "alg": record.alg,
        "state": state,
        "created_at": record.created_at,
        "signs_from": record.signs_from,
        "signs_until": record.signs_until,
        "published_until": record.published_until,
        "encrypted": is_encrypted(record.private_key),
    }


def _from(moment: float, now: float) -> str:
    minutes = round((moment - now) / 60)
    if minutes <= 0:
        return "now"
    return f"{date(moment)}, in {f'{minutes / 60:.0f} hours' if minutes >= 120 else f'{minutes} minutes'}"


def _signs(record: KeyRecord, now: float) -> str:
    del now
    since = date(max(record.signs_from, record.created_at))
    return f"since {since}" + ("" if record.signs_until is None else f", until {date(record.signs_until)}")


def _next(record: KeyRecord, now: float) -> str:
    return f"signs from {_from(record.signs_from, now)}"


def _verifies(record: KeyRecord, now: float) -> str:
    del now
    return "" if record.published_until is None else f"until {date(record.published_until)}"


_WHEN: Mapping[State, Callable[[KeyRecord, float], str]] = {
    State.NEXT: _next,
    State.SIGNS: _signs,
    State.STANDS_BY: _signs,
    State.VERIFIES: _verifies,
    State.ENDED: _verifies,
}
