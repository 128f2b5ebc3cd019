"""Many callers, few transactions: those who come while one runs wait for the next one, and share it.

Rules kept here:
- one transaction at a time, begun at once when none runs; so a caller alone waits for nobody;
- behind one that was shared there are more to come: those who ask within two turns of the loop, whose requests have
  arrived and were not read yet, are waited for.  Else two groups form that take turns for ever, with twice the commits;
- each caller has an answer or a refusal of his own; only what the transaction itself fails with is everybody's;
- a caller that went away before his transaction began takes no part in it;
- nobody waits without end for one to begin: whoever waited for as long as is patient is refused, and takes no part.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from copy import copy
from dataclasses import dataclass
from itertools import takewhile
from typing import Generic, TypeVar

from certbound.core.errors import StoreUnavailable

Q = TypeVar("Q")
A = TypeVar("A")

MOST = 200
"""Questions of one transaction, and values of one statement."""
TURNS = 2
"""Of the loop, for whoever else is about to ask."""


@dataclass(frozen=True, slots=True, eq=False)
class _Asked(Generic[Q, A]):
    question: Q
    answer: asyncio.Future[A]
    since: float


class Batches(Generic[Q, A]):
    """Gives each question its answer.  For one event loop."""

    def __init__(
        self,
        work: Callable[[Sequence[Q]], Awaitable[Sequence[A | Exception]]],
        most: int = MOST,
        *,
        patience: float = 60,
    ) -> None:
        """`work` is one transaction: what it returns are the answers, in the order of the questions, or refusals.

        For `patience` seconds a question waits for those before it.
        """
        self._work = work
        self._most = most
        self._patience = patience
        self._losing_it: asyncio.TimerHandle | None = None
        self._was_shared = False
        self._waiting: list[_Asked[Q, A]] = []
        self._working: asyncio.Task[None] | None = None

    async def ask(self, question: Q) -> A:
        """The answer, after the transaction that gave it; raises the refusal, or what the transaction failed with.

        `StoreUnavailable` if none began.
        """
        loop = asyncio.get_running_loop()
        asked: _Asked[Q, A] = _Asked(question, loop.create_future(), loop.time())
        self._waiting.append(asked)
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work_on())
        elif self._losing_it is None:
            self._losing_it = loop.call_later(self._patience, self._refuse_late)
        return await asked.answer

    async def ended(self) -> None:
        """Whoever asked until now has an answer."""
        if self._working is not None:
            await asyncio.wait([self._working])

    async def _work_on(self) -> None:
        while self._waiting:
            for _ in range(TURNS if self._was_shared else 0):
                await asyncio.sleep(0)
            some = [each for each in self._waiting[: self._most] if not each.answer.done()]
            del self._waiting[: self._most]
            self._was_shared = len(some) > 1
            try:
                if some:
                    _give(some, await self._work([each.question for each in some]))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
                _give(some, [copy(error) for _ in some])  # a traceback is of one
            finally:
                for each in some:  # of a loop that ends
                    each.answer.cancel()

    def _refuse_late(self) -> None:
        loop = asyncio.get_running_loop()
        late = [*takewhile(lambda each: each.since + self._patience <= loop.time(), self._waiting)]
        del self._waiting[: len(late)]
        _give(late, [StoreUnavailable("the store did not answer: what is before this does not end") for _ in late])
        is_over = not self._waiting
        self._losing_it = None if is_over else loop.call_at(self._waiting[0].since + self._patience, self._refuse_late)


def _give(some: Sequence[_Asked[Q, A]], answers: Sequence[A | Exception]) -> None:
    for each, answer in zip(some, answers, strict=True):
        if each.answer.done():
            continue
        if isinstance(answer, Exception):
            each.answer.set_exception(answer)
        else:
            each.answer.set_result(answer)
