"""certbound.trust.material: what of all that was sent is looked at (R5)."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from certbound.core.certificate import PeerCertificate
from certbound.trust.anchors import Anchors
from certbound.trust.authority import Authority, Issued, self_signed
from certbound.trust.material import MAX_BYTES, MAX_FAILURES, MAX_SENT, anchored, authorities_in, is_authority
from certificates import TODAY, anchors, der, peer, read

KEY = ec.generate_private_key(ec.SECP256R1())
ROOT = Authority.create("R", now=TODAY)
MIDDLE = ROOT.subordinate("M", now=TODAY)
LEAF = MIDDLE.issue("CN=a", now=TODAY, key=KEY)


def sent(*behind: Issued | Authority | bytes) -> list[bytes]:
    return [each.der for each in authorities_in(peer(LEAF, *behind))]


def let_through(trusted: Anchors, *offered: Authority) -> list[bytes]:
    return [each.der for each in anchored([read(each) for each in offered], trusted)]


def test_authorities_are_of_use() -> None:
    """In the order sent; leaves, and what is no certificate, are not."""
    assert sent() == []
    assert sent(MIDDLE, ROOT) == [der(MIDDLE), der(ROOT)]
    assert sent(LEAF, b"garbage", b"", MIDDLE, self_signed("CN=b", now=TODAY)) == [der(MIDDLE)]


@pytest.mark.parametrize(
    "key", [lambda: rsa.generate_private_key(65537, 1024), lambda: ec.generate_private_key(ec.SECP256K1())]
)
def test_authorities_with_weak_keys_are_of_no_use(key: object) -> None:
    """Nobody asks who signed them."""
    weak = Authority.create("W", now=TODAY, key=key())  # type: ignore[operator]
    assert sent(weak) == []


def test_so_many_certificates() -> None:
    """Those behind are as good as not sent."""
    assert sent(*[b"junk"] * (MAX_SENT - 1), MIDDLE) == [der(MIDDLE)]
    assert sent(*[b"junk"] * MAX_SENT, MIDDLE) == []


def test_so_many_bytes() -> None:
    """The leaf's count too."""
    room = MAX_BYTES - len(LEAF.der) - len(der(MIDDLE))
    assert sent(bytes(room), MIDDLE) == [der(MIDDLE)]
    assert sent(bytes(room + 1), MIDDLE) == []
    assert authorities_in(PeerCertificate(read(LEAF), (bytes(MAX_BYTES), der(MIDDLE)))) == []


def test_what_an_anchor_stands_behind() -> None:
    """In whatever order it was sent, and through those that are configured."""
    below = Authority.create("S", now=TODAY)
    chain = [ROOT.subordinate("A", now=TODAY)]
    for name in "BC":
        chain.append(chain[-1].subordinate(name, now=TODAY))
    assert set(let_through(anchors(ROOT), *chain[::-1], below)) == set(map(der, chain))
    assert let_through(anchors(below), *chain) == []
    configured = anchors(below, intermediates=[chain[0]])
    assert set(let_through(configured, *chain)) == set(map(der, chain))


def test_only_so_many_signatures_of_others_are_tried() -> None:
    """One that names the key that signed it is not kept waiting by others of the same name."""
    crowd = [Authority.create("R", now=TODAY) for _ in range(MAX_FAILURES)]
    assert let_through(anchors(*crowd, ROOT), MIDDLE) == [der(MIDDLE)]
    impostors = [each.subordinate("M", now=TODAY) for each in crowd]
    assert let_through(anchors(ROOT), *impostors, MIDDLE) == []
    assert let_through(anchors(ROOT), *impostors[1:], MIDDLE) == [der(MIDDLE)]


def test_who_says_that_it_is_an_authority() -> None:
    """Only basicConstraints do."""
    assert is_authority(read(ROOT))
    assert not is_authority(read(LEAF))
