"""gunicorn under a face: behind a proxy, or with TLS of its own."""

import contextlib
import http.client
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from websockets.exceptions import InvalidStatus

from certbound.testing.forwarded import forwarded_headers
from faces.suite import CONTRACT, Cast, Face, GuardedAPI, free_port, refused, running


class OnWSGI(GuardedAPI):
    """What no WSGI application under gunicorn can do."""

    cannot: ClassVar[dict[str, str]] = {
        "a_twin_beside_the_proxys_header_is_noticed": (
            "WSGI has one key for `A-B` and `A_B`; gunicorn drops names with underscores, so nobody sees them"
        ),
        "a_websocket_is_for_its_owner_alone": "WSGI has no websockets; an upgrade is a request like any other",
    }

    def test_a_twin_beside_the_proxys_header_is_noticed(self, face: Face) -> None:
        """It is dropped: the owner passes, and a thief does not."""
        said = forwarded_headers(CONTRACT, face.cast.thief.certificate)
        twins = [(name.replace("-", "_"), value) for name, value in said.items()]
        assert 200 == face.ask(face.cast.tokens["good"], face.cast.owner, headers=twins).status
        said = forwarded_headers(CONTRACT, face.cast.owner.certificate)
        twins = [(name.replace("-", "_"), value) for name, value in said.items()]
        refused(face.ask(face.cast.tokens["good"], face.cast.thief, headers=twins), 401, "invalid_token")

    def test_a_websocket_is_for_its_owner_alone(self, face: Face) -> None:
        """No handshake succeeds, not even the owner's."""
        for identity in (face.cast.owner, face.cast.thief, None):
            with pytest.raises(InvalidStatus), face.websocket(face.cast.tokens["good"], identity):
                pass


class WithOwnTLS(OnWSGI):
    """What gunicorn cannot do where TLS ends at it."""

    cannot: ClassVar[dict[str, str]] = {
        **OnWSGI.cannot,
        "a_self_signed_certificate_is_as_good_as_any": (
            "gunicorn cannot ask for a certificate without verifying it: only those of `--ca-certs` get through TLS"
        ),
    }
    del cannot["a_twin_beside_the_proxys_header_is_noticed"]

    test_a_twin_beside_the_proxys_header_is_noticed = GuardedAPI.test_a_twin_beside_the_proxys_header_is_noticed

    def test_a_self_signed_certificate_is_as_good_as_any(self, face: Face) -> None:
        """The handshake fails."""
        with pytest.raises((OSError, http.client.HTTPException)):
            face.ask(face.cast.tokens["self_signed"], face.cast.self_signed)


@contextlib.contextmanager
def behind_proxy(cast: Cast, app: str, *options: str) -> Iterator[Face]:
    """Plain HTTP; the test is the proxy."""
    port = free_port()
    arguments = ["gunicorn", app, "--bind", f"127.0.0.1:{port}", "--no-control-socket", *options]
    with running(cast, *arguments, port=port, environment={"SOURCE": "proxy"}):
        yield Face(cast=cast, url=f"http://127.0.0.1:{port}")


@contextlib.contextmanager
def with_tls(cast: Cast, app: str, *options: str) -> Iterator[Face]:
    """gunicorn asks for certificates of the world's authority."""
    port, folder = free_port(), cast.world.directory
    tls = [
        "--certfile", str(folder / "server.pem"), "--keyfile", str(folder / "server.key"),
        "--ca-certs", str(folder / "ca.pem"), "--cert-reqs", "1",
    ]  # fmt: skip
    arguments = ["gunicorn", app, "--bind", f"127.0.0.1:{port}", "--no-control-socket", *tls, *options]
    with running(cast, *arguments, port=port, environment={"SOURCE": "gunicorn"}):
        yield Face(cast=cast, url=f"https://localhost:{port}")


def log_of(face: Face) -> str:
    """What the server wrote until now."""
    port = face.url.rpartition(":")[2]
    return Path(face.cast.world.directory / f"server-{port}.log").read_text()
