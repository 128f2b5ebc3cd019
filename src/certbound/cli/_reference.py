"""Writes pages of `docs/reference` from the code, those of `main`: `python -m certbound.cli._reference`.

With `--check` it writes nothing, and fails if the files are not what it would write.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from inspect import cleandoc
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer
from typer.models import ArgumentInfo, OptionInfo
from typer.utils import get_params_from_function

from certbound.cli._commands import existing, find
from certbound.settings import Key, keys, rows, sections, show_toml
from certbound.tls.forwarded import CONTRACTS, contract_of

_MADE = "<!-- Made by `python -m certbound.cli._reference`; do not edit. -->"


def main(arguments: Sequence[str]) -> int:
    """Writes the pages under `docs/reference`, or with `--check` compares them; 1 if they differ."""
    folder = Path("docs/reference")
    pages = {
        folder / "settings.md": settings_page(),
        folder / "cli.md": commands_page(),
        folder / "contracts.md": contracts_page(),
    }
    if "--check" not in arguments:
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in pages.items():
            file.write_text(text, encoding="utf-8")
        return 0
    stale = [file for file, text in pages.items() if not file.exists() or file.read_text(encoding="utf-8") != text]
    for file in stale:
        sys.stderr.write(f"{file} is not what the code says; run: python -m certbound.cli._reference\n")
    return int(bool(stale))


def settings_page() -> str:
    """Every key of certbound.toml."""
    return "\n".join([_MADE, "# Settings", "", *_INTRODUCTION, *_settings()])


def commands_page() -> str:
    """Every command and its options."""
    return "\n".join([_MADE, "# Commands", "", *(line for name in existing() for line in _command(name, find(name)))])


def contracts_page() -> str:
    """Every contract of a proxy: the headers that it reads, by the word that renames each, and those it only owns."""
    rows = (
        f"| `{name}` | {_headers(contract_of(name))} | {', '.join(f'`{each}`' for each in kind.beside)} |"
        for name, kind in CONTRACTS.items()
    )
    return "\n".join([_MADE, "# Contracts of proxies", "", *_CONTRACTS, *rows, ""])


def _headers(contract: Any) -> str:
    named = ((role, getattr(contract, f"{role}_header")) for role in contract.roles())
    return ", ".join(f"{role} `{header}`" if header else f"{role} (in use where it is named)" for role, header in named)


def _settings() -> Iterator[str]:
    for section, kind in sections().items():
        yield from (f"## [{section}]", "", f"{kind.__doc__}", "", "| key | value | default | |", "|---|---|---|---|")
        yield from (_setting(key) for key in keys(section).values())
        yield ""
        for name, table in rows(section).items():
            yield from (f"Each `[[{section}.{name}]]`:", "", "| key | value | default | |", "|---|---|---|---|")
            yield from (_setting(key) for key in table.values())
            yield ""


def _setting(key: Key) -> str:
    default = "**required**" if key.required else "" if key.default in {None, ()} else f"`{show_toml(key.default)}`"
    return f"| `{key.name}` | {_cell(key.kind)} | {default} | {_cell(key.description)} |"


def _command(name: str, app: typer.Typer) -> Iterator[str]:
    if isinstance(app.info.help, str):
        yield from (f"## certbound {name}", "", app.info.help, "")
        for each in app.registered_commands:
            yield from _function(f"### certbound {name} {each.name or _callback(each).__name__}", _callback(each))
    else:
        yield from _function(f"## certbound {name}", _callback(app.registered_commands[0]))


def _callback(command: Any) -> Callable[..., Any]:
    found: Callable[..., Any] = command.callback
    return found


def _function(title: str, function: Callable[..., Any]) -> Iterator[str]:
    yield from (title, "")
    for paragraph in cleandoc(function.__doc__ or "").split("\n\n"):
        text, colon, example = paragraph.partition(": certbound ")
        yield from (f"{text}:", "", "```console", f"$ certbound {example}", "```", "") if colon else (paragraph, "")
    parameters = get_params_from_function(function)
    if parameters:
        yield from ("| | |", "|---|---|", *(_parameter(each) for each in parameters.values()), "")


def _parameter(parameter: Any) -> str:
    """A row: how it is written, and what it means."""
    info = parameter.default
    kind = (get_args(parameter.annotation) or (parameter.annotation,))[0]
    if isinstance(info, ArgumentInfo):
        return f"| `{info.metavar or parameter.name.upper()}` | {_cell(info.help or '')} |"
    plain = parameter.name.replace("_", "-")
    names = info.param_decls or ((f"--{plain}/--no-{plain}" if kind is bool else f"--{plain}"),)
    written = ", ".join(f"`{each}{_value(info)}`" for each in names)
    choices = get_args(parameter.annotation) if get_origin(parameter.annotation) is Literal else ()
    one_of = f" One of {', '.join(f'`{each}`' for each in choices)}." if choices else ""
    return f"| {written} | {_cell(info.help or '')}{one_of} |"


def _value(info: OptionInfo) -> str:
    return f" {info.metavar}" if info.metavar else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


_CONTRACTS = (
    "What a proxy and certbound have agreed on: one is declared, nothing is detected.  Each header stands once, and is",
    "read in one way or refused with 400.  All of them, and every spelling that some server takes for one, are removed",
    "from what anybody but the proxy sends.",
    "",
    "| contract | reads | removes as well |",
    "|---|---|---|",
)
_INTRODUCTION = [
    "One TOML file. Each key can also come from the environment as `CERTBOUND_SECTION__KEY`, which wins over the",
    "file; lists are written with commas, lists of tables as JSON. A secret can come from a file:",
    "`CERTBOUND_KEYS__PASSWORD_FILE`. Relative paths start at the directory of the settings file, or at the working",
    "directory where the environment names them. A key that nobody knows stops the start, and so do keys that",
    "contradict each other.",
    "",
]

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
