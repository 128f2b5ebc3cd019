"""certbound.core.alternative_names: each kind in its own place; SmtpUTF8Mailbox; subtrees; SPIFFE IDs."""

import ipaddress
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certbound.core.alternative_names import dns_is_within, read_dns, read_uri, spiffe_id, trust_domain
from certbound.core.certificate import Certificate
from certbound.core.errors import BadCertificate, InvalidClient, InvalidClientMetadata
from certbound.core.subject import Subject, SubjectKind, match_subject
from certbound.trust.authority import self_signed
from certificates import TODAY, general_names, name, read, tlv

DN, DNS, URI, IP, EMAIL = SubjectKind.DN, SubjectKind.DNS, SubjectKind.URI, SubjectKind.IP, SubjectKind.EMAIL
OTHER, RFC822, DNS_NAME, DIRECTORY, URI_NAME, IP_ADDRESS, REGISTERED_ID = 0xA0, 0x81, 0x82, 0xA4, 0x86, 0x87, 0x88
UTF8, IA5 = 0x0C, 0x16
SMTP_UTF8 = bytes.fromhex("06082b06010505070809")
KEY = self_signed("CN=key", now=TODAY).private_key


def carrying(*names: tuple[int, bytes], subject: str = "") -> Certificate:
    """A certificate with exactly these alternative names."""
    return read(self_signed(subject, key=KEY, now=TODAY, extensions=[(general_names(*names), False)]))


def mailbox(text: str | bytes, tag: int = UTF8, kind: bytes = SMTP_UTF8) -> tuple[int, bytes]:
    """An otherName of RFC 9598."""
    return OTHER, kind + tlv(0xA0, tlv(tag, text.encode() if isinstance(text, str) else text))


def matches(certificate: Certificate, kind: SubjectKind, text: str) -> bool:
    try:
        return match_subject(certificate, Subject.registered(kind, text)).certificate is certificate
    except InvalidClient:
        return False


CONFUSED = {
    "client.example": (DNS, (DNS_NAME, b"client.example")),
    "who@client.example": (EMAIL, (RFC822, b"who@client.example")),
    "urn:client.example": (URI, (URI_NAME, b"urn:client.example")),
    "192.0.2.1": (IP, (IP_ADDRESS, bytes([192, 0, 2, 1]))),
    "größe@client.example": (EMAIL, mailbox("größe@client.example")),
    "2001:db8::1": (IP, (IP_ADDRESS, ipaddress.ip_address("2001:db8::1").packed)),
    "CN=client": (DN, None),
}
"""A text, its kind, and the one GeneralName that carries it."""
ENCODED = {
    "dNSName": lambda text: (DNS_NAME, text.encode()),
    "rfc822Name": lambda text: (RFC822, text.encode()),
    "uniformResourceIdentifier": lambda text: (URI_NAME, text.encode()),
    "iPAddress, as text": lambda text: (IP_ADDRESS, text.encode()),
    "registeredID": lambda text: (REGISTERED_ID, text.encode()),
    "otherName": lambda text: (OTHER, text.encode()),
    "SmtpUTF8Mailbox": mailbox,
    "otherName of another type": lambda text: mailbox(text, kind=bytes.fromhex("060a2b060104018237140203")),
    "directoryName": lambda text: (DIRECTORY, name([("2.5.4.3", UTF8, text.encode())])),
    "directoryName of the name": lambda _: (DIRECTORY, name([("2.5.4.3", UTF8, b"client")])),
}
RIGHT = {
    ("client.example", "dNSName"), ("who@client.example", "rfc822Name"), ("größe@client.example", "SmtpUTF8Mailbox"),
    ("urn:client.example", "uniformResourceIdentifier"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "place"), list(product(CONFUSED, ENCODED)), ids=lambda each: each.encode("ascii", "replace").decode()
)
def test_the_same_text_in_another_kind_is_another_name(text: str, place: str) -> None:
    """A registered text matches in its own kind of GeneralName only, whichever carries it (CVE-2022-21656)."""
    kind, _ = CONFUSED[text]
    assert matches(carrying(ENCODED[place](text)), kind, text) is ((text, place) in RIGHT)


@pytest.mark.parametrize("text", CONFUSED, ids=lambda each: each.encode("ascii", "replace").decode())
def test_what_carries_one_kind_is_nobody_of_another(text: str) -> None:
    """The certificate that carries the text in its kind matches no registration of it in another kind."""
    kind, encoded = CONFUSED[text]
    certificate = carrying(encoded) if encoded else carrying(subject=text)
    assert matches(certificate, kind, text)
    for other in set(SubjectKind) - {kind}:
        try:
            subject = Subject.registered(other, text)
        except InvalidClientMetadata:
            continue
        with pytest.raises(InvalidClient):
            match_subject(certificate, subject)


@pytest.mark.parametrize(
    ("registered", "presented", "match"),
    [
        ("größe@client.example", mailbox("größe@client.example"), True),
        ("größe@CLIENT.example", mailbox("größe@client.EXAMPLE"), True),
        ("用户@例え.example", mailbox("用户@xn--r8jz45g.example"), True),
        ("GRÖSSE@client.example", mailbox("größe@client.example"), False),
        ("größe@client.example", mailbox("gro\u0308ße@client.example"), False),
        ("größe@client.example", mailbox("größe@other.example"), False),
        ("größe@client.example", mailbox("größe@clıent.example"), False),
        ("größe@bücher.example", mailbox("größe@bücher.example"), False),
        ("größe@client.example", mailbox("größe@client.example\0"), False),
        ("größe@client.example", mailbox("größe@client.example", tag=IA5), False),
        ("größe@client.example", mailbox("größe@client.example".encode("latin-1")), False),
        ("größe@client.example", (RFC822, "größe@client.example".encode()), False),
        ("größe@client.example", (OTHER, SMTP_UTF8), False),
        ("größe@client.example", (OTHER, SMTP_UTF8 + tlv(0xA0, b"")), False),
        ("größe@client.example", (OTHER, SMTP_UTF8 + tlv(0xA0, tlv(UTF8, b"a")) * 2), False),
        ("größe@client.example", (OTHER, b""), False),
        ("who@client.example", mailbox("who@client.example"), False),
        ("who@client.example", mailbox("größe@client.example"), False),
    ],
)
def test_smtp_utf8_mailbox(registered: str, presented: tuple[int, bytes], match: bool) -> None:
    """A mailbox beyond ASCII matches its SmtpUTF8Mailbox, local part exact, domain folded (RFC 9598 section 5)."""
    assert matches(carrying(presented), EMAIL, registered) is match


@pytest.mark.parametrize(
    "text",
    [
        "\u202ewho@a.example",
        "wh\u200do@a.example",
        "wh\u00a0o@a.example",
        "größe@",
        "größe@a_.example-",
        "ü@ü@a.example",
    ],
)
def test_mailboxes_that_are_refused(text: str) -> None:
    """A local part has no character that nobody sees, and there is one '@'."""
    with pytest.raises(InvalidClientMetadata):
        Subject.registered(EMAIL, text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("client.example.", "no dot at its end"), ("192.0.2.1", "address"), ("a.1", "address"),
        ("*.example", "wildcard"), ("a" * 4096, "longer"), ("ü" * 4096, "longer"), ("\u200b.example", "Empty"),
        ("a\u3002example.", "no dot at its end"), ("_service.example", "underscore"),
    ],
)  # fmt: skip
def test_dns_names_that_are_refused(text: str, says: str) -> None:
    """What would never be a dNSName is refused, and the message says what to write."""
    with pytest.raises(ValueError, match=says):
        read_dns(text)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("HTTPS://A.Example", ("https", "a.example", "")),
        ("https://U@A.Example:443/P", ("https", "U@a.example:443", "/P")),
        ("https://@a", ("https", "@a", "")),
        ("https://[2001:DB8::1]:8/x", ("https", "[2001:db8::1]:8", "/x")),
        ("a:///b", ("a", "", "/b")),
        ("a:////b", ("a", "", "//b")),
        ("a:/b", ("a", None, "/b")),
        ("a:b@C", ("a", None, "b@C")),
        ("https://a?B@c", ("https", "a", "?B@c")),
        ("https://a#B", ("https", "a", "#B")),
        ("https://a/%41", ("https", "a", "/%41")),
    ],
)
def test_uri(text: str, read: tuple[str, str | None, str]) -> None:
    """Scheme and host are folded, all else stays."""
    assert read_uri(text) == read


@pytest.mark.parametrize(
    "text",
    ["", "a", "a:", ":a", "//a/b", "1a:b", "https://[::1", "https://::1]/", "https://a@b@c/", "https://a b/",
     "a:\u00e9", "https://[::1]x/", "a:b\0", "a:b\n", "https://[::1]:x/"],
)  # fmt: skip
def test_no_uri(text: str) -> None:
    """What is no absolute URI is refused."""
    with pytest.raises(ValueError, match="no"):
        read_uri(text)


@given(st.text("ab:/?#[]@%.", max_size=12))
def test_uris_that_differ_but_for_case_stay_different(text: str) -> None:
    """Reading keeps every character: put together again, it is the text in small letters where it was folded."""
    try:
        scheme, authority, rest = read_uri(text)
    except ValueError:
        return
    assert f"{scheme}:" + ("" if authority is None else f"//{authority}") + rest == text


@pytest.mark.parametrize(
    ("text", "suffix", "within"),
    [
        ("client.example", "client.example", True),
        ("a.client.example", "client.example", True),
        ("a.b.Client.EXAMPLE", "client.example", True),
        ("a.bücher.example", "xn--bcher-kva.example", True),
        ("evilclient.example", "client.example", False),
        ("client.example.evil", "client.example", False),
        ("example", "client.example", False),
        ("*.client.example", "client.example", False),
        ("client.example.", "client.example", False),
        ("", "client.example", False),
        ("a.client.example\0", "client.example", False),
        (".client.example", "client.example", False),
    ],
)
def test_dns_within(text: str, suffix: str, within: bool) -> None:
    """A name is within a suffix by whole labels; what is no name is within nothing."""
    assert dns_is_within(text, suffix) is within


@pytest.mark.parametrize("suffix", ["", ".", ".example", "*.example", "a b"])
def test_a_suffix_must_be_a_name(suffix: str) -> None:
    """A limit that limits nothing, or everything, is an error."""
    with pytest.raises(ValueError, match=r"DNS name|dot|wildcard"):
        dns_is_within("a.example", suffix)


@pytest.mark.parametrize(
    "uri",
    [
        "spiffe://example.org/workload", "spiffe://example.org/ns/a/sa/B-c_d.e", "spiffe://a_b.c-d/x", "spiffe://1/2",
        "spiffe://example.org/...", "spiffe://example.org/" + "a" * 2027,
    ],
)  # fmt: skip
def test_spiffe_id(uri: str) -> None:
    """The one URI of an X.509-SVID is its SPIFFE ID, beside names of other kinds."""
    certificate = carrying((DNS_NAME, b"a.example"), (URI_NAME, uri.encode()), (RFC822, b"a@b.example"))
    assert spiffe_id(certificate) == uri
    assert trust_domain(uri) == uri.split("/")[2]


@pytest.mark.parametrize(
    "uris",
    [
        [], ["spiffe://a/b", "spiffe://a/b"], ["spiffe://a/b", "https://a.example/"], ["https://a.example/"],
        ["spiffe://example.org"], ["spiffe://example.org/"], ["spiffe:///a"], ["spiffe://"], ["spiffe:example.org/a"],
        ["SPIFFE://example.org/a"], ["spiffe://Example.org/a"], ["spiffe://example.org:443/a"],
        ["spiffe://u@example.org/a"],
        ["spiffe://example.org/a?b"], ["spiffe://example.org/a#b"], ["spiffe://example.org/a//b"],
        ["spiffe://example.org/a/"],
        ["spiffe://example.org/./a"], ["spiffe://example.org/../a"], ["spiffe://example.org/a/.."], ["spiffe://example.org/%61"],
        ["spiffe://example.org/a b"], ["spiffe://example.org/a\n"], ["spiffe://example.org/a\0"], ["spiffe://exämple.org/a"],
        ["spiffe://example.org/ä"], ["spiffe://" + "a" * 256 + "/b"], ["spiffe://example.org/" + "a" * 2028], [""],
        ["spiffe://example.org\\a"], ["spiffe://example.org/a~b"], ["spiffe://[::1]/a"], [" spiffe://example.org/a"],
    ],
    ids=lambda uris: f"{len(uris)}-{''.join(uris)[:40].encode('unicode_escape').decode()}",
)  # fmt: skip
def test_no_spiffe_id(uris: list[str]) -> None:
    """No URI, two, or one that is no SPIFFE ID of a workload, is `BadCertificate`."""
    with pytest.raises(BadCertificate):
        spiffe_id(carrying(*((URI_NAME, each.encode()) for each in uris)))


@given(st.binary(max_size=40))
def test_any_other_name_is_read_or_ignored(content: bytes) -> None:
    """Arbitrary bytes in an otherName match nothing and raise nothing."""
    for encoded in (content, SMTP_UTF8 + content, SMTP_UTF8 + tlv(0xA0, content)):
        assert not matches(carrying((OTHER, encoded)), EMAIL, "größe@client.example")
