"""`certbound user`: the people who log in here, and let clients act for them.

Rule 1: a password is typed twice, or comes from standard input or a file: never from an argument, which others can see.
Rule 2: servers that run see every change at once.
"""

import asyncio
import contextlib
import json as json_
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from certbound.cli._actor import actor
from certbound.cli._asking import confirm, new_password
from certbound.cli._commands import WrongUse, group
from certbound.cli._deployment import ConfigFile, load_settings
from certbound.cli._output import date, note, say, say_json, say_table
from certbound.core.errors import ConfigurationError
from certbound.core.people import CLAIM_TYPES, UnfitAccount, claims_of
from certbound.core.ports import AccountRecord, AlreadyExists, ConsentRecord

if TYPE_CHECKING:
    from certbound.server.accounts import AccountBook

app = group("Add, list, show, change, lock out, put out and remove people who log in.")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="What the person types; capitals do not count.")]
PasswordFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Holds the password; without it, it is asked for, or read from standard input."),
]
Claims = Annotated[
    list[str] | None,
    typer.Option(
        "--claim",
        metavar="NAME=VALUE",
        help="What clients may learn, as OpenID Connect names it: email=…, name=…, email_verified=true, "
        "address.locality=…; several; update takes one away with NAME=.",
    ),
]


@app.command()
def add(
    name: Name,
    claim: Claims = None,
    password_file: PasswordFile = None,
    json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Add a person, with a password of at least 8 characters.

    Example: certbound user add anna --claim name="Anna Nová" --claim email=anna@example.com

    Example: certbound user add anna --password-file anna.txt
    """
    claims = {name: value for name, value in _claims(claim).items() if value is not None}
    asyncio.run(_add(config, name, new_password(password_file, _FILE), claims, json=json))


@app.command("list")
def list_(json: Json = False, config: ConfigFile = None) -> None:
    """List all people.

    Example: certbound user list
    """
    asyncio.run(_list(config, json=json))


@app.command()
def show(name: Name, json: Json = False, config: ConfigFile = None) -> None:
    """Show a person: what tokens call them, what is known, and which clients act for them.

    Example: certbound user show anna
    """
    asyncio.run(_show(config, name, json=json))


@app.command()
def update(
    name: Name,
    claim: Claims = None,
    rename: Annotated[
        str | None, typer.Option(metavar="NAME", help="Another name to log in with; tokens call them as before.")
    ] = None,
    json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Change what is known of a person, or the name they log in with.

    Example: certbound user update anna --claim email_verified=true --claim website=
    """
    changes = _claims(claim)
    if not changes and rename is None:
        raise WrongUse("nothing to change is given; see certbound user update --help")
    asyncio.run(_update(config, name, changes, rename, json=json))


@app.command()
def password(name: Name, password_file: PasswordFile = None, config: ConfigFile = None) -> None:
    """Give a person another password.  They have to log in anew; clients that act for them go on.

    Where somebody else knew the old one, disable the account first and enable it afterwards, which ends what clients
    got.

    Example: certbound user password anna
    """
    asyncio.run(_set_password(config, name, new_password(password_file, _FILE)))


@app.command()
def disable(name: Name, config: ConfigFile = None) -> None:
    """Lock a person out: they cannot log in, and their sessions and all that clients got from them end now.

    Example: certbound user disable anna
    """
    asyncio.run(_switch(config, name, enabled=False))


@app.command()
def enable(name: Name, config: ConfigFile = None) -> None:
    """Let a person in again.  What ended stays ended: they log in, and clients ask for new tokens.

    Example: certbound user enable anna
    """
    asyncio.run(_switch(config, name, enabled=True))


@app.command("put-out")
def put_out(
    subject: Annotated[
        str, typer.Argument(metavar="SUBJECT", help="What accounts or the login application call the person.")
    ],
    json: Json = False,
    config: ConfigFile = None,
) -> None:
    """End all that a person has here, also one of a login application: sessions, consents, and what clients got.

    Whoever can still log in may begin anew, so first lock them out there: in your login application, or by disable.

    Example: certbound user put-out person-4711
    """
    asyncio.run(_put_out(config, subject, json=json))


@app.command()
def remove(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: ConfigFile = None,
) -> None:
    """Remove a person with everything that is known of them; what clients got from them ends.

    Example: certbound user remove anna --yes
    """
    asyncio.run(_remove(config, name, yes=yes))


async def _add(config: Path | None, name: str, new: str, claims: Mapping[str, Any], *, json: bool) -> None:
    async with _book(config) as book:
        account = await book.add(name, new, claims)
        if json:
            say_json(_as_json(account))
        else:
            say(f"added {account.username}")
            _say(account)


async def _list(config: Path | None, *, json: bool) -> None:
    async with _book(config) as book:
        accounts = await book.list()
    if json:
        say_json([_as_json(each) for each in accounts])
    elif accounts:
        rows = [(each.username, _state(each), each.subject, str(each.claims.get("name", ""))) for each in accounts]
        say_table([("NAME", "STATE", "SUBJECT", ""), *rows])
    else:
        say("nobody yet; add somebody with: certbound user add")


async def _show(config: Path | None, name: str, *, json: bool) -> None:
    async with _book(config) as book:
        account = await book.find(name)
        if account is None:
            raise _nobody(name)
        consents = await book.consents(account)
    if json:
        say_json(_as_json(account) | {"clients": [_consent_as_json(each) for each in consents]})
        return
    _say(account)
    if consents:
        say("clients that act for them:")
        _say_consents(consents)


async def _update(
    config: Path | None, name: str, changes: Mapping[str, Any], rename: str | None, *, json: bool
) -> None:
    async with _book(config) as book:
        account = await book.change(name, changes, new_name=rename)
        if account is None:
            raise _nobody(name)
    if json:
        say_json(_as_json(account))
    else:
        say(f"changed {account.username}")
        _say(account)


async def _set_password(config: Path | None, name: str, new: str) -> None:
    async with _book(config) as book:
        account = await book.set_password(name, new)
        if account is None:
            raise _nobody(name)
    say(f"{account.username} has a new password, and is logged out everywhere")


async def _switch(config: Path | None, name: str, *, enabled: bool) -> None:
    async with _book(config) as book:
        account = await book.switch(name, enabled=enabled)
        if account is None:
            raise _nobody(name)
    said = "may log in again" if enabled else "is locked out; sessions, refresh tokens and access tokens ended"
    say(f"{account.username} {said}")


async def _put_out(config: Path | None, subject: str, *, json: bool) -> None:
    async with _book(config, of_accounts=False) as book:
        ended = await book.put_out(subject)
    if json:
        say_json({"subject": subject, "sessions": ended.sessions, "clients": list(ended.clients)})
    elif ended.sessions or ended.clients:
        say(f"{subject!r} is out; sessions: {ended.sessions}, clients that acted for them: {len(ended.clients)}")
        if ended.clients:
            say_table([(each,) for each in ended.clients], indent="  ")
    else:
        say(f"nothing was here of a person with the subject {subject!r}")


async def _remove(config: Path | None, name: str, *, yes: bool) -> None:
    async with _book(config) as book:
        account = await book.find(name)
        if account is None:
            raise _nobody(name)
        if not yes:
            _say(account)
            confirm("Remove this person?", "nobody was removed")
        if not await book.remove(name):
            raise _nobody(name)
        say(f"removed {account.username}")


@contextlib.asynccontextmanager
async def _book(config: Path | None, *, of_accounts: bool = True) -> "AsyncIterator[AccountBook]":
    settings = load_settings(config)
    from certbound.app import opened_store  # half a second that `user --help` need not spend
    from certbound.server.accounts import AccountBook

    if of_accounts and not settings.login.accounts:
        note("login.accounts is not set, so nobody logs in with an account")
    async with opened_store(settings) as store:
        try:
            yield AccountBook(store, time.time, actor())
        except UnfitAccount as error:
            is_taken = isinstance(error.__cause__, AlreadyExists)
            advice = "; certbound user update changes that account" if is_taken else ""
            raise ConfigurationError(f"{error.field}: {error.reason}{advice}") from error


def _claims(given: Sequence[str] | None) -> dict[str, Any]:
    """What `--claim` says, as JSON; None for one that is taken away."""
    whole: dict[str, Any] = {}
    parts: dict[str, dict[str, str]] = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not equals:
            raise WrongUse(f"--claim is NAME=VALUE, not {text!r}; for example --claim email=anna@example.com")
        name, _, part = name.partition(".")
        if name in whole or part in parts.get(name, {}) or (not part and name in parts):
            raise WrongUse(f"--claim {name} is given twice")
        if part:
            parts.setdefault(name, {})[part] = value
        else:
            whole[name] = _value(name, value) if value else None
    return whole | parts


def _value(name: str, text: str) -> Any:
    """`text` as the type that the claim has; what does not fit stays text, and will be refused."""
    _, kind = CLAIM_TYPES.get(name, (None, ""))
    if kind == "true or false":
        return {"true": True, "false": False}.get(text, text)
    if name == "address":
        with contextlib.suppress(ValueError):
            return json_.loads(text)
        return {"formatted": text}
    return text


def _nobody(name: str) -> ConfigurationError:
    return ConfigurationError(f"there is no account {name!r}; certbound user list shows those there are")


def _say(account: AccountRecord) -> None:
    known = [(name, _shown(value)) for name, value in sorted(claims_of(account).items()) if name != "updated_at"]
    say_table(
        [
            ("logs in as", account.username),
            ("subject", account.subject),
            ("state", _state(account)),
            ("added", date(account.created_at)),
            ("password since", date(account.password_at) if account.password else "it has none"),
            *known,
        ],
        indent="  ",
    )


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json_.dumps(value, ensure_ascii=False)


def _say_consents(consents: Sequence[ConsentRecord]) -> None:
    rows = [
        (each.client_id, " ".join(each.scope), date(each.used_at) if each.used_at else "never", each.certificate)
        for each in consents
    ]
    say_table([("CLIENT", "SCOPE", "LAST USED", "CERTIFICATE"), *rows], indent="  ")


def _state(account: AccountRecord) -> str:
    return "enabled" if account.enabled else "disabled"


def _as_json(account: AccountRecord) -> dict[str, Any]:
    return {
        "username": account.username,
        "subject": account.subject,
        "enabled": account.enabled,
        "has_password": bool(account.password),
        "created_at": account.created_at,
        "password_at": account.password_at,
        "claims": dict(account.claims),
    }


def _consent_as_json(consent: ConsentRecord) -> dict[str, Any]:
    return {
        "client_id": consent.client_id,
        "scope": " ".join(consent.scope),
        "resources": list(consent.resources),
        "created_at": consent.created_at,
        "used_at": consent.used_at,
        "certificate": consent.certificate,
    }


_FILE = "--password-file"
