"""Scopes that an API asks for, as they are written in code."""

from collections.abc import Iterable

from certbound.core.errors import ConfigurationError, InvalidScope
from certbound.core.scope import parse_scope


def require_words(scopes: Iterable[str]) -> frozenset[str]:
    """The scopes, each of them one word.  `ConfigurationError` otherwise: it would be a scope that no token has."""
    if isinstance(scopes, str):
        raise ConfigurationError(f"the scopes must be a set of words, not {scopes!r:.200}; write {{{scopes!r:.200}}}")
    words = frozenset(scopes)
    for word in words:
        if not isinstance(word, str):  # a decorator without its brackets gets what it decorates
            raise ConfigurationError(f'{word!r:.200} is no scope; write @requires("accounts"), with brackets')
        try:
            parsed = parse_scope(word)
        except InvalidScope as error:
            raise ConfigurationError(f"the scopes that are asked for: {error.reason}") from error
        if len(parsed) != 1:
            raise ConfigurationError(f"{word!r:.200} are several scopes; give each by itself")
    return words
