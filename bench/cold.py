"""The cost of a first verdict: what certbound does once for a certificate it has never seen, in CPU µs.

    .venv/bin/python bench/cold.py [--certificates 200] [--json]

Every certificate is used once, so nothing can be remembered; one is spent beforehand, on what a process does once.
Medians.  The handshake is not part of it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ParamSpec, TypeVar

import pki
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from certbound.core.authentication import Accepted, authenticate
from certbound.core.certificate import Certificate, PeerCertificate, read_certificate
from certbound.core.clients import Client, Method, read_client
from certbound.core.confirmation import confirm
from certbound.core.credentials import Presented
from certbound.core.proofs import Sources, TrustedChain
from certbound.core.revoked import NOTHING_REVOKED, RevocationMode
from certbound.core.signing import SigningKey
from certbound.core.subject import match_subject
from certbound.core.tokens import sign
from certbound.core.well_known import AccessToken
from certbound.trust.anchors import Anchors
from certbound.trust.chains import verify_chain
from certbound.trust.fetch import Fetcher
from certbound.trust.published import PublishedNowhere
from certbound.trust.revocation import Places, Revocation, make_revocation
from certbound.trust.verifier import Trust

P = ParamSpec("P")
T = TypeVar("T")

READ = "read the certificate"
MATCH = "match the subject"
CHAIN = "verify the chain to the anchor"
ASK = "ask a revocation list of 100 entries (soft)"
SIGN = "encode and sign the token (ES256)"
WHOLE = "the whole: read, authenticate, sign; revocation off"
WHOLE_SOFT = "the whole; revocation soft"


ACCEPTED = Accepted(methods=frozenset(Method), issuer="https://localhost:8443")


class Uses:
    """Nothing here counts once."""

    async def use(self, purpose: str, value: str, *, until: float, now: float) -> bool:
        return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--certificates", type=int, default=200, help="how many certificates to try")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    costs = measure(options.certificates)
    if options.json:
        print(json.dumps(costs))
    else:
        print("\n".join(f"{cost:8.1f} µs  {step}" for step, cost in costs.items()))


def measure(count: int) -> dict[str, float]:
    """The median cost of each step in CPU µs."""
    now = time.time()
    client_metadata = {"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": pki.DNS_NAME}
    client = read_client("pki", client_metadata)
    assert client.subject
    key = SigningKey.generate()
    costs: dict[str, list[float]] = {step: [] for step in (READ, MATCH, CHAIN, ASK, SIGN, WHOLE, WHOLE_SOFT)}
    with TemporaryDirectory() as folder:
        anchors, ders, crl = make_certificates(Path(folder), 3 * (count + 1))
        revocation = lists_in(crl)
    trust, soft = Trust(anchors), Trust(anchors, issuers=revocation)
    for part, whole, whole_soft in zip(ders[::3], ders[1::3], ders[2::3], strict=True):
        leaf = timed(costs[READ], read_certificate, part)
        timed(costs[MATCH], match_subject, leaf, client.subject)
        chain = timed(costs[CHAIN], verify_chain, PeerCertificate(leaf), anchors, now)
        timed(costs[ASK], ask, revocation, chain, now)
        timed(costs[SIGN], sign, claims(leaf, now), key)
        timed(costs[WHOLE], issue, whole, client, trust, key, now)
        timed(costs[WHOLE_SOFT], issue, whole_soft, client, soft, key, now)
    return {step: statistics.median(found[1:]) for step, found in costs.items()}


def issue(der: bytes, client: Client, trust: Trust, key: SigningKey, now: float) -> AccessToken:
    """What happens between a new certificate and its first token."""
    peer = PeerCertificate(read_certificate(der))
    sources = Sources(chains=trust, published=PublishedNowhere(), uses=Uses())
    presented = Presented(client.client_id)
    proven = completed(
        authenticate(client, presented, peer, accepted=ACCEPTED, sources=sources, revoked=NOTHING_REVOKED, now=now)
    )
    assert proven.certificate is not None
    return sign(claims(proven.certificate, now), key)


def lists_in(crl: Path) -> Revocation:
    """What a server in mode `soft` knows of this one list."""
    return make_revocation(
        RevocationMode.SOFT, Places(files=(crl,)), Fetcher(), max_age=3600, max_crl_bytes=1 << 24, clock=time.time
    )


def ask(revocation: Revocation, chain: TrustedChain, now: float) -> TrustedChain:
    """The question behind every chain that was never asked about."""
    return completed(revocation.require_unrevoked(chain, now))


def completed(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns that waits for nothing, though it may let others have their turn."""
    try:
        while coroutine.send(None) is None:
            pass
    except StopIteration as end:
        result: T = end.value
        return result
    raise RuntimeError("it waits for something")


def timed(costs: list[float], step: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Runs `step` once and notes its CPU time in µs."""
    began = time.thread_time_ns()
    result = step(*arguments, **named)
    costs.append((time.thread_time_ns() - began) / 1000)
    return result


def make_certificates(folder: Path, count: int) -> tuple[Anchors, list[bytes], Path]:
    """A CA as the only anchor, certificates it issued for the one registered name, and its revocation list."""
    ca = pki.issue(folder, "ca", "Bench client CA")
    names: list[x509.GeneralName] = [x509.DNSName(pki.DNS_NAME)]
    issued = (pki.issue(folder, "client", "client", issuer=ca, names=names) for _ in range(count))
    ders = [each.certificate.public_bytes(Encoding.DER) for each in issued]
    return Anchors((read_certificate(ca.certificate.public_bytes(Encoding.DER)),)), ders, pki.publish_crl(folder, ca)


def claims(leaf: Certificate, now: float) -> dict[str, object]:
    """What a token says, bound to `leaf`."""
    return {
        "iss": "https://localhost:8443",
        "sub": "pki",
        "aud": "https://api.example",
        "client_id": "pki",
        "iat": int(now),
        "exp": int(now) + 300,
        "jti": "0123456789abcdef012345",
        "scope": "api",
        "cnf": confirm(leaf),
    }


if __name__ == "__main__":
    main()
