"""The certificates and keys that clients publish behind their `jwks_uri` (RFC 8705 section 2.2, RFC 7523, R13).

Rule 1: a set lives as long as its Cache-Control says, within `LEAST_LIFETIME` and `MOST_LIFETIME`: what the client
takes away is refused from then on.  Before that it is fetched again without anybody waiting.
Rule 2: what is not in the set, a certificate or the `kid` of a key, waits for one fetch that begins after it came.
Fetches of one URI begin `INTERVAL` apart and never two at a time, and whoever waits for one waits with all others:
strangers who bring fresh certificates or invent a `kid` can make us fetch once per interval, and can keep nobody from
the next fetch.  Who names no key gets those that are known: a new key counts then when the set has lived.
Rule 3: where too many wait, the next one does not, but the fetch begins all the same and the certificate is known after
it.  So one that was published counts at the latest `INTERVAL` and twice the time of a fetch after it is first shown,
whoever asks meanwhile.
Rule 4: a source that cannot be read keeps its last good set, for `KEPT` after it was fetched, and is asked less and
less often, down to once in `INTERVAL * 2 ** MOST_DOUBLINGS`.  A readable set without certificates means nobody.
Rule 5: clients that name the same URI share what is known of it, whatever they authenticate with.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

import msgspec
from joserfc.jwk import KeySet

from certbound.core.certificate import Certificate
from certbound.core.clients import Client
from certbound.core.errors import InvalidClientMetadata, Untrusted
from certbound.core.jwks import read_published_jwks, read_published_keys
from certbound.core.proofs import PublishedCertificates
from certbound.trust.fetch import Failure, Fetched, Fetcher, FetchFailed

LEAST_LIFETIME = 10.0
"""Seconds; also for a set that is not to be stored."""
USUAL_LIFETIME = 300.0
"""Where nothing is said."""
MOST_LIFETIME = 86_400.0
KEPT = 86_400.0
INTERVAL = 1.0
"""Seconds between the beginnings of two fetches of one URI."""
MOST_DOUBLINGS = 4
MOST_AHEAD = 300.0
"""A set is fetched again in the last quarter of its life, but not sooner than this before its end."""
MOST_WAITING = 256
"""Requests that wait for one URI."""
MOST_SOURCES = 10_000
MOST_BYTES = 64 * 1024 * 1024
"""Certificates and keys in memory; the source that was used longest ago is forgotten first."""
MAX_JWKS = 128 * 1024
"""Bytes of a JWK Set."""

_log = logging.getLogger("certbound.trust")


class PublishedNowhere(PublishedCertificates):
    """Nothing is fetched."""

    async def published(self, client: Client, presented: Certificate, now: float) -> Sequence[Certificate]:
        raise Untrusted("a jwks_uri is fetched by nobody here")

    async def published_keys(self, client: Client, kid: str | None, now: float) -> KeySet:
        raise Untrusted("a jwks_uri is fetched by nobody here")


@dataclass(frozen=True, slots=True)
class PublishedStatistics:
    """Numbers of the moment."""

    sources: int
    failing: int
    """Sources whose last fetch brought nothing that can be used."""
    waiting: int
    """Requests that wait for a fetch."""
    oldest: float
    """Seconds since the set was fetched that was fetched longest ago."""


class PublishedByUri(PublishedCertificates):
    """What is known of each `jwks_uri`, and the looking again."""

    def __init__(self, fetcher: Fetcher, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` counts seconds and never goes back."""
        self._fetcher = fetcher
        self._clock = clock
        self._sources: OrderedDict[str, _Source] = OrderedDict()
        self._size = 0

    async def published(self, client: Client, presented: Certificate, now: float) -> Sequence[Certificate]:
        """As `PublishedCertificates.published`; the times are those of our own clock."""
        return (await self._looked_up(client, _Sought(_Kind.CERTIFICATE, presented.thumbprint))).certificates

    async def published_keys(self, client: Client, kid: str | None, now: float) -> KeySet:
        """As `PublishedCertificates.published_keys`; the times are those of our own clock."""
        return (await self._looked_up(client, _Sought(_Kind.KEY, kid or ""))).keys

    async def _looked_up(self, client: Client, sought: "_Sought") -> "_Published":
        if client.jwks_uri is None:
            raise Untrusted("the client has no jwks_uri")
        source = self._source(client.jwks_uri)
        if source.must_be_looked_at(sought):
            await source.look_again(sought)
        return source.published()

    def statistics(self) -> PublishedStatistics:
        now = self._clock()
        sources = self._sources.values()
        return PublishedStatistics(
            sources=len(sources),
            failing=sum(each.failures > 0 for each in sources),
            waiting=sum(each.waiting for each in sources),
            oldest=max((now - each.known.fetched_at for each in sources if each.known is not None), default=0.0),
        )

    async def close(self) -> None:
        """Nothing is looked at any more."""
        await asyncio.gather(*(each.close() for each in self._sources.values()))

    def _source(self, uri: str) -> "_Source":
        source = self._sources.get(uri)
        if source is None:
            source = self._sources[uri] = _Source(uri, self._fetcher, self._clock, self._grow)
            self._grow(0)
        self._sources.move_to_end(uri)
        return source

    def _grow(self, size: int) -> None:
        """So many bytes more are remembered; what was used longest ago is forgotten for them."""
        self._size += size
        if len(self._sources) <= MOST_SOURCES and self._size <= MOST_BYTES:
            return
        for uri in list(self._sources)[:-1]:
            if len(self._sources) <= MOST_SOURCES and self._size <= MOST_BYTES:
                break
            if not self._sources[uri].is_busy:
                self._size -= self._sources.pop(uri).size


class _Kind(Enum):
    CERTIFICATE = "certificate"
    KEY = "key"


class _Sought(NamedTuple):
    """What a request needs of a set: the certificate with this thumbprint, or the key of this `kid`, any if empty."""

    kind: _Kind
    name: str


@dataclass(frozen=True, slots=True)
class _Published:
    """What stands in a set."""

    certificates: tuple[Certificate, ...]
    keys: KeySet
    names: frozenset[_Sought]
    """What is found in it."""
    complaints: tuple[str, ...]
    """Why some of it counts for nothing."""
    size: int
    """Bytes."""


@dataclass(frozen=True, slots=True)
class _Known:
    """A set that was read; times are those of the clock."""

    published: _Published
    fetched_at: float
    refreshed_from: float
    fresh_until: float

    @property
    def kept_until(self) -> float:
        return max(self.fresh_until, self.fetched_at + KEPT)


class _Source:
    """One URI."""

    def __init__(self, uri: str, fetcher: Fetcher, clock: Callable[[], float], grow: Callable[[int], None]) -> None:
        self.size = 0
        """Bytes of what is known."""
        self.known: _Known | None = None
        self.failures = 0
        """How many fetches failed since the last good one."""
        self.waiting = 0
        self._uri = uri
        self._fetcher = fetcher
        self._clock = clock
        self._grow = grow
        self._begun_at = float("-inf")
        self._ended = float("-inf")
        """When the last fetch began that has ended."""
        self._missed: set[_Sought] = set()
        """What was waited for in vain with that fetch."""
        self._complaints: tuple[str, ...] = ()
        self._looking: asyncio.Task[None] | None = None

    @property
    def is_busy(self) -> bool:
        return self.waiting > 0 or (self._looking is not None and not self._looking.done())

    def published(self) -> _Published:
        """The set, if there is one.  `Untrusted` otherwise."""
        if self.known is None or self._clock() > self.known.kept_until:
            raise Untrusted(f"{self._uri} cannot be had")
        return self.known.published

    def must_be_looked_at(self, sought: _Sought) -> bool:
        """Whether a request that needs this has to wait for a fetch."""
        now = self._clock()
        if self.known is None or sought not in self.known.published.names:
            return not (sought in self._missed and now < self._due_at())
        if now >= self.known.refreshed_from and now >= self._due_at():
            self._look_soon()
        return now >= self.known.fresh_until and self.failures == 0

    async def look_again(self, sought: _Sought) -> None:
        """A fetch that began after this call has ended, or one brought what is sought, or it took too long."""
        came_at = self._clock()
        looking = self._look_soon()
        if self.waiting >= MOST_WAITING:
            return
        self.waiting += 1
        try:
            async with asyncio.timeout(INTERVAL + 2 * self._fetcher.timeout):
                while True:
                    await asyncio.shield(looking)
                    if self._is_fresh(sought) or self._ended >= came_at:
                        break
                    looking = self._look_soon()
        except TimeoutError:
            return
        finally:
            self.waiting -= 1
        if self.known is None or sought not in self.known.published.names:
            self._missed.add(sought)

    async def close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    def _is_fresh(self, sought: _Sought) -> bool:
        known = self.known
        return known is not None and sought in known.published.names and self._clock() < known.fresh_until

    def _due_at(self) -> float:
        """When the next fetch may begin."""
        return self._begun_at + INTERVAL * (1 << min(self.failures, MOST_DOUBLINGS))

    def _look_soon(self) -> asyncio.Task[None]:
        """The fetch that is under way, or will be."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        return self._looking

    async def _look(self) -> None:
        await asyncio.sleep(max(0.0, self._due_at() - self._clock()))
        self._begun_at = self._clock()
        try:
            fetched = await self._fetcher.fetch(
                self._uri, most=MAX_JWKS, accept="application/jwk-set+json, application/json"
            )
            published = _read(fetched)
        except Exception as error:  # noqa: BLE001 - whoever waits is refused then, not left with it
            self._note_failure(error)
        else:
            self._note_success(published, lifetime(fetched.headers))
        self._ended = self._begun_at
        self._missed.clear()

    def _note_success(self, published: _Published, life: float) -> None:
        complaints = published.complaints
        if self.failures:
            _log.warning("%.200s can be fetched again", self._uri)
        if complaints and complaints != self._complaints:
            _log.warning("%.200s has JWKs that count for nothing: %.500s", self._uri, "; ".join(complaints))
        self.failures, self._complaints = 0, complaints
        self.known = _Known(
            published,
            self._begun_at,
            self._begun_at + life - min(life / 4, MOST_AHEAD),
            self._begun_at + life,
        )
        before, self.size = self.size, published.size
        self._grow(self.size - before)

    def _note_failure(self, error: Exception) -> None:
        if isinstance(error, FetchFailed) and error.failure is Failure.BUSY:
            return  # nothing is known of the source
        self.failures += 1
        if self.failures > 1:
            return
        defect = None if isinstance(error, FetchFailed | InvalidClientMetadata) else error
        if self.known is None:
            _log.error("%.200s cannot be fetched, so its clients are refused: %s", self._uri, error, exc_info=defect)
            return
        age = self._clock() - self.known.fetched_at
        _log.error(
            "%.200s cannot be fetched; the set of %.0f seconds ago counts for up to %.0f more: %s",
            self._uri,
            age,
            max(0.0, self.known.kept_until - self._clock()),
            error,
            exc_info=defect,
        )


def lifetime(headers: Mapping[str, str]) -> float:
    """Seconds that an answer may be used (RFC 9111 section 4.2), within our bounds."""
    directives = dict(_directive(each) for each in headers.get("cache-control", "").split(","))
    if directives.keys() & {"no-store", "no-cache"}:
        return LEAST_LIFETIME
    if "max-age" not in directives:
        return USUAL_LIFETIME
    life = _seconds(directives["max-age"]) - _seconds(headers.get("age", ""))
    return min(max(life, LEAST_LIFETIME), MOST_LIFETIME)


def _directive(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name.strip().lower(), value.strip().strip('"')


def _seconds(text: str) -> float:
    """A number of seconds; what is none counts as 0."""
    digits = text.strip()
    return float(digits[:12]) if digits.isascii() and digits.isdigit() else 0.0


def _read(fetched: Fetched) -> _Published:
    try:
        document: Any = msgspec.json.decode(fetched.body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidClientMetadata("jwks_uri", f"is not JSON: {error}") from error
    certificates, of_certificates = read_published_jwks(document)
    keys, of_keys = read_published_keys(document)
    names = [_Sought(_Kind.CERTIFICATE, each.thumbprint) for each in certificates]
    names += [_Sought(_Kind.KEY, each.kid or "") for each in keys]
    return _Published(
        certificates,
        keys,
        frozenset([*names, _ANY_KEY]),
        tuple(dict.fromkeys([*of_certificates, *of_keys])),
        sum(len(each.der) for each in certificates) + KEY_SIZE * len(keys.keys),
    )


KEY_SIZE = 1024
"""Bytes that a key is taken for."""
_ANY_KEY = _Sought(_Kind.KEY, "")
"""Of no name: what is known is what there is."""
