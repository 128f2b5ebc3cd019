"""The guard under ASGI servers of others: whom they take for the peer, and by which ways a proxy comes."""

import contextlib
import http.client
import socket
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from faces.asgi_servers import behind_hypercorn, behind_uvicorn
from faces.suite import SECRET_HEADER, Cast, Face, GuardedAPI, refused, running

APP = "plain_asgi:app"
FARAWAY = ("x-forwarded-for", "10.9.9.9")


@pytest.mark.wide
class TestHypercorn(GuardedAPI):
    """Behind a proxy."""

    title = "ASGI (hypercorn)"
    source = "a declared proxy"

    @staticmethod
    def serve(cast: Cast) -> AbstractContextManager[Face]:
        return behind_hypercorn(cast, APP)

    def test_addresses_in_headers_change_nothing(self, face: Face) -> None:
        """hypercorn says who is there."""
        assert 200 == face.ask(face.cast.tokens["good"], face.cast.owner, headers=[FARAWAY]).status


@pytest.mark.wide
class TestUvicorn(GuardedAPI):
    """Behind a proxy, told to say who is there."""

    title = "ASGI (uvicorn --no-proxy-headers)"
    source = "a declared proxy"

    @staticmethod
    def serve(cast: Cast) -> AbstractContextManager[Face]:
        return behind_uvicorn(cast, APP, "--no-proxy-headers")

    def test_addresses_in_headers_change_nothing(self, face: Face) -> None:
        """As under hypercorn."""
        assert 200 == face.ask(face.cast.tokens["good"], face.cast.owner, headers=[FARAWAY]).status


def test_a_server_that_takes_addresses_from_headers_closes(cast: Cast, tmp_path: Path) -> None:
    """uvicorn by default: what a client wrote is not the declared address, so nobody is believed; never the reverse."""
    with behind_uvicorn(cast, APP) as face:
        good, owner = cast.tokens["good"], cast.owner
        assert 200 == face.ask(good, owner).status
        refused(face.ask(good, owner, headers=[FARAWAY]), 401, "invalid_token")
        without = [pair for pair in face.proxied(owner) if pair[0] != SECRET_HEADER]
        answer = face.ask(good, None, headers=[*without, ("x-forwarded-for", "127.0.0.1")], through_proxy=False)
        refused(answer, 401, "invalid_token")


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=20)
        self.path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


@contextlib.contextmanager
def on_unix_socket(cast: Cast, server: str, path: Path) -> Iterator[None]:
    """The server, started and answering."""
    bound = {"uvicorn": ("--uds", str(path)), "hypercorn": ("--bind", f"unix:{path}")}[server]
    with socket.create_server(("127.0.0.1", 0)) as answering:  # `running` waits for a port, and we for the socket
        port = answering.getsockname()[1]
        with running(cast, server, "socket_asgi:app", *bound, port=port, environment={"SOURCE": "proxy"}):
            until = time.monotonic() + 30
            while not answers(path):
                assert time.monotonic() < until, (cast.world.directory / f"server-{port}.log").read_text()
                time.sleep(0.05)
            yield


def answers(path: Path) -> bool:
    """Whether somebody listens there."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as trying:
        trying.connect(str(path))
        return True
    return False


def status(path: Path, *headers: tuple[str, Any]) -> int:
    """What is answered to a request with these headers."""
    with contextlib.closing(UnixConnection(path)) as connection:
        connection.request("GET", "/", headers=dict(headers))
        return connection.getresponse().status


@pytest.mark.parametrize("server", ["uvicorn", "hypercorn"])
def test_on_a_unix_socket_the_secret_proves_the_proxy(cast: Cast, tmp_path: Path, server: str) -> None:
    """Its peers have no address, and whoever has none is not therefore the proxy."""
    path = tmp_path / "api.sock"
    face = Face(cast=cast, url="http://localhost")
    bearer = ("authorization", f"Bearer {cast.tokens['good']}")
    with on_unix_socket(cast, server, path):
        assert 200 == status(path, bearer, *face.proxied(cast.owner))
        assert 401 == status(path, bearer, *face.proxied(cast.thief))
        without = [pair for pair in face.proxied(cast.owner) if pair[0] != SECRET_HEADER]
        assert 401 == status(path, bearer, *without)
        assert 401 == status(path, bearer, *without, (SECRET_HEADER, "f" * 36))
