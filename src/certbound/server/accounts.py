"""Use cases around accounts: people are added, named, locked out and let in again, and prove who they are.

Rule 1: a password is kept as an argon2id hash, checked in a thread, and so many at once as there are cores.
Rule 2: a name that does not exist, one that is disabled and a wrong password are one answer, and cost the same.
Rule 3: who guesses too often is not looked at for a while: of one network for one name, so that the person still gets
in from elsewhere.
Rule 4: whoever is locked out is out: sessions end, grants and their tokens too, and enabled again they begin anew; what
they let clients do is remembered.  A new password ends the sessions alone: what clients have was never the password's.
Whoever is put out, account or not, has nothing left here, and nothing is remembered.
Rule 5: the audit says who logged in and who did not, by the names of accounts: what else people type where a name
belongs may be a password.
"""

import contextlib
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from certbound.core.errors import StoreUnavailable
from certbound.core.people import UnfitAccount, choose_password, prepare_password, prepare_username, read_claims
from certbound.core.ports import AccountRecord, AlreadyExists, ConsentRecord, NotFound, PutOut, Store
from certbound.server.audit import AUDIT, Decision, Outcome
from certbound.server.guesses import Guesses, TooManyGuesses
from certbound.server.passwords import Passwords

__all__ = ["AccountBook", "TooManyGuesses"]

_log = logging.getLogger("certbound.server")


@dataclass(frozen=True, slots=True)
class AccountBook:
    """Accounts in `store`.  A change that another one overtakes raises `NotFound`."""

    store: Store
    now: Callable[[], float]
    actor: str = ""
    """Who asks, for the audit; empty where the request is audited."""
    passwords: Passwords = field(default_factory=Passwords)
    guesses: Guesses | None = None
    """Who guesses too often; None where nobody but `actor` asks."""

    async def verify(self, username: str, password: str, *, remote: str, request_id: str = "") -> AccountRecord | None:
        """The enabled account with that name and password; None if there is none.  `TooManyGuesses` for who must wait.

        `remote` is the address that asks.
        """
        login = _Login(self.now(), remote, request_id)
        name, guess = _prepared(prepare_username, username), None
        try:
            # (1) Who guesses too often is not looked at.
            guess = self.guesses.begin(remote, name or username) if self.guesses else None
            # (2) The password is checked, whatever else is wrong.
            account = await self.store.accounts.find(name) if name else None
            typed = _prepared(prepare_password, password)
            is_right = await self.passwords.is_right(typed or "", account.password if account and typed else "")
        except TooManyGuesses as refusal:
            if guess is not None:
                guess.was_right()
            if refusal.is_written:
                login.tell(Outcome.THROTTLED, reason=str(refusal))
            raise
        except StoreUnavailable:
            if guess is not None:  # nobody looked at it
                guess.was_right()
            raise
        # (3) It is that of an account that is there and may log in.
        unwritten = guess.unwritten if guess else 0
        if account is None or not is_right or not account.enabled:
            login.tell(Outcome.REFUSED, account, reason=_why_not(account), unwritten=unwritten)
            return None
        if guess is not None:
            guess.was_right()
        login.tell(Outcome.DONE, account, unwritten=unwritten)
        return await self._kept_anew(account, typed or "")

    async def add(self, username: str, password: str, claims: Mapping[str, Any] | None = None) -> AccountRecord:
        """The new account, with a subject of its own.  `UnfitAccount` names what is wrong; nothing is stored then."""
        name = prepare_username(username)
        now = self.now()
        record = AccountRecord(
            subject=secrets.token_hex(16),  # typed by people: no "-" at its start
            username=name,
            claims=_claims(claims or {}, now),
            created_at=now,
            password_at=now,
            password=await self.passwords.hash(choose_password(password, name)),
        )
        return await self._stored(self.store.accounts.add, record, "add account")

    async def set_password(self, username: str, password: str) -> AccountRecord | None:
        """It counts from now on; sessions from before do not.  None if there is no such account."""
        account = await self.find(username)
        if account is None:
            return None
        made = await self.passwords.hash(choose_password(password, account.username))
        changed = replace(account, password=made, password_at=self.now())
        stored = await self._stored(self.store.accounts.replace, changed, "set password")
        await self.store.sessions.end_all(stored.subject)
        return stored

    async def change(
        self, username: str, claims: Mapping[str, Any] | None = None, *, new_name: str | None = None
    ) -> AccountRecord | None:
        """The account with `claims` merged in, and another name if one is given; `None` takes a claim away.

        None if there is no such account.  `UnfitAccount` names what is wrong; nothing is stored then.
        """
        account = await self.find(username)
        if account is None:
            return None
        merged = {name: value for name, value in {**account.claims, **(claims or {})}.items() if value is not None}
        name = account.username if new_name is None else prepare_username(new_name)
        changed = replace(account, username=name, claims=_claims(merged, self.now()))
        return await self._stored(self.store.accounts.replace, changed, "change account")

    async def switch(self, username: str, *, enabled: bool) -> AccountRecord | None:
        """The person may log in, or may not and is out everywhere.  None if there is no such account."""
        account = await self.find(username)
        if account is None:
            return None
        what = "enable account" if enabled else "disable account"
        stored = await self._stored(self.store.accounts.replace, replace(account, enabled=enabled), what)
        if not enabled:
            await self.store.accounts.end_all(stored.subject)
        return stored

    async def remove(self, username: str) -> bool:
        """The account is gone, with its sessions, consents, grants and tokens; False if it was not there."""
        account = await self.find(username)
        if account is None:
            return False
        try:
            await self.store.accounts.remove(account.subject)
        except NotFound:
            return False
        self._tell("remove account", account)
        return True

    async def put_out(self, subject: str) -> PutOut:
        """The sessions of whoever tokens call so end, what they let clients do, and what clients got by it.

        Whether they have an account does not matter; one that is there stays as it is.
        """
        ended = await self.store.accounts.put_out(subject)
        self._tell_of("put person out", subject)
        return ended

    async def find(self, username: str) -> AccountRecord | None:
        """The account of that name, however it is typed."""
        name = _prepared(prepare_username, username)
        return await self.store.accounts.find(name) if name else None

    async def list(self) -> Sequence[AccountRecord]:
        """All accounts, by name."""
        return await self.store.accounts.list()

    async def consents(self, account: AccountRecord) -> Sequence[ConsentRecord]:
        """What the person lets clients do."""
        return await self.store.consents.list(account.subject)

    async def _stored(self, store: Callable[[AccountRecord], Any], record: AccountRecord, what: str) -> AccountRecord:
        try:
            stored: AccountRecord = await store(record)
        except AlreadyExists as error:
            raise UnfitAccount("username", f"{record.username!r} is taken") from error
        self._tell(what, stored)
        return stored

    async def _kept_anew(self, account: AccountRecord, password: str) -> AccountRecord:
        """With a hash of the parameters that hashes have now; it is the same password, so sessions go on."""
        if not self.passwords.is_outdated(account.password):
            return account
        changed = replace(account, password=await self.passwords.hash(password))
        with contextlib.suppress(NotFound):  # somebody changed it; the next login will find it
            return await self.store.accounts.replace(changed)
        return account

    def _tell(self, what: str, account: AccountRecord) -> None:
        _log.info("%s %r", what, account.username)
        self._tell_of(what, account.subject, f"the account {account.username!r}")

    def _tell_of(self, what: str, subject: str, reason: str = "") -> None:
        if self.actor:
            decision = Decision(time=self.now(), what=what, actor=self.actor, subject=subject, reason=reason)
            AUDIT.record(decision, level=logging.WARNING)


@dataclass(frozen=True, slots=True)
class _Login:
    """An attempt, for the audit."""

    now: float
    remote: str
    request_id: str

    def tell(
        self, outcome: Outcome, account: AccountRecord | None = None, *, reason: str = "", unwritten: int = 0
    ) -> None:
        AUDIT.record(
            Decision(
                time=self.now,
                what="log in",
                outcome=outcome,
                request_id=self.request_id,
                remote=self.remote,
                subject="" if account is None else account.subject,
                reason=reason,
                unwritten=unwritten,
            )
        )


def _why_not(account: AccountRecord | None) -> str:
    if account is None:
        return "no account has that name"
    if not account.enabled:
        return "the account is disabled"
    return "the password is wrong" if account.password else "the account has no password"


def _claims(given: Mapping[str, Any], now: float) -> dict[str, Any]:
    """As they are kept; when they changed is a claim too."""
    return {**read_claims(given), "updated_at": int(now)}


def _prepared(prepare: Callable[[str], str], text: str) -> str | None:
    try:
        return prepare(text)
    except UnfitAccount:
        return None
