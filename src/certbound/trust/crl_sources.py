"""Where revocation lists come from: files, watched, and URLs, fetched again before their lists end.

Rule 1: a list is read off the event loop, and only if it is not longer than the deployment allows.
Rule 2: what cannot be read leaves what was read before in force.  A file that cannot be read at the start stops it.
Rule 3: anybody on the way may put his list in the place of the right one.  So one that no key vouched for yet takes
nobody's place: the last authentic one stays beside it.  An authentic list is never followed by an older one, nor by
one of another key: an authority that changed its key still answers for what the old one signed.
"""

import asyncio
import logging
import random
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from certbound.core.errors import ConfigurationError
from certbound.trust.crl_frames import BadList
from certbound.trust.crls import IssuerName, RevocationList, read_lists
from certbound.trust.fetch import HTTP_OR_HTTPS, Fetcher, FetchFailed
from certbound.trust.sources import Source, SourceKind, SourceStatus, retry_after

_log = logging.getLogger("certbound.trust.revocation")

MOST_URLS = 64
"""URLs that certificates named and that are remembered."""
_SOONEST = 30.0
"""Seconds between two fetches of a list that ends soon."""


class Shelf:
    """The lists of one source."""

    def __init__(self) -> None:
        self._kept: dict[tuple[bytes, int], _Kept] = {}

    def __iter__(self) -> Iterator[RevocationList]:
        for kept in self._kept.values():
            yield from kept.in_force

    @property
    def newest(self) -> list[RevocationList]:
        """Without those that stay only until it is known who signed the newest."""
        return [kept.newest for kept in self._kept.values()]

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(each.size for each in self)

    def put(self, arrived: Sequence[RevocationList]) -> str:
        """`arrived` are its lists now.  What is odd about that, or nothing."""
        odd = ""
        before, self._kept = self._kept, {}
        same: Counter[bytes] = Counter()
        for each in arrived:
            # Two keys of one authority may have a list each, of one scope, in one file.
            place = (each.scope, same[each.scope])
            same[each.scope] += 1
            kept = before.pop(place, None)
            proven = () if kept is None else kept.proven
            if kept is not None and each.digest == kept.newest.digest:
                self._kept[place] = kept
            elif proven and all(each.this_update < known.this_update for known in proven):
                odd = "an older list than the one that is known; the newer one stays"
                self._kept[place] = _Kept(proven[0], proven[1:])
            else:
                self._kept[place] = _Kept(each, tuple(known for known in proven if known.digest != each.digest))
        for place, kept in before.items():
            if proven := kept.proven:
                odd = odd or "a list that was there is missing; it counts until it ends"
                self._kept[place] = _Kept(proven[0], proven[1:])
        return odd


@dataclass(frozen=True, slots=True)
class _Kept:
    newest: RevocationList
    earlier: tuple[RevocationList, ...]
    """Authentic ones, each of which stays until it is known that its own key signed the newest."""

    @property
    def in_force(self) -> tuple[RevocationList, ...]:
        followed = [each for each in self.earlier if each.keys & self.newest.keys]
        if any(each.this_update > self.newest.this_update for each in followed):
            return self.earlier
        return (self.newest, *(each for each in self.earlier if each not in followed))

    @property
    def proven(self) -> tuple[RevocationList, ...]:
        """Those that are authentic."""
        return tuple(each for each in self.in_force if each.is_authentic)


class CRLSources:
    """Every list that is known.  `version` is another number whenever a list has come or gone."""

    def __init__(
        self,
        *,
        files: Sequence[Path],
        urls: Sequence[str],
        fetcher: Fetcher,
        max_bytes: int,
        max_age: float,
        clock: Callable[[], float],
    ) -> None:
        """`ConfigurationError` if a file cannot be read."""
        self.version = 0
        self._bounds = _Bounds(max_bytes, max_age)
        self._fetcher = fetcher
        self._clock = clock
        self._files = [_File(file, self._bounds, clock()) for file in files]
        self._urls = [_URL(url, self._bounds, fetcher, clock, self._changed) for url in dict.fromkeys(urls)]
        self._named: OrderedDict[str, _URL] = OrderedDict()

    def lists(self, issuers: frozenset[IssuerName], named: Sequence[str]) -> list[RevocationList]:
        """The lists of these issuers: those that are configured, and those at the URLs that a certificate named."""
        places: list[_File | _URL] = [*self._files, *self._urls]
        places += [self._named[url] for url in named if url in self._named]
        unique = {each.digest: each for place in places for each in place.shelf if each.issuer in issuers}
        return list(unique.values())

    async def arrive(self) -> None:
        """The lists that are configured were read, or could not be."""
        await asyncio.gather(*(each.first_attempt() for each in self._urls))

    def start(self, urls: Sequence[str]) -> None:
        """From now on the lists at these URLs, which a trusted certificate named, are known like those configured."""
        for url in urls:
            if url not in self._named:
                self._named[url] = _URL(url, self._bounds, self._fetcher, self._clock, self._changed)
            self._named.move_to_end(url)
            self._named[url].fetch_if_due(self._clock())
        self._forget()

    async def require(self, urls: Sequence[str]) -> None:
        """As `start`; afterwards they were read, or could not be."""
        self.start(urls)
        await asyncio.gather(*(self._named[url].first_attempt() for url in urls if url in self._named))

    async def look(self) -> None:
        """Files that changed are read; what is due is fetched, without waiting for it."""
        now = self._clock()
        for file in self._files:
            if await file.reload_if_changed(now):
                self._changed()
        for url in (*self._urls, *self._named.values()):
            url.fetch_if_due(now)
        for source in self._sources():
            source.look(now)
        self._forget()  # what arrived since was not counted when it was asked for

    async def close(self) -> None:
        """Nothing is fetched any more."""
        for each in (*self._urls, *self._named.values()):
            await each.close()

    def statuses(self) -> Iterator[SourceStatus]:
        return (each.status() for each in self._sources())

    def _sources(self) -> Iterator[Source]:
        yield from (file.source for file in self._files)
        yield from (url.source for url in (*self._urls, *self._named.values()))

    def _changed(self) -> None:
        self.version += 1

    def _forget(self) -> None:
        """The URLs that were not asked for the longest time, while there are too many or too much came from them."""
        while len(self._named) > MOST_URLS or (
            len(self._named) > 1 and sum(each.shelf.size for each in self._named.values()) > 4 * self._bounds.max_bytes
        ):
            _, forgotten = self._named.popitem(last=False)
            forgotten.cancel()
            self._changed()


@dataclass(frozen=True, slots=True)
class _Bounds:
    max_bytes: int
    max_age: float

    def end_of(self, shelf: Shelf) -> float | None:
        return min((each.ends_at(self.max_age) for each in shelf.newest), default=None)


class _File:
    def __init__(self, file: Path, bounds: _Bounds, now: float) -> None:
        self.source = Source(SourceKind.CRL_FILE, str(file))
        self.shelf = Shelf()
        self._file = file
        self._bounds = bounds
        self._stamp = _stamp(file)
        self._bad_stamp: tuple[int, int, int] | None = (0, 0, 0)
        try:
            self._put(self._read(), now)
        except (OSError, BadList) as error:
            raise ConfigurationError(f"revocation.crls: {file} cannot be read: {_said(error)}") from error

    async def reload_if_changed(self, now: float) -> bool:
        stamp = _stamp(self._file)
        if stamp in {self._stamp, self._bad_stamp}:
            return False
        try:
            lists = await asyncio.to_thread(self._read)
        except (OSError, BadList) as error:
            # Why a file that is there cannot be opened leaves no trace in its stamp.
            if stamp is None or isinstance(error, BadList):
                self._bad_stamp = stamp
            self.source.failed(_said(error))
            return False
        self._stamp, self._bad_stamp = stamp, (0, 0, 0)
        self._put(lists, now)
        return True

    def _read(self) -> tuple[RevocationList, ...]:
        with self._file.open("rb") as opened:
            content = opened.read(self._bounds.max_bytes + 1)
        if len(content) > self._bounds.max_bytes:
            raise BadList(f"more than {self._bounds.max_bytes} bytes")
        return read_lists(content)

    def _put(self, lists: Sequence[RevocationList], now: float) -> None:
        if odd := self.shelf.put(lists):
            self.source.remark(odd)
        self.source.succeeded(now, entries=_count(self.shelf), ends_at=self._bounds.end_of(self.shelf))


class _URL:
    def __init__(
        self,
        url: str,
        bounds: _Bounds,
        fetcher: Fetcher,
        clock: Callable[[], float],
        changed: Callable[[], None],
    ) -> None:
        self.source = Source(SourceKind.CRL_URL, url)
        self.shelf = Shelf()
        self._url = url
        self._bounds = bounds
        self._fetcher = fetcher
        self._clock = clock
        self._changed = changed
        self._due = self._tried = 0.0
        self._attempts = 0
        self._running: asyncio.Task[None] | None = None

    async def first_attempt(self) -> None:
        """It was read once, or could not be; afterwards nobody waits for it."""
        if not self._attempts:
            self.fetch_if_due(self._clock())
        if self._running is not None and not self._attempts:
            await asyncio.wait({self._running})  # neither cancels it, nor is cancelled if it is

    def fetch_if_due(self, now: float) -> None:
        """One fetch at a time.  A clock that went back does not put it off."""
        if self._running is None and not self._tried <= now < self._due:
            self._tried = now
            self._running = asyncio.create_task(self._fetch())

    def cancel(self) -> None:
        if self._running is not None:
            self._running.cancel()

    async def close(self) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def _fetch(self) -> None:
        try:
            fetched = await self._fetcher.fetch(
                self._url, most=self._bounds.max_bytes, schemes=HTTP_OR_HTTPS, accept="application/pkix-crl, */*"
            )
            lists = await asyncio.to_thread(read_lists, fetched.body)
        except Exception as error:  # noqa: BLE001 - a task that ended otherwise would be due for ever
            if not isinstance(error, FetchFailed | BadList):
                _log.exception("%s cannot be fetched", self._url)
            self.source.failed(str(error))
            self._due = self._clock() + _jittered(retry_after(self.source.failures, self._bounds.max_age))
        else:
            now = self._clock()
            before = {each.digest for each in self.shelf}
            if odd := self.shelf.put(lists):
                self.source.remark(odd)
            ends_at = self._bounds.end_of(self.shelf)
            self.source.succeeded(now, entries=_count(self.shelf), ends_at=ends_at)
            self._due = now + self._interval(ends_at or now, now)
            if before != {each.digest for each in self.shelf}:
                self._changed()
        finally:
            self._attempts += 1
            self._running = None

    def _interval(self, ends_at: float, now: float) -> float:
        """Half of what is left of the list, so that a failure leaves time for the next attempt."""
        return _jittered(min(self._bounds.max_age, max((ends_at - now) / 2, _SOONEST)))


def _jittered(seconds: float) -> float:
    """A little less, so that many servers do not ask at once."""
    return seconds * random.uniform(0.8, 1.0)  # noqa: S311 - no secret


def _count(shelf: Shelf) -> int:
    return sum(each.entries for each in shelf.newest)


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _said(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
