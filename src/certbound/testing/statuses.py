"""The status lists of an issuer, for a guard that is to hear at once what a test revokes."""

import ssl
import time
from functools import partial
from pathlib import Path

import httpx

from certbound.core.status import StatusList, StatusReference
from certbound.core.well_known import Issuer
from certbound.resource.issuer import IssuerKeys
from certbound.resource.status import IssuerStatuses


class LiveStatuses:
    """As `IssuerStatuses`, and `forget` makes it ask anew."""

    def __init__(self, issuer: Issuer, ca: Path) -> None:
        self._issuer = issuer
        context = ssl.create_default_context(cafile=ca)
        self._new_client = partial(httpx.AsyncClient, verify=context, timeout=5, trust_env=False)
        self.forget()

    def forget(self) -> None:
        """The next token that would pass causes a fetch."""
        keys = IssuerKeys(self._issuer, self._new_client, time.monotonic)
        self._statuses = IssuerStatuses(self._issuer, keys, self._new_client, time.monotonic, time.time)

    def known(self, reference: StatusReference) -> StatusList | None:
        """As `StatusSource.known`."""
        return self._statuses.known(reference)

    async def list_of(self, reference: StatusReference) -> StatusList:
        """As `StatusSource.list_of`."""
        return await self._statuses.list_of(reference)
