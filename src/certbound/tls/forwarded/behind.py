"""What else a believed proxy says of a request, beside the certificate: the client's address, and whether it is early.

Rule 1: stands behind `ForwardedCertificates`, which says whether a declared proxy sent the request.
Rule 2: the client's address is the last in one declared header, which the proxy itself wrote; all before it are claims.
Rule 3: no other header in which proxies speak of clients goes on to the application.
Rule 4: early data (RFC 8470) can be sent again by whoever saw it: only what changes nothing is answered.
"""

import ipaddress
import secrets
from typing import Any

import msgspec

from certbound.tls.facts import TLSExtension, connection_facts
from certbound.tls.ports import ASGIApplication, Receive, Scope, Send


class BehindProxy:
    """ASGI middleware: `scope["client"]` is the client's address where a believed proxy says it in the header of that
    name; else what the listener says."""

    def __init__(self, app: ASGIApplication, *, client_address_header: str | None = None) -> None:
        self._app = app
        self._address = client_address_header.encode("ascii") if client_address_header is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        kept: list[tuple[bytes, bytes]] = []
        said = b""
        is_early = False
        for name, value in scope["headers"]:
            if name == self._address:
                said = value
            elif name == b"early-data":
                is_early = True  # whatever its value is (section 5.1)
            elif not name.startswith(_OF_PROXIES):
                kept.append((name, value))
        if is_early and scope.get("method") not in _SAFE:
            await _too_early(send)
            return
        facts = connection_facts(scope)
        if said and facts is not None and facts.forwarded_by is not None and (address := _last(said)) is not None:
            scope = {**scope, "client": (address, 0)}
        await self._app({**scope, "headers": kept}, receive, send)


class TLSExtensionToo:
    """ASGI middleware: what a believed proxy forwarded stands in the ASGI TLS extension as well, for an application
    that reads no other."""

    def __init__(self, app: ASGIApplication) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        facts = connection_facts(scope)
        if facts is not None and facts.forwarded_by is not None:
            scope = {**scope, "extensions": {**scope["extensions"], "tls": TLSExtension(facts, None)}}
        await self._app(scope, receive, send)


def _last(value: bytes) -> str | None:
    """The last address in `value`; a port behind it, or brackets, are left out.  None if it is none."""
    text = value.rpartition(b",")[2].strip().decode("latin-1")
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


async def _too_early(send: Send) -> None:
    body = msgspec.json.encode({**_EARLY, "request_id": secrets.token_hex(8)})
    headers: list[Any] = [
        (b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), (b"cache-control", b"no-store"),
    ]  # fmt: skip
    await send({"type": "http.response.start", "status": 425, "headers": headers})
    await send({"type": "http.response.body", "body": body})


_OF_PROXIES = (b"x-forwarded-", b"forwarded", b"x-real-ip")
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_EARLY = {
    "error": "temporarily_unavailable",
    "error_description": "sent before the TLS handshake was complete, so anybody could repeat it; send it again",
}
