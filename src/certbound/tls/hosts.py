"""Which host is a request for?  RFC 9112 section 3.2 (Host, the request target), RFC 9110 section 7.4 (421).

Rule 1: a name has one spelling here: lower case, no port, IP addresses as `ipaddress` writes them, no brackets.
Rule 2: the port in Host is read and ignored: behind a port mapping it is not ours, and a certificate has none.
Rule 3: what is not one well-formed host and port belongs to nobody.
"""

import contextlib
import ipaddress
import re
from urllib.parse import urlsplit

_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?)(?::[0-9]{0,5})?")


def host_name(authority: bytes) -> str | None:
    """The host in `authority` (`host[:port]`) in our spelling; None if it is malformed, userinfo included."""
    found = _HOST.fullmatch(authority)
    return canonical_name(found[1].decode("ascii")) if found else None


def is_loopback(host: str) -> bool:
    """Whether `host` is reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def canonical_name(name: str) -> str | None:
    """`name`, a host name or an IP address with or without brackets, in our spelling; None if it is neither."""
    if ":" in name or name[-1:].isdigit():  # no address looks otherwise, and asking is dear
        bare = name[1:-1] if name[:1] == "[" and name[-1:] == "]" else name
        with contextlib.suppress(ValueError):
            return str(ipaddress.ip_address(bare))
    return name.lower() if name.isascii() and _NAME.fullmatch(name) else None


def target_authority(target: bytes) -> bytes | None:
    """The authority of an absolute-form target whose scheme is https; None for every other target."""
    try:
        split = urlsplit(target)
    except ValueError:
        return None
    return split.netloc if split.scheme.lower() == b"https" else None


def covers(names: frozenset[str], name: str) -> bool:
    """Whether `name` is one of `names`; `*.example.com` stands for one label (RFC 9525 section 6.3)."""
    _, dot, rest = name.partition(".")
    return name in names or (bool(dot) and f"*.{rest}" in names)


_NAME = re.compile(r"(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
