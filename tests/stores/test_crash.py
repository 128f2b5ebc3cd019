"""`kill -9` between any two steps of a change, within them, and after the commit before the reply.

After each kill the database must open, be whole, and hold the state before the change or the state after it: the same
revision, the same versions, the same records as an undisturbed run.  Before the commit began it is the one, after the
commit the other.  Who repeats a change after it, because no answer came, has what one change makes.
"""

import asyncio
import json
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from certbound.core.ports import Revision
from certbound.stores import migrations, open_store, pending, schema
from certbound.testing.store_accounts import settled
from certbound.testing.store_grants import grant
from certbound.testing.store_tickets import ticket
from certbound.testing.stores import NOW, allot, client, status

CHANGES = {
    "add": Revision(1, 0),
    "replace": Revision(1, 0),
    "remove": Revision(1, 1),
    "add_first": Revision(1, 0),
    "exchange": Revision(1, 0),
    "revoke": Revision(1, 1),
    "revoke_client": Revision(1, 1),
    "open_grant": Revision(0, 0),
    "redeem": Revision(0, 0),
    "obtain_grant": Revision(0, 0),
    "change_ticket": Revision(0, 0),
    "take_ticket": Revision(0, 0),
    "withdraw": Revision(0, 1),
    "lock_out": Revision(0, 1),
    "remove_account": Revision(0, 1),
    "rotate": Revision(0, 0),
    "reuse": Revision(0, 1),
    "revoke_grant": Revision(0, 1),
    "add_token": Revision(0, 0),
    "use": Revision(0, 0),
    "crowd": Revision(0, 0),
}
"""How far each moves the revision."""
REPEATABLE = {
    "add_first", "exchange", "rotate", "reuse", "revoke_grant", "take_ticket", "withdraw", "lock_out", "add_token",
    "use",
}  # fmt: skip
"""Those that may be asked for again where no answer came."""
TABLES = sorted(set(schema.tables.tables) - {"revision"})


@dataclass(frozen=True)
class State:
    """All that a store holds."""

    revision: Revision
    rows: dict[str, list[Any]]


@dataclass(frozen=True)
class Undisturbed:
    """A change that nobody killed."""

    before: State
    after: State
    steps: int
    commits: int


class Crasher:
    """The process of `crashing.py`, and databases for it to change."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-W", "error", str(Path(__file__).with_name("crashing.py"))]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._folder = folder
        self._numbers = count()
        self._template = self.fresh(filled=False)
        asyncio.run(_fill(self._template))

    def fresh(self, *, filled: bool = True) -> Path:
        """A database with one client, or a path where there is none yet."""
        path = self._folder / f"{next(self._numbers)}.db"
        if filled:
            shutil.copy(self._template, path)
        return path

    def order(self, **order: Any) -> Any:
        """What became of it."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """The process has ended."""
        self._process.communicate()


@pytest.fixture(scope="module")
def crasher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crasher]:
    """One warm process for the module."""
    crasher = Crasher(tmp_path_factory.mktemp("crash"))
    yield crasher
    crasher.close()


async def _fill(path: Path) -> None:
    store = await open_store(f"sqlite:///{path}")
    await store.clients.add(client("gone"))
    await store.clients.add(client("old", text="o" * 5000))
    await store.clients.remove("gone")
    await store.grants.open(grant("grant", "old"), "first", now=NOW)
    await store.grants.rotate("first", "second", now=NOW, grace=0)
    for n in range(3):
        await allot(store, status("old", f"{n}", "ca", grant_id="grant" if n else ""))
    await store.tickets.add(ticket(content={"text": "t" * 5000}))
    await settled(store, "ann", "old")
    await store.close()


def _state(path: Path) -> State:
    """All that the database holds; it is whole, and opens by itself."""
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = {table: database.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() for table in TABLES}
        [numbers] = database.execute("SELECT number, statuses FROM revision").fetchall()
    return State(Revision(*numbers), rows)


def _opened(path: Path) -> State:
    """The same once a store has opened it, which finds its schema complete."""

    async def open_and_close() -> None:
        url = f"sqlite:///{path}"
        store = await open_store(url)
        await store.close()
        assert await pending(url) == []

    asyncio.run(open_and_close())
    return _state(path)


def _undisturbed(crasher: Crasher, change: str) -> Undisturbed:
    path = crasher.fresh()
    before = _state(path)
    answer = crasher.order(work="change", change=change, url=f"sqlite:///{path}")
    after = _state(path)
    assert before != after
    moved = CHANGES[change]
    assert after.revision == (before.revision.records + moved.records, before.revision.statuses + moved.statuses)
    return Undisturbed(before, after, _count(answer), answer["told"].count("commit"))


def _count(answer: dict[str, Any]) -> int:
    assert answer["status"] == 0
    return int(answer["told"][-1].removeprefix("count "))


def _check(path: Path, told: list[str], change: Undisturbed) -> str:
    """What stands after a kill: all of the change, or nothing.  Its last transaction is the one that counts."""
    state = _state(path)
    if told.count("committed") == change.commits:
        assert state == change.after, told
    elif told.count("commit") < change.commits:
        assert state == change.before, told
    else:
        assert state in (change.before, change.after), told
    return "after" if state == change.after else "before"


@pytest.mark.parametrize("change", CHANGES)
def test_killed_between_any_two_steps(change: str, crasher: Crasher) -> None:
    """A change that dies before any of its statements, before or after its commit, stands wholly or not at all."""
    whole = _undisturbed(crasher, change)
    seen: list[tuple[str, str]] = []
    for at in range(whole.steps):
        path = crasher.fresh()
        url = f"sqlite:///{path}"
        answer = crasher.order(work="change", change=change, url=url, at=at)
        assert answer["status"] == -9
        assert len(answer["told"]) == at + 1
        stands = _check(path, answer["told"], whole)
        if change in REPEATABLE and stands not in [state for _, state in seen]:  # from one state one repetition
            assert crasher.order(work="change", change=change, url=url)["status"] == 0
            assert _state(path).rows == whole.after.rows
        seen.append((answer["told"][-1], stands))
    assert _opened(path) == _state(path)
    assert ("BEGIN IMMEDIATE", "before") in seen
    assert ("commit", "before") in seen
    assert seen[-2:] == [("committed", "after"), ("answered", "after")]
    assert {step.split()[0] for step, _ in seen} & {"INSERT", "UPDATE", "DELETE"}


@pytest.mark.parametrize("each", [9, pytest.param(1, marks=pytest.mark.wide)])
def test_killed_between_any_two_steps_of_a_migration(each: int, crasher: Crasher) -> None:
    """A first start that dies at any step, or at each ninth and the last ones, is finished by the next start."""
    path = crasher.fresh(filled=False)
    steps = _count(crasher.order(work="migrate", url=f"sqlite:///{path}"))
    whole = _opened(path)
    for at in sorted({*range(0, steps, each), *range(steps - 4, steps)}):
        path = crasher.fresh(filled=False)
        url = f"sqlite:///{path}"
        answer = crasher.order(work="migrate", url=url, at=at)
        assert answer["status"] == -9
        assert list(asyncio.run(pending(url))) == ([] if "committed" in answer["told"] else list(migrations.every()))
        assert _opened(path) == whole


@pytest.mark.wide
@pytest.mark.parametrize("change", CHANGES)
def test_killed_between_instructions(change: str, crasher: Crasher) -> None:
    """Kills between two instructions of SQLite's machine, at fifty of them all over the change."""
    whole = _undisturbed(crasher, change)
    url = f"sqlite:///{crasher.fresh()}"
    instructions = _count(crasher.order(work="change", change=change, url=url, grain="instructions"))
    assert instructions > 20
    for at in sorted(random.sample(range(instructions), min(50, instructions))):
        path = crasher.fresh()
        answer = crasher.order(work="change", change=change, url=f"sqlite:///{path}", at=at, grain="instructions")
        assert answer["status"] == -9
        _check(path, answer["told"], whole)


@pytest.mark.wide
@pytest.mark.parametrize("change", CHANGES)
def test_killed_within_the_commit(change: str, crasher: Crasher) -> None:
    """Fifty kills 0 to 5 ms after the commit began, while the log is written and synced.

    More and later ones where the machine is so busy that no commit was done by then.
    """
    whole = _undisturbed(crasher, change)
    seen: list[tuple[str, str]] = []
    for n in range(400):
        if n >= 50 and {step for step, _ in seen} > {"commit"}:
            break
        path = crasher.fresh()
        url = f"sqlite:///{path}"
        microseconds = random.uniform(0, n * 100)
        answer = crasher.order(work="change", change=change, url=url, microseconds=microseconds, commits=whole.commits)
        assert answer["status"] in (-9, 0)
        seen.append((answer["told"][-1], _check(path, answer["told"], whole)))
    assert {state for _, state in seen} == {"before", "after"}
    assert {step for step, _ in seen} > {"commit"}  # some died within it, some later


def _changed(name: str, changes: int) -> dict[str, dict[str, Any]]:
    """The clients after so many changes of the load called `name`."""
    clients: dict[str, dict[str, Any]] = {}
    for n in count():
        turns: list[tuple[str, dict[str, Any] | None]] = [
            (f"{name}{n}", {"n": n}),
            (f"{name}{n}", {"n": n, "again": True}),
            *([(f"{name}{n - 1}", None)] if n % 2 else []),
        ]
        for identifier, metadata in turns:
            if changes == 0:
                return clients
            changes -= 1
            if metadata is None:
                del clients[identifier]
            else:
                clients[identifier] = metadata
    raise AssertionError


def _standing(name: str, answer: dict[str, Any], state: State) -> int:
    """How many changes of this load stand: those that were answered, and perhaps the next one."""
    answered: int = answer["told"].count("answered")
    there = {each[0]: json.loads(each[1]) for each in state.rows["clients"] if each[0].startswith(name)}
    matching = [n for n in (answered, answered + 1) if _changed(name, n) == there]
    assert matching, f"{answered} answered changes are not what stands"
    return matching[0]


def _load_round(crasher: Crasher, path: Path, seconds: float) -> int:
    url = f"sqlite:///{path}"
    orders = [{"work": "load", "url": url, "name": name} for name in "ab"]
    answers = crasher.order(orders=orders, seconds=seconds)
    assert [answer["status"] for answer in answers] == [-9, -9]
    before, state = _state(crasher.fresh()), _opened(path)
    changes = [_standing(name, answer, state) for name, answer in zip("ab", answers, strict=True)]
    total, removed = sum(changes), sum(each // 5 for each in changes)  # the last of five removes a client
    assert state.revision == (before.revision.records + total, before.revision.statuses + removed)
    versions = [row[3] for row in state.rows["clients"]]
    assert len(set(versions)) == len(versions)
    assert max(versions) <= state.revision.records
    return total


def test_killed_under_load(crasher: Crasher) -> None:
    """Two writing processes die at a random moment: every answered change stands, and at most one more of each."""
    totals = [_load_round(crasher, crasher.fresh(), random.uniform(0.02, 0.2)) for _ in range(3)]
    assert sum(totals) > 0


@pytest.mark.wide
@pytest.mark.timeout(300)
def test_killed_under_load_many_times(crasher: Crasher) -> None:
    """The same 200 times."""
    totals = [_load_round(crasher, crasher.fresh(), random.uniform(0.0, 0.15)) for _ in range(200)]
    assert sum(totals) > 200
