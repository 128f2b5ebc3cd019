"""Trust anchors in files and in a folder, watched (R32).

Rule 1: a file or folder that is missing or unusable at the start stops the start.
Rule 2: later it keeps the last good set as a whole, says so once, and is looked at again; a readable empty file means
nobody, and so does an empty folder.
Rule 3: a file that is not whole, changes while it is read, or holds anything but certificates, or one with a key that
is too weak to vouch for anybody, is unusable: nothing of it is taken.
Rule 4: of a folder the .pem, .crt and .cer files count, through symbolic links too (that is how secrets are mounted);
hidden ones and what lies deeper do not.
"""

import asyncio
import logging
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from certbound.core.certificate import Certificate, KeyThumbprint, read_certificate, read_pem_certificates
from certbound.core.errors import BadCertificate, ConfigurationError
from certbound.core.keys import require_strong_key
from certbound.core.limits import NameLimit
from certbound.trust.anchors import Anchors
from certbound.trust.verifier import NO_LIMITS, Issuers, Trust

SUFFIXES = frozenset({".pem", ".crt", ".cer"})
"""Of the files in a folder that are read, in any case."""

_log = logging.getLogger("certbound.trust")


class AnchorFiles:
    """Files of anchors and of intermediates, PEM or DER, and the `Trust` they feed."""

    def __init__(
        self,
        anchors: Sequence[Path],
        intermediates: Sequence[Path] = (),
        *,
        folder: Path | None = None,
        limits: Mapping[KeyThumbprint, NameLimit] = NO_LIMITS,
        issuers: Issuers | None = None,
    ) -> None:
        """`folder` holds more anchors.  `ConfigurationError` if a file or the folder cannot be read."""
        self._anchor_files = tuple(anchors)
        self._intermediate_files = tuple(intermediates)
        self._folder = folder
        self._read: dict[Path, tuple[_Stamp, tuple[Certificate, ...]]] = {}
        self._seen = self._look()
        self._complained_of: _Seen | None = None
        self.trust = Trust(self._load(self._seen), limits, issuers)

    async def watch(self, seconds: float) -> None:
        """Runs until cancelled: the `trust` follows the files, looked at in a thread once in so many seconds."""
        self._warn_of_idle_limits()
        while True:
            await asyncio.sleep(seconds)
            try:
                await self.follow()
            except Exception:  # noqa: BLE001 - a watch that ended because of one bad look would end unnoticed
                _log.exception("trust anchors cannot be looked at")

    async def follow(self) -> None:
        """As `reload_if_changed`; others are served meanwhile."""
        self._take(await asyncio.to_thread(self._news))

    def reload_if_changed(self) -> None:
        """The `trust` follows the files; it keeps the last good set if one cannot be read."""
        self._take(self._news())

    def _news(self) -> Anchors | None:
        """What the files say if they changed and are good; it touches nothing that a request reads."""
        seen = self._look()
        if seen == self._seen:
            return None
        try:
            anchors = self._load(seen)
        except ConfigurationError as error:
            if seen != self._complained_of:
                _log.error("trust anchors stay as they were: %s", error)
            self._complained_of = seen
            return None
        self._seen, self._complained_of = seen, None
        return anchors

    def _take(self, anchors: Anchors | None) -> None:
        before = self.trust.anchors
        if anchors is None or anchors == before:
            return
        self.trust.replace(anchors)
        _log.warning(
            "trust anchors reloaded: %d in force; new: %s; gone: %s",
            len(anchors.anchors), _keys(anchors.keys - before.keys), _keys(before.keys - anchors.keys),
        )  # fmt: skip
        self._warn_of_idle_limits()

    def _warn_of_idle_limits(self) -> None:
        for key in sorted(self.trust.limits.keys() - self.trust.anchors.keys):
            _log.warning("no trust anchor has the key %s: its limit counts only where it stands on a path", key)

    def _look(self) -> "_Seen":
        return _Seen(
            tuple((file, _stamp(file)) for file in self._anchor_files)
            + (tuple(_look_into(self._folder)) if self._folder else ()),
            tuple((file, _stamp(file)) for file in self._intermediate_files),
        )

    def _load(self, seen: "_Seen") -> Anchors:
        """Only what changed is read and parsed anew."""
        read = {path: self._load_file(path, stamp) for path, stamp in (*seen.anchors, *seen.intermediates)}
        self._read = {path: found for path, found in read.items() if found is not None}
        return Anchors(_once(seen.anchors, self._read), _once(seen.intermediates, self._read))

    def _load_file(self, path: Path, stamp: "_Stamp | str") -> "tuple[_Stamp, tuple[Certificate, ...]] | None":
        if isinstance(stamp, str):
            raise ConfigurationError(f"trust anchors cannot be taken from {path}: {stamp}")
        known = self._read.get(path)
        if known and known[0] == stamp:
            return known
        certificates = _read_file(path)
        if stamp.size and _stamp(path) != stamp:  # a pipe has no size, and may change as it likes
            raise ConfigurationError(f"trust anchors cannot be taken from {path}: it changed while it was read")
        return stamp, certificates


class _Stamp(NamedTuple):
    """What changes when a file does."""

    modified: int
    changed: int
    size: int
    inode: int


class _Seen(NamedTuple):
    """Files and their stamps, or why they have none."""

    anchors: tuple[tuple[Path, _Stamp | str], ...]
    intermediates: tuple[tuple[Path, _Stamp | str], ...]


def _look_into(folder: Path) -> Iterator[tuple[Path, _Stamp | str]]:
    try:
        paths = sorted(filter(_counts, folder.iterdir()))
    except OSError as error:
        yield folder, error.strerror or str(error)
        return
    for path in paths:
        try:
            found = path.stat()
        except FileNotFoundError as error:
            if path.is_symlink():  # else it went away since the folder was read
                yield path, error.strerror or str(error)
        except OSError as error:
            yield path, error.strerror or str(error)
        else:
            if stat.S_ISREG(found.st_mode):
                yield path, _stamp_of(found)


def _counts(path: Path) -> bool:
    return not path.name.startswith(".") and path.suffix.lower() in SUFFIXES


def _stamp(file: Path) -> _Stamp | str:
    try:
        return _stamp_of(file.stat())
    except OSError as error:
        return error.strerror or str(error)


def _stamp_of(found: os.stat_result) -> _Stamp:
    return _Stamp(found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino)


def _once(
    seen: Iterable[tuple[Path, _Stamp | str]], read: Mapping[Path, tuple[_Stamp, tuple[Certificate, ...]]]
) -> tuple[Certificate, ...]:
    """The certificates of these files, each once."""
    return tuple({each.thumbprint: each for path, _ in seen for each in read[path][1]}.values())


def _read_file(file: Path) -> tuple[Certificate, ...]:
    try:
        content = file.read_bytes()
        certificates = _certificates(content) if content.strip() else ()
        for certificate in certificates:
            require_strong_key(certificate)
    except OSError as error:
        raise ConfigurationError(f"trust anchors cannot be taken from {file}: {error.strerror}") from error
    except BadCertificate as error:
        raise ConfigurationError(f"trust anchors cannot be taken from {file}: {error}") from error
    return certificates


def _certificates(content: bytes) -> tuple[Certificate, ...]:
    if content[:1] == b"\x30" and content[1:2] >= b"\x80":  # DER; a text that begins with "0" is none
        return (read_certificate(content),)
    labels = [label.decode("ascii", errors="replace") for label in _PEM_LABEL.findall(content)]
    if strange := [label for label in labels if label not in _CERTIFICATE_LABELS]:
        raise BadCertificate(_STRANGE.get(strange[0], f"it holds a {strange[0]}; only CERTIFICATE blocks belong there"))
    certificates = read_pem_certificates(content)
    if len(certificates) != len(labels):
        raise BadCertificate(f"of {len(labels)} PEM blocks {len(certificates)} are whole")
    return certificates


def _keys(keys: frozenset[KeyThumbprint]) -> str:
    """For a line of the log."""
    more = f" and {len(keys) - 8} more" if len(keys) > 8 else ""
    return ", ".join(sorted(keys)[:8]) + more if keys else "none"


_PEM_LABEL = re.compile(rb"-----BEGIN ([^\r\n]{0,64}?)-----")
_CERTIFICATE_LABELS = frozenset({"CERTIFICATE", "X509 CERTIFICATE"})
_STRANGE = {
    "TRUSTED CERTIFICATE": "it holds a TRUSTED CERTIFICATE of OpenSSL, whose trust settings nobody here would heed; "
    "openssl x509 -in FILE -out FILE makes it a CERTIFICATE",
    **dict.fromkeys(
        ("PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY", "ENCRYPTED PRIVATE KEY"),
        "it holds a private key, which has no business among trust anchors",
    ),
}
