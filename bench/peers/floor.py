"""The floor: the least that uvicorn and uvloop can do for this job.

    floor.py PORT PKI_FOLDER [opaque]

A bare ASGI application on the standard library's TLS.  The certificate is read and hashed once for each connection;
each request parses the form, compares the name, and signs a JWT.  No framework, no store, no limits, no log.
With `opaque`, tokens are random and kept in a dict, where introspection finds them; a revocation is in an SQLite file
and on the disk before it is answered, those that come while one is written together with the next.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import ssl
import sys
import time
from base64 import urlsafe_b64encode
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs

import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

PORT, PKI = int(sys.argv[1]), Path(sys.argv[2])
CLIENTS = {"pki": ("client.example", {"api"}), "api": ("other.example", set[str]())}
KEPT: dict[str, dict[str, Any]] | None = {} if "opaque" in sys.argv else None
ALGORITHM = ec.ECDSA(hashes.SHA256())
KEY = cast("ec.EllipticCurvePrivateKey", load_pem_private_key((PKI / "sign.pem").read_bytes(), None))


def compact(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def base64url(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")


HEADER = base64url(b'{"alg":"ES256","typ":"at+jwt","kid":"sig1"}') + b"."


class CertificateProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with the names and the thumbprint of the peer's certificate in the scope."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        der = transport.get_extra_info("ssl_object").getpeercert(True)
        self.peer = (dns_names(der), base64url(sha256(der).digest()).decode()) if der else ([], "")

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self.scope["peer"] = self.peer  # type: ignore[typeddict-unknown-key]


def dns_names(der: bytes) -> list[str]:
    try:
        names = x509.load_der_x509_certificate(der).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return names.value.get_values_for_type(x509.DNSName)


async def app(scope: Any, receive: Any, send: Any) -> None:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    names, thumbprint = scope["peer"]
    status, reply = await ENDPOINTS[scope["path"]](names, thumbprint, body)
    headers = [
        (b"content-type", b"application/json"),
        (b"cache-control", b"no-store"),
        (b"content-length", b"%d" % len(reply)),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": reply})


Reply = tuple[int, bytes]
REFUSED = 401, b'{"error":"invalid_client"}'


async def give(names: list[str], thumbprint: str, body: bytes) -> Reply:
    form = parse_qs(body.decode(), strict_parsing=True)
    client_id = form["client_id"][0]
    name, allowed = CLIENTS.get(client_id, (None, set()))
    if name not in names or form["grant_type"][0] != "client_credentials":
        return REFUSED
    scope = form["scope"][0]
    if not set(scope.split()) <= allowed:
        return 400, b'{"error":"invalid_scope"}'
    token = sign(client_id, scope, thumbprint)
    reply = {"access_token": token, "token_type": "Bearer", "expires_in": 300, "scope": scope}
    return 200, compact(reply)


async def introspect(names: list[str], _: str, body: bytes) -> Reply:
    form = parse_qs(body.decode(), strict_parsing=True)
    if name_of(form["client_id"][0]) not in names or KEPT is None:
        return REFUSED
    claims = KEPT.get(form["token"][0])
    if claims is None or claims["exp"] <= time.time():
        return 200, b'{"active":false}'
    return 200, compact({"active": True, "token_type": "Bearer", **claims})


async def revoke(names: list[str], _: str, body: bytes) -> Reply:
    form = parse_qs(body.decode(), strict_parsing=True)
    if DISK is None or name_of(form["client_id"][0]) not in names or KEPT is None:
        return REFUSED
    token = form["token"][0]
    if KEPT.get(token, {}).get("client_id") == form["client_id"][0]:
        await DISK.write(token)
        KEPT.pop(token, None)
    return 200, b""


def name_of(client_id: str) -> str | None:
    return CLIENTS[client_id][0] if client_id in CLIENTS else None


class Disk:
    """An SQLite file, written by a thread."""

    def __init__(self) -> None:
        self.waiting: list[tuple[str, asyncio.Future[None]]] = []
        self.writing: asyncio.Task[None] | None = None
        self.thread = ThreadPoolExecutor(1)
        self.database = sqlite3.connect("floor.sqlite", isolation_level=None, check_same_thread=False)
        for statement in (
            "PRAGMA journal_mode = WAL",
            "PRAGMA synchronous = FULL",
            "CREATE TABLE IF NOT EXISTS revoked (token TEXT PRIMARY KEY)",
        ):
            self.database.execute(statement)

    async def write(self, token: str) -> None:
        done = asyncio.get_running_loop().create_future()
        self.waiting.append((token, done))
        if self.writing is None or self.writing.done():
            self.writing = asyncio.create_task(self.work())
        await done

    async def work(self) -> None:
        while self.waiting:
            some, self.waiting = self.waiting, []
            await asyncio.get_running_loop().run_in_executor(self.thread, self.commit, [(each,) for each, _ in some])
            for _, done in some:
                done.set_result(None)

    def commit(self, rows: list[tuple[str]]) -> None:
        self.database.execute("BEGIN IMMEDIATE")
        self.database.executemany("INSERT OR IGNORE INTO revoked VALUES (?)", rows)
        self.database.execute("COMMIT")


DISK = None if KEPT is None else Disk()


def sign(client_id: str, scope: str, thumbprint: str) -> str:
    now = int(time.time())
    claims = {
        "iss": f"https://localhost:{PORT}",
        "sub": client_id,
        "client_id": client_id,
        "aud": "https://api.example",
        "scope": scope,
        "iat": now,
        "exp": now + 300,
        "jti": base64url(os.urandom(24)).decode(),
        "cnf": {"x5t#S256": thumbprint},
    }
    if KEPT is not None:
        token = base64url(os.urandom(32)).decode()
        KEPT[token] = {**claims, "exp": now + 3600}
        return token
    signed = HEADER + base64url(compact(claims))
    r, s = decode_dss_signature(KEY.sign(signed, ALGORITHM))
    return (signed + b"." + base64url(r.to_bytes(32, "big") + s.to_bytes(32, "big"))).decode()


ENDPOINTS = {"/token": give, "/introspect": introspect, "/revoke": revoke}


def main() -> None:
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=PORT,
        http=CertificateProtocol,
        loop="uvloop",
        lifespan="off",
        log_level="warning",
        access_log=False,
        backlog=1024,
        timeout_keep_alive=60,
        ssl_certfile=PKI / "server.crt",
        ssl_keyfile=PKI / "server.key",
        ssl_ca_certs=str(PKI / "client_ca.crt"),
        ssl_cert_reqs=ssl.CERT_OPTIONAL,
    )
    config.load()
    assert config.ssl is not None
    config.ssl.num_tickets = 0  # two tickets that carry a certificate cost a third of a handshake
    uvicorn.Server(config).run()


main()
