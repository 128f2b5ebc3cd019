"""What commands print: facts to standard output, the rest to standard error, all of it shown and never run."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import typer

from certbound.core.display import shown


def say(*lines: str) -> None:
    """Each line to standard output."""
    for line in lines:
        typer.echo(shown(line))


def note(line: str) -> None:
    """A remark to standard error: it is no part of the answer."""
    typer.echo(f"certbound: {shown(line)}", err=True)


def say_json(value: Any) -> None:
    """`value` to standard output as JSON in ASCII."""
    typer.echo(json.dumps(value, indent=2))


def say_table(rows: Iterable[Sequence[str]], *, indent: str = "") -> None:
    """Rows to standard output, their columns aligned."""
    cells = [[shown(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        typer.echo((indent + "  ".join(padded)).rstrip())


def date(seconds: float) -> str:
    """A time in seconds since the epoch, for people."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
