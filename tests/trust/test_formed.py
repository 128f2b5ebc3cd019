"""certbound.trust.formed: the profile of RFC 5280 where no library asks for it (R5)."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from certbound.core.certificate import Certificate
from certbound.core.errors import Untrusted
from certbound.trust.anchors import Anchors
from certbound.trust.chains import verify_chain
from certbound.trust.formed import RULES, Place, require_well_formed
from certificates import NOW, TODAY, general_names, peer, read

KEY = ec.generate_private_key(ec.SECP256R1())
REFERENCE = Path(__file__).parents[2] / "docs/reference/x509.md"
MAILBOX, DNS = 0x81, 0x82


def formed(
    *, is_ca: bool, subject: str = "CN=a", issuer: str = "CN=i", drop: Any = (), **more: tuple[x509.ExtensionType, bool]
) -> Certificate:
    """A certificate in good form, without those of `drop`, and with more."""
    standing = {
        "constraints": (x509.BasicConstraints(is_ca, None), True),
        "key": (x509.SubjectKeyIdentifier(b"a" * 20), False),
        "issuer": (x509.AuthorityKeyIdentifier(b"b" * 20, None, None), False),
    }
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name.from_rfc4514_string(subject) if subject else x509.Name([]))
        .issuer_name(x509.Name.from_rfc4514_string(issuer))
        .public_key(KEY.public_key())
        .serial_number(7)
        .not_valid_before(TODAY)
        .not_valid_after(TODAY + timedelta(days=1))
    )
    for name, (extension, critical) in {**standing, **more}.items():
        if name not in drop:
            builder = builder.add_extension(extension, critical)
    return read(builder.sign(KEY, hashes.SHA256()))


def leaf(**facts: Any) -> Certificate:
    return formed(is_ca=False, **facts)


def authority(**facts: Any) -> Certificate:
    return formed(is_ca=True, **facts)


NAMES = x509.NameConstraints([x509.DNSName("a.example")], None)
POLICIES = x509.PolicyConstraints(0, None)
POLICY = x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("1.2.3"), None)])
ANYTHING = x509.InhibitAnyPolicy(0)
URI = x509.SubjectAlternativeName([x509.UniformResourceIdentifier("spiffe://a.example/w")])

BROKEN: list[tuple[int, Place, Callable[[], Certificate]]] = [
    (1, Place.LEAF, lambda: leaf(drop="issuer")),
    (1, Place.BETWEEN, lambda: authority(drop="issuer")),
    (2, Place.BETWEEN, lambda: authority(drop="key")),
    (2, Place.ANCHOR, lambda: authority(drop="key")),
    (3, Place.BETWEEN, lambda: authority(constraints=(x509.BasicConstraints(True, None), False))),
    (3, Place.ANCHOR, lambda: authority(drop="constraints")),
    (4, Place.BETWEEN, lambda: authority(names=(NAMES, False))),
    (4, Place.ANCHOR, lambda: authority(names=(NAMES, False))),
    (5, Place.BETWEEN, lambda: authority(policies=(POLICIES, False))),
    (6, Place.ANCHOR, lambda: authority(policies=(ANYTHING, False))),
    (7, Place.LEAF, lambda: leaf(subject="", names=(URI, False))),
    (7, Place.LEAF, lambda: leaf(subject="")),
    *((8, Place.LEAF, lambda name=name: leaf(names=(general_names((DNS, name)), False)))
      for name in (b"a_b.example", b"", b"-a.example", b"a..example", b"a.example.", b"a.*.example", b"a b.example",
                   b"a\x00.example", "ä.example".encode(), b"x" * 64 + b".example", b"*")),
    *((9, Place.LEAF, lambda name=name: leaf(names=(general_names((MAILBOX, name)), False)))
      for name in (b"a.example", b"a@", b"@a.example", b"<a@a.example>", b"a b@a.example", b"a@a_b.example", b"")),
]  # fmt: skip

KEPT: list[tuple[Place, Callable[[], Certificate]]] = [
    (Place.LEAF, leaf),
    (Place.LEAF, lambda: leaf(drop=("key", "constraints"))),
    (Place.BETWEEN, authority),
    (Place.ANCHOR, lambda: authority(drop="issuer")),
    (Place.BETWEEN, lambda: authority(names=(NAMES, True), policies=(POLICIES, True), more=(ANYTHING, True))),
    (Place.BETWEEN, lambda: authority(policies=(POLICIES, False), policy=(POLICY, False))),
    (Place.LEAF, lambda: leaf(subject="", names=(URI, True))),
    (Place.LEAF, lambda: leaf(names=(URI, False))),
    *((Place.LEAF, lambda name=name: leaf(names=(general_names(name), False)))
      for name in ((DNS, b"a"), (DNS, b"xn--4ca.example"), (DNS, b"*.a.example"), (DNS, b"A-1.example"),
                   (MAILBOX, b"a@a.example"), (MAILBOX, b"a+b@a"), (0x86, b"a_b:c"))),
]  # fmt: skip


def path_with(certificate: Certificate, place: Place) -> list[Certificate]:
    """A path in good form but for this certificate, at this place."""
    path = {Place.LEAF: leaf(), Place.BETWEEN: authority(), Place.ANCHOR: authority()}
    return list({**path, place: certificate}.values())


@pytest.mark.parametrize(
    ("number", "place", "make"), BROKEN, ids=[f"F{each[0]}-{index}" for index, each in enumerate(BROKEN)]
)
def test_a_broken_rule_is_named(number: int, place: Place, make: Callable[[], Certificate]) -> None:
    """With the certificate, the section, and what to change."""
    broken = make()
    with pytest.raises(Untrusted) as refusal:
        require_well_formed(path_with(broken, place))
    rule, said = RULES[number], str(refusal.value)
    assert f"rule F{number})" in said
    assert f"section {rule.section}" in said
    assert broken.thumbprint in said
    assert rule.change in said


@pytest.mark.parametrize(("place", "make"), KEPT, ids=[str(index) for index in range(len(KEPT))])
def test_what_is_in_good_form(place: Place, make: Callable[[], Certificate]) -> None:
    """What is nobody's fault is not refused."""
    require_well_formed(path_with(make(), place))


def test_every_rule_has_a_broken_certificate() -> None:
    """No row of the table is without a test."""
    assert {number for number, _, _ in BROKEN} == set(RULES)


def test_the_reference_tells_every_rule() -> None:
    """Number, section, what is refused, and what to change, as the table in the code has them."""
    section = REFERENCE.read_text().partition("\n## Forms\n")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:3] == "| F"]
    told = {row[0]: (row[1], row[2].partition(" (")[0], row[3]) for row in rows}
    assert told == {f"F{number}": (rule.section, rule.says, rule.change) for number, rule in RULES.items()}


SUBJECT = "CN=Client,O=Acme"
AUTHORITY_FLAWS: list[tuple[int, Any]] = [
    (2, {"drop": "key"}),
    (3, {"constraints": (x509.BasicConstraints(True, None), False)}),
    (4, {"names": (NAMES, False)}),
]


@pytest.mark.parametrize(
    ("drop", "more", "said"),
    [
        ("issuer", {}, r"has no authorityKeyIdentifier \(RFC 5280 section 4\.2\.1\.1,"),
        ("", {"names": (general_names((DNS, b"a_b.example")), False)}, r"has a dNSName .* section 4\.2\.1\.6,"),
        ("", {"names": (general_names((MAILBOX, b"a")), False)}, r"has an rfc822Name .* section 4\.2\.1\.6,"),
    ],
    ids=["no AKI", "underscore", "no mailbox"],
)
def test_what_is_refused_leads_to_the_certificate(drop: str, more: Any, said: str) -> None:
    """On a real path, the refusal of a client names the certificate that has to be issued again."""
    end = formed(is_ca=False, subject=SUBJECT, issuer="CN=i", drop=drop, **more)
    with pytest.raises(Untrusted, match=said) as refusal:
        verify_chain(peer(end), Anchors((authority(subject="CN=i"),)), NOW)
    assert end.thumbprint in str(refusal.value)
    assert SUBJECT in str(refusal.value)


@pytest.mark.parametrize(("number", "flaw"), AUTHORITY_FLAWS)
def test_an_authority_that_is_refused(number: int, flaw: Any) -> None:
    """Is named too, wherever it stands."""
    anchor, flawed = authority(subject="CN=i"), authority(subject="CN=Odd,O=Acme", **flaw)
    said = rf"'CN=Odd,O=Acme' \({flawed.thumbprint}\) .*rule F{number}\)"
    end = formed(is_ca=False, subject=SUBJECT, issuer="CN=Odd,O=Acme")
    with pytest.raises(Untrusted, match=said):
        verify_chain(peer(end, flawed.der), Anchors((anchor,)), NOW)
    with pytest.raises(Untrusted, match=said):
        verify_chain(peer(end), Anchors((flawed,)), NOW)


def test_a_certificate_in_good_form_is_trusted() -> None:
    """The ones above are refused for nothing else."""
    end = formed(is_ca=False, subject=SUBJECT, issuer="CN=i")
    assert verify_chain(peer(end), Anchors((authority(subject="CN=i"),)), NOW)
