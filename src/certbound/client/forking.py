"""What a forked child must not go on with: its parent's connections, and locks of threads that it does not have.

Two processes that write to one TLS connection encrypt different texts under the same nonce, and read each other's
answers.
"""

import os
from typing import Protocol
from weakref import WeakSet


class Forked(Protocol):
    """What has such things."""

    def begin_anew(self) -> None:
        """In the child, before anything else; it touches no connection and takes no lock."""
        ...


def anew_in_children(thing: Forked) -> None:
    """`thing.begin_anew` is called in every child that is forked while `thing` lives."""
    _THINGS.add(thing)


def _begin_anew() -> None:
    for thing in list(_THINGS):
        thing.begin_anew()


_THINGS: "WeakSet[Forked]" = WeakSet()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
