"""certbound.core.limits: what an authority may speak for (R32)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certbound.core.limits import read_limit
from certbound.core.names import RdnOrder
from certbound.core.subject import Subject, SubjectKind, match_subject
from certbound.trust.authority import self_signed
from certificates import TODAY, read

CARRIED = read(
    self_signed(
        "CN=billing,OU=Clients,O=Bank\\, Inc.,C=CZ", dns=["a.clients.example"], uris=["spiffe://prod.example/billing"],
        ips=["192.0.2.1"], emails=["a@clients.example"], now=TODAY,
    )
)  # fmt: skip


def subject(kind: SubjectKind, text: str, order: RdnOrder = RdnOrder.EXACT) -> Subject:
    """A registered subject."""
    return Subject.registered(kind, text, order=order)


@pytest.mark.parametrize(
    ("subtree", "permitted"),
    [
        ("C=CZ", True),
        ("O=Bank\\, Inc.,C=CZ", True),
        ("o = bank\\,  INC. , c = cz", True),
        ("2.5.4.10=Bank\\, Inc.,2.5.4.6=CZ", True),
        ("OU=Clients,O=Bank\\, Inc.,C=CZ", True),
        ("CN=billing,OU=Clients,O=Bank\\, Inc.,C=CZ", True),
        ("O=Bank\\, Inc.", False),
        ("C=CZ,O=Bank\\, Inc.", False),
        ("O=Bank,C=CZ", False),
        ("O=Bank\\, Inc.+OU=Clients,C=CZ", False),
        ("CN=billing", False),
        ("CN=x,CN=billing,OU=Clients,O=Bank\\, Inc.,C=CZ", False),
        ("C=SK", False),
    ],
)
def test_subtrees(subtree: str, permitted: bool) -> None:
    """A name lies within a subtree if its most general RDNs are those of the subtree, whole ones, in that order."""
    registered = subject(SubjectKind.DN, "CN=billing,OU=Clients,O=Bank\\, Inc.,C=CZ")
    assert read_limit(subject_dn=[subtree]).permits(registered, CARRIED) is permitted
    assert read_limit(subject_dn=["C=SK", subtree]).permits(registered, CARRIED) is permitted


@pytest.mark.parametrize("order", [RdnOrder.REVERSED, RdnOrder.ANY])
def test_subtrees_are_of_the_certificate(order: RdnOrder) -> None:
    """Where a client is registered with its RDNs in another order, the order in the certificate says where it lies."""
    registered = subject(SubjectKind.DN, "C=CZ,O=Bank\\, Inc.,OU=Clients,CN=billing", order)
    assert match_subject(CARRIED, registered)
    assert read_limit(subject_dn=["C=CZ"]).permits(registered, CARRIED)
    assert not read_limit(subject_dn=["CN=billing"]).permits(registered, CARRIED)


@pytest.mark.parametrize(
    ("name", "permitted"),
    [
        ("clients.example", True),
        ("a.clients.example", True),
        ("b.a.clients.example", True),
        ("A.CLIENTS.EXAMPLE", True),
        ("evilclients.example", False),
        ("evil-clients.example", False),
        ("example", False),
        ("clients.example.evil", False),
        ("clients.example.evil.example", False),
        ("xclients.example", False),
    ],
)
def test_dns_suffixes(name: str, permitted: bool) -> None:
    """A host is permitted with what stands below it; the border is that of a label."""
    limit = read_limit(dns=["other.example", "Clients.Example"])
    assert limit.permits(subject(SubjectKind.DNS, name), CARRIED) is permitted


@pytest.mark.parametrize(
    ("uri", "permitted"),
    [
        ("spiffe://prod.example/billing", True),
        ("SPIFFE://PROD.example/billing", True),
        ("https://prod.example/billing", True),
        ("spiffe://sub.prod.example/billing", False),
        ("spiffe://prod.example.evil/billing", False),
        ("spiffe://evilprod.example/billing", False),
        ("https://prod.example@evil.example/", False),
        ("https://evil@prod.example/", False),
        ("https://prod.example:443/", False),
        ("https://evil.example/prod.example", False),
        ("https://evil.example?://prod.example/", False),
        ("urn:prod.example", False),
        ("spiffe:/prod.example/billing", False),
        ("file:///prod.example", False),
    ],
)
def test_trust_domains(uri: str, permitted: bool) -> None:
    """The trust domain is the whole host of a URI, without port and user."""
    limit = read_limit(trust_domain=["other.example", "Prod.Example"])
    assert limit.permits(subject(SubjectKind.URI, uri), CARRIED) is permitted


EVERY_KIND = {
    SubjectKind.DN: "CN=billing,OU=Clients,O=Bank\\, Inc.,C=CZ",
    SubjectKind.DNS: "a.clients.example",
    SubjectKind.URI: "spiffe://prod.example/billing",
    SubjectKind.IP: "192.0.2.1",
    SubjectKind.EMAIL: "a@clients.example",
}


@pytest.mark.parametrize(
    ("permits", "kinds"),
    [
        ({"subject_dn": ["C=CZ"]}, {SubjectKind.DN}),
        ({"dns": ["clients.example", "prod.example"]}, {SubjectKind.DNS}),
        ({"trust_domain": ["prod.example", "clients.example"]}, {SubjectKind.URI}),
        (
            {"subject_dn": ["C=CZ"], "dns": ["clients.example"], "trust_domain": ["prod.example"]},
            {SubjectKind.DN, SubjectKind.DNS, SubjectKind.URI},
        ),
    ],
)
def test_what_is_not_listed_is_not_permitted(permits: dict[str, Any], kinds: set[SubjectKind]) -> None:
    """A limit in one kind permits no name of another; addresses and mailboxes are permitted under none."""
    limit = read_limit(**permits)
    assert {kind for kind, text in EVERY_KIND.items() if limit.permits(subject(kind, text), CARRIED)} == kinds


def test_a_limit_says_what_it_permits() -> None:
    """For the log, as it was written."""
    limit = read_limit(subject_dn=["O=A,C=CZ"], trust_domain=["p.example", "q.example"])
    assert str(limit) == "subject_dn 'O=A,C=CZ'; trust_domain 'p.example', 'q.example'"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({}, "permits no name at all"),
        ({"subject_dn": [], "dns": []}, "permits no name at all"),
        ({"subject_dn": ["O=A", ""]}, "subject_dn has ''"),
        ({"subject_dn": ["/O=A"]}, "subject_dn has '/O=A'"),
        ({"subject_dn": ["nonsense=A"]}, "subject_dn has 'nonsense=A'"),
        ({"dns": ["*.example"]}, r"dns has '\*\.example': a wildcard"),
        ({"dns": [".example"]}, r"dns has '\.example': leave the dot"),
        ({"dns": ["example."]}, r"dns has 'example\.'"),
        ({"dns": [""]}, "dns has ''"),
        ({"dns": ["ex\0ample"]}, "dns has"),
        ({"trust_domain": ["spiffe://a.example"]}, "trust_domain has 'spiffe://a.example'"),
        ({"trust_domain": ["a.example/x"]}, "trust_domain has 'a.example/x'"),
        ({"trust_domain": ["a.example:443"]}, "trust_domain has 'a.example:443'"),
    ],
)
def test_what_is_no_limit(written: dict[str, Any], said: str) -> None:
    """A text that is no name of its kind is named."""
    with pytest.raises(ValueError, match=said):
        read_limit(**written)


TEXTS = st.lists(st.text(max_size=30), max_size=2)


@given(TEXTS, TEXTS, TEXTS)
def test_any_texts_are_a_limit_or_a_refusal(subject_dn: list[str], dns: list[str], trust_domain: list[str]) -> None:
    """Whatever is written becomes a limit or `ValueError`; no limit permits an address."""
    try:
        limit = read_limit(subject_dn=subject_dn, dns=dns, trust_domain=trust_domain)
    except ValueError:
        return
    assert not limit.permits(subject(SubjectKind.IP, "192.0.2.1"), CARRIED)
