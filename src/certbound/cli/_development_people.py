"""The person who can log in at `certbound dev`: one account, so that apps that act for people can be tried at once.

Rule: the password is made here and lies in the folder, readable by its owner only; nobody elsewhere knows it.
"""

import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from certbound import app
from certbound.cli._actor import actor
from certbound.cli._development import Development, write_whole
from certbound.server.accounts import AccountBook

USERNAME = "anna"
CLAIMS = {"name": "Anna Nová", "email": "anna@example.com", "email_verified": True}


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an account, and where the password is."""

    username: str
    password: str
    file: Path


async def add_person(development: Development) -> Person:
    """She can log in with the password in the file; a file that is gone means another password."""
    file = development.folder / f"{USERNAME}.password"
    kept = file.read_text(encoding="utf-8").strip() if file.exists() else ""
    password = kept or secrets.token_urlsafe(9)
    if not kept:
        write_whole(file, password + "\n", mode=0o600)
    async with app.opened_store(development.settings) as store:
        book = AccountBook(store, time.time, actor())
        if await book.find(USERNAME) is None:
            await book.add(USERNAME, password, CLAIMS)
        elif not kept:
            await book.set_password(USERNAME, password)
    return Person(USERNAME, password, file)
