"""certbound.core.names: RFC 4514 text and DER become one value; two names are equal or they are not (RFC 4517)."""

import contextlib
from collections.abc import Iterable

import pytest
from cryptography import x509
from cryptography.x509.name import _ASN1Type
from hypothesis import given
from hypothesis import strategies as st

from certbound.core._prepare import Exact
from certbound.core.names import (
    Attribute,
    BadName,
    DistinguishedName,
    NameStyle,
    format_name,
    in_any_order,
    in_reverse,
    is_within,
    parse_name,
    read_name,
)
from certificates import name, tlv
from speed import least

CN, ORG, COUNTRY, DC = "2.5.4.3", "2.5.4.10", "2.5.4.6", "0.9.2342.19200300.100.1.25"
UTF8, NUMERIC, PRINTABLE, TELETEX, IA5, UNIVERSAL, BMP = 0x0C, 0x12, 0x13, 0x14, 0x16, 0x1C, 0x1E
OCTET_STRING, BIT_STRING, NULL, INTEGER = 0x04, 0x03, 0x05, 0x02


def text(*rdns: str) -> bytes:
    """DER of a name of common names, the first one the most general."""
    return name(*([(CN, UTF8, each.encode())] for each in rdns))


@pytest.mark.parametrize(
    ("written", "der"),
    [
        ("CN=client", text("client")),
        ("cn=client", text("client")),
        ("commonName=client", text("client")),
        ("2.5.4.3=client", text("client")),
        ("OID.2.5.4.3=client", text("client")),
        ("oid.2.5.4.3=client", text("client")),
        ("CN=CLIENT", text("client")),
        ("CN=straße", text("STRASSE")),
        ("CN=  two   words ", text("two words")),
        ("CN=two words", text("  two    words  ")),
        ("CN=\\ client\\ ", text("client")),
        ("CN=client,O=Example,C=CZ", name(
            [(COUNTRY, PRINTABLE, b"CZ")], [(ORG, UTF8, b"Example")], [(CN, UTF8, b"client")],
        )),
        ("CN=client , O=Example , C=CZ", name(
            [(COUNTRY, PRINTABLE, b"CZ")], [(ORG, UTF8, b"Example")], [(CN, UTF8, b"client")],
        )),
        ("CN=a+O=b", name([(CN, UTF8, b"a"), (ORG, UTF8, b"b")])),
        ("O=b+CN=a", name([(CN, UTF8, b"a"), (ORG, UTF8, b"b")])),
        ("CN=client", name([(CN, PRINTABLE, b"client")])),
        ("CN=client", name([(CN, IA5, b"client")])),
        ("CN=client", name([(CN, TELETEX, b"client")])),
        ("CN=client", name([(CN, BMP, "client".encode("utf-16-be"))])),
        ("CN=client", name([(CN, UNIVERSAL, "client".encode("utf-32-be"))])),
        ("CN=1234", name([(CN, NUMERIC, b"1234")])),
        ("CN=café", text("café")),
        ("CN=café", text("cafe\u0301")),
        ("CN=caf\\C3\\A9", text("café")),
        ("CN=#0c06636c69656e74", text("client")),
        ("CN=#0C06636C69656E74", text("client")),
        ("CN=#1306636c69656e74", text("client")),
        ("CN=#04024869", name([(CN, OCTET_STRING, b"Hi")])),
        ("CN=\\#1", text("#1")),
        ('CN=a\\,b\\+c\\"d\\\\e\\<f\\>g\\;h\\=i', text('a,b+c"d\\e<f>g;h=i')),
        ("CN=a=b", text("a=b")),
        ("CN=a#b", text("a#b")),
        ("CN=", text("")),
        ("DC=example,DC=com", name([(DC, IA5, b"com")], [(DC, IA5, b"example")])),
        ("organizationIdentifier=PSDCZ-CNB-1", name([("2.5.4.97", UTF8, b"PSDCZ-CNB-1")])),
        ("CN=₹", text("₹")),
    ],
)  # fmt: skip
def test_equal(written: str, der: bytes) -> None:
    """The RFC 4514 text is the name that the DER encodes: string types, case and spaces do not matter (R6)."""
    assert parse_name(written) == read_name(der)


@pytest.mark.parametrize(
    ("written", "der"),
    [
        ("CN=client", text("client2")),
        ("CN=client", text("cli ent")),
        ("CN=client", name([(ORG, UTF8, b"client")])),
        ("CN=client,O=Example", name([(CN, UTF8, b"client")], [(ORG, UTF8, b"Example")])),
        ("CN=client", name([(ORG, UTF8, b"Example")], [(CN, UTF8, b"client")])),
        ("CN=client,O=Example", text("client")),
        ("CN=a+O=b", name([(CN, UTF8, b"a")], [(ORG, UTF8, b"b")])),
        ("CN=a,O=b", name([(CN, UTF8, b"a"), (ORG, UTF8, b"b")])),
        ("CN=Hi", name([(CN, OCTET_STRING, b"Hi")])),
        ("CN=Hi", name([(CN, BIT_STRING, b"\x00Hi")])),
        ("CN=Hi", name([(CN, INTEGER, b"Hi")])),
        ("CN=", name([(CN, NULL, b"")])),
        ("CN=client", text("client\x00")),
        ("CN=client", text("client\x00.evil.example")),
        ("CN=client", name([(CN, UTF8, b"client\xff")])),
        ("CN=client", name([(CN, PRINTABLE, b"client\xe9")])),
        ("CN=client", name([(CN, BMP, b"client")])),
        ("CN=client", text("*")),
        ("CN=*", text("client")),
        ("CN=client", text()),
        ("CN=admin", text("*)(uid=*")),
        ("CN=paypal", text("pаypаl")),
    ],
)  # fmt: skip
def test_different(written: str, der: bytes) -> None:
    """Another text, type, order or grouping is another name; a value that is no clean string equals no text (R33)."""
    assert parse_name(written) != read_name(der)


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("/C=CZ/O=Example/CN=client", "slash form"),
        ("client", "no '='"),
        ("CN=client,", "no '='"),
        (",CN=client", "no '='"),
        ("CN=a,,O=b", "no '='"),
        ("CN=a+", "no '='"),
        ("=client", "attribute name"),
        ("XYZ=client", "attribute name"),
        ("2.5.4.03=client", "attribute name"),
        ("3.5.4=client", "attribute name"),
        ("2.5.4.=client", "attribute name"),
        ("CN=<client>", "escaped"),
        ("CN=a\\", "backslash"),
        ("CN=a\\x", "backslash"),
        ("CN=\\C3", "UTF-8"),
        ("CN=\\00", "U+0000"),
        ("CN=a\nb", "as \\0A"),
        ("CN=a\x00b", "escaped"),
        ("CN=\ud800", "UTF-8"),
        ("CN=#", "hexadecimal"),
        ("CN=#0", "hexadecimal"),
        ("CN=#zz", "hexadecimal"),
        ("CN=#0c 01 61", "hexadecimal"),
        ("CN=#0c0161ff", "hexadecimal"),
        ("CN=#0c05aa", "hexadecimal"),
        ("O=A+O=B+O=a", "twice"),
        (",".join(["CN=a"] * 65), "64 attributes"),
        ("+".join(f"CN={number}" for number in range(65)), "64 attributes"),
        ("CN=" + "a" * 513, "512 characters"),
        ("CN=" + "ж" * 257, "256 characters"),
        ("CN=a" + "\u0316" * 31, "30 combining marks"),
    ],
)
def test_refused(written: str, says: str) -> None:
    """Text that is no RFC 4514 name is `BadName`, and the message says what is wrong with it."""
    with pytest.raises(BadName) as refusal:
        parse_name(written)
    assert says in str(refusal.value)


@pytest.mark.parametrize(
    "der",
    [
        b"",
        b"\x30",
        text("client") + b"\x00",
        text("client")[:-1],
        tlv(0x31, b""),
        tlv(0x30, tlv(0x30, b"")),
        tlv(0x30, tlv(0x31, tlv(0x30, b"\x06\x03\x55\x04\x03"))),
        tlv(0x30, tlv(0x31, tlv(0x30, b"\x06\x03\x55\x04\x03" + tlv(UTF8, b"a") * 2))),
        tlv(0x30, tlv(0x31, tlv(0x30, tlv(UTF8, b"a") * 2))),
        name([(CN, UTF8, b"a"), (CN, PRINTABLE, b"A")]),
        name(*[[(CN, UTF8, b"a")]] * 65),
        name([(CN, UTF8, b"%d" % number) for number in range(65)]),
        name(*[[(CN, UTF8, b"a"), (ORG, UTF8, b"a")]] * 32, [(CN, UTF8, b"a")]),
    ],
    ids=[
        "nothing", "tag alone", "byte behind", "cut off", "a SET", "an RDN that is no SET", "no value", "two values",
        "type that is no OID", "the same attribute twice",
        "65 RDNs", "65 attributes in one RDN", "65 attributes in 33 RDNs",
    ],
)  # fmt: skip
def test_der_that_is_no_name_is_refused(der: bytes) -> None:
    """Bytes that do not encode a Name are `BadName`."""
    with pytest.raises(BadName):
        read_name(der)


def test_values_that_are_no_text_keep_their_bytes() -> None:
    """What cannot be compared as text is compared as tag and bytes, so it equals itself and nothing else."""
    odd = name([(CN, OCTET_STRING, b"Hi")])
    assert read_name(odd) == (frozenset({Attribute(CN, tlv(OCTET_STRING, b"Hi"))}),)
    assert read_name(odd) == read_name(odd)
    assert read_name(odd) != read_name(name([(CN, BIT_STRING, b"Hi")]))


@pytest.mark.parametrize(
    ("clean", "unclean"),
    [
        ("a" * 512, "a" * 513),
        ("ж" * 256, "ж" * 257),
        ("각" * 85, "각" * 86),
        ("½" * 85, "½" * 86),
        ("\ufdfa" * 14, "\ufdfa" * 15),
        ("a" + "\u0316" * 30, "a" + "\u0316" * 31),
        ("a" + "\u0344" * 15, "a" + "\u0344" * 15 + "\u0316"),
        ("é" + "\u0316" * 29, "é" + "\u0316" * 30),
        ("a" + "\u0f73" * 15, "a" + "\u0f73" * 16),
        ("a" + "\uff9e" * 30, "a" + "\uff9e" * 31),
        (("a" + "\u0316" * 30) * 8, "a" * 200 + "\u0316" * 31),
    ],
    ids=[
        "ASCII", "Cyrillic", "Hangul", "fractions", "one for eighteen", "marks", "two marks in one", "mark of a letter",
        "marks of class 0", "marks by compatibility", "many runs",
    ],
)  # fmt: skip
@pytest.mark.parametrize("encoding", [(UTF8, "utf-8"), (BMP, "utf-16-be")], ids=["UTF8String", "BMPString"])
def test_too_long_or_too_marked_is_no_clean_string(clean: str, unclean: str, encoding: tuple[int, str]) -> None:
    """Up to the bound a value is text in any string type; beyond it equals only its own bytes and is not registered."""
    tag, codec = encoding
    assert parse_name(f"CN={clean}") == read_name(name([(CN, tag, clean.encode(codec))]))
    [rdn] = read_name(name([(CN, tag, unclean.encode(codec))]))
    assert rdn == {Attribute(CN, tlv(tag, unclean.encode(codec)))}
    with pytest.raises(BadName, match="more than"):
        parse_name(f"CN={unclean}")


def test_as_many_attributes_as_there_may_be() -> None:
    """A name of 64 attributes is a name, one to an RDN or all in one."""
    assert parse_name(",".join(["CN=a"] * 64)) == read_name(name(*[[(CN, UTF8, b"a")]] * 64))
    many = "+".join(f"CN={number}" for number in range(64))
    assert parse_name(many) == read_name(name([(CN, UTF8, b"%d" % number) for number in range(64)]))


@given(st.text(st.characters(max_codepoint=0x7F), max_size=20))
def test_ascii_is_compared_as_any_other_text(value: str) -> None:
    """What needs no normalization is folded as what does: the text itself and its fullwidth form are one value."""
    wide = "".join(chr(ord(each) + 0xFEE0) if "!" <= each <= "~" else each for each in value)
    [narrow], [other] = (next(iter(read_name(text(each)))) for each in (value, wide))
    assert isinstance(narrow.value, str) is value.isprintable()
    assert not value.isprintable() or narrow == other


_PLAIN = st.text(st.characters(categories=["Ll", "Lu", "Nd", "Zs", "Po", "Sm"]), min_size=1, max_size=12)


@given(st.lists(_PLAIN, min_size=1, max_size=4))
def test_what_cryptography_writes_is_what_it_encodes(values: list[str]) -> None:
    """For any values, the RFC 4514 text and the DER that `cryptography` makes of a name are one name to us."""
    made = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, value, _validate=False) for value in values])
    assert parse_name(made.rfc4514_string()) == read_name(made.public_bytes())


@given(_PLAIN.filter(str.isascii), st.sampled_from([_ASN1Type.PrintableString, _ASN1Type.IA5String]))
def test_string_types_do_not_matter(value: str, kind: _ASN1Type) -> None:
    """A value in another string type is the same value."""
    utf8 = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, value)]).public_bytes()
    other = name([(CN, kind.value, value.encode())])
    assert read_name(utf8) == read_name(other)


@given(st.text(st.characters(exclude_categories=[]), max_size=40) | st.text('CNO=,+\\#"; 0aé\x00', max_size=30))
def test_any_text_is_a_name_or_refused(written: str) -> None:
    """Arbitrary text, lone surrogates included, gives a name or `BadName`, and nothing else."""
    with contextlib.suppress(BadName):
        parse_name(written)


@given(st.binary(max_size=60) | st.binary(max_size=30).map(lambda each: tlv(0x30, tlv(0x31, tlv(0x30, each)))))
def test_any_bytes_are_a_name_or_refused(der: bytes) -> None:
    """Arbitrary bytes give a name or `BadName`, and nothing else."""
    with contextlib.suppress(BadName):
        read_name(der)


VALUES = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12).map(lambda each: (UTF8, each.encode())),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6).map(lambda each: (BMP, each.encode("utf-16-be"))),
    st.text(' "#+,;<=>\\\0\n\x1b\u202e\u200b\u00a0ßıé', max_size=6).map(lambda each: (UTF8, each.encode())),
    st.tuples(
        st.sampled_from([0x02, 0x04, 0x0C, 0x12, 0x13, 0x14, 0x16, 0x1A, 0x1C, 0x1E, 0x30]), st.binary(max_size=8)
    ),
    st.text("aAbB é", max_size=3).map(lambda each: (UTF8, each.encode())),
)
TYPES = st.sampled_from(
    [CN, CN, ORG, COUNTRY, DC, "1.2.840.113549.1.9.1", "2.5.4.20", "2.5.4.24", "2.5.4.83", "1.2.3.4"]
)
NAMES = st.lists(
    st.lists(st.tuples(TYPES, VALUES), min_size=1, max_size=3), max_size=4
).map(lambda rdns: name(*([(oid, *value) for oid, value in rdn] for rdn in rdns)))  # fmt: skip


def read_or_none(der: bytes) -> DistinguishedName | None:
    """The name, or None for one that says the same attribute twice."""
    try:
        return read_name(der)
    except BadName:
        return None


@given(NAMES, st.sampled_from([NameStyle.RFC4514, NameStyle.BRAZIL]))
def test_what_is_written_is_the_name(der: bytes, style: NameStyle) -> None:
    """Any name, written for registration, is printable and is read back as the same name."""
    expected = read_or_none(der)
    if expected is not None:
        written = format_name(der, style)
        assert written.isprintable()
        assert parse_name(written) == expected


@given(NAMES)
def test_the_slash_form_is_printable_ascii(der: bytes) -> None:
    """What people are shown to recognise moves no cursor, whatever is in the name."""
    written = format_name(der, NameStyle.OPENSSL)
    assert written.isascii()
    assert written == "" or written.isprintable()


@given(st.lists(NAMES, min_size=3, max_size=3))
def test_equality_is_an_equivalence(ders: list[bytes]) -> None:
    """A name equals itself, read again; equality goes both ways, on, and along with the hash."""
    first, second, third = map(read_or_none, ders)
    assert first == read_or_none(ders[0])
    assert (first == second) is (second == first)
    if first == second and second == third:
        assert first == third
    if first == second:
        assert hash(first) == hash(second)


@given(NAMES)
def test_orders(der: bytes) -> None:
    """The reverse of the reverse is the name; both have in common what any order has, and never equal it."""
    read = read_or_none(der)
    if read is not None:
        assert in_reverse(in_reverse(read)) == read
        assert in_any_order(in_reverse(read)) == in_any_order(read)
        assert in_any_order(read) != read


STRINGS = {UTF8: "utf-8", BMP: "utf-16-be", UNIVERSAL: "utf-32-be"}


@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20),
    st.sampled_from(sorted(STRINGS)),
    st.sampled_from(sorted(STRINGS)),
    st.sampled_from([CN, ORG, "1.2.3.4", "2.5.4.20", DC]),
)
def test_any_text_is_the_same_in_any_string_type(value: str, one: int, other: int, oid: str) -> None:
    """Also with characters that no Unicode database knows yet, and the same when it is written and registered."""
    first = name([(oid, one, value.encode(STRINGS[one]))])
    second = name([(oid, other, value.encode(STRINGS[other]))])
    assert read_name(first) == read_name(second)
    assert parse_name(format_name(first)) == read_name(second)


@given(st.text(max_size=8), st.text(max_size=8))
def test_a_nul_makes_another_name(before: str, behind: str) -> None:
    """Wherever a NUL is put, the name with it is not the name without, in any string type."""
    with_nul, without = f"{before}\0{behind}", before + behind
    for tag, codec in STRINGS.items():
        for other, other_codec in STRINGS.items():
            without_nul = read_name(name([(CN, other, without.encode(other_codec))]))
            assert "\0" in without or read_name(name([(CN, tag, with_nul.encode(codec))])) != without_nul


def test_exact_text() -> None:
    """Text with a character that cannot be prepared is compared exactly, and never equals prepared text."""
    assert read_name(text("A\U0001fae8")) == (frozenset({Attribute(CN, Exact("A\U0001fae8"))}),)
    assert read_name(text("A\U0001fae8")) != read_name(text("a\U0001fae8"))
    assert read_name(text("A\u202e")) != read_name(text("A"))


def test_written_styles() -> None:
    """A name in the form to register, the form OpenSSL prints, and the form of Open Finance Brasil."""
    der = name(
        [("1.3.6.1.4.1.311.60.2.1.3", PRINTABLE, b"BR")],
        [(COUNTRY, PRINTABLE, b"BR")],
        [(ORG, UTF8, "São, Ltda".encode())],
        [(CN, UTF8, b"client"), ("2.5.4.97", UTF8, b"OFBBR-1")],
        [("1.2.3.4", OCTET_STRING, b"Hi")],
    )
    assert format_name(der) == (
        "1.2.3.4=#04024869,CN=client+organizationIdentifier=OFBBR-1,O=São\\, Ltda,C=BR,jurisdictionCountryName=BR"
    )
    assert format_name(der, NameStyle.BRAZIL) == (
        "1.2.3.4=#04024869,CN=client+2.5.4.97=#0c074f464242522d31,O=São\\, Ltda,C=BR,1.3.6.1.4.1.311.60.2.1.3=#13024252"
    )
    assert format_name(der, NameStyle.OPENSSL) == (
        "/jurisdictionC=BR/C=BR/O=S\\xC3\\xA3o, Ltda/CN=client+organizationIdentifier=OFBBR-1/1.2.3.4=Hi"
    )


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("a\x1b[31m", "a\\1B[31m"),
        ("a\u202eb", "a\\E2\\80\\AEb"),
        ("a\nb", "a\\0Ab"),
        ("a\u00a0b", "a\\C2\\A0b"),
        ("a\U0001fae8", "a\\F0\\9F\\AB\\A8"),
        (" a ", "\\ a\\ "),
        ("#a", "\\#a"),
        ("a\0", "#0c026100"),
        ("a" * 513, "#0c820201" + "61" * 513),
        ("é", "é"),
        ("<a>", "\\<a\\>"),
        ("", ""),
    ],
)
def test_written_values(value: str, written: str) -> None:
    """Controls and marks of direction come out as escaped UTF-8, what is no text as its DER."""
    if written.startswith("a\\F0") and value[1].isprintable():
        written = value  # a newer Python knows the character
    assert format_name(text(value)) == f"CN={written}"


def test_der_that_is_no_name_is_not_written() -> None:
    """Bytes that do not encode a Name are `BadName` in every style."""
    for style in NameStyle:
        with pytest.raises(BadName):
            format_name(b"\x30\x01", style)


@pytest.mark.parametrize(
    ("written", "subtree", "within"),
    [
        ("CN=client,O=Example,C=CZ", "O=Example,C=CZ", True),
        ("CN=client,O=Example,C=CZ", "o=EXAMPLE , c=cz", True),
        ("CN=client,O=Example,C=CZ", "CN=client,O=Example,C=CZ", True),
        ("CN=client,O=Example,C=CZ", "C=CZ", True),
        ("CN=client,O=Example,C=CZ", "", True),
        ("CN=client,O=Example,C=CZ", "O=Example", False),
        ("CN=client,O=Example,C=CZ", "CN=client", False),
        ("CN=client,O=Example,C=CZ", "O=Other,C=CZ", False),
        ("CN=client,O=Example,C=CZ", "C=CZ,O=Example", False),
        ("C=CZ", "O=Example,C=CZ", False),
        ("CN=client,O=Example Evil,C=CZ", "O=Example,C=CZ", False),
        ("CN=a+O=b,C=CZ", "O=b,C=CZ", False),
        ("CN=a+O=b,C=CZ", "O=b+CN=a,C=CZ", True),
        ("", "C=CZ", False),
    ],
)
def test_within(written: str, subtree: str, within: bool) -> None:
    """A name is within a subtree if it begins, as encoded, with its RDNs, each of them whole."""
    assert is_within(parse_name(written), parse_name(subtree)) is within


def common_names(values: Iterable[str], tag: int = UTF8) -> bytes:
    """A name of common names, one to an RDN."""
    return name(*([(CN, tag, each.encode(STRINGS[tag]))] for each in values))


NUMBERS = range(64)
LARGE: dict[str, bytes] = {
    "marked spaces": common_names([" \u0301" * 127] * 62),
    "marked spaces, all different": common_names(["".join(f" {chr(0x300 + each)}" for each in NUMBERS)] * 64),
    "one becomes 18": common_names(["\ufdfa" * 14] * 64),
    "ideographs": common_names("".join(map(chr, range(0x4E00 + 99 * each, 0x4E7D + 99 * each))) for each in NUMBERS),
    "BMPString": common_names(["Ж" * 188] * 63, BMP),
    "UniversalString": common_names(["\u0344" * 93] * 63, UNIVERSAL),
    "private": common_names(["\ue000" * 125] * 63),
    "Hangul": common_names(["각" * 85] * 64),
    "one RDN": name([(CN, UTF8, f"{each}{'é' * 180}".encode()) for each in NUMBERS]),
    "IA5 beyond ASCII": name(*[[(DC, UTF8, ("é" * 185).encode())]] * 63),
    "casefold grows": common_names(["ΐ" * 85] * 64),
    "long identifiers": name(*[[(f"1.2.{'9' * 30}", UTF8, b"a" * 300)]] * 60),
}  # fmt: skip


@pytest.mark.parametrize("der", LARGE.values(), ids=LARGE)
def test_no_name_is_costly(der: bytes) -> None:
    """24 KiB of any name are read in less than 5 ms of CPU (twice that here)."""

    def look() -> None:
        with contextlib.suppress(BadName):
            read_name(der)

    assert len(der) < 26_000
    assert least(look) < 2 * 0.005
