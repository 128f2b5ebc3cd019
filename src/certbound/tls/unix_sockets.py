"""A socket that has a path: made so that nobody but its owner and group reaches it, and taken away at the end.

Rule 1: what lies at the path is removed only if it is a socket and nobody listens on it.
Rule 2: it is never wider open than 0660, not for a moment.
Rule 3: what is removed at the end is the socket that was made, and not one that somebody else has put there since.
"""

import contextlib
import os
import socket
import stat
from pathlib import Path

from certbound.core.errors import ConfigurationError

MODE = 0o660


class UnixSocket(socket.socket):
    """Bound to `path` and listening."""

    def __init__(self, path: Path, backlog: int) -> None:
        """`ConfigurationError` if somebody listens there, or if it cannot be made."""
        super().__init__(socket.AF_UNIX, socket.SOCK_STREAM)
        self._path = path.absolute()
        try:
            _clear(self._path)
            before = os.umask(0o777 & ~MODE)
            try:
                self.bind(str(self._path))
            finally:
                os.umask(before)
            self._made = _identity(self._path)
            self.listen(backlog)
        except OSError as error:
            self.close()
            why = error.strerror or str(error)
            raise ConfigurationError(f"cannot listen on the Unix socket {path}: {why}") from error
        except ConfigurationError:
            self.close()
            raise
        self.setblocking(False)  # noqa: FBT003

    def remove(self) -> None:
        """Its path leads nowhere."""
        if _identity(self._path) == self._made:
            with contextlib.suppress(OSError):
                self._path.unlink()


def _clear(path: Path) -> None:
    """Nothing is at `path`.  `ConfigurationError` if that would take something from somebody."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise ConfigurationError(f"cannot listen on the Unix socket {path}: it is there and is no socket; name another")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
        trial.settimeout(1)
        try:
            trial.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except OSError as error:  # somebody is there who is busy, or keeps us out
            why = error.strerror or "it does not answer"
            raise ConfigurationError(f"cannot listen on the Unix socket {path}: it is there, and {why}") from error
    raise ConfigurationError(f"cannot listen on the Unix socket {path}: somebody listens there; stop it first")


def _identity(path: Path) -> tuple[int, int] | None:
    with contextlib.suppress(OSError):
        found = path.lstat()
        return found.st_dev, found.st_ino
    return None
