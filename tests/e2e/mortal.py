"""A deployment whose server and commands are killed at a step of their work, and started again on what they left."""

import asyncio
import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import asyncpg

from certbound.trust.authority import Authority
from e2e.world import Answer, World, _settings

M = TypeVar("M", bound="Mortal")


@dataclass(frozen=True)
class Step:
    """The one of this name that comes after so many others of it."""

    name: str
    after: int = 0


NEVER = Step("")


@dataclass(frozen=True)
class Death:
    """What became of one request, or one command."""

    told: Sequence[str]
    """The steps that were begun, the deadly one last."""
    died: bool
    answer: Answer | None = None
    """What the client got, if it got anything whole."""

    @property
    def step(self) -> str:
        return self.told[-1] if self.died else "untouched"

    @property
    def commits(self) -> int:
        """How many transactions stand for certain."""
        return self.told.count("committed")

    @property
    def was_granted(self) -> bool:
        """The client was told that it is done."""
        return self.answer is not None and self.answer.status in (200, 201, 204)


EVERY = int(os.environ.get("DEATHS_EVERY", "1"))
"""Of steps that are no milestones one in so many is deadly, others each day; 1 is all of them."""
MILESTONES = frozenset({"received", "commit", "committed", "reply", "answered"})


def steps(told: Sequence[str]) -> Sequence[Step]:
    """Where to kill what told this when nobody did: each step, and of questions that follow each other the first."""
    found = [Step(name, told[:at].count(name)) for at, name in enumerate(told)]
    is_read = [name.startswith(("SELECT", "PRAGMA")) for name in told]
    deadly = [each for at, each in enumerate(found) if not (at and is_read[at] and is_read[at - 1])]
    today = int(time.time()) // 86400
    return [each for at, each in enumerate(deadly) if each.name in MILESTONES or at % EVERY == today % EVERY]


@dataclass
class Mortal:
    """Processes on one database, which die when they are told to."""

    world: World
    process: "subprocess.Popen[str]"
    server: int | None = None
    told: Path = field(init=False)

    def __post_init__(self) -> None:
        self.told = self.folder / "told"

    @property
    def folder(self) -> Path:
        return self.world.directory

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def start(self) -> None:
        """A server answers, and knows its clients."""
        self.server = self._begin("serve")
        end = time.monotonic() + 30
        while not self.is_answering():
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.005)

    def is_answering(self) -> bool:
        """Whether the server does."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.world.ask(f"{self.world.issuer}/healthz", method="GET").status == 200
        return False

    def kill(self) -> None:
        """No server is left, and it had no time for anything."""
        if self.server is not None:
            os.kill(self.server, signal.SIGKILL)
            self.ended()

    def restart(self) -> None:
        """Another server, on what the one before left."""
        self.kill()
        self.start()

    def ended(self) -> int:
        """The server ended, and how."""
        status = self._order(end=self.server)
        self.server = None
        return int(status)

    def ask(self, at: Step, ask: Callable[[], Answer]) -> Death:
        """The server dies at this step of the request, and another one stands in its place."""
        death = self.ask_worker(at, ask)
        if death.died:
            assert self.ended() == -signal.SIGKILL
            self.start()
        return death

    def ask_worker(self, at: Step, ask: Callable[[], Answer]) -> Death:
        """Whoever takes the request dies at this step of it."""
        self._arm("request", at)
        answer = None
        with contextlib.suppress(OSError, http.client.HTTPException):
            answer = ask()
        death = self._death(at, answer)
        while not death.died and "answered" not in death.told:  # a client may have its answer before that
            assert answer is not None, self.log.read_text()
            time.sleep(0.002)
            death = self._death(at, answer)
        return death

    def command(self, at: Step, *arguments: str) -> Death:
        """A command that dies at this step."""
        self._arm("command", at)
        status = self.run(*arguments)
        death = self._death(at, None)
        assert status == (-signal.SIGKILL if death.died else 0), self.log.read_text()
        return death

    def run(self, *arguments: str) -> int:
        """A command from its begin to its end, and how it ended."""
        return int(self._order(end=self._begin(*arguments)))

    def said(self, *arguments: str) -> Any:
        """What a command that succeeds says, as JSON."""
        said = self.folder / "said"
        said.write_bytes(b"")
        assert self.run(*arguments, "--json") == 0, self.log.read_text()
        return json.loads(said.read_text())

    def rows(self, statement: str, *values: Any) -> list[Any]:
        """What the database holds."""
        if not self.is_sqlite:
            return asyncio.run(_asked(self.world.settings.store.url, statement, values))
        with contextlib.closing(sqlite3.connect(self.database)) as database:
            return database.execute(statement, values).fetchall()

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is a file; a copy can be kept of no other."""
        return self.world.settings.store.url.startswith("sqlite:")

    @property
    def database(self) -> Path:
        return self.folder / "certbound.sqlite"

    def write(self, statement: str, *values: Any) -> None:
        """As somebody else's process changes the database; those that serve hear of it."""
        if not self.is_sqlite:
            self.rows(statement, *values)
            self.rows("UPDATE revision SET number = number + 1")
            return
        with contextlib.closing(sqlite3.connect(self.database)) as database, database:
            database.execute(statement, values)
            database.execute("UPDATE revision SET number = number + 1")

    def keep(self) -> Path:
        """A copy of the database; no server lives."""
        self.kill()
        copy = self.folder / f"{time.monotonic_ns()}.kept"
        with contextlib.closing(sqlite3.connect(self.database)) as database:
            database.execute("VACUUM INTO ?", (str(copy),))
        return copy

    def put_back(self, copy: Path) -> None:
        """The database is as it was when it was kept; no server lives."""
        self.kill()
        for end in ("-wal", "-shm", ""):
            Path(f"{self.database}{end}").unlink(missing_ok=True)
        shutil.copy(copy, self.database)
        self.database.chmod(0o600)

    def die_starting(self, at: Step) -> Death:
        """A server dies at this step of its start, or answers."""
        self._arm("command", at)
        self.server = self._begin("serve")
        return self._awaited(at, lambda _: self.is_answering())

    def die_writing(self, at: Step, change: Callable[[], None]) -> Death:
        """The server dies at this step of what it writes by itself because of `change`, or has done that."""
        self._arm("writing", at)
        change()
        return self._awaited(at, lambda death: "committed" in death.told)

    def _awaited(self, at: Step, is_done: Callable[[Death], bool]) -> Death:
        end = time.monotonic() + 30
        while not (death := self._death(at, None)).died:
            if is_done(death):
                return self._death(at, None)
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.005)
        assert self.ended() == -signal.SIGKILL
        return death

    def _arm(self, what: str, at: Step) -> None:
        self.told.write_text("")
        made = self.folder / "order.new"
        made.write_text(json.dumps({"what": what, "at": at.name, "after": at.after}))
        made.rename(self.folder / "order")

    def _death(self, at: Step, answer: Answer | None) -> Death:
        told = self.told.read_text().splitlines()
        return Death(told, told.count(at.name) > at.after, answer)

    def _begin(self, *arguments: str) -> int:
        command = [*arguments, "--config", str(self.folder / "certbound.toml")]
        return int(self._order(arguments=command, folder=str(self.folder)))

    def _order(self, **order: Any) -> Any:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


async def _asked(url: str, statement: str, values: Sequence[Any]) -> list[Any]:
    """What PostgreSQL answers."""
    numbers = count(1)
    numbered = re.sub(r"\?", lambda _: f"${next(numbers)}", statement)
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(numbered, *values)]
    finally:
        await connection.close()


@contextlib.contextmanager
def mortal(kind: type[M], folder: Path, **overrides: Any) -> Iterator[M]:
    """A deployment of this kind, without a server yet; `overrides` are settings as `section__key=value`."""
    authority = Authority.create("Mortal CA")
    # With the machine's own authorities every start would take a third longer.
    settings = _settings(folder, authority, {"fetch__ca": "ca.pem", **overrides})
    world = World(folder, authority, settings)
    world.issuer, world.mtls = settings.server.issuer, settings.server.mtls_url or settings.server.issuer
    command = [sys.executable, "-W", "error", str(Path(__file__).with_name("dying.py"))]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield kind(world, process)
    finally:
        process.communicate()
        world.loop.close()
