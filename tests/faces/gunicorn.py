"""gunicorn under a face: behind a proxy, or with TLS of its own."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from faces.suite import Cast, Face, free_port, running


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
