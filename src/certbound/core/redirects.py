"""Redirect URIs: what may be registered, which one is asked for, and the way back (RFC 6749 section 3.1.2, RFC 8252).

Rule 1: compared as the strings they are; of the address of a loopback interface alone, any port fits, since a native
app takes the one that it gets (RFC 8252 section 7.3).
Rule 2: a URI that a browser would run, or that carries a user, is none.
Rule 3: one that a browser might read otherwise than we do is none: what a host is made of is written out here, and
nothing is decoded, mapped or trimmed to find it.
Rule 4: the answer goes into the query, the fragment or a form, and never replaces what stands there.
"""

import re
from collections.abc import Collection, Mapping
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import quote_plus

MAX_URI = 2048
"""Characters."""


class ResponseMode(StrEnum):
    """`response_mode`: how the answer travels (OAuth 2.0 Multiple Response Types, OAuth 2.0 Form Post)."""

    QUERY = "query"
    FRAGMENT = "fragment"
    FORM_POST = "form_post"


def is_redirect_uri(text: str) -> bool:
    """RFC 6749 section 3.1.2: https, an app's own scheme, or http for loopback alone (RFC 8252 section 7)."""
    if len(text) > MAX_URI or not _URI.fullmatch(text):
        return False
    web = _WEB.fullmatch(text)
    if web is None:
        # A domain turned round (RFC 8252 section 7.1): never `javascript`, `data`, `file`, or a web address misspelled.
        return "." in text.partition(":")[0] and not _USER.search(text)
    scheme, host, port, _ = web.groups()
    if int(port or 1) > _LAST_PORT:
        return False
    return _leads_somewhere(host) if scheme == "https" else host in _LOOPBACK


def match_redirect_uri(asked: str, registered: Collection[str]) -> bool:
    """Whether `asked` is one of those registered; a loopback address may have another port."""
    if asked in registered:
        return True
    portless = _without_port(asked)
    return portless is not None and any(portless == _without_port(each) for each in registered)


def host_of(redirect_uri: str) -> str:
    """The host that it leads to, in lower case; empty for an app's own scheme."""
    web = _WEB.fullmatch(redirect_uri)
    return web[2].lower() if web else ""


def is_host(text: str) -> bool:
    """Whether `text` is a host as `host_of` has them."""
    return host_of(f"https://{text}") == text and is_redirect_uri(f"https://{text}")


def is_native(redirect_uri: str) -> bool:
    """Whether it leads to an app on the person's own machine, and nowhere else (RFC 8252 section 7)."""
    return is_redirect_uri(redirect_uri) and host_of(redirect_uri) in {"", *_LOOPBACK}


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
    web = _WEB.fullmatch(uri)
    if web is None or web[1] != "http" or web[2] not in _LOOPBACK_ADDRESSES or not is_redirect_uri(uri):
        return None
    return (web[2], web[4])


def _leads_somewhere(text: str) -> bool:
    """A domain, or an address as it is written."""
    kind = IPv6Address if text.startswith("[") else IPv4Address if _ENDS_IN_NUMBER.search(text) else None
    if kind is None:
        return len(text) <= _LONGEST_DOMAIN
    try:
        kind(text.strip("[]"))
    except ValueError:
        return False
    return True


_LOOPBACK_ADDRESSES = frozenset({"127.0.0.1", "[::1]"})
_LOOPBACK = _LOOPBACK_ADDRESSES | {"localhost"}
_LAST_PORT = 65535
_LONGEST_DOMAIN = 253

_URI = re.compile(r"[a-z][a-z0-9+.-]*:[!\x24-\x5B\x5D-\x7E]+")
"""ASCII without space, and without `"`, `#` and `\\`; the scheme is in lower case."""
_WEB = re.compile(
    r"(https?)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*)(?::([1-9][0-9]{0,4}))?((?:[/?].*)?)"
)
"""Scheme, host, port, and all that follows."""
_USER = re.compile(r"://[^/?]*@")
_ENDS_IN_NUMBER = re.compile(r"(?:^|\.)(?:[0-9]+|0[xX][0-9A-Fa-f]*)$")
"""Where the last label is a number, browsers read an address, and in more spellings than one."""
