"""A service that proxies ask about each request, as small as one can be: whoever holds a certificate may pass.

It says what it was asked, and what the application behind the proxy then saw.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from certbound.cli.proxies import IDENTITY_HEADERS
from certbound.core.certificate import read_certificate
from certbound.tls import peer_certificate
from proxies.frame import Kinds, Observer, Program, Proxied, Seen, behind, served, wrapped

FORGED = tuple((name, "forged") for name in IDENTITY_HEADERS)
"""What a client says of itself in the guard's words."""


def told(thumbprint: str) -> dict[str, str]:
    """What it says of who calls."""
    return {name: f"the guard's {name}" for name in IDENTITY_HEADERS} | {"certbound-thumbprint": thumbprint}


@dataclass
class Asked:
    """The paths and methods that it was asked about."""

    requests: list[tuple[str, str]] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        asked = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        uri = asked.get("x-original-uri") or asked.get("x-forwarded-uri") or scope["raw_path"].decode()
        self.requests.append((asked.get("x-original-method") or asked.get("x-forwarded-method", ""), uri))
        peer = peer_certificate(scope)
        status, headers = 401, [(b"www-authenticate", b'Bearer realm="asked"')]
        if peer is not None:
            said = told(peer.leaf.thumbprint)
            status, headers = 200, [(name.encode(), value.encode()) for name, value in said.items()]
        await send({"type": "http.response.start", "status": status, "headers": [*headers, (b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


@dataclass(frozen=True)
class Guarded:
    """A proxy that asks, and what it asks and reaches."""

    proxy: Proxied
    asked: Asked
    observer: Observer

    def call(self, kind: str, *headers: tuple[str, str], path: str = "/a", method: str = "GET") -> Seen:
        """One request, with what came before forgotten."""
        self.asked.requests.clear()
        self.observer.seen.clear()
        return self.proxy.ask(self.proxy.kinds[kind], *FORGED, *headers, path=path, method=method)

    @property
    def identity(self) -> dict[str, str]:
        """What the application was told of who calls."""
        [seen] = self.observer.seen
        return {
            name: value for name, value in seen["headers"] if name.startswith("certbound-") and "secret" not in name
        }


@contextlib.contextmanager
def guarded(program: Program, folder: Path, kinds: Kinds) -> Iterator[Guarded]:
    """`program` as `proxy-config --for guard` prints it."""
    asked, observer = Asked(), Observer(program.name)
    with (
        served(observer) as port,
        served(wrapped(asked, program.name)) as asks,
        behind(
            program, f"127.0.0.1:{port}", folder, kinds, purpose="guard", options=["--guard", f"127.0.0.1:{asks}"]
        ) as proxy,
    ):
        yield Guarded(proxy, asked, observer)


def require_that_it_asks(guard: Guarded) -> None:
    """What every proxy that asks must do."""
    refused = guard.call("none")
    assert (401, 'Bearer realm="asked"') == (refused.status, refused.headers["www-authenticate"])
    assert [] == guard.observer.seen
    for kind in ("CA-signed", "self-signed", "unknown CA"):
        seen = guard.call(
            kind, ("X-Original-URI", "/free"), ("X-Forwarded-Uri", "/free"), path="/a?b=%20", method="PUT"
        )
        assert (200, [("PUT", "/a?b=%20")]) == (seen.status, guard.asked.requests)
        identity = guard.proxy.kinds[kind]
        assert identity is not None
        assert told(read_certificate(identity.der).thumbprint) == guard.identity
        assert [] == [name for name in guard.observer.seen[0]["leaked"] if "secret" not in name]
