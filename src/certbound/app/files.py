"""Files that settings name."""

from pathlib import Path

from certbound.core.errors import ConfigurationError


def read_file(file: Path, key: str) -> bytes:
    """What is in `file`, which `key` names.  `ConfigurationError` if it cannot be read."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{key}: {file} cannot be read: {error.strerror}") from error
