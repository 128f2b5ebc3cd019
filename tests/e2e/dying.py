"""The command `certbound`, in processes that die on the way, as a program: `mortal.py` starts it and gives orders.

It reads orders, a line of JSON each, and answers each with a line of JSON.  Every command runs in a fork, so that a
life costs no interpreter start; what is killed is always a whole process, or a worker of one.

Rules kept here:
- a kill is `SIGKILL` from within, at a step, while other processes and threads do what they like;
- the code under test is the package's own, unchanged: SQLite tells each statement that it is about to execute,
  SQLAlchemy those for PostgreSQL, where nothing goes past it, and who has a connection; requests are seen where any
  ASGI middleware sees them;
- of a server only what one request does is counted, or only what it writes for no request; of a command everything is;
- a step has a name, and is one of those of its name: what a server reads now and then shifts no others;
- a step is told before the kill that follows it, so what is told did happen.
"""

import asyncio
import gc
import json
import os
import signal
import sys
import traceback
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Pool, event

from certbound.cli import main as certbound
from certbound.server.asgi import Application
from certbound.stores import open_store

Order = dict[str, Any]

_counted: ContextVar[bool] = ContextVar("counted", default=False)
"""Whether what runs here belongs to the request that is counted."""


class Failpoint:
    """Counts steps, tells each in a file, and kills the process at the one that was ordered."""

    def __init__(self, folder: Path) -> None:
        self._order = folder / "order"
        self._told = folder / "told"
        self._what = ""
        self._at = ""
        self._left = 0
        self._counted: set[int] = set()
        self._committing: set[int] = set()

    def watch_database(self) -> None:
        """What any engine does is seen from now on."""
        event.listen(Pool, "connect", self._connect)
        event.listen(Engine, "before_cursor_execute", self._execute)
        event.listen(Engine, "commit", lambda connection: self._execute(connection, None, "COMMIT"))
        event.listen(Pool, "checkout", self._checkout)
        event.listen(Pool, "reset", self._reset)

    def watch_requests(self) -> None:
        """What comes in and goes out is seen from now on."""
        answer = Application.__call__

        async def answered(app: Application, scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "http" or not self.arm("request"):
                return await answer(app, scope, receive, send)
            _counted.set(True)
            self.step("received")

            async def told(message: Any) -> None:
                if message["type"] == "http.response.start":
                    self.step("reply")
                await send(message)
                if message["type"] == "http.response.body":
                    self.step("answered")

            return await answer(app, scope, receive, told)

        Application.__call__ = answered  # type: ignore[method-assign]

    def arm(self, what: str) -> bool:
        """Counting begins, if that is ordered; an order counts once, whichever process finds it."""
        with suppress(FileNotFoundError, ValueError):
            order = json.loads(self._order.read_text())
            if order["what"] == what:
                self._order.unlink()
                self._what, self._at, self._left = what, order["at"], order["after"]
                return True
        return False

    def step(self, name: str) -> None:
        """Something is about to be done, or was."""
        descriptor = os.open(self._told, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, f"{name}\n".encode())
        os.close(descriptor)
        if name == self._at:
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            self._left -= 1

    def _connect(self, connection: Any, _: Any) -> None:
        """SQLite itself tells each statement before it is executed, whoever executes it."""
        key = id(connection)
        if hasattr(connection.driver_connection, "set_trace_callback"):
            connection.run_async(lambda driver: driver.set_trace_callback(lambda text: self._statement(key, text)))

    def _execute(self, connection: Connection, _: Any, text: str, *__: Any) -> None:
        if connection.dialect.name == "postgresql":
            self._statement(id(connection.connection.dbapi_connection), text)

    def _checkout(self, connection: Any, *_: Any) -> None:
        if self._what == "command" or _counted.get():
            self._counted.add(id(connection))

    def _statement(self, connection: int, text: str) -> None:
        if text.startswith("BEGIN") and not self._what and self.arm("writing"):
            self._counted.add(connection)
        if connection in self._counted:
            is_commit = text == "COMMIT"
            if is_commit:
                self._committing.add(connection)
            self.step("commit" if is_commit else " ".join(text.split()[:3]))

    def _reset(self, connection: Any, *_: Any) -> None:
        # A connection goes back to the pool; after a commit, that is the first moment of which we hear.
        key = id(connection)
        if key in self._committing:
            self.step("committed")
        self._committing.discard(key)
        self._counted.discard(key)


def begin(order: Order) -> int:
    """The process that runs the command."""
    child = os.fork()
    if child:
        return child
    try:
        folder = Path(order["folder"])
        with (
            Path(os.devnull).open("rb") as nothing,
            (folder / "said").open("ab") as said,
            (folder / "log").open("ab") as log,
        ):
            for source, target in ((nothing, 0), (said, 1), (log, 2)):
                os.dup2(source.fileno(), target)
        failpoint = Failpoint(folder)
        failpoint.watch_database()
        failpoint.watch_requests()
        failpoint.arm("command")
        status = certbound(order["arguments"])
    except BaseException:  # noqa: BLE001 - a fork ends here, whatever happened
        traceback.print_exc()
        status = 70
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def end(child: int) -> int:
    """How it ended."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def warm_up() -> None:
    """What every command needs is read once, and no thread is left."""
    import certbound.app
    import certbound.log  # noqa: F401

    async def open_and_close() -> None:
        store = await open_store("sqlite://")
        await store.close()

    asyncio.run(open_and_close())
    gc.collect()
    gc.freeze()  # or every fork would look through all of it


def main() -> None:
    """Orders in, answers out, until the input ends; then nobody who began here lives."""
    warm_up()
    alive: set[int] = set()
    for line in sys.stdin:
        order = json.loads(line)
        if "end" in order:
            answer = end(order["end"])
            alive.discard(order["end"])
        else:
            answer = begin(order)
            alive.add(answer)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    for child in alive:
        os.kill(child, signal.SIGKILL)
        end(child)


if __name__ == "__main__":
    main()
