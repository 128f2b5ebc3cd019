"""Headers in which proxies forward certificates, of every contract.

Rule 1: what is read is a certificate or none; everything else is refused, and soon.
Rule 2: whoever it is, the proxy would have written for him what is read as the same.
"""

import contextlib
from collections.abc import Mapping
from random import Random

from certbound.core.certificate import PeerCertificate
from certbound.testing.forwarded import forwarded_headers
from certbound.tls.forwarded.contract import MAX_BYTES, BadForwarded
from certbound.tls.forwarded.contracts import CONTRACTS, contract_of
from fuzz import corpus

Made = tuple[str, dict[str, bytes]]


class Forwarded:
    """What a proxy, or somebody through it, sends."""

    name = "forwarded"
    at_least: Mapping[str, float] = {"certificate": 0.1, "refused": 0.4}
    most_cpu = 0.020

    def make(self, rng: Random) -> Made:
        contract = rng.choice(_NAMES)
        values = _honest(rng, contract)
        for _ in range(rng.choice((0, 1, 1, 2, 4))):
            name = rng.choice(contract_of(contract).headers)
            values[name] = _changed(rng, values.get(name, b""))[:MAX_BYTES]
        if values and rng.random() < 0.05:
            del values[rng.choice(sorted(values))]
        return contract, values

    def show(self, made: Made) -> tuple[bytes, ...]:
        return tuple(f"{made[0]} {name}: ".encode() + value for name, value in made[1].items())

    def feed(self, made: Made) -> tuple[bool, PeerCertificate | None]:
        contract = contract_of(made[0])
        for name, value in made[1].items():
            with contextlib.suppress(BadForwarded):
                contract.may_be_joined(name, value)
        try:
            return True, contract.read(made[1])
        except BadForwarded:
            return False, None

    def check(self, made: Made, fed: tuple[bool, PeerCertificate | None], rng: Random) -> set[str]:
        is_read, found = fed
        if found is None:
            return {"none"} if is_read else {"refused"}
        contract = contract_of(made[0])
        written = forwarded_headers(made[0], found.leaf, found.chain)
        assert contract.read(_encoded(written)) == found, "it would have been written otherwise"
        return {"certificate"}


def _honest(rng: Random, contract: str) -> dict[str, bytes]:
    ders = [rng.choice(_DERS) for _ in range(rng.choice((0, 1, 1, 1, 1, 2, 3, 12)))]
    return _encoded(forwarded_headers(contract, ders[0] if ders else None, ders[1:]))


def _encoded(headers: Mapping[str, str]) -> dict[str, bytes]:
    return {name: value.encode("ascii") for name, value in headers.items()}


def _changed(rng: Random, value: bytes) -> bytes:
    start = rng.randrange(len(value) + 1)
    end = start + rng.choice((0, 0, 1, 1, 4, 64, 2000))
    match rng.randrange(6):
        case 0:
            put = rng.choice(list(_honest(rng, rng.choice(_NAMES)).values()) or [b""])
        case 1:
            put = rng.randbytes(rng.choice((1, 2, 60)))
        case _:
            put = rng.choice(_PARTS) * rng.choice((1, 1, 1, 2, 3000))
    return value[:start] + put + value[end:]


_NAMES = tuple(CONTRACTS)
_DERS = tuple(
    corpus.assemble(each.tree.encoded, corpus.ROOT.algorithm.encoded, corpus.ROOT.sign(each.tree.encoded))
    for each in corpus.seeds_of(corpus.ROOT)
    if len(each.tree.encoded) < 2000
)
_PARTS = (
    b"", b",", b";", b'"', b'\\"', b"\\", b":", b"=", b"%", b"%0A", b"%00", b"%2", b"+", b"/", b" ", b"\t", b"\0",
    b"\xff", b"A", b"NONE", b"SUCCESS", b"FAILED:", b"true", b"false", b"0", b"(null)", b"Hash=", b"Cert=", b'Cert="',
    b'";Chain="', b"DNS=a", b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----",
    b"-----BEGIN%20CERTIFICATE-----",
)  # fmt: skip
