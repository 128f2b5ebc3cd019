"""certbound.core.subject: five kinds, each compared in its own way and its own place (R5, R6, R9, R10)."""

import contextlib
import ipaddress
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from certbound.core.certificate import CarriedNames, Certificate, read_certificate
from certbound.core.errors import InvalidClient, InvalidClientMetadata
from certbound.core.names import RdnOrder
from certbound.core.subject import Subject, SubjectKind, match_subject
from certbound.trust.authority import self_signed
from certificates import SUBJECT, TODAY, general_names, name, read, with_field
from speed import least

DN, DNS, URI, IP, EMAIL = SubjectKind.DN, SubjectKind.DNS, SubjectKind.URI, SubjectKind.IP, SubjectKind.EMAIL
OTHER_NAME, RFC822, DNS_NAME, X400, DIRECTORY, EDI, URI_NAME, IP_ADDRESS, REGISTERED_ID = (
    0xA0, 0x81, 0x82, 0xA3, 0xA4, 0xA5, 0x86, 0x87, 0x88,
)  # fmt: skip
UTF8, PRINTABLE, TELETEX = 0x0C, 0x13, 0x14
KEY = self_signed("CN=key", now=TODAY).private_key
ANY = {DN: "CN=client", DNS: "a.example", URI: "urn:a:b", IP: "192.0.2.1", EMAIL: "a@b.example"}
"""A subject of each kind."""


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


def presenting(*rdns: Sequence[tuple[int, bytes]]) -> Certificate:
    """A certificate whose subject has common names of these tags and bytes in each RDN."""
    encoded = name(*([("2.5.4.3", tag, content) for tag, content in rdn] for rdn in rdns))
    return read_certificate(with_field(self_signed("CN=x", key=KEY, now=TODAY), SUBJECT, encoded))


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


ORDERED = "CN=Client,O=Example,C=CZ"
BACKWARDS = "C=CZ,O=Example,CN=Client"
MIXED = "O=Example,CN=Client,C=CZ"


@pytest.mark.parametrize(
    ("registered", "order", "match"),
    [
        (ORDERED, RdnOrder.EXACT, True), (BACKWARDS, RdnOrder.EXACT, False), (MIXED, RdnOrder.EXACT, False),
        (ORDERED, RdnOrder.REVERSED, False), (BACKWARDS, RdnOrder.REVERSED, True), (MIXED, RdnOrder.REVERSED, False),
        (ORDERED, RdnOrder.ANY, True), (BACKWARDS, RdnOrder.ANY, True), (MIXED, RdnOrder.ANY, True),
        ("CN=Client,O=Example", RdnOrder.ANY, False), ("CN=Client,O=Example,C=CZ,C=CZ", RdnOrder.ANY, False),
        ("CN=Client+O=Example,C=CZ", RdnOrder.ANY, False), ("CN=Other,O=Example,C=CZ", RdnOrder.ANY, False),
    ],
)  # fmt: skip
def test_order_of_rdns(registered: str, order: RdnOrder, match: bool) -> None:
    """RDNs are compared in the order that the client registered: exact, reversed or any; never a part of them."""
    certificate = read(self_signed(ORDERED, key=KEY, now=TODAY))
    subject = Subject.registered(DN, registered, order=order)
    assert subject.order is order
    if match:
        assert match_subject(certificate, subject).subject is subject
    else:
        with pytest.raises(InvalidClient):
            match_subject(certificate, subject)


@pytest.mark.parametrize(
    ("registered", "order", "says"),
    [
        (BACKWARDS, RdnOrder.EXACT, 'tls_client_auth_subject_dn_order "reversed"'),
        (MIXED, RdnOrder.EXACT, 'tls_client_auth_subject_dn_order "any"'),
        (ORDERED, RdnOrder.REVERSED, 'tls_client_auth_subject_dn_order "exact"'),
        (MIXED, RdnOrder.REVERSED, 'tls_client_auth_subject_dn_order "any"'),
    ],
)
def test_a_refusal_for_order_alone_says_what_to_register(registered: str, order: RdnOrder, says: str) -> None:
    """The private reason names the order that would match, and the name as the certificate has it."""
    certificate = read(self_signed(ORDERED, key=KEY, now=TODAY))
    with pytest.raises(InvalidClient) as refusal:
        match_subject(certificate, Subject.registered(DN, registered, order=order))
    assert "in another order" in refusal.value.reason
    assert says in refusal.value.reason
    assert ORDERED in refusal.value.reason
    assert ORDERED not in str(refusal.value.description)


def test_a_refusal_for_more_than_order_does_not_speak_of_order() -> None:
    """Another name is refused as another name."""
    certificate = read(self_signed(ORDERED, key=KEY, now=TODAY))
    for order in RdnOrder:
        with pytest.raises(InvalidClient) as refusal:
            match_subject(certificate, Subject.registered(DN, "CN=Other,O=Example,C=CZ", order=order))
        assert "order" not in refusal.value.reason


def test_only_a_distinguished_name_has_an_order() -> None:
    """An order beside a name of another kind is refused at registration."""
    with pytest.raises(InvalidClientMetadata) as refusal:
        Subject.registered(DNS, "a.example", order=RdnOrder.ANY)
    assert refusal.value.field == "tls_client_auth_subject_dn_order"


def test_order_does_not_make_subjects_equal() -> None:
    """Registrations of different orders are different, also where the same certificate matches."""
    subjects = [Subject.registered(DN, "CN=Client", order=order) for order in RdnOrder]
    assert len(set(subjects)) == 3


def test_an_empty_subject_matches_no_registered_name() -> None:
    """A certificate without a subject is nobody by DN."""
    assert not matches(carrying((DNS_NAME, b"a.example")), DN, "CN=a.example")


def test_an_alternative_directory_name_is_no_subject() -> None:
    """A directoryName among the alternative names is not the subject DN."""
    assert not matches(carrying((DIRECTORY, name([("2.5.4.3", 0x0C, b"client")])), subject="CN=x"), DN, "CN=client")


@pytest.mark.parametrize("kind", [DNS, URI, IP, EMAIL])
def test_no_alternative_name_at_all(kind: SubjectKind) -> None:
    """A certificate without alternative names matches none."""
    assert not matches(read(self_signed("CN=x", key=KEY, now=TODAY)), kind, ANY[kind])


def test_an_unreadable_subject_is_a_refusal() -> None:
    """A subject that says the same attribute twice is `InvalidClient`, not a crash, and equals no name said once."""
    assert not matches(presenting([(UTF8, b"client"), (PRINTABLE, b"client")]), DN, "CN=client")


def test_an_unreadable_subject_leaves_the_other_kinds_alone() -> None:
    """A certificate whose subject cannot be read is still known by its alternative names, and the other way round."""
    twice = name([("2.5.4.3", UTF8, b"x"), ("2.5.4.3", PRINTABLE, b"x")])
    named = self_signed("CN=x", key=KEY, now=TODAY, dns=["a.example"])
    certificate = read_certificate(with_field(named, SUBJECT, twice))
    assert matches(certificate, DNS, "a.example")
    assert not matches(certificate, DN, "CN=x")
    certificate = carrying(*[(DNS_NAME, b"a.example")] * 257, subject="CN=x")
    assert matches(certificate, DN, "CN=x")
    assert not matches(certificate, DNS, "a.example")


def test_names_are_read_once() -> None:
    """The first question reads the names of every kind; later questions of any kind find them, and refusals, kept."""
    certificate = presenting([(UTF8, b"x"), (PRINTABLE, b"x")])
    with pytest.raises(InvalidClient, match="same attribute twice"):
        match_subject(certificate, Subject.registered(DN, "CN=x"))
    kept: dict[str, CarriedNames] = dict(certificate.carried)
    assert set(kept) == set(SubjectKind)
    for kind, text in ANY.items():
        with pytest.raises(InvalidClient):
            match_subject(certificate, Subject.registered(kind, text))
        assert certificate.carried[kind] is kept[kind]
    with pytest.raises(InvalidClient, match="same attribute twice"):
        match_subject(certificate, Subject.registered(DN, "CN=x"))


TWICE = [(UTF8, b"x")] * 2
COSTLY: dict[str, Callable[[], Certificate]] = {
    "marks in reverse": lambda: presenting([(UTF8, ("a" + "\u0344" * 5000 + "\u0316" * 6300).encode())], TWICE),
    "one character becomes 18": lambda: presenting([(UTF8, "\ufdfa".encode() * 9000)], TWICE),
    "2,000 RDNs": lambda: presenting(*[[(UTF8, b"x")]] * 2000, TWICE),
    "2,000 attributes": lambda: presenting([(UTF8, b"%d" % number) for number in range(2000)]),
    "14,000 empty RDNs": lambda: presenting(*[[]] * 14000),
    "many values with marks": lambda: presenting(*[[(UTF8, ("\u0344" * 120 + "\u0316" * 120).encode())]] * 61),
    "many values at the bounds": lambda: presenting(*[[(UTF8, ("\U0001d164" * 63 + "\xad").encode())]] * 64),
    "many values of TeletexString": lambda: presenting(*[[(TELETEX, b"\xc9" * 500)]] * 62),
    "many values with NUL": lambda: presenting(*[[(UTF8, b"a" * 500 + b"\x00")]] * 61),
    "14,000 empty dNSNames": lambda: carrying(*[(DNS_NAME, b"")] * 14000),
    "5,000 dNSNames": lambda: carrying(*((DNS_NAME, b"%x" % number) for number in range(5000))),
    "3,000 URIs": lambda: carrying(*((URI_NAME, b"a://%x" % number) for number in range(3000))),
    "4,000 mailboxes": lambda: carrying(*((RFC822, b"a@%x" % number) for number in range(4000))),
    "256 long URIs": lambda: carrying(*((URI_NAME, b"a://%x/" % number + b"x" * 100) for number in range(256))),
    "1,900 extensions": lambda: read(self_signed("CN=x", key=KEY, now=TODAY, extensions=[
        (x509.UnrecognizedExtension(x509.ObjectIdentifier(f"1.2.3.{number}"), b"\x05\x00"), False)
        for number in range(1900)
    ])),
}  # fmt: skip


@pytest.mark.parametrize("make", COSTLY.values(), ids=COSTLY)
def test_no_certificate_is_costly(make: Callable[[], Certificate]) -> None:
    """32 KiB of any names cost 5 ms of CPU at the first question and 50 µs at each later one (twice that here)."""
    der = make().der
    assert 16_000 < len(der) < 1 << 15

    def ask(certificates: Iterator[Certificate], subject: Subject) -> None:
        with contextlib.suppress(InvalidClient):
            match_subject(next(certificates), subject)

    for subject in (Subject.registered(kind, text) for kind, text in ANY.items()):
        fresh = [read_certificate(der) for _ in range(3)]
        assert least(partial(ask, iter(fresh), subject), 3) < 2 * 0.005
        assert least(partial(ask, iter(fresh), subject), 3) < 2 * 0.000_050


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (DN, ""), (DN, "  "), (DN, "client"), (DN, "/CN=client"), (DN, "CN=*\x00"),
        (DNS, ""), (DNS, "*.example"), (DNS, "a.*.example"), (DNS, "client.example."), (DNS, "-a.example"),
        (DNS, "a-.example"), (DNS, "a..example"), (DNS, "a b.example"), (DNS, "a.example\x00"), (DNS, "a" * 64),
        (DNS, "a." * 127 + "aa"), (DNS, "https://a.example"), (DNS, "who@a.example"), (DNS, "ａ\u200b*.example"),
        (DNS, "\ud800.example"), (DNS, "a.example\n"),
        (URI, ""), (URI, "client.example"), (URI, "//client.example"), (URI, "https:"), (URI, "https://a.example/ü"),
        (URI, "https://a.example/ "), (URI, " https://a.example"), (URI, "https://a.example\n"), (URI, "1a:b"),
        (URI, "https://[::1"), (URI, "urn:a\x00b"),
        (URI, "spiffe://a.example"), (URI, "spiffe://a.example/"), (URI, "SPIFFE://a.example/b?c"), (URI, "spiffe:///b"),
        (URI, "spiffe://a.example:443/b"), (URI, "spiffe://a.example/b/../c"), (URI, "spiffe://a/" + "b" * 2048),
        (IP, ""), (IP, "127.1"), (IP, "0x7f.1"), (IP, "0x7f.0.0.1"), (IP, "010.0.0.1"), (IP, "2130706433"),
        (IP, "192.0.2.1 "), (IP, "192.0.2.256"), (IP, "192.0.2.0/24"), (IP, "fe80::1%eth0"), (IP, "fe80::1%"),
        (IP, "[2001:db8::1]"), (IP, "1::2::3"), (IP, "a.example"), (IP, "１９２.0.2.1"), (IP, "192.0.2.*"),
        (EMAIL, ""), (EMAIL, "mail.example"), (EMAIL, "@mail.example"), (EMAIL, "who@"), (EMAIL, "a@b@mail.example"),
        (EMAIL, "who@*.example"), (EMAIL, "Who <who@mail.example>"), (EMAIL, "wh o@mail.example"),
        (EMAIL, "who@mail.example\n"), (EMAIL, "wh\x00o@mail.example"),
    ],
)  # fmt: skip
def test_registration_refuses_what_could_never_match(kind: SubjectKind, text: str) -> None:
    """A value that is no name of its kind is refused when it is registered, and the field is named (R9, R10)."""
    with pytest.raises(InvalidClientMetadata) as refusal:
        Subject.registered(kind, text)
    assert refusal.value.field == kind


@pytest.mark.parametrize("kind", SubjectKind)
@pytest.mark.parametrize("text", ["x" * 4096, "ü" * 4096, "\x1b" * 4096, "/CN=" + "x" * 4000 + "\x1b", "1." * 2048])
def test_a_refusal_of_a_long_text_is_short(kind: SubjectKind, text: str) -> None:
    """What is said of a registered text that is refused fits on a line and can be printed anywhere."""
    with pytest.raises(InvalidClientMetadata) as refusal:
        Subject.registered(kind, text)
    assert len(refusal.value.reason) < 600
    assert refusal.value.reason.isprintable()


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
