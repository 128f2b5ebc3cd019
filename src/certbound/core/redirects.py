"""Redirect URIs: what may be registered, which one is asked for, and the way back (RFC 6749 section 3.1.2, RFC 8252).

Rule 1: compared as the strings they are; of the address of a loopback interface alone, any port fits, since a native
app takes the one that it gets (RFC 8252 section 7.3).
Rule 2: a URI that a browser would run, or that carries a user, is none.
Rule 3: the answer goes into the query, the fragment or a form, and never replaces what stands there.
"""

import re
from collections.abc import Collection, Mapping
from enum import StrEnum
from urllib.parse import SplitResult, quote_plus, urlsplit

MAX_URI = 2048
"""Characters."""


class ResponseMode(StrEnum):
    """`response_mode`: how the answer travels (OAuth 2.0 Multiple Response Types, OAuth 2.0 Form Post)."""

    QUERY = "query"
    FRAGMENT = "fragment"
    FORM_POST = "form_post"


def is_redirect_uri(text: str) -> bool:
    """RFC 6749 section 3.1.2: https, an app's own scheme, or http for loopback alone (RFC 8252 section 7)."""
    parts = _split(text)
    if parts is None or len(text) > MAX_URI or not _URI.fullmatch(text) or "@" in parts.netloc:
        return False
    if parts.scheme == "https":
        return bool(parts.hostname)
    if parts.scheme == "http":
        return parts.hostname in _LOOPBACK
    return "." in parts.scheme  # a domain turned round (RFC 8252 section 7.1): never `javascript`, `data` or `file`


def match_redirect_uri(asked: str, registered: Collection[str]) -> bool:
    """Whether `asked` is one of those registered; a loopback address may have another port."""
    if asked in registered:
        return True
    if not is_redirect_uri(asked):
        return False
    portless = _without_port(asked)
    return portless is not None and any(portless == _without_port(each) for each in registered)


def response_uri(redirect_uri: str, members: Mapping[str, str], mode: ResponseMode) -> str:
    """Where the browser is sent with `members`; for `query` and `fragment`."""
    encoded = "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in members.items())
    if mode is ResponseMode.FRAGMENT:
        return f"{redirect_uri}#{encoded}"
    if "?" not in redirect_uri:
        return f"{redirect_uri}?{encoded}"
    return redirect_uri + ("" if redirect_uri.endswith(("?", "&")) else "&") + encoded


def _without_port(uri: str) -> tuple[str, ...] | None:
    """What must be the same where the port need not be; None where it must."""
    parts = _split(uri)
    if parts is None or parts.scheme != "http" or parts.hostname not in _LOOPBACK_ADDRESSES:
        return None
    return (parts.hostname, parts.path, parts.query, "?" if "?" in uri else "")


def _split(text: str) -> SplitResult | None:
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018  it is read here, and may raise
    except ValueError:
        return None
    return parts


_LOOPBACK_ADDRESSES = frozenset({"127.0.0.1", "::1"})
_LOOPBACK = _LOOPBACK_ADDRESSES | {"localhost"}
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!\x24-\x5B\x5D-\x7E]+")
"""ASCII without space, and without `"`, `#` and `\\`."""
