"""An upgrade to a websocket on a path that is guarded, on our TLS listener and on the plain one."""

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from certbound.resource import FixedKeys, Guard, ProtectedResource
from certbound.testing.forwarded import forwarded_headers
from certbound.tls import PlainPort
from certbound.trust.authority import Issued, self_signed
from certificates import NOW
from issuing import AUDIENCE, ISSUER, KEYS, OWN, token
from tls.wire import PATIENCE, Client, Server, one_port, virtual_host

THIEF = self_signed("CN=thief")
UPGRADE = (
    "Connection: Upgrade\r\nUpgrade: {}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
HEADERS = ("rfc9440", "nginx", "envoy")


@dataclass
class Talking:
    """An application that accepts every websocket, and counts."""

    paths: list[str] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                await send({"type": message["type"] + ".complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        self.paths.append(scope["path"])
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close"})
        else:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})


@dataclass
class Place:
    """A listener with the guard behind it."""

    tls: tuple[str, int]
    plain: tuple[str, int]
    app: Talking

    def ask(
        self, more: str, *, holds: Issued | None, upgrade: str = "websocket", plain: bool = False,
        host: str = "localhost", behind: bytes = b"",
    ) -> bytes:  # fmt: skip
        """What comes back on an upgrade with these headers: a head, or all if something stands behind the request."""
        head = f"GET /talk HTTP/1.1\r\nHost: {host}\r\n{UPGRADE.format(upgrade)}{more}\r\n".encode()
        found = b""
        with contextlib.ExitStack() as stack:
            if plain:
                opened = stack.enter_context(socket.create_connection(self.plain, PATIENCE))
                send, receive = opened.sendall, lambda: opened.recv(1 << 16)
            else:
                client = stack.enter_context(Client(self.tls, certificate=holds)).shake()
                send, receive = client.send, client.receive
            send(head + behind)
            while (behind or b"\r\n\r\n" not in found) and (part := receive()):
                found += part
        return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    app, folder = Talking(), tmp_path_factory.mktemp("place")
    api = ProtectedResource(AUDIENCE, issuer=ISSUER, keys=FixedKeys(KEYS), clock=lambda: NOW)
    guarded = Guard(app, api)
    port = one_port(virtual_host(Path(folder), guarded, websockets=True))
    plain = PlainPort(host="127.0.0.1", app=guarded, names=frozenset({"localhost"}), websockets=True)
    with Server(port, plain) as server:
        tls, without = server.running.addresses
        yield Place(tls, without, app)


@pytest.fixture(autouse=True)
def _afresh(place: Place) -> None:
    place.app.paths.clear()


def bearer() -> str:
    return f"Authorization: Bearer {token()}\r\n"


def test_the_owner_is_upgraded(place: Place) -> None:
    """101: so the others could be."""
    assert place.ask(bearer(), holds=OWN).startswith(b"HTTP/1.1 101 ")
    assert place.app.paths == ["/talk"]


@pytest.mark.parametrize("upgrade", ["websocket", "WebSocket", "h2c", "websocket, h2c", ""])
@pytest.mark.parametrize("who", ["the thief", "nobody", "the owner without a token"])
def test_nobody_else_is(place: Place, who: str, upgrade: str) -> None:
    """However the upgrade is spelled, and no request behind it is read."""
    holds = {"the thief": THIEF, "nobody": None}.get(who, OWN)
    answer = place.ask("" if holds is OWN else bearer(), holds=holds, upgrade=upgrade, behind=SMUGGLED)
    assert answer.split()[1] in {b"400", b"401", b"403"}, answer
    assert b"HTTP/1.1 101" not in answer
    assert b"HTTP/1.1 200" not in answer
    assert not place.app.paths


@pytest.mark.parametrize("contract", HEADERS)
def test_a_certificate_in_a_header_upgrades_nobody(place: Place, contract: str) -> None:
    """Pitfall 9, on the plain listener and beside a thief's own certificate: no proxy is declared."""
    forged = "".join(f"{name}: {value}\r\n" for name, value in forwarded_headers(contract, OWN.der).items())
    for plain in (True, False):
        answer = place.ask(bearer() + forged, holds=THIEF, plain=plain)
        assert answer.split()[1] in {b"401", b"403"}, answer
    assert not place.app.paths


def test_an_upgrade_for_another_host_is_misdirected(place: Place) -> None:
    """421, also for its owner; the case of a name is no other host."""
    for plain in (True, False):
        assert place.ask(bearer(), holds=OWN, host="other.example", plain=plain).startswith(b"HTTP/1.1 421 ")
    assert place.ask(bearer(), holds=OWN, host="LOCALHOST").startswith(b"HTTP/1.1 101 ")
    assert place.app.paths == ["/talk"]
