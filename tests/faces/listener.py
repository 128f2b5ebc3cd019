"""Our own listener under a face: `certbound run`."""

import contextlib
from collections.abc import Iterator

from faces.suite import Cast, Face, free_port, running


@contextlib.contextmanager
def on_listener(cast: Cast, app: str, *options: str) -> Iterator[Face]:
    """TLS ends here; any certificate is asked for and none is judged."""
    port, folder = free_port(), cast.world.directory
    arguments = [
        "certbound.cli", "run", app, "--cert", str(folder / "server.pem"), "--key", str(folder / "server.key"),
        "--port", str(port), *options,
    ]  # fmt: skip
    with running(cast, *arguments, port=port, environment={"SOURCE": "listener"}):
        yield Face(cast=cast, url=f"https://localhost:{port}")
