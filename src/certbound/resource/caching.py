"""What a guarded API says to one caller is not for others (RFC 9111 sections 3.5 and 5.2.2.7).

Rule 1: an answer that says nothing about caching says `private`: shared caches exist that take no notice of
Authorization, and whoever asks them is asked for no token.
Rule 2: what the application says stands, `public` too.
Rule 3: refusals are `no-store`; `resource.refusal` writes that.
"""

from collections.abc import Sequence

from certbound.tls.ports import Message

PRIVATE = "private"


def kept_private(message: Message) -> Message:
    """The beginning of a response, as ASGI has it; other messages as they are."""
    if message["type"] not in _BEGINS:
        return message
    headers = list(message.get("headers") or ())
    for name, _ in headers:
        if name.lower() == b"cache-control":
            break
    else:
        headers.append(_PRIVATE)
    return {**message, "headers": headers}


def privately(headers: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The same of the headers of a WSGI response."""
    if any(name.lower() == "cache-control" for name, _ in headers):
        return list(headers)
    return [*headers, ("Cache-Control", PRIVATE)]


_PRIVATE = b"cache-control", PRIVATE.encode("ascii")
_BEGINS = frozenset({"http.response.start", "websocket.http.response.start"})
