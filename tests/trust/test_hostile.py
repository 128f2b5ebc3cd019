"""Chains made to cost, or to break something: each is refused, with nothing but `Untrusted`, within 15 ms of CPU.

The bound of a handshake is 24 KiB by default and 256 KiB at most; these are as large as they may ever be.
"""

import contextlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, partial
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from certbound.core.certificate import PeerCertificate, read_certificate
from certbound.core.errors import Untrusted
from certbound.trust.anchors import Anchors
from certbound.trust.authority import digest_for
from certbound.trust.chains import verify_chain
from certificates import NOW, TODAY, der, tlv
from speed import least

KEY = ec.generate_private_key(ec.SECP256R1())
COSTLY = ec.generate_private_key(ec.SECP521R1())
MOST_BYTES = 256 * 1024
LIMIT = 0.015


def signed(
    subject: str, issuer: str, *, signer: Any = COSTLY, key: Any = COSTLY, is_ca: bool = True, units: int = 0,
    names: int = 0, constraints: int = 0, number: int = 0, more: tuple[tuple[x509.ExtensionType, bool], ...] = (),
) -> bytes:  # fmt: skip
    """A certificate that looks as it should."""
    public = key if isinstance(key, rsa.RSAPublicKey) else key.public_key()
    usage = x509.KeyUsage(not is_ca, False, False, False, False, is_ca, is_ca, False, False)
    builder = (
        x509.CertificateBuilder()
        .subject_name(named(subject, units))
        .issuer_name(named(issuer, 0))
        .public_key(public)
        .serial_number(1000 + number)
        .not_valid_before(TODAY - timedelta(hours=1))
        .not_valid_after(TODAY + timedelta(days=9))
        .add_extension(x509.BasicConstraints(is_ca, None), True)
        .add_extension(usage, True)
        .add_extension(x509.SubjectKeyIdentifier(b"k" * 20), False)
        .add_extension(x509.AuthorityKeyIdentifier(b"k" * 20, None, None), False)
    )
    if names:
        listed = [x509.DNSName(f"{number % 10}") for number in range(names)]
        builder = builder.add_extension(x509.SubjectAlternativeName(listed), False)
    if constraints:
        subtrees = [x509.DNSName(f"n{number}.example") for number in range(constraints)]
        builder = builder.add_extension(x509.NameConstraints(subtrees, None), True)
    for extension, critical in more:
        builder = builder.add_extension(extension, critical)
    return der(builder.sign(signer, digest_for(signer)))


def named(name: str, units: int) -> x509.Name:
    attributes = [x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]
    return x509.Name(
        [*attributes, *(x509.NameAttribute(x509.NameOID.ORGANIZATIONAL_UNIT_NAME, "u") for _ in range(units))]
    )


EDWARDS = ed25519.Ed25519PrivateKey.generate()
# The second one makes every refusal of the first judge a question to the second.
ANCHORS = {
    kind: Anchors((read_certificate(signed("R", "R", signer=key, key=key)),))
    for kind, key in (("P-521", ec.generate_private_key(ec.SECP521R1())), ("Ed25519", EDWARDS))
}


@dataclass(frozen=True)
class Hostile:
    leaf: bytes
    sent: Sequence[bytes] = ()


def forged(**facts: Any) -> bytes:
    return signed("leaf", facts.pop("issuer", "a"), key=KEY, is_ca=False, **facts)


def crowd(count: int, subject: str, issuer: str, **facts: Any) -> list[bytes]:
    return [signed(subject, issuer, number=number, **facts) for number in range(count)]


def enormous() -> rsa.RSAPublicKey:
    return rsa.RSAPublicNumbers(65537, (1 << 16383) + 12345).public_key()


CHAINS: dict[str, Callable[[], Hostile]] = {
    "of one name under the anchor": lambda: Hostile(forged(), crowd(40, "a", "R")),
    "of the anchor's name": lambda: Hostile(forged(issuer="R"), crowd(40, "R", "R")),
    "of one name that sign themselves": lambda: Hostile(forged(), crowd(40, "a", "a")),
    "a mesh of six names": lambda: Hostile(
        forged(), [signed(x, y) for x, y in itertools.product(("a", "b", "c", "d", "e", "R"), repeat=2)]
    ),
    "a ladder of forty": lambda: Hostile(
        forged(), [signed(x, y) for x, y in itertools.pairwise(["a", *map(str, range(39)), "R"])]
    ),
    "a hundred certificates": lambda: Hostile(forged(), crowd(100, "a", "R")),
    "a hundred of no use": lambda: Hostile(forged(), [b"\x30\x00", b"garbage"] * 50),
    "RSA of 16,384 bits": lambda: Hostile(forged(), crowd(40, "a", "R", key=enormous())),
    "4,000 parts, of one name under the anchor": lambda: Hostile(forged(units=200), crowd(40, "a", "R", units=100)),
    "15,000 names in the leaf": lambda: Hostile(forged(names=15_000)),
    "3,500 parts of the leaf's subject": lambda: Hostile(forged(units=3_500)),
    "4,000 parts in authorities": lambda: Hostile(forged(), crowd(4, "a", "R", units=1_000)),
    "15,000 names in an authority": lambda: Hostile(forged(), crowd(3, "a", "R", names=15_000)),
    "2,000 constraints and 250 names": lambda: Hostile(forged(names=250), crowd(1, "a", "R", constraints=2_000)),
    "250 constraints and 250 names": lambda: Hostile(forged(names=250), crowd(9, "a", "R", constraints=250)),
}


@cache
def made(chain: str) -> Hostile:
    return CHAINS[chain]()


@pytest.mark.parametrize("kind", ANCHORS)
@pytest.mark.parametrize("chain", CHAINS)
def test_a_hostile_chain_has_a_bounded_cost(chain: str, kind: str) -> None:
    """Whoever sends it to whomever, and whatever the judges think of the anchor."""
    hostile = made(chain)
    presented = PeerCertificate(read_certificate(hostile.leaf), tuple(hostile.sent))
    assert sum(map(len, (hostile.leaf, *hostile.sent))) < MOST_BYTES
    trusted = ANCHORS[kind]

    def judge() -> None:
        with pytest.raises(Untrusted):
            verify_chain(presented, trusted, NOW)

    assert least(judge) < LIMIT


def nested(depth: int) -> bytes:
    """A value in a value in a value."""
    value = b"\x05\x00"
    for _ in range(depth):
        value = tlv(0x30, value)
    return value


def extension(arc: int, value: bytes) -> x509.UnrecognizedExtension:
    return x509.UnrecognizedExtension(x509.ObjectIdentifier(f"2.5.29.{arc}"), value)


HUGE = tlv(0x02, b"\x7f" * 4000)
SUBTREE = tlv(0x30, tlv(0xA4, x509.Name.from_rfc4514_string("CN=leaf").public_bytes()) + tlv(0x81, b"\x7f" * 4000))
ODD = {
    "nested constraints": (extension(30, nested(4000)), True),
    "nested policies": (extension(32, nested(4000)), False),
    "nested qualifiers": (extension(32, tlv(0x30, tlv(0x30, bytes.fromhex("06022a03") + nested(3000)))), False),
    "nested mappings": (extension(33, nested(4000)), True),
    "constraints of a huge distance": (extension(30, tlv(0x30, tlv(0xA0, SUBTREE))), True),
    "huge policy constraints": (extension(36, tlv(0x30, tlv(0x80, b"\x7f" * 4000))), True),
    "huge inhibitAnyPolicy": (extension(54, HUGE), True),
    "unreadable distribution points": (extension(31, b"\x30\x03\x02"), True),
    "nested unknown": (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), nested(4000)), False),
    "policies mapped in a circle": (
        extension(33, tlv(0x30, bytes.fromhex("300806022a0306022a04" + "300806022a0406022a03"))), True
    ),
}  # fmt: skip


@pytest.mark.parametrize("of_leaf", [False, True], ids=["authority", "leaf"])
@pytest.mark.parametrize("odd", ODD)
def test_what_an_authority_in_our_trust_may_certify(odd: str, *, of_leaf: bool) -> None:
    """However odd, of an authority that only the second judge can judge, it costs little and breaks nothing."""
    middle = signed("M", "R", signer=EDWARDS, key=KEY, more=() if of_leaf else (ODD[odd],))
    end = signed("leaf", "M", signer=KEY, key=KEY, is_ca=False, more=(ODD[odd],) if of_leaf else ())
    presented, trusted = PeerCertificate(read_certificate(end), (middle,)), ANCHORS["Ed25519"]

    def judge() -> None:
        with contextlib.suppress(Untrusted):
            verify_chain(presented, trusted, NOW)

    assert least(judge) < LIMIT


@pytest.mark.parametrize(("constraints", "names"), [(60, 33), (250, 7), (15, 135)])
def test_many_constraints_that_are_compared(constraints: int, names: int) -> None:
    """As many as the second judge may have to compare."""
    middle = signed("M", "R", signer=EDWARDS, key=KEY, constraints=constraints)
    end = signed("leaf", "M", signer=KEY, key=KEY, is_ca=False, more=((x509.SubjectAlternativeName(
        [x509.DNSName(f"x.n{number % constraints}.example") for number in range(names)]), False),))  # fmt: skip
    presented, trusted = PeerCertificate(read_certificate(end), (middle,)), ANCHORS["Ed25519"]
    assert least(lambda: verify_chain(presented, trusted, NOW)) < LIMIT


def test_many_certified_authorities_of_one_name_and_a_leaf_with_a_long_one() -> None:
    """The leaf's own names are written down again for each issuer that is tried, so they have a bound."""
    root = ec.generate_private_key(ec.SECP256R1())
    trusted = Anchors((read_certificate(signed("R", "R", signer=root, key=root)),))
    sent = [signed("M", "R", signer=root, key=KEY, number=number) for number in range(30)]
    stranger = ec.generate_private_key(ec.SECP256R1())
    for units, refusal in ((40, "no path"), (700, "a name of more than 4096 bytes")):
        end = signed("leaf", "M", signer=stranger, key=KEY, is_ca=False, units=units)
        presented = PeerCertificate(read_certificate(end), tuple(sent))
        judge = partial(_refused, presented, trusted, refusal)
        assert least(judge) < LIMIT


def _refused(presented: PeerCertificate, trusted: Anchors, refusal: str) -> None:
    with pytest.raises(Untrusted, match=refusal):
        verify_chain(presented, trusted, NOW)
