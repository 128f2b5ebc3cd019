"""What commands ask of the person at the terminal, and read from the files that take the person's place.

Rule: no answer is no; what is left undone is said, with the option that would do it without asking.
"""

import sys
from pathlib import Path

import typer

from certbound.core.errors import ConfigurationError


def confirm(question: str, otherwise: str) -> None:
    """The person said yes.  `ConfigurationError` says what `otherwise` holds."""
    try:
        if typer.confirm(question):
            return
    except typer.Abort:
        sys.stderr.write("\n")
    raise ConfigurationError(f"{otherwise}; --yes removes without asking")


def new_password(file: Path | None, option: str) -> str:
    """From `file`, or what is typed twice, or from standard input; without the line's end."""
    if file is not None:
        return _one_line(read_text(file, option), f"{option}: {file}", option)
    if not sys.stdin.isatty():
        return _one_line(sys.stdin.read(), "standard input", option)
    try:
        typed: str = typer.prompt("Password", hide_input=True, confirmation_prompt="Again", err=True)
    except typer.Abort:
        sys.stderr.write("\n")
        raise ConfigurationError("nothing was changed; a password is needed") from None
    return typed


def read_text(file: Path, option: str) -> str:
    """What is in `file`, which `option` names.  `ConfigurationError` if it cannot be read."""
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{option}: {file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{option}: {file} holds no UTF-8 text") from error


def _one_line(text: str, where: str, option: str) -> str:
    found = text.removesuffix("\n").removesuffix("\r")
    if not found:
        raise ConfigurationError(f"{where} holds no password; give {option} FILE, or type it at a terminal")
    return found
