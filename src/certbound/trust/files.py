"""Trust anchors in files, watched (R32).

Rule 1: a file that is missing or unparsable at the start stops the start.
Rule 2: later it keeps the last good set, says so, and is looked at again; a readable empty one means nobody.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from certbound.core.certificate import Certificate, read_pem_certificates
from certbound.core.errors import BadCertificate, ConfigurationError
from certbound.trust.anchors import Anchors
from certbound.trust.verifier import Trust

_log = logging.getLogger("certbound.trust")


class AnchorFiles:
    """PEM files of anchors and of intermediates, and the `Trust` they feed."""

    def __init__(self, anchors: Sequence[Path], intermediates: Sequence[Path] = ()) -> None:
        """`ConfigurationError` if a file cannot be read."""
        self._anchor_files = tuple(anchors)
        self._intermediate_files = tuple(intermediates)
        self._state = self._look()
        self._complained_of: list[tuple[int, int, int] | None] = []
        self.trust = Trust(self._load())

    def reload_if_changed(self) -> None:
        """The `trust` follows the files; it keeps the last good set if one cannot be read."""
        state = self._look()
        if state == self._state:
            return
        try:
            anchors = self._load()
        except ConfigurationError as error:
            if state != self._complained_of:
                _log.error("trust anchors stay as they were: %s", error)
            self._complained_of = state
            return
        self._state = state
        self.trust.replace(anchors)
        _log.warning("trust anchors reloaded: %d in force", len(anchors.anchors))

    def _load(self) -> Anchors:
        return Anchors(_read(self._anchor_files), _read(self._intermediate_files))

    def _look(self) -> list[tuple[int, int, int] | None]:
        return [_stamp(file) for file in (*self._anchor_files, *self._intermediate_files)]


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read(files: Sequence[Path]) -> tuple[Certificate, ...]:
    return tuple(certificate for file in files for certificate in _read_file(file))


def _read_file(file: Path) -> tuple[Certificate, ...]:
    try:
        pem = file.read_bytes()
        return read_pem_certificates(pem) if pem.strip() else ()
    except OSError as error:
        raise ConfigurationError(f"trust anchor file {file} cannot be read: {error.strerror}") from error
    except BadCertificate as error:
        raise ConfigurationError(f"trust anchor file {file} holds no usable PEM certificate: {error}") from error
