"""What one answer of `certbound guard` costs, beside bare uvicorn applications that are asked the same.

    .venv/bin/python bench/forward_auth.py [--rounds 3] [--requests 40000] [--connections 16] [--json]

All get the same request over kept-alive connections without TLS, as a proxy opens them: a token that was seen before,
the client's certificate in nginx's headers, the secret, the path.  The bare one says 200 to everybody.  The bare one
that decides does what the question needs and nothing else: secret, certificate, a token that it keeps in a dict,
thumbprint, time, path, five headers; no bound, no rule, no signature.  The guard has two routes.
CPU of the server's process for one request; medians of the rounds.
"""

from __future__ import annotations

import argparse
import hmac
import json
import ssl
import statistics
import subprocess
import sys
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote_to_bytes

import machine
import uvicorn
from joserfc.jwk import KeySet
from measure import Load, Running, free_port, load, stop
from place import GENERATOR, BenchError, build_generator, clean_environment, only_one, status_of
from targets import Target, nothing_to_prepare

from certbound.core.certificate import read_certificate
from certbound.core.confirmation import confirm
from certbound.core.signing import SigningKey
from certbound.resource import FixedKeys, ProtectedResource
from certbound.resource.forward_auth import ForwardAuth
from certbound.testing.forwarded import forwarded_headers
from certbound.tls import PlainPort, serve
from certbound.tls.forwarded.asgi import ForwardedCertificates
from certbound.trust.authority import Authority

RESOURCE, ISSUER, SECRET = "https://api.example", "https://as.example", "5e" * 32
RESULTS = Path(__file__).with_suffix(".md")
KINDS = ("bare uvicorn", "bare, deciding", "certbound guard")


def serve_bare(port: int) -> None:
    """uvicorn, uvloop and httptools as they come."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    _uvicorn(app, port)


def serve_deciding(port: int) -> None:
    """The same, with the least that decides."""
    kept: dict[bytes, dict[str, Any]] = {}

    def claims_of(authorization: bytes) -> dict[str, Any]:
        found = kept.get(authorization)
        if found is None:
            payload = authorization.split(b".")[1]
            found = kept[authorization] = json.loads(urlsafe_b64decode(payload + b"=="))
        return found

    def decide(headers: dict[bytes, bytes]) -> list[tuple[bytes, bytes]] | None:
        if not hmac.compare_digest(headers[b"certbound-proxy-secret"], SECRET.encode()):
            return None
        der = ssl.PEM_cert_to_DER_cert(unquote_to_bytes(headers[b"x-ssl-client-cert"]).decode())
        thumbprint = urlsafe_b64encode(sha256(der).digest()).rstrip(b"=")
        claims = claims_of(headers[b"authorization"])
        path = headers[b"x-original-uri"].partition(b"?")[0]
        is_good = claims["cnf"]["x5t#S256"].encode() == thumbprint and claims["exp"] > time.time()
        if not is_good or not path.startswith(b"/accounts/") or "read" not in claims["scope"].split():
            return None
        return [
            (b"content-length", b"0"), (b"certbound-subject", claims["sub"].encode()),
            (b"certbound-client-id", claims["client_id"].encode()), (b"certbound-scope", claims["scope"].encode()),
            (b"certbound-thumbprint", thumbprint), (b"certbound-issuer", claims["iss"].encode()),
        ]  # fmt: skip

    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope["headers"])
        answer = decide(headers) if b"authorization" in headers else None
        refused = [(b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 200 if answer else 403, "headers": answer or refused})
        await send({"type": "http.response.body", "body": b""})

    _uvicorn(app, port)


def _uvicorn(app: Any, port: int) -> None:
    uvicorn.run(
        app, host="127.0.0.1", port=port, http="httptools", loop="uvloop", lifespan="off", log_level="warning",
        access_log=False, timeout_keep_alive=60,
    )  # fmt: skip


def serve_guard(port: int, keys: Path) -> None:
    """As `certbound guard` serves, but with keys from a file: fetching them is not measured."""

    def make_ports() -> Sequence[PlainPort]:
        known = FixedKeys(KeySet.import_key_set(json.loads(keys.read_text())))
        api = ProtectedResource(RESOURCE, issuer=ISSUER, keys=known)
        asked = ForwardAuth(api, routes={"/accounts": {"read"}, "/payments": {"pay"}})
        app = ForwardedCertificates(asked, contract="nginx", networks=["127.0.0.1"], secrets=[SECRET])
        return [PlainPort(host="127.0.0.1", port=port, app=app)]

    serve(make_ports)


def write_question(folder: Path) -> None:
    """The request, and the keys by which its token is verified."""
    certificate = read_certificate(Authority.create("Bench").issue("CN=client", dns=["client.example"]).der)
    key, now = SigningKey.generate(), int(time.time())
    claims = {
        "iss": ISSUER, "aud": RESOURCE, "sub": "client", "client_id": "client", "iat": now, "exp": now + 86400,
        "jti": "1", "scope": "read write", "cnf": confirm(certificate),
    }  # fmt: skip
    headers = {
        "host": "api.example", "certbound-proxy-secret": SECRET, "x-original-uri": "/accounts/4711?page=2",
        "x-original-method": "GET", "x-forwarded-for": "192.0.2.7", "accept": "*/*",
        "user-agent": "curl/8", **forwarded_headers("nginx", certificate),
        "authorization": f"Bearer {_token(key, claims)}",
    }  # fmt: skip
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    (folder / "request").write_bytes(f"GET /.guard HTTP/1.1\r\n{fields}\r\n".encode())
    (folder / "keys.json").write_text(json.dumps({"keys": [key.public_jwk()]}))


def _token(key: Any, claims: dict[str, Any]) -> str:
    parts = [
        urlsafe_b64encode(json.dumps(each).encode()).rstrip(b"=").decode()
        for each in ({"alg": key.alg, "typ": "at+jwt", "kid": key.kid}, claims)
    ]
    signature = urlsafe_b64encode(key.sign(".".join(parts).encode())).rstrip(b"=").decode()
    return ".".join((*parts, signature))


@contextmanager
def started(kind: str, folder: Path, cores: tuple[int, int]) -> Iterator[Running]:
    """The server on its core."""
    port = free_port()
    command = [sys.executable, __file__, "--serve", kind, str(port), str(folder / "keys.json")]
    with (folder / "server.log").open("wb") as log, machine.on_core(cores[0]):
        process = subprocess.Popen(command, stdout=log, stderr=log, env=clean_environment(), start_new_session=True)
    try:
        _until_it_answers(process, port, kind)
        target = Target(name=kind, prepare=nothing_to_prepare, make=lambda *_: [])
        yield Running(target, process.pid, port, 0.0)
    finally:
        stop(process)


def _until_it_answers(process: subprocess.Popen[bytes], port: int, kind: str) -> None:
    end = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < end:
        try:
            connection = HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/")
            # Who decides says yes to the question alone.
            assert connection.getresponse().status == (200 if kind == KINDS[0] else 403)
        except OSError:
            time.sleep(0.05)
        else:
            connection.close()
            return
    raise BenchError(f"{kind} does not answer")


def measure(kind: str, folder: Path, arguments: argparse.Namespace, cores: tuple[int, int]) -> Load:
    """One life of one server: warm, then measured."""
    with started(kind, folder, cores) as server:
        at = [str(GENERATOR), "-P", "-r", str(folder / "request"), "-e", "", "-p", str(server.port)]
        at += ["-c", str(arguments.connections)]
        load(server, cores, [*at, "-n", "4000"])
        machine.wait_until_quiet(cores, patience=arguments.patience)
        return load(server, cores, [*at, "-n", str(arguments.requests)])


def run(arguments: argparse.Namespace) -> int:
    found: dict[str, list[Load]] = {kind: [] for kind in KINDS}
    cores = machine.two_cores()
    with only_one(), TemporaryDirectory() as place:
        build_generator()
        write_question(Path(place))
        for _ in range(arguments.rounds):
            for kind in KINDS:
                found[kind].append(measure(kind, Path(place), arguments, cores))
    rows = {
        kind: {
            name: round(statistics.median(getattr(each, name) for each in loads), 3)
            for name in ("cpu_us", "rate", "p50_ms", "p99_ms", "others")
        }
        for kind, loads in found.items()
    }
    bare, deciding, ours = (rows[kind]["cpu_us"] for kind in KINDS)
    if arguments.json:
        print(json.dumps({**rows, "ratio": round(ours / bare, 3), "to_deciding": round(ours / deciding, 3)}, indent=2))
        return 0
    page = report(rows, arguments)
    RESULTS.write_text(page)
    print(page)
    return 0


def report(rows: dict[str, dict[str, float]], arguments: argparse.Namespace) -> str:
    """The page."""
    bare, deciding, ours = (rows[kind]["cpu_us"] for kind in KINDS)
    lines = [
        f"| {kind} | {row['cpu_us']:.1f} | {row['cpu_us'] / bare:.2f} | {row['rate']:.0f} | {row['p50_ms']:.2f} | "
        f"{row['p99_ms']:.2f} | {row['others']:.0%} |"
        for kind, row in rows.items()
    ]
    return "\n".join([
        "# An answer of `certbound guard`", "",
        f"Medians of {arguments.rounds} rounds; {arguments.requests} requests each, {arguments.connections} at a time,",
        "kept alive, without TLS, all of them the same request.",
        "The bare one is uvicorn with an application that says 200 to everybody; the one that decides does what the",
        "question needs and nothing else.", "",
        "| server | CPU µs | beside bare | req/s | p50 ms | p99 ms | others |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |", *lines, "",
        f"Goal: at most 1.5 × bare; measured {ours / bare:.2f} ({ours / deciding:.2f} × the one that decides).", "",
    ])  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=40_000)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--patience", type=float, default=20, help="seconds to wait for a quiet machine")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", nargs=3, metavar=("KIND", "PORT", "KEYS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        kind, port, keys = arguments.serve
        serving = (serve_bare, serve_deciding, partial(serve_guard, keys=Path(keys)))
        dict(zip(KINDS, serving, strict=True))[kind](int(port))
        return 0
    return status_of(lambda: run(arguments))


if __name__ == "__main__":
    sys.exit(main())
