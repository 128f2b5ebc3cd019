"""certbound.trust.verifier: which anchors decide about a client, and verdicts that are remembered (R5, R32)."""

from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from certbound.core.authentication import Sources, authenticate
from certbound.core.clients import Client, read_client
from certbound.core.errors import InvalidClient, Untrusted
from certbound.core.revoked import NOTHING_REVOKED
from certbound.trust import verifier
from certbound.trust.anchors import Anchors
from certbound.trust.authority import Authority, Issued
from certbound.trust.published import PublishedNowhere
from certbound.trust.verifier import Trust
from certificates import DAY, NOW, TODAY, anchors, peer

LEAF_KEY = ec.generate_private_key(ec.SECP256R1())
STRANGER = Authority.create("Stranger", now=TODAY)


def leaf(authority: Authority, **facts: Any) -> Issued:
    """A client certificate of `authority` for a.example."""
    return authority.issue("CN=a", **{"dns": ["a.example"], "now": TODAY, "key": LEAF_KEY, **facts})


def sources(trust: Trust) -> Sources:
    """`trust`, and nobody who publishes."""
    return Sources(chains=trust, published=PublishedNowhere())


def client(version: int = 1, client_id: str = "a") -> Client:
    """A registered client, at one state of it."""
    metadata = {"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "a.example"}
    return read_client(client_id, metadata, version=version)


async def test_a_remembered_verdict_is_the_same(authority: Authority) -> None:
    """The same question again is answered from memory."""
    trust = Trust(anchors(authority))
    presented = peer(leaf(authority))
    assert await trust.verify_chain(presented, client(), NOW) is await trust.verify_chain(presented, client(), NOW + 1)


async def test_a_verdict_ends_with_the_certificate(authority: Authority) -> None:
    """A remembered verdict is not used a second beyond the leaf's `notAfter`."""
    trust = Trust(anchors(authority))
    presented = peer(leaf(authority))
    await trust.verify_chain(presented, client(), NOW)
    assert await trust.verify_chain(presented, client(), presented.leaf.not_after)
    with pytest.raises(Untrusted):
        await trust.verify_chain(presented, client(), presented.leaf.not_after + 1)


@pytest.mark.parametrize("short", ["intermediate", "root"])
async def test_a_verdict_ends_with_any_certificate_on_the_path(short: str) -> None:
    """A remembered verdict ends when an intermediate or the root does, long before the leaf."""
    root = Authority.create("R", now=TODAY, days=10 if short == "root" else 3650)
    middle = root.subordinate("M", now=TODAY, days=10 if short == "intermediate" else 1000)
    trust = Trust(anchors(root))
    presented = peer(leaf(middle), middle)
    assert (await trust.verify_chain(presented, client(), NOW)).valid_until == NOW + 10 * DAY
    with pytest.raises(Untrusted):
        await trust.verify_chain(presented, client(), NOW + 10 * DAY + 1)


async def test_a_verdict_is_not_used_before_it_was_given(authority: Authority) -> None:
    """A clock that goes back finds no verdict of the future."""
    trust = Trust(anchors(authority))
    presented = peer(leaf(authority))
    await trust.verify_chain(presented, client(), NOW)
    with pytest.raises(Untrusted):
        await trust.verify_chain(presented, client(), NOW - 10 * DAY)


async def test_replaced_anchors_forget_everything(authority: Authority) -> None:
    """When an anchor is taken away, the next question is answered without it (R32)."""
    trust = Trust(anchors(authority, STRANGER))
    presented = peer(leaf(authority))
    await trust.verify_chain(presented, client(), NOW)
    trust.replace(anchors(STRANGER))
    assert trust.anchors == anchors(STRANGER)
    with pytest.raises(Untrusted):
        await trust.verify_chain(presented, client(), NOW)
    trust.replace(Anchors())
    with pytest.raises(Untrusted):
        await trust.verify_chain(presented, client(), NOW)


async def test_a_changed_client_is_asked_anew(authority: Authority) -> None:
    """A verdict belongs to one state of one client: another version or another client has none."""
    trust = Trust(anchors(authority))
    presented = peer(leaf(authority))
    first = await trust.verify_chain(presented, client(), NOW)
    assert await trust.verify_chain(presented, client(version=2), NOW) is not first
    assert await trust.verify_chain(presented, client(client_id="b"), NOW) is not first


async def test_a_failure_is_not_remembered(authority: Authority) -> None:
    """A certificate that is not yet valid or came without its issuer, is asked anew."""
    trust = Trust(anchors(authority))
    middle = authority.subordinate("M", now=TODAY)
    end = leaf(middle)
    with pytest.raises(Untrusted):
        await trust.verify_chain(peer(end), client(), NOW)
    assert await trust.verify_chain(peer(end, middle), client(), NOW)


async def test_memory_is_bounded(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """More questions than are remembered push out the oldest, and the memory does not grow."""
    monkeypatch.setattr(verifier, "REMEMBERED_VERDICTS", 3)
    trust = Trust(anchors(authority))
    presented = peer(leaf(authority))
    first = await trust.verify_chain(presented, client(0), NOW)
    for version in range(1, 6):
        await trust.verify_chain(presented, client(version), NOW)
        assert len(trust._verdicts) <= 3
    assert await trust.verify_chain(presented, client(0), NOW) is not first


async def test_a_remembered_chain_does_not_spare_the_other_checks(authority: Authority) -> None:
    """With the verdict remembered, a client that is disabled or known by another name is refused all the same."""
    trust = Trust(anchors(authority))
    presented = peer(leaf(authority))
    assert await authenticate(client(), presented, sources=sources(trust), revoked=NOTHING_REVOKED, now=NOW)
    other = {"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "b.example"}
    for changed in (replace(client(), enabled=False), read_client("a", other, version=1)):
        with pytest.raises(InvalidClient):
            await authenticate(changed, presented, sources=sources(trust), revoked=NOTHING_REVOKED, now=NOW)
    with pytest.raises(InvalidClient):
        await authenticate(
            client(), presented, sources=sources(trust), revoked=NOTHING_REVOKED, now=presented.leaf.not_after + 1
        )


async def test_a_renewed_certificate(authority: Authority) -> None:
    """A new certificate of the same client, trusted, needs no change here (R8)."""
    trust = Trust(anchors(authority))
    for key in ("P-256", "RSA-2048"):
        assert await authenticate(
            client(), peer(leaf(authority, key=key)), sources=sources(trust), revoked=NOTHING_REVOKED, now=NOW
        )
