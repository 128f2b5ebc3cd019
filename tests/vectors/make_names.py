"""Writes `names.json`: a certificate's name (DER) × a registered text × an order × the verdict × why.

    python tests/vectors/make_names.py > tests/vectors/names.json

The verdicts are written here by hand, from RFC 4514, 4517, 4518, 5280 and X.680; no code of certbound takes part, so
that any other implementation can be held against them.

    match       the certificate carries the registered name
    differ      both are names, and not the same
    refuse      the text is no name that can be registered
    unreadable  the bytes are no name; a certificate with them is nobody
"""

# ruff: noqa: E501

import json
import sys
from collections.abc import Iterable

MATCH, DIFFER, REFUSE, UNREADABLE = "match", "differ", "refuse", "unreadable"
UTF8, NUMERIC, PRINTABLE, TELETEX, IA5, VISIBLE, GENERAL, UNIVERSAL, BMP = (
    0x0C, 0x12, 0x13, 0x14, 0x16, 0x1A, 0x1B, 0x1C, 0x1E,
)  # fmt: skip
CN, SURNAME, SERIAL, C, L, ST, STREET, ORG, OU = (
    "2.5.4.3", "2.5.4.4", "2.5.4.5", "2.5.4.6", "2.5.4.7", "2.5.4.8", "2.5.4.9", "2.5.4.10", "2.5.4.11",
)  # fmt: skip
DC, UID, EMAIL = "0.9.2342.19200300.100.1.25", "0.9.2342.19200300.100.1.1", "1.2.840.113549.1.9.1"
CATEGORY, ORGANIZATION_ID, JURISDICTION_C = "2.5.4.15", "2.5.4.97", "1.3.6.1.4.1.311.60.2.1.3"

VECTORS: list[dict[str, str]] = []


# A writer of DER, small and without opinions.


def tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 + len(length)]) + length + content


def oid(dotted: str) -> bytes:
    first, second, *rest = map(int, dotted.split("."))
    content = b""
    for arc in (first * 40 + second, *rest):
        octets = [arc & 0x7F]
        while arc := arc >> 7:
            octets.append(arc & 0x7F | 0x80)
        content += bytes(reversed(octets))
    return tlv(0x06, content)


def attribute(kind: str, value: bytes | str, tag: int = UTF8) -> bytes:
    content = value if isinstance(value, bytes) else value.encode(ENCODINGS[tag])
    return tlv(0x30, oid(kind) + tlv(tag, content))


def rdn(*attributes: bytes) -> bytes:
    return tlv(0x31, b"".join(sorted(attributes)))  # DER: X.690 section 11.6


def name(*rdns: bytes) -> bytes:
    return tlv(0x30, b"".join(rdns))


def one(kind: str, value: bytes | str, tag: int = UTF8) -> bytes:
    """A name of one attribute."""
    return name(rdn(attribute(kind, value, tag)))


def cn(value: bytes | str, tag: int = UTF8) -> bytes:
    return one(CN, value, tag)


def plain(*attributes: tuple[str, str] | tuple[str, str, int]) -> bytes:
    """A name of one attribute to an RDN, as encoded."""
    return name(*(rdn(attribute(*each)) for each in attributes))


def hexed(value: bytes | str, tag: int) -> str:
    content = value if isinstance(value, bytes) else value.encode(ENCODINGS[tag])
    return "#" + tlv(tag, content).hex()


ENCODINGS = {
    UTF8: "utf-8", NUMERIC: "ascii", PRINTABLE: "ascii", TELETEX: "latin-1", IA5: "ascii", VISIBLE: "ascii",
    GENERAL: "latin-1", UNIVERSAL: "utf-32-be", BMP: "utf-16-be",
}  # fmt: skip
TAGS = {
    UTF8: "UTF8String", NUMERIC: "NumericString", PRINTABLE: "PrintableString", TELETEX: "TeletexString",
    IA5: "IA5String", VISIBLE: "VisibleString", UNIVERSAL: "UniversalString", BMP: "BMPString",
}  # fmt: skip


def vector(title: str, der: bytes, registered: str, verdict: str, why: str, order: str = "exact") -> None:
    VECTORS.append(
        {"name": title, "der": der.hex(), "registered": registered, "order": order, "verdict": verdict, "why": why}
    )


def each_of(prefix: str, why: str, verdict: str, rows: Iterable[tuple[str, bytes, str]]) -> None:
    """Vectors of one category."""
    for title, der, registered in rows:
        vector(f"{prefix}: {title}", der, registered, verdict, why)


CLIENT = plain((C, "CZ", PRINTABLE), (ORG, "Example"), (CN, "client"))


def attribute_names() -> None:
    spellings = {
        CN: "CN cn Cn commonName COMMONNAME 2.5.4.3 OID.2.5.4.3 oid.2.5.4.3",
        SURNAME: "SN surname",
        SERIAL: "serialNumber SERIALNUMBER",
        C: "C countryName",
        L: "L localityName",
        ST: "ST S stateOrProvinceName",
        STREET: "STREET streetAddress",
        ORG: "O organizationName",
        OU: "OU organizationalUnitName",
        DC: "DC domainComponent",
        UID: "UID userId OID.0.9.2342.19200300.100.1.1",
        EMAIL: "emailAddress E EMAILADDRESS",
        CATEGORY: "businessCategory",
        ORGANIZATION_ID: "organizationIdentifier ORGANIZATIONIDENTIFIER 2.5.4.97",
        JURISDICTION_C: "jurisdictionCountryName jurisdictionC jurisdictionOfIncorporationCountryName",
        "1.3.6.1.4.1.311.60.2.1.2": "jurisdictionStateOrProvinceName jurisdictionST",
        "1.3.6.1.4.1.311.60.2.1.1": "jurisdictionLocalityName jurisdictionL",
        "2.5.4.12": "title T",
        "2.5.4.17": "postalCode",
        "2.5.4.42": "givenName GIVENNAME GN",
        "2.5.4.43": "initials",
        "2.5.4.44": "generationQualifier",
        "2.5.4.46": "dnQualifier DNQ",
        "2.5.4.65": "pseudonym",
        "1.2.840.113549.1.9.2": "unstructuredName",
    }
    for kind, names in spellings.items():
        for spelled in names.split():
            vector(f"attribute name: {spelled}", one(kind, "Value 1", IA5 if kind in (DC, EMAIL) else UTF8),
                   f"{spelled}=Value 1", MATCH, "a spelling of this attribute type, in any case")  # fmt: skip
    others = [
        (SERIAL, "SN", "SN is the surname (RFC 4519), not the serial number"),
        (SURNAME, "serialNumber", "the serial number is not the surname"),
        (ST, "L", "a locality is no state"), (L, "ST", "a state is no locality"),
        (ST, "STREET", "a street is no state"), (STREET, "ST", "a state is no street"),
        (C, "CN", "a common name is no country"), (CN, "C", "a country is no common name"),
        (OU, "O", "an organization is no unit"), (ORG, "OU", "a unit is no organization"),
        (UID, "CN", "a common name is no user id"), (CN, "UID", "a user id is no common name"),
        (EMAIL, "CN", "a common name is no e-mail address"), (CN, "E", "an e-mail address is no common name"),
        (DC, "CN", "a common name is no domain component"), (CN, "DC", "a domain component is no common name"),
        (ORGANIZATION_ID, "O", "an organization is no organizationIdentifier"),
        (ORG, "organizationIdentifier", "an organizationIdentifier is no organization"),
        (JURISDICTION_C, "C", "a country is no jurisdiction"), (C, "jurisdictionC", "a jurisdiction is no country"),
        ("2.5.4.31", "CN", "another type whose identifier begins alike"),
        ("2.5.4.3.1", "CN", "another type whose identifier goes on"),
        (CN, "2.5.4.3.1", "another type whose identifier goes on"),
        ("1.2.3.4", "1.2.3.5", "an unknown type is its identifier"),
    ]  # fmt: skip
    for number, (kind, spelled, why) in enumerate(others):
        vector(f"attribute type {number}: {spelled}", one(kind, "Value"), f"{spelled}=Value", DIFFER, why)
    for bad, why in {
        "XYZ": "no attribute is called so", "commonNam": "misspelled", "2.5.4.03": "an arc with a leading zero",
        "3.1.2": "identifiers begin with 0, 1 or 2", "1.40.1": "below 0 and 1 the second arc ends at 39",
        "2.5.4.": "an identifier ends in a number", "2..4": "an empty arc", "2": "one arc is no identifier",
        "cn;lang-en": "options belong to LDAP attributes, not to names", "c_n": "no attribute name has an underscore",
        "-cn": "names begin with a letter", "subject": "the word that a tool printed before the name", "": "no type",
    }.items():  # fmt: skip
        vector(f"bad attribute name: {bad}", cn("client"), f"{bad}=client", REFUSE, why)


def string_types() -> None:
    why = "the string type of a value does not matter (RFC 4517 section 4.2)"
    for tag, title in TAGS.items():
        value = "12 34" if tag == NUMERIC else "Client 1"
        vector(f"string type: {title}", cn(value, tag), f"CN={value}", MATCH, why)
        vector(f"string type: {title} as hexadecimal", cn(value), f"CN={hexed(value, tag)}", MATCH, why)
        vector(f"string type: {title}, another value", cn("1235" if tag == NUMERIC else "Client 2", tag),
               f"CN={value}", DIFFER, "another value")  # fmt: skip
    for tag in (UTF8, TELETEX, UNIVERSAL, BMP):
        vector(f"string type: {TAGS[tag]} beyond ASCII", cn("Café", tag), "CN=café", MATCH, why)
    for tag in (UTF8, UNIVERSAL, BMP):
        vector(f"string type: {TAGS[tag]} beyond Latin-1", cn("Žižkov", tag), "CN=žižkov", MATCH, why)
    vector("string type: BMPString of a surrogate pair", cn("𝔠", BMP), "CN=\U0001d520", MATCH,
           "Windows writes UTF-16 into BMPString")  # fmt: skip
    vector("string type: PrintableString with a character it does not have", cn("a@b*c", PRINTABLE), "CN=a@b*c", MATCH,
           "many CAs write '@' and '*' into PrintableString; the text is not in doubt")  # fmt: skip
    not_text = {
        0x01: "BOOLEAN", 0x02: "INTEGER", 0x03: "BIT STRING", 0x04: "OCTET STRING", 0x05: "NULL", 0x06: "OID",
        0x0A: "ENUMERATED", 0x15: "VideotexString", 0x17: "UTCTime", 0x19: "GraphicString", 0x1B: "GeneralString",
        0x2C: "constructed UTF8String", 0x30: "SEQUENCE", 0x31: "SET", 0x4C: "[APPLICATION 12]", 0x8C: "[12]",
        0xA0: "[0] constructed",
    }  # fmt: skip
    for tag, title in not_text.items():
        vector(f"not a string: {title}", cn(b"Hi", tag), "CN=Hi", DIFFER, "a value of no string type is no text")
    for tag in (0x02, 0x03, 0x04, 0x30):
        vector(f"not a string: {not_text[tag]} as hexadecimal", cn(b"Hi", tag), f"CN=#{tag:02x}024869", MATCH,
               "tag and bytes are equal")  # fmt: skip
        vector(f"not a string: {not_text[tag]} in another tag", cn(b"Hi", tag), "CN=#0a024869", DIFFER,
               "the tag belongs to a value that is no text")  # fmt: skip
    vector("not a string: a string inside an OCTET STRING", cn(tlv(UTF8, b"Hi"), 0x04), "CN=Hi", DIFFER,
           "the value is the OCTET STRING, not what is in it")  # fmt: skip
    vector("not a string: empty NULL", cn(b"", 0x05), "CN=", DIFFER, "NULL is no empty string")
    vector("not a string: x500UniqueIdentifier", one("2.5.4.45", b"\x00\xaa", 0x03), "2.5.4.45=#030200aa", MATCH,
           "bit strings are compared as bytes")  # fmt: skip
    vector("not a string: x500UniqueIdentifier, another", one("2.5.4.45", b"\x00\xab", 0x03), "2.5.4.45=#030200aa",
           DIFFER, "bit strings are compared as bytes")  # fmt: skip
    lines = tlv(UTF8, b"Street 1") + tlv(UTF8, b"Praha")
    vector("not a string: postalAddress of lines", one("2.5.4.16", lines, 0x30), f"postalAddress=#{tlv(0x30, lines).hex()}",
           MATCH, "a SEQUENCE is compared as bytes")  # fmt: skip


def bad_encodings() -> None:
    broken = {
        "UTF-8 that ends early": (b"Hi\xc3", UTF8), "UTF-8 with FF": (b"Hi\xff", UTF8),
        "overlong H": (b"\xc1\x88i", UTF8), "overlong NUL": (b"Hi\xc0\x80", UTF8),
        "a surrogate in UTF-8": (b"Hi\xed\xa0\x80", UTF8), "beyond Unicode in UTF-8": (b"Hi\xf4\x90\x80\x80", UTF8),
        "Latin-1 in UTF8String": (b"Hi\xe9", UTF8), "PrintableString with the eighth bit": (b"Hi\xe9", PRINTABLE),
        "IA5String with UTF-8": ("Hi é".encode(), IA5), "VisibleString with the eighth bit": (b"H\xe9", VISIBLE),
        "BMPString of an odd length": (b"\x00H\x00i\x00", BMP), "ASCII in BMPString": (b"Hi", BMP),
        "half a surrogate pair in BMPString": (b"\x00H\xd8\x00", BMP),
        "UniversalString of three bytes": (b"\x00\x00H", UNIVERSAL),
        "beyond Unicode in UniversalString": (b"\x00\x00\x00H\x00\x11\x00\x00", UNIVERSAL),
        "letters in NumericString": (b"Hi", NUMERIC), "little-endian BMPString": (b"H\x00i\x00", BMP),
    }  # fmt: skip
    for title, (content, tag) in broken.items():
        vector(f"bad encoding: {title}", cn(content, tag), "CN=Hi", DIFFER, "badly encoded text is no text")
        vector(f"bad encoding: {title}, itself", cn(content, tag), f"CN={hexed(content, tag)}", MATCH,
               "equal byte for byte" if title != "little-endian BMPString" else "CJK characters, and the same")  # fmt: skip
    vector("bad encoding: replaced", cn(b"Hi\xff", UTF8), "CN=Hi\ufffd", DIFFER,
           "nothing is replaced by U+FFFD while reading")  # fmt: skip
    vector("bad encoding: dropped", cn(b"Hi\xff!", UTF8), "CN=Hi!", DIFFER, "nothing is dropped while reading")
    vector("bad encoding: byte order mark", cn("\ufeffHi", BMP), "CN=Hi", DIFFER,
           "U+FEFF is a character of the value, and no part of BMPString's encoding")  # fmt: skip


def controls() -> None:
    for title, der in {
        "at the end": cn("client\0"), "in the middle": cn("client\0.evil.example"), "at the start": cn("\0client"),
        "in BMPString": cn("client\0", BMP), "in UniversalString": cn("client\0", UNIVERSAL),
        "in PrintableString": cn("client\0", PRINTABLE), "in TeletexString": cn("client\0", TELETEX),
        "in IA5String": cn("client\0", IA5), "between letters": cn("cli\0ent"), "alone": cn("client\0\0\0\0"),
    }.items():  # fmt: skip
        vector(f"NUL {title}", der, "CN=client", DIFFER,
               "NUL never disappears (RFC 8705 section 7.5; RFC 4518 would drop it)")  # fmt: skip
    vector("NUL in an organization", plain((ORG, "Example\0"), (CN, "client")), "CN=client,O=Example", DIFFER,
           "NUL never disappears, in any attribute")  # fmt: skip
    vector("NUL for a space", cn("a\0b"), "CN=a b", DIFFER, "NUL is no space")
    vector("NUL alone is not empty", cn("\0"), "CN=", DIFFER, "NUL never disappears")
    vector("NUL escaped in the text", cn("client\0"), "CN=client\\00", REFUSE,
           "no text with NUL can be registered; its DER can")  # fmt: skip
    vector("NUL in the text", cn("client"), "CN=client\0", REFUSE, "RFC 4514 section 3: NUL must be escaped")
    vector("NUL as DER", cn("client\0"), f"CN={hexed('client' + chr(0), UTF8)}", MATCH, "equal byte for byte")
    vector("NUL as DER against without", cn("client"), f"CN={hexed('client' + chr(0), UTF8)}", DIFFER,
           "NUL never disappears")  # fmt: skip
    for code, title in {
        0x01: "SOH", 0x08: "BS", 0x09: "TAB", 0x0A: "LF", 0x0D: "CR", 0x1B: "ESC", 0x7F: "DEL", 0x85: "NEL", 0x9B: "CSI",
    }.items():  # fmt: skip
        character = chr(code)
        escaped = "".join(f"\\{byte:02x}" for byte in character.encode())
        vector(f"control {title} against nothing", cn(f"cli{character}ent"), "CN=client", DIFFER,
               "a control never disappears (RFC 4518 section 2.2 would drop it)")  # fmt: skip
        vector(f"control {title} against a space", cn(f"cli{character}ent"), "CN=cli ent", DIFFER,
               "a control is no space (RFC 4518 section 2.2 would make some of them one)")  # fmt: skip
        vector(f"control {title} escaped", cn(f"cli{character}ent"), f"CN=cli{escaped}ent", MATCH,
               "the same characters")  # fmt: skip
        vector(f"control {title} and another case", cn(f"cli{character}ent"), f"CN=CLI{escaped}ENT", DIFFER,
               "text with a control is compared exactly")  # fmt: skip
        vector(f"control {title} in the text", cn("client"), f"CN=cli{character}ent", REFUSE,
               "what cannot be seen must be escaped")  # fmt: skip


def spaces() -> None:
    match = "outer spaces mean nothing, inner ones are one (RFC 4518 section 2.6.1)"
    for title, value, text in [
        ("two inside the certificate", "two  words", "two words"), ("many inside", "two" + " " * 40 + "words", "two words"),
        ("two inside the text", "two words", "two  words"), ("leading", "  two words", "two words"),
        ("trailing", "two words   ", "two words"), ("around", " two words ", "two words"),
        ("escaped leading", "two words", "\\ two words"), ("escaped trailing", "two words", "two words\\ "),
        ("hexadecimal", "two words", "two\\20words"), ("hexadecimal, trailing", "two words", "two words\\20\\20"),
        ("quoted", "two words", '"  two   words "'), ("no-break space", "two\u00a0words", "two words"),
        ("ideographic space", "two\u3000words", "two words"), ("en quad", "two\u2000words", "two words"),
        ("narrow no-break space", "two\u202fwords", "two words"), ("ogham space", "two\u1680words", "two words"),
        ("line separator", "two\u2028words", "two words"), ("paragraph separator", "two\u2029words", "two words"),
        ("mathematical space", "two\u205fwords", "two words"), ("no-break in the text", "two words", "two\u00a0words"),
        ("mixed", "two \u2003 \u00a0words", "two words"), ("nothing but spaces", "   ", ""), ("nothing", "", "\\ "),
        ("before punctuation", "a , b", "a \\, b"),
    ]:  # fmt: skip
        vector(f"space: {title}", cn(value), f"CN={text}", MATCH, match)
    for title, value, text in [
        ("none against one", "twowords", "two words"), ("one against none", "two words", "twowords"),
        ("elsewhere", "tw owords", "two words"), ("for a hyphen", "two words", "two-words"),
        ("for an underscore", "two words", "two_words"), ("one against empty and letters", " ", "a"),
        ("before a mark", "two \u0301words", "two\u0301words"),
    ]:  # fmt: skip
        vector(f"space: {title}", cn(value), f"CN={text}", DIFFER, "a space inside is part of the value")
    vector("space: one that carries a mark", cn("\u00b4"), "CN=\\ \u0301", MATCH, "U+00B4 is a space and a mark (NFKC)")
    vector("space: one that carries a mark is significant", cn(" \u0301a"), "CN=\u0301a", DIFFER,
           "a space with a mark is none (RFC 4518 section 2.6.1)")  # fmt: skip
    vector("space: one before one that carries a mark", cn("a  \u0301"), "CN=a   \u0301", MATCH,
           "the last one carries the mark; those before it are one")  # fmt: skip
    vector("space: one with a mark is not one without and one with", cn("a \u0301"), "CN=a  \u0301", DIFFER,
           "the last one carries the mark; one more stands before it")  # fmt: skip
    vector("space: around every part", CLIENT, "  CN = client ,  O = Example ,  C = CZ  ", MATCH,
           "spaces around types, values and separators (RFC 2253 section 4)")  # fmt: skip
    vector("space: in an attribute name", CLIENT, "C N=client,O=Example,C=CZ", REFUSE, "no name has a space")
    vector("space: in an object identifier", cn("client"), "2.5. 4.3=client", REFUSE, "no identifier has a space")
    vector("space: a tab between RDNs", CLIENT, "CN=client,\tO=Example,C=CZ", REFUSE, "a tab is no space")
    vector("space: a line break between RDNs", CLIENT, "CN=client,\nO=Example,C=CZ", REFUSE, "a line break is no space")


def letters() -> None:
    same = {
        "ASCII": ("CLIENT", "client"), "Latin-1": ("ÄÖÜ", "äöü"), "Czech": ("ŽLUŤOUČKÝ KŮŇ", "žluťoučký kůň"),
        "Greek": ("ΑΘΗΝΑ", "αθηνα"), "final sigma": ("ΟΔΟΣ", "οδος"), "final sigma, small": ("οδοσ", "οδος"),
        "Cyrillic": ("БАНК", "банк"), "Armenian": ("ԲԱՆԿ", "բանկ"), "Georgian": ("ᲑᲐᲜᲙᲘ", "ბანკი"),
        "Deseret": ("𐐀", "𐐨"), "Turkish capital with a dot": ("İ", "i\u0307"), "sharp s": ("straße", "STRASSE"),
        "capital sharp s": ("STRAẞE", "strasse"), "sharp s and capital": ("STRAẞE", "straße"),
        "Kelvin sign": ("\u212a", "k"), "Angstrom sign": ("\u212b", "å"), "micro sign": ("µ", "μ"),
        "long s": ("ſ", "s"), "composed": ("café", "cafe\u0301"), "two marks in another order": ("a\u0301\u0316", "a\u0316\u0301"),
        "Hangul": ("각", "\u1100\u1161\u11a8"), "Vietnamese": ("Việt", "Vie\u0323\u0302t"),
        "compatibility ideograph": ("\uf900", "\u8c48"), "upsilon with dialytika": ("\u03b0", "\u03c5\u0308\u0301"),
    }  # fmt: skip
    for title, (value, text) in same.items():
        vector(f"letters: {title}", cn(value), f"CN={text}", MATCH, "case and composition mean nothing (RFC 4518)")
    collisions = {
        "fullwidth": ("ｃｌｉｅｎｔ", "client"), "fullwidth capitals": ("ＣＬＩＥＮＴ", "client"), "ligature fi": ("\ufb01rm", "firm"),
        "ligature ffl": ("wa\ufb04e", "waffle"), "circled digit": ("①", "1"), "superscript": ("m²", "m2"),
        "trade mark": ("Bank™", "banktm"), "Roman numeral": ("Ⅷ", "viii"), "mathematical bold": ("𝐂𝐥𝐢𝐞𝐧𝐭", "client"),
        "numero sign": ("№1", "no1"), "fraction": ("½", "1\u20442"), "halfwidth katakana": ("ﾊﾞﾝｸ", "バンク"),
        "Arabic presentation form": ("\ufefb", "\u0644\u0627"), "Dutch ij": ("ĳ", "ij"), "non-breaking hyphen": ("a\u2011b", "a\u2010b"),
        "double-struck": ("ℂ", "c"), "ellipsis": ("a…", "a..."), "fullwidth stop": ("a．b", "a.b"), "degree": ("℃", "°c"),
    }  # fmt: skip
    for title, (value, text) in collisions.items():
        vector(f"compatibility: {title}", cn(value), f"CN={text}", MATCH,
               "compatibility characters are what they stand for (NFKC, RFC 4518 section 2.3)")  # fmt: skip
    different = {
        "Turkish dotted capital": ("İ", "i"), "Turkish dotless": ("ı", "i"), "Turkish dotless and capital": ("ı", "I"),
        "Turkish word": ("TİCARET", "TICARET"), "accent": ("café", "cafe"), "umlaut spelled out": ("Müller", "Mueller"),
        "umlaut dropped": ("Müller", "Muller"), "ae": ("æ", "ae"), "oe": ("œ", "oe"), "o with a stroke": ("ø", "o"),
        "l with a stroke": ("Łódź", "Lodz"), "d with a stroke": ("đ", "d"), "thorn": ("þ", "th"), "Icelandic eth": ("ð", "d"),
        "Cyrillic a": ("pаypal", "paypal"), "Cyrillic es": ("сlient", "client"), "Greek capital alpha": ("Αlpha", "Alpha"),
        "Greek omicron": ("cοrp", "corp"), "Latin alpha": ("ɑlpha", "alpha"), "small capital": ("ᴄlient", "client"),
        "Arabic digits": ("٣", "3"), "Devanagari digits": ("३", "3"), "en dash": ("a–b", "a-b"), "hyphen": ("a\u2010b", "a-b"),
        "minus": ("a−b", "a-b"), "curly quote": ("o’brien", "o'brien"), "fraction and slash": ("½", "1/2"),
        "one and el": ("c1ient", "client"), "zero and o": ("c0rp", "corp"), "simplified ideograph": ("銀行", "银行"),
        "hiragana and katakana": ("ばんく", "バンク"), "voiced and unvoiced": ("バンク", "ハンク"), "sharp s and one s": ("straße", "strase"),
        "sharp s and beta": ("straße", "straβe"), "double letter": ("ſs", "s"), "rn and m": ("corn", "com"),
        "longer": ("client1", "client"), "shorter": ("clien", "client"), "prefix": ("client.evil", "client"),
        "suffix": ("evil.client", "client"), "twice": ("clientclient", "client"), "reversed": ("tneilc", "client"),
        "wildcard in the certificate": ("*", "client"), "wildcard in the text": ("client", "*"),
        "pattern": ("client", "cl.*"), "LDAP filter": ("*)(uid=*", "client"), "question mark": ("client", "clien?"),
        "percent": ("client", "%"), "percent-encoded": ("cli%65nt", "client"), "HTML entity": ("cli&#101;nt", "client"),
        "backslash x": ("\\x63lient", "client"),
    }  # fmt: skip
    for title, (value, text) in different.items():
        vector(f"other letters: {title}", cn(value), f"CN={text}", DIFFER, "other characters, however alike they look")


def invisible() -> None:
    nothing = {
        "SOFT HYPHEN": "\u00ad", "ZERO WIDTH SPACE": "\u200b", "COMBINING GRAPHEME JOINER": "\u034f",
        "VARIATION SELECTOR-16": "\ufe0f", "OBJECT REPLACEMENT CHARACTER": "\ufffc", "MONGOLIAN TODO SOFT HYPHEN": "\u1806",
        "MONGOLIAN FREE VARIATION SELECTOR ONE": "\u180b",
    }  # fmt: skip
    for title, character in nothing.items():
        vector(f"mapped to nothing: {title}", cn(f"cli{character}ent"), "CN=client", MATCH, "RFC 4518 section 2.2")
    functions = {
        "LEFT-TO-RIGHT MARK": "\u200e", "RIGHT-TO-LEFT OVERRIDE": "\u202e", "ZERO WIDTH NON-JOINER": "\u200c",
        "ZERO WIDTH JOINER": "\u200d", "WORD JOINER": "\u2060", "BYTE ORDER MARK": "\ufeff",
        "RIGHT-TO-LEFT ISOLATE": "\u2067", "ARABIC LETTER MARK": "\u061c", "TAG SMALL A": "\U000e0061",
        "INTERLINEAR ANNOTATION ANCHOR": "\ufff9", "MUSICAL SYMBOL BEGIN BEAM": "\U0001d173",
    }  # fmt: skip
    for title, character in functions.items():
        escaped = "".join(f"\\{byte:02X}" for byte in character.encode())
        vector(f"control function {title}: dropped", cn(f"cli{character}ent"), "CN=client", DIFFER,
               "a control function never disappears (RFC 4518 section 2.2 would drop most of them)")  # fmt: skip
        vector(f"control function {title}: escaped", cn(f"cli{character}ent"), f"CN=cli{escaped}ent", MATCH,
               "the same characters")  # fmt: skip
        vector(f"control function {title}: in the text", cn("client"), f"CN=cli{character}ent", REFUSE,
               "what cannot be seen must be escaped")  # fmt: skip


def beyond_unicode_14() -> None:
    for title, character in {
        "never assigned": "\u0378", "private": "\ue000", "private plane": "\U000f0000", "noncharacter": "\uffff",
        "Unicode 15": "\U0001fae8", "Unicode 16": "\u1c89", "Unicode 17": "\U0001fac8", "end of Unicode": "\U0010ffff",
        "replacement character": "\ufffd", "prefixed number sign": "\u0601",
    }.items():  # fmt: skip
        escaped = "".join(f"\\{byte:02X}" for byte in character.encode())
        vector(f"beyond Unicode 14, {title}: itself", cn(f"a{character}b"), f"CN=a{escaped}b", MATCH,
               "the same characters")  # fmt: skip
        vector(f"beyond Unicode 14, {title}: in BMP or UniversalString", cn(f"a{character}b", UNIVERSAL),
               f"CN=a{escaped}b", MATCH, "the same characters in another string type")  # fmt: skip
        vector(f"beyond Unicode 14, {title}: dropped", cn(f"a{character}b"), "CN=ab", DIFFER, "another character")
        vector(f"beyond Unicode 14, {title}: another case", cn(f"a{character}b"), f"CN=A{escaped}B", DIFFER,
               "text with such a character is compared exactly")  # fmt: skip


def sets() -> None:
    pair = name(rdn(attribute(CN, "a"), attribute(ORG, "b")))
    three = name(rdn(attribute(CN, "a"), attribute(ORG, "b"), attribute(OU, "c")))
    twice = name(rdn(attribute(CN, "a"), attribute(CN, "b")))
    each_of("multi-valued", "an RDN is a set", MATCH, [
        ("as encoded", pair, "CN=a+O=b"), ("the other way", pair, "O=b+CN=a"), ("with spaces", pair, " O = b + CN = a "),
        ("three", three, "OU=c+CN=a+O=b"), ("one type twice", twice, "CN=b+CN=a"),
        ("beside single ones", name(rdn(attribute(C, "CZ")), rdn(attribute(ORG, "b"), attribute(CN, "a"))), "CN=a+O=b,C=CZ"),
        ("other string types", name(rdn(attribute(CN, "A", BMP), attribute(ORG, "B", PRINTABLE))), "CN=a+O=b"),
        ("a plus that is escaped", name(rdn(attribute(CN, "a+O=b"))), "CN=a\\+O=b"),
        ("a plus in quotes", name(rdn(attribute(CN, "a+O=b"))), 'CN="a+O=b"'),
    ])  # fmt: skip
    each_of("multi-valued", "other sets", DIFFER, [
        ("split in the text", pair, "CN=a,O=b"), ("split in the text, the other way", pair, "O=b,CN=a"),
        ("split in the certificate", plain((CN, "a"), (ORG, "b")), "CN=a+O=b"),
        ("split in the certificate, the other way", plain((ORG, "b"), (CN, "a")), "CN=a+O=b"),
        ("one more in the certificate", three, "CN=a+O=b"), ("one more in the text", pair, "CN=a+O=b+OU=c"),
        ("one of two", pair, "CN=a"), ("two of one", cn("a"), "CN=a+O=b"), ("values exchanged", pair, "CN=b+O=a"),
        ("one type twice against once", twice, "CN=a"), ("grouped otherwise", name(rdn(attribute(CN, "a"), attribute(ORG, "b")), rdn(attribute(OU, "c"))), "CN=a,O=b+OU=c"),
        ("a plus that is a character", pair, "CN=a\\+O=b"),
    ])  # fmt: skip
    each_of("multi-valued", "X.501: no attribute stands twice in a set", REFUSE, [
        ("twice in the text", twice, "CN=a+CN=a"), ("twice but for case", twice, "CN=a+CN=A"),
        ("twice but for the string type", twice, "CN=a+CN=#130161"),
    ])  # fmt: skip
    each_of("multi-valued", "X.501: no attribute stands twice in a set", UNREADABLE, [
        ("twice in the certificate", name(rdn(attribute(CN, "a"), attribute(CN, "a"))), "CN=a"),
        ("twice but for the string type in the certificate", name(rdn(attribute(CN, "a"), attribute(CN, "a", BMP))), "CN=a"),
        ("an empty set", name(rdn()), "CN=a"),
        ("an empty set beside one", name(rdn(attribute(CN, "a")), rdn()), "CN=a"),
    ])  # fmt: skip


def orders() -> None:
    text, other = "CN=client,O=Example,C=CZ", "C=CZ,O=Example,CN=client"
    mixed = "O=Example,CN=client,C=CZ"
    for registered, exact, reverse in ((text, MATCH, DIFFER), (other, DIFFER, MATCH), (mixed, DIFFER, DIFFER)):
        vector(f"order: {registered}, exact", CLIENT, registered, exact, "the last RDN of the certificate comes first")
        vector(f"order: {registered}, reversed", CLIENT, registered, reverse, "the first RDN of the certificate comes first",
               "reversed")  # fmt: skip
        vector(f"order: {registered}, any", CLIENT, registered, MATCH, "any order", "any")
    vector("order: what openssl x509 prints", CLIENT, "C = CZ, O = Example, CN = client", MATCH,
           "OpenSSL prints RDNs as encoded", "reversed")  # fmt: skip
    vector("order: what openssl x509 prints, taken as RFC 4514", CLIENT, "C = CZ, O = Example, CN = client", DIFFER,
           "OpenSSL prints RDNs as encoded, RFC 4514 the other way round")  # fmt: skip
    units = plain((ORG, "x"), (OU, "a"), (OU, "b"), (OU, "a"))
    for registered, verdict, why in [
        ("OU=a,OU=b,OU=a,O=x", MATCH, "as many of each"), ("O=x,OU=a,OU=a,OU=b", MATCH, "as many of each"),
        ("OU=b,OU=a,O=x", DIFFER, "one is missing"), ("OU=a,OU=b,OU=b,O=x", DIFFER, "another one stands twice"),
        ("OU=a,OU=b,OU=a,OU=a,O=x", DIFFER, "one too many"), ("OU=a,OU=b+OU=a,O=x", DIFFER, "sets stay sets"),
        ("OU=a,OU=b,OU=c,O=x", DIFFER, "another value"), ("OU=a", DIFFER, "a part is not the whole"),
    ]:  # fmt: skip
        vector(f"order any: {registered}", units, registered, verdict, why, "any")
    for registered, verdict, why in [
        ("O=x,OU=a,OU=b,OU=a", MATCH, "as encoded"), ("OU=a,OU=b,OU=a,O=x", DIFFER, "the other way round"),
        ("O=x,OU=a,OU=a,OU=b", DIFFER, "units in another order"), ("O=x,OU=a,OU=b", DIFFER, "one is missing"),
    ]:  # fmt: skip
        vector(f"order reversed: {registered}", units, registered, verdict, why, "reversed")
    each_of("parts", "a name is compared whole", DIFFER, [
        ("the common name alone", CLIENT, "CN=client"), ("without the country", CLIENT, "CN=client,O=Example"),
        ("without the common name", CLIENT, "O=Example,C=CZ"), ("one more at the front", CLIENT, "OU=x,CN=client,O=Example,C=CZ"),
        ("one more at the end", CLIENT, "CN=client,O=Example,C=CZ,DC=x"), ("one more inside", CLIENT, "CN=client,OU=x,O=Example,C=CZ"),
        ("one more in the certificate", CLIENT, "CN=client,C=CZ"), ("another country", CLIENT, "CN=client,O=Example,C=SK"),
        ("no subject at all", name(), "CN=client"), ("one twice", plain((CN, "a"), (CN, "a")), "CN=a"),
        ("one twice in the text", cn("a"), "CN=a,CN=a"), ("two common names, the other way", plain((CN, "a"), (CN, "b")), "CN=a,CN=b"),
        ("a comma that is a character", cn("client,O=Example"), "CN=client,O=Example"),
        ("a comma that separates", plain((ORG, "Example"), (CN, "client")), "CN=client\\,O\\=Example"),
    ])  # fmt: skip
    vector(
        "parts: nothing registered", name(), "", REFUSE, "an empty name would be that of every certificate without one"
    )
    vector(
        "parts: spaces registered",
        name(),
        "   ",
        REFUSE,
        "an empty name would be that of every certificate without one",
    )


def syntax() -> None:
    each_of("syntax", "RFC 4514 section 3, RFC 2253 section 4", MATCH, [
        ("semicolons", CLIENT, "CN=client;O=Example;C=CZ"), ("mixed separators", CLIENT, "CN=client;O=Example,C=CZ"),
        ("quotes", CLIENT, 'CN="client",O="Example",C="CZ"'), ("quotes with spaces around", CLIENT, ' CN= "client" , O=Example,C=CZ'),
        ("empty quotes", cn(""), 'CN=""'), ("specials in quotes", cn("a,b+c;d<e>f=g#h"), 'CN="a,b+c;d<e>f=g#h"'),
        ("escapes in quotes", cn('a"b\\c,d'), 'CN="a\\"b\\\\c\\,d"'), ("hexadecimal in quotes", cn("café"), 'CN="caf\\c3\\a9"'),
        ("every escape", cn('a,b+c"d\\e<f>g;h=i#j k'), 'CN=a\\,b\\+c\\"d\\\\e\\<f\\>g\\;h\\=i\\#j\\ k'),
        ("hexadecimal comma", cn("a,b"), "CN=a\\2cb"), ("hexadecimal comma, capital", cn("a,b"), "CN=a\\2Cb"),
        ("hexadecimal UTF-8", cn("Lučić"), "CN=Lu\\C4\\8Di\\C4\\87"), ("all hexadecimal", cn("Hi"), "CN=\\48\\69"),
        ("equals sign in a value", cn("a=b"), "CN=a=b"), ("number sign inside", cn("a#b"), "CN=a#b"),
        ("number sign first", cn("#1"), "CN=\\#1"), ("number sign first, hexadecimal", cn("#1"), "CN=\\231"),
        ("backslash last", cn("a\\"), "CN=a\\\\"), ("empty value", cn(""), "CN="), ("empty value before another", plain((ORG, "x"), (CN, "")), "CN=,O=x"),
        ("spaces for a value", cn(""), "CN=   "), ("slash", cn("a/b"), "CN=a/b"), ("slash first", cn("/a"), "CN=/a"), ("colon", cn("urn:a:b"), "CN=urn:a:b"),
        ("hexadecimal DER in capitals", cn("client"), "CN=#0C06636C69656E74"), ("hexadecimal DER with spaces around", cn("client"), "CN= #0c06636c69656e74 "),
        ("hexadecimal DER of an empty string", cn(""), "CN=#0c00"), ("hexadecimal DER in another case", cn("client"), "CN=#0c06434c49454e54"),
        ("emoji", cn("💳"), "CN=💳"), ("long", cn("a" * 512), "CN=" + "a" * 512),
        ("64 attributes", plain(*[(OU, "x")] * 64), ",".join(["OU=x"] * 64)),
    ])  # fmt: skip
    each_of("syntax", "no name", REFUSE, [
        ("no equals sign", CLIENT, "client"), ("comma at the end", CLIENT, "CN=client,"), ("comma at the start", CLIENT, ",CN=client"),
        ("two commas", CLIENT, "CN=client,,O=Example"), ("plus at the end", CLIENT, "CN=client+"), ("semicolon at the end", CLIENT, "CN=client;"),
        ("a part without equals sign", CLIENT, "CN=client,Example,C=CZ"), ("a comma in a value", CLIENT, "CN=client,O=Example, Inc.,C=CZ"),
        ("quote inside", CLIENT, 'CN=the "client"'), ("quote that stays open", CLIENT, 'CN="client'), ("text behind a quote", CLIENT, 'CN="cli"ent'),
        ("angle brackets", CLIENT, "CN=<client>"), ("brackets around the name", CLIENT, "<CN=client>"), ("backslash at the end", CLIENT, "CN=client\\"),
        ("backslash before a letter", CLIENT, "CN=clien\\t"), ("backslash and one digit", CLIENT, "CN=client\\4"),
        ("backslash x", CLIENT, "CN=\\x63lient"), ("bytes that are no UTF-8", CLIENT, "CN=client\\C3"), ("overlong UTF-8", CLIENT, "CN=client\\C0\\80"),
        ("an escaped surrogate", CLIENT, "CN=\\ED\\A0\\80"), ("hexadecimal DER of nothing", CLIENT, "CN=#"), ("hexadecimal of odd length", CLIENT, "CN=#0c0"),
        ("hexadecimal with a letter g", CLIENT, "CN=#0c0167g"), ("hexadecimal with a space", CLIENT, "CN=#0c 01 61"),
        ("hexadecimal DER cut off", CLIENT, "CN=#0c0561"), ("hexadecimal DER with more behind", CLIENT, "CN=#0c016161"),
        ("hexadecimal DER with a long length", CLIENT, "CN=#0c810161"), ("hexadecimal BER", CLIENT, "CN=#2c800c01610000"),
        ("hexadecimal behind quotes", CLIENT, 'CN=""#0c0161'), ("65 attributes", CLIENT, ",".join(["OU=x"] * 65)),
        ("too long", CLIENT, "CN=" + "a" * 513), ("too long beyond ASCII", CLIENT, "CN=" + "ж" * 257),
        ("too many marks", CLIENT, "CN=a" + "\u0316" * 31), ("a URL", CLIENT, "https://client.example/"), ("PEM", CLIENT, "-----BEGIN CERTIFICATE-----"),
        ("JSON", CLIENT, '{"CN": "client"}'), ("brackets", CLIENT, "[CN=client]"),
    ])  # fmt: skip
    each_of("OpenSSL's slash form", "the form to use is said instead", REFUSE, [
        ("a name", CLIENT, "/C=CZ/O=Example/CN=client"), ("one part", cn("client"), "/CN=client"), ("with a slash in a value", cn("a/b"), "/CN=a/b"),
        ("with hexadecimal", cn("café"), "/CN=caf\\xC3\\xA9"), ("with a space before", cn("client"), " /CN=client"), ("with the word before", CLIENT, "subject=/C=CZ/CN=client"),
    ])  # fmt: skip


def profiles() -> None:
    brazil = plain(
        (CATEGORY, "Private Organization"), (JURISDICTION_C, "BR", PRINTABLE), (SERIAL, "43142666000197", PRINTABLE),
        (C, "BR", PRINTABLE), (ORG, "Banco Exemplo S.A."), (ST, "SP"), (L, "Sao Paulo"),
        (ORGANIZATION_ID, "OFBBR-497e1ffe-b2a2-4a4d-8ef0-70633fd11b59"), (UID, "67c57882-043b-11ec-9a03-0242ac130003"),
        (CN, "web.conftpp.directory.openbankingbrasil.org.br"),
    )  # fmt: skip
    parts = [
        "CN=web.conftpp.directory.openbankingbrasil.org.br", "UID=67c57882-043b-11ec-9a03-0242ac130003",
        "2.5.4.97=" + hexed("OFBBR-497e1ffe-b2a2-4a4d-8ef0-70633fd11b59", UTF8), "L=Sao Paulo", "ST=SP",
        "O=Banco Exemplo S.A.", "C=BR", "2.5.4.5=" + hexed("43142666000197", PRINTABLE),
        JURISDICTION_C + "=" + hexed("BR", PRINTABLE), "2.5.4.15=" + hexed("Private Organization", UTF8),
    ]  # fmt: skip
    named = ",".join(parts)
    vector(
        "Brazil: canonical", brazil, named, MATCH, "Open Finance Brasil's form: dotted types with the DER of the value"
    )
    vector("Brazil: canonical, the other order", brazil, ",".join(reversed(parts)), MATCH, "as encoded", "reversed")
    vector("Brazil: canonical, the other order taken as exact", brazil, ",".join(reversed(parts)), DIFFER, "as encoded")
    older = [*parts[:2], *parts[3:7], parts[2], *parts[7:]]
    vector(
        "Brazil: an older order, any",
        brazil,
        ",".join(older),
        MATCH,
        "older registrations list the RDNs otherwise",
        "any",
    )
    vector(
        "Brazil: an older order, exact", brazil, ",".join(older), DIFFER, "older registrations list the RDNs otherwise"
    )
    printable = [
        part.replace(hexed("Private Organization", UTF8), hexed("Private Organization", PRINTABLE)) for part in parts
    ]
    vector("Brazil: another string type behind #", brazil, ",".join(printable), MATCH, "the CA changed the string type")
    spelled = named.replace(
        "2.5.4.97=" + hexed("OFBBR-497e1ffe-b2a2-4a4d-8ef0-70633fd11b59", UTF8),
        "organizationIdentifier=ofbbr-497E1FFE-b2a2-4a4d-8ef0-70633fd11b59",
    )
    vector(
        "Brazil: names for dotted types", brazil, spelled, MATCH, "names and dotted types are one, case means nothing"
    )
    vector("Brazil: capital DER", brazil, named.replace("#0c2a", "#0C2A"), MATCH, "hexadecimal has no case")
    accented = plain((C, "BR", PRINTABLE), (L, "São Paulo"), (CN, "web"))
    vector("Brazil: accents matter", accented, "CN=web,L=Sao Paulo,C=BR", DIFFER, "ã is not a")
    vector("Brazil: accents in capitals", accented, "CN=web,L=SÃO PAULO,C=BR", MATCH, "case means nothing")
    vector("Brazil: another software", brazil, named.replace("67c57882", "67c57883"), DIFFER, "another UID")
    vector("Brazil: another organization", brazil, named.replace("#0c2a4f", "#0c2a4e"), DIFFER, "another identifier")
    vector(
        "Brazil: another CNPJ",
        brazil,
        named.replace(b"43142666000197".hex(), b"43142666000198".hex()),
        DIFFER,
        "another serial number",
    )
    vector(
        "Brazil: type of DER that is no text",
        brazil,
        named.replace("#130e", "#040e"),
        DIFFER,
        "an OCTET STRING is no text",
    )
    psd2 = plain(
        (C, "ES", PRINTABLE),
        (ORG, "Banco de Prueba"),
        (ORGANIZATION_ID, "PSDES-BDE-3DFD21"),
        (CN, "www.prueba.example"),
    )
    good = "CN=www.prueba.example,organizationIdentifier=PSDES-BDE-3DFD21,O=Banco de Prueba,C=ES"
    vector("PSD2: by name", psd2, good, MATCH, "ETSI TS 119 495")
    vector("PSD2: dotted", psd2, good.replace("organizationIdentifier", "2.5.4.97"), MATCH, "ETSI TS 119 495")
    vector(
        "PSD2: OID. and text", psd2, good.replace("organizationIdentifier", "OID.2.5.4.97"), MATCH, "what Java prints"
    )
    vector(
        "PSD2: DER",
        psd2,
        good.replace("PSDES-BDE-3DFD21", hexed("PSDES-BDE-3DFD21", UTF8)),
        MATCH,
        "what Java and Brazil print",
    )
    vector(
        "PSD2: PrintableString",
        psd2,
        good.replace("PSDES-BDE-3DFD21", hexed("PSDES-BDE-3DFD21", PRINTABLE)),
        MATCH,
        "another string type",
    )
    vector("PSD2: small letters", psd2, good.lower(), MATCH, "case means nothing")
    for title, value in {
        "another provider": "PSDES-BDE-3DFD22", "another authority": "PSDES-BDF-3DFD21", "another country": "PSDFR-BDE-3DFD21",
        "no hyphen": "PSDES-BDE3DFD21", "a longer one": "PSDES-BDE-3DFD210", "a VAT number": "VATES-BDE-3DFD21", "spaces for hyphens": "PSDES BDE 3DFD21",
    }.items():  # fmt: skip
        vector(f"PSD2: {title}", psd2, good.replace("PSDES-BDE-3DFD21", value), DIFFER, "another identifier")
    vector("PSD2: as organization", psd2, good.replace("organizationIdentifier", "O"), DIFFER, "another attribute")
    vector("PSD2: in a unit", psd2, good.replace("organizationIdentifier", "OU"), DIFFER, "another attribute")
    uk = plain((C, "GB", PRINTABLE), (ORG, "OpenBanking"), (OU, "0015800000jfFGuAAM"), (CN, "1g7yUiOr3p0QFnAB1UvInE"))
    vector(
        "Open Banking UK: exact",
        uk,
        "CN=1g7yUiOr3p0QFnAB1UvInE,OU=0015800000jfFGuAAM,O=OpenBanking,C=GB",
        MATCH,
        "RFC 4514 order",
    )
    vector(
        "Open Banking UK: as the directory lists it",
        uk,
        "C=GB,O=OpenBanking,OU=0015800000jfFGuAAM,CN=1g7yUiOr3p0QFnAB1UvInE",
        MATCH,
        "as encoded",
        "reversed",
    )
    vector(
        "Open Banking UK: another unit",
        uk,
        "CN=1g7yUiOr3p0QFnAB1UvInE,OU=0015800000jfFGuAAN,O=OpenBanking,C=GB",
        DIFFER,
        "another unit",
    )


def rules() -> None:
    each_of("matching rule", "RFC 4519 and RFC 4517: the rule of the attribute", MATCH, [
        ("domain components in capitals", plain((DC, "COM", IA5), (DC, "Example", IA5)), "DC=example,DC=com"),
        ("domain components as UTF8String", plain((DC, "com"), (DC, "example")), "DC=example,DC=com"),
        ("domain component in another script", one(DC, "xn--bcher-kva", IA5), "DC=bücher"),
        ("domain component in another script, capitals", one(DC, "XN--BCHER-KVA", IA5), "DC=BÜCHER"),
        ("e-mail address", one(EMAIL, "Who@Example.COM", IA5), "E=who@example.com"),
        ("e-mail address with UTF8String", one(EMAIL, "who@example.com"), "emailAddress=who@example.com"),
        ("telephone number", one("2.5.4.20", "+420 123-456-789", PRINTABLE), "telephoneNumber=\\+420123456789"),
        ("telephone number with other hyphens", one("2.5.4.20", "+420\u2010123\u2212456\uff0d789"), "telephoneNumber=\\+420 123 456 789"),
        ("X.121 address", one("2.5.4.24", "12 34 56", NUMERIC), "x121Address=123456"),
        ("exact URI", one("1.3.6.1.4.1.250.1.57", "https://example/A"), "labeledURI=https://example/A"),
        ("an attribute that nobody knows", one("1.2.3.4", "VALUE  1"), "1.2.3.4=value 1"),
        ("an attribute that nobody knows, as DER", one("1.2.3.4", "VALUE 1", BMP), "1.2.3.4=#0c0776616c75652031"),
        ("serial number in capitals", one(SERIAL, "AB12", PRINTABLE), "serialNumber=ab12"),
    ])  # fmt: skip
    each_of("matching rule", "RFC 4519 and RFC 4517: the rule of the attribute", DIFFER, [
        ("fullwidth domain component", one(DC, "ｅxample"), "DC=example"), ("Kelvin sign in an e-mail address", one(EMAIL, "\u212a@example.com"), "E=k@example.com"),
        ("long s in a domain component", one(DC, "ba\u017f"), "DC=bas"), ("domain component in UTF8String and another script", one(DC, "bücher"), "DC=bücher"),
        ("another domain component", plain((DC, "com"), (DC, "example")), "DC=example,DC=org"), ("domain components in one", one(DC, "example.com", IA5), "DC=example,DC=com"),
        ("spaces in a serial number", one(SERIAL, "12 34", PRINTABLE), "serialNumber=1234"), ("hyphens in a serial number", one(SERIAL, "12-34", PRINTABLE), "serialNumber=1234"),
        ("hyphens in a postal code", one("2.5.4.17", "110-00", PRINTABLE), "postalCode=11000"), ("another telephone number", one("2.5.4.20", "+420 123", PRINTABLE), "telephoneNumber=\\+420 124"),
        ("case of a URI", one("1.3.6.1.4.1.250.1.57", "https://example/A"), "labeledURI=https://example/a"),
        ("spaces in a common name of digits", cn("12 34"), "CN=1234"),
    ])  # fmt: skip


def der() -> None:
    content = CLIENT[2:]
    first = attribute(CN, "client")
    each_of("not DER", "a certificate with such bytes is refused", UNREADABLE, [
        ("a length of two bytes for one", b"\x30\x81" + bytes([len(content)]) + content, "CN=client,O=Example,C=CZ"),
        ("a length with a leading zero", b"\x30\x82\x00" + bytes([len(content)]) + content, "CN=client,O=Example,C=CZ"),
        ("an indefinite length", b"\x30\x80" + content + b"\x00\x00", "CN=client,O=Example,C=CZ"),
        ("a value with a long length", name(rdn(tlv(0x30, oid(CN) + b"\x0c\x81\x06client"))), "CN=client"),
        ("a set with a long length", tlv(0x30, b"\x31\x81" + bytes([len(first)]) + first), "CN=client"),
        ("an identifier with padding", name(rdn(tlv(0x30, b"\x06\x04\x55\x80\x04\x03" + tlv(UTF8, b"client")))), "CN=client"),
        ("an identifier that ends early", name(rdn(tlv(0x30, b"\x06\x03\x55\x04\x83" + tlv(UTF8, b"client")))), "CN=client"),
        ("an empty identifier", name(rdn(tlv(0x30, b"\x06\x00" + tlv(UTF8, b"client")))), "CN=client"),
        ("a type that is no identifier", name(rdn(tlv(0x30, tlv(UTF8, b"CN") + tlv(UTF8, b"client")))), "CN=client"),
        ("no value", name(rdn(tlv(0x30, oid(CN)))), "CN=client"), ("two values", name(rdn(tlv(0x30, oid(CN) + tlv(UTF8, b"client") * 2))), "CN=client"),
        ("an attribute that is a SET", name(rdn(tlv(0x31, oid(CN) + tlv(UTF8, b"client")))), "CN=client"),
        ("an RDN that is a SEQUENCE", name(tlv(0x30, first)), "CN=client"), ("a name that is a SET", tlv(0x31, rdn(first)), "CN=client"),
        ("a byte behind", CLIENT + b"\x00", "CN=client,O=Example,C=CZ"), ("cut off", CLIENT[:-1], "CN=client,O=Example,C=CZ"),
        ("nothing", b"", "CN=client"), ("a tag of two bytes", b"\x3f\x30\x00", "CN=client"),
        ("65 attributes", plain(*[(OU, "x")] * 65), "OU=x"), ("65 attributes in one set", name(rdn(*(attribute(OU, f"{number:02}") for number in range(65)))), "OU=x"),
    ])  # fmt: skip
    each_of("bounds", "beyond the bounds a value is compared as bytes", DIFFER, [
        ("513 characters against 512", cn("a" * 513), "CN=" + "a" * 512), ("513 against one case", cn("A" * 513), "CN=" + hexed("a" * 513, UTF8)),
        ("257 characters beyond ASCII", cn("Ж" * 257), "CN=" + hexed("ж" * 257, UTF8)), ("31 marks", cn("a" + "\u0316" * 31), "CN=a" + "\u0316" * 30),
    ])  # fmt: skip
    each_of("bounds", "equal byte for byte", MATCH, [
        ("513 characters", cn("a" * 513), "CN=" + hexed("a" * 513, UTF8)), ("257 characters beyond ASCII, the same", cn("ж" * 257), "CN=" + hexed("ж" * 257, UTF8)),
        ("31 marks, the same", cn("a" + "\u0316" * 31), "CN=" + hexed("a" + "\u0316" * 31, UTF8)), ("30 marks", cn("A" + "\u0316" * 30), "CN=a" + "\u0316" * 30),
    ])  # fmt: skip


def main() -> None:
    for category in (
        attribute_names, string_types, bad_encodings, controls, spaces, letters, invisible, beyond_unicode_14, sets,
        orders, syntax, profiles, rules, der,
    ):  # fmt: skip
        category()
    names = [each["name"] for each in VECTORS]
    if len(set(names)) != len(names):
        raise SystemExit(f"twice: {sorted({each for each in names if names.count(each) > 1})}")
    lines = ",\n".join(json.dumps(each) for each in VECTORS)
    sys.stdout.write(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
