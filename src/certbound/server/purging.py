"""What has ended goes by itself: tokens, used values, statuses, grants.

Rule 1: a statement at a time, each a short one, and requests have their turn between any two.
Rule 2: a store that fails is told in one line of the log, and again when it works; what was not purged costs room only,
since nothing that has ended is ever found.
"""

import asyncio
import logging
from collections.abc import Callable

from certbound.core.errors import StoreUnavailable
from certbound.core.ports import Store

MOST = 100
"""Rows of a statement: it takes less than a millisecond, and who writes meanwhile waits no longer."""
PAUSE = 10.0
"""Seconds between two looks, where nothing was left to do: what ends in that time waits."""

_log = logging.getLogger("certbound.server")


class Purge:
    """Removes what has ended, for as long as the server runs.  Several processes may do it at once."""

    def __init__(self, store: Store, now: Callable[[], float]) -> None:
        """`now` gives seconds since the epoch."""
        self._store = store
        self._now = now
        self._fails = False
        self.gone = 0
        """How many records this process removed."""

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._look()
            await asyncio.sleep(PAUSE)

    async def _look(self) -> None:
        try:
            await self.purge()
        except StoreUnavailable as error:
            self._tell(f"what has ended cannot be purged: {error}")
        except Exception as error:  # noqa: BLE001 - a task that ended because of one bad look would end unnoticed
            self._tell("what has ended cannot be purged", error)
        else:
            if self._fails:
                _log.info("what has ended is purged again")
            self._fails = False

    def _tell(self, message: str, error: Exception | None = None) -> None:
        if not self._fails:
            _log.warning(message, exc_info=error)
        self._fails = True

    async def purge(self) -> None:
        """Nothing is left that had ended when this began."""
        now = self._now()
        while gone := await self._store.tokens.purge(now=now, most=MOST):
            self.gone += gone
            await asyncio.sleep(0)  # requests go first
