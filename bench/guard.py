"""What a decision of the guard costs beyond the bare application: CPU in one process, over ASGI.

    .venv/bin/python bench/guard.py            # half a minute; writes bench/guard.md
    .venv/bin/python bench/guard.py --check    # exit 1 if a goal is missed by more than half

Warm: the token was seen before, on a kept connection.  Cold: each token is new, and its ES256 signature is verified.
Ours: cold without what OpenSSL takes for that signature, measured before and after in the same run, so that a slow hour
of the machine is seen for what it is.  The bare application is called between, for as long; of five runs the median
counts.
"""

import argparse
import asyncio
import gc
import json
import platform
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc.jwk import KeySet

from certbound.core.certificate import PeerCertificate, read_certificate
from certbound.core.confirmation import confirm
from certbound.core.signing import SigningKey, sign_jwt
from certbound.resource import FixedKeys, Guard, ProtectedResource
from certbound.tls.facts import EXTENSION, ConnectionFacts
from certbound.trust.authority import self_signed

API, ISSUER = "https://api.example", "https://as.example"
WARM, COLD = 20_000, 2_000
RUNS = 5
GOALS = {"warm": 15.0, "cold": 120.0, "ours": 40.0}
RESULTS = Path(__file__).with_name("guard.md")

Application = Callable[[Any, Any, Any], Awaitable[None]]


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """The application: an answer and nothing else."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


class Sent:
    """Counts the answers that were 200: nothing is measured that was refused."""

    def __init__(self) -> None:
        self.good = 0

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start" and message["status"] == 200:
            self.good += 1


async def receive() -> Any:
    """Nobody reads a body."""
    return {"type": "http.request", "body": b"", "more_body": False}


async def cost(app: Application, scopes: list[dict[str, Any]]) -> float:
    """Microseconds of CPU for each of `scopes`."""
    sent = Sent()
    gc.collect()  # what others left is not ours
    begun = time.process_time()
    for scope in scopes:
        await app(scope, receive, sent)
    used = time.process_time() - begun
    if sent.good != len(scopes):
        raise SystemExit(f"only {sent.good} of {len(scopes)} requests passed; what was measured is no decision")
    return used * 1e6 / len(scopes)


class Requests:
    """An issuer, a certificate, and requests with tokens bound to it."""

    def __init__(self) -> None:
        self.key = SigningKey.generate()
        certificate = read_certificate(self_signed("CN=client").der)
        self.cnf = confirm(certificate)
        facts = ConnectionFacts(
            peer_certificate=PeerCertificate(certificate, ()), tls_version="TLSv1.3", cipher="TLS_AES_128_GCM_SHA256",
            group="x25519", asks_for_certificate=True,
        )  # fmt: skip
        self.extensions = {EXTENSION: facts}

    def guard(self) -> Guard:
        """One that has seen nothing."""
        keys = FixedKeys(KeySet.import_key_set({"keys": [self.key.public_jwk()]}))
        return Guard(bare, ProtectedResource(API, issuer=ISSUER, scopes={"read"}, keys=keys))

    def scope(self, number: int) -> dict[str, Any]:
        """A request as a server hands it over, its token the one with this number."""
        now = int(time.time())
        token = sign_jwt(
            {
                "iss": ISSUER, "aud": API, "sub": "client", "client_id": "client", "iat": now, "exp": now + 3600,
                "jti": f"{number:032d}", "scope": "read write", "cnf": self.cnf,
            }, self.key, "at+jwt",
        )  # fmt: skip
        headers = [
            (b"host", b"api.example"), (b"user-agent", b"bench"), (b"accept", b"*/*"),
            (b"authorization", b"Bearer " + token.encode()),
        ]  # fmt: skip
        return {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "path": "/accounts",
            "raw_path": b"/accounts", "query_string": b"", "scheme": "https", "headers": headers,
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 443), "state": {}, "extensions": self.extensions,
        }  # fmt: skip


def signature_alone() -> float:
    """Microseconds of CPU for one ES256 verification by OpenSSL, each of other bytes."""
    key, how = ec.generate_private_key(ec.SECP256R1()), ec.ECDSA(hashes.SHA256())
    signed = [(key.sign(data, how), data) for data in (number.to_bytes(400, "big") for number in range(COLD))]
    public = key.public_key()
    begun = time.process_time()
    for signature, data in signed:
        public.verify(signature, data, how)
    return (time.process_time() - begun) * 1e6 / COLD


async def measure() -> dict[str, list[float]]:
    """Costs beyond the bare application, by run."""
    requests = Requests()
    one = requests.scope(0)
    # As in a worker of `certbound run`: what is there at the start is not looked through again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)
    found: dict[str, list[float]] = {"bare": [], "warm": [], "cold": [], "ours": [], "signature": []}
    for run in range(RUNS):
        guard = requests.guard()
        await cost(guard, [one] * 100)
        without = await cost(bare, [one] * WARM)
        warm = await cost(guard, [one] * WARM)
        before = signature_alone()
        cold = await cost(requests.guard(), [requests.scope(run * COLD + each) for each in range(COLD)])
        signature = (before + signature_alone()) / 2
        found["bare"].append(without)
        found["warm"].append(warm - without)
        found["cold"].append(cold - without)
        found["ours"].append(cold - without - signature)
        found["signature"].append(signature)
    return found


def report(found: dict[str, list[float]]) -> str:
    """The page."""
    own, alone = statistics.median(found["bare"]), statistics.median(found["signature"])
    rows = [
        f"| {name} | {statistics.median(runs):.1f} | {min(runs):.1f}–{max(runs):.1f} | ≤ {goal:g} |"
        for name, goal in GOALS.items()
        for runs in [found[name]]
    ]
    return "\n".join([
        "# The cost of a decision", "",
        "CPU µs for each request beyond the bare ASGI application, in one process: the median of five runs, the least",
        "and the most. Warm: the token was seen before. Cold: each token is new, ES256 is verified. Ours: cold without",
        "that verification by OpenSSL, which is measured before and after.",
        "", "| | CPU µs | runs | goal |", "|---|---|---|---|", *rows, "",
        f"One ES256 verification by OpenSSL alone, here: {alone:.1f} µs. The bare application itself: {own:.2f}",
        "µs. Garbage is collected as in a worker of `certbound run`.", "",
        f"Python {platform.python_version()}, {platform.machine()}.", "",
    ])  # fmt: skip


def main() -> int:
    """Measures, writes, and judges."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--check", action="store_true", help="exit 1 if a goal is missed by half; writes nothing")
    given = parser.parse_args()
    found = asyncio.run(measure())
    page = report(found)
    sys.stdout.write(page + json.dumps(found) + "\n" if given.check else page)
    if not given.check:
        RESULTS.write_text(page, encoding="utf-8")
    missed = [name for name, goal in GOALS.items() if statistics.median(found[name]) > goal * 1.5]
    return 1 if given.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
