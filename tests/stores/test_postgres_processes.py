"""Two server processes on one PostgreSQL database: what counts once counts once, and each hears of the other."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from postgres_server import PostgresServer
from speed import wall

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """One server for the module, which is killed now and then."""
    with PostgresServer.running() as server:
        yield server


class Worker:
    """The process of `postgres_worker.py`."""

    def __init__(self, url: str) -> None:
        command = [sys.executable, "-W", "error", str(Path(__file__).with_name("postgres_worker.py")), url]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def order(self, do: str, **order: Any) -> None:
        """It begins to do this."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps({"do": do, **order}) + "\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        """What came of it."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, f"the process ended: {self.process.wait()}"
        return json.loads(line)

    def ask(self, do: str, **order: Any) -> Any:
        """What came of this."""
        self.order(do, **order)
        return self.answer()


@contextmanager
def workers(url: str, count: int = 2) -> Iterator[list[Worker]]:
    """So many processes, started at once; none of them complained when it ended."""
    found = [Worker(url) for _ in range(count)]
    try:
        assert [each.answer() for each in found] == ["open"] * count
        yield found
        for each in found:
            each.process.communicate(timeout=20)
        assert [each.process.returncode for each in found] == [0] * count
    finally:
        for each in found:
            each.process.kill()
            each.process.communicate()


@pytest.fixture
def pair(server: PostgresServer) -> Iterator[list[Worker]]:
    """Two processes that began together with an empty database."""
    with workers(server.url(server.database())) as found:
        yield found


def test_processes_migrate_once(server: PostgresServer) -> None:
    """Four processes that open an empty database at once all have it."""
    name = server.database()
    with workers(server.url(name), 4) as found:
        assert {each.ask("first_key", kid=f"{n}") for n, each in enumerate(found)} == {"0"}
    assert server.sql("SELECT count(*) FROM certbound_schema", database=name) == "1"


def test_a_value_counts_once(pair: list[Worker]) -> None:
    """Of a thousand values that both processes are given at once, each is the first use of exactly one."""
    values = [f"{n}" for n in range(1000)]
    pair[0].order("use", values=values)
    pair[1].order("use", values=values[::-1])
    first, second = pair[0].answer(), pair[1].answer()[::-1]
    assert [one + other for one, other in zip(first, second, strict=True)] == [1] * 1000
    assert any(first)
    assert any(second)
    for worker in pair:
        assert worker.ask("use", values=values) == [False] * 1000


def test_a_change_is_heard_within_a_second(pair: list[Worker]) -> None:
    """Mostly within milliseconds: nobody asks again and again."""
    times = []
    for n in range(20):
        pair[1].order("hear", id=f"{n}")
        time.sleep(0.02)
        changed = pair[0].ask("add", id=f"{n}")
        times.append(pair[1].answer() - changed)
    print(f"heard after {1000 * statistics.median(times):.1f} ms in the median, {1000 * max(times):.1f} ms at most")
    assert max(times) < wall(1)
    assert statistics.median(times) < 0.2


def test_there_is_one_first_key(pair: list[Worker]) -> None:
    """Both processes sign with the same one."""
    for n, worker in enumerate(pair):
        worker.order("first_key", kid=f"{n}")
    assert len({worker.answer() for worker in pair}) == 1


def test_keys_take_turns_once(pair: list[Worker]) -> None:
    """Of successors that both processes made at once, one follows."""
    for round_ in range(5):
        pair[0].ask("first_key", kid="first")
        for n, worker in enumerate(pair):
            worker.order("succeed", name=f"{round_}-{n}-", times=5, pause=0.2)
        assert sum(worker.answer() for worker in pair) == 1


def test_a_refresh_token_has_one_successor(pair: list[Worker]) -> None:
    """Fifty attempts of two processes at once make one line; another successor makes it reuse, in one process only."""
    pair[0].ask("add", id="client")
    assert pair[0].ask("grant", id="g", digest="first") is None
    for worker in pair:
        worker.order("rotate", digest="first", successor="second", times=25)
    told = [each for worker in pair for each in worker.answer()]
    assert sorted(set(told)) == ["repeated", "replaced"]
    assert told.count("replaced") == 1
    for n, worker in enumerate(pair):
        worker.order("rotate", digest="second", successor=f"third{n}", times=1)
    assert sorted(each for worker in pair for each in worker.answer()) == ["replaced", "reused"]
    assert pair[0].ask("rotate", digest="third0", successor="x", times=1) == ["gone"]
    assert pair[0].ask("rotate", digest="third1", successor="x", times=1) == ["gone"]


def test_a_code_is_redeemed_once(pair: list[Worker]) -> None:
    """By one of the two processes, or one of them takes it for itself; every other attempt opens nothing."""
    pair[0].ask("add", id="client")
    digests = [f"{n}" for n in range(50)]
    pair[0].ask("code", digests=digests)
    for name, worker in zip("ab", pair, strict=True):
        worker.order("redeem", name=name, digests=digests, times=3)
    won = [each for worker in pair for each in worker.answer()]
    assert sorted(won) == sorted(digests)
    pair[0].ask("code", digests=["contested"])
    pair[0].order("redeem", name="c", digests=["contested"], times=25)
    pair[1].order("take", digests=["contested"] * 25)
    assert [each for worker in pair for each in worker.answer()] == ["contested"]


def test_a_person_is_one(pair: list[Worker]) -> None:
    """One process gets a name, one says what a sector calls the person, one of them withdraws what they agreed to."""
    names = [f"{n}" for n in range(50)]
    pair[0].ask("add", id="client")
    pair[0].ask("grant", id="g", digest="first")
    for name, worker in zip("ab", pair, strict=True):
        worker.order("sign_up", name=name, names=names)
    assert sorted(each for worker in pair for each in worker.answer()) == sorted(names)
    for name, worker in zip("ab", pair, strict=True):
        worker.order("call_pairwise", name=name, sectors=names)
    one, other = (worker.answer() for worker in pair)
    assert one == other
    assert len(set(one)) == 50
    for worker in pair:
        worker.order("withdraw", id="client")
    assert sorted(worker.answer() for worker in pair) == [False, True]
    assert pair[1].ask("rotate", digest="first", successor="second", times=1) == ["gone"]


def test_what_was_answered_is_there_after_the_database_was_killed(server: PostgresServer) -> None:
    """`kill -9` of PostgreSQL while two processes work: they go on by themselves, and nothing that was told is lost."""
    name = server.database()
    with workers(server.url(name, timeout=2)) as pair:
        for n, worker in enumerate(pair):
            worker.order("load", name=f"w{n}-", seconds=4)
        for _ in range(2):
            time.sleep(0.7)
            server.kill()
            server.start()
        answered = [worker.answer() for worker in pair]
        there = server.sql("SELECT client_id FROM clients", database=name).split()
        assert all(set(each) <= set(there) for each in answered)
        assert len(there) - len([*answered[0], *answered[1]]) <= 4  # begun, committed, and the answer lost
        last = server.sql("SELECT max(version) FROM clients", database=name)
        assert int(last) == len(there)
        for worker in pair:
            assert worker.ask("use", values=[f"{worker}{n}" for n in range(30)]) == [True] * 30


def test_a_change_is_heard_after_the_database_was_killed(server: PostgresServer) -> None:
    """Who listens listens again, and finds what changed meanwhile."""
    with workers(server.url(server.database())) as pair:
        pair[1].order("hear", id="a")
        time.sleep(0.3)
        server.kill()
        server.start()
        changed = pair[0].ask("add", id="a")
        assert pair[1].answer() - changed < 6
        pair[1].order("hear", id="b")
        time.sleep(0.3)
        changed = pair[0].ask("add", id="b")
        assert pair[1].answer() - changed < wall(1)


def test_a_value_counts_once_whatever_is_killed(server: PostgresServer) -> None:
    """One process dies while both use the same values, then PostgreSQL: no value is told to be new twice."""
    values = [f"{n}" for n in range(3000)]
    url = server.url(server.database())
    with workers(url) as pair:
        dying = Worker(url)
        assert dying.answer() == "open"
        for worker in (*pair, dying):
            worker.order("use", values=values)
        time.sleep(0.1)
        dying.process.kill()
        dying.process.communicate()
        server.kill()
        server.start()
        told = [worker.answer() for worker in pair]
        assert not any(one is True and other is True for one, other in zip(*told, strict=True))
        again = [worker.ask("use", values=values) for worker in pair]
        for number, answers in enumerate(zip(*told, *again, strict=True)):
            assert [*answers].count(True) <= 1, number
            assert None not in answers[2:]
