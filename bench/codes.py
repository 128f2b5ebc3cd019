"""Authorization codes without a person or a page: put where each server looks for them.

All are of client `app`, of a hundred people, for `openid api`, and fit one verifier.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlencode

from pki import RESOURCE, Pki
from place import BenchError

import client
from certbound.core.authentication import digest_of
from certbound.core.grants.authorization_code import Code, write
from certbound.core.ports import AccountRecord, ConsentRecord, Store, TicketKind, TicketRecord
from certbound.stores import open_store

REDIRECT_URI = "https://app.example/back"
SCOPE = ("api", "openid")
VERIFIER = "bench-" + "v" * 43
CHALLENGE = urlsafe_b64encode(sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
PEOPLE = 100
LONG = 3600.0
"""Seconds: until the bench has ended."""


def ask_for_codes(pki: Pki, port: int, _: Path, count: int) -> Sequence[str]:
    """Those that oidc-provider makes by its own models."""
    form = urlencode({"count": count, "challenge": CHALLENGE})
    answer = client.ask(client.make_context(pki, None), port, "/codes", form)
    if answer.status != 200:
        raise BenchError(f"no codes: {answer.status} {answer.body[:300]!r}")
    return answer.body.decode().split()


def pour_codes(_: Pki, __: int, folder: Path, count: int) -> Sequence[str]:
    """Those that we write into certbound's store, with the accounts and consents of the people."""
    return asyncio.run(_pour(f"sqlite:///{folder / 'certbound.sqlite'}", count))


async def _pour(url: str, count: int) -> Sequence[str]:
    store = await open_store(url)
    try:
        for number in range(PEOPLE):
            await _add_person(store, f"person-{number}")
        codes = [f"cbac_{secrets.token_urlsafe(32)}" for _ in range(count)]
        for number, code in enumerate(codes):
            await store.tickets.add(_ticket(code, f"person-{number % PEOPLE}"))
    finally:
        await store.close()
    return codes


async def _add_person(store: Store, name: str) -> None:
    now = time.time()
    await store.accounts.add(AccountRecord(subject=name, username=name, created_at=now))
    consent = ConsentRecord(subject=name, client_id="app", scope=SCOPE, resources=(RESOURCE,), created_at=now)
    await store.consents.put(consent)


def _ticket(code: str, person: str) -> TicketRecord:
    now = time.time()
    agreed = Code(
        client_id="app",
        redirect_uri=REDIRECT_URI,
        code_challenge=CHALLENGE,
        subject=person,
        scope=SCOPE,
        resources=(RESOURCE,),
        grant_id=secrets.token_urlsafe(16),
        ends_at=now + LONG,
        auth_time=now,
        amr=("pwd",),
    )
    return TicketRecord(
        kind=TicketKind.CODE, digest=digest_of(code), content=write(agreed), created_at=now, ends_at=now + LONG
    )
