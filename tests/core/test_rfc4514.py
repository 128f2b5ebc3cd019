"""certbound.core._rfc4514: what is written is read back, what is no name is refused with advice, in linear time."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certbound.core._rfc4514 import Written, escape, read
from certbound.core.attributes import BadName
from speed import least

CN, ORG, COUNTRY = "2.5.4.3", "2.5.4.10", "2.5.4.6"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("", []),
        ("   ", []),
        ("CN=a", [[(CN, "a")]]),
        ("CN=a,O=b", [[(CN, "a")], [(ORG, "b")]]),
        ("CN=a;O=b", [[(CN, "a")], [(ORG, "b")]]),
        ("CN=a+O=b,C=CZ", [[(CN, "a"), (ORG, "b")], [(COUNTRY, "CZ")]]),
        ("CN=a,CN=a", [[(CN, "a")], [(CN, "a")]]),
        (" CN = a , O = b ", [[(CN, "a")], [(ORG, "b")]]),
        ("CN=  a  b  ", [[(CN, "a  b")]]),
        ("CN=\\ a\\ ", [[(CN, " a ")]]),
        ("CN=\\  a \\  ", [[(CN, "  a  ")]]),
        ("CN=a\\\\ ", [[(CN, "a\\")]]),
        ('CN=" a "', [[(CN, " a ")]]),
        ('CN="a,b;c+d<e>f#g=h"', [[(CN, "a,b;c+d<e>f#g=h")]]),
        ('CN="a\\"b\\\\c\\20"', [[(CN, 'a"b\\c ')]]),
        ('CN=""', [[(CN, "")]]),
        ("CN=,O=", [[(CN, "")], [(ORG, "")]]),
        ("CN=a\\,b\\2cc\\2Cd", [[(CN, "a,b,c,d")]]),
        ("CN=\\C4\\8D\\c4\\8d", [[(CN, "čč")]]),
        ("CN=č\\C4\\8D", [[(CN, "čč")]]),
        ("CN=\\00\\0a", [[(CN, "\0\n")]]),
        ("CN=#0C0161", [[(CN, b"\x0c\x01a")]]),
        ("CN= #0c0161 ,O=b", [[(CN, b"\x0c\x01a")], [(ORG, "b")]]),
        ("CN=a#b", [[(CN, "a#b")]]),
        ("CN=\\#b", [[(CN, "#b")]]),
        ("1.2.3=a", [[("1.2.3", "a")]]),
    ],
)
def test_read(text: str, written: list[list[tuple[str, str | bytes]]]) -> None:
    """Types, values and the way they are grouped come out as RFC 4514 and RFC 2253 say."""
    assert read(text, 64) == [[Written(*each) for each in rdn] for rdn in written]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("client", "no '='"),
        ("CN=a,O=Example, Inc.,C=US", "a comma inside a value is written '\\,'"),
        ("CN=a,", "ends in a separator"),
        ("CN=a+ ", "ends in a separator"),
        (",CN=a", "no '='"),
        ("CN=a,(O)=b", "does not begin with an attribute name"),
        ('CN=the "client"', "behind 'the ' must be escaped"),
        ('CN="a', "ends in a quote"),
        ('CN="a"b', "ends in a quote"),
        ("CN=a\\", "ends in a backslash"),
        ("CN=a\\é", "ends in a backslash"),
        ("CN=a\\b", "stands before what needs none"),
        ("CN=a\\4", "stands before what needs none"),
        ("CN=\\ff", "not UTF-8"),
        ("CN=\ud800", "not UTF-8"),
        ("CN=#", "a leading '#' is written '\\#'"),
        ("CN=#1 of 2", "a leading '#' is written '\\#'"),
        ("CN=#0c0", "hexadecimal DER"),
        ("CN=a\u202eb", "as \\E2\\80\\AE, or left out: nobody sees it"),
        ("\u200eCN=a", "does not begin with an attribute name"),
        ("CN=a\0", "as \\00"),
        ("subject=CN = a", "leave out the words"),
        ("Subject: CN=a", "does not begin with an attribute name"),
    ],
)  # fmt: skip
def test_refused(text: str, says: str) -> None:
    """What is no name is `BadName`; the message says what is wrong and what to write, printable and short."""
    with pytest.raises(BadName) as refusal:
        read(text, 64)
    assert says in str(refusal.value)
    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) < 300


@pytest.mark.parametrize(
    ("slashes", "write"),
    [
        ("/C=CZ/O=Example/CN=client", "CN=client,O=Example,C=CZ"),
        ("/C=CZ/O=Example, Inc./CN=a+b", "CN=a\\+b,O=Example\\, Inc.,C=CZ"),
        ("/O=A/B Testing/CN=http://a.example/", "CN=http://a.example/,O=A/B Testing"),
        ("/L=S\\xC3\\xA3o Paulo/emailAddress=a@b.example", "emailAddress=a@b.example,L=São Paulo"),
        ("  /CN=client  ", "CN=client"),
        ("/C=CZ/O=a+CN=b\\+c\\/d", "O=a+CN=b\\+c/d,C=CZ"),
        ("/CN=", "CN="),
        ("/2.5.4.97=PSDES-BDE-3DFD21", "2.5.4.97=PSDES-BDE-3DFD21"),
        ("/XYZ=client", "for example"),
        ("/client", "for example"),
        ("/CN=\\xff", "for example"),
        ("/CN=\\x00\\x1b", "CN=\\00\\1B"),
        ("/", "for example"),
    ],
)
def test_slashes_are_answered_with_what_to_write(slashes: str, write: str) -> None:
    """OpenSSL's one-line form is refused with the same name in RFC 4514, which is one."""
    with pytest.raises(BadName) as refusal:
        read(slashes, 64)
    message = str(refusal.value)
    assert message.endswith(f"write RFC 4514: {write}") or (write == "for example" and write in message)
    assert message.isprintable()


@given(st.text(max_size=30) | st.text(' "#+,;<=>\\\0\n\u202eéa', max_size=12))
def test_what_is_escaped_is_read_back(value: str) -> None:
    """Any text, escaped, is printable, and read as the same text between other attributes."""
    if any("\ud800" <= each <= "\udfff" for each in value):
        return
    escaped = escape(value)
    assert escaped.isprintable()
    assert read(f"O=x,CN={escaped}+C=y", 64) == [[(ORG, "x")], [(CN, value), (COUNTRY, "y")]]
    assert read(f'CN="{escaped}"', 64) == [[(CN, value)]]


@given(st.text(st.characters(exclude_categories=[]), max_size=40) | st.text('CNO=,+;\\#"/ 0aé\0', max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Arbitrary text, lone surrogates included, is read or `BadName`, whose message is printable."""
    message = ""
    try:
        read(text, 64)
    except BadName as refusal:
        message = str(refusal)
    assert message == "" or message.isprintable()


COSTLY = {
    "backslashes": "CN=" + "\\" * 4093,
    "hexadecimal in quotes that stay open": 'CN="' + "\\41" * 1364,
    "quotes": 'CN="' + '\\"' * 2046,
    "spaces": "CN=" + " " * 4092 + '"',
    "spaces before": " " * 4095 + "x",
    "letters": "a" * 4096,
    "digits": "1." * 2048,
    "slashes": "/CN=" * 1024,
    "slashes and x": "/CN=" + "\\x41" * 1023,
    "commas": "," * 4096,
    "equals": "=" * 4096,
    "empty attributes": "C=," * 1365,
    "hexadecimal": "CN=#" + "0" * 4091,
    "umlauts": "CN=" + "ü" * 4093,
    "domain component": "DC=" + "ü" * 4093,
}


@pytest.mark.parametrize("text", COSTLY.values(), ids=COSTLY)
def test_no_text_is_costly(text: str) -> None:
    """The longest text that may be registered costs less than 5 ms of CPU, whatever it says."""

    def look() -> None:
        with contextlib.suppress(BadName):
            read(text, 64)

    assert least(look) < 0.005
