"""Who looks after the signing keys in the store: makes them, lets them take turns, and removes what has ended.

Rule 1: every process of every server does all of it; what one of them has done the others find done (`Keys.exchange`).
Rule 2: a key that cannot be opened stops the start, and no server that runs: that goes on with those it has.
Rule 3: what people do to keys has one audit line, and so has every key that begins or goes by itself.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from certbound.core.errors import ConfigurationError, StoreUnavailable
from certbound.core.ports import KeyRecord, Store
from certbound.core.signing import ALGORITHMS, SigningKey, is_encrypted
from certbound.core.succession import SWITCH, Schedule, State, due, replaced, retired, state_of, succeeded, swept
from certbound.server.audit import AUDIT, Decision
from certbound.server.keys import KeyRing

INTERVAL = 0.5
"""Seconds between two looks at the store: a fraction of `SWITCH`."""

_log = logging.getLogger("certbound.server")


class KeyKeeper:
    """The signing keys in the store, for one event loop."""

    def __init__(
        self,
        store: Store,
        *,
        alg: str,
        schedule: Schedule,
        password: str | None = None,
        actor: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`alg` is that of new keys, `password` encrypts them, `actor` is who asks, for the audit."""
        self._store = store
        self._alg = alg
        self._schedule = schedule
        self._password = password
        self._actor = actor
        self._clock = clock
        self._records: Sequence[KeyRecord] = ()
        self._keys: Mapping[str, SigningKey] = {}
        self._revision: int | None = None

    async def open(self) -> KeyRing:
        """All keys, opened; one is made if it is time.  `ConfigurationError` if one cannot be opened."""
        self._keys = await self._opened(await self._store.keys.list())
        await self._advance()
        self._keys = await asyncio.to_thread(self._reopened)
        self._ring = KeyRing(self._alg, self._records, self._keys, self._clock)
        return self._ring

    async def run(self) -> None:
        """Keys take turns in the ring that `open` gave.  Until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL)
            try:
                await self.step()
            except StoreUnavailable:
                pass  # what is held goes on
            except Exception:  # noqa: BLE001 - a watch that ended because of one bad look would end unnoticed
                _log.exception("signing keys cannot be looked after")

    async def step(self) -> None:
        """What is due is done, and the ring holds what the store has."""
        before = self._records
        await self._advance()
        if list(before) != list(self._records):
            self._keys = await asyncio.to_thread(self._reopened)
            self._ring.hold(self._records, self._keys)

    async def list(self) -> Sequence[tuple[KeyRecord, State]]:
        """All keys, oldest first, and what each does now."""
        records, now = await self._store.keys.list(), self._clock()
        return [(each, state_of(each, records, self._alg, now)) for each in records]

    async def rotate(self) -> KeyRecord:
        """The key that signs next, with `signs_from`: one that was announced already, or a new one."""
        records = await self._store.keys.list()
        announced = [each for each in records if each.alg == self._alg and each.signs_from > self._clock()]
        if announced:
            return announced[-1]
        await self._opened(records)  # with another password, the servers could not open the new one
        successor = await self._make(self._clock() + (self._schedule.lead if records else 0))
        await self._change(records, succeeded(records, successor, self._schedule))
        self._tell("rotate key", successor.kid, f"announced the signing key {successor.kid!r} ({successor.alg})")
        return successor

    async def replace(self) -> KeyRecord:
        """A new key, which signs in a moment; all others end then, and what they signed is worth nothing."""
        records = await self._store.keys.list()
        await self._opened(records)
        made = await self._make(0)
        begins = self._clock() + SWITCH
        successor = replace(made, created_at=begins, signs_from=begins)
        await self._change(records, replaced(records, successor))
        kids = ", ".join(repr(each.kid) for each in records)
        self._tell("replace key", successor.kid, f"replaced the signing keys {kids} by {successor.kid!r}")
        return successor

    async def retire(self, kid: str, *, at_once: bool = False) -> KeyRecord | None:
        """The key as it is now: one that signs no more, None if it is gone.

        `at_once` takes it out of the JWK Set too.  `ConfigurationError` if there is no such key, or no other signs.
        """
        states = {each.kid: (each, state) for each, state in await self.list()}
        if kid not in states:
            raise ConfigurationError(f"there is no signing key {kid!r}; certbound key list shows those there are")
        found, state = states[kid]
        if state is State.SIGNS:
            raise ConfigurationError(
                f"the key {kid!r} signs now; certbound key rotate makes its successor, certbound key rotate --now "
                "replaces it at once"
            )
        records = [each for each, _ in states.values()]
        now = self._clock()
        changed = retired(records, found, now=now, kept=0 if at_once else self._schedule.kept)
        await self._change(records, swept(changed, self._alg, self._schedule, now))
        self._tell("retire key", kid, f"retired the signing key {kid!r}{' at once' if at_once else ''}")
        return next((each for each in await self._store.keys.list() if each.kid == kid), None)

    async def encrypt(self, old_password: str | None) -> Sequence[str]:
        """All keys are encrypted with the password; the `kid`s of those that were not.

        `old_password` opens those that the present one does not.  `ConfigurationError` if neither does.
        """
        if self._password is None:
            raise ConfigurationError("keys.password is not set; CERTBOUND_KEYS__PASSWORD_FILE names a file with it")
        records = await self._store.keys.list()
        changed = [self._encrypted(each, old_password) for each in records]
        await self._change(records, changed)
        kids = [new.kid for new, old in zip(changed, records, strict=True) if new != old]
        self._tell("encrypt keys", " ".join(kids), f"encrypted {len(kids)} signing keys")
        return kids

    def _encrypted(self, record: KeyRecord, old_password: str | None) -> KeyRecord:
        if is_encrypted(record.private_key) and _opens(record, self._password):
            return record
        key = _open(record, self._password if old_password is None else old_password)
        return replace(record, private_key=key.as_pem(password=self._password))

    async def _advance(self) -> None:
        """The store has what is due now, and `_records` are its keys."""
        while True:
            revision = (await self._store.revision()).records
            if revision != self._revision:
                self._records = await self._store.keys.list()
                self._revision = revision
            now, alg = self._clock(), self._alg
            records = swept(self._records, alg, self._schedule, now)
            begins = due(records, alg, self._schedule, now)
            if begins is not None:
                successor = await self._make(begins)
                records = succeeded(records, successor, self._schedule)
            if list(records) == list(self._records):
                return
            if await self._store.keys.exchange(self._records, records):
                self._tell_of_turns(self._records, records)
            self._revision = None  # whoever changed it: look again

    def _tell_of_turns(self, before: Sequence[KeyRecord], after: Sequence[KeyRecord]) -> None:
        was, stands = {each.kid for each in before}, {each.kid for each in after}
        for each in after:
            if each.kid not in was:
                seconds = max(0, each.signs_from - self._clock())
                told = f"made the signing key {each.kid!r} ({each.alg}), which signs in {seconds:.0f} seconds"
                self._tell("make key", each.kid, told)
        for each in before:
            if each.kid not in stands:
                self._tell("remove key", each.kid, f"removed the signing key {each.kid!r}, which has ended")

    def _tell(self, what: str, kid: str, told: str) -> None:
        sentence = f"{self._actor or 'the schedule'} {told}"
        decision = Decision(
            time=self._clock(), what=what, actor=self._actor, subject=kid, reason=sentence, told=sentence
        )
        AUDIT.record(decision, level=logging.WARNING if self._actor else logging.INFO)

    async def _make(self, signs_from: float) -> KeyRecord:
        key = await asyncio.to_thread(SigningKey.generate, self._alg)
        pem = key.as_pem(password=self._password)
        now = self._clock()
        return KeyRecord(kid=key.kid, alg=key.alg, private_key=pem, created_at=now, signs_from=max(now, signs_from))

    async def _change(self, before: Sequence[KeyRecord], after: Sequence[KeyRecord]) -> None:
        if not await self._store.keys.exchange(before, after):
            raise ConfigurationError("somebody else changed the signing keys meanwhile; look at them and try again")

    async def _opened(self, records: Sequence[KeyRecord]) -> Mapping[str, SigningKey]:
        return await asyncio.to_thread(open_keys, records, self._password)

    def _reopened(self) -> Mapping[str, SigningKey]:
        """The opened keys, those of before opened no second time."""
        keys = {}
        for each in self._records:
            try:
                keys[each.kid] = self._keys[each.kid] if each.kid in self._keys else _open(each, self._password)
            except ConfigurationError as error:
                _log.error("%s; it does not sign, and is not published", error)
        return keys


def open_keys(records: Sequence[KeyRecord], password: str | None) -> Mapping[str, SigningKey]:
    """The keys of the records by `kid`.  `ConfigurationError` names the first that cannot be opened."""
    return {each.kid: _open(each, password) for each in records}


def warn_of_open_keys(records: Sequence[KeyRecord], password: str | None) -> None:
    """A line in the log if whoever reads the store, or a copy of it, can sign."""
    count = sum(not is_encrypted(each.private_key) for each in records)
    if count:
        advice = "certbound key encrypt" if password else "set keys.password, then: certbound key encrypt"
        _log.warning("signing keys in the store that are not encrypted: %d; %s", count, advice)


def _opens(record: KeyRecord, password: str | None) -> bool:
    try:
        _open(record, password)
    except ConfigurationError:
        return False
    return True


def _open(record: KeyRecord, password: str | None) -> SigningKey:
    name = f"the key {record.kid!r} in the store"
    if record.alg not in ALGORITHMS:
        raise ConfigurationError(f"{name} is for {record.alg!r}, which this version does not know")
    try:
        return SigningKey.load(record.private_key, password=password, alg=record.alg)
    except ConfigurationError as error:
        raise ConfigurationError(f"{name}: {error}{password_hint(record.private_key, password)}") from error


def password_hint(pem: bytes, password: str | None) -> str:
    """What to do about an encrypted key that cannot be opened."""
    if not is_encrypted(pem):
        return ""
    if password is None:
        return "; set keys.password, best by CERTBOUND_KEYS__PASSWORD_FILE"
    return " than keys.password (CERTBOUND_KEYS__PASSWORD_FILE)"
