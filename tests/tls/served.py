"""`serve` as a program, for tests that need whole processes: served.py FOLDER WORKERS [PORT]."""

import json
import logging
import os
import sys
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from certbound.core.errors import ConfigurationError
from certbound.tls import Port, VirtualHost, peer_certificate, serve


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            if (FOLDER / "refuse").exists():
                await send({"type": "lifespan.startup.failed", "message": "told to refuse"})
                return
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                (FOLDER / f"stopped.{os.getpid()}").touch()
                return
    while (await receive()).get("more_body"):
        pass
    peer = peer_certificate(scope)
    signature = KEY.sign(b"a token's worth of work", ec.ECDSA(hashes.SHA256())).hex()
    answer = {"pid": os.getpid(), "access_token": peer.leaf.thumbprint if peer else None, "signature": signature}
    body = json.dumps(answer).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


KEY = ec.generate_private_key(ec.SECP256R1())
FOLDER, WORKERS = Path(sys.argv[1]), int(sys.argv[2])
PORT = int(sys.argv[3]) if len(sys.argv) > 3 else 0


def make_ports():
    host = VirtualHost(
        certificate=FOLDER / "localhost.crt", key=FOLDER / "localhost.key", app=app, asks_for_certificate=True
    )
    return [Port(host="127.0.0.1", port=PORT, virtual_hosts=(host,))]


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    try:
        serve(make_ports, workers=WORKERS, on_ready=lambda addresses: print(json.dumps(addresses), flush=True))
    except ConfigurationError as error:
        sys.exit(f"refused: {error}")
