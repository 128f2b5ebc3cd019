"""What an issuer says of the tokens it revoked: its status lists, fetched every few seconds while they are needed.

Rule 1: a list is one that the issuer's metadata leads to, and signed by the issuer; it is not enough that a token
names it.
Rule 2: as long as the issuer answers, a list is used for `max_age` seconds at most, or its `ttl` if that is less;
whoever comes when half of that is over begins the next fetch and waits for nothing.
Rule 3: where the issuer does not answer, the last list counts until it ends by itself (`exp`, at most `MAX_USE`); after
that no token that names one is accepted.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx

from certbound.core.errors import InvalidToken, KeysUnavailable, StatusUnavailable
from certbound.core.jws import read_header, verified_claims
from certbound.core.metadata import STATUS_LISTS_MEMBER
from certbound.core.status import MEDIA_TYPE, TYPE, ReadList, StatusList, StatusReference, read_list
from certbound.core.well_known import Issuer
from certbound.resource.fetching import FAILURES, SingleFlight, load, load_metadata, load_object, told
from certbound.resource.issuer import KeySource
from certbound.resource.verify import ALGORITHMS

MAX_USE = 300
"""Seconds a list is used at most, whatever it says of itself."""
MAX_LIST = 1024 * 1024
"""Bytes of a list, as it is signed."""
MAX_LISTS = 64
"""How many lists of one issuer are known."""
FETCH_TIMEOUT = 5.0
"""Seconds for a fetch; those who wait for a list wait no longer, however slowly bytes drip."""

_log = logging.getLogger("certbound.resource")


class StatusSource(Protocol):
    """Where the status lists of one issuer come from."""

    def known(self, reference: StatusReference) -> StatusList | None:
        """The list, if it is here and nobody need look for the next one yet; None if `list_of` has to be asked."""

    async def list_of(self, reference: StatusReference) -> StatusList:
        """The list that a token of this issuer names.

        `InvalidToken` (401) if it is not the issuer's, `StatusUnavailable` (503) if it cannot be had.
        """


@dataclass(slots=True)
class IssuerStatuses:
    """The lists behind the `status_list_aggregation_endpoint` of an issuer's metadata (section 9).

    `new_client` makes a client for one fetch; its TLS settings say whom we believe to be the issuer.  `clock` counts
    seconds and never goes back, `now` are seconds since the epoch.
    """

    issuer: Issuer
    keys: KeySource
    new_client: Callable[[], httpx.AsyncClient]
    clock: Callable[[], float]
    now: Callable[[], float]
    algorithms: Sequence[str] = ALGORITHMS
    max_age: float = 10
    refetch_interval: float = 5
    """Seconds between two looks for a list that the issuer did not publish; one that fails is tried again in one."""
    _uris: frozenset[str] | None = field(default=None, init=False)
    _flight: SingleFlight = field(init=False)
    _kept: dict[str, "_Kept"] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._flight = SingleFlight(self.clock)

    def known(self, reference: StatusReference) -> StatusList | None:
        """As `StatusSource.known`."""
        kept = self._kept.get(reference.uri)
        return kept.content if kept is not None and self.clock() < kept.refresh_at else None

    async def list_of(self, reference: StatusReference) -> StatusList:
        """As `StatusSource.list_of`; many callers wait for one fetch."""
        kept = self._kept.get(reference.uri) or await self._admit(reference.uri)
        if kept.content is not None and self.clock() < kept.refresh_at:
            return kept.content
        return await self._refreshed(kept)

    async def _admit(self, uri: str) -> "_Kept":
        if self._uris is None or uri not in self._uris:
            self._flight.begin(self._fetch_uris, interval=1.0 if self._uris is None else self.refetch_interval)
            await self._flight.end()
        if self._uris is None:
            raise StatusUnavailable(f"what status lists {self.issuer} has cannot be learned")
        if uri not in self._uris:
            raise InvalidToken(f"its status list {uri!r:.200} is none that its issuer publishes")
        return self._kept.setdefault(uri, _Kept(uri, SingleFlight(self.clock)))

    async def _refreshed(self, kept: "_Kept") -> StatusList:
        kept.flight.begin(lambda: self._fetch(kept), interval=1.0 if kept.failed else 0.0)
        # A list that is fresh enough is waited for by nobody; nor, once a fetch failed, is one that still counts.
        if self.clock() >= (kept.ends_at if kept.failed else kept.stale_at):
            await kept.flight.end()
        if kept.content is None or self.clock() >= kept.ends_at:
            raise StatusUnavailable(f"the status list {kept.uri} cannot be had")
        return kept.content

    async def _fetch_uris(self) -> None:
        try:
            async with asyncio.timeout(FETCH_TIMEOUT), self.new_client() as client:
                metadata = await load_metadata(client, self.issuer)
                endpoint = metadata.get(STATUS_LISTS_MEMBER)
                self._uris = frozenset() if endpoint is None else _uris(await load_object(client, _https(endpoint)))
        except FAILURES as error:
            _log.error("what status lists %s has cannot be learned: %r", self.issuer, error)

    async def _fetch(self, kept: "_Kept") -> None:
        begun_at = self.clock()
        found = None
        try:
            found, ends_in = await self._load(kept.uri)
        except (*FAILURES, KeysUnavailable) as error:  # BadJwt is a ValueError, one of FAILURES
            _log.error("the status list %s cannot be fetched: %s", kept.uri, told(error))
        else:
            fresh = max(1.0, min(self.max_age, self.max_age if found.ttl is None else found.ttl))
            kept.content = found.content
            kept.refresh_at, kept.stale_at = begun_at + fresh / 2, begun_at + fresh
            kept.ends_at = begun_at + ends_in
        finally:
            kept.failed = found is None

    async def _load(self, uri: str) -> tuple[ReadList, float]:
        """The list as it is published now, and in how many seconds it ends."""
        async with asyncio.timeout(FETCH_TIMEOUT), self.new_client() as client:
            token = (await load(client, uri, most=MAX_LIST, accept=MEDIA_TYPE)).decode("ascii").strip()
            header = read_header(token, types=_TYPES, algorithms=self.algorithms, most=MAX_LIST)
            claims = verified_claims(token, header, await self.keys.keys(header.kid))
        if claims.get("iss", self.issuer) != self.issuer:
            raise ValueError(f"it is issued by {claims.get('iss')!r:.200}")
        now = self.now()
        found = read_list(claims, uri=uri, now=now)
        return found, min(MAX_USE, MAX_USE if found.expires_at is None else found.expires_at - now)


@dataclass(slots=True)
class _Kept:
    """One list, and by our clock: when to look for the next one, from when on to wait for it, until when it counts."""

    uri: str
    flight: SingleFlight
    content: StatusList | None = None
    refresh_at: float = float("-inf")
    stale_at: float = float("-inf")
    ends_at: float = float("-inf")
    failed: bool = False


def _uris(document: dict[str, Any]) -> frozenset[str]:
    listed = document.get("status_lists")
    if not isinstance(listed, list):
        raise ValueError("it has no status_lists")  # noqa: TRY004  as whatever else cannot be read
    return frozenset(each for each in listed[:MAX_LISTS] if isinstance(each, str) and each.startswith("https://"))


def _https(url: Any) -> str:
    if not isinstance(url, str) or not url.startswith("https://"):
        raise ValueError(f"{STATUS_LISTS_MEMBER} is no https URL")
    return url


_TYPES = frozenset({TYPE, MEDIA_TYPE})
