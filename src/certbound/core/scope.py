"""Scope: a set of words (RFC 6749 section 3.3)."""

import re
from functools import lru_cache
from typing import NewType

from certbound.core.errors import InvalidScope

Scope = NewType("Scope", frozenset[str])

NO_SCOPE = Scope(frozenset())


def parse_scope(text: str) -> Scope:
    """The words of `text`.  `InvalidScope` (400) if it is not words with one space between."""
    if not _SCOPE.fullmatch(text):
        raise InvalidScope(f"not a scope: {text!r}")
    return Scope(frozenset(text.split(" ")))


def read_scope(claim: object) -> Scope:
    """The words of a `scope` claim; none if it is none."""
    return _words(claim) if isinstance(claim, str) else NO_SCOPE


def format_scope(scope: Scope) -> str:
    """The words in alphabetical order, one space between."""
    return " ".join(sorted(scope))


def grant_scope(requested: str | None, allowed: Scope) -> Scope:
    """What was asked for, or all that is allowed if nothing was.  `InvalidScope` (400) if it asks for more."""
    if requested is None:
        return allowed
    scope = parse_scope(requested)
    if excess := scope - allowed:
        raise InvalidScope(f"the client may not have {' '.join(sorted(excess))}")
    return scope


@lru_cache(256)
def _words(text: str) -> Scope:
    """Most tokens of an issuer say one of a few."""
    return Scope(frozenset(text.split()))


_SCOPE = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+( [\x21\x23-\x5B\x5D-\x7E]+)*")
