"""Shared trips and shared commits against a model that knows neither: all who come are served one after the other.

Whatever comes at once, and whoever is refused, goes away or finds the disk full or the database locked:

- who was told yes finds what he wrote, at once and after the file is opened anew;
- of who was told no there is nothing, and of who went away all or nothing;
- who looks on sees of each caller all or nothing, and never what is taken back later.
"""

import asyncio
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event, insert, select
from sqlalchemy.engine import make_url

from certbound.core.errors import StoreUnavailable
from certbound.stores import open_store
from certbound.stores.database import Database, PreparedSteps
from certbound.stores.prepared import Hands, Prepared
from certbound.stores.schema import used
from certbound.stores.sqlite import sqlite_access

ADD = Prepared(insert(used), ["digest", "ends_at"])
ALL = Prepared(select(used.c.digest, used.c.ends_at))
PAGE = 4096


@dataclass(frozen=True)
class Caller:
    """Writes a row for each key, that of the file or of his own; two who have one of the file exclude each other."""

    keys: Sequence[int]
    own: int = 1
    size: int = 0
    """Of his own rows, in pages of the database."""
    raises: bool = False
    """In the end, of himself."""
    leaves_after: int | None = None
    """So many turns of the loop."""
    is_quiet: bool = False
    """Behind the lock of all changes."""


@dataclass(frozen=True)
class Round:
    """Those who come at once."""

    callers: Sequence[Caller]
    room: int | None
    """Pages that the disk still has, if it is nearly full."""
    is_locked: bool
    """Another process is writing, and does not end."""


CALLERS = st.builds(
    Caller,
    keys=st.lists(st.integers(0, 12), max_size=2, unique=True),
    own=st.integers(0, 2),
    size=st.sampled_from([0, 0, 0, 1, 4]),
    raises=st.sampled_from([False, False, False, True]),
    leaves_after=st.sampled_from([None, None, None, 0, 1, 2, 3, 5, 20]),
    is_quiet=st.booleans(),
)
ROUNDS = st.lists(
    st.builds(
        Round,
        callers=st.lists(CALLERS, min_size=1, max_size=1) | st.lists(CALLERS, min_size=2, max_size=14),
        room=st.sampled_from([None, None, None, 2, 6, 20]),
        is_locked=st.sampled_from([False] * 9 + [True]),
    ),
    min_size=1,
    max_size=5,
)


@dataclass
class Trial:
    """A database, what its callers were told, and what was seen of them."""

    path: Path
    database: Database
    written: dict[int, frozenset[str]] = field(default_factory=dict)
    """What each caller wrote, or would have."""
    told: dict[int, str] = field(default_factory=dict)
    seen: list[frozenset[tuple[str, float]]] = field(default_factory=list)
    most: int = 1 << 30
    numbers: int = 0
    is_over: bool = False

    async def serve(self, each: Round) -> None:
        """All of the round, and somebody who looks on."""
        names = range(self.numbers, self.numbers + len(each.callers))
        self.numbers += len(each.callers)
        self.limit(each.room)
        with self.locked() if each.is_locked else nullcontext():
            asking = [asyncio.ensure_future(self.call(n, one)) for n, one in zip(names, each.callers, strict=True)]
            leaving = [self.leave(one, task) for one, task in zip(each.callers, asking, strict=True)]
            looking = asyncio.ensure_future(self.look())
            await asyncio.gather(*asking, *leaving)
            self.is_over = True
            await looking
        self.is_over = False
        if each.room is None and not each.is_locked:
            self.judge_in_order(names, each.callers)

    async def call(self, number: int, caller: Caller) -> None:
        rows = [str(key) for key in caller.keys]
        rows += [f"{number} {n} {'x' * caller.size * PAGE}" for n in range(caller.own)]

        async def steps(hands: Hands) -> None:
            await hands.run_all(ADD, [{"digest": row, "ends_at": float(number)} for row in rows])
            if caller.raises:
                raise LookupError

        self.written[number] = frozenset(rows)
        self.told[number] = "gone"
        with suppress(asyncio.CancelledError):  # it is he who left
            self.told[number] = await self.answer(steps, is_quiet=caller.is_quiet)
            there = {row for row, by in await self.there() if by == number}
            assert there == (set(rows) if self.told[number] == "yes" else set())

    async def answer(self, steps: PreparedSteps[None], *, is_quiet: bool) -> str:
        try:
            await (self.database.change_quietly(steps) if is_quiet else self.database.write_prepared(steps))
        except StoreUnavailable:
            return "no"
        except LookupError:
            return "raised"
        return "yes"

    async def leave(self, caller: Caller, task: "asyncio.Task[None]") -> None:
        if caller.leaves_after is not None:
            for _ in range(caller.leaves_after):
                await asyncio.sleep(0)
            task.cancel()

    async def look(self) -> None:
        while not self.is_over:
            self.seen.append(await self.there())

    async def there(self) -> frozenset[tuple[str, float]]:
        return frozenset((row[0], row[1]) for row in await self.database.find(ALL))

    def limit(self, room: int | None) -> None:
        """So many pages more and no more may be in the file."""
        with closing(sqlite3.connect(self.path)) as other:
            [pages] = other.execute("PRAGMA page_count").fetchone()
        self.most = 1 << 30 if room is None else pages + room

    def tell(self, connection: Any, *_: Any) -> None:
        """Whoever is lent one."""
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA max_page_count = {self.most}")
        cursor.close()

    @contextmanager
    def locked(self) -> Iterator[None]:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")

    def judge_in_order(self, names: Sequence[int], callers: Sequence[Caller]) -> None:
        """Where nothing failed but callers, each was told what he would have been told alone, in their order."""
        taken = {row for n, rows in self.written.items() if n < names[0] and self.told[n] == "yes" for row in rows}
        if any(told == "gone" for told in self.told.values()):
            return
        for number, caller in zip(names, callers, strict=True):
            rows = self.written[number]
            expected = "no" if rows & taken else "raised" if caller.raises else "yes"
            assert self.told[number] == expected, number
            taken |= rows if expected == "yes" else set()

    def judge(self, there: frozenset[tuple[str, float]]) -> None:
        """All that is left, when all is over."""
        by = {number: {row for row, n in there if n == number} for number in self.written}
        for number, rows in self.written.items():
            allowed = {"yes": [rows], "gone": [rows, frozenset()]}.get(self.told[number], [frozenset()])
            assert by[number] in allowed, self.told[number]
        for each in self.seen:
            assert each <= there, "seen, and taken back"
            for number, rows in self.written.items():
                assert {row for row, n in each if n == number} in (set(), rows), "half of it was seen"


async def _live(path: Path, rounds: Sequence[Round]) -> None:
    await (await open_store(f"sqlite:///{path}")).close()
    access = sqlite_access(make_url(f"sqlite:///{path}?timeout=0.05"))
    trial = Trial(path, Database(access))
    event.listen(access.engine.sync_engine, "checkout", trial.tell)
    for each in rounds:
        await trial.serve(each)
    await trial.database.close()
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        trial.judge(frozenset(other.execute("SELECT digest, ends_at FROM used").fetchall()))


def _try(rounds: Sequence[Round]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(_live(Path(directory) / "store.db", rounds))


@settings(max_examples=25, deadline=None)
@given(ROUNDS)
def test_who_shares_is_served_as_if_alone(rounds: Sequence[Round]) -> None:
    """A few lives of a database."""
    _try(rounds)


@pytest.mark.wide
@settings(max_examples=1500, deadline=None)
@given(ROUNDS)
def test_who_shares_is_served_as_if_alone_many_times(rounds: Sequence[Round]) -> None:
    """Many of them."""
    _try(rounds)
