"""Who comes with one code at the same moment, to this process, is heard one after the other.

Whoever is second ends what the first one got.  Without turns that happens before the first one has its answer, and of
two that a client sends at once neither is ever answered.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Line:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    length: int = 0


class Turns:
    """For one event loop; there is something only of what is being waited for."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}

    def __len__(self) -> int:
        return len(self._lines)

    @asynccontextmanager
    async def of(self, code: str) -> AsyncIterator[None]:
        """Nobody else is inside with `code`."""
        line = self._lines.setdefault(code, _Line())
        line.length += 1
        try:
            async with line.lock:
                yield
        finally:
            line.length -= 1
            if not line.length:
                del self._lines[code]
