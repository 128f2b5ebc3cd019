"""What the SQLite databases of this process are asked, as SQLite tells it: also past SQLAlchemy."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Pool, event

_WORDS = ("SELECT", "INSERT", "UPDATE", "DELETE")
_VALUE = re.compile(r"'(?:[^']|'')*'|\b\d+(?:\.\d+)?(?:e[+-]?\d+)?", re.IGNORECASE)


@contextmanager
def statements_seen() -> Iterator[list[str]]:
    """The statements, with their values, that are executed on connections lent from now on."""
    seen: list[str] = []

    def see(statement: str) -> None:
        if statement.startswith(_WORDS):
            seen.append(statement)

    def watch(connection: Any, *_: Any) -> None:
        connection.run_async(lambda driver: driver.set_trace_callback(see))

    event.listen(Pool, "checkout", watch)
    try:
        yield seen
    finally:
        event.remove(Pool, "checkout", watch)


def without_values(statements: list[str]) -> tuple[str, ...]:
    """What they have in common with those that ask the same of something else."""
    return tuple(_VALUE.sub("?", each) for each in statements)
