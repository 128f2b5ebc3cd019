"""Which commands there are.  Each lives in the file of its name: a function of that name, or `app` with commands.
In the names of files and functions `-` is `_`.

Rule: the file is imported when its command is called; the list in `--help` comes from the table below.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from certbound import __version__
from certbound.core.display import shown

COMMANDS: Mapping[str, str] = {
    "demo": "See the whole story: tokens bound to certificates, and every theft refused.",
    "dev": "Run everything for development: server, API, authority, certificates, clients.",
    "serve": "Run the authorization server that certbound.toml describes.",
    "run": "Run any ASGI application with client certificates.",
    "guard": "Answer a proxy that asks whether a request may pass, for an API in any language.",
    "client": "Register, list, show, change and remove clients.",
    "registration": "Make the tokens by which clients may register themselves.",
    "user": "Add, list, show, change, lock out and remove people who log in.",
    "cert": "Look into certificates, and see which end soon.",
    "explain": "Say why a certificate does or does not authenticate a client.",
    "jwks": "Print certificates as the JWK Set that registers a client.",
    "revoke": "Take a certificate, a client or an authority out of use, with its tokens.",
    "key": "See, rotate and retire the keys that sign tokens.",
    "ca": "Keep a small private certificate authority.",
    "login": "Log in through the browser, and let this machine act for you.",
    "logout": "End a login: its tokens count no more, and its certificate is removed.",
    "whoami": "Say who you are logged in as, with which certificate, and until when.",
    "token": "Obtain an access token and show what it says.",
    "curl": "Send a request to an API with a token that is bound to your certificate.",
    "openapi": "Print the OpenAPI document of the server.",
    "proxy-config": "Print what a proxy needs so that the certificates it forwards can be believed.",
    "doctor": "Try on a running deployment what a client could try, and say what is wrong.",
    "config": "Write, check and show settings.",
    "version": "Say which certbound this is, and which OpenSSL it uses.",
}

ARGUMENT = ""
"""Where a table `INSTEAD` says what to do with a word too many."""

SETTINGS: Mapping[str, Any] = {"context_settings": {"help_option_names": ["-h", "--help"]}, "rich_markup_mode": None}


def command() -> Callable[..., Any]:
    """The whole command line, ready to be called with `args`."""
    app = typer.Typer(cls=_Lazy, add_completion=False, no_args_is_help=True, **SETTINGS)
    app.callback()(_certbound)
    return typer.main.get_command(app)


def existing() -> tuple[str, ...]:
    """The names of the commands that are installed here."""
    return tuple(name for name in COMMANDS if find_spec(_module(name)))


def find(name: str) -> typer.Typer:
    """The command `name`, its file read."""
    module = import_module(_module(name))
    app = getattr(module, "app", None)
    if isinstance(app, typer.Typer):
        return app
    app = typer.Typer(add_completion=False, **SETTINGS)
    instead = getattr(module, "INSTEAD", {})
    settings = {**SETTINGS["context_settings"], "allow_extra_args": ARGUMENT in instead}
    kind = type("_Command", (_Advising,), {"instead": instead})
    app.command(name, cls=kind, context_settings=settings)(getattr(module, name.replace("-", "_")))
    return app


def _module(name: str) -> str:
    return f"certbound.cli.{name.replace('-', '_')}"


def group(purpose: str) -> typer.Typer:
    """A command that has commands."""
    return typer.Typer(help=purpose, add_completion=False, no_args_is_help=True, **SETTINGS)


class _Advising(TyperCommand):
    """A command that says what to write in the place of what people write in vain, where its file has a table of that
    (`INSTEAD`: options, and `ARGUMENT` for a word too many, which stands for `{}` there)."""

    instead: Mapping[str, str] = {}

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            rest = super().parse_args(ctx, args)
        except Exception as error:
            option = getattr(error, "option_name", None)  # of NoSuchOption, which typer has under a private name
            if not isinstance(option, str) or option not in self.instead:
                raise
            raise WrongUse(f"{option}: {self.instead[option]}", ctx=ctx) from error
        if rest and ARGUMENT in self.instead:
            raise WrongUse(self.instead[ARGUMENT].format(rest[0]), ctx=ctx)
        return rest


class WrongUse(typer.BadParameter):
    """Options that do not make sense together, or not here; exit status 2."""

    def format_message(self) -> str:
        return shown(self.message)


class _Lazy(TyperGroup):
    """A group that knows its commands by name and reads one when it is called."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        # The names are what suggestions for a typing error are taken from.
        self.commands = dict.fromkeys(existing())  # type: ignore[assignment]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        del ctx
        return typer.main.get_command(find(cmd_name)) if cmd_name in self.commands else None

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name]) for name in self.commands])


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"certbound {__version__}")
        raise typer.Exit


def _certbound(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    """OAuth 2.0 mutual TLS: tokens bound to client certificates (RFC 8705).

    Start with: certbound demo
    """
    del version
