"""Use cases around accounts: people are added, named, locked out and let in again, and prove who they are.

Rule 1: a password is kept as an argon2id hash, checked in a thread, and so many at once as there are cores.
Rule 2: a name that does not exist, one that is disabled and a wrong password are one answer, and cost the same.
Rule 3: who guesses too often is not looked at for a while: of one network for one name, so that the person still gets
in from elsewhere.
"""

from collections.abc import Callable
from dataclasses import dataclass

from certbound.core.ports import AccountRecord, Store


class TooManyGuesses(Exception):
    """Whoever asks has to wait; `retry_after` seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"too many guesses; wait {retry_after} seconds")
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class AccountBook:
    """Accounts in `store`."""

    store: Store
    now: Callable[[], float]
    actor: str = ""
    """Who asks, for the audit; empty where the request is audited."""

    async def verify(self, username: str, password: str, *, remote: str) -> AccountRecord | None:
        """The enabled account with that name and password; None if there is none.  `TooManyGuesses` for who must wait.

        `remote` is the address that asks.
        """
        raise NotImplementedError
