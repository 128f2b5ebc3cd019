"""certbound.core.subject: five kinds, each compared in its own way and its own place (R5, R6, R9, R10)."""

import contextlib
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certbound.core.certificate import Certificate, read_certificate
from certbound.core.errors import InvalidClient, InvalidClientMetadata
from certbound.core.subject import Subject, SubjectKind, match_subject
from certbound.trust.authority import self_signed
from certificates import SUBJECT, TODAY, general_names, name, read, with_field

DN, DNS, URI, IP, EMAIL = SubjectKind.DN, SubjectKind.DNS, SubjectKind.URI, SubjectKind.IP, SubjectKind.EMAIL
OTHER_NAME, RFC822, DNS_NAME, X400, DIRECTORY, EDI, URI_NAME, IP_ADDRESS, REGISTERED_ID = (
    0xA0, 0x81, 0x82, 0xA3, 0xA4, 0xA5, 0x86, 0x87, 0x88,
)  # fmt: skip
KEY = self_signed("CN=key", now=TODAY).private_key


def carrying(*names: tuple[int, bytes], subject: str = "") -> Certificate:
    """A certificate with exactly these alternative names."""
    return read(self_signed(subject, key=KEY, now=TODAY, extensions=[(general_names(*names), False)]))


def matches(certificate: Certificate, kind: SubjectKind, text: str) -> bool:
    """Whether the certificate carries the registered subject."""
    subject = Subject.registered(kind, text)
    try:
        match = match_subject(certificate, subject)
    except InvalidClient:
        return False
    assert match.certificate is certificate
    assert match.subject is subject
    return True


def test_the_names_are_those_of_the_rfc() -> None:
    """The five metadata names are spelled as RFC 8705 section 2.1.2 spells them (R35)."""
    assert set(SubjectKind) == {
        "tls_client_auth_subject_dn", "tls_client_auth_san_dns", "tls_client_auth_san_uri", "tls_client_auth_san_ip",
        "tls_client_auth_san_email",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "registered", "tag", "presented"),
    [
        (DNS, "client.example", DNS_NAME, b"client.example"),
        (DNS, "Client.EXAMPLE", DNS_NAME, b"client.example"),
        (DNS, "client.example", DNS_NAME, b"CLIENT.example"),
        (DNS, "bücher.example", DNS_NAME, b"xn--bcher-kva.example"),
        (DNS, "BÜCHER.example", DNS_NAME, b"xn--bcher-kva.example"),
        (DNS, "xn--bcher-kva.example", DNS_NAME, b"XN--BCHER-KVA.example"),
        (DNS, "_service.example", DNS_NAME, b"_service.example"),
        (DNS, "localhost", DNS_NAME, b"localhost"),
        (URI, "https://client.example/a", URI_NAME, b"https://client.example/a"),
        (URI, "HTTPS://Client.Example/a", URI_NAME, b"https://client.example/a"),
        (URI, "https://user@Client.example:443/A?b#c", URI_NAME, b"https://user@client.EXAMPLE:443/A?b#c"),
        (URI, "urn:uuid:f81d4fae", URI_NAME, b"URN:uuid:f81d4fae"),
        (URI, "spiffe://example.org/workload", URI_NAME, b"spiffe://example.org/workload"),
        (IP, "192.0.2.1", IP_ADDRESS, bytes([192, 0, 2, 1])),
        (IP, "2001:db8::1", IP_ADDRESS, ipaddress.ip_address("2001:db8::1").packed),
        (IP, "2001:DB8:0:0:0:0:0:1", IP_ADDRESS, ipaddress.ip_address("2001:db8::1").packed),
        (IP, "::ffff:192.0.2.1", IP_ADDRESS, ipaddress.ip_address("::ffff:c000:201").packed),
        (EMAIL, "who@mail.example", RFC822, b"who@mail.example"),
        (EMAIL, "who@MAIL.example", RFC822, b"who@mail.EXAMPLE"),
        (EMAIL, "o'brien+tag@mail.example", RFC822, b"o'brien+tag@mail.example"),
    ],
)  # fmt: skip
def test_match(kind: SubjectKind, registered: str, tag: int, presented: bytes) -> None:
    """The registered name in the certificate's name of the same kind matches, wherever among the names it stands."""
    assert matches(carrying((tag, presented)), kind, registered)
    assert matches(carrying((DNS_NAME, b"first.example"), (tag, presented), (URI_NAME, b"urn:x:y")), kind, registered)


@pytest.mark.parametrize(
    ("kind", "registered", "tag", "presented"),
    [
        (DNS, "client.example", DNS_NAME, b"other.example"),
        (DNS, "client.example", DNS_NAME, b"a.client.example"),
        (DNS, "a.client.example", DNS_NAME, b"client.example"),
        (DNS, "client.example", DNS_NAME, b"client.example."),
        (DNS, "client.example", DNS_NAME, b".client.example"),
        (DNS, "client.example", DNS_NAME, b" client.example"),
        (DNS, "client.example", DNS_NAME, b"*.example"),
        (DNS, "client.example", DNS_NAME, b"*"),
        (DNS, "client.example", DNS_NAME, b"client.example\x00.evil.example"),
        (DNS, "client.example", DNS_NAME, b"client.example\x00"),
        (DNS, "bücher.example", DNS_NAME, "bücher.example".encode()),
        (DNS, "bucher.example", DNS_NAME, b"xn--bcher-kva.example"),
        (URI, "https://client.example/a", URI_NAME, b"https://client.example/A"),
        (URI, "https://client.example/a", URI_NAME, b"https://client.example/a/"),
        (URI, "https://client.example", URI_NAME, b"https://client.example/"),
        (URI, "https://client.example/", URI_NAME, b"https://client.example:443/"),
        (URI, "https://client.example/a", URI_NAME, b"https://client.example/%61"),
        (URI, "https://client.example/a", URI_NAME, b"http://client.example/a"),
        (URI, "https://user@client.example/", URI_NAME, b"https://USER@client.example/"),
        (URI, "https://client.example/", URI_NAME, b"https://*.example/"),
        (URI, "https://client.example/", URI_NAME, b"https://client.example/\x00"),
        (URI, "https://client.example/", URI_NAME, b"\nhttps://client.example/"),
        (URI, "urn:uuid:f81d4fae", URI_NAME, b"urn:uuid:F81D4FAE"),
        (URI, "file:/etc", URI_NAME, b"file:///etc"),
        (URI, "file:///etc", URI_NAME, b"file:/etc"),
        (URI, "https://client.example/", URI_NAME, b"https://[client.example/"),
        (IP, "192.0.2.1", IP_ADDRESS, bytes([192, 0, 2, 2])),
        (IP, "192.0.2.1", IP_ADDRESS, ipaddress.ip_address("::ffff:192.0.2.1").packed),
        (IP, "::ffff:192.0.2.1", IP_ADDRESS, bytes([192, 0, 2, 1])),
        (IP, "192.0.2.1", IP_ADDRESS, bytes([192, 0, 2, 1, 255, 255, 255, 255])),
        (IP, "192.0.2.1", IP_ADDRESS, bytes([192, 0, 2])),
        (IP, "192.0.2.1", IP_ADDRESS, b"192.0.2.1"),
        (IP, "192.0.2.1", IP_ADDRESS, b""),
        (EMAIL, "who@mail.example", RFC822, b"WHO@mail.example"),
        (EMAIL, "who@mail.example", RFC822, b"mail.example"),
        (EMAIL, "who@mail.example", RFC822, b"who@mail.example\x00"),
        (EMAIL, "who@mail.example", RFC822, b"who\x00@mail.example"),
        (EMAIL, "who@mail.example", RFC822, b"<who@mail.example>"),
        (EMAIL, "who@mail.example", RFC822, b"*@mail.example"),
        (EMAIL, "who@mail.example", RFC822, b"a@who@mail.example"),
        (EMAIL, "who@mail.example", RFC822, b"\xff"),
    ],
)  # fmt: skip
def test_mismatch(kind: SubjectKind, registered: str, tag: int, presented: bytes) -> None:
    """Another name does not match, nor one with a wildcard, a NUL, or an address of another length (R10, R33)."""
    assert not matches(carrying((tag, presented)), kind, registered)


@pytest.mark.parametrize(
    "tag", [OTHER_NAME, RFC822, DNS_NAME, X400, DIRECTORY, EDI, URI_NAME, IP_ADDRESS, REGISTERED_ID]
)
@pytest.mark.parametrize(
    ("kind", "own", "text"),
    [
        (DNS, DNS_NAME, "client.example"),
        (URI, URI_NAME, "urn:client.example"),
        (IP, IP_ADDRESS, "192.0.2.1"),
        (EMAIL, RFC822, "who@client.example"),
    ],
)
def test_right_text_in_the_wrong_kind(kind: SubjectKind, own: int, text: str, tag: int) -> None:
    """The registered text in a name of another kind is not the registered name (CVE-2022-21656)."""
    encoded = ipaddress.ip_address(text).packed if kind is IP else text.encode()
    assert matches(carrying((tag, encoded)), kind, text) is (tag == own)


@pytest.mark.parametrize(
    ("kind", "text"), [(DNS, "client.example"), (IP, "192.0.2.1"), (EMAIL, "who@client.example"), (URI, "urn:a:b")]
)
def test_a_name_only_in_the_common_name(kind: SubjectKind, text: str) -> None:
    """A common name is no host name, no address and no mailbox, whatever it says."""
    assert not matches(carrying(subject=f"CN={text}"), kind, text)
    assert not matches(read(self_signed(f"CN={text},1.2.840.113549.1.9.1={text}", key=KEY, now=TODAY)), kind, text)


def test_distinguished_name() -> None:
    """A subject DN matches as RFC 4517 says, whole, and never the other way round."""
    certificate = read(self_signed("CN=Client,O=Example  Ltd,C=CZ", key=KEY, now=TODAY))
    assert matches(certificate, DN, "cn=client, o=example ltd, c=cz")
    assert not matches(certificate, DN, "C=CZ,O=Example Ltd,CN=Client")
    assert not matches(certificate, DN, "CN=Client,O=Example Ltd")
    assert not matches(certificate, DN, "CN=Client")


def test_an_empty_subject_matches_no_registered_name() -> None:
    """A certificate without a subject is nobody by DN."""
    assert not matches(carrying((DNS_NAME, b"a.example")), DN, "CN=a.example")


def test_an_alternative_directory_name_is_no_subject() -> None:
    """A directoryName among the alternative names is not the subject DN."""
    assert not matches(carrying((DIRECTORY, name([("2.5.4.3", 0x0C, b"client")])), subject="CN=x"), DN, "CN=client")


@pytest.mark.parametrize("kind", [DNS, URI, IP, EMAIL])
def test_no_alternative_name_at_all(kind: SubjectKind) -> None:
    """A certificate without alternative names matches none."""
    text = {DNS: "a.example", URI: "urn:a:b", IP: "192.0.2.1", EMAIL: "a@b.example"}[kind]
    assert not matches(read(self_signed("CN=x", key=KEY, now=TODAY)), kind, text)


def test_an_unreadable_subject_is_a_refusal() -> None:
    """A subject that says the same attribute twice is `InvalidClient`, not a crash, and equals no name said once."""
    twice = name([("2.5.4.3", 0x0C, b"client"), ("2.5.4.3", 0x13, b"client")])
    certificate = read_certificate(with_field(self_signed("CN=x", now=TODAY), SUBJECT, twice))
    assert not matches(certificate, DN, "CN=client")


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (DN, ""), (DN, "client"), (DN, "/CN=client"), (DN, "CN=*\x00"),
        (DNS, ""), (DNS, "*.example"), (DNS, "a.*.example"), (DNS, "client.example."), (DNS, "-a.example"),
        (DNS, "a-.example"), (DNS, "a..example"), (DNS, "a b.example"), (DNS, "a.example\x00"), (DNS, "a" * 64),
        (DNS, "a." * 127 + "aa"), (DNS, "https://a.example"), (DNS, "who@a.example"), (DNS, "ａ\u200b*.example"),
        (DNS, "\ud800.example"), (DNS, "a.example\n"),
        (URI, ""), (URI, "client.example"), (URI, "//client.example"), (URI, "https:"), (URI, "https://a.example/ü"),
        (URI, "https://a.example/ "), (URI, " https://a.example"), (URI, "https://a.example\n"), (URI, "1a:b"),
        (URI, "https://[::1"), (URI, "urn:a\x00b"),
        (IP, ""), (IP, "127.1"), (IP, "0x7f.1"), (IP, "0x7f.0.0.1"), (IP, "010.0.0.1"), (IP, "2130706433"),
        (IP, "192.0.2.1 "), (IP, "192.0.2.256"), (IP, "192.0.2.0/24"), (IP, "fe80::1%eth0"), (IP, "fe80::1%"),
        (IP, "[2001:db8::1]"), (IP, "1::2::3"), (IP, "a.example"), (IP, "１９２.0.2.1"), (IP, "192.0.2.*"),
        (EMAIL, ""), (EMAIL, "mail.example"), (EMAIL, "@mail.example"), (EMAIL, "who@"), (EMAIL, "a@b@mail.example"),
        (EMAIL, "who@*.example"), (EMAIL, "Who <who@mail.example>"), (EMAIL, "wh o@mail.example"),
        (EMAIL, "who@mail.example\n"), (EMAIL, "wh\x00o@mail.example"), (EMAIL, "ü@mail.example"),
    ],
)  # fmt: skip
def test_registration_refuses_what_could_never_match(kind: SubjectKind, text: str) -> None:
    """A value that is no name of its kind is refused when it is registered, and the field is named (R9, R10)."""
    with pytest.raises(InvalidClientMetadata) as refusal:
        Subject.registered(kind, text)
    assert refusal.value.field == kind


def test_a_wildcard_is_refused_with_advice() -> None:
    """Who registers a wildcard is told that it matches nothing."""
    with pytest.raises(InvalidClientMetadata, match="register the name itself"):
        Subject.registered(DNS, "*.example")


def test_what_was_registered_is_kept_as_it_was_written() -> None:
    """The text of a registered subject is the one that was given, whatever it is compared as."""
    assert Subject.registered(DNS, "BÜCHER.example").text == "BÜCHER.example"


@given(st.sampled_from(SubjectKind), st.text(st.characters(exclude_categories=[]), max_size=40))
def test_any_text_is_a_subject_or_refused(kind: SubjectKind, text: str) -> None:
    """Arbitrary text gives a subject or `InvalidClientMetadata`, and nothing else."""
    with contextlib.suppress(InvalidClientMetadata):
        assert Subject.registered(kind, text).kind is kind


@given(
    st.sampled_from([RFC822, DNS_NAME, URI_NAME, IP_ADDRESS]),
    st.binary(max_size=20) | st.text("a.*@:/[]%\x00 é-_", max_size=20).map(str.encode),
)
def test_any_presented_name_matches_or_does_not(tag: int, content: bytes) -> None:
    """Arbitrary bytes in any kind of name never raise anything but `InvalidClient`."""
    certificate = carrying((tag, content))
    for kind, text in ((DNS, "a.a"), (URI, "a:a"), (IP, "1.2.3.4"), (EMAIL, "a@a.a")):
        matches(certificate, kind, text)


@given(st.ip_addresses())
def test_an_address_matches_itself_in_any_spelling(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """An address matches its octets, short or exploded, upper or lower case."""
    certificate = carrying((IP_ADDRESS, address.packed))
    for text in (str(address), address.exploded, str(address).upper()):
        assert matches(certificate, IP, text)
