"""certbound.tls.forwarded: whatever stands in the headers of a contract, it is a certificate, none, or refused."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from certbound.testing.forwarded import forwarded_headers
from certbound.tls.forwarded import CONTRACTS, BadForwarded, contract_of
from certbound.trust.authority import Authority, self_signed
from certificates import der, peer

ROOT = Authority.create("Root")
LEAVES = [ROOT.issue("CN=client"), self_signed("CN=other", dns=["other.example"])]
CHAINED = {"rfc9440", "haproxy", "envoy", "traefik", "aws-alb", "gcp", "cloudflare"}
PARTS = [
    b"", b",", b";", b'"', b"\\", b":", b"=", b"%", b"%0A", b"%00", b"+", b"/", b" ", b"\0", b"\xff",
    b"NONE", b"SUCCESS", b"true", b"(null)", b"Hash=", b"Cert=", b'Cert="', b"DNS=a",
    b"-----BEGIN CERTIFICATE-----", b"-----END%20CERTIFICATE-----",
]  # fmt: skip
SLOW = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("contract", CONTRACTS)
@SLOW
@given(data=st.data())
def test_nothing_else_comes_of_any_values(contract: str, data: st.DataObject) -> None:
    """And what comes of them is what the proxy would have written for that certificate."""
    made = contract_of(contract)
    values = honest(contract, data.draw(st.sampled_from(LEAVES)), data.draw(st.integers(0, 2)))
    for _ in range(data.draw(st.integers(1, 3))):
        name = data.draw(st.sampled_from(made.headers))
        value = values.get(name, b"")
        start = data.draw(st.integers(0, len(value)))
        end = min(start + data.draw(st.sampled_from([0, 0, 1, 2, 40])), len(value))
        put = data.draw(st.sampled_from(PARTS) | st.binary(max_size=8) | st.sampled_from(list(values.values())))
        values[name] = value[:start] + put + value[end:]
    try:
        found = made.read(values)
    except BadForwarded:
        return
    if found is not None:
        chain = found.chain if contract in CHAINED else ()
        assert made.read(encoded(forwarded_headers(contract, found.leaf, chain))) == found
    for name, value in values.items():
        try:
            made.may_be_joined(name, value)
        except BadForwarded:
            continue


@pytest.mark.parametrize("contract", CONTRACTS)
@SLOW
@given(values=st.dictionaries(st.integers(0, 6), st.binary(max_size=60) | st.sampled_from(PARTS)))
def test_noise_is_never_a_certificate(contract: str, values: dict[int, bytes]) -> None:
    """Only none, or refused."""
    made = contract_of(contract)
    headers = made.headers
    try:
        assert made.read({headers[each % len(headers)]: value for each, value in values.items()}) is None
    except BadForwarded:
        return


@pytest.mark.parametrize("contract", sorted(CHAINED))
@SLOW
@given(leaf=st.sampled_from(LEAVES), others=st.lists(st.sampled_from([*LEAVES, ROOT]), max_size=9))
def test_what_was_written_is_read(contract: str, leaf: Any, others: list[Any]) -> None:
    """Leaf and chain, in their order."""
    headers = forwarded_headers(contract, leaf.certificate, [each.certificate for each in others])
    assert contract_of(contract).read(encoded(headers)) == peer(leaf, *others)


def honest(contract: str, leaf: Any, behind: int) -> dict[str, bytes]:
    return encoded(forwarded_headers(contract, leaf.der, [der(ROOT)] * behind))


def encoded(headers: dict[str, str]) -> dict[str, bytes]:
    return {name: value.encode() for name, value in headers.items()}
