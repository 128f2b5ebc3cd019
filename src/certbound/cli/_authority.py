"""The files of `certbound ca`: ca.pem, ca.key, and revoked.json once something was revoked.

Rule 1: a private key is its owner's (0600), and no file that is there is replaced unasked.
Rule 2: the record of revocations is changed by one process at a time, and is whole at every moment.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from certbound.core.errors import ConfigurationError
from certbound.trust.authority import Authority
from certbound.trust.ledger import Ledger


def load(directory: Path) -> Authority:
    """The authority in `directory`.  `ConfigurationError` says how to make one."""
    try:
        return Authority.load((directory / "ca.pem").read_bytes(), (directory / "ca.key").read_bytes())
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"there is no {error.filename}; make an authority with: certbound ca init --dir {directory}"
        ) from error
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"{directory}/ca.pem and {directory}/ca.key are no authority: {error}") from error


def read_ledger(directory: Path) -> Ledger:
    """What it revoked; nothing where no record is.  `ConfigurationError` if the record cannot be read."""
    file = directory / _LEDGER
    try:
        return Ledger.read(file.read_bytes())
    except FileNotFoundError:
        return Ledger()
    except ConfigurationError as error:
        raise ConfigurationError(f"{file} is {error}; restore it, for what was revoked stands nowhere else") from error


@contextlib.contextmanager
def changing(directory: Path) -> Iterator[list[Ledger]]:
    """The record in a list; what is appended replaces it, if nothing fails.  One process at a time."""
    lock = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ledgers = [read_ledger(directory)]
        yield ledgers
        if ledgers[-1] != ledgers[0]:
            write_file(directory / _LEDGER, ledgers[-1].write(), mode=0o644)
    finally:
        os.close(lock)


def write(public: Mapping[Path, bytes], private: Mapping[Path, bytes], *, force: bool) -> None:
    """The files, their directories made; keys are 0600 from their first byte."""
    there = [file for file in (*public, *private) if os.path.lexists(file)]
    if there and not force:
        raise ConfigurationError(f"{there[0]} is there already; --force replaces it")
    for file, content in private.items():
        write_file(file, content, mode=0o600)
    for file, content in public.items():
        write_file(file, content, mode=0o644)


def write_file(file: Path, content: bytes, *, mode: int) -> None:
    """The file is there, whole, with `mode`."""
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as stream:
        stream.write(content)
    fresh.replace(file)


_LEDGER = "revoked.json"
