"""Who is logged in where: for each issuer a certificate and the tokens of the login, in a folder of the person's.

Rule 1: one certificate for each issuer, made on first use; no name of a person or a machine is in it, so that two
        issuers cannot tell by it that two of their people are one.
Rule 2: the folder is 0700 and its files are 0600, each replaced as a whole; what others can read is not used.
Rule 3: a refresh token is read, used and replaced under a lock: two processes never use the same one.
"""

import contextlib
import fcntl
import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from certbound.client import Identity
from certbound.core.errors import ConfigurationError
from certbound.trust.authority import self_signed

SUBJECT = "CN=certbound"
"""Of every certificate made here, whoever has it."""
DAYS = 365
SPARE = 7 * 86400.0
"""A login begins with a certificate that lasts so many seconds; else another one is made for it."""
MARGIN = 30.0
"""Seconds before its end from which on an access token is not used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptToken:
    """An access token, what was asked for with it, and when it ends, in seconds since the epoch."""

    access_token: str = field(repr=False)
    ends_at: float
    asked_scope: str | None = None
    asked_resources: tuple[str, ...] = ()
    scope: str | None = None

    def is_for(self, scope: str | None, resources: tuple[str, ...], now: float) -> bool:
        """Whether it is what is asked for, and lasts."""
        return (self.asked_scope, self.asked_resources) == (scope, resources) and now < self.ends_at - MARGIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """What a person let this machine do at one issuer."""

    issuer: str
    client_id: str
    thumbprint: str
    """Of the certificate that the tokens came with."""
    ca: str | None = None
    scope: str | None = None
    resources: tuple[str, ...] = ()
    refresh_token: str | None = field(default=None, repr=False)
    tokens: tuple[KeptToken, ...] = ()
    person: Mapping[str, Any] = field(default_factory=dict)
    """What the ID token said; empty if there was none."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of one issuer; it need not be there yet."""

    issuer: str
    folder: Path

    @property
    def certificate(self) -> Path:
        """The certificate alone, which anybody may see."""
        return self.folder / "certificate.pem"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else changes what is kept until the block ends."""
        while True:
            _make_folder(self.folder)
            lock = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if _is_still(lock, self.folder):  # else whoever had it removed the folder
                    yield
                    return
            finally:
                os.close(lock)

    def find_identity(self) -> Identity | None:
        """The certificate and its key, if there are any."""
        pem = _read(self.folder / "identity.pem")
        return None if pem is None else Identity.read(pem, pem)

    def lasting_identity(self) -> Identity:
        """The same, made if there is none that lasts; under the lock."""
        found = self.find_identity()
        if found is not None and time.time() < found.certificate.not_after - SPARE:
            return found
        made = self_signed(SUBJECT, now=_today(), days=DAYS, key="P-256")
        # Key and certificate in one file: no crash leaves one without the other.
        _write(self.folder / "identity.pem", made.key_pem + made.certificate_pem)
        _write(self.certificate, made.certificate_pem)
        return Identity.read(made.certificate_pem, made.key_pem)

    def find_login(self) -> Login | None:
        """The login, if there is one."""
        data = _read(self.folder / "login.json")
        try:
            return None if data is None else msgspec.json.decode(data, type=Login)
        except ValueError:  # of msgspec, or what is no UTF-8
            # Without the cause: it may quote what it read.
            raise ConfigurationError(f"{self.folder}/login.json holds no login; remove it and log in again") from None

    def keep(self, login: Login) -> None:
        """`login` is what is kept from now on; under the lock."""
        _write(self.folder / "login.json", msgspec.json.encode(login))

    def remove(self, *, certificate: bool) -> None:
        """The login is gone, and with `certificate` all else; under the lock."""
        if certificate:
            shutil.rmtree(self.folder)
        else:
            (self.folder / "login.json").unlink(missing_ok=True)


def kept_at(issuer: str) -> Kept:
    """What is kept of `issuer`."""
    return Kept(issuer, data_folder() / sha256(issuer.encode()).hexdigest()[:32])


def logins() -> list[Login]:
    """Everybody who is logged in, by issuer."""
    found = (Kept("", folder).find_login() for folder in sorted(data_folder().glob("*/")) if folder.is_dir())
    return sorted((each for each in found if each is not None), key=lambda login: login.issuer)


def the_login(issuer: str | None) -> Login:
    """The login at `issuer`, or the only one.  `ConfigurationError` says how to have one, or which there are."""
    if issuer is not None:
        login = kept_at(issuer).find_login()
        if login is None:
            raise ConfigurationError(f"nobody is logged in at {issuer}; {_instead(issuer)}")
        return login
    match logins():
        case [one]:
            return one
        case []:
            raise ConfigurationError("nobody is logged in anywhere; certbound login ISSUER --client-id ID")
        case several:
            raise ConfigurationError(f"say which issuer; you are logged in at {', '.join(x.issuer for x in several)}")


def _instead(issuer: str) -> str:
    """Where somebody is logged in, written as there; else how one is."""
    begin = f"certbound login {shlex.quote(issuer)} --client-id ID"
    there = ", ".join(each.issuer for each in logins())
    return f"you are at {there}; write the issuer so, or {begin}" if there else begin


def data_folder() -> Path:
    """Where this platform has data of a person's programs (XDG Base Directory Specification)."""
    given = os.environ.get("XDG_DATA_HOME", "")
    if given.startswith("/"):  # a relative one does not count, says the specification
        base = Path(given)
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path.home() / ".local" / "share"
    return base / "certbound" / "logins"


def _make_folder(folder: Path) -> None:
    for each in (folder.parent.parent, folder.parent, folder):
        each.mkdir(mode=0o700, parents=True, exist_ok=True)
    _require_private(folder)


def _is_still(handle: int, folder: Path) -> bool:
    try:
        now, locked = folder.stat(), os.fstat(handle)
    except OSError:
        return False
    return (now.st_dev, now.st_ino) == (locked.st_dev, locked.st_ino)


def _read(file: Path) -> bytes | None:
    try:
        _require_private(file.parent)
        _require_private(file)
        return file.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _require_private(path: Path) -> None:
    found = path.stat()
    if found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise ConfigurationError(
            f"{path} can be read by others, so what is in it may be known to them; remove {path} and log in again"
        )


def _write(file: Path, data: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")  # 0600
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(handle)
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _today() -> datetime:
    """Midnight: the hour at which somebody logged in is nobody's business."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
