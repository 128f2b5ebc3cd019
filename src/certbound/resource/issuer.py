"""An issuer's keys, fetched when needed and no more often than that (RFC 8414, RFC 7517).

Rule 1: URLs come from settings and from the metadata of exactly that issuer; never from a token.
Rule 2: unknown `kid`s lead to at most one fetch per `refetch_interval`, however many tokens bring one.  So strangers
cannot make us flood the issuer, and they can keep a key that it has just published unknown here for one interval at
most.
Rule 3: keys are used for `max_age` at most: a key the issuer took away dies here within that time.
"""

import asyncio
import logging
from collections.abc import Callable, Set
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx
from cryptography.exceptions import UnsupportedAlgorithm
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key, KeySet

from certbound.core.errors import KeysUnavailable
from certbound.core.well_known import Issuer
from certbound.resource.fetching import FAILURES, SingleFlight, load_metadata, load_object, told

FETCH_TIMEOUT = 10.0
"""Seconds for the two together; those who wait for a key wait no longer, however slowly bytes drip."""

_log = logging.getLogger("certbound.resource")


class KeySource(Protocol):
    """Where the keys of one issuer come from."""

    def known(self, kid: str | None) -> KeySet | None:
        """The issuer's keys, if `kid` is among those that are here and counts; None if `keys` has to be asked."""

    async def keys(self, kid: str | None) -> KeySet:
        """The issuer's keys, fetched anew if `kid` is not among them and it is time.  `KeysUnavailable` (503)."""


@dataclass(frozen=True, slots=True)
class FixedKeys:
    """Keys that are known beforehand."""

    key_set: KeySet

    def known(self, kid: str | None) -> KeySet | None:
        return self.key_set

    async def keys(self, kid: str | None) -> KeySet:
        return self.key_set


@dataclass(slots=True)
class IssuerKeys:
    """The keys behind the `jwks_uri` of an issuer's metadata.

    `new_client` makes a client for one fetch; its TLS settings say whom we believe to be the issuer.  `clock` counts
    seconds.  The interval runs from the end of one fetch to the begin of the next; as long as there is no usable key at
    all, it is a second.  A fetch goes on when those who asked for it are gone, so nobody can spend it for nothing.
    """

    issuer: Issuer
    new_client: Callable[[], httpx.AsyncClient]
    clock: Callable[[], float]
    max_age: float = 300
    refetch_interval: float = 5
    _key_set: KeySet | None = field(default=None, init=False)
    _kids: Set[str | None] = field(default=frozenset(), init=False)
    _fetched_at: float = field(default=float("-inf"), init=False)
    _flight: SingleFlight = field(init=False)

    def __post_init__(self) -> None:
        self._flight = SingleFlight(self.clock)

    def known(self, kid: str | None) -> KeySet | None:
        """As `KeySource.known`."""
        return self._key_set if self._is_usable() and self._knows(kid) else None

    async def keys(self, kid: str | None) -> KeySet:
        """As `KeySource.keys`; many callers wait for one fetch."""
        if not self._is_usable() or not self._knows(kid):
            # Without any key nothing works, so trying again is worth it sooner.
            self._flight.begin(self._fetch, interval=self.refetch_interval if self._is_usable() else 1.0)
            await self._flight.end()
        if self._key_set is None or self._is_old():
            raise KeysUnavailable(f"the keys of {self.issuer} cannot be had")
        return self._key_set

    def _is_usable(self) -> bool:
        return self._key_set is not None and not self._is_old()

    def _knows(self, kid: str | None) -> bool:
        return kid is None or kid in self._kids

    def _is_old(self) -> bool:
        return self.clock() - self._fetched_at > self.max_age

    async def _fetch(self) -> None:
        begun_at = self.clock()
        try:
            async with asyncio.timeout(FETCH_TIMEOUT), self.new_client() as client:
                metadata = await load_metadata(client, self.issuer)
                jwks_uri = metadata.get("jwks_uri")
                if not isinstance(jwks_uri, str) or not jwks_uri.startswith("https://"):
                    raise ValueError("its metadata has no https jwks_uri")
                key_set = _read_keys(await load_object(client, jwks_uri))
        except FAILURES as error:
            _log.error("the keys of %s cannot be fetched: %s", self.issuer, told(error))
        else:
            self._key_set = key_set
            # After the keys: a thread that looks between the two asks for a new `kid`, and does not refuse its token.
            self._kids = frozenset(key.kid for key in key_set)
            self._fetched_at = begun_at


def _read_keys(jwks: dict[str, Any]) -> KeySet:
    """The keys that verify signatures; one that cannot be used must not hide the others (RFC 7517 section 5)."""
    listed = jwks.get("keys")
    keys = [key for each in listed if (key := _read_key(each)) is not None] if isinstance(listed, list) else []
    if not keys:
        raise ValueError("its JWK Set has no key that can be used here")
    return KeySet(keys)


def _read_key(jwk: Any) -> Key | None:
    if not isinstance(jwk, dict) or jwk.get("kty") not in ("EC", "RSA", "OKP") or jwk.get("use") not in (None, "sig"):
        return None
    try:
        return JWKRegistry.import_key(jwk)
    except (JoseError, ValueError, TypeError, KeyError, AttributeError, OverflowError, UnsupportedAlgorithm) as error:
        _log.warning("a key of the issuer is unusable: %r", error)
        return None
