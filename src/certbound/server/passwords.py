"""Password hashes: argon2id, in threads of their own, so many at once as there are cores.

Rule 1: what there is no hash for is checked against one that nothing fits, of the same cost.
Rule 2: who waits for a thread waits in a line of bounded length: beyond it, later is said at once.
Rule 3: a hash that was made with other parameters counts, and is made anew when its password is known.
"""

import asyncio
import logging
import os
import secrets
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from certbound.server.guesses import TooManyGuesses

LONGEST_LINE = 64
"""How many wait for each core."""

_log = logging.getLogger("certbound.server")


class Passwords:
    """Makes and checks hashes in PHC form."""

    def __init__(self, hasher: PasswordHasher | None = None, *, at_once: int | None = None) -> None:
        """`hasher` has the library's parameters unless stated."""
        self._hasher: Final = hasher or PasswordHasher()
        self._at_once = at_once or os.cpu_count() or 1
        self._threads = ThreadPoolExecutor(self._at_once, thread_name_prefix="certbound-password")
        self._inside = 0
        self._nothing_fits = _no_hash(self._hasher)

    async def hash(self, password: str) -> str:
        """A hash of it; not bounded by the line, since who asks is known."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._hasher.hash, password)

    async def is_right(self, password: str, kept: str) -> bool:
        """Whether `kept` is a hash of it; if `kept` is empty it is not, at the same cost.  `TooManyGuesses` if the line
        is full.
        """
        if self._inside >= self._at_once * LONGEST_LINE:
            raise TooManyGuesses(1, "too many passwords are being checked")
        self._inside += 1
        work = asyncio.get_running_loop().run_in_executor(self._threads, self._check, password, kept)
        work.add_done_callback(self._left)  # also where whoever asked has gone
        return await work

    def is_outdated(self, kept: str) -> bool:
        """Whether it was made with other parameters."""
        return self._hasher.check_needs_rehash(kept)

    def _left(self, _: object) -> None:
        self._inside -= 1

    def _check(self, password: str, kept: str) -> bool:
        try:
            return self._hasher.verify(kept or self._nothing_fits, password) and bool(kept)
        except VerifyMismatchError:
            return False
        except (InvalidHashError, VerificationError) as error:
            _log.warning("a password hash in the store fits nothing: %s", error)
            return kept != self._nothing_fits and self._check(password, self._nothing_fits)


def _no_hash(hasher: PasswordHasher) -> str:
    """A hash with these parameters of which nobody has the password: it was not made of one."""
    salt, made = (b64encode(secrets.token_bytes(size)).rstrip(b"=").decode() for size in _sizes(hasher))
    return f"$argon2id$v=19$m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}${salt}${made}"


def _sizes(hasher: PasswordHasher) -> tuple[int, int]:
    return hasher.salt_len, hasher.hash_len
