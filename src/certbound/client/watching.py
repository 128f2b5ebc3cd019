"""An identity in files that somebody renews.

Rule 1: the files are looked at once a second at most, and read only if they changed.
Rule 2: what cannot be used, a key that does not fit its certificate for one (half of a renewal), leaves the identity as
        it was, and is said once in the log; the next change is tried again.
"""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from certbound.client.errors import ClientError
from certbound.client.forking import anew_in_children
from certbound.client.hardware.uri import is_token_uri
from certbound.client.identity import Identity
from certbound.client.tls.hardware import context_for

_log = logging.getLogger(__name__)

PERIOD = 1.0
"""Seconds between two looks at the files."""


class WatchedIdentity:
    """The identity in those files, as `Identity.load` reads them; read again when they change."""

    def __init__(
        self,
        certificate: Path,
        key: Path | str | None = None,
        password: str | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`IdentityUnusable` if they hold none now.  A `key` in a token is its `pkcs11:` URI, `password` the PIN."""
        self._token = str(key) if is_token_uri(key) else None
        self._files = (certificate,) if key is None or self._token is not None else (certificate, Path(key))
        self._password = password
        self._clock = clock
        self._lock = threading.Lock()
        self._seen = self._signature()
        self._identity = self._load()
        self._next = clock() + PERIOD
        anew_in_children(self)

    def begin_anew(self) -> None:
        """Whoever was looking at the files is not there."""
        self._lock = threading.Lock()

    @property
    def files(self) -> tuple[Path, ...]:
        """The certificate first, and the key if it is in another one."""
        return self._files

    def __repr__(self) -> str:
        return f"WatchedIdentity({', '.join(map(str, self._files))})"

    def current(self) -> Identity:
        """The identity that the files held when they were last good."""
        if self._clock() >= self._next and self._lock.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._lock.release()
        return self._identity

    def _look(self) -> None:
        self._next = self._clock() + PERIOD
        # Before they are read: what changes meanwhile is seen the next time.
        signature = self._signature()
        if signature == self._seen:
            return
        self._seen = signature
        try:
            found = self._load()
        except ClientError as error:
            _log.warning("the client's identity stays %s: %s", self._identity.thumbprint, error)
            return
        if found != self._identity:
            _log.info("the client's identity is now %s", found.thumbprint)
            self._identity = found

    def _load(self) -> Identity:
        if self._token is not None:
            identity = Identity.from_pkcs11(self._token, pin=self._password, certificate=self._files[0])
        else:
            identity = Identity.load(self._files[0], self._files[1] if len(self._files) > 1 else None, self._password)
        context_for(identity)  # OpenSSL takes it
        return identity

    def _signature(self) -> tuple[tuple[int, ...], ...]:
        return tuple(_sign(file) for file in self._files)


def _sign(file: Path) -> tuple[int, ...]:
    try:
        found = file.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size
