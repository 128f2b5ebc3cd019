"""Members of client metadata that say something about a client and decide nothing (RFC 7591 section 2).

Rule 1: they are checked, bounded and told again as they came; no page, no log and no decision of ours is made of them.
Rule 2: a URL of theirs is never fetched; one that a browser would run is refused all the same.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from certbound.core.client_authorization import APPLICATION_TYPE, ApplicationType
from certbound.core.errors import InvalidClientMetadata
from certbound.core.members import choice, member, url

MAX_TEXT = 500
"""Characters of a text."""
MAX_ITEMS = 20
"""Entries of a list, and members in other languages."""
MAX_STATEMENT = 32 * 1024
"""Characters of a software statement, which is told again as it came."""

STATEMENT = "software_statement"


def read_information(given: Mapping[str, Any]) -> dict[str, Any]:
    """What `given` has of them.  `InvalidClientMetadata` (400) names the one that is wrong."""
    found: dict[str, Any] = {}
    for name, value in given.items():
        plain, tagged, language = name.partition("#")
        check = MEMBERS.get(plain)
        if check is None or (tagged and plain not in IN_LANGUAGES):
            continue
        if plain == "client_name" and not tagged:
            continue  # that one is the client's name
        if tagged and not _LANGUAGE.fullmatch(language):
            raise InvalidClientMetadata(f"{name:.80}", "has no language tag behind its # (RFC 7591 section 2.2)")
        found[name] = check(given, name, value)
    if sum("#" in name for name in found) > MAX_ITEMS:
        raise InvalidClientMetadata("client_name", f"and others stand in more than {MAX_ITEMS} languages")
    return found


def is_information(name: str) -> bool:
    """Whether `read_information` reads a member of this name."""
    plain, tagged, _ = name.partition("#")
    return plain in MEMBERS and (not tagged or plain in IN_LANGUAGES)


def _text(_: Mapping[str, Any], name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidClientMetadata(name, f"must be a string, not {value!r:.80}")
    if len(value) > MAX_TEXT:
        raise InvalidClientMetadata(name, f"has more than {MAX_TEXT} characters")
    return value


def _url(given: Mapping[str, Any], name: str, value: Any) -> str:
    del value
    return url(given, name)


def _texts(given: Mapping[str, Any], name: str, value: Any) -> list[str]:
    if not isinstance(value, list) or len(value) > MAX_ITEMS:
        raise InvalidClientMetadata(name, f"must be an array of up to {MAX_ITEMS} strings")
    return [_text(given, name, each) for each in value]


def _flag(given: Mapping[str, Any], name: str, value: Any) -> bool:
    del value
    return member(given, name, bool, default=False)


def _application_type(given: Mapping[str, Any], name: str, value: Any) -> str:
    del value
    return choice(given, name, ApplicationType) or ""


def _statement(_: Mapping[str, Any], name: str, value: Any) -> str:
    if not isinstance(value, str) or not _COMPACT.fullmatch(value) or len(value) > MAX_STATEMENT:
        raise InvalidClientMetadata(name, f"must be a signed JWT of up to {MAX_STATEMENT} characters")
    return value


_LANGUAGE = re.compile(r"[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8}){0,8}")
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")

MEMBERS: Mapping[str, Callable[[Mapping[str, Any], str, Any], Any]] = {
    "client_name": _text,
    "client_uri": _url,
    "logo_uri": _url,
    "tos_uri": _url,
    "policy_uri": _url,
    "contacts": _texts,
    "software_id": _text,
    "software_version": _text,
    APPLICATION_TYPE: _application_type,
    "require_auth_time": _flag,  # every ID token says it
    STATEMENT: _statement,
}
IN_LANGUAGES = frozenset({"client_name", "client_uri", "logo_uri", "tos_uri", "policy_uri"})
