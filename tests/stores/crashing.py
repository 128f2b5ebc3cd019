"""A process that changes stores and dies on the way, as a program: `test_crash.py` starts it and tells it what to do.

It reads orders, a line of JSON each, and answers each with a line of JSON.  For every order it forks, so that a round
costs no interpreter start; the child changes the store and the process that is killed is always a whole one.

Rules kept here:
- a kill is `SIGKILL`, from within at a numbered step, or from outside at a moment;
- the code under test is the package's own, unchanged: steps are counted by what SQLite tells of each statement,
  and by its progress handler, which it calls after each instruction of its virtual machine; on PostgreSQL, where
  nothing goes past SQLAlchemy, by its public events;
- a line in the pipe is written before the kill that follows it, so what it says did happen.
"""

import asyncio
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from sqlalchemy import Engine, Pool, event

from certbound.core.ports import AlreadyExists, AlreadyTaken, Origin, RevokedKind, RevokedMeanwhile, Rotation, Store
from certbound.stores import open_store
from certbound.testing.store_grants import GRACE, grant
from certbound.testing.store_tickets import CODE, find, take, ticket
from certbound.testing.store_tokens import access_token
from certbound.testing.stores import NOW, client, key, revocation, status

Order = dict[str, Any]


class Failpoint:
    """Counts what is done once it is armed, tells it, and kills the process at the step that was ordered."""

    def __init__(self, pipe: int, order: Order) -> None:
        self._pipe = pipe
        self._at = order.get("at", -1)
        self._instructions = order.get("grain") == "instructions"
        self._after_commit_begun = order.get("microseconds")
        self._commits_before = order.get("commits", 1) - 1
        self._armed = False
        self._committing = False
        self._count = 0
        event.listen(Pool, "reset", self._reset)
        if order["url"].startswith("sqlite"):
            event.listen(Pool, "connect", self._connect)
        else:
            event.listen(Engine, "before_cursor_execute", lambda _, __, statement, *___: self._statement(statement))
            event.listen(Engine, "commit", lambda _: self._commit())

    def arm(self) -> None:
        """Counting begins."""
        self._armed = True

    def disarm(self) -> None:
        """Counting ends; what it came to is told."""
        self.step("answered")
        self._armed = False
        self.tell(f"count {self._count}")

    def tell(self, what: str) -> None:
        """The ordering side will read it, whatever happens next."""
        os.write(self._pipe, f"{what}\n".encode())

    def step(self, name: str) -> None:
        """Something is about to be done, or was."""
        if self._armed:
            self.tell(name)
            if not self._instructions:
                self._advance()

    def _advance(self) -> None:
        if self._count == self._at:
            _die()
        self._count += 1

    def _statement(self, statement: str) -> None:
        """The database is about to execute it; SQLite in the thread of a connection."""
        if statement == "COMMIT":
            self._commit()
        else:
            self.step(" ".join(statement.split()[:3]))

    def _commit(self) -> None:
        self.step("commit")
        self._committing = self._armed
        if not self._armed or self._after_commit_begun is None:
            return
        if self._commits_before:
            self._commits_before -= 1
        else:
            threading.Thread(target=_die_in, args=(self._after_commit_begun,), daemon=True).start()

    def _reset(self, *_: Any) -> None:
        # A connection goes back to the pool; after a commit, that is the first moment of which we hear.
        self.step("committed" if self._committing else "released")
        self._committing = False

    def _connect(self, connection: Any, _: Any) -> None:
        connection.run_async(lambda driver: driver.set_trace_callback(self._statement))
        if self._instructions:
            connection.run_async(lambda driver: driver.set_progress_handler(self._instruction, 1))

    def _instruction(self) -> int:
        if self._armed:
            self._advance()
        return 0


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_in(microseconds: float) -> None:
    time.sleep(microseconds / 1e6)  # not a busy loop: that would keep the interpreter from the commit
    _die()


# The changes; the store that they meet has the client `old` with a grant, whose refresh token `first` was replaced by
# `second`, and no key; a code, and the person `ann` with one of everything.


async def add(store: Store, failpoint: Failpoint) -> None:
    """A client of several pages."""
    failpoint.arm()
    await store.clients.add(client("new", text="n" * 20_000))


async def replace_(store: Store, failpoint: Failpoint) -> None:
    """The old client grows by several pages."""
    old = await store.clients.find("old")
    assert old is not None
    failpoint.arm()
    await store.clients.replace(replace(old, metadata={"text": "r" * 20_000}, enabled=False))


async def remove(store: Store, failpoint: Failpoint) -> None:
    """The old client goes."""
    failpoint.arm()
    await store.clients.remove("old")


async def add_first(store: Store, failpoint: Failpoint) -> None:
    """The first key comes."""
    failpoint.arm()
    await store.keys.add_first(key("first"))


async def exchange(store: Store, failpoint: Failpoint) -> None:
    """Two keys for none, or they are there."""
    failpoint.arm()
    await store.keys.exchange([], [key("predecessor"), key("successor")])


async def revoke(store: Store, failpoint: Failpoint) -> None:
    """An authority that certified the old client, and every token it had."""
    failpoint.arm()
    await store.revocations.add(revocation(RevokedKind.AUTHORITY, "ca"))


async def revoke_client(store: Store, failpoint: Failpoint) -> None:
    """The old client, in three tables."""
    failpoint.arm()
    await store.revocations.add(revocation(RevokedKind.CLIENT, "old"))


async def open_grant(store: Store, failpoint: Failpoint) -> None:
    """Another one, with its first refresh token."""
    failpoint.arm()
    await store.grants.open(grant("new", "old"), "opened", now=NOW)


async def redeem(store: Store, failpoint: Failpoint) -> None:
    """A grant with its first refresh token, for a code."""
    failpoint.arm()
    await store.grants.open(grant("new", "old"), "opened", now=NOW, ticket=CODE)


async def obtain_grant(store: Store, failpoint: Failpoint) -> None:
    """A lasting exchange: a grant with its first refresh token, for a token of the old client."""
    subject = await _subject(store)
    failpoint.arm()
    await store.grants.open(grant("new", "old", sources=subject.sources), "opened", now=NOW, origin=subject.index)


async def obtain_status(store: Store, failpoint: Failpoint) -> None:
    """An exchange: the status of a token that is given for one of the old client."""
    subject = await _subject(store)
    failpoint.arm()
    given = status("old", "of the new one", sources=subject.sources, created_at=NOW + 1)
    await store.revocations.allot(given, now=NOW, origin=subject.index)


async def _subject(store: Store) -> Origin:
    affected = await store.revocations.affected(RevokedKind.CLIENT, "old", now=NOW)
    found = await store.revocations.origin(min(each.index for each in affected))
    assert found is not None
    return found


async def change_ticket(store: Store, failpoint: Failpoint) -> None:
    """The code says something else; or it does already."""
    found = await find(store)
    assert found is not None
    failpoint.arm()
    assert await store.tickets.change(replace(found, content={"text": "c" * 20_000}), now=NOW)


async def take_ticket(store: Store, failpoint: Failpoint) -> None:
    """The code, once."""
    failpoint.arm()
    await take(store)


async def withdraw(store: Store, failpoint: Failpoint) -> None:
    """What the person agreed to, in four tables; or it is withdrawn already."""
    failpoint.arm()
    await store.consents.withdraw("subject of ann", "old")


async def lock_out(store: Store, failpoint: Failpoint) -> None:
    """The person is logged out everywhere, and has no grant; or so it is already."""
    failpoint.arm()
    await store.accounts.end_all("subject of ann")


async def remove_account(store: Store, failpoint: Failpoint) -> None:
    """The person, in six tables."""
    failpoint.arm()
    await store.accounts.remove("subject of ann")


async def rotate(store: Store, failpoint: Failpoint) -> None:
    """The refresh token that counts gets its successor; or it has it, and that is repeated."""
    failpoint.arm()
    rotation = await store.grants.rotate("second", "third", now=NOW + 5, grace=GRACE)
    assert rotation in {Rotation.REPLACED, Rotation.REPEATED}


async def reuse(store: Store, failpoint: Failpoint) -> None:
    """A replaced refresh token comes back too late, and ends its grant; or it has ended it."""
    failpoint.arm()
    rotation = await store.grants.rotate("first", "second", now=NOW + GRACE + 1, grace=GRACE)
    assert rotation in {Rotation.REUSED, Rotation.GONE}


async def revoke_grant(store: Store, failpoint: Failpoint) -> None:
    """The grant and its status, once."""
    failpoint.arm()
    await store.grants.revoke("grant", now=NOW)


async def add_token(store: Store, failpoint: Failpoint) -> None:
    """An opaque token."""
    failpoint.arm()
    await store.tokens.add(access_token("opaque", sub="old"))


async def use(store: Store, failpoint: Failpoint) -> None:
    """A value, once."""
    failpoint.arm()
    await store.tokens.use("jti", "once", until=NOW + 60, now=NOW)


async def crowd(store: Store, failpoint: Failpoint) -> None:
    """All who come at once, and share a commit: some of them are refused, each alone."""
    failpoint.arm()
    told = await asyncio.gather(
        store.grants.open(grant("new", "old"), "opened", now=NOW, ticket=CODE),
        store.grants.open(grant("late", "old"), "too late", now=NOW, ticket=CODE),
        store.grants.open(grant("refused", "nobody"), "refused", now=NOW),
        store.grants.rotate("second", "third", now=NOW + 5, grace=GRACE),
        store.grants.rotate("second", "third", now=NOW + 5, grace=GRACE),
        store.tickets.add(ticket("other")),
        store.tickets.add(ticket("other")),
        return_exceptions=True,
    )
    assert [type(each) for each in told if isinstance(each, Exception)] == [
        AlreadyTaken,
        RevokedMeanwhile,
        AlreadyExists,
    ]
    assert told[3:5] == [Rotation.REPLACED, Rotation.REPEATED]


async def change(order: Order, failpoint: Failpoint) -> None:
    """One change, and its answer."""
    store = await open_store(order["url"])
    await CHANGES[order["change"]](store, failpoint)
    failpoint.disarm()
    await store.close()


async def migrate(order: Order, failpoint: Failpoint) -> None:
    """A new database, all steps of its migration."""
    failpoint.arm()
    store = await open_store(order["url"])
    failpoint.disarm()
    await store.close()


async def load(order: Order, failpoint: Failpoint) -> None:
    """Changes without end, each told when it was answered: add, replace and remove by turns."""
    store = await open_store(order["url"])
    name = order["name"]
    failpoint.tell("open")
    for n in range(1_000_000):
        record = await store.clients.add(client(f"{name}{n}", n=n))
        failpoint.tell("answered")
        await store.clients.replace(replace(record, metadata={"n": n, "again": True}))
        failpoint.tell("answered")
        if n % 2:
            await store.clients.remove(f"{name}{n - 1}")
            failpoint.tell("answered")


CHANGES: dict[str, Callable[[Store, Failpoint], Awaitable[None]]] = {
    "add": add,
    "replace": replace_,
    "remove": remove,
    "add_first": add_first,
    "exchange": exchange,
    "revoke": revoke,
    "revoke_client": revoke_client,
    "open_grant": open_grant,
    "redeem": redeem,
    "obtain_grant": obtain_grant,
    "obtain_status": obtain_status,
    "change_ticket": change_ticket,
    "take_ticket": take_ticket,
    "withdraw": withdraw,
    "lock_out": lock_out,
    "remove_account": remove_account,
    "rotate": rotate,
    "reuse": reuse,
    "revoke_grant": revoke_grant,
    "add_token": add_token,
    "use": use,
    "crowd": crowd,
}


# The forks


def begin(order: Order) -> tuple[int, int]:
    """A child that does what is ordered: its process id, and the pipe of what it tells."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    os.close(reading)
    try:
        asyncio.run(WORK[order["work"]](order, Failpoint(writing, order)))
    except BaseException:  # noqa: BLE001 - a fork ends here, whatever happened
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def end(child: int, reading: int) -> dict[str, Any]:
    """How the child ended, and all that it told."""
    with os.fdopen(reading) as pipe:
        told = pipe.read().splitlines()
    _, status = os.waitpid(child, 0)
    return {"status": os.waitstatus_to_exitcode(status), "told": told}


def kill_after(orders: list[Order], seconds: float) -> list[dict[str, Any]]:
    """Children at work at once, all killed at one moment, so long after all have opened the store."""
    children = [begin(order) for order in orders]
    for _, reading in children:
        assert os.read(reading, 5) == b"open\n"
    time.sleep(seconds)
    for child, _ in children:
        os.kill(child, signal.SIGKILL)
    return [end(child, reading) for child, reading in children]


WORK: dict[str, Callable[[Order, Failpoint], Any]] = {"change": change, "migrate": migrate, "load": load}


async def warm() -> None:
    """What a first store of a process loads is loaded, so that no child has to."""
    store = await open_store("sqlite://")
    await store.close()


def main() -> None:
    """Orders in, answers out, until the input ends."""
    asyncio.run(warm())
    for line in sys.stdin:
        order = json.loads(line)
        if "seconds" in order:
            answer: Any = kill_after(order["orders"], order["seconds"])
        else:
            answer = end(*begin(order))
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
