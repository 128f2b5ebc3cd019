"""What columns hold beside plain text: JSON, lists of thumbprints, and times.

Rule: what a hand wrote instead is None when it is read, or long ago, never an exception.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from certbound.core.errors import StoreUnavailable

T = TypeVar("T")


def write_json(content: Any, name: str) -> str:
    """Its text.  `StoreUnavailable`, which calls it by `name`, if it has none."""
    try:
        return msgspec.json.encode(content, enc_hook=_plain).decode()
    except (msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise StoreUnavailable(f"{name} is no JSON: {error}") from error


def write_object(content: Mapping[str, Any], name: str) -> tuple[str, Mapping[str, Any]]:
    """The text of an object, and the object as that text will be read; raises what `write_json` raises."""
    text = write_json(content, name)
    read = read_object(text)
    if read is None:
        raise StoreUnavailable(f"{name} is no JSON object")
    return text, read


def read_object(stored: Any) -> Mapping[str, Any] | None:
    """The object; None if this is no text of one."""
    return read_json(stored, dict[str, Any])


def read_json(stored: Any, kind: type[T]) -> T | None:
    """What was written of this kind; None if this is no text of it."""
    try:
        return msgspec.json.decode(stored, type=kind)
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):
        return None


def read_time(stored: Any) -> float:
    """Seconds since the epoch; what a hand wrote instead is long ago."""
    return stored if isinstance(stored, float) else 0.0


def write_list(thumbprints: Sequence[str]) -> str:
    """A space before, between and after them, so that the database finds one by what stands around it."""
    return "".join(f" {each}" for each in thumbprints) + " "


def read_list(stored: str) -> tuple[str, ...]:
    """The thumbprints."""
    return tuple(stored.split())


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no place in JSON")
