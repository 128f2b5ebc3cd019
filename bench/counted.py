"""certbound, whose every statement to SQLite is written down.

    counted.py FILE serve --config …

Each is a line of FILE: its first word.  Left out is what the server asks all the time, whoever calls: whether another
process changed something.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from typing import Any

from certbound.cli import main

FILE = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
connect = sqlite3.connect


def connect_watched(*arguments: Any, **options: Any) -> sqlite3.Connection:
    connection = connect(*arguments, **options)
    connection.set_trace_callback(write_down)
    return connection


def write_down(statement: str) -> None:
    words = statement.split()
    if words[-2:] != ["FROM", "revision"]:
        os.write(FILE, words[0].encode() + b"\n")


sqlite3.connect = connect_watched
sys.argv = ["certbound", *sys.argv[2:]]
sys.exit(main())
