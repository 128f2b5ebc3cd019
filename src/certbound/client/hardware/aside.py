"""What calls back from C is done in a thread of its own.

An exception that comes before the first line of a callback (a signal's, in the main thread; no frame left, in a deep
one) is dropped by `ctypes`, and C goes on with whatever lay where the result should be: a signature that was never
made would be sent.  No signal is handled in another thread, and its stack begins anew.

Rule 1: who waits may be interrupted; what goes on meanwhile is waited for by nobody, the end of the process neither.
"""

import _thread
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from typing import TypeVar

_T = TypeVar("_T")


def aside(action: Callable[[], _T], timeout: float | None = None) -> _T:
    """What `action` returns, or raises; `TimeoutError` after `timeout` seconds, and what it does is lost."""
    done: Future[_T] = Future()
    context = copy_context()
    try:
        # `threading` waits for the start of its threads, by locks that a signal can tear apart.
        _thread.start_new_thread(context.run, (_settle, done, action))
    except RuntimeError:  # the process ends, or has no thread left
        return action()
    try:
        return done.result(timeout)
    finally:
        del done  # it has the exception, whose frames would have it


def _settle(done: "Future[_T]", action: Callable[[], _T]) -> None:
    try:
        result = action()
    except BaseException as error:  # noqa: BLE001 - who waits has it
        done.set_exception(error)
        del done, action  # as above
    else:
        done.set_result(result)
