"""A request that asks for an upgrade and has a body is read in two ways, so it is the last on its connection.

uvicorn's httptools ends an upgrade's request at its header; what the proxy sends as the body becomes the beginning of
the next request, and the next client's headers, certificate and secret included, the rest of it.  Other than the corpus
that goes through real proxies (`tests/proxies`), this takes the timing in which it happens.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn

from certbound.testing.forwarded import forwarded_headers
from certbound.tls import peer_certificate
from certbound.tls.forwarded import ForwardedCertificates
from certificates import read
from issuing import OWN

SECRET = "5e" * 32


class Seen:
    """An application that says what it was called with."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        self.paths.append(scope["path"] + (" with a certificate" if peer_certificate(scope) else ""))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


@contextlib.asynccontextmanager
async def served(app: Any, http: str) -> AsyncIterator[int]:
    """On uvicorn, with this reader of HTTP."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        config = uvicorn.Config(app, http=http, lifespan="off", log_config=None, proxy_headers=False)  # type: ignore[arg-type]
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve(sockets=[bound]))
        while not server.started:
            await asyncio.sleep(0.01)
        try:
            yield bound.getsockname()[1]
        finally:
            server.should_exit = True
            await task


def lines(first: str, *fields: tuple[str, str]) -> bytes:
    return "\r\n".join([first, "Host: api.example", *(f"{name}: {value}" for name, value in fields), "", ""]).encode()


@pytest.mark.parametrize("http", ["httptools", "h11"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_what_follows_such_a_request_is_nobodys(http: str, framing: str) -> None:
    """The client behind it on the proxy's connection is not made to send what an attacker began."""
    app = Seen()
    guarded = ForwardedCertificates(app, contract="nginx", networks=["127.0.0.1"], secrets=[SECRET])
    owner = [*forwarded_headers("nginx", read(OWN)).items(), ("certbound-proxy-secret", SECRET)]
    nobody = [*forwarded_headers("nginx", None).items(), ("certbound-proxy-secret", SECRET)]
    body = b"GET /smuggled HTTP/1.1\r\nX: "
    sized = ("Content-Length", str(len(body))) if framing == "length" else ("Transfer-Encoding", "chunked")
    async with served(guarded, http) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(lines("POST / HTTP/1.1", ("Connection", "Upgrade"), ("Upgrade", "h2c"), sized, *nobody))
        await asyncio.sleep(0.2)  # the proxy sends header and body each by itself
        with contextlib.suppress(OSError):
            writer.write(body if framing == "length" else b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
            await writer.drain()
            await asyncio.sleep(0.2)
            writer.write(lines("GET /honest HTTP/1.1", *owner))
            await writer.drain()
            await asyncio.wait_for(reader.read(65536), 2)
        await asyncio.sleep(0.2)
        writer.close()
    assert not [each for each in app.paths if "smuggled" in each], app.paths
