"""A server process's store on PostgreSQL, as a program: `test_postgres_processes.py` starts several and gives orders.

It reads orders, a line of JSON each, and answers each with a line of JSON.  What PostgreSQL refuses meanwhile is the
answer `unavailable`, never the end of the process.  Times are of the machine's monotonic clock, the same for all.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from certbound.core.errors import StoreUnavailable
from certbound.core.ports import AlreadyExists, AlreadyTaken, GrantRecord, Store, TicketKind
from certbound.stores import open_store
from certbound.testing.store_accounts import account
from certbound.testing.store_grants import grant as grant_record
from certbound.testing.store_tickets import ticket
from certbound.testing.stores import client, key

NOW = 1_700_000_000.0


async def use(store: Store, order: dict[str, Any]) -> list[bool | None]:
    """Which of the values were used here first; None where nobody knows."""

    async def once(value: str) -> bool | None:
        try:
            return await store.tokens.use("jti", value, until=NOW + 300, now=NOW)
        except StoreUnavailable:
            return None

    return await asyncio.gather(*(once(value) for value in order["values"]))


async def add(store: Store, order: dict[str, Any]) -> float:
    """When the client was registered."""
    await store.clients.add(client(order["id"]))
    return time.monotonic()


async def hear(store: Store, order: dict[str, Any]) -> float:
    """When this process found the client, without asking again and again."""
    while await store.clients.find(order["id"]) is None:
        await store.changed(timeout=10)
    return time.monotonic()


async def first_key(store: Store, order: dict[str, Any]) -> str:
    """The key that all sign with."""
    return (await store.keys.add_first(key(order["kid"]))).kid


async def succeed(store: Store, order: dict[str, Any]) -> int:
    """How many of the attempts to add a successor to the keys succeeded, all begun with the keys of now."""
    before = list(await store.keys.list())
    names = [f"{order['name']}{n}" for n in range(order["times"])]
    successors = [key(each, created_at=NOW + 1) for each in names]
    await asyncio.sleep(order["pause"])
    return sum(await asyncio.gather(*(store.keys.exchange(before, [*before, each]) for each in successors)))


async def grant(store: Store, order: dict[str, Any]) -> None:
    """A grant with its first refresh token."""
    record = GrantRecord(
        grant_id=order["id"], client_id="client", content={}, seed="s", subject="ann", created_at=NOW, ends_at=NOW + 600
    )
    await store.grants.open(record, order["digest"], now=NOW)


async def code(store: Store, order: dict[str, Any]) -> None:
    """Codes of these digests are given."""
    await asyncio.gather(*(store.tickets.add(ticket(each)) for each in order["digests"]))


async def redeem(store: Store, order: dict[str, Any]) -> list[str]:
    """Which of the codes, tried so often each, this process opened a grant for, of this name."""

    async def once(digest: str, number: int) -> str | None:
        name = f"{order['name']} {digest} {number}"
        opened = grant_record(name, thumbprint="", authorities=(), twins=())
        try:
            await store.grants.open(opened, name, now=NOW, ticket=(TicketKind.CODE, digest))
        except AlreadyTaken:
            return None
        return digest

    calls = (once(each, number) for number in range(order["times"]) for each in order["digests"])
    return [each for each in await asyncio.gather(*calls) if each is not None]


async def take(store: Store, order: dict[str, Any]) -> list[str]:
    """Which of the codes this process took, each for itself."""
    taken = await asyncio.gather(*(store.tickets.take(TicketKind.CODE, each, now=NOW) for each in order["digests"]))
    return [each for each, first in zip(order["digests"], taken, strict=True) if first]


async def call_pairwise(store: Store, order: dict[str, Any]) -> list[str]:
    """What a person is called in each sector, where this process has a proposal of its own."""
    calls = (store.subjects.pairwise("ann", each, proposed=f"{order['name']} {each}") for each in order["sectors"])
    return list(await asyncio.gather(*calls))


async def sign_up(store: Store, order: dict[str, Any]) -> list[str]:
    """Which of the names this process got."""

    async def once(name: str) -> str | None:
        try:
            return (await store.accounts.add(account(name, subject=f"{order['name']} {name}"))).username
        except AlreadyExists:
            return None

    return [each for each in await asyncio.gather(*map(once, order["names"])) if each is not None]


async def withdraw(store: Store, order: dict[str, Any]) -> bool:
    """Whether this process withdrew what the person agreed to."""
    return await store.consents.withdraw("ann", order["id"])


async def rotate(store: Store, order: dict[str, Any]) -> list[str]:
    """What became of so many attempts at once."""
    calls = (store.grants.rotate(order["digest"], order["successor"], now=NOW, grace=30) for _ in range(order["times"]))
    return [each.value for each in await asyncio.gather(*calls)]


async def load(store: Store, order: dict[str, Any]) -> list[str]:
    """Clients registered one after another for some seconds; whose registration was answered."""
    answered = []
    until = time.monotonic() + order["seconds"]
    number = 0
    while time.monotonic() < until:
        name = f"{order['name']}{number}"
        number += 1
        try:
            await store.clients.add(client(name))
        except StoreUnavailable:
            await asyncio.sleep(0.01)
        else:
            answered.append(name)
    return answered


_DOERS = (use, add, hear, first_key, succeed, grant, code, redeem, take, call_pairwise, sign_up, withdraw, rotate, load)
ORDERS: dict[str, Callable[[Store, dict[str, Any]], Awaitable[Any]]] = {each.__name__: each for each in _DOERS}


async def main(url: str) -> None:
    """Orders in, answers out, until the input ends."""
    store = await open_store(url)
    loop = asyncio.get_running_loop()
    print(json.dumps("open"), flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        order = json.loads(line)
        try:
            answer = await ORDERS[order["do"]](store, order)
        except StoreUnavailable:
            answer = "unavailable"
        print(json.dumps(answer), flush=True)
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
