"""certbound.trust.chains: a path to a trust anchor, or `Untrusted` (R5, R8, R32, R33)."""

import itertools
import math
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from certbound.core.certificate import PeerCertificate, read_certificate
from certbound.core.errors import Untrusted
from certbound.trust import chains
from certbound.trust.anchors import Anchors
from certbound.trust.authority import Authority, Issued, self_signed
from certbound.trust.chains import verify_chain
from certbound.trust.material import MAX_SENT
from certificates import DAY, NOW, TODAY, VERSION, anchors, der, peer, read, tlv, with_field
from speed import least

LEAF_KEY = ec.generate_private_key(ec.SECP256R1())
STRANGER = Authority.create("Stranger", now=TODAY)


def leaf(authority: Authority, **facts: Any) -> Issued:
    """A client certificate of `authority` for a.example."""
    return authority.issue("CN=a", **{"dns": ["a.example"], "now": TODAY, "key": LEAF_KEY, **facts})


def named(issuer: Authority, *, subject: str = "", **names: Any) -> Issued:
    """A client certificate with these names and no others."""
    return issuer.issue(x509.Name.from_rfc4514_string(subject), now=TODAY, key=LEAF_KEY, **names)


def certificate(
    subject: str, issuer: Authority, *, key: Any = None, extensions: tuple[tuple[x509.ExtensionType, bool], ...],
    digest: hashes.HashAlgorithm | None = None,
) -> Issued:  # fmt: skip
    """A certificate with exactly these extensions."""
    key = key or LEAF_KEY
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)]))
        .issuer_name(issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(TODAY - timedelta(hours=1))
        .not_valid_after(TODAY + timedelta(days=90))
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.private_key.public_key()), False)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return Issued(builder.sign(issuer.private_key, digest or hashes.SHA256()), key)


def authority_under(
    issuer: Authority, name: str, *extensions: tuple[x509.ExtensionType, bool], **facts: Any
) -> Authority:
    """An intermediate with these extensions beside those that make it a CA."""
    key = facts.pop("key", None) or ec.generate_private_key(ec.SECP256R1())
    path_length = facts.pop("path_length", None)
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    standing = (
        (x509.BasicConstraints(ca=True, path_length=path_length), True),
        (usage, True),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
    )
    made = certificate(name, issuer, key=key, extensions=(*standing, *extensions), **facts)
    return Authority(made.certificate, key)


def refused(presented: PeerCertificate, trusted: Anchors, now: float = NOW) -> str:
    """The reason why there is no path."""
    with pytest.raises(Untrusted) as refusal:
        verify_chain(presented, trusted, now)
    return str(refusal.value)


def test_a_leaf_under_an_anchor(authority: Authority) -> None:
    """A leaf issued by an anchor is trusted until the earliest end on its path."""
    presented = peer(leaf(authority))
    proof = verify_chain(presented, anchors(authority), NOW)
    assert proof.certificate is presented.leaf
    assert proof.anchor.der == der(authority)
    assert proof.valid_until == presented.leaf.not_after


def test_no_anchor() -> None:
    """Without an anchor nobody is trusted, not even by the system's roots (R32)."""
    assert not Anchors()
    assert "no trust anchor" in refused(peer(leaf(STRANGER), STRANGER), Anchors())
    assert "no trust anchor" in refused(peer(leaf(STRANGER), STRANGER), Anchors(intermediates=(read(STRANGER),)))


def test_another_authority(authority: Authority) -> None:
    """A leaf of an authority that is no anchor is refused, though it sends its root along."""
    refused(peer(leaf(STRANGER), STRANGER), anchors(authority))


def test_a_self_signed_leaf(authority: Authority) -> None:
    """A self-signed certificate has no path to an anchor."""
    refused(peer(self_signed("CN=a", dns=["a.example"], now=TODAY)), anchors(authority))


def test_anchors_are_keys_and_not_names(authority: Authority) -> None:
    """An authority with an anchor's name and another key is not that anchor (R32)."""
    impostor = Authority.create("Unit Test Root", now=TODAY)
    assert impostor.certificate.subject == authority.certificate.subject
    refused(peer(leaf(impostor), impostor), anchors(authority))
    assert verify_chain(peer(leaf(authority), impostor), anchors(impostor, authority), NOW).anchor.der == der(authority)


@pytest.mark.parametrize("usage", ["client", "both", "none"])
def test_extended_key_usage_that_is_accepted(authority: Authority, usage: Any) -> None:
    """Extended key usage is absent or contains clientAuth."""
    assert verify_chain(peer(leaf(authority, usage=usage)), anchors(authority), NOW)


@pytest.mark.parametrize("critical", [True, False])
@pytest.mark.parametrize(
    "purposes",
    [
        [ExtendedKeyUsageOID.SERVER_AUTH],
        [ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE],
        [ExtendedKeyUsageOID.OCSP_SIGNING],
    ],
    ids=["server", "any", "OCSP"],
)
def test_extended_key_usage_that_is_refused(
    authority: Authority, purposes: list[x509.ObjectIdentifier], critical: bool
) -> None:
    """Extended key usage without clientAuth, `anyExtendedKeyUsage` included, is refused."""
    extension = (x509.ExtendedKeyUsage(purposes), critical)
    refused(peer(leaf(authority, usage="none", extensions=[extension])), anchors(authority))


def test_no_alternative_name(authority: Authority) -> None:
    """A client known by its DN needs no subject alternative name."""
    assert verify_chain(peer(leaf(authority, dns=[])), anchors(authority), NOW)


def test_names_of_every_kind(authority: Authority) -> None:
    """Alternative names of any kind do not stand in the way of a path."""
    names = {"uris": ["urn:a:b"], "ips": ["192.0.2.1", "::1"], "emails": ["a@b.example"], "dns": ["a.example"]}
    assert verify_chain(peer(leaf(authority, **names)), anchors(authority), NOW)


@pytest.mark.parametrize("now", [NOW - DAY, NOW + 91 * DAY], ids=["not yet valid", "expired"])
def test_a_leaf_out_of_its_time(authority: Authority, now: float) -> None:
    """A leaf that is not yet valid, or no longer, is refused."""
    refused(peer(leaf(authority)), anchors(authority), now)


@pytest.mark.parametrize("now", [NOW - DAY, NOW + 31 * DAY], ids=["not yet valid", "expired"])
def test_an_intermediate_out_of_its_time(now: float) -> None:
    """An intermediate that is not yet valid, or no longer, is refused, though leaf and root are valid."""
    root = Authority.create("R", now=TODAY - timedelta(days=5))
    middle = root.subordinate("M", now=TODAY, days=30)
    end = leaf(middle, now=TODAY - timedelta(days=3))
    assert verify_chain(peer(end, middle), anchors(root), NOW)
    refused(peer(end, middle), anchors(root), now)


def test_an_expired_root() -> None:
    """An anchor past its own end is no anchor."""
    root = Authority.create("R", now=TODAY, days=30)
    end = leaf(root)
    assert verify_chain(peer(end), anchors(root), NOW).valid_until == read(root).not_after
    refused(peer(end), anchors(root), NOW + 31 * DAY)


def test_an_intermediate_that_is_sent(authority: Authority) -> None:
    """An intermediate sent behind the leaf leads to the anchor, among others in any order (RFC 8446 section 4.4.2)."""
    middle = authority.subordinate("M", now=TODAY)
    assert verify_chain(peer(leaf(middle), middle), anchors(authority), NOW)
    assert verify_chain(peer(leaf(middle), STRANGER, authority, middle), anchors(authority), NOW)


def test_an_intermediate_that_is_configured(authority: Authority) -> None:
    """A leaf sent alone finds its intermediate in the configuration, where it is no anchor itself (R5)."""
    middle = authority.subordinate("M", now=TODAY)
    end = peer(leaf(middle))
    refused(end, anchors(authority))
    assert verify_chain(end, anchors(authority, intermediates=[middle]), NOW).anchor.der == der(authority)
    refused(end, anchors(STRANGER, intermediates=[middle]))


def _version_6() -> bytes:
    return with_field(self_signed("CN=v6", now=TODAY), VERSION, b"\xa0\x03\x02\x01\x05")


@pytest.mark.parametrize(
    "behind",
    [b"", b"garbage", b"\x30\x00", b"\x30\x82\xff\xff", der(self_signed("CN=x", now=TODAY))[:-4], _version_6(),
     der(STRANGER), der(self_signed("CN=x", now=TODAY)) + b"\x00"],
    ids=["empty", "text", "empty sequence", "cut off", "shortened", "version 6", "stranger", "byte behind"],
)  # fmt: skip
def test_what_stands_behind_the_leaf_does_no_harm(authority: Authority, behind: bytes) -> None:
    """Certificates behind the leaf that are unrelated or unreadable change nothing, before or after a useful one."""
    middle = authority.subordinate("M", now=TODAY)
    assert verify_chain(peer(leaf(authority), behind), anchors(authority), NOW)
    assert verify_chain(peer(leaf(middle), behind, middle, behind), anchors(authority), NOW)
    refused(peer(leaf(STRANGER), behind), anchors(authority))


def test_a_victims_leaf_behind_ones_own(authority: Authority) -> None:
    """A victim's good leaf behind a stranger's makes the stranger nobody (CVE-2023-2422)."""
    victim = leaf(authority)
    refused(peer(leaf(STRANGER, key="P-256"), victim), anchors(authority))
    own = authority.issue("CN=b", dns=["b.example"], now=TODAY)
    assert verify_chain(peer(own, victim), anchors(authority), NOW).certificate.der == own.der


def test_a_leaf_is_no_issuer(authority: Authority) -> None:
    """A certificate signed by a client's own key is refused, though the client's certificate is trusted."""
    client = leaf(authority)
    pretender = Authority(client.certificate, client.private_key)
    refused(peer(leaf(pretender, key="P-256"), client), anchors(authority))


def test_a_ca_certificate_as_leaf(authority: Authority) -> None:
    """A CA certificate is no client certificate."""
    middle = authority.subordinate("M", now=TODAY)
    refused(PeerCertificate(read(middle)), anchors(authority))
    refused(PeerCertificate(read(authority)), anchors(authority))


def test_a_client_certificate_that_is_the_anchor(authority: Authority) -> None:
    """One client's certificate may be put in place of an authority, and vouches for itself alone."""
    end = leaf(authority)
    pinned = Anchors((read(end),))
    assert verify_chain(peer(end), pinned, NOW).anchor.der == end.der
    refused(peer(leaf(authority)), pinned)
    refused(peer(leaf(Authority(end.certificate, LEAF_KEY)), end), pinned)
    server = leaf(authority, usage="server")
    refused(peer(server), Anchors((read(server),)))


def test_path_length(authority: Authority) -> None:
    """An intermediate below one that may issue leaves only is refused."""
    first = authority.subordinate("First", now=TODAY)
    second = first.subordinate("Second", now=TODAY)
    refused(peer(leaf(second), second, first), anchors(authority))


def test_depth(authority: Authority) -> None:
    """A path is of a bounded length, however many intermediates might make it."""
    path = [authority]
    for number in range(chains.MAX_DEPTH + 1):
        path.append(authority_under(path[-1], f"M{number}"))
    assert verify_chain(peer(leaf(path[-2]), *path[1:-1]), anchors(authority), NOW)
    refused(peer(leaf(path[-1]), *path[1:]), anchors(authority))


def test_only_so_many_certificates_are_looked_at(authority: Authority) -> None:
    """An intermediate behind more certificates than are looked at is not found: cost has a bound."""
    middle = authority.subordinate("M", now=TODAY)
    junk = [der(STRANGER)] * MAX_SENT
    refused(peer(leaf(middle), *junk, middle), anchors(authority))
    assert verify_chain(peer(leaf(middle), *junk[1:], middle), anchors(authority), NOW)


def test_name_constraints(authority: Authority) -> None:
    """A name outside what its issuer may certify is refused; one within is not (CVE-2025-61727)."""
    within = x509.NameConstraints([x509.DNSName("a.example")], None)
    middle = authority_under(authority, "M", (within, True))
    assert verify_chain(peer(leaf(middle), middle), anchors(authority), NOW)
    assert verify_chain(peer(leaf(middle, dns=["sub.a.example"]), middle), anchors(authority), NOW)
    refused(peer(leaf(middle, dns=["b.example"]), middle), anchors(authority))
    refused(peer(leaf(middle, dns=["a.example", "b.example"]), middle), anchors(authority))
    without = x509.NameConstraints(None, [x509.DNSName("a.example")])
    other = authority_under(authority, "O", (without, True))
    refused(peer(leaf(other), other), anchors(authority))


def _directory(text: str) -> x509.DirectoryName:
    return x509.DirectoryName(x509.Name.from_rfc4514_string(text))


PERMITTED, EXCLUDED = (
    (lambda *names: x509.NameConstraints(names, None)),
    (lambda *names: x509.NameConstraints(None, names)),
)


@pytest.mark.parametrize(
    ("constraints", "within", "outside"),
    [
        (PERMITTED(_directory("O=A")), {"subject": "CN=x,O=A"}, {"subject": "CN=x,O=B"}),
        (PERMITTED(_directory("O=A")), {"subject": "CN=x,O=a"}, {"subject": "O=A,CN=x"}),
        (EXCLUDED(_directory("O=A")), {"subject": "CN=x,O=B"}, {"subject": "CN=x,O=a"}),
        (PERMITTED(x509.RFC822Name("a.example")), {"emails": ["x@a.example"]}, {"emails": ["x@b.example"]}),
        (PERMITTED(x509.RFC822Name("a.example")), {"subject": "CN=x"},
         {"subject": "1.2.840.113549.1.9.1=x@b.example,CN=x"}),
        (PERMITTED(x509.UniformResourceIdentifier("a.example")), {"uris": ["spiffe://a.example/w"]},
         {"uris": ["spiffe://b.example/w"]}),
        (PERMITTED(_directory("O=A"), x509.DNSName("a.example")), {"subject": "CN=x,O=A", "dns": ["x.a.example"]},
         {"subject": "CN=x,O=A", "dns": ["b.example"]}),
        (PERMITTED(x509.DNSName("a.example")), {"dns": ["*.a.example"]}, {"dns": ["*.example"]}),
        (x509.NameConstraints([_directory("O=A")], [x509.IPAddress(ip_network("0.0.0.0/0"))]),
         {"subject": "CN=x,O=A"}, {"subject": "CN=x,O=A", "ips": ["192.0.2.9"]}),
        (PERMITTED(x509.RFC822Name("a.example")), {"emails": ["x@a.example"]},
         {"subject": "1.2.840.113549.1.9.1=x@b.example", "dns": ["a.example"]}),
    ],
    ids=["name", "name in small letters", "excluded name", "mailbox", "mailbox in the subject", "URI", "name and DNS",
         "wildcard", "name and no IP", "mailbox beside another name"],
)  # fmt: skip
def test_every_kind_of_name_constraint(
    authority: Authority, constraints: x509.NameConstraints, within: Any, outside: Any
) -> None:
    """What confines an authority is applied, and where it is not critical, refused (RFC 5280 section 4.2.1.10)."""
    middle = authority_under(authority, "M", (constraints, True))
    assert verify_chain(peer(named(middle, **within), middle), anchors(authority), NOW)
    refused(peer(named(middle, **outside), middle), anchors(authority))
    lax = authority_under(authority, "M", (constraints, False))
    refused(peer(named(lax, **outside), lax), anchors(authority))
    assert "4.2.1.10" in refused(peer(named(lax, **within), lax), anchors(authority))


def test_constraints_of_an_anchor() -> None:
    """An authority that is the anchor itself is confined as any other."""
    root = Authority.create("R", now=TODAY)
    anchor = authority_under(root, "A", (PERMITTED(_directory("O=A")), True))
    assert verify_chain(peer(named(anchor, subject="CN=x,O=A")), anchors(anchor), NOW)
    refused(peer(named(anchor, subject="CN=x,O=B")), anchors(anchor))


@pytest.mark.parametrize(
    ("constraint", "names"),
    [
        (x509.DNSName(".a.example"), {"dns": ["x.a.example"]}),
        (x509.DNSName("a.example"), {"dns": ["*.a.example"]}),
        (x509.IPAddress(ip_network("192.0.2.0/24")), {"ips": ["192.0.2.9"]}),
        (x509.OtherName(x509.ObjectIdentifier("1.2.3"), b"\x05\x00"), {}),
    ],
    ids=["leading period", "wildcard", "address", "other name"],
)
def test_constraints_that_the_second_judge_does_not_apply(
    authority: Authority, constraint: x509.GeneralName, names: dict[str, Any]
) -> None:
    """Beside a constraint on the subject, what is left is refused and never skipped."""
    middle = authority_under(authority, "M", (PERMITTED(_directory("O=A"), constraint), True))
    refused(peer(named(middle, subject="CN=x,O=A", **names), middle), anchors(authority))


@pytest.mark.parametrize("count", [257, 2000])
def test_too_many_name_constraints(authority: Authority, count: int) -> None:
    """More than a judge may have to compare are refused."""
    crowd = [x509.DNSName(f"n{number}.example") for number in range(count)]
    middle = authority_under(authority, "M", (PERMITTED(*crowd), True))
    assert "name constraints" in refused(peer(named(middle, dns=["n1.example"]), middle), anchors(authority))
    middle = authority_under(authority, "M", (PERMITTED(*crowd[:100], _directory("O=A")), True))
    names = [f"n{number % 100}.example" for number in range(200)]
    assert "too much" in refused(peer(named(middle, subject="CN=x,O=A", dns=names), middle), anchors(authority))


def test_an_unknown_critical_extension(authority: Authority) -> None:
    """A critical extension that nobody here understands is refused."""
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4.5"), b"\x05\x00")
    refused(peer(leaf(authority, extensions=[(unknown, True)])), anchors(authority))
    assert verify_chain(peer(leaf(authority, extensions=[(unknown, False)])), anchors(authority), NOW)


def test_sha1_signatures(authority: Authority) -> None:
    """A certificate signed with SHA-1 is refused."""
    # No library signs with SHA-1 any more: the signature is made by hand over a TBS that says so.
    made = certificate("a", authority, extensions=((x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False),))
    sha1 = tlv(0x30, bytes.fromhex("06072a8648ce3d0401"))
    tbs = made.certificate.tbs_certificate_bytes.replace(bytes.fromhex("300a06082a8648ce3d040302"), sha1, 1)
    content = tlv(0x30, tbs[4:])
    signature = authority.private_key.sign(content, ec.ECDSA(hashes.SHA1()))
    weak = tlv(0x30, content + sha1 + tlv(0x03, b"\x00" + signature))
    presented = PeerCertificate(read_certificate(weak))
    assert presented.leaf.parsed.signature_algorithm_oid._name == "ecdsa-with-SHA1"
    refused(presented, anchors(authority))


def test_an_anchor_whose_key_no_library_minds() -> None:
    """Also what the judges would let pass is held against our table of keys: an exponent that costs too much."""
    numbers = rsa.generate_private_key(65537, 2048).private_numbers()
    totient = (numbers.p - 1) * (numbers.q - 1)
    exponent = next(each for each in itertools.count(2**33 + 1, 2) if math.gcd(each, totient) == 1)
    secret = pow(exponent, -1, totient)
    costly = rsa.RSAPrivateNumbers(
        numbers.p, numbers.q, secret, secret % (numbers.p - 1), secret % (numbers.q - 1), numbers.iqmp,
        rsa.RSAPublicNumbers(exponent, numbers.p * numbers.q),
    ).private_key()  # fmt: skip
    authority = Authority.create("R", key=costly, now=TODAY)
    with pytest.raises(Untrusted, match="exponent"):
        verify_chain(peer(leaf(authority)), anchors(authority), NOW)


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(lambda: rsa.generate_private_key(65537, 1024), id="RSA-1024"),
        pytest.param(lambda: ec.generate_private_key(ec.SECP256K1()), id="secp256k1"),
        pytest.param(lambda: ec.generate_private_key(ec.SECP224R1()), id="P-224"),
    ],
)
def test_weak_keys_on_the_path(key: Any) -> None:
    """A weak key of the leaf, of an intermediate, or of the anchor breaks the path."""
    root = Authority.create("R", now=TODAY)
    refused(peer(leaf(root, key=key())), anchors(root))
    middle = root.subordinate("M", key=key(), now=TODAY)
    refused(peer(leaf(middle), middle), anchors(root))
    weak = Authority.create("W", key=key(), now=TODAY)
    refused(peer(leaf(weak)), anchors(weak))


@pytest.mark.parametrize("kind", ["P-384", "P-521", "RSA-2048", "ML-DSA-44"])
def test_kinds_of_authority_keys(kind: Any) -> None:
    """An authority with any of these keys can be an anchor."""
    root = Authority.create("R", key=kind, now=TODAY)
    assert verify_chain(peer(leaf(root)), anchors(root), NOW)


@pytest.mark.parametrize(
    "kind", ["P-384", "P-521", "RSA-3072", "Ed25519", "Ed448", "ML-DSA-44", "ML-DSA-65", "ML-DSA-87"]
)
def test_kinds_of_leaf_keys(authority: Authority, kind: Any) -> None:
    """A leaf may have any key that is strong."""
    assert verify_chain(peer(leaf(authority, key=kind)), anchors(authority), NOW)


def test_a_certified_client_cannot_buy_time(authority: Authority) -> None:
    """Costly certificates behind one's own leaf, which is no CA, are not looked at: at most 10 ms.

    Were the leaf taken for an issuer, RSA keys of 16,384 bits would keep the path builder busy for half a second.
    """
    own = authority.issue("CN=E", now=TODAY, key=LEAF_KEY)
    evil = Authority(own.certificate, LEAF_KEY)
    key = ec.generate_private_key(ec.SECP521R1())
    first = authority_under(evil, "E", key=key)
    loops = [authority_under(first, "E", key=key) for _ in range(6)]
    hostile, trusted = peer(leaf(first), own, first, *loops), anchors(authority)
    assert least(lambda: refused(hostile, trusted)) < 0.010
