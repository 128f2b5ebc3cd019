"""certbound.trust.second_judge: what `cryptography` cannot judge, by OpenSSL and pyhanko together (R5, R33)."""

import subprocess
import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.name import _ASN1Type as StringType
from cryptography.x509.oid import ExtendedKeyUsageOID

from certbound.core.errors import Untrusted
from certbound.trust.anchors import Anchors
from certbound.trust.authority import Authority, Issued, digest_for
from certbound.trust.chains import MAX_DEPTH, verify_chain
from certificates import DAY, NOW, TODAY, anchors, peer, tlv

KEY = ec.generate_private_key(ec.SECP256R1())
Extensions = Sequence[tuple[x509.ExtensionType, bool]]


def named(text: str, kind: StringType = StringType.UTF8String) -> x509.Name:
    """`O=Acme, CN=text`, in strings of this type."""
    types = (x509.NameOID.ORGANIZATION_NAME, "Acme"), (x509.NameOID.COMMON_NAME, text)
    return x509.Name([x509.NameAttribute(oid, value, kind) for oid, value in types])


def certify(
    issuer: Authority | None, subject: x509.Name, *, issuer_name: x509.Name | None = None, key: Any = None,
    is_ca: bool = False, path_length: int | None = None, days: int = 30, extensions: Extensions = (),
) -> Authority:  # fmt: skip
    """A certificate of `issuer`, or of itself, that may spell the issuer's name in its own way."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    signer = key if issuer is None else issuer.private_key
    name = issuer_name or (subject if issuer is None else issuer.certificate.subject)
    usage = x509.KeyUsage(not is_ca, False, False, False, False, is_ca, is_ca, False, False)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(TODAY - timedelta(days=1))
        .not_valid_after(TODAY + timedelta(days=days))
        .add_extension(x509.BasicConstraints(is_ca, path_length), True)
        .add_extension(usage, True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return Authority(builder.sign(signer, digest_for(signer)), key)


ROOT = certify(None, named("Root"), is_ca=True)
OTHERWISE = named("ROOT", StringType.PrintableString)
"""The root's name as another tool would write it."""


def client(issuer: Authority, **facts: Any) -> Issued:
    """A client certificate; the issuer's name as `issuer_name` spells it."""
    made = certify(issuer, facts.pop("subject", named("client")), key=KEY, **facts)
    return Issued(made.certificate, KEY)


def refused(end: Issued | Authority, *behind: Authority, trusted: Anchors | None = None, now: float = NOW) -> str:
    presented = peer(Issued(end.certificate, None), *behind)
    with pytest.raises(Untrusted) as refusal:
        verify_chain(presented, trusted or anchors(ROOT), now)
    return str(refusal.value)


@pytest.mark.parametrize(
    "name",
    [
        named("Root", StringType.PrintableString),
        named("Root", StringType.BMPString),
        named("ROOT"),
        named("  Root "),
    ],
    ids=["PrintableString", "BMPString", "in capitals", "with spaces"],
)
def test_an_issuer_spelled_otherwise(name: x509.Name) -> None:
    """An issuer's name in another string type, case or spacing is the same name (RFC 5280 section 7.1)."""
    end = client(ROOT, issuer_name=name)
    proof = verify_chain(peer(end), anchors(ROOT), NOW)
    assert proof.anchor.parsed == ROOT.certificate
    assert proof.valid_until == proof.certificate.not_after


def test_another_name_or_key() -> None:
    """A name that is not the same leads nowhere, nor does the same name with another key (R32)."""
    refused(client(ROOT, issuer_name=named("Rout")))
    impostor = certify(None, named("Root"), is_ca=True)
    refused(client(impostor, issuer_name=OTHERWISE), impostor)


@pytest.mark.parametrize("kind", ["Ed25519", "Ed448"])
def test_authorities_with_edwards_keys(kind: Any) -> None:
    """As anchor, and as intermediate under it."""
    root = Authority.create("R", key=kind, now=TODAY)
    middle = root.subordinate("M", key=kind, now=TODAY)
    end, below = root.issue("CN=a", key=KEY, now=TODAY), middle.issue("CN=b", key=KEY, now=TODAY)
    assert verify_chain(peer(end), anchors(root), NOW)
    assert verify_chain(peer(below, middle), anchors(root), NOW).anchor.parsed == root.certificate
    assert verify_chain(peer(below), anchors(root, intermediates=[middle]), NOW)
    refused(below, trusted=anchors(root))
    refused(below, middle)


def test_rollover() -> None:
    """A new key of an authority, certified by the old one under the same name, and the other way round."""
    new = certify(None, named("Root"), is_ca=True)
    new_by_old = certify(ROOT, named("Root"), key=new.private_key, is_ca=True)
    old_by_new = certify(new, named("Root"), key=ROOT.private_key, is_ca=True)
    assert verify_chain(peer(client(new), new_by_old), anchors(ROOT), NOW)
    assert verify_chain(peer(client(ROOT), old_by_new), anchors(new), NOW)
    assert verify_chain(peer(client(new)), anchors(ROOT, new), NOW)
    spelled = certify(ROOT, named("Root"), key=new.private_key, issuer_name=OTHERWISE, is_ca=True)
    assert verify_chain(peer(client(new, issuer_name=OTHERWISE), spelled), anchors(ROOT), NOW)


def test_a_self_issued_intermediate_counts_not_against_the_path_length() -> None:
    """It takes none of the room that an authority above it leaves (RFC 5280 section 4.2.1.9)."""
    root = certify(None, named("P"), is_ca=True, path_length=0)
    again = certify(root, named("P"), is_ca=True, path_length=0)
    assert verify_chain(peer(client(again), again), anchors(root), NOW)
    below = certify(again, named("Q"), is_ca=True)
    refused(client(below), again, below, trusted=anchors(root))


def test_cross_certificates() -> None:
    """An authority under two roots is trusted through either, however its issuer is spelled."""
    other = certify(None, named("Other"), is_ca=True)
    middle = certify(ROOT, named("Middle"), is_ca=True, issuer_name=OTHERWISE)
    crossed = certify(other, named("Middle"), key=middle.private_key, is_ca=True)
    end = client(middle)
    for trusted in (ROOT, other):
        found = verify_chain(peer(end, middle, crossed), anchors(trusted), NOW)
        assert found.anchor.parsed == trusted.certificate


def test_an_intermediate_that_is_the_anchor() -> None:
    """An anchor need not be a root."""
    middle = certify(ROOT, named("Middle"), is_ca=True)
    spelled = client(middle, issuer_name=named("MIDDLE"))
    assert verify_chain(peer(spelled), anchors(middle), NOW).anchor.parsed == middle.certificate


PURPOSES = {
    "server": [ExtendedKeyUsageOID.SERVER_AUTH],
    "any": [ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE],
    "OCSP": [ExtendedKeyUsageOID.OCSP_SIGNING],
}


@pytest.mark.parametrize("purpose", PURPOSES)
def test_extended_key_usage(purpose: str) -> None:
    """A leaf's contains clientAuth or is absent, here as there; an authority's may be anyExtendedKeyUsage."""
    usage = [(x509.ExtendedKeyUsage(PURPOSES[purpose]), False)]
    good = [(x509.ExtendedKeyUsage([*PURPOSES[purpose], ExtendedKeyUsageOID.CLIENT_AUTH]), False)]
    assert verify_chain(peer(client(ROOT, issuer_name=OTHERWISE, extensions=good)), anchors(ROOT), NOW)
    assert "clientAuth" in refused(client(ROOT, issuer_name=OTHERWISE, extensions=usage))
    middle = certify(ROOT, named("M"), is_ca=True, issuer_name=OTHERWISE, extensions=usage)
    if purpose == "any":
        assert verify_chain(peer(client(middle), middle), anchors(ROOT), NOW)
    else:
        assert "clientAuth" in refused(client(middle), middle)


@pytest.mark.parametrize("now", [NOW - 2 * DAY, NOW + 31 * DAY], ids=["not yet valid", "expired"])
def test_the_time_is_asked_each_time(now: float) -> None:
    """The store of the anchors is kept, and the time is not."""
    trusted, end = anchors(ROOT), client(ROOT, issuer_name=OTHERWISE)
    assert verify_chain(peer(end), trusted, NOW)
    refused(end, trusted=trusted, now=now)
    assert verify_chain(peer(end), trusted, NOW)


def test_depth() -> None:
    """The bound of intermediates is the same."""
    path = [ROOT]
    for number in range(MAX_DEPTH + 1):
        path.append(certify(path[-1], named(f"M{number}"), is_ca=True))
    assert verify_chain(peer(client(path[-2], issuer_name=named(f"m{MAX_DEPTH - 1}")), *path[1:-1]), anchors(ROOT), NOW)
    assert "at most" in refused(client(path[-1], issuer_name=named(f"m{MAX_DEPTH}")), *path[1:])


def test_what_is_no_client_certificate() -> None:
    """Neither is a CA certificate, nor one with name constraints, nor one under no CA, nor one of an unknown kind."""
    assert "CA" in refused(certify(ROOT, named("M"), issuer_name=OTHERWISE, is_ca=True))
    constraints = [(x509.NameConstraints([x509.DNSName("a.example")], None), True)]
    refused(client(ROOT, issuer_name=OTHERWISE, extensions=constraints))
    unknown = [(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"\x05\x00"), True)]
    refused(client(ROOT, issuer_name=OTHERWISE, extensions=unknown))
    own = client(ROOT)
    refused(client(Authority(own.certificate, KEY), issuer_name=named("CLIENT")), Authority(own.certificate, KEY))


def test_weak_keys_and_digests() -> None:
    """RSA of 1,024 bits, in the leaf or above, and SHA-1."""
    weak = rsa.generate_private_key(65537, 1024)
    refused(certify(ROOT, named("a"), key=weak, issuer_name=OTHERWISE))
    middle = certify(ROOT, named("M"), key=weak, is_ca=True, issuer_name=OTHERWISE)
    refused(client(middle), middle)
    old = client(ROOT, issuer_name=OTHERWISE).certificate
    sha1 = tlv(0x30, bytes.fromhex("06072a8648ce3d0401"))
    content = old.tbs_certificate_bytes.replace(bytes.fromhex("300a06082a8648ce3d040302"), sha1, 1)
    content = tlv(0x30, content[4:])
    signature = ROOT.private_key.sign(content, ec.ECDSA(hashes.SHA1()))
    made = x509.load_der_x509_certificate(tlv(0x30, content + sha1 + tlv(0x03, b"\x00" + signature)))
    refused(Issued(made, KEY))


def test_policies() -> None:
    """A path that must have a policy and has none is refused, though the first judge would pass over it."""
    explicit = (x509.PolicyConstraints(require_explicit_policy=0, inhibit_policy_mapping=None), True)
    policy = (x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("1.2.3.4"), None)]), False)
    middle = certify(ROOT, named("M"), is_ca=True, extensions=[explicit, policy])
    assert verify_chain(peer(client(middle, extensions=[policy]), middle), anchors(ROOT), NOW)
    refused(client(middle), middle)
    lax = certify(ROOT, named("M"), is_ca=True, extensions=[(explicit[0], False), policy])
    refused(client(lax), lax)


def test_a_flipped_bit_in_any_signature() -> None:
    """What OpenSSL found is held against the signatures twice."""
    middle = certify(ROOT, named("M"), is_ca=True, issuer_name=OTHERWISE)
    end = client(middle)
    for position in (0, 1):
        ders = [each.certificate.public_bytes(Encoding.DER) for each in (end, middle)]
        ders[position] = ders[position][:-1] + bytes([ders[position][-1] ^ 1])
        first, second = map(x509.load_der_x509_certificate, ders)
        refused(Issued(first, KEY), Authority(second, None))


MISSING = """
import sys
sys.modules["pyhanko_certvalidator"] = None
sys.path.insert(0, "tests")
from certbound.core.errors import Untrusted
from certbound.trust.authority import Authority
from certbound.trust.chains import verify_chain
from certificates import NOW, TODAY, anchors, peer
for kind in "P-256", "Ed25519":
    root = Authority.create("R", now=TODAY, key=kind)
    try:
        verify_chain(peer(root.issue("CN=a", now=TODAY)), anchors(root), NOW)
        print(kind, "trusted")
    except Untrusted as error:
        print(kind, error)
"""


def test_where_the_second_judge_is_missing() -> None:
    """The first decides alone, and what it cannot judge is refused with what to install."""
    done = subprocess.run([sys.executable, "-c", MISSING], capture_output=True, text=True, check=True, timeout=60)
    first, second = done.stdout.splitlines()
    assert first == "P-256 trusted"
    assert "install certbound[server]" in second
