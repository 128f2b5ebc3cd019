"""certbound.core.candidates: what a certificate can be registered as, and whom it would match."""

from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from certbound.core.candidates import Candidate, candidates, is_self_signed, matching, remarks
from certbound.core.clients import read_client
from certbound.core.jwks import make_jwks
from certbound.core.subject import Subject, SubjectKind, match_subject
from certbound.trust.authority import Authority, self_signed
from certificates import DAY, NOW, TODAY, general_names, read, tlv


def test_every_name_is_offered_in_its_kind(authority: Authority) -> None:
    """The subject first, then each alternative name, as it would be registered."""
    issued = authority.issue(
        "CN=a,O=Example", dns=["a.example"], uris=["spiffe://a/b"], ips=["192.0.2.1", "::1"], emails=["a@b.example"],
        now=TODAY,
    )  # fmt: skip
    found = [(each.kind, each.text) for each in candidates(read(issued))]
    assert found == [
        (SubjectKind.DN, "CN=a,O=Example"),
        (SubjectKind.DNS, "a.example"),
        (SubjectKind.URI, "spiffe://a/b"),
        (SubjectKind.IP, "192.0.2.1"),
        (SubjectKind.IP, "::1"),
        (SubjectKind.EMAIL, "a@b.example"),
    ]


def test_what_is_offered_matches(authority: Authority) -> None:
    """Whatever is offered without a problem, once registered, matches the certificate."""
    mailbox = tlv(0x06, bytes.fromhex("2b06010505070809")) + tlv(0xA0, tlv(0x0C, "žluť@b.example".encode()))
    certificate = read(
        authority.issue(
            x509.Name.from_rfc4514_string("CN=a\\, b+UID=x,2.5.4.97=PSDES-BDE-1,C=CZ"), now=TODAY,
            extensions=[(general_names((0x82, b"A.example"), (0xA0, mailbox)), False)],
        )
    )  # fmt: skip
    found = candidates(certificate)
    assert "žluť@b.example" in [each.text for each in found]
    for each in found:
        assert not each.problem
        assert match_subject(certificate, Subject.registered(each.kind, each.text))


def test_what_cannot_be_registered_says_why(authority: Authority) -> None:
    """Wildcards and names with escape codes are shown with the reason why not."""
    names = general_names((0x82, b"*.example"), (0x82, b"a\x1b[2J"), (0x87, b"123"), (0x81, b"a\xff"))
    found = candidates(read(authority.issue("", now=TODAY, extensions=[(names, False)])))
    assert [each.kind for each in found] == [SubjectKind.DNS, SubjectKind.DNS, SubjectKind.IP, SubjectKind.EMAIL]
    assert all(each.problem for each in found)
    assert "wildcard" in found[0].problem


def test_unreadable_names_are_none(authority: Authority) -> None:
    """A certificate whose alternative names cannot be read still offers its subject."""
    names = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.17"), b"\x30\x05")
    found = candidates(read(authority.issue("CN=a", now=TODAY, extensions=[(names, False)])))
    assert found == [Candidate(SubjectKind.DN, "CN=a")]


def test_whom_it_would_match(authority: Authority) -> None:
    """The clients that registered one of its names, or itself, and by what; nobody else."""
    certificate = read(authority.issue("CN=a", dns=["a.example"], now=TODAY))
    own, other = make_jwks([certificate]), make_jwks([read(self_signed("CN=a", now=TODAY))])

    def client(name: str, **metadata: Any) -> Any:
        self_made = "jwks" in metadata or "jwks_uri" in metadata
        method = "self_signed_tls_client_auth" if self_made else "tls_client_auth"
        return read_client(name, {"token_endpoint_auth_method": method, **metadata})

    clients = [
        client("dn", tls_client_auth_subject_dn="cn=A"),
        client("dns", tls_client_auth_san_dns="A.example"),
        client("no", tls_client_auth_san_uri="a.example:b"),
        client("own", jwks=own),
        client("other", jwks=other),
        client("elsewhere", jwks_uri="https://a.example/jwks"),
    ]
    found = {each.client_id: by for each, by in matching(certificate, clients)}
    assert found == {"dn": "subject_dn cn=A", "dns": "san_dns A.example", "own": "the certificate itself"}


def test_remarks(authority: Authority) -> None:
    """What keeps a certificate from authenticating: its dates, its key, its purpose."""
    weak = rsa.generate_private_key(65537, 1024)
    issued = read(authority.issue("CN=a", usage="server", key=weak, days=1, now=TODAY))
    assert list(remarks(read(authority.issue("CN=a", now=TODAY)), NOW)) == []
    assert [each.split()[0:2] for each in remarks(issued, NOW + 2 * DAY)] == [
        ["it", "has"], ["its", "key"], ["its", "extended"],
    ]  # fmt: skip
    assert "it is not valid yet" in list(remarks(issued, NOW - DAY))


@pytest.mark.parametrize("key", ["P-256", "RSA-2048", "Ed25519", "ML-DSA-44"])
def test_self_signed(authority: Authority, key: Any) -> None:
    """Issued by itself and signed by its own key; the same name alone does not make it so."""
    assert is_self_signed(read(self_signed("CN=a", key=key, now=TODAY)))
    assert not is_self_signed(read(authority.issue("CN=Unit Test Root", key=key, now=TODAY)))
