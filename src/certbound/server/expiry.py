"""What ends soon: registered certificates, before their clients are refused for it.

Rule 1: a certificate that another one of the same client outlasts is told and counts for nothing: the client has
somewhere to go.
Rule 2: what counts nobody asked to count is left out: disabled clients, and those whose validity is ignored.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from certbound.core.certificate import Certificate
from certbound.core.clients import Client
from certbound.core.errors import StoreUnavailable
from certbound.core.ports import Store
from certbound.server.directory import readable

DAY = 86_400.0
SOON = 30
"""Days ahead that the running server looks."""
MOST_CLIENTS = 100_000
MOST_LINES = 20
"""What a look writes into the log, beside the number."""

_log = logging.getLogger("certbound.server")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """Something that counts until `ends`, in seconds since the epoch."""

    title: str
    ends: float
    thumbprint: str = ""
    is_outlasted: bool = False
    """Whether something that ends later stands beside it already."""
    told_from: float = float("-inf")
    """Before that it is too early to speak of it."""

    def is_soon(self, now: float, days: float) -> bool:
        """Whether it ends within `days`, or has ended."""
        return self.ends <= now + days * DAY and now >= self.told_from

    def days_left(self, now: float) -> int:
        return int((self.ends - now) // DAY)

    def as_json(self, now: float) -> dict[str, Any]:
        return {
            "what": self.title,
            "ends": self.ends,
            "days_left": self.days_left(now),
            "x5t#S256": self.thumbprint or None,
            "outlasted": self.is_outlasted,
        }


def endings_of(client: Client) -> Iterator[Ending]:
    """The certificates that stand in the registration: the client's own, and anchors of its own."""
    if not client.enabled:
        return
    certificates = () if client.ignores_validity else client.certificates
    last = max((each.not_after for each in certificates), default=0)
    for each in certificates:
        yield ending_of(f"client {client.client_id!r}: certificate", each, is_outlasted=each.not_after < last)
    for each in client.anchors.certificates:
        yield ending_of(f"client {client.client_id!r}: trust anchor", each)


def ending_of(title: str, certificate: Certificate, *, is_outlasted: bool = False) -> Ending:
    """The end of one certificate."""
    return Ending(title=title, ends=certificate.not_after, thumbprint=certificate.thumbprint, is_outlasted=is_outlasted)


class ExpiryWatch:
    """Tells the log once a day, and from the start, which registered certificates end soon."""

    def __init__(self, store: Store, now: Callable[[], float]) -> None:
        """`now` gives seconds since the epoch."""
        self._store = store
        self._now = now
        self.ending = 0
        """How many registered certificates ended, or will within `SOON` days, and nothing outlasts them."""

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.look()
            except StoreUnavailable as error:
                _log.warning("certificates that end soon: the store does not say: %s", error)
            except Exception:  # noqa: BLE001 - a watch that ended because of one bad look would end unnoticed
                _log.exception("certificates that end soon cannot be told")
            await asyncio.sleep(DAY)

    async def look(self) -> None:
        """`ending` and the log say what is so now."""
        now = self._now()
        soon = sorted([each async for each in self._soon(now)], key=lambda each: each.ends)
        for each in soon[:MOST_LINES]:
            days = each.days_left(now)
            when = f"ends in {days} days" if days >= 0 else "has ended"
            _log.warning("%s %s %s", each.title, each.thumbprint, when)
        self.ending = len(soon)
        if soon:
            _log.warning("registered certificates that end within %d days: %d", SOON, self.ending)

    async def _soon(self, now: float) -> Any:
        for record in await self._store.clients.list(limit=MOST_CLIENTS):
            if not _CARRIES & record.metadata.keys():
                continue
            client = readable(record)
            for each in endings_of(client) if client else ():
                if each.is_soon(now, SOON) and not each.is_outlasted:
                    yield each
            await asyncio.sleep(0)  # requests go first


def registered(clients: Iterable[Client]) -> Iterator[Ending]:
    """What stands in the registrations of all `clients`."""
    for client in clients:
        yield from endings_of(client)


_CARRIES = frozenset({"jwks", "tls_client_auth_trust_anchors"})
"""Members of a registration that hold certificates."""
