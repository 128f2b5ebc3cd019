"""`kill -9` between any two steps of a change, within them, and after the commit before the reply.

After each kill the database must open, be whole, and hold the state before the change or the state after it: the same
revision, the same versions, the same records as an undisturbed run.  Before the commit began it is the one, after the
commit the other.
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
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from certbound.stores import migrations, open_store, pending
from certbound.testing.stores import NOW, allot, client, status

CHANGES = ["add", "replace", "remove", "add_first", "revoke", "revoke_client"]

State = tuple[int, list[Any], list[Any], list[Any], Any]


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


@pytest.fixture
def crasher(tmp_path: Path) -> Iterator[Crasher]:
    """One warm process for the test."""
    crasher = Crasher(tmp_path)
    yield crasher
    crasher.close()


async def _fill(path: Path) -> None:
    store = await open_store(f"sqlite:///{path}")
    await store.clients.add(client("gone"))
    await store.clients.add(client("old", text="o" * 5000))
    await store.clients.remove("gone")
    for n in range(3):
        await allot(store, status("old", f"{n}", "ca"))
    await store.close()


def _state(path: Path) -> State:
    """All that the store holds; the database is whole and its schema complete."""
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]

    async def read() -> State:
        url = f"sqlite:///{path}"
        store = await open_store(url)
        state = (
            await store.revision(),
            list(await store.clients.list()),
            list(await store.keys.list()),
            list(await store.revocations.list()),
            await store.revocations.statuses(NOW),
        )
        await store.close()
        assert await pending(url) == []
        return state

    return asyncio.run(read())


def _states(crasher: Crasher, change: str) -> tuple[State, State, int, int]:
    """Before and after an undisturbed change, and how many steps and instructions it has."""
    path = crasher.fresh()
    before = _state(path)
    url = f"sqlite:///{path}"
    steps = _count(crasher.order(work="change", change=change, url=url))
    after = _state(path)
    assert before != after
    assert after[0] == before[0] + 1
    again = f"sqlite:///{crasher.fresh()}"
    return before, after, steps, _count(crasher.order(work="change", change=change, url=again, grain="instructions"))


def _count(answer: dict[str, Any]) -> int:
    assert answer["status"] == 0
    return int(answer["told"][-1].removeprefix("count "))


def _check(path: Path, told: list[str], before: State, after: State) -> str:
    state = _state(path)
    if "committed" in told:
        assert state == after, told
    elif "commit" not in told:
        assert state == before, told
    else:
        assert state in (before, after), told
    return "after" if state == after else "before"


@pytest.mark.parametrize("change", CHANGES)
def test_killed_between_any_two_steps(change: str, crasher: Crasher) -> None:
    """A change that dies before any of its statements, before or after its commit, stands wholly or not at all."""
    before, after, steps, _ = _states(crasher, change)
    seen = []
    for at in range(steps):
        path = crasher.fresh()
        answer = crasher.order(work="change", change=change, url=f"sqlite:///{path}", at=at)
        assert answer["status"] == -9
        assert len(answer["told"]) == at + 1
        seen.append((answer["told"][-1], _check(path, answer["told"], before, after)))
    assert ("BEGIN IMMEDIATE", "before") in seen
    assert ("commit", "before") in seen
    assert seen[-2:] == [("committed", "after"), ("answered", "after")]
    assert {step.split()[0] for step, _ in seen} & {"INSERT", "UPDATE", "DELETE"}


def test_killed_between_any_two_steps_of_a_migration(crasher: Crasher) -> None:
    """A first start that dies at any step leaves a database that the next start finishes."""
    path = crasher.fresh(filled=False)
    steps = _count(crasher.order(work="migrate", url=f"sqlite:///{path}"))
    whole = _state(path)
    for at in range(steps):
        path = crasher.fresh(filled=False)
        url = f"sqlite:///{path}"
        answer = crasher.order(work="migrate", url=url, at=at)
        assert answer["status"] == -9
        assert list(asyncio.run(pending(url))) == ([] if "committed" in answer["told"] else list(migrations.every()))
        assert _state(path) == whole


@pytest.mark.wide
@pytest.mark.parametrize("change", CHANGES)
def test_killed_between_instructions(change: str, crasher: Crasher) -> None:
    """Fifty kills between two instructions of SQLite's machine, all over the change."""
    before, after, _, instructions = _states(crasher, change)
    assert instructions > 50
    for at in sorted(random.sample(range(instructions), 50)):
        path = crasher.fresh()
        answer = crasher.order(work="change", change=change, url=f"sqlite:///{path}", at=at, grain="instructions")
        assert answer["status"] == -9
        _check(path, answer["told"], before, after)


@pytest.mark.wide
@pytest.mark.parametrize("change", CHANGES)
def test_killed_within_the_commit(change: str, crasher: Crasher) -> None:
    """Fifty kills 0 to 5 ms after the commit began, while the log is written and synced."""
    before, after, _, _ = _states(crasher, change)
    seen = []
    for n in range(50):
        path = crasher.fresh()
        url = f"sqlite:///{path}"
        answer = crasher.order(work="change", change=change, url=url, microseconds=random.uniform(0, n * 100))
        assert answer["status"] in (-9, 0)
        seen.append((answer["told"][-1], _check(path, answer["told"], before, after)))
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


def _load_round(crasher: Crasher, path: Path, seconds: float) -> int:
    url = f"sqlite:///{path}"
    orders = [{"work": "load", "url": url, "name": name} for name in "ab"]
    answers = crasher.order(orders=orders, seconds=seconds)
    assert [answer["status"] for answer in answers] == [-9, -9]
    before, *_ = _state(crasher.fresh())
    revision, clients, *_ = _state(path)
    total = 0
    for name, answer in zip("ab", answers, strict=True):
        answered = answer["told"].count("answered")
        there = {c.client_id: c.metadata for c in clients if c.client_id.startswith(name)}
        matching = [n for n in (answered, answered + 1) if _changed(name, n) == there]
        assert matching, f"{answered} answered changes are not what stands"
        total += matching[0]
    assert revision == before + total
    versions = [record.version for record in clients]
    assert len(set(versions)) == len(versions)
    assert max(versions) <= revision
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
