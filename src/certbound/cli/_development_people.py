"""The person who can log in at `certbound dev`, and the app that acts for them: one account, and a client that proves
nothing, so that `certbound login` can be tried at once.

Rule 1: the password is made here and lies in the folder, readable by its owner only; nobody elsewhere knows it.
Rule 2: what the app obtains is bound all the same, to the certificate that each machine makes for itself.
"""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from certbound import app
from certbound.cli._actor import actor
from certbound.cli._development import PEOPLE, READ, WRITE, Development, write_whole
from certbound.core.clients import Method
from certbound.server.accounts import AccountBook

USERNAME = "anna"
CLAIMS = {"name": "Anna Nová", "email": "anna@example.com", "email_verified": True}
TOOL = "tool"
TOOL_METADATA: Mapping[str, Any] = {
    "client_name": "A tool on a person's machine",
    "token_endpoint_auth_method": Method.NONE.value,
    "tls_client_certificate_bound_access_tokens": True,
    "grant_types": ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
    "redirect_uris": ["http://127.0.0.1/"],
    "scope": " ".join((*PEOPLE, READ, WRITE)),
}


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


async def add_tool(development: Development) -> None:
    """`certbound login` can name the client; one of that name that is there already stays what it is."""
    async with app.open_registry(development.settings) as registry:
        if await registry.find(TOOL) is None:
            await registry.register(TOOL_METADATA, client_id=TOOL)
