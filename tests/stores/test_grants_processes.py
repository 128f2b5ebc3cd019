"""What counts once, on SQLite, in processes of their own that start and work at once."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PROCESSES = 3


class Workers:
    """Processes over one database; what each answers to an order comes in their order."""

    def __init__(self, url: str) -> None:
        command = [sys.executable, "-W", "error", str(Path(__file__).with_name("postgres_worker.py")), url]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._processes = [subprocess.Popen(command, **pipes) for _ in range(PROCESSES)]
        assert self._answers(PROCESSES) == ["open"] * PROCESSES

    def ask(self, do: str, *, count: int = PROCESSES, **order: Any) -> list[Any]:
        """What the first `count` of them answer, all of which begin at once; each has a name."""
        for number, each in enumerate(self._processes[:count]):
            assert each.stdin
            each.stdin.write(json.dumps({"do": do, "name": f"{number}", **order}) + "\n")
            each.stdin.flush()
        return self._answers(count)

    def _answers(self, count: int) -> list[Any]:
        return [json.loads(each.stdout.readline()) for each in self._processes[:count] if each.stdout]

    def close(self) -> None:
        """They have ended, and none complained."""
        for each in self._processes:
            each.communicate(timeout=20)
        assert {each.returncode for each in self._processes} == {0}


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    """Three processes that began together with an empty database, in which there is a client now."""
    workers = Workers(f"sqlite:///{tmp_path_factory.mktemp('processes')}/store.db")
    workers.ask("add", count=1, id="client")
    yield workers
    workers.close()


def test_a_code_is_redeemed_once_in_three_processes(workers: Workers) -> None:
    """For each of thirty codes one grant is opened, by one of them; or it was taken before, and there is none."""
    digests = [f"{n}" for n in range(30)]
    assert workers.ask("code", count=1, digests=digests) == [None]
    taken = workers.ask("take", digests=digests[:10])
    assert sorted(each for some in taken for each in some) == sorted(digests[:10])
    opened = workers.ask("redeem", digests=digests, times=3)
    assert sorted(each for some in opened for each in some) == sorted(digests[10:])
    assert workers.ask("redeem", digests=digests, times=1) == [[]] * PROCESSES


def test_a_person_is_one_in_three_processes(workers: Workers) -> None:
    """One of them gets a name, one says what a sector calls the person, and all are told that."""
    names = [f"{n}.example" for n in range(30)]
    told = workers.ask("sign_up", names=names)
    assert sorted(each for some in told for each in some) == sorted(names)
    called = workers.ask("call_pairwise", sectors=names)
    assert called == [called[0]] * PROCESSES
    assert len(set(called[0])) == 30


def test_many_refreshes_in_three_processes_make_one_line(workers: Workers) -> None:
    """One of them replaces the token, all others repeat it; a successor of another ends the grant, once."""
    assert workers.ask("grant", count=1, id="g", digest="0") == [None]
    for n in range(3):
        told = workers.ask("rotate", digest=f"{n}", successor=f"{n + 1}", times=20)
        assert Counter(each for some in told for each in some) == {"replaced": 1, "repeated": 59}
    told = workers.ask("rotate", digest="3", successor="another", times=1, count=1)
    told += workers.ask("rotate", digest="3", successor="4", times=20)
    assert Counter(each for some in told for each in some) == {"replaced": 1, "reused": 1, "gone": 59}
    assert workers.ask("rotate", digest="another", successor="after", times=1) == [["gone"]] * PROCESSES


def test_a_value_counts_once_in_three_processes(workers: Workers) -> None:
    """Of 300 values each is first used in one of them, and never again."""
    values = [f"{n}" for n in range(300)]
    told = workers.ask("use", values=values)
    assert [sum(each) for each in zip(*told, strict=True)] == [1] * 300
    assert workers.ask("use", values=values) == [[False] * 300] * PROCESSES
