"""URLs that may be fetched, and in one reading only (RFC 3986).

Rule 1: what two parsers could read differently is refused: spaces, controls, backslashes, credentials, odd hosts.
Rule 2: ports below 1024 belong to other protocols, but 80 and 443, unless the deployment has its own.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

import httpcore


@dataclass(frozen=True, slots=True)
class Target:
    """A URL in its parts; `path` has the query too, `host` is in small letters and has no brackets."""

    scheme: str
    host: str
    port: int
    path: str

    @classmethod
    def read(cls, url: str, schemes: frozenset[str], *, any_port: bool) -> Self:
        """`url`, if its scheme is one of `schemes`.  `ValueError`, for a log, if it may not be fetched."""
        if not _URL.fullmatch(url):
            raise ValueError(f"{url!r:.200} has characters that no URL has, or a fragment")
        parts = urlsplit(url)
        if parts.scheme not in schemes:
            raise ValueError(f"{url!r:.200} is no URL of {' or '.join(sorted(schemes))}")
        if "@" in parts.netloc:
            raise ValueError(f"a URL of {parts.netloc.rpartition('@')[2]:.200} carries credentials")
        place = _PLACE.fullmatch(parts.netloc)
        if place is None:
            raise ValueError(f"{parts.netloc!r:.200} is no host, or no port")
        host, port = (place["name"] or place["address"]).lower(), int(place["port"] or _PORTS[parts.scheme])
        if port > 65535 or not (any_port or port >= 1024 or port in _PORTS.values()):
            raise ValueError(f"port {port} of {host:.200} is not HTTP's; see fetch.private_addresses")
        return cls(parts.scheme, host, port, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))

    @property
    def authority(self) -> str:
        """As the Host field has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> httpcore.URL:
        """For `httpcore`, which reads nothing of it again."""
        return httpcore.URL(scheme=self.scheme, host=self.host, port=self.port, target=self.path)


_PORTS: Mapping[str, int] = {"https": 443, "http": 80}
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!\x24-\x5B\x5D-\x7E]{1,2040}")
"""ASCII without space, and without `"`, `#` and `\\`."""
_PLACE = re.compile(
    r"((?P<name>[A-Za-z0-9._-]{1,253})|\[(?P<address>[0-9A-Fa-f.]*:[0-9A-Fa-f:.]{1,44})\])(:(?P<port>[0-9]{0,5}))?"
)
