"""Members of client metadata, read one by one: each is of its type, or `InvalidClientMetadata` (400) names it."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeVar
from urllib.parse import urlsplit

from certbound.core.errors import InvalidClientMetadata

_T = TypeVar("_T")
_E = TypeVar("_E", bound=StrEnum)


def given_members(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """`metadata` without what is `null`: that is absence (RFC 7591 section 3.1)."""
    return {member: value for member, value in metadata.items() if value is not None}


def words(given: Mapping[str, Any], name: str, *, default: list[str]) -> frozenset[str]:
    found = given.get(name, default)
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise InvalidClientMetadata(name, "must be an array of strings")
    return frozenset(found)


def choice(given: Mapping[str, Any], name: str, kind: type[_E]) -> _E | None:
    if name not in given:
        return None
    text = member(given, name, str, default="")
    try:
        return kind(text)
    except ValueError:
        raise InvalidClientMetadata(name, f"must be one of {listed(kind)}, not {text!r:.80}") from None


def member(given: Mapping[str, Any], name: str, kind: type[_T], *, default: _T) -> _T:
    value = given.get(name, default)
    if not isinstance(value, kind):
        raise InvalidClientMetadata(name, f"must be a {_JSON_NAMES[kind]}, not {value!r:.80}")
    return value


def listed(words: Any) -> str:
    return ", ".join(sorted(map(str, words))) or "none"


def url(given: Mapping[str, Any], name: str) -> str:
    """An https URL without fragment and user."""
    text = member(given, name, str, default="")
    try:
        parts = urlsplit(text)
        sound = parts.scheme == "https" and parts.hostname and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        sound = False
    if not sound or not _URL.fullmatch(text):
        raise InvalidClientMetadata(name, f"must be an https URL without fragment and user, not {text!r:.80}")
    return text


_JSON_NAMES: Mapping[type, str] = {str: "string", bool: "boolean"}
_URL = re.compile(r"https://[!\x24-\x5B\x5D-\x7E]{1,2040}", re.IGNORECASE)
"""ASCII without space, and without `"`, `#` and `\\`."""
