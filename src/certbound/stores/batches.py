"""Many callers, few transactions: those who come while one runs wait for the next one, and share it.

Rules kept here:
- one transaction at a time, begun at once when none runs; so a caller alone waits for nobody;
- each caller has an answer or a refusal of his own; only what the transaction itself fails with is everybody's;
- a caller that went away before his transaction began takes no part in it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")

MOST = 200
"""Questions of one transaction, and values of one statement."""


@dataclass(frozen=True, slots=True, eq=False)
class _Asked(Generic[Q, A]):
    question: Q
    answer: asyncio.Future[A]


class Batches(Generic[Q, A]):
    """Gives each question its answer.  For one event loop."""

    def __init__(self, work: Callable[[Sequence[Q]], Awaitable[Sequence[A | Exception]]], most: int = MOST) -> None:
        """`work` is one transaction: what it returns are the answers, in the order of the questions, or refusals."""
        self._work = work
        self._most = most
        self._waiting: list[_Asked[Q, A]] = []
        self._working: asyncio.Task[None] | None = None

    async def ask(self, question: Q) -> A:
        """The answer, after the transaction that gave it; raises the refusal, or what the transaction failed with."""
        asked: _Asked[Q, A] = _Asked(question, asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work_on())
        return await asked.answer

    async def ended(self) -> None:
        """Whoever asked until now has an answer."""
        if self._working is not None:
            await asyncio.wait([self._working])

    async def _work_on(self) -> None:
        while self._waiting:
            some = [each for each in self._waiting[: self._most] if not each.answer.done()]
            del self._waiting[: self._most]
            try:
                if some:
                    _give(some, await self._work([each.question for each in some]))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
                _give(some, [error] * len(some))
            finally:
                for each in some:  # of a loop that ends
                    each.answer.cancel()


def _give(some: Sequence[_Asked[Q, A]], answers: Sequence[A | Exception]) -> None:
    for each, answer in zip(some, answers, strict=True):
        if each.answer.done():
            continue
        if isinstance(answer, Exception):
            each.answer.set_exception(answer)
        else:
            each.answer.set_result(answer)
