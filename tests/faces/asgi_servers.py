"""ASGI servers of others under a face, behind a proxy: the test is the proxy."""

import contextlib
import socket
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from certbound.trust.authority import Issued
from faces.suite import Cast, Face, free_port, refused, running


@contextlib.contextmanager
def behind_uvicorn(cast: Cast, app: str, *options: str) -> Iterator[Face]:
    """As its documentation starts it, with what it does by itself to `X-Forwarded-For`."""
    port = free_port()
    with running(cast, "uvicorn", app, "--port", str(port), *options, port=port, environment={"SOURCE": "proxy"}):
        yield Face(cast=cast, url=f"http://127.0.0.1:{port}")


@contextlib.contextmanager
def behind_hypercorn(cast: Cast, app: str, *options: str) -> Iterator[Face]:
    """As its documentation starts it."""
    port = free_port()
    arguments = ["hypercorn", app, "--bind", f"127.0.0.1:{port}", *options]
    with running(cast, *arguments, port=port, environment={"SOURCE": "proxy"}):
        yield Face(cast=cast, url=f"http://127.0.0.1:{port}")


def websocket(face: Face, token: str | None, identity: Issued | None, path: str) -> ClientConnection:
    """Opened by whoever holds `identity` and sends `token`.  `InvalidStatus` if it is refused."""
    parts = urlsplit(face.url)
    fields = [] if token is None else [("authorization", f"Bearer {token}")]
    facts: Mapping[str, Any] = {"ssl": face.cast.world.context(identity)}
    if face.is_proxied:
        fields, facts = [*fields, *face.proxied(identity)], {}
    scheme = "ws" if face.is_proxied else "wss"
    return connect(f"{scheme}://{parts.netloc}{path}", additional_headers=fields, proxy=None, **facts)


class Websockets:
    """Sentences for faces with websockets: `/talk` asks inside for `write`, `/talking` needs it."""

    def test_the_owner_of_a_websocket_is_known(self, face: Face) -> None:
        """From the handshake on."""
        good, owner = face.cast.tokens["good"], face.cast.owner
        with websocket(face, good, owner, "/talk") as opened:
            assert "owner" == opened.recv(5)
            opened.send("go")
            assert "written" == opened.recv(5)
        with websocket(face, good, owner, "/talking") as opened:
            opened.send("echo")
            assert "echo" == opened.recv(5)

    @pytest.mark.parametrize("path", ["/talk", "/talking", "/nowhere"])
    def test_a_websocket_is_refused_before_it_is_accepted(self, face: Face, path: str) -> None:
        """With a stolen token, without a certificate, without a token: no application sees it."""
        good, cast = face.cast.tokens["good"], face.cast
        for token, identity in ((good, cast.thief), (good, None), (None, cast.owner)):
            with pytest.raises(InvalidStatus) as found, websocket(face, token, identity, path):
                pass
            assert found.value.response.status_code in {401, 403, 404}

    def test_a_websocket_needs_what_its_route_says(self, face: Face) -> None:
        """403 before it is accepted."""
        with (
            pytest.raises(InvalidStatus) as found,
            websocket(face, face.cast.tokens["reading"], face.cast.owner, "/talking"),
        ):
            pass
        assert 403 == found.value.response.status_code
        assert 'scope="write"' in found.value.response.headers["www-authenticate"]

    def test_a_websocket_that_asks_for_more_later_is_closed(self, face: Face) -> None:
        """By 1008: a policy was violated."""
        with websocket(face, face.cast.tokens["reading"], face.cast.owner, "/talk") as opened:
            assert "owner" == opened.recv(5)
            opened.send("go")
            with pytest.raises(ConnectionClosed) as found:
                opened.recv(5)
        assert found.value.rcvd is not None
        assert 1008 == found.value.rcvd.code


class Proxied:
    """Sentences for what a server of others does to a proxied request."""

    def test_a_trailer_is_no_header(self, face: Face) -> None:
        """What comes behind a body in pieces, long after the guard has looked, is seen by nobody."""
        fields = [*face.proxied(face.cast.owner), ("authorization", f"Bearer {face.cast.tokens['good']}")]
        head = "".join(f"{name}: {value}\r\n" for name, value in fields)
        parts = urlsplit(face.url)
        with socket.create_connection((parts.hostname, parts.port), 5) as sent:
            request = f"POST /after-body HTTP/1.1\r\nhost: api\r\nconnection: close\r\n{head}"
            sent.sendall(f"{request}transfer-encoding: chunked\r\n\r\n1\r\na\r\n".encode())
            sent.settimeout(0.3)
            with contextlib.suppress(TimeoutError):
                sent.recv(1)  # the application is waiting for the rest by then
            sent.settimeout(5)
            sent.sendall(b"0\r\nx-ssl-client-cert: forged\r\nclient-cert: forged\r\nhost: evil\r\n\r\n")
            answer = b"".join(iter(lambda: sent.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 200 "), answer
        assert b"forged" not in answer
        assert b"client-cert" not in answer
        assert b"evil" not in answer

    def test_a_stranger_on_this_machine_gains_nothing_by_a_rewritten_address(self, face: Face) -> None:
        """Some servers take the address from `X-Forwarded-For`: it can narrow, never prove."""
        said = [pair for pair in face.proxied(face.cast.owner) if pair[0] != "certbound-proxy-secret"]
        for address in ("127.0.0.1", "10.9.9.9", "::1"):
            headers = [*said, ("x-forwarded-for", address)]
            answer = face.ask(face.cast.tokens["good"], None, headers=headers, through_proxy=False)
            refused(answer, 401, "invalid_token")
