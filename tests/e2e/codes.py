"""Codes as the pages give them, made in the store: for tests that begin where the person has agreed."""

import asyncio
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any, TypeVar

from certbound.app import opened_store
from certbound.core.authentication import digest_of
from certbound.core.grants import authorization_code, device_code
from certbound.core.grants.authorization_code import Code
from certbound.core.login import Login
from certbound.core.ports import ConsentRecord, Store, TicketKind, TicketRecord
from certbound.trust.authority import Issued
from e2e.world import RESOURCE, Answer, World

T = TypeVar("T")

VERIFIER = "the-verifier-that-nobody-else-has-0123456789"
CHALLENGE = urlsafe_b64encode(sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
BACK = "https://app.example/back"
ALICE = "alice"
"""Somebody whom a login application knows."""
CODE = "authorization_code"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
PEOPLE = {"login__url": "https://login.example/", "login__clients": ["login"]}
"""Settings of a deployment whose people have no accounts here, so that anybody can be one."""


def in_store(world: World, change: Callable[[Store], Awaitable[T]]) -> T:
    """What `change` says of the deployment's store."""

    async def go() -> T:
        async with opened_store(world.settings) as store:
            return await change(store)

    return asyncio.run(go())


def agreed(
    world: World,
    client_id: str,
    *,
    lifetime: float = 60,
    person: str = ALICE,
    is_remembered: bool = True,
    **changes: Any,
) -> str:
    """A code for which the person agreed a moment ago; `lifetime` seconds from now."""
    secret, now = "cbac_" + secrets.token_urlsafe(32), time.time()
    code = Code(
        **{
            "client_id": client_id,
            "redirect_uri": BACK,
            "code_challenge": CHALLENGE,
            "subject": person,
            "scope": ("read", "write"),
            "resources": (RESOURCE,),
            "grant_id": secrets.token_urlsafe(16),
            "ends_at": now + lifetime,
            "auth_time": now,
            **changes,
        }
    )
    ticket = TicketRecord(
        kind=TicketKind.CODE,
        digest=digest_of(secret),
        content=authorization_code.write(code),
        created_at=now,
        ends_at=code.ends_at + authorization_code.REMEMBERED,
    )
    consent = ConsentRecord(
        subject=person, client_id=client_id, scope=code.scope, resources=code.resources, created_at=now
    )

    async def put(store: Store) -> None:
        if is_remembered:
            await store.consents.put(consent)
        await store.tickets.add(ticket)

    in_store(world, put)
    return secret


async def approve(store: Store, secret: str, person: str) -> None:
    """As the page of devices does it: `person` agrees to all that the device asks for."""
    found, now = await kept(store, TicketKind.DEVICE_CODE, secret), time.time()
    request = device_code.read(found.content)
    assert request
    agreed_to = {"scope": request.scope, "resources": request.resources}
    await store.consents.put(ConsentRecord(subject=person, client_id=request.client_id, **agreed_to))
    decided = device_code.decide(request, Login(subject=person, auth_time=now))
    assert await store.tickets.change(replace(found, content=device_code.write(decided)), now=now)


async def kept(store: Store, kind: TicketKind, secret: str) -> TicketRecord:
    """What is remembered of a code, of whichever kind."""
    found = await store.tickets.find(kind, digest_of(secret), now=time.time())
    assert found
    return found


def redeem(world: World, code: str, client_id: str | None, identity: Issued | None, /, **form: Any) -> Answer:
    """At the mutual-TLS alias; None takes a parameter away."""
    said = {"grant_type": CODE, "code": code, "redirect_uri": BACK, "code_verifier": VERIFIER, **form}
    return world.post(
        "token", client_id, identity, **{name: value for name, value in said.items() if value is not None}
    )


def refresh(world: World, token: str, client_id: str | None, identity: Issued | None, **form: Any) -> Answer:
    """At the mutual-TLS alias."""
    return world.post("token", client_id, identity, grant_type="refresh_token", refresh_token=token, **form)


def is_refused(answer: Answer, error: str = "invalid_grant") -> bool:
    return (answer.status, answer.json.get("error")) == (400, error)
