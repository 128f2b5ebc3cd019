"""Names of headers as a deployment may give them, and what servers and frameworks take for the same.

Rule: a name is lower case and made of letters, digits and `-`: any other sign is one that some server makes another of.
"""

import re
from functools import lru_cache

from certbound.core.errors import ConfigurationError


def require_header_name(key: str, name: str) -> None:
    """`name` can be declared as a header.  `ConfigurationError` otherwise; `key` is what the deployment calls it."""
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"{key}: {name!r:.80} is no name for a header here; use lower-case letters, digits and '-' between them"
        )
    if name in _OF_OTHERS:
        raise ConfigurationError(f"{key}: {name} means something else in every request; choose another name")


def folded(name: bytes) -> bytes:
    """`name` with all that some server takes for the same: any case, any sign for `-`, none at its end."""
    return _kept(name) if len(name) <= _LONG else _kept.__wrapped__(name)


@lru_cache(maxsize=1024)
def _kept(name: bytes) -> bytes:
    return _SIGNS.sub(b"-", name.lower()).strip(b"-")


_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_LONG = 64
"""Bytes of a name that is not remembered: a stranger chooses it."""
_SIGNS = re.compile(rb"[^a-z0-9]+")
_OF_OTHERS = frozenset({
    "accept", "authorization", "connection", "content-length", "content-type", "cookie", "host", "te",
    "transfer-encoding", "upgrade", "x-forwarded-for",
})  # fmt: skip
