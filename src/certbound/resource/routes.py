"""Which scopes a request needs by its path and method, where a proxy asks and another server answers.

    Routes({"/accounts": {"accounts"}, "DELETE /accounts": {"accounts", "admin"}, "GET /about": set()})

Rule 1: what is named by no route is closed: a path below none, and at the longest route that fits any method that is
not named there, unless that route is for all.  A route for GET is one for HEAD.
Rule 2: a path that servers read in two ways is refused: `//`, `.` and `..`, `;`, a backslash, whatever is
percent-encoded without need, and a spelling in other letters (`A` for `a`, `%c3` for `%C3`) that would be below another
route.  So is a method that is not in capitals, once a route names one.
"""

import re
from collections.abc import Mapping, Set
from urllib.parse import unquote_to_bytes

from certbound.core.display import shown
from certbound.core.errors import ConfigurationError, ProtectedResourceError
from certbound.resource._scopes import require_words


class PathRefused(ProtectedResourceError):
    """Nobody may ask for this path, or nobody can be sure which one it is."""

    error = ""
    status = 403
    description = ""


class Routes:
    """Each for its path and all below it, the longest first; `METHOD /path` is for that method alone.

    `ConfigurationError` for a path or a method that no request can have.
    """

    def __init__(self, routes: Mapping[str, Set[str]]) -> None:
        self._needed: dict[str, dict[str, frozenset[str]]] = {}
        self._lower: dict[str, str] = {}
        for route, scopes in routes.items():
            method, path = _route(route)
            at = self._needed.setdefault(path, {})
            if method in at or self._lower.setdefault(path.lower(), path) != path:
                raise ConfigurationError(
                    "routes: two of them are the same path, or are to a server that ignores case, for the same method"
                )
            at[method] = require_words(scopes)
        self.name_methods = any(method for at in self._needed.values() for method in at)
        """Whether the method decides as well."""

    def scopes_of(self, raw: bytes, method: bytes) -> Set[str]:
        """What a request needs for this path, as its client wrote it, and this method.  `PathRefused`."""
        path = raw.decode("latin-1")
        if not is_plain(path):
            raise PathRefused(f"the path can be read in two ways: {shown(path)!r:.200}")
        below = _longest(path, self._needed)
        if below is None:
            raise PathRefused(f"the path is below no route: {shown(path)!r:.200}")
        if self._lower[_longest(path.lower(), self._lower) or ""] != below:
            raise PathRefused(f"a server that ignores case reads another route in it: {shown(path)!r:.200}")
        at = self._needed[below]
        return self._of_method(at, below, method.decode("latin-1")) if self.name_methods else at[_ANY]

    @staticmethod
    def _of_method(at: Mapping[str, frozenset[str]], below: str, method: str) -> Set[str]:
        if not _METHOD.fullmatch(method):
            raise PathRefused(f"the method can be read in two ways: {shown(method)!r:.80}")
        found = at.get(method)
        if found is None and method == "HEAD":
            found = at.get("GET")
        if found is None:
            found = at.get(_ANY)
        if found is None:
            raise PathRefused(f"{method} is no method that the route {below or '/'} names")
        return found


def is_plain(path: str) -> bool:
    """Whether every server reads the same in it."""
    if _SIMPLE.fullmatch(path) is not None and "/." not in path:
        return True
    if _PLAIN.fullmatch(path) is None or ("/." in path and _DOTS.search(path)):
        return False
    return "%" not in path or all(unquote_to_bytes(each)[0] in _NEED_ESCAPE for each in _ESCAPED.findall(path))


def _route(route: str) -> tuple[str, str]:
    method, space, path = route.rpartition(" ")
    if space and not _METHOD.fullmatch(method):
        raise ConfigurationError(f"routes: {method!r:.80} is no method; write it in capitals, as GET /accounts")
    if not is_plain(path):
        raise ConfigurationError(
            f"routes: {path!r:.80} is no path as requests have it; begin it with / and write it without //, dots, ; "
            "and needless percent-encoding"
        )
    if "*" in path.replace("**", "*").split("/"):
        raise ConfigurationError(f"routes: {path!r:.80} has a *, which stands for itself; a route is for all below it")
    return method, path.rstrip("/")


def _longest(path: str, routes: Mapping[str, object]) -> str | None:
    """The longest of the routes that the path is, or is below."""
    below = path.rstrip("/")
    while below not in routes:
        if not below:
            return None
        below = below.rpartition("/")[0]
    return below


_ANY = ""
_METHOD = re.compile(r"[A-Z]+(-[A-Z]+)*")
_PLAIN = re.compile(r"(/([A-Za-z0-9._~!$&'()*+,=:@-]|%[0-9A-Fa-f]{2})+)*/?")
_SIMPLE = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,=:@-]+)+/?")
"""Most of `_PLAIN`, matched in a fraction of the time."""
_DOTS = re.compile(r"/\.\.?(/|$)")
_ESCAPED = re.compile(r"%[0-9A-Fa-f]{2}")
_NEED_ESCAPE = frozenset(b' "<>[]^`{|}#?') | frozenset(range(0x80, 0x100))
"""What cannot stand in a path itself, and is no separator to anybody."""
