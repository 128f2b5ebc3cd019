"""The keys that sign, as every endpoint has them: in memory, and right at each moment.

Rule 1: nothing here waits.  Who looks after the store says what there is (`hold`); when a key's moment comes, it signs.
Rule 2: the key that signs is published, whatever its record says: no token is out that nobody can verify.
Rule 3: keys are never lost to an unreadable record: what was held stays until something better is there.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from joserfc.jwk import KeySet

from certbound.core.ports import KeyRecord
from certbound.core.signing import ALGORITHMS, PublicKey, SigningKey
from certbound.core.succession import choose, is_published, may_sign, moments

Keys = Mapping[str, SigningKey]
"""Opened keys by the `kid` of their records."""


@dataclass(frozen=True, slots=True)
class _View:
    """What is so from one moment until another."""

    since: float
    until: float
    signing: SigningKey
    published: Sequence[PublicKey]
    key_set: KeySet
    by_algorithm: Mapping[str, SigningKey]


class KeyRing:
    """The signing keys of this process."""

    def __init__(
        self,
        alg: str,
        records: Sequence[KeyRecord],
        keys: Keys,
        clock: Callable[[], float] = time.time,
        *,
        others: Sequence[PublicKey] = (),
    ) -> None:
        """`alg` is what is signed with if there is a key for it; `clock` gives seconds since the epoch.

        There is a key, at least.  `others` are published beside, and never sign.
        """
        self._alg = alg
        self._records = records
        self._keys = keys
        self._clock = clock
        self._others = tuple({each.kid: each for each in others}.values())
        self._view = self._look(clock())

    @classmethod
    def of(
        cls, key: SigningKey, clock: Callable[[], float] = time.time, *, others: Sequence[PublicKey] = ()
    ) -> "KeyRing":
        """One key that signs for ever."""
        records = [KeyRecord(kid=key.kid, alg=key.alg, private_key=b"")]
        return cls(key.alg, records, {key.kid: key}, clock, others=others)

    def hold(self, records: Sequence[KeyRecord], keys: Keys) -> None:
        """These are the keys from now on."""
        if keys:
            self._records, self._keys = records, keys
            self._view = self._look(self._clock())

    @property
    def signing(self) -> SigningKey:
        """The key that signs now."""
        return self._now().signing

    @property
    def published(self) -> Sequence[PublicKey]:
        """What stands in the JWK Set now, the key that signs first."""
        return self._now().published

    @property
    def key_set(self) -> KeySet:
        """The published keys, for verifying what was signed here."""
        return self._now().key_set

    @property
    def algorithms(self) -> Sequence[str]:
        """Those of the published keys, that of the key which signs first."""
        return tuple(dict.fromkeys(each.alg for each in self.published))

    @property
    def signing_algorithms(self) -> Sequence[str]:
        """As `algorithms`, without those that are only verified."""
        return tuple(dict.fromkeys(each.alg for each in self.published if isinstance(each, SigningKey)))

    @property
    def created_at(self) -> float | None:
        """When the key that signs was made, in seconds since the epoch; None of a configured one."""
        kid = self.signing.kid
        return next((each.created_at for each in self._records if each.kid == kid), None) or None

    def signing_with(self, alg: str | None) -> SigningKey:
        """The key of this algorithm; without one, or without a wish, that which signs."""
        now = self._now()
        return now.by_algorithm.get(alg or "", now.signing)

    def _now(self) -> _View:
        now = self._clock()
        if not self._view.since <= now < self._view.until:
            self._view = self._look(now)
        return self._view

    def _look(self, now: float) -> _View:
        records = [each for each in self._records if each.kid in self._keys]
        signing = self._signing(records, self._alg, now)
        listed = [self._keys[each.kid] for each in records if is_published(each, now)]
        own = tuple(dict.fromkeys((signing, *reversed(listed))))
        kids = {each.kid for each in own}
        published = (*own, *(each for each in self._others if each.kid not in kids))
        able = {alg: [each for each in records if each.alg == alg and may_sign(each, now)] for alg in ALGORITHMS}
        turns = sorted(moments(records))
        return _View(
            since=max((each for each in turns if each <= now), default=float("-inf")),
            until=min((each for each in turns if each > now), default=float("inf")),
            signing=signing,
            published=published,
            key_set=KeySet.import_key_set({"keys": [each.public_jwk() for each in published]}),
            by_algorithm={alg: self._signing(those, alg, now) for alg, those in able.items() if those},
        )

    def _signing(self, records: Sequence[KeyRecord], alg: str, now: float) -> SigningKey:
        chosen = choose(records, alg, now)
        if chosen is None:
            raise ValueError("a ring without keys")
        return self._keys[chosen.kid]
